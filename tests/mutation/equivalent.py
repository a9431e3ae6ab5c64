# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file equivalent.txt: changes that no test can notice, because they change nothing that matters, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Key = tuple[str, str, str, str]


class Malformed(Exception):
    """An entry lacks one of its parts."""


@dataclass(frozen=True)
class Equivalents:
    """The changes that are listed, as module, function, line before and line after."""

    keys: frozenset[Key]

    @classmethod
    def load(cls, path: Path) -> Equivalents:
        """Read the file. An entry is four lines, and a blank one between entries: module and function; the line before,
        after ``-``; the line after, after ``+``; the reason, after ``=``. Several ``+`` lines are as many changes of
        one line. A line that begins with ``#`` is a comment.

        :raises Malformed: when an entry is something else.
        """
        keys: set[Key] = set()
        text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        for block in filter(str.strip, text.split("\n\n")):
            head, *lines = block.strip().splitlines()
            module, _space, function = head.partition(" ")
            signs = "".join(line[:1] for line in lines)
            if not (signs.startswith("-+") and signs.lstrip("-").lstrip("+") in ("=", "==", "===")):
                raise Malformed(f"{path}: not an entry:\n{block}")
            before = lines[0][2:]
            keys |= {(module, function, before, line[2:]) for line in lines if line.startswith("+")}
        return cls(frozenset(keys))

    def among(self, module: str) -> set[Key]:
        return {key for key in self.keys if key[0] == module}

    def stale(self, modules: Iterable[str], found: set[Key]) -> list[Key]:
        """The entries of these modules that are among no changes any more."""
        return sorted(key for module in modules for key in self.among(module) - found)
