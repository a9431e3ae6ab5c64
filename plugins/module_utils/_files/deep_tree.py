# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of a directory that others have filled, to whatever depth."""

from __future__ import annotations

import contextlib
import os
import stat

from .directory_handles import DIRECTORY, names_in

# each pass moves up by one level what is deepest
MAX_PASSES = 10_000
_OPEN = os.O_RDONLY | DIRECTORY


def remove_deep_tree_at(name: bytes, parent: int) -> bool:
    """Remove a directory with all below it, as far as the file system lets it; return True when it is gone.

    No link is followed, and nothing that is mounted there is looked into. However deep it is, three directories are
    open at most: what lies deeper is moved up first.

    :raises OSError: when it cannot be looked at.
    """
    try:
        top = os.open(name, _OPEN, dir_fd=parent)
    except FileNotFoundError:
        return True
    try:
        mount = _mount_of(parent)
        if _mount_of(top) != mount:
            return False
        # a name that nothing has
        prefix = b".removing-%s-" % os.urandom(8).hex().encode("ascii")
        moved, before = 0, -1
        for _pass in range(MAX_PASSES):
            if moved == before:
                break
            before = moved
            for below in names_in(top):
                if not _unlinked(below, top):
                    moved = _emptied(below, top, mount, prefix, moved)
                    with contextlib.suppress(OSError):
                        os.rmdir(below, dir_fd=top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=parent)
        return True
    return False


def _unlinked(name: bytes, directory: int) -> bool:
    """Remove an entry that is no directory; return True when there is nothing more to be done about it."""
    try:
        if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
            return False
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass
    return True


def _emptied(name: bytes, top: int, mount: str, prefix: bytes, moved: int) -> int:
    """Remove the files of a directory, and move its directories up; return how many were moved up so far."""
    with contextlib.suppress(OSError):
        directory = os.open(name, _OPEN, dir_fd=top)
        try:
            if _mount_of(directory) != mount:
                return moved
            if stat.S_IMODE(os.fstat(directory).st_mode) & 0o700 != 0o700:
                with contextlib.suppress(OSError):
                    os.fchmod(directory, 0o700)
            for below in names_in(directory):
                if _unlinked(below, directory):
                    continue
                with contextlib.suppress(OSError):
                    os.rmdir(below, dir_fd=directory)
                    continue
                with contextlib.suppress(OSError):
                    os.rename(below, prefix + str(moved).encode("ascii"), src_dir_fd=directory, dst_dir_fd=top)
                    moved += 1
        finally:
            os.close(directory)
    return moved


def _mount_of(directory: int) -> str:
    """What tells one mount from another: a directory that is mounted elsewhere has the same file system there."""
    try:
        with open(f"/proc/self/fdinfo/{directory}", encoding="ascii") as stream:
            return next(line for line in stream if line.startswith("mnt_id:"))
    except (OSError, StopIteration):
        return str(os.fstat(directory).st_dev)
