# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that are reached only through directories of which nobody less trusted decides what they hold.

Whoever may write to a directory above a file can have its name stand for any other file, at any moment. A task often
runs as root, so that would be any file of the host. Therefore a path is walked from the root, each directory is opened
relative to the one before, links are read and walked in the same way, and the walk ends with an error where somebody
else has a say.

Trusted are root and the user that runs the task, and nobody else. A directory with the sticky bit, such as ``/tmp``,
is passed when what is used in it belongs to one of the two: others can neither rename nor remove that.
"""

from __future__ import annotations

import contextlib
import os
import stat

from .._errors import StorageError
from .directory_handles import O_PATH
from .names import shown
from .users import OTHERS_WRITE, is_trusted

# as many as Linux follows in one path
MAX_LINKS = 40
_WALK = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# of directories above the one that is wanted
_PARENT_MODE = 0o755


def open_trusted(path: str, *, make: list[str] | None = None, mode: int = 0o777, may_be_others: bool = False) -> int:
    """A descriptor of the directory at ``path``, after a walk that only root and the user of this task control.

    :param path: absolute.
    :param make: what is missing is made, and appended here in the order in which it was made; None means that nothing
        is made. Modes follow the umask, but nobody else may write to the directories above the last one.
    :param mode: of the last one, where it is made, before the umask.
    :param may_be_others: the directory itself, not those above it, may belong to somebody else or be writable by
        others. What is in it must then be reached through the descriptor alone.
    :raises StorageError: when somebody else could have another directory stand there, with whose it is.
    :raises OSError: when it is missing (ENOENT), is not a directory (ENOTDIR), or cannot be opened or made.
    """
    walk = Walk(path, make, mode, may_be_others)
    try:
        return walk.run()
    finally:
        walk.close()


class Walk:
    """One walk from the root to a directory; see :func:`open_trusted`. Subclasses permit more."""

    def __init__(self, path: str, make: list[str] | None, mode: int, may_be_others: bool) -> None:
        if not os.path.isabs(path) or os.open not in os.supports_dir_fd:
            raise StorageError(
                f"Cannot use {shown(path)}: this system has no way to open it without following links.",
                "Run the task on a system whose Python supports dir_fd, such as Linux.",
            )
        self._wanted = path
        self._make = make
        self._mode = mode
        self._may_be_others = may_be_others
        self._names = _components(path)
        self._links = 0
        self._passed = "/"
        self._directory = os.open("/", _WALK)

    def close(self) -> None:
        os.close(self._directory)

    def run(self) -> int:
        while self._names:
            self._step(self._names.pop())
        status = os.fstat(self._directory)
        if not self._may_be_others:
            self._check_directory(status)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)

    def _step(self, name: str) -> None:
        """Go on to one entry of the directory that was reached."""
        is_sticky = self._check_directory(os.fstat(self._directory))
        full = os.path.join(self._passed, name)
        status = self._look(name, full)
        if is_sticky and not is_trusted(status.st_uid):
            self._refuse_foreign(full, status)
        if stat.S_ISLNK(status.st_mode):
            self._refuse_link(full, status)
            self._links += 1
            if self._links > MAX_LINKS:
                raise StorageError(f"Cannot use {shown(self._wanted)}: it leads through more than {MAX_LINKS} links.")
            target = os.readlink(name, dir_fd=self._directory)
            self._names += _components(target)
            if target.startswith("/"):
                self._move(os.open("/", _WALK), "/")
            return
        directory = os.open(name, _WALK, dir_fd=self._directory)
        self._move(directory, full)
        if is_sticky and not is_trusted(os.fstat(directory).st_uid):
            self._refuse_foreign(full, os.fstat(directory))

    def _look(self, name: str, full: str) -> os.stat_result:
        try:
            return os.lstat(name, dir_fd=self._directory)
        except FileNotFoundError:
            if self._make is None:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _PARENT_MODE if self._names else self._mode, dir_fd=self._directory)
            self._make.append(full)
        return os.lstat(name, dir_fd=self._directory)

    def _move(self, directory: int, path: str) -> None:
        os.close(self._directory)
        self._directory, self._passed = directory, path

    def _check_directory(self, status: os.stat_result) -> bool:
        """Return whether others may make, but not replace, entries in the directory that was reached.

        :raises StorageError: when somebody else may replace them.
        """
        if not is_trusted(status.st_uid):
            self._refuse(status)
        if not status.st_mode & OTHERS_WRITE:
            return False
        if status.st_mode & stat.S_ISVTX:
            return True
        from .directory_writers import other_writers

        writers = other_writers(self._directory, status)
        if writers:
            self._refuse(status, writers)
        return False

    def _refuse(self, status: os.stat_result, writers: str = "") -> None:
        from .directory_writers import directory_error

        raise directory_error(self._wanted, self._passed, status, writers)

    def _refuse_foreign(self, full: str, status: os.stat_result) -> None:
        from .directory_writers import entry_error

        raise entry_error(self._wanted, full, status)

    def _refuse_link(self, full: str, status: os.stat_result) -> None:
        """Called before a link is followed."""


def _components(path: str) -> list[str]:
    """The names on the way, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
