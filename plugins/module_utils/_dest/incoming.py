# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were sent to a host for ``dest``: a directory beside its record, on the file system of ``dest``.

They stay there until they were placed, so that a transfer that broke off is continued by the next run. Only the user of
the task can write to it; what the files hold is checked by those who read it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator

from .._errors import StorageError
from .._files.descriptors import remove_tree_at
from .._files.names import shown
from .._files.regular_file import storage_error
from .destination import OPEN_DIRECTORY, Destination
from .workplace import locked

NAME = b"incoming"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_COPIED = 1024 * 1024


class Incoming:
    """The files that were sent for a destination; every method raises StorageError when a file operation fails."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self.path = os.path.join(destination.control, os.fsdecode(NAME))

    def make(self, wanted: Collection[str]) -> None:
        """Create the directory, with ``dest`` if need be, and remove all files from it but those that are wanted."""
        with locked(self._destination), self._explained(), self._destination.opened() as held:
            with contextlib.suppress(FileExistsError):
                os.mkdir(NAME, 0o700, dir_fd=held.control)
            folder = os.open(NAME, OPEN_DIRECTORY, dir_fd=held.control)
            try:
                for name in os.listdir(folder):
                    if name not in wanted:
                        remove_tree_at(os.fsencode(name), folder)
            finally:
                os.close(folder)

    def sizes(self) -> dict[str, int]:
        """The sizes of the files by name; empty without the directory."""
        found = {}
        with self._explained(), self._opened() as folder:
            if folder >= 0:
                for name in os.listdir(folder):
                    status = os.lstat(name, dir_fd=folder)
                    if stat.S_ISREG(status.st_mode):
                        found[name] = status.st_size
        return found

    def open(self, name: str) -> int:
        """A descriptor of a file, to be read and closed."""
        with self._explained(), self._opened() as folder:
            return os.open(name, _READ, dir_fd=folder if folder >= 0 else None)

    def take(self, path: str, name: str, size: int) -> None:
        """Copy a file of ``size`` bytes from another directory, and remove it there.

        The user that sent it may be another one, who is not trusted to have left it alone: no link is followed, and not
        more than ``size`` bytes are read.
        """
        try:
            source = os.open(path, _READ)
        except OSError as exc:
            raise storage_error("read what was sent to", shown(path), exc) from None
        with os.fdopen(source, "rb") as stream, self._explained(), self._opened() as folder:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                raise StorageError(
                    f"What was sent to {shown(path)} is not a file of {size} bytes.",
                    "Look for a disk that is full, and run the task again.",
                )
            with os.fdopen(os.open(name, _WRITE, 0o600, dir_fd=folder), "wb") as target:
                shutil.copyfileobj(stream, target, _COPIED)
        # it may be in a directory that only its owner can write to, who removes it then
        with contextlib.suppress(OSError):
            os.unlink(path)

    def clear(self) -> None:
        """Remove the directory."""
        with contextlib.suppress(OSError), self._destination.opened() as held:
            if held.control >= 0:
                remove_tree_at(NAME, held.control)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        with self._destination.opened() as held:
            folder = -1
            if held.control >= 0:
                with contextlib.suppress(FileNotFoundError):
                    folder = os.open(NAME, OPEN_DIRECTORY, dir_fd=held.control)
            try:
                yield folder
            finally:
                if folder >= 0:
                    os.close(folder)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise storage_error("use", shown(self.path), exc) from None
