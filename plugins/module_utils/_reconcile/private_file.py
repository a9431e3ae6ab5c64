# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in the directory of a reconciliation, which only the user of its runs may read."""

from __future__ import annotations

import contextlib
import os

from .._files.regular_file import storage_error


def write_private(path: str, text: str) -> None:
    """Replace a file by one rename, so that a reader sees the one before or this one. No link is followed.

    :raises StorageError: when a file operation fails.
    """
    new = f"{path}.new"
    try:
        # what a killed run left
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, path)
    except OSError as exc:
        raise storage_error("write", path, exc) from None
