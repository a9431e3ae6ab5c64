# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of an unpacked artifact: one entry for each path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FILE = "file"
DIRECTORY = "directory"
SYMLINK = "symlink"


class TreeEntry(NamedTuple):
    """One file, directory or symbolic link.

    ``mode`` holds permission bits only (at most 0o777). ``size`` (bytes) and ``digest`` (sha256 of the content, empty
    where it was not taken) belong to files, ``target`` to symbolic links.
    """

    kind: str
    mode: int
    size: int = 0
    digest: str = ""
    target: str = ""


# Keys are relative POSIX paths without "." or ".." parts; the root itself has no entry. Directories have no trailing
# slash.
Tree = Mapping[str, TreeEntry]
