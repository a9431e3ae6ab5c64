# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that carry out a plan in ``dest``, and take them back."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Callable

from .drift import Plan, has_permissions
from .names import encoded, on_disk
from .permissions import Permissions
from .state import PlacedEntry
from .tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .tree_fs import DirectoryHandles


class Placement:
    """The steps of one plan, each with its undoing. New entries come from ``stage``, old ones go to ``backup_root``.

    :raises OSError: as the file system says, from every method that does not say otherwise.
    """

    def __init__(self, root: str, permissions: Permissions, plan: Plan, stage: str, backup_root: str) -> None:
        self._permissions = permissions
        self._plan = plan
        self._stage = stage
        self._undo: list[Callable[[], None]] = []
        self._backups = 0
        self._backup_root = backup_root
        self._handles = DirectoryHandles(root)

    def run(self) -> None:
        plan = self._plan
        if self._stage:
            os.mkdir(self._backup_root, 0o700)
        for path in plan.removed:
            self._set_aside(path)
        replaced = set(plan.changed)
        fresh_directories = []
        for path in sorted({*plan.added, *plan.changed}):
            entry = plan.tree[path]
            if entry.kind == DIRECTORY:
                fresh_directories.append(path)
                if path in replaced:
                    self._set_aside(path)
                self._make_directory(path)
            else:
                self._place(path, entry, path in replaced)
        for path in sorted([*plan.metadata, *fresh_directories], reverse=True):
            self._set_permissions(path, plan.tree[path])

    def undo(self) -> bool:
        """Take everything back, as far as the file system lets it; whether all was taken back."""
        complete = True
        while self._undo:
            try:
                self._undo.pop()()
            except OSError:
                complete = False
        return complete

    def close(self) -> None:
        self._handles.close()

    def placed_entries(self) -> dict[str, PlacedEntry]:
        placed = {}
        for path, entry in self._plan.tree.items():
            parent, name = self._parent(path)
            status = os.lstat(name, dir_fd=parent) if entry.kind == FILE else None
            placed[path] = PlacedEntry(entry, status.st_mtime_ns if status else 0)
        return placed

    def _place(self, path: str, entry: TreeEntry, replaces: bool) -> None:
        source = on_disk(self._stage, path)
        self._give_permissions(source, entry)
        kept = replaces and self._set_aside(path, keep=True)
        parent, name = self._parent(path)
        os.rename(source, name, dst_dir_fd=parent)
        if not kept:
            self._undo.append(lambda: self._back_out(os.unlink, path))

    def _make_directory(self, path: str) -> None:
        parent, name = self._parent(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._undo.append(lambda: self._back_out(os.rmdir, path))

    def _back_out(self, remove: Callable[..., None], path: str) -> None:
        self._handles.forget(path)
        parent, name = self._parent(path)
        remove(name, dir_fd=parent)

    def _set_aside(self, path: str, keep: bool = False) -> bool:
        """Move away what is removed or replaced.

        With ``keep`` a file keeps its name until another one takes it; whether it was so.
        """
        parent, name = self._parent(path)
        backup = os.path.join(self._backup_root, str(self._backups))
        self._backups += 1
        is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
        linked = False
        if keep and not is_directory:
            # not every file system has hard links
            with contextlib.suppress(OSError):
                os.link(name, backup, src_dir_fd=parent, follow_symlinks=False)
                linked = True
        if not linked:
            self._handles.forget(path)
            os.rename(name, backup, src_dir_fd=parent)
        self._undo.append(lambda: self._put_back(backup, path))
        if is_directory and os.listdir(backup):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        return linked

    def _put_back(self, backup: str, path: str) -> None:
        parent, name = self._parent(path)
        os.rename(backup, name, dst_dir_fd=parent)

    def _set_permissions(self, path: str, entry: TreeEntry) -> None:
        parent, name = self._parent(path)
        status = os.lstat(name, dir_fd=parent)
        if has_permissions(status, entry, self._permissions):
            return
        # what lstat saw is not a link; one put there since would be followed, but takes write access to this directory
        old_mode = stat.S_IMODE(status.st_mode)
        if entry.kind != SYMLINK:
            self._undo.append(lambda: self._change(os.chmod, path, old_mode))
        if self._permissions.uid is not None or self._permissions.gid is not None:
            uid, gid = status.st_uid, status.st_gid
            self._undo.append(lambda: self._change(os.chown, path, uid, gid, follow_symlinks=False))
            os.chown(name, *self._owner(), dir_fd=parent, follow_symlinks=False)
        if entry.kind != SYMLINK:
            os.chmod(name, self._permissions.mode_for(entry.mode, entry.kind == DIRECTORY), dir_fd=parent)

    def _change(self, call: Callable[..., None], path: str, *values: int, **options: bool) -> None:
        parent, name = self._parent(path)
        call(name, *values, dir_fd=parent, **options)

    def _give_permissions(self, source: str, entry: TreeEntry) -> None:
        if self._permissions.uid is not None or self._permissions.gid is not None:
            os.chown(source, *self._owner(), follow_symlinks=False)
        if entry.kind == FILE:
            os.chmod(source, self._permissions.mode_for(entry.mode, is_directory=False))

    def _owner(self) -> tuple[int, int]:
        return _id(self._permissions.uid), _id(self._permissions.gid)

    def _parent(self, path: str) -> tuple[int, bytes]:
        """A descriptor of the directory that holds ``path``, reached without following a link below the root."""
        directory, _slash, name = path.rpartition("/")
        return self._handles.get(directory), encoded(name)


def _id(value: int | None) -> int:
    return -1 if value is None else value
