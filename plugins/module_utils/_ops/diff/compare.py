# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of two trees: what was added, removed and changed."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..._files.names import encoded, escaped
from ..._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .content import Content

ADDED, REMOVED, CHANGED, MODE = "added", "removed", "changed", "mode"
KINDS = (ADDED, REMOVED, CHANGED, MODE)


class Difference(NamedTuple):
    """One path that differs. ``change`` is ``added``, ``removed``, ``changed`` (content, target of a link, or kind of
    the entry) or ``mode`` (nothing else)."""

    path: str
    change: str
    before: TreeEntry | None
    after: TreeEntry | None

    @property
    def changes_mode(self) -> bool:
        """True when both sides have the entry, with other permission bits."""
        before, after = self.before, self.after
        return before is not None and after is not None and _modes_differ(before, after)


def compare(before: Content, after: Content, *, modes: bool, directory_modes: bool = True) -> list[Difference]:
    """Return the differences by path.

    A directory counts for itself only when it is empty, or when its mode or the kind of the entry differs.

    :param modes: compare permission bits; those of directories only with ``directory_modes``, too.
    :raises StorageError: when a file cannot be read.
    """
    found = []
    occupied = {path.rpartition("/")[0] for content in (before, after) for path in content.tree}
    for path in sorted({*before.tree, *after.tree}, key=encoded):
        old, new = before.tree.get(path), after.tree.get(path)
        if old is None or new is None:
            entry = new or old
            if entry is not None and not (entry.kind == DIRECTORY and path in occupied):
                found.append(Difference(path, ADDED if old is None else REMOVED, old, new))
            continue
        if _differs(before, after, path, old, new):
            found.append(Difference(path, CHANGED, before.tree[path], after.tree[path]))
        elif modes and _modes_differ(old, new) and (directory_modes or old.kind != DIRECTORY):
            found.append(Difference(path, MODE, old, new))
    return found


def _differs(before: Content, after: Content, path: str, old: TreeEntry, new: TreeEntry) -> bool:
    if old.kind != new.kind:
        return True
    if old.kind == SYMLINK:
        return old.target != new.target
    if old.kind != FILE:
        return False
    return old.size != new.size or before.digest(path) != after.digest(path)


def _modes_differ(old: TreeEntry, new: TreeEntry) -> bool:
    # the system has no modes of links
    return old.mode != new.mode and SYMLINK not in (old.kind, new.kind)


def entry_result(entry: TreeEntry) -> dict[str, Any]:
    """The values of an entry in the result: ``kind``, ``mode``, and what belongs to its kind."""
    result: dict[str, Any] = {"kind": entry.kind}
    if entry.kind != SYMLINK:
        result["mode"] = f"{entry.mode:04o}"
    if entry.kind == FILE:
        result["size"] = entry.size
        if entry.digest:
            result["digest"] = entry.digest
    if entry.kind == SYMLINK:
        result["target"] = escaped(entry.target)
    return result
