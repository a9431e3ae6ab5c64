# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places in other people's hands that are used all the same: read where content proves itself, or a user's home."""

from __future__ import annotations

import os

from .._errors import StorageError
from .directory_writers import user_name
from .names import shown
from .trusted_path import Walk
from .users import is_trusted


def open_to_read(path: str) -> int:
    """A descriptor of the directory at ``path``, which may be in other people's hands, to read what proves itself.

    Directories of others are passed, but from the first one on no link is followed: it could lead to what the user of
    this task may read and its owner may not. What is in the directory must be reached through the descriptor alone.

    :param path: absolute.
    :raises StorageError: when a link is not to be followed, with whose it is.
    :raises OSError: as :func:`~.trusted_path.open_trusted`.
    """
    walk = _ReadingWalk(path, None, 0, True)
    try:
        return walk.run()
    finally:
        walk.close()


def open_home(path: str, *, make: list[str] | None = None) -> int:
    """As :func:`~.trusted_path.open_trusted`, of a directory that may be, or lie, in the home of one other user, as
    when root writes a file for that user. From there on no link is followed, and nobody else's directory is passed.

    :param make: as for :func:`~.trusted_path.open_trusted`; the last directory gets mode 0700.
    :raises StorageError: when a third user has a say, or a link is not to be followed.
    :raises OSError: as :func:`~.trusted_path.open_trusted`.
    """
    walk = _HomeWalk(path, make, 0o700, False)
    try:
        return walk.run()
    finally:
        walk.close()


class _ReadingWalk(Walk):
    """Passes other people's directories, and then follows no link."""

    _is_foreign = False

    def _refuse(self, status: os.stat_result, writers: str = "") -> None:
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
            Walk._refuse(self, status)
        self._owner, self._is_foreign = status.st_uid, True
        # whom else the owner lets write there decides as little as the owner
        return False

    def _refuse(self, status: os.stat_result, writers: str = "") -> None:
        Walk._refuse(self, status, writers)

    def _refuse_foreign(self, full: str, status: os.stat_result) -> None:
        Walk._refuse_foreign(self, full, status)
