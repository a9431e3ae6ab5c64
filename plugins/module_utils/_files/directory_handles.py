# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a tree, reached through descriptors of directories and never through a symbolic link.

What a name stands for can change between two system calls when somebody else may write to a directory above it. A
descriptor stands for one directory or file, whatever its names are.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Union

from .names import encoded

_MAX_HANDLES = 64
DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a descriptor that stands for a file without being allowed to read it; Linux has it
O_PATH: int = getattr(os, "O_PATH", os.O_RDONLY)
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

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
            return cls(os.open(".", os.O_RDONLY | DIRECTORY, dir_fd=directory))
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
            handle = os.open(encoded(name), os.O_RDONLY | DIRECTORY, dir_fd=handle)
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
        """Return the status of an entry; of a link itself, not of its target."""
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
        return names_in(self.get(path))

    def forget(self, path: str) -> None:
        """Close the handles of a directory that is about to be removed, and of all directories below it."""
        below = path + "/"
        for known in [known for known in self._handles if known == path or known.startswith(below)]:
            os.close(self._handles.pop(known))

    def close(self) -> None:
        """Close all descriptors; the object cannot be used afterwards. May be called twice."""
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
    descriptor = os.open(name, READ, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", name)
    return descriptor


def names_in(directory: int) -> list[bytes]:
    """The names of all entries of an open directory.

    :raises OSError: as the file system says.
    """
    # a descriptor of its own: what was opened for its entries' names cannot be listed, and a listing has a position
    descriptor = os.open(".", os.O_RDONLY | DIRECTORY, dir_fd=directory)
    try:
        return [os.fsencode(name) for name in os.listdir(descriptor)]
    finally:
        os.close(descriptor)
