# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The differences of files as text: a unified diff in the result, both texts for ``--diff``.

Everything is bounded: what one file and all files together take, and the work of comparing lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from ..._dest.diff import MAX_FILES, MAX_TEXT, MAX_TOTAL, plain_text
from ..._files.names import escaped
from ..._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .compare import MODE, Difference, entry_result
from .content import Content

# Comparing lines takes at most the product of their numbers: of one file, and of all.
MAX_STEPS = 4_000_000
MAX_ALL_STEPS = 40_000_000
ABSENT, REMOVED = "(absent)", "(removed)"
# characters of a digest for people: the algorithm and 12 hex digits
SHORT_DIGEST = len("sha256:") + 12

# Returns the text of a file without secrets: path, text.
Shown = Callable[[str, str], str]


class TextBudget:
    """What may still be shown: characters of text, and steps of comparing lines."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL
        self._steps = MAX_ALL_STEPS

    def take(self, before: str, after: str) -> str:
        """Take two texts that are to be looked at; return an empty text, or why they are not shown."""
        size = len(before) + len(after)
        if size > self._left:
            return "there is more to show than is shown at once"
        self._left -= size
        return ""

    def unified(self, before: str, after: str, names: tuple[str, str]) -> tuple[str, str]:
        """Return the unified diff of two texts that were taken, or an empty text and why there is none."""
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        same = _common(old, new)
        tail = _common(old[same:][::-1], new[same:][::-1])
        steps = max(1, len(old) - same - tail) * max(1, len(new) - same - tail)
        if steps > min(MAX_STEPS, self._steps):
            return "", "too many lines differ"
        self._steps -= steps
        return "".join(_unified(old, new, names)), ""


class FileTexts:
    """Makes the entries of the result and of ``--diff`` for files that differ.

    :param shown: hides secrets in the text of a file.
    """

    def __init__(self, before: Content, after: Content, shown: Shown) -> None:
        self._before = before
        self._after = after
        self._shown = shown
        self._budget = TextBudget()

    def entries(self, found: Sequence[Difference]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """The values ``files`` and ``diff`` for at most 1,000 differences."""
        files, diff = [], []
        for each in found[:MAX_FILES]:
            result, shown = self._entry(each)
            files.append(result)
            diff += shown
        if len(found) > MAX_FILES:
            diff.append({"prepared": f"and {len(found) - MAX_FILES} files more\n"})
        return files, diff

    def _entry(self, found: Difference) -> tuple[dict[str, Any], list[dict[str, str]]]:
        result: dict[str, Any] = {"path": escaped(found.path), "change": found.change}
        if found.before is not None:
            result["from"] = entry_result(found.before)
        if found.after is not None:
            result["to"] = entry_result(found.after)
        mode = []
        path = printable(found.path)
        if found.changes_mode and found.before is not None and found.after is not None:
            mode = [{"prepared": f"mode of {path}: {found.before.mode:04o} -> {found.after.mode:04o}\n"}]
        if found.change == MODE:
            return result, mode
        old = _Text.of(self._before, found.path, found.before)
        new = _Text.of(self._after, found.path, found.after)
        before, after = old.description, new.description
        # taken before secrets are looked for in them, which is work as well
        note = old.note or new.note or self._budget.take(old.text, new.text)
        if not note:
            old_text, new_text = self._shown(found.path, old.text), self._shown(found.path, new.text)
            result["text"], note = self._budget.unified(old_text, new_text, (f"a/{path}", f"b/{path}"))
            if not note:
                before, after = old_text, new_text
        if note:
            result["text"] = ""
            result["note"] = note
        shown = {
            "before_header": f"{self._before.name} {path}" if found.before else ABSENT,
            "after_header": f"{self._after.name} {path}" if found.after else REMOVED,
            "before": before,
            "after": after,
        }
        return result, [shown, *mode]


class _Text(NamedTuple):
    """A file as text; ``note`` says why there is no text, ``description`` stands in its place."""

    text: str = ""
    note: str = ""
    description: str = ""

    @classmethod
    def of(cls, content: Content, path: str, entry: TreeEntry | None) -> _Text:
        if entry is None:
            return cls()
        if entry.kind == SYMLINK:
            return cls(note="symbolic link", description=f"symbolic link to {printable(entry.target)}\n")
        if entry.kind == DIRECTORY:
            return cls(note="directory", description="directory\n")
        if entry.kind != FILE:
            return cls(note="special file", description="special file\n")
        short = content.digest(path)[:SHORT_DIGEST] if entry.size <= MAX_TEXT or entry.digest else "not read"
        description = f"file of {entry.size} bytes, {short}\n"
        if entry.size > MAX_TEXT:
            return cls(note=f"more than {MAX_TEXT} bytes", description=description)
        if not content.has_bytes(path):
            return cls(note="the same bytes as another file of the other side", description=description)
        text = plain_text(content.read(path, MAX_TEXT))
        if text is None:
            return cls(note="binary", description=f"binary {description}")
        return cls(text=text, description=description)


def printable(name: str) -> str:
    """A name from outside for a terminal: control characters are written as escapes."""
    text = escaped(name)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """The number of lines that both begin with."""
    count = 0
    for one, other in zip(old, new):
        if one != other:
            break
        count += 1
    return count


def _unified(old: Sequence[str], new: Sequence[str], names: tuple[str, str]) -> list[str]:
    lines = []
    for line in difflib.unified_diff(old, new, *names):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return lines
