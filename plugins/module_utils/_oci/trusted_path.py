# Copyright: (c) 2026, the cloudnative.artifacts authors
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

from .directory_handles import O_PATH, open_file_at
from .errors import StorageError
from .names import shown

# as many as Linux follows in one path
MAX_LINKS = 40
_WALK = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
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
    walk = _Walk(path, make, mode, may_be_others)
    try:
        return walk.run()
    finally:
        walk.close()


def open_to_read(path: str) -> int:
    """A descriptor of the directory at ``path``, which may be in other people's hands, to read what proves itself.

    Directories of others are passed, but from the first one on no link is followed: it could lead to what the user of
    this task may read and its owner may not. What is in the directory must be reached through the descriptor alone.

    :param path: absolute.
    :raises StorageError: when a link is not to be followed, with whose it is.
    :raises OSError: as :func:`open_trusted`.
    """
    walk = _ReadingWalk(path, None, 0, True)
    try:
        return walk.run()
    finally:
        walk.close()


def open_home(path: str, *, make: list[str] | None = None) -> int:
    """As :func:`open_trusted`, of a directory that may be, or lie, in the home of one other user, as when root writes a
    file for that user. From there on no link is followed, and nobody else's directory is passed.

    :param make: as for :func:`open_trusted`; the last directory gets mode 0700.
    :raises StorageError: when a third user has a say, or a link is not to be followed.
    :raises OSError: as :func:`open_trusted`.
    """
    walk = _HomeWalk(path, make, 0o700, False)
    try:
        return walk.run()
    finally:
        walk.close()


def open_trusted_file(path: str) -> int:
    """A descriptor, for reading, of the regular file at ``path``, with links followed, when nobody less trusted decides
    which file that is.

    :param path: absolute.
    :raises StorageError: when somebody does, with whose it is.
    :raises OSError: when it is missing or something else (ENOENT), or cannot be opened.
    """
    place = path
    for _link in range(MAX_LINKS):
        folder, name = os.path.split(place)
        directory = open_trusted(folder)
        try:
            status = os.lstat(name, dir_fd=directory)
            if os.fstat(directory).st_mode & _OTHERS_WRITE and not is_trusted(status.st_uid):
                raise foreign_error(path, place, status.st_uid)
            if not stat.S_ISLNK(status.st_mode):
                return open_file_at(os.fsencode(name), directory)
            place = os.path.join(folder, os.readlink(name, dir_fd=directory))
        finally:
            os.close(directory)
    raise StorageError(f"Cannot use {shown(path)}: it leads through more than {MAX_LINKS} links.")


def check_trusted(path: str) -> None:
    """See that nobody less trusted decides what the directory at ``path`` is or holds, or the first of the directories
    above it that is there, when it is missing.

    :raises StorageError: when somebody does.
    :raises OSError: when it cannot be looked at.
    """
    with contextlib.suppress(FileNotFoundError):
        os.close(open_trusted(os.path.abspath(path)))


def belongs_to_us(status: os.stat_result) -> bool:
    """Whether a file or directory belongs to the user that runs the task and nobody else may write to it."""
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE


class _Walk:
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
        """Whether others may make, but not replace, entries in the directory that was reached.

        :raises StorageError: when somebody else may replace them.
        """
        if not is_trusted(status.st_uid):
            self._refuse(f"belongs to {user_name(status.st_uid)}", user_name(status.st_uid))
        if not status.st_mode & _OTHERS_WRITE:
            return False
        if status.st_mode & stat.S_ISVTX:
            return True
        from .directory_writers import other_writers

        writers = other_writers(self._directory, status)
        if writers:
            self._refuse(f"may be written to by {writers}", "")
        return False

    def _refuse(self, finding: str, owner: str) -> None:
        me, passed = user_name(os.geteuid()), shown(self._passed)
        other = f"Run the task as {owner} (become_user), or choose" if owner else "Choose"
        raise StorageError(
            f"Cannot use {shown(self._wanted)} as {me}: the directory {passed} {finding}, who could have its names "
            "stand for other files while the task runs.",
            f"{other} a place where only {_trusted_users()} may write to the directories above it, or give {passed} "
            f"to {me} (chown) and take the write permission from others (chmod go-w).",
        )

    def _refuse_foreign(self, full: str, status: os.stat_result) -> None:
        raise foreign_error(self._wanted, full, status.st_uid)

    def _refuse_link(self, full: str, status: os.stat_result) -> None:
        """Called before a link is followed."""


class _ReadingWalk(_Walk):
    """Passes other people's directories, and then follows no link."""

    _is_foreign = False

    def _refuse(self, finding: str, owner: str) -> None:
        self._is_foreign = True

    def _refuse_foreign(self, full: str, status: os.stat_result) -> None:
        self._is_foreign = True

    def _refuse_link(self, full: str, status: os.stat_result) -> None:
        if self._is_foreign:
            owner = user_name(status.st_uid)
            raise StorageError(
                f"Cannot use {shown(self._wanted)} as {user_name(os.geteuid())}: {shown(full)} is a symbolic link of "
                f"{owner}, in a directory that others may write to, who could have it lead anywhere.",
                f"Name the directory that it leads to, or run the task as {owner} (become_user).",
            )


class _HomeWalk(_ReadingWalk):
    """Passes the directories of one other user, and then follows no link."""

    _owner: int | None = None

    def _check_directory(self, status: os.stat_result) -> bool:
        if is_trusted(status.st_uid):
            return super()._check_directory(status)
        if self._owner not in (None, status.st_uid):
            _Walk._refuse(self, f"belongs to {user_name(status.st_uid)}", user_name(status.st_uid))
        self._owner, self._is_foreign = status.st_uid, True
        # whom else the owner lets write there decides as little as the owner
        return False

    def _refuse(self, finding: str, owner: str) -> None:
        _Walk._refuse(self, finding, owner)

    def _refuse_foreign(self, full: str, status: os.stat_result) -> None:
        _Walk._refuse_foreign(self, full, status)


def foreign_error(wanted: str, full: str, uid: int) -> StorageError:
    """The error for an entry of somebody else in a directory where everybody may make entries."""
    owner, me = user_name(uid), user_name(os.geteuid())
    return StorageError(
        f"Cannot use {shown(wanted)} as {me}: {shown(full)} belongs to {owner}, who made it in a directory "
        "where everybody may make files, and could replace it while the task runs.",
        f"Remove {shown(full)}, run the task as {owner} (become_user), or choose a place where only "
        f"{_trusted_users()} may write to the directories above it.",
    )


def is_trusted(uid: int) -> bool:
    """Whether a file of this user is as good as one of root's or the task's own user."""
    return uid in (0, os.geteuid()) or (uid == _overflow_uid() and _is_mapped_in_part())


def _trusted_users() -> str:
    return "root" if os.geteuid() == 0 else f"root and {user_name(os.geteuid())}"


def _overflow_uid() -> int:
    """What the kernel shows for users that have no number in this user namespace (user_namespaces(7))."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return -1


def _is_mapped_in_part() -> bool:
    """Whether this is a user namespace, as of a rootless container, where files of the host's root have no owner: who
    set the container up is above everybody in it."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as stream:
            return stream.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def user_name(uid: int) -> str:
    """A user's name for messages, or the number where the host has no name for it."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _components(path: str) -> list[str]:
    """The names on the way, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
