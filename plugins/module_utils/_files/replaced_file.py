# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files that are replaced as a whole."""

from __future__ import annotations

import contextlib
import os

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(folder: int, name: str, content: bytes, *, unfinished: str = "", mode: int = 0o600) -> None:
    """Replace a file of an open directory by one rename, after its content is on the disk.

    A reader sees the file before or this one, and no link is followed. What a killed process left under the name of the
    unfinished file is removed first.

    :param unfinished: the name of the file before the rename, by default the name with ``.new``. Processes that may
        write at the same time need a name each.
    :param mode: the permissions of the file, less the umask.
    :raises OSError: when a file operation fails. The old file is then kept.
    """
    unfinished = unfinished or f"{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=folder)
    descriptor = os.open(unfinished, _CREATE, mode, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise
    os.fsync(folder)
