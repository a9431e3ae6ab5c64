# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of the leftovers of killed processes in a layout or cache.

A process locks the files that it writes (``flock``), and the kernel releases the lock when the process dies. So an
unlocked temporary file is a leftover, whatever its age; partial downloads are kept for the next run, within limits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import BinaryIO

from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.lockable import is_at

TEMPORARY = ".tmp"
PARTIAL = ".partial"

# Seconds after which a temporary file is removed on a file system without locks.
TEMPORARY_AGE = 3600.0
# Limits of the partial downloads that are kept: seconds, files and bytes; the newest one is kept whatever its size. A
# task downloads 16 blobs at the same time.
PARTIAL_AGE = 7 * 24 * 3600.0
MAX_PARTIALS = 16
MAX_PARTIAL_BYTES = 4 << 30


def remove_leftovers(
    handles: DirectoryHandles,
    folder: str,
    *,
    partial_age: float = PARTIAL_AGE,
    keep: str = "",
    only_look: bool = False,
) -> int:
    """Remove the leftovers of killed processes in a folder; return the number of files.

    They only take space, so it is not an error when one cannot be removed.

    :param partial_age: seconds after which a partial download is removed.
    :param keep: the name of a partial download that is about to be resumed.
    :param only_look: count the files without removing them.
    """
    count, partials = 0, []
    for name in _names(handles, folder):
        path = f"{folder}/{name}"
        if name.endswith(TEMPORARY):
            count += remove_abandoned(handles, path, only_look, TEMPORARY_AGE)
        elif name.endswith(PARTIAL) and name != keep:
            with contextlib.suppress(OSError):
                status = handles.lstat(path)
                partials.append((status.st_mtime, status.st_size, path))
    now, total = time.time(), 0
    for number, (modified, size, path) in enumerate(sorted(partials, reverse=True)):
        total += size
        is_too_much = number >= MAX_PARTIALS or (number > 0 and total > MAX_PARTIAL_BYTES)
        if is_too_much or now - modified >= partial_age:
            count += remove_abandoned(handles, path, only_look)
    return count


def remove_abandoned(handles: DirectoryHandles, path: str, only_look: bool, age_without_locks: float = 0.0) -> bool:
    """Remove a file that nobody has locked; False when it stays.

    :param age_without_locks: seconds after which that is assumed on a file system without locks.
    """
    with contextlib.suppress(OSError), _opened(handles, path) as handle:
        if not _is_free(handle, age_without_locks) or not is_at(handle, handles, path):
            return False
        if not only_look:
            parent, base = handles.locate(path)
            os.unlink(base, dir_fd=parent)
        return True
    return False


@contextlib.contextmanager
def _opened(handles: DirectoryHandles, path: str) -> Iterator[BinaryIO]:
    parent, base = handles.locate(path)
    with os.fdopen(open_file_at(base, parent), "rb") as handle:
        yield handle


def _is_free(handle: BinaryIO, age_without_locks: float) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(handle.fileno()).st_mtime >= age_without_locks


def _names(handles: DirectoryHandles, folder: str) -> list[str]:
    try:
        return [os.fsdecode(name) for name in handles.names(folder)]
    except OSError:
        return []
