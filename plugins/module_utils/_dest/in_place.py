# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New content for a file that cannot be replaced, because it is a mount point: written into the file that is there.

Somebody who reads the file meanwhile sees a part of each content, and so does everybody after a crash, until the next
run. This is what ``unsafe_writes`` of Ansible's own modules permits.
"""

from __future__ import annotations

import errno
import os
import stat

from .._files.bounded import pieces

_UPDATE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_for_update(name: bytes, parent: int) -> int:
    """A descriptor of the regular file of that name in an open directory, for reading and writing.

    :raises OSError: when it cannot be opened, or is something else (EBUSY).
    """
    descriptor = os.open(name, _UPDATE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
    return descriptor


def copy_aside(descriptor: int, name: bytes, directory: int) -> None:
    """Copy the content of a file that was just opened to a new file ``name`` of an open directory.

    :raises OSError: when it cannot be read, or the copy cannot be written.
    """
    copy = os.open(name, _CREATE, 0o600, dir_fd=directory)
    try:
        _overwrite(copy, descriptor)
    finally:
        os.close(copy)


def copy_into(descriptor: int, name: bytes, directory: int) -> None:
    """Replace the content of an open file by that of the file ``name`` of an open directory.

    :raises OSError: when that cannot be read, or the file cannot be written; it then holds a part of each.
    """
    source = os.open(name, _READ, dir_fd=directory)
    try:
        _overwrite(descriptor, source)
    finally:
        os.close(source)


def _overwrite(target: int, source: int) -> None:
    """Replace the content of ``target`` by what ``source`` holds from its position on."""
    os.lseek(target, 0, os.SEEK_SET)
    size = 0
    with os.fdopen(os.dup(source), "rb", buffering=0) as stream:
        for chunk in pieces(stream):
            size += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
    os.ftruncate(target, size)
