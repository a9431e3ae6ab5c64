# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that several processes share: locks on them, and the error for what the system refuses.

Locks are ``flock`` locks: the kernel gives them up when their process dies, and no lock file has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import BinaryIO

from .errors import StorageError
from .regular_file import storage_error

_CREATE_ATTEMPTS = 100


@contextlib.contextmanager
def locked_file(
    path: str, timeout: float, *, may_be_foreign: bool = False, follows_links: bool = True
) -> Iterator[BinaryIO]:
    """Hold the lock on a file, which is created (empty, with its folders) when it is missing.

    The lock belongs to the file, not to its name: the name is looked at again once the lock is held. Waits as long as
    the file grows, and at most ``timeout`` seconds while it does not. A file that ``may_be_foreign`` is opened for
    reading when its owner lets nobody else write: who may replace its neighbours has to be able to lock it. Without
    ``follows_links`` a symbolic link, a second name of a file elsewhere or a fifo, as somebody else with access to the
    folder could put it there, is removed and replaced by a file.

    :raises StorageError: when the time is up, or the file system refuses.
    """
    while True:
        handle = _open_to_lock(path, may_be_foreign) if follows_links else _open_own(path)
        try:
            wait_for_lock(handle, path, timeout)
            if is_at(handle, path):
                yield handle
                return
        finally:
            # a forked child may share the open file: closing alone would leave the lock with it
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
            handle.close()


@contextlib.contextmanager
def locked_at(directory: int, name: str, path: str, timeout: float) -> Iterator[None]:
    """Hold the lock on a file of an open directory in which nobody else may write; it is created when it is missing.

    Otherwise as :func:`locked_file`; ``path`` is what messages call it.

    :raises FileNotFoundError: when the directory is not there any more.
    :raises StorageError: when the time is up, or the file system refuses.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            handle = os.fdopen(os.open(name, flags, 0o600, dir_fd=directory), "r+b", buffering=0)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise storage_error("create", path, exc) from exc
        try:
            wait_for_lock(handle, path, timeout)
            if _is_named(handle, name, directory):
                yield
                return
        finally:
            # a forked child may share the open file: closing alone would leave the lock with it
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
            handle.close()


def _is_named(handle: BinaryIO, name: str, directory: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.lstat(name, dir_fd=directory))
    except OSError:
        return False


@contextlib.contextmanager
def taking_turns(path: str, patience: float) -> Iterator[None]:
    """Let others who come here with the same ``path`` wait, ``patience`` seconds at most; they find out then what was
    done meanwhile. The file is made for it, and removed again. Where the file system refuses, nobody waits.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(StorageError):
            handle = stack.enter_context(locked_file(path, patience, follows_links=False))
            stack.callback(_remove_locked, handle, path)
        yield


def _remove_locked(handle: BinaryIO, path: str) -> None:
    # whoever waits for the lock finds that the name is gone, and makes a new file
    if is_at(handle, path):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _open_to_lock(path: str, may_be_foreign: bool) -> BinaryIO:
    try:
        return os.fdopen(open_creating(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)
    except StorageError:
        if may_be_foreign:
            with contextlib.suppress(OSError):
                return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
        raise


def _open_own(path: str) -> BinaryIO:
    for _attempt in range(_CREATE_ATTEMPTS):
        if os.path.islink(path):
            remove(path)
        handle = os.fdopen(open_creating(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW), "r+b", buffering=0)
        status = os.fstat(handle.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
            return handle
        handle.close()
        remove(path)
    raise StorageError(f"Cannot create {path}: links keep being put in its place.")


def wait_for_lock(handle: BinaryIO, path: str, timeout: float) -> None:
    pause, size, deadline = 0.005, -1, 0.0
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        except OSError as exc:
            raise storage_error("lock", path, exc) from exc
        now, current = time.monotonic(), os.fstat(handle.fileno()).st_size
        if current != size:
            size, deadline = current, now + timeout
        if now >= deadline:
            raise StorageError(
                f"Waited {timeout:g} seconds for the lock on {path}, which another process holds.",
                "Let that process finish or end it; the lock goes with it.",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def open_creating(path: str, flags: int) -> int:
    folder = os.path.dirname(path)
    for attempt in range(_CREATE_ATTEMPTS):
        try:
            os.makedirs(folder, exist_ok=True)
            return os.open(path, flags | os.O_NONBLOCK, 0o666)
        except (FileNotFoundError, FileExistsError) as exc:
            # another writer, done with its work, may remove the empty folder between the two calls
            if attempt == _CREATE_ATTEMPTS - 1:
                raise storage_error("create", path, exc) from exc
        except OSError as exc:
            raise storage_error("create", path, exc) from exc
    raise AssertionError("unreachable")


def is_at(handle: BinaryIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.stat(path))
    except OSError:
        return False


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise storage_error("remove", path, exc) from exc


def write_all(handle: BinaryIO, data: bytes, path: str) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[handle.write(view) :]
    except OSError as exc:
        raise storage_error("write", path, exc) from exc
