# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program of a run writes: a log of bounded size, the journal, and the name of the task that failed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

from .._files.bounded import pieces
from .._files.regular_file import storage_error
from .journal import is_in_journal

# bytes of one log, and how many of those before it are kept
MAX_LOG = 8 * 1024 * 1024
KEPT_LOGS = 5
MAX_NAME = 200

_LOG = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
# bytes of a line that is not complete yet
_MAX_LINE = 4096


def open_log(path: str) -> int:
    """A descriptor for a new log; those before it are renamed to ``path.1``, ``path.2`` and so on.

    :raises StorageError: when a file operation fails.
    """
    try:
        _make_room(path)
        if os.path.lexists(path):
            os.replace(path, f"{path}.1")
        return os.open(path, _LOG, 0o600)
    except OSError as exc:
        raise storage_error("write", path, exc) from None


def _make_room(path: str) -> None:
    for number in range(KEPT_LOGS, 1, -1):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}.{number - 1}", f"{path}.{number}")


class Output:
    """The output of a program that writes to a log by itself, so that it can go on when the run is killed.

    ``failed_task`` is the name of the last task that the output says has failed. Nothing else of it is taken, since
    only names are sure to hold no secret.
    """

    def __init__(self, path: str, *, show: bool) -> None:
        """:param path: the log, just opened by :func:`open_log`.
        :param show: whether the output goes to the journal as well.
        """
        self._path = path
        self._stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        self._is_shown = show and is_in_journal()
        self._task = ""
        self._line = b""
        self.failed_task = ""

    def close(self) -> None:
        self._stream.close()

    def follow(self) -> None:
        """Take what is new. A log of more than 8 MiB becomes ``path.1``, and goes on from nothing.

        :raises StorageError: when a file operation fails.
        """
        for piece in pieces(self._stream):
            if self._is_shown:
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            self._look_for_tasks(piece)
        if self._stream.tell() > MAX_LOG:
            try:
                self._begin_anew()
            except OSError as exc:
                raise storage_error("write", self._path, exc) from None

    def _begin_anew(self) -> None:
        # the program keeps the file open, at whose end it writes: its content is moved in place of its name
        _make_room(self._path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._path}.1")
        self._stream.seek(0)
        with os.fdopen(os.open(f"{self._path}.1", _LOG | os.O_EXCL, 0o600), "wb") as copy:
            shutil.copyfileobj(self._stream, copy)
        os.truncate(self._path, 0)
        self._stream.seek(0)

    def _look_for_tasks(self, piece: bytes) -> None:
        *lines, rest = (self._line + piece).split(b"\n")
        self._line = rest[:_MAX_LINE]
        for line in lines:
            if line.startswith((b"TASK [", b"RUNNING HANDLER [")):
                name = line.partition(b"[")[2].rpartition(b"]")[0]
                self._task = name.decode("utf-8", "replace")[:MAX_NAME]
            elif line.startswith((b"fatal: ", b"failed: ")):
                self.failed_task = self._task
            elif line == b"...ignoring":
                self.failed_task = ""
