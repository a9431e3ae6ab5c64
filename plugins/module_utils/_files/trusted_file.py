# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that decide something, and that nobody but root and the user of this task can change: neither the file itself,
nor a directory above it, nor a link on the way."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from .._errors import StorageError
from .directory_handles import open_file_at
from .directory_writers import entry_error, other_writers, user_name
from .names import shown
from .trusted_path import MAX_LINKS, open_trusted
from .users import OTHERS_WRITE, is_trusted


class Place(NamedTuple):
    """The place of a file after all links: the open directory, and the name in it. ``status`` is None where there is no
    file."""

    folder: int
    name: str
    path: str
    status: os.stat_result | None


def find_place(path: str) -> Place:
    """Follow a path to the place of a file; the caller closes its ``folder``.

    :param path: absolute.
    :raises StorageError: when somebody else could have another file stand there.
    :raises OSError: when a directory is missing, or there are too many links.
    """
    for _number in range(MAX_LINKS):
        above, name = os.path.split(path)
        folder = open_trusted(above)
        try:
            status = os.lstat(name, dir_fd=folder)
            if not is_trusted(status.st_uid):
                raise entry_error(path, path, status)
            if not stat.S_ISLNK(status.st_mode):
                return Place(os.dup(folder), name, path, status)
            path = os.path.join(above, os.readlink(name, dir_fd=folder))
        except FileNotFoundError:
            return Place(os.dup(folder), name, path, None)
        finally:
            os.close(folder)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def open_trusted_file(path: str, power: str) -> int:
    """A descriptor for reading of the file at ``path``.

    :param path: absolute.
    :param power: what the content of the file decides, for messages.
    :raises StorageError: when somebody else can change it, with who that is.
    :raises OSError: when it is missing, or cannot be read.
    """
    place = find_place(path)
    try:
        descriptor = open_file_at(os.fsencode(place.name), place.folder)
    finally:
        os.close(place.folder)
    status = os.fstat(descriptor)
    writers = other_writers(descriptor, status) if status.st_mode & OTHERS_WRITE else ""
    if writers or not is_trusted(status.st_uid):
        os.close(descriptor)
        finding = f"may be written to by {writers}" if writers else f"belongs to {user_name(status.st_uid)}"
        raise StorageError(f"It {finding}, who would decide {power}.", f"chmod go-w {shown(path)}")
    return descriptor
