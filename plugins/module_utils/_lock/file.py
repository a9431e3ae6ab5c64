# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock files on disk: read by all, written by one process at a time, and whole at any moment.

A lock file decides which digests a task uses, so whoever may write to it, or to a directory on the way to it, would
decide that. It is refused unless only root and the user of the task may. The new content is written to a file beside
it, ``.NAME.new``, which takes its place; processes wait for each other at that file, so nothing else is left there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from .._errors import StorageError
from .._files.names import shown
from .._files.regular_file import storage_error
from .._files.shared_file import locked_at, write_all
from .._files.trusted_file import Place, find_place, open_trusted_file
from .document import MAX_LOCK_FILE, LockFile
from .entry import Entry
from .refusals import LockInvalid

#: Seconds for which a process waits for another one that writes the same file.
LOCK_TIMEOUT = 60.0
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_MODE = 0o644
_POWER = "which digests are used"


class Change(NamedTuple):
    """The text of a lock file before and after a change; ``before`` is empty where there was no file."""

    before: str
    after: str


def read_lock(path: str) -> LockFile | None:
    """Read the lock file at an absolute path; None when there is none.

    :raises LockInvalid: when it cannot be read, others may write to it, or it is not a lock file of this format.
    """
    text = _read_text(path)
    return None if text is None else LockFile(text, shown(path))


def update_lock(path: str, found: Sequence[Entry], *, check_mode: bool = False) -> Change | None:
    """Enter what was resolved into the lock file at an absolute path; other entries stay. Without a change nothing is
    written.

    :param check_mode: nothing is written in any case.
    :returns: the change; None when the file says all that already.
    :raises LockInvalid: when the file, or its directory, cannot be used.
    :raises StorageError: when it cannot be written, or another process does not end.
    """
    change = _change(path, found)
    if change is None or check_mode:
        return change
    try:
        place = find_place(path)
    except (OSError, StorageError) as exc:
        raise _refusal(path, exc, "written") from None
    try:
        _check_folder(place, path)
        new = f".{place.name}.new"
        with locked_at(place.folder, new, os.path.join(os.path.dirname(place.path), new), LOCK_TIMEOUT):
            # others may have written meanwhile
            change = _change(path, found)
            if change is None:
                os.unlink(new, dir_fd=place.folder)
            else:
                _replace(place, new, change.after.encode("utf-8"))
    except OSError as exc:
        raise storage_error("write", shown(path), exc) from None
    finally:
        os.close(place.folder)
    return change


def _change(path: str, found: Sequence[Entry]) -> Change | None:
    text = _read_text(path)
    after = LockFile(text or "", shown(path)).with_entries(found)
    if after is None:
        return None
    if len(after.encode("utf-8")) > MAX_LOCK_FILE:
        raise LockInvalid(
            f"The lock file {shown(path)} would have more than {MAX_LOCK_FILE:,} bytes.",
            "Name another file in 'lock_file' for a part of the tasks.",
        )
    return Change(text or "", after)


def _replace(place: Place, new: str, content: bytes) -> None:
    """Put content in the place of a lock file, with the permissions that it had."""
    try:
        with os.fdopen(os.open(new, _WRITE | os.O_TRUNC, dir_fd=place.folder), "wb", buffering=0) as handle:
            mode = _NEW_MODE & ~_umask() if place.status is None else stat.S_IMODE(place.status.st_mode)
            os.fchmod(handle.fileno(), mode)
            write_all(handle, content, shown(place.path))
            os.fsync(handle.fileno())
        os.replace(new, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=place.folder)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _check_folder(place: Place, path: str) -> None:
    """Refuse a directory such as /tmp, where others could make the file that is written to before this process does.

    :raises LockInvalid: when everybody may make files there.
    """
    mode = os.fstat(place.folder).st_mode
    if mode & stat.S_ISVTX and mode & stat.S_IWOTH:
        raise LockInvalid(
            f"The lock file {shown(path)} is not written: everybody may make files in its directory.",
            "Choose a place beside the playbook.",
        )


def _read_text(path: str) -> str | None:
    try:
        content = _read_content(path)
    except (OSError, StorageError, ValueError) as exc:
        raise _refusal(path, exc, "read") from None
    if content is None:
        return None
    if len(content) > MAX_LOCK_FILE:
        raise LockInvalid(f"The lock file {shown(path)} has more than {MAX_LOCK_FILE:,} bytes.", "Check the path.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LockInvalid(f"The lock file {shown(path)} is not text in UTF-8.", "Check the path.") from None


def _read_content(path: str) -> bytes | None:
    """The content of the file, and one byte more than it may have; None when there is no file.

    :raises OSError: when it cannot be read, also for a link that leads nowhere.
    :raises StorageError: when others may write to it.
    """
    # between the two looks, another process may make the first file
    for is_last in (False, True):
        try:
            with os.fdopen(open_trusted_file(path, _POWER), "rb") as stream:
                return stream.read(MAX_LOCK_FILE + 1)
        except FileNotFoundError:
            if not os.path.lexists(path):
                return None
            if is_last:
                raise
    raise AssertionError("the last round returns or raises")


def _refusal(path: str, exc: Exception, verb: str) -> LockInvalid:
    if isinstance(exc, StorageError):
        return LockInvalid(f"The lock file {shown(path)} is not used. {exc.message}", exc.hint)
    problem = getattr(exc, "strerror", None) or str(exc)
    return LockInvalid(
        f"The lock file {shown(path)} cannot be {verb} on the controller: {problem}.",
        "A path in 'lock_file' is one of the controller, and a relative one begins at the playbook.",
    )
