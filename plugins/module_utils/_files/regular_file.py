# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they are opened for reading, and the error for what the system refuses."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from .._errors import StorageError

_HINTS = {
    errno.ENOSPC: "Free space on that file system or choose a place on another one.",
    errno.EDQUOT: "The quota is used up: free space or choose another place.",
    errno.EFBIG: "A limit on the size of files (ulimit -f, or the file system's own) is lower than what is needed.",
    errno.EACCES: "Run as a user who has access (become), or choose another place.",
    errno.EPERM: "Run as a user who has access (become), or choose another place.",
    errno.EROFS: "The file system is mounted read-only: choose another place.",
}


def storage_error(action: str, path: str, exc: OSError) -> StorageError:
    """The error for a file system operation that failed; ``action`` follows "Cannot" in the message."""
    reason = exc.strerror or type(exc).__name__
    return StorageError(f"Cannot {action} {path}: {reason}.", _HINTS.get(exc.errno or 0, ""))


def open_regular(path: str) -> BinaryIO:
    """Open a file for reading; links are followed, anything but a regular file counts as absent.

    :raises OSError: when it cannot be opened.
    """
    # a FIFO in a layout from elsewhere would otherwise block for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", path)
    return os.fdopen(descriptor, "rb")
