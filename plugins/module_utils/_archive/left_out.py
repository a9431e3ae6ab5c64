# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths that ignore rules left out, for results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._files.names import escaped

# Names that a result lists.
MAX_LISTED_NAMES = 1000
# Names in a warning.
_MAX_SHOWN = 3


class LeftOut:
    """Paths that are left out. A directory stands for all that is below it, which is not listed."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._by_default: list[str] = []

    def add(self, path: str, *, by_default: bool = False) -> None:
        """Note a path; ``by_default`` says that no rule of the user's own left it out."""
        self._paths.append(path)
        # nobody means to publish the repository itself
        if by_default and path.rpartition("/")[2] != ".git":
            self._by_default.append(path)

    def extend(self, other: LeftOut, below: str) -> None:
        """Note what ``other`` has, as lying in the directory ``below``; empty for none."""
        start = f"{below}/" if below else ""
        self._paths += [start + path for path in other._paths]
        self._by_default += [start + path for path in other._by_default]

    @property
    def count(self) -> int:
        """The number of paths."""
        return len(self._paths)

    def names(self) -> list[str]:
        """The paths as results may have them, sorted, at most :data:`MAX_LISTED_NAMES`."""
        return _first(self._paths, MAX_LISTED_NAMES)

    def as_result(self) -> dict[str, Any]:
        """The values ``ignored`` and ``ignored_count`` of a result."""
        return {"ignored": self.names(), "ignored_count": self.count}

    def default_exclusions(self) -> tuple[int, str, str]:
        """Return the number of paths that a default exclusion left out, some of them as text, and the first of them."""
        count, first = len(self._by_default), _first(self._by_default, _MAX_SHOWN)
        more = f" and {count - len(first)} more" if count > len(first) else ""
        return count, ", ".join(map(_quoted, first)) + more, first[0] if first else ""

    def as_diff(self) -> list[dict[str, str]]:
        """Return the text for ``--diff``: a line for each name, in the form of the other entries."""
        names = self.names()
        lines = [f"{name if name.isprintable() else repr(name)}\n" for name in names]
        if self.count > len(names):
            lines.append(f"and {self.count - len(names)} more\n")
        header = "left out"
        text = "".join(lines)
        return [{"before_header": header, "after_header": header, "before": "", "after": text}] if lines else []


def _first(paths: Iterable[str], count: int) -> list[str]:
    return [escaped(path) for path in sorted(paths)[:count]]


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}…")
