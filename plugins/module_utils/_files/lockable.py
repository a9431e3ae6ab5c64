# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files to lock, in directories in which others may put what they like."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import BinaryIO

from .._errors import StorageError
from .directory_handles import DirectoryHandles, open_file_at
from .names import encoded, shown

_ATTEMPTS = 100
_BASE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_at(handle: BinaryIO, handles: DirectoryHandles, name: str) -> bool:
    """Return whether an open file still has this name in an open directory."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), handles.lstat(name))
    except OSError:
        return False


def open_to_lock(handles: DirectoryHandles, name: str, *, may_be_foreign: bool, mode: int) -> tuple[BinaryIO, bool]:
    """A file to lock and to write to, and whether it was made by this call.

    Links, second names of files elsewhere, and whatever is not a file are removed first. A file that ``may_be_foreign``
    may have other names, and is opened for reading where its owner lets nobody else write: who may replace its
    neighbours has to be able to lock it.

    :raises StorageError: when links keep being put in its place.
    :raises OSError: when the file system refuses.
    """
    parent, base = handles.locate(name)
    for _attempt in range(_ATTEMPTS):
        # without O_CREAT, which kernels refuse for files of others in directories such as /tmp (protected_regular)
        try:
            descriptor = os.open(base, os.O_RDWR | _BASE, dir_fd=parent)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(base, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BASE, mode, dir_fd=parent)
                return os.fdopen(descriptor, "r+b", buffering=0), True
            continue
        except PermissionError:
            if not may_be_foreign:
                raise
            return os.fdopen(open_file_at(base, parent), "rb", buffering=0), False
        except OSError as exc:
            # a link, or a socket
            if exc.errno not in (errno.ELOOP, errno.ENXIO):
                raise
        else:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and (may_be_foreign or status.st_nlink <= 1):
                return os.fdopen(descriptor, "r+b", buffering=0), False
            os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base, dir_fd=parent)
    raise StorageError(f"Cannot create {shown(os.fsdecode(encoded(name)))}: links keep being put in its place.")
