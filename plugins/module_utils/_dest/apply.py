# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that carry out a plan in ``dest``, and their rollback.

Directories of ``dest`` may belong to another user (``owner``), who can replace an entry between any two steps. Every
entry is therefore accessed relative to the descriptor of its directory, which was opened without following links, and
modes and owners are set on the descriptor of a file after it was checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Callable

from .._files.descriptors import open_entry_at, set_mode, set_owner
from .._files.directory_handles import DirectoryHandles
from .._files.names import encoded
from .._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .drift import has_one_name, has_permissions, is_placed_file
from .new_directory import is_alike
from .permissions import Permissions
from .plan import Plan
from .state import PlacedEntry

_BACKUP = ".backup"
_NEW_LINK = ".link"


class Placement:
    """The steps of one plan, each with the step that undoes it.

    :param root: the directories of ``dest``.
    :param stage: the descriptor of a directory on the same file system in which nobody else may write; replaced and
        removed entries are moved there.
    :param content: the new and changed entries; None where only modes and owners are set.
    :param known: the recorded entries.
    :param times: the modification times (ns) of files in ``content`` that have the mode of the plan's tree.
    :param unsafe_writes: a file that is a mount point may be written in place, see :mod:`.in_place`.
    :raises OSError: when a file operation fails, from every method unless documented otherwise.
    """

    def __init__(
        self,
        root: DirectoryHandles,
        permissions: Permissions,
        plan: Plan,
        stage: int,
        content: DirectoryHandles | None,
        known: Mapping[str, PlacedEntry],
        times: Mapping[str, int],
        unsafe_writes: bool = False,
    ) -> None:
        # the entry that the current step is about, for messages; empty between the steps
        self.path = ""
        self._root = root
        self._permissions = permissions
        self._plan = plan
        self._stage = stage
        self._content = content
        self._known = known
        self._staged_times = times
        self._unsafe_writes = unsafe_writes
        self._undo: list[Callable[[], None]] = []
        self._times: dict[str, int] = {}
        self._backups = 0
        os.mkdir(_BACKUP, 0o700, dir_fd=stage)
        self._backup = os.open(_BACKUP, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stage)

    def run(self) -> None:
        plan = self._plan
        for path in plan.removed:
            self.path = path
            self._set_aside(path)
        replaced = set(plan.changed)
        fresh_directories = []
        new = sorted({*plan.added, *plan.changed})
        # directories that are in their place with all that is in them
        complete: set[str] = set()
        for path in new:
            entry = plan.tree[path]
            if complete and path.rpartition("/")[0] in complete:
                if entry.kind == DIRECTORY:
                    complete.add(path)
                continue
            self.path = path
            if entry.kind == DIRECTORY:
                fresh_directories.append(path)
                if path in replaced:
                    self._set_aside(path)
                self._make_directory(path)
                # what is below a path follows it in the order of the names; "0" is the character after "/"
                below = new[bisect_left(new, f"{path}/") : bisect_left(new, f"{path}0")]
                if below and self._place_whole(path, below):
                    complete.add(path)
            elif self._content is not None:
                parent, name = self._content.locate(path)
                self._place(path, entry, parent, name, path in replaced)
        for path in sorted([*plan.metadata, *fresh_directories], reverse=True):
            self.path = path
            self._set_permissions(path, plan.tree[path])
        self.path = ""

    def undo(self) -> bool:
        """Undo all steps as far as possible; return True when all were undone."""
        complete = True
        while self._undo:
            try:
                self._undo.pop()()
            except OSError:
                complete = False
        return complete

    def close(self) -> None:
        os.close(self._backup)

    def placed_entries(self) -> dict[str, PlacedEntry]:
        placed = {}
        for path, entry in self._plan.tree.items():
            time = 0
            if entry.kind == FILE:
                time = self._times[path] if path in self._times else self._root.lstat(path).st_mtime_ns
            placed[path] = PlacedEntry(entry, time)
        return placed

    def _place(self, path: str, entry: TreeEntry, source: int, source_name: bytes, replaces: bool) -> None:
        """Move an entry from a private directory to its path in ``dest``."""
        self._prepare(path, entry, source, source_name)
        try:
            kept = replaces and self._set_aside(path, keep=True)
            parent, name = self._root.locate(path)
            os.rename(source_name, name, src_dir_fd=source, dst_dir_fd=parent)
        except OSError as exc:
            if exc.errno != errno.EBUSY or not self._unsafe_writes or entry.kind != FILE:
                raise
            self._write_in_place(path, entry, source, source_name)
            return
        if not kept:
            self._undo.append(lambda: self._back_out(os.unlink, path))

    def _place_whole(self, path: str, below: Sequence[str]) -> bool:
        """Move a staged directory with all that is in it to the place of the new, empty one; return True when it is
        there.

        That is left to single steps where the new directory got something from the one above it (a group, an access
        control list, a label) that the staged one did not, and where modes would keep us from undoing it.
        """
        content, tree = self._content, self._plan.tree
        if content is None or any(
            tree[each].kind == DIRECTORY and self._mode_for(tree[each]) & 0o700 != 0o700 for each in below
        ):
            return False
        staged = content.get(path)
        # as the new one, until all is placed
        os.fchmod(staged, 0o700)
        if not is_alike(self._root.get(path), staged):
            return False
        for each in reversed(below):
            self.path, entry = each, tree[each]
            if each in self._staged_times and not self._changes(entry):
                self._times[each] = self._staged_times[each]
            else:
                source, name = content.locate(each)
                self._prepare(each, entry, source, name)
        self.path = path
        content.forget(path)
        self._root.forget(path)
        source, source_name = content.locate(path)
        parent, name = self._root.locate(path)
        try:
            os.rename(source_name, name, src_dir_fd=source, dst_dir_fd=parent)
        except OSError:
            # not every file system replaces directories, and somebody else may have put something there
            return False
        self._undo.append(lambda: self._back_out_all(below))
        return True

    def _write_in_place(self, path: str, entry: TreeEntry, source: int, source_name: bytes) -> None:
        """Give the file at a path, which is a mount point, the content, mode and owner of a staged one."""
        from . import in_place

        parent, name = self._root.locate(path)
        descriptor = in_place.open_for_update(name, parent)
        try:
            before, backup = os.fstat(descriptor), self._new_backup()
            in_place.copy_aside(descriptor, backup, self._backup)
            self._undo.append(lambda: self._write_back(path, backup, before))
            in_place.copy_into(descriptor, source_name, source)
            if self._sets_owner:
                set_owner(descriptor, *self._owner())
            set_mode(descriptor, self._mode_for(entry))
            self._times[path] = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)

    def _write_back(self, path: str, backup: bytes, before: os.stat_result) -> None:
        from . import in_place

        parent, name = self._root.locate(path)
        descriptor = in_place.open_for_update(name, parent)
        try:
            in_place.copy_into(descriptor, backup, self._backup)
            if self._sets_owner:
                set_owner(descriptor, before.st_uid, before.st_gid)
            set_mode(descriptor, stat.S_IMODE(before.st_mode))
        finally:
            os.close(descriptor)

    def _prepare(self, path: str, entry: TreeEntry, source: int, name: bytes) -> None:
        """Set owner and mode of a staged entry, which no other user can access there."""
        if path in self._staged_times and not self._changes(entry):
            self._times[path] = self._staged_times[path]
            return
        status = os.lstat(name, dir_fd=source)
        if entry.kind == FILE:
            self._times[path] = status.st_mtime_ns
        if has_permissions(status, entry, self._permissions):
            return
        if self._sets_owner:
            os.chown(name, *self._owner(), dir_fd=source, follow_symlinks=False)
        if entry.kind != SYMLINK:
            os.chmod(name, self._mode_for(entry), dir_fd=source)

    def _changes(self, entry: TreeEntry) -> bool:
        """True when an entry gets another owner than the process has, or another mode than the artifact says."""
        return self._sets_owner or bool(self._permissions.mode and self._mode_for(entry) != entry.mode)

    def _mode_for(self, entry: TreeEntry) -> int:
        return self._permissions.mode_for(entry.mode, entry.kind == DIRECTORY)

    def _make_directory(self, path: str) -> None:
        parent, name = self._root.locate(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._undo.append(lambda: self._back_out(os.rmdir, path))

    def _back_out(self, remove: Callable[..., None], path: str) -> None:
        self._root.forget(path)
        parent, name = self._root.locate(path)
        remove(name, dir_fd=parent)

    def _back_out_all(self, paths: Sequence[str]) -> None:
        """Remove entries of which each directory comes before what is in it."""
        failed: OSError | None = None
        for path in reversed(paths):
            try:
                self._back_out(os.rmdir if self._plan.tree[path].kind == DIRECTORY else os.unlink, path)
            except OSError as exc:
                failed = exc
        if failed is not None:
            raise failed

    def _set_aside(self, path: str, keep: bool = False) -> bool:
        """Move an entry that is removed or replaced to the stage.

        With ``keep`` a file also keeps its name until another one replaces it; return True when it does.
        """
        parent, name = self._root.locate(path)
        backup = self._new_backup()
        is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
        linked = False
        if keep and not is_directory:
            # not every file system has hard links
            with contextlib.suppress(OSError):
                os.link(name, backup, src_dir_fd=parent, dst_dir_fd=self._backup, follow_symlinks=False)
                linked = True
        if not linked:
            self._root.forget(path)
            os.rename(name, backup, src_dir_fd=parent, dst_dir_fd=self._backup)
        self._undo.append(lambda: self._put_back(backup, path))
        if is_directory and _is_filled(backup, self._backup):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        return linked

    def _new_backup(self) -> bytes:
        """A name that is free in the directory of backups."""
        self._backups += 1
        return str(self._backups).encode("ascii")

    def _put_back(self, backup: bytes, path: str) -> None:
        parent, name = self._root.locate(path)
        os.rename(backup, name, src_dir_fd=self._backup, dst_dir_fd=parent)

    def _set_permissions(self, path: str, entry: TreeEntry) -> None:
        if entry.kind == SYMLINK:
            self._renew_link(path, entry)
            return
        parent, name = self._root.locate(path)
        descriptor = open_entry_at(name, parent)
        try:
            status = os.fstat(descriptor)
            if not self._is_expected(path, entry, descriptor, status):
                raise _changed(name)
            if has_permissions(status, entry, self._permissions):
                return
            latest = [status]
            self._undo.append(lambda: self._restore(path, status, latest[-1]))
            if self._sets_owner:
                set_owner(descriptor, *self._owner())
                latest.append(os.fstat(descriptor))
            set_mode(descriptor, self._mode_for(entry))
            latest.append(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    def _is_expected(self, path: str, entry: TreeEntry, descriptor: int, status: os.stat_result) -> bool:
        """True when an open entry is the planned one, and was not replaced by another user."""
        if entry.kind == DIRECTORY:
            return stat.S_ISDIR(status.st_mode)
        known = self._known.get(path)
        time = known.mtime if known is not None and known.entry.digest == entry.digest else 0
        return has_one_name(status) and is_placed_file(descriptor, PlacedEntry(entry, time))

    def _renew_link(self, path: str, entry: TreeEntry) -> None:
        """Create a symbolic link again with the right owner, which cannot be set through a descriptor."""
        status = self._root.lstat(path)
        if not stat.S_ISLNK(status.st_mode) or self._root.readlink(path) != encoded(entry.target):
            raise _changed(encoded(path))
        name = f"{_NEW_LINK}{self._backups}".encode("ascii")
        os.symlink(encoded(entry.target), name, dir_fd=self._stage)
        self._place(path, entry, self._stage, name, replaces=True)

    def _restore(self, path: str, before: os.stat_result, latest: os.stat_result) -> None:
        """Give an entry the mode and owner of ``before``, if nobody has touched it since ``latest``.

        A file that takes the place of a removed one may get the number of its inode; the time of its last change is the
        kernel's, and cannot be set. That of a directory changes with its entries.
        """
        parent, name = self._root.locate(path)
        descriptor = open_entry_at(name, parent)
        try:
            status = os.fstat(descriptor)
            is_touched = stat.S_ISREG(status.st_mode) and status.st_ctime_ns != latest.st_ctime_ns
            if is_touched or not os.path.samestat(status, latest):
                raise _changed(name)
            if self._sets_owner:
                set_owner(descriptor, before.st_uid, before.st_gid)
            set_mode(descriptor, stat.S_IMODE(before.st_mode))
        finally:
            os.close(descriptor)

    @property
    def _sets_owner(self) -> bool:
        return self._permissions.uid is not None or self._permissions.gid is not None

    def _owner(self) -> tuple[int, int]:
        return _id(self._permissions.uid), _id(self._permissions.gid)


def _changed(name: bytes) -> OSError:
    return OSError(errno.ESTALE, "Another process has replaced it in the meantime", name)


def _is_filled(name: bytes, parent: int) -> bool:
    handles = DirectoryHandles(os.dup(parent))
    try:
        return bool(handles.names(os.fsdecode(name)))
    finally:
        handles.close()


def _id(value: int | None) -> int:
    return -1 if value is None else value
