# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to files and directories that are open, or named relative to the descriptor of their directory."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from .directory_handles import DIRECTORY, O_PATH, READ, names_in


def open_entry_at(name: bytes, parent: int) -> int:
    """A descriptor of a file or directory whose mode or owner is to be set; ``name`` must not be a link.

    :raises OSError: when it cannot be opened.
    """
    try:
        return os.open(name, READ, dir_fd=parent)
    except PermissionError:
        # its owner may set the mode of a file that nobody may read
        return os.open(name, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def set_owner(descriptor: int, uid: int, gid: int) -> None:
    """Set the owner and group of an open file or directory; -1 leaves one as it is.

    :raises OSError: as the file system says.
    """
    try:
        os.fchown(descriptor, uid, gid)
    except OSError as exc:
        if exc.errno != errno.EBADF:
            raise
        os.chown(_magic_link(descriptor), uid, gid)


def set_mode(descriptor: int, mode: int) -> None:
    """Set the permission bits of an open file or directory.

    :raises OSError: as the file system says.
    """
    try:
        os.fchmod(descriptor, mode)
    except OSError as exc:
        if exc.errno != errno.EBADF:
            raise
        os.chmod(_magic_link(descriptor), mode)


def _magic_link(descriptor: int) -> str:
    """Return a path of the open file: fchmod and fchown refuse a descriptor of O_PATH (open(2), proc_pid_fd(5))."""
    return f"/proc/self/fd/{descriptor}"


def remove_tree_at(name: bytes, parent: int) -> None:
    """Remove an entry of a directory with all below it, as far as the file system lets it; links are not followed.

    Own directories that may not be read are made readable first. Recursive: for trees of which nothing is deeper
    than an artifact may be (:data:`~._files.names.MAX_DEPTH`).
    """
    with contextlib.suppress(OSError):
        status = os.lstat(name, dir_fd=parent)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        directory = os.open(name, O_PATH | DIRECTORY, dir_fd=parent)
        try:
            if stat.S_IMODE(status.st_mode) & 0o700 != 0o700:
                set_mode(directory, 0o700)
            for below in names_in(directory):
                remove_tree_at(below, directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=parent)
