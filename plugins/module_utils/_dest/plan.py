# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that a new tree makes in ``dest``, all decided before the first one is made."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .._errors import StorageError
from .._files.directory_handles import DirectoryHandles
from .._files.names import decoded, encoded, escaped, is_reserved, on_disk, shown
from .._files.regular_file import storage_error
from .._files.tree import DIRECTORY, FILE, SYMLINK, Tree, TreeEntry
from .drift import MAX_NAMED, file_digest, has_one_name, has_permissions
from .permissions import Permissions
from .state import State


@dataclass
class Plan:
    """Paths by the kind of change. In ``metadata`` are those of which only mode or owner changes.

    ``tree`` lacks directories that existed before any pull: they are used, but never changed or removed.
    """

    tree: Mapping[str, TreeEntry]
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.removed or self.metadata)


def with_parents(tree: Tree) -> dict[str, TreeEntry]:
    """The tree with entries for all parent directories (archives may omit them)."""
    complete = dict(tree)
    for path in tree:
        for parent in _parents(path):
            if parent in complete:
                break
            complete[parent] = TreeEntry(DIRECTORY, 0o755)
    return complete


def make_plan(
    root: DirectoryHandles,
    name: str,
    tree: Tree,
    state: State,
    permissions: Permissions,
    *,
    force: bool = False,
    trust_times: bool = True,
) -> Plan:
    """Return the changes that make ``root`` (called ``name`` in messages) hold ``tree``.

    Without ``trust_times`` every existing file is read, even if its size and time match the record.

    :raises StorageError: when the path of an entry has other content that no earlier run put there.
    """
    return _Planner(root, name, state, permissions, force, trust_times, with_parents(tree)).run()


class _Planner:
    def __init__(
        self,
        root: DirectoryHandles,
        name: str,
        state: State,
        permissions: Permissions,
        force: bool,
        trust_times: bool,
        tree: Mapping[str, TreeEntry],
    ) -> None:
        self._root = root
        self._name = name
        self._state = state
        self._permissions = permissions
        self._force = force
        self._trust_times = trust_times
        self._tree = tree
        self._plan = Plan(tree)
        self._conflicts: list[str] = []
        # entries that a directory replaces; nothing of the new tree is below them yet
        self._replaced: set[str] = set()
        self._foreign_directories: set[str] = set()
        self._absent: set[str] = set()

    def run(self) -> Plan:
        # not even a name that differs in upper and lower case alone, which some file systems take for the same
        if not (self._state.files or self._state.pending) and self._is_empty():
            self._absent.add("")
        for path in sorted(self._tree):
            self._decide(path, self._tree[path])
        if self._conflicts:
            raise self._in_the_way()
        self._plan.tree = {path: self._tree[path] for path in self._tree if path not in self._foreign_directories}
        self._plan.removed = self._find_removed()
        return self._plan

    def _decide(self, path: str, entry: TreeEntry) -> None:
        # a directory that does not exist has no entries
        is_absent = path.rpartition("/")[0] in self._absent or self._below_replaced(path)
        status = None if is_absent else self._lstat(path)
        if status is None:
            self._plan.added.append(path)
            if entry.kind == DIRECTORY:
                self._absent.add(path)
        elif stat.S_ISDIR(status.st_mode) and entry.kind == DIRECTORY:
            if not self._state.owns(path):
                self._foreign_directories.add(path)
            elif not has_permissions(status, entry, self._permissions):
                self._plan.metadata.append(path)
        elif self._is_same(path, status, entry):
            if has_permissions(status, entry, self._permissions):
                return
            # another hard link of the file may be anywhere, and would get the mode and owner, too
            if has_one_name(status):
                self._plan.metadata.append(path)
            else:
                self._plan.changed.append(path)
        else:
            if not self._may_replace(path, status, entry):
                self._conflicts.append(path)
            self._plan.changed.append(path)
            self._replaced.add(path)

    def _is_empty(self) -> bool:
        """True when there is nothing that an artifact could have an entry for, or no directory at all."""
        try:
            return all(is_reserved(decoded(name)) for name in self._root.names(""))
        except FileNotFoundError:
            return True
        except OSError as exc:
            raise storage_error("read", shown(self._name), exc) from None

    def _may_replace(self, path: str, status: os.stat_result, entry: TreeEntry) -> bool:
        if stat.S_ISDIR(status.st_mode):
            return self._is_all_ours(path)
        if self._state.owns(path):
            return True
        # a link to a directory that no run created is never replaced by a directory: it leads to other content
        return self._force and not (stat.S_ISLNK(status.st_mode) and entry.kind == DIRECTORY)

    def _is_same(self, path: str, status: os.stat_result, entry: TreeEntry) -> bool:
        try:
            if entry.kind == SYMLINK:
                return stat.S_ISLNK(status.st_mode) and self._root.readlink(path) == encoded(entry.target)
            if entry.kind != FILE or not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
                return False
            placed = self._state.files.get(path)
            known = placed is not None and placed.entry.digest == entry.digest != ""
            known = known and placed is not None and placed.mtime == status.st_mtime_ns
            return (known and self._trust_times) or file_digest(self._root.open_file(path)) == entry.digest
        except OSError:
            return False

    def _is_all_ours(self, path: str) -> bool:
        """True when earlier runs created a directory and everything in it."""
        if not self._state.owns(path):
            return False
        pending = [path]
        while pending:
            directory = pending.pop()
            for below in self._below(directory):
                if not self._state.owns(below):
                    return False
                status = self._lstat(below)
                if status is not None and stat.S_ISDIR(status.st_mode):
                    pending.append(below)
        return True

    def _below(self, directory: str) -> list[str]:
        """The paths of all entries of a directory."""
        try:
            return [f"{directory}/{decoded(name)}" for name in self._root.names(directory)]
        except OSError as exc:
            raise storage_error("read", shown(on_disk(self._name, directory)), exc) from None

    def _lstat(self, path: str) -> os.stat_result | None:
        """The status of the entry at a path; None when there is none, or a parent is not a directory."""
        try:
            return self._root.lstat(path)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise storage_error("look at", shown(on_disk(self._name, path)), exc) from None

    def _below_replaced(self, path: str) -> bool:
        return bool(self._replaced) and any(parent in self._replaced for parent in _parents(path))

    def _find_removed(self) -> list[str]:
        """Entries of earlier runs that the new tree lacks, children before their directories."""
        # after a killed run, an entry may be the old one or the planned one
        kinds: dict[str, set[str]] = {path: {entry.kind} for path, entry in self._state.pending.items()}
        for path, placed in self._state.files.items():
            kinds.setdefault(path, set()).add(placed.entry.kind)
        removed: dict[str, None] = {}
        for path in sorted(kinds, reverse=True):
            # entries behind a link are ignored: it may lead anywhere, or to itself
            status = None if path in self._tree else self._lstat(path)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                ours = DIRECTORY in kinds[path] or self._below_replaced(path)
                if ours and self._will_be_empty(path, removed):
                    removed[path] = None
            elif kinds[path] != {DIRECTORY}:
                removed[path] = None
        return list(removed)

    def _will_be_empty(self, path: str, removed: Mapping[str, None]) -> bool:
        return all(below in removed for below in self._below(path))

    def _in_the_way(self) -> StorageError:
        named = ", ".join(map(escaped, self._conflicts[:MAX_NAMED]))
        more = len(self._conflicts) - MAX_NAMED
        return StorageError(
            f"{shown(self._name)} holds what no earlier pull put there, where the artifact has an entry: "
            f"{named}{f' and {more} more' if more > 0 else ''}.",
            "Move it away, choose another 'dest', or replace files with force: true (directories and links to "
            "directories are never replaced).",
        )


def _parents(path: str) -> Iterator[str]:
    """The directories above an entry, the nearest first."""
    parent = path.rpartition("/")[0]
    while parent:
        yield parent
        parent = parent.rpartition("/")[0]
