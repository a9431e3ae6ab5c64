# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a layout or cache, written so that readers see a whole file or none.

A file gets its name by a rename. What is under way lies in the folder ``.ingest`` of the same directory, since a rename
must not leave the file system, and is locked: a file there that nobody has locked is a leftover of a killed process.
The folder is gone when nothing is under way.
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
    """A new file, open for writing, and the open directory of the store in which it has its name."""

    handle: BinaryIO
    name: str
    handles: DirectoryHandles


class StoreFiles:
    """The files of the directory ``root``, which is made by the first write; names are relative to it.

    For ``is_layout`` see :class:`~._layout.directory.StoreDirectory`. Methods raise StorageError when the file system
    refuses, or when somebody else decides which directory it is.
    """

    # of the directory when it is made, before the umask
    root_mode = 0o777
    file_mode = 0o666

    def __init__(self, root: str, *, is_layout: bool = False) -> None:
        self.root = os.path.abspath(root)
        self.directory = StoreDirectory(self.root, is_layout=is_layout)
        self._swept: set[str] = set()

    def replace_file(self, name: str, data: bytes) -> None:
        """Give a file beside the blobs, such as ``index.json``, a new content in one step, durably."""
        with self.temporary(os.path.basename(name), self.folder_of_temporary(name)) as temporary:
            write_all(temporary.handle, data, self.directory.path(temporary.name))
            self.publish(temporary, name, True)

    @contextlib.contextmanager
    def locked(
        self, name: str, timeout: float, *, may_be_foreign: bool = False
    ) -> Iterator[tuple[BinaryIO, DirectoryHandles]]:
        """Hold the lock on a file of the store, which is made (empty, with its folders) when it is missing.

        The lock belongs to the file, not to its name: the name is looked at again once the lock is held. Waits as long
        as the file grows, and at most ``timeout`` seconds while it does not. For ``may_be_foreign`` see
        :func:`~._files.lockable.open_to_lock`.

        :return: the file, open for writing unless it is foreign, and the open directory.
        :raises StorageError: when the time is up, or the file system refuses.
        """
        while True:
            with self._open_to_lock(name, may_be_foreign) as (handle, handles):
                try:
                    wait_for_lock(handle, self.directory.path(name), timeout)
                    if is_at(handle, handles, name):
                        yield handle, handles
                        return
                finally:
                    # a forked child may share the open file: closing alone would leave the lock with it
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
    def taking_turns(self, name: str, patience: float) -> Iterator[None]:
        """Let others who come here with the same name wait, ``patience`` seconds at most; they find out then what was
        done meanwhile. The file is made for it, and removed again. Where the file system refuses, nobody waits.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(StorageError):
                handle, handles = stack.enter_context(self.locked(name, patience))
                # whoever waits for the lock finds that the name is gone, and makes a new file
                stack.callback(_unlink_same, handle, handles, name)
            yield

    def sweep(self, *, keep: str = "", folder: str = INGEST) -> None:
        """Remove what killed processes left in a folder, once for each: see :func:`.leftovers.remove_leftovers`.

        Files that a living process works on are locked and stay, whatever their age; so does ``keep``, a partial
        download that is about to be continued.
        """
        if folder in self._swept:
            return
        self._swept.add(folder)
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            remove_leftovers(handles, folder, keep=os.path.basename(keep))

    @contextlib.contextmanager
    def temporary(self, base: str, folder: str = INGEST) -> Iterator[Temporary]:
        """A new file, whose name begins with ``base``, that is gone again after a failure."""
        self.sweep(folder=folder)
        try:
            with contextlib.ExitStack() as stack:
                temporary = self._enter_temporary(stack, base, folder)
                try:
                    yield temporary
                except BaseException:
                    _unlink_same(temporary.handle, temporary.handles, temporary.name)
                    raise
        finally:
            self.tidy()

    def folder_of_temporary(self, _name: str) -> str:
        """Where a file that is to replace another one is written."""
        return INGEST

    def _enter_temporary(self, stack: contextlib.ExitStack, base: str, folder: str) -> Temporary:
        """A new file, which is open until ``stack`` is left."""
        while True:
            name = f"{folder}/{base}-{secrets.token_hex(8)}{TEMPORARY}"

            def open_it(handles: DirectoryHandles, name: str = name) -> BinaryIO:
                parent, base = handles.locate(name)
                return os.fdopen(os.open(base, _CREATE, self.file_mode, dir_fd=parent), "r+b", buffering=0)

            with contextlib.ExitStack() as attempt:
                handle, handles = self._enter_folder(attempt, folder, name, open_it)
                if _is_marked(handle) and is_at(handle, handles, name):
                    stack.push(attempt.pop_all())
                    return Temporary(handle, name, handles)
            # who looks for leftovers has taken it for one before it was locked

    def _enter_folder(
        self, stack: contextlib.ExitStack, folder: str, name: str, action: Callable[[DirectoryHandles], BinaryIO]
    ) -> tuple[BinaryIO, DirectoryHandles]:
        """The file that ``action`` opens in a folder of the store, which is made, and the directory of the store; both
        are open until ``stack`` is left."""
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
                    # another writer, done with its work, may remove the empty folder in the middle
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
                # who empties a cache may have removed the folder between the two calls
                if not isinstance(exc, FileNotFoundError) or attempt == _ATTEMPTS - 1:
                    raise self.directory.refusal("write", name, exc) from exc
                if folder:
                    handles.forget(folder.partition("/")[0])

    def make_folder(self, handles: DirectoryHandles, name: str) -> int:
        """The descriptor of a folder of the store, made with those above it; modes follow the umask.

        :raises OSError: when it cannot be made or opened.
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

    # -- rights, which a cache that is shared decides otherwise

    def folder_mode(self, _name: str) -> int:
        """The mode of a folder that is made, before the umask."""
        return 0o777

    def made_folder(self, handles: DirectoryHandles, name: str) -> None:
        """Called for a folder that was made just now."""

    def set_mode(self, handle: BinaryIO, handles: DirectoryHandles) -> None:
        """Set the mode of a file that is new, or about to get its name; here it follows the umask."""

    def tidy(self) -> None:
        """Remove the folder of what is under way, when nothing is."""
        # fails while others have files there, as it should
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            parent, base = handles.locate(INGEST)
            os.rmdir(base, dir_fd=parent)


def _is_marked(handle: BinaryIO) -> bool:
    """Mark a file as one that is worked on; False when another process has it already."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # where locks are not to be had, its age must do
    return True


def unlink(handles: DirectoryHandles, name: str) -> None:
    with contextlib.suppress(OSError):
        parent, base = handles.locate(name)
        os.unlink(base, dir_fd=parent)


def _unlink_same(handle: BinaryIO, handles: DirectoryHandles, name: str) -> None:
    if is_at(handle, handles, name):
        unlink(handles, name)
