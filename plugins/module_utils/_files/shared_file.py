# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that several processes share: locks on them, and the error for what the system refuses.

Locks are ``flock`` locks: the kernel gives them up when their process dies, and no lock file has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import BinaryIO

from .._errors import LockTimeout
from .regular_file import storage_error

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def locked_file(path: str, timeout: float) -> Iterator[BinaryIO]:
    """Hold the lock on a file of a directory of this user's own, which is created (empty) when it is missing.

    The lock belongs to the file, not to its name: the name is looked at again once the lock is held. Waits as long as
    the file grows, and at most ``timeout`` seconds while it does not. No link is followed.

    :raises StorageError: when the time is up, or the file system refuses.
    """
    while True:
        try:
            handle = os.fdopen(os.open(path, _OPEN, 0o600), "r+b", buffering=0)
        except OSError as exc:
            raise storage_error("create", path, exc) from exc
        try:
            wait_for_lock(handle, path, timeout)
            if _is_named(handle, path):
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
    while True:
        try:
            handle = os.fdopen(os.open(name, _OPEN, 0o600, dir_fd=directory), "r+b", buffering=0)
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


def _is_named(handle: BinaryIO, name: str, directory: int | None = None) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.lstat(name, dir_fd=directory))
    except OSError:
        return False


def wait_for_lock(handle: BinaryIO, path: str, timeout: float) -> None:
    """Lock an open file; see :func:`locked_file`."""
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
            raise LockTimeout(
                f"Waited {timeout:g} seconds for the lock on {path}, which another process holds.",
                "Let that process finish or end it; the lock goes with it.",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def write_all(handle: BinaryIO, data: bytes, path: str) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[handle.write(view) :]
    except OSError as exc:
        raise storage_error("write", path, exc) from exc
