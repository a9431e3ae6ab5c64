# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in the directory of a reconciliation, which only the user of its runs may read."""

from __future__ import annotations

import os

from .._files.regular_file import storage_error
from .._files.replaced_file import replace_file


def write_private(path: str, text: str) -> None:
    """Replace a file by one rename, so that a reader sees the one before or this one. No link is followed.

    :raises StorageError: when a file operation fails.
    """
    directory, name = os.path.split(path)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            replace_file(folder, name, text.encode("utf-8"))
        finally:
            os.close(folder)
    except OSError as exc:
        raise storage_error("write", path, exc) from None
