# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Atomic writes of the files of a layout or cache: readers see a complete file or none.

A temporary file is renamed to its final name. It is in the folder ``.ingest`` of the same directory, since a rename
must stay on one file system, and is locked: a file there without a lock is a leftover of a killed process. The folder
is removed when it is empty.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Callable

from .._errors import StorageError
from .._files.directory_handles import DirectoryHandles
from .._files.lockable import is_at, open_to_lock
from .._files.names import encoded
from .._files.regular_file import storage_error
from .._files.shared_file import wait_for_lock, write_all
from .directory import StoreDirectory
from .leftovers import TEMPORARY, remove_leftovers

INGEST = ".ingest"
_ATTEMPTS = 10
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Temporary:
    """A temporary file, open for writing, and the open directory of the store that it belongs to."""

    handle: BinaryIO
    name: str
    handles: DirectoryHandles


class StoreFiles:
    """The files of the directory ``root``, which the first write creates; names are relative to it.

    For ``is_layout`` see :class:`~._layout.directory.StoreDirectory`. Methods raise StorageError when a file operation
    fails, or when another user could replace the directory.
    """

    # mode of the directory when it is created, before the umask
    root_mode = 0o777
    file_mode = 0o666

    def __init__(self, root: str, *, is_layout: bool = False) -> None:
        self.root = os.path.abspath(root)
        self.directory = StoreDirectory(self.root, is_layout=is_layout)
        self._swept: set[str] = set()

    def replace_file(self, name: str, data: bytes) -> None:
        """Replace the content of a file other than a blob, such as ``index.json``, atomically and durably."""
        with self.temporary(os.path.basename(name), self.folder_of_temporary(name)) as temporary:
            write_all(temporary.handle, data, self.directory.path(temporary.name))
            self.publish(temporary, name, True)

    @contextlib.contextmanager
    def locked(
        self, name: str, timeout: float, *, may_be_foreign: bool = False
    ) -> Iterator[tuple[BinaryIO, DirectoryHandles]]:
        """Hold the lock on a file of the store, which is created (empty, with its folders) when it is missing.

        The lock belongs to the file, not to its name, so the name is checked again once the lock is held. Waits while
        the file grows, and at most ``timeout`` seconds while it does not. For ``may_be_foreign`` see
        :func:`~._files.lockable.open_to_lock`.

        :return: the file, open for writing unless another user owns it, and the open directory.
        :raises StorageError: after ``timeout``, or when a file operation fails.
        """
        while True:
            with self._open_to_lock(name, may_be_foreign) as (handle, handles):
                try:
                    wait_for_lock(handle, self.directory.path(name), timeout)
                    if is_at(handle, handles, name):
                        yield handle, handles
                        return
                finally:
                    # a forked child may share the open file, and would keep the lock if it were only closed
                    with contextlib.suppress(OSError):
                        fcntl.flock(handle, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _open_to_lock(self, name: str, may_be_foreign: bool) -> Iterator[tuple[BinaryIO, DirectoryHandles]]:
        def open_it(handles: DirectoryHandles) -> BinaryIO:
            handle, is_new = open_to_lock(handles, name, may_be_foreign=may_be_foreign, mode=self.file_mode)
            if is_new:
                self.set_mode(handle, handles)
            return handle

        with contextlib.ExitStack() as stack:
            yield self._enter_folder(stack, os.path.dirname(name), name, open_it)

    @contextlib.contextmanager
    def taking_turns(self, name: str, timeout: float) -> Iterator[None]:
        """Hold a lock named ``name``, for which other threads and processes wait ``timeout`` seconds at most. The lock
        file is created and removed again. Where the file system has no locks, nobody waits.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(StorageError):
                handle, handles = stack.enter_context(self.locked(name, timeout))
                # a process that waits for the lock notices that the name is gone, and creates a new file
                stack.callback(unlink_same, handle, handles, name)
            yield

    def sweep(self, *, keep: str = "", folder: str = INGEST) -> None:
        """Remove the leftovers of killed processes, once per folder: see :func:`.leftovers.remove_leftovers`.

        Files in use are locked and stay, whatever their age; so does ``keep``, a partial download that is about to be
        resumed.
        """
        if folder in self._swept:
            return
        self._swept.add(folder)
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            remove_leftovers(handles, folder, keep=os.path.basename(keep))

    @contextlib.contextmanager
    def temporary(self, base: str, folder: str = INGEST) -> Iterator[Temporary]:
        """Create a temporary file, whose name begins with ``base``; it is removed after a failure."""
        self.sweep(folder=folder)
        try:
            with contextlib.ExitStack() as stack:
                temporary = self._enter_temporary(stack, base, folder)
                try:
                    yield temporary
                except BaseException:
                    unlink_same(temporary.handle, temporary.handles, temporary.name)
                    raise
        finally:
            self.tidy()

    def folder_of_temporary(self, _name: str) -> str:
        """The folder of the temporary file for a file that is to be replaced."""
        return INGEST

    def _enter_temporary(self, stack: contextlib.ExitStack, base: str, folder: str) -> Temporary:
        """Create a temporary file, which is open until ``stack`` is closed."""
        while True:
            name = f"{base}-{secrets.token_hex(8)}{TEMPORARY}"
            name = f"{folder}/{name}" if folder else name

            def open_it(handles: DirectoryHandles, name: str = name) -> BinaryIO:
                parent, base = handles.locate(name)
                return os.fdopen(os.open(base, _CREATE, self.file_mode, dir_fd=parent), "r+b", buffering=0)

            with contextlib.ExitStack() as attempt:
                handle, handles = self._enter_folder(attempt, folder, name, open_it)
                if _is_marked(handle) and is_at(handle, handles, name):
                    stack.push(attempt.pop_all())
                    return Temporary(handle, name, handles)
            # a concurrent cleanup removed this temporary file before it was locked

    def _enter_folder(
        self, stack: contextlib.ExitStack, folder: str, name: str, action: Callable[[DirectoryHandles], BinaryIO]
    ) -> tuple[BinaryIO, DirectoryHandles]:
        """Create a folder of the store, and return the file that ``action`` opens in it, and the open directory of the
        store; both are open until ``stack`` is closed."""
        attempts_left = _ATTEMPTS
        while True:
            attempts_left -= 1
            with contextlib.ExitStack() as attempt:
                try:
                    handles = attempt.enter_context(self.directory.changing(make=True, mode=self.root_mode))
                    self.make_folder(handles, folder)
                    handle = attempt.enter_context(action(handles))
                    stack.push(attempt.pop_all())
                    return handle, handles
                except OSError as exc:
                    # another writer that has finished may remove the empty folder in between
                    is_race = isinstance(exc, (FileNotFoundError, FileExistsError))
                    if not is_race or not attempts_left:
                        raise self.directory.refusal("create", name, exc) from exc

    def publish(self, temporary: Temporary, name: str, durable: bool) -> None:
        handles = temporary.handles
        try:
            self.set_mode(temporary.handle, handles)
            if durable:
                os.fsync(temporary.handle.fileno())
        except OSError as exc:
            raise storage_error("write", self.directory.path(name), exc) from exc
        folder = os.path.dirname(name)
        for attempt in range(_ATTEMPTS):
            try:
                target = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.make_folder(handles, folder))
                try:
                    parent, base = handles.locate(temporary.name)
                    os.replace(base, encoded(os.path.basename(name)), src_dir_fd=parent, dst_dir_fd=target)
                finally:
                    os.close(target)
                return
            except OSError as exc:
                # a concurrent prune may have removed the folder between the two calls
                if not isinstance(exc, FileNotFoundError) or attempt == _ATTEMPTS - 1:
                    raise self.directory.refusal("write", name, exc) from exc
                if folder:
                    handles.forget(folder.partition("/")[0])

    def make_folder(self, handles: DirectoryHandles, name: str) -> int:
        """Create a folder of the store with its parents, and return its descriptor; modes follow the umask.

        :raises OSError: when it cannot be created or opened.
        """
        try:
            return handles.get(name)
        except FileNotFoundError:
            pass
        above, _slash, base = name.rpartition("/")
        parent = self.make_folder(handles, above)
        try:
            os.mkdir(encoded(base), self.folder_mode(name), dir_fd=parent)
        except FileExistsError:
            return handles.get(name)
        self.made_folder(handles, name)
        return handles.get(name)

    # -- permissions, which a shared cache overrides

    def folder_mode(self, _name: str) -> int:
        """The mode of a created folder, before the umask."""
        return 0o777

    def made_folder(self, handles: DirectoryHandles, name: str) -> None:
        """Hook for a folder that was just created."""

    def set_mode(self, handle: BinaryIO, handles: DirectoryHandles) -> None:
        """Set the mode of a file that is new, or about to be renamed; here it follows the umask."""

    def tidy(self) -> None:
        """Remove the folder of temporary files, when it is empty."""
        # this fails while other processes have files there, as intended
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            parent, base = handles.locate(INGEST)
            os.rmdir(base, dir_fd=parent)


def _is_marked(handle: BinaryIO) -> bool:
    """Lock a file as one in use; False when another process has locked it already."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # on a file system without locks, the age of the file decides
    return True


def unlink(handles: DirectoryHandles, name: str) -> None:
    with contextlib.suppress(OSError):
        parent, base = handles.locate(name)
        os.unlink(base, dir_fd=parent)


def unlink_same(handle: BinaryIO, handles: DirectoryHandles, name: str) -> None:
    if is_at(handle, handles, name):
        unlink(handles, name)
