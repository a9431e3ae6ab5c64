# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new directory gets from the directory that it is made in, beside its name."""

from __future__ import annotations

import errno
import os


def is_alike(one: int, other: int) -> bool:
    """Return whether two open directories are the same to their users, and to what is made in them.

    Compared are the file system, mode, owner and group, and the extended attributes, which hold access control lists
    (also the default one) and the labels of SELinux. False as well where that cannot be told.
    """
    found = _attributes(one)
    return found is not None and found == _attributes(other)


def _attributes(directory: int) -> tuple[object, ...] | None:
    if not hasattr(os, "listxattr"):
        return None
    try:
        status = os.fstat(directory)
        found = {name: os.getxattr(directory, name) for name in _names(directory)}
    except OSError:
        return None
    return status.st_dev, status.st_mode, status.st_uid, status.st_gid, found


def _names(directory: int) -> list[str]:
    try:
        return os.listxattr(directory)
    except OSError as exc:
        if exc.errno != errno.ENOTSUP:
            raise
        return []
