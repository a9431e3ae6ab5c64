# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in places that nobody but root and the user of this task decides about: neither a directory above the file, nor
a link on the way. Where the content decides something, nobody else can change the file itself either."""

from __future__ import annotations

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
    """Follow a path to the place of a file; the caller closes its ``folder``. The file itself may be somebody else's.

    :param path: absolute.
    :raises StorageError: when somebody else could have another file stand there, or there are too many links.
    :raises OSError: when a directory is missing.
    """
    place = path
    for _link in range(MAX_LINKS):
        above, name = os.path.split(place)
        folder = open_trusted(above)
        try:
            status = os.lstat(name, dir_fd=folder)
            # where others may make entries, they may replace their own
            if os.fstat(folder).st_mode & OTHERS_WRITE and not is_trusted(status.st_uid):
                raise entry_error(path, place, status)
            if not stat.S_ISLNK(status.st_mode):
                return Place(os.dup(folder), name, place, status)
            place = os.path.join(above, os.readlink(name, dir_fd=folder))
        except FileNotFoundError:
            return Place(os.dup(folder), name, place, None)
        finally:
            os.close(folder)
    raise StorageError(f"Cannot use {shown(path)}: it leads through more than {MAX_LINKS} links.")


def open_placed_file(path: str) -> int:
    """A descriptor, for reading, of the regular file at ``path``, when nobody less trusted decides which file that is.

    :param path: absolute.
    :raises StorageError: when somebody does, with whose it is.
    :raises OSError: when it is missing, or cannot be opened.
    """
    place = find_place(path)
    try:
        return open_file_at(os.fsencode(place.name), place.folder)
    finally:
        os.close(place.folder)


def open_trusted_file(path: str, power: str) -> int:
    """As :func:`open_placed_file`, of a file that nobody less trusted can change either.

    :param power: what the content of the file decides, for messages.
    :raises StorageError: when somebody else can change it, with who that is.
    """
    descriptor = open_placed_file(path)
    status = os.fstat(descriptor)
    writers = other_writers(descriptor, status) if status.st_mode & OTHERS_WRITE else ""
    if writers or not is_trusted(status.st_uid):
        os.close(descriptor)
        owner = user_name(status.st_uid)
        finding = f"may be written to by {writers}" if writers else f"belongs to {owner}"
        cure = "chmod go-w" if writers else f"Run the task as {owner} (become_user), or chown {user_name(os.geteuid())}"
        raise StorageError(f"It {finding}, who would decide {power}.", f"{cure} {shown(path)}")
    return descriptor
