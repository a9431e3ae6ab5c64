# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a tree, reached through descriptors of directories and never through a symbolic link.

What a name stands for can change between two system calls when somebody else may write to a directory above it. A
descriptor stands for one directory or file, whatever its names are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Union

from .names import encoded

_MAX_HANDLES = 64
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a descriptor that stands for a file without being allowed to read it; Linux has it
O_PATH: int = getattr(os, "O_PATH", os.O_RDONLY)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# a path, or the descriptor of an open directory
AnyDirectory = Union[str, int]


class DirectoryHandles:
    """File descriptors of directories below one root, each opened from its parent and never through a symbolic link.

    At most 64 are kept, the least recently used ones are closed. A descriptor is therefore only valid until the next
    call of a method. Paths are relative to the root, which is "" itself; they are UTF-8 whatever the locale, and
    undecodable bytes travel as surrogates (PEP 383). Not for several threads at once.

    Every method raises OSError when an entry, or a directory above it, is missing or may not be used (ELOOP or ENOTDIR
    when one of those directories is a link).
    """

    def __init__(self, root: int) -> None:
        """Takes over the descriptor ``root``; -1 stands for a directory that does not exist."""
        self._root = root
        self._handles: dict[str, int] = {}

    @classmethod
    def of(cls, directory: AnyDirectory) -> DirectoryHandles:
        """The directory at a path in which nobody else can put links, or an open one, which stays open.

        :raises OSError: when it cannot be opened.
        """
        if isinstance(directory, int):
            return cls(os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=directory))
        return cls(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def get(self, path: str) -> int:
        """The descriptor of a directory."""
        if not path:
            if self._root < 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return self._root
        handle = self._handles.pop(path, None)
        if handle is not None:
            self._handles[path] = handle
            return handle
        above = path
        missing = []
        while above and above not in self._handles:
            above, _slash, name = above.rpartition("/")
            missing.append(name)
        handle = self.get(above)
        while missing:
            name = missing.pop()
            handle = os.open(encoded(name), os.O_RDONLY | _DIRECTORY, dir_fd=handle)
            above = f"{above}/{name}" if above else name
            self._handles[above] = handle
            if len(self._handles) > _MAX_HANDLES:
                os.close(self._handles.pop(next(iter(self._handles))))
        return handle

    def locate(self, path: str) -> tuple[int, bytes]:
        """The descriptor of the directory that holds an entry, and the entry's name in it."""
        directory, _slash, name = path.rpartition("/")
        return self.get(directory), encoded(name)

    def lstat(self, path: str) -> os.stat_result:
        """What is known of an entry; of a link, not of what it leads to."""
        parent, name = self.locate(path)
        return os.lstat(name, dir_fd=parent)

    def readlink(self, path: str) -> bytes:
        """The target of a symbolic link."""
        parent, name = self.locate(path)
        return os.readlink(name, dir_fd=parent)

    def open_file(self, path: str) -> int:
        """A descriptor of a regular file for reading. It never waits for a writer, as a named pipe would have it."""
        parent, name = self.locate(path)
        return open_file_at(name, parent)

    def names(self, path: str) -> list[bytes]:
        """The names of all entries of a directory."""
        return _names(self.get(path))

    def forget(self, path: str) -> None:
        """Close what is open of a directory that is about to be removed, and of all below it."""
        below = path + "/"
        for known in [known for known in self._handles if known == path or known.startswith(below)]:
            os.close(self._handles.pop(known))

    def close(self) -> None:
        """Close all descriptors; the object is of no use afterwards. May be called twice."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def open_file_at(name: bytes, parent: int) -> int:
    """A descriptor for reading of a regular file in a directory; ``name`` must not be a link.

    :raises OSError: when it cannot be opened, or is something else (ENOENT).
    """
    descriptor = os.open(name, _READ, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", name)
    return descriptor


def open_entry_at(name: bytes, parent: int) -> int:
    """A descriptor of a file or directory whose mode or owner is to be set; ``name`` must not be a link.

    :raises OSError: when it cannot be opened.
    """
    try:
        return os.open(name, _READ, dir_fd=parent)
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
    """Leads to the open file itself: fchmod and fchown refuse a descriptor of O_PATH (open(2), proc_pid_fd(5))."""
    return f"/proc/self/fd/{descriptor}"


def remove_tree_at(name: bytes, parent: int) -> None:
    """Remove an entry of a directory with all below it, as far as the file system lets it; links are not followed.

    Directories of ours that may not be read are made readable first. Recursive: for trees of which nothing is deeper
    than an artifact may be (:data:`~.names.MAX_DEPTH`).
    """
    with contextlib.suppress(OSError):
        status = os.lstat(name, dir_fd=parent)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        directory = os.open(name, O_PATH | _DIRECTORY, dir_fd=parent)
        try:
            if stat.S_IMODE(status.st_mode) & 0o700 != 0o700:
                set_mode(directory, 0o700)
            for below in _names(directory):
                remove_tree_at(below, directory)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=parent)


def _names(directory: int) -> list[bytes]:
    # a descriptor of its own: what was opened for its entries' names cannot be listed, and a listing has a position
    descriptor = os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=directory)
    try:
        return [os.fsencode(name) for name in os.listdir(descriptor)]
    finally:
        os.close(descriptor)
