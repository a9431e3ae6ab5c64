# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that writes into ``dest``.

A placement is all or nothing: it is planned before the first change, recorded as begun, undone when a step fails, and
completed by the next run when the process is killed between two steps. Each file appears under its name by one rename.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from .errors import StorageError
from .permissions import Permissions
from .placement import Plan, has_permissions
from .shared_file import locked_file, storage_error
from .state import FILE_NAME, PlacedEntry, State, load_state, save_state
from .tree import DIRECTORY, FILE, SYMLINK, TreeEntry

CONTROL_NAME = ".oci-artifact"
LOCK_WAIT = 600.0
_MAX_OPEN_DIRECTORIES = 64


class Destination:
    """A directory on this host that holds artifacts, and the control directory with the record of one of them."""

    def __init__(self, root: str, permissions: Permissions, control_name: str = CONTROL_NAME) -> None:
        self.root = os.path.abspath(root)
        self.control = os.path.join(self.root, control_name)
        self.permissions = permissions

    def load_state(self) -> State:
        """The record of the last pull; an empty one when there is none.

        :raises StorageError: when ``dest`` is no directory, or the record may not be read.
        """
        if os.path.lexists(self.root) and not os.path.isdir(self.root):
            raise StorageError(
                f"{self.root} is not a directory.", "Choose another 'dest', or layer_selector.operation=copy for a file."
            )
        return load_state(self.control) or State()

    @contextlib.contextmanager
    def locked(self, wait: float = LOCK_WAIT) -> Iterator[str]:
        """Keep other runs away from this destination; gives an empty staging directory on the same file system.

        What had to be made for it is removed again when the block raises and nothing was placed.

        :raises StorageError: when the directories cannot be made, or another run does not end within ``wait`` seconds.
        """
        made = self._make_directories()
        try:
            with locked_file(os.path.join(self.control, "lock"), wait):
                stage = os.path.join(self.control, "stage")
                try:
                    _remove_tree(stage)
                    os.mkdir(stage, 0o700)
                    yield stage
                except OSError as exc:
                    raise self._refused(exc) from None
                finally:
                    _remove_tree(stage)
                    if not os.path.exists(os.path.join(self.control, FILE_NAME)):
                        _remove_tree(self.control)
        except BaseException:
            _remove_empty(made)
            raise

    def _make_directories(self) -> list[str]:
        missing, path = [], self.root
        while not os.path.lexists(path):
            missing.append(path)
            path = os.path.dirname(path)
        made: list[str] = []
        try:
            for directory in reversed(missing):
                os.mkdir(directory)
                made.append(directory)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.control, 0o700)
            if not stat.S_ISDIR(os.lstat(self.control).st_mode):
                raise StorageError(f"{self.control} is not a directory: it is in the way of the record of this pull.")
        except FileExistsError as exc:
            raise StorageError(f"{exc.filename} is not a directory.") from None
        except OSError as exc:
            _remove_empty(made)
            raise self._refused(exc) from None
        return made

    def apply(self, plan: Plan, stage: str, state: State, key: Mapping[str, Any], artifact: Mapping[str, Any]) -> None:
        """Carry out a plan whose new and changed entries lie in ``stage``, and record the result.

        :raises StorageError: when a step fails; everything is then as it was.
        """
        work = _Placement(self, plan, stage)
        try:
            save_state(self.control, State(state.key, state.artifact, state.files, pending={**state.pending, **plan.tree}))
            work.run()
            save_state(self.control, State(key, artifact, work.placed_entries()))
        except BaseException as exc:
            work.undo()
            self._restore(state)
            if isinstance(exc, OSError):
                raise self._refused(exc) from None
            raise
        finally:
            work.close()

    def _restore(self, state: State) -> None:
        with contextlib.suppress(OSError):
            if state == State():
                os.unlink(os.path.join(self.control, FILE_NAME))
            else:
                save_state(self.control, state)

    def _refused(self, error: OSError) -> StorageError:
        named = error.filename if isinstance(error.filename, str) and os.path.isabs(error.filename) else self.root
        return storage_error("write to", named, error)

    def set_permissions(self, paths: list[str], state: State) -> None:
        """Set mode and owner of entries whose content is right.

        :raises StorageError: when one cannot be set.
        """
        work = _Placement(self, Plan({path: state.files[path].entry for path in paths}, metadata=paths), "")
        try:
            work.run()
        except OSError as exc:
            work.undo()
            raise self._refused(exc) from None
        finally:
            work.close()


class _Placement:
    """The steps of one plan, each with its undoing."""

    def __init__(self, destination: Destination, plan: Plan, stage: str) -> None:
        self._root = destination.root
        self._permissions = destination.permissions
        self._plan = plan
        self._stage = stage
        self._undo: list[Callable[[], None]] = []
        self._directories: dict[str, int] = {}
        self._backups = 0
        self._backup_root = os.path.join(destination.control, "stage", ".backup")

    def run(self) -> None:
        plan = self._plan
        if self._stage:
            os.mkdir(self._backup_root, 0o700)
        for path in plan.removed:
            self._remove(path, plan.tree)
        for path in sorted({*plan.added, *plan.changed}):
            entry = plan.tree[path]
            if entry.kind == DIRECTORY:
                self._make_directory(path, path in plan.changed)
            else:
                self._place(path, entry, path in plan.changed)
        fresh_directories = [path for path in {*plan.added, *plan.changed} if plan.tree[path].kind == DIRECTORY]
        for path in sorted([*plan.metadata, *fresh_directories], reverse=True):
            self._set_permissions(path, plan.tree[path])

    def undo(self) -> None:
        while self._undo:
            with contextlib.suppress(OSError):
                self._undo.pop()()

    def close(self) -> None:
        for descriptor in self._directories.values():
            os.close(descriptor)
        self._directories.clear()

    def placed_entries(self) -> dict[str, PlacedEntry]:
        placed = {}
        for path, entry in self._plan.tree.items():
            parent, name = self._parent(path)
            status = os.lstat(name, dir_fd=parent) if entry.kind == FILE else None
            placed[path] = PlacedEntry(entry, status.st_mtime_ns if status else 0)
        return placed

    def _place(self, path: str, entry: TreeEntry, replaces: bool) -> None:
        source = os.path.join(self._stage, path)
        self._give_permissions(source, entry)
        parent, name = self._parent(path)
        if replaces:
            self._set_aside(path)
            os.rename(source, name, dst_dir_fd=parent)
        else:
            os.rename(source, name, dst_dir_fd=parent)
            self._undo.append(lambda: os.unlink(name, dir_fd=self._parent(path)[0]))

    def _make_directory(self, path: str, replaces: bool) -> None:
        if replaces:
            self._set_aside(path, keep=False)
        parent, name = self._parent(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        self._undo.append(lambda: os.rmdir(name, dir_fd=self._parent(path)[0]))

    def _set_aside(self, path: str, keep: bool = True) -> None:
        """Keep what is about to be replaced; under its name too when ``keep``, so that there is no moment without it."""
        parent, name = self._parent(path)
        backup = os.path.join(self._backup_root, str(self._backups))
        self._backups += 1
        is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
        linked = False
        if keep and not is_directory:
            with contextlib.suppress(OSError):
                os.link(name, backup, src_dir_fd=parent, follow_symlinks=False)
                linked = True
        if not linked:
            os.rename(name, backup, src_dir_fd=parent)
            self._forget(path)
        self._undo.append(lambda: os.rename(backup, name, dst_dir_fd=self._parent(path)[0]))

    def _remove(self, path: str, tree: Mapping[str, TreeEntry]) -> None:
        parent, name = self._parent(path)
        status = os.lstat(name, dir_fd=parent)
        if not stat.S_ISDIR(status.st_mode):
            self._set_aside(path, keep=False)
            return
        os.rmdir(name, dir_fd=parent)
        self._forget(path)

        def make_again() -> None:
            directory = self._parent(path)[0]
            os.mkdir(name, stat.S_IMODE(status.st_mode), dir_fd=directory)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=directory)

        self._undo.append(make_again)

    def _set_permissions(self, path: str, entry: TreeEntry) -> None:
        parent, name = self._parent(path)
        status = os.lstat(name, dir_fd=parent)
        if has_permissions(status, entry, self._permissions):
            return
        uid, gid = self._permissions.uid, self._permissions.gid
        if uid is not None or gid is not None:
            os.chown(name, _id(uid), _id(gid), dir_fd=parent, follow_symlinks=False)
            self._undo.append(
                lambda: os.chown(name, status.st_uid, status.st_gid, dir_fd=self._parent(path)[0], follow_symlinks=False)
            )
        if entry.kind != SYMLINK:
            # checked by lstat above; a link put there since would be followed, and needs write access to this directory
            os.chmod(name, self._permissions.mode_for(entry.mode, entry.kind == DIRECTORY), dir_fd=parent)
            self._undo.append(lambda: os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=self._parent(path)[0]))

    def _give_permissions(self, source: str, entry: TreeEntry) -> None:
        if entry.kind == FILE:
            os.chmod(source, self._permissions.mode_for(entry.mode, is_directory=False))
        if self._permissions.uid is not None or self._permissions.gid is not None:
            uid, gid = _id(self._permissions.uid), _id(self._permissions.gid)
            os.chown(source, uid, gid, follow_symlinks=False)

    def _parent(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory that holds ``path``, reached without following a link below the root."""
        directory, _slash, name = path.rpartition("/")
        return self._open(directory), name

    def _open(self, directory: str) -> int:
        descriptor = self._directories.get(directory)
        if descriptor is None:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            if directory:
                parent, name = self._parent(directory)
                descriptor = os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
            else:
                descriptor = os.open(self._root, flags)
            if len(self._directories) >= _MAX_OPEN_DIRECTORIES:
                oldest = next(iter(self._directories))
                os.close(self._directories.pop(oldest))
            self._directories[directory] = descriptor
        return descriptor

    def _forget(self, path: str) -> None:
        """Give up descriptors at and below a directory that is no longer there."""
        for directory in [known for known in self._directories if known == path or known.startswith(path + "/")]:
            os.close(self._directories.pop(directory))


def _id(value: int | None) -> int:
    return -1 if value is None else value


def _remove_tree(path: str) -> None:
    """Remove a directory of ours with all that it holds; unreadable directories in it are made readable first."""
    if not os.path.lexists(path):
        return
    for directory, names, _files in os.walk(path):
        for name in names:
            inner = os.path.join(directory, name)
            if not os.path.islink(inner):
                with contextlib.suppress(OSError):
                    os.chmod(inner, 0o700)
    shutil.rmtree(path, ignore_errors=True)


def _remove_empty(directories: list[str]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
