# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of the files in ``dest`` with the record; ``plan`` decides how differences are corrected."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

from .._files.directory_handles import DirectoryHandles
from .._files.names import encoded
from .._files.tree import DIRECTORY, SYMLINK, TreeEntry
from .._oci.digest import digest_of_hash
from .permissions import Permissions
from .state import PlacedEntry, State

MAX_NAMED = 5  # in messages


class Drift(NamedTuple):
    """Paths that differ from the record: those in ``content`` need the artifact again, those in ``metadata`` do not.
    ``moved`` names the link that leads to the content, when it leads elsewhere."""

    content: list[str]
    metadata: list[str]
    moved: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.metadata or self.moved)


def find_drift(root: DirectoryHandles, state: State, permissions: Permissions, check_content: bool) -> Drift:
    """Compare the files on disk with the record: kind, size and modification time, or full digests."""
    drift = Drift([], [])
    for path, placed in sorted(state.files.items()):
        try:
            status = root.lstat(path)
            intact = is_intact(root, path, status, placed, check_content)
        except OSError:
            intact = False
        if not intact:
            drift.content.append(path)
        elif not has_permissions(status, placed.entry, permissions):
            # another hard link of the file may be anywhere, and would get the mode and owner, too
            (drift.metadata if has_one_name(status) else drift.content).append(path)
    return drift


def has_permissions(status: os.stat_result, entry: TreeEntry, permissions: Permissions) -> bool:
    """True when mode and owner are those of the artifact and the options; links have no mode."""
    if permissions.uid is not None and status.st_uid != permissions.uid:
        return False
    if permissions.gid is not None and status.st_gid != permissions.gid:
        return False
    if entry.kind == SYMLINK:
        return True
    return stat.S_IMODE(status.st_mode) == permissions.mode_for(entry.mode, entry.kind == DIRECTORY)


def has_one_name(status: os.stat_result) -> bool:
    """True when a file has no other hard links; those of directories and symbolic links do not matter here."""
    return not stat.S_ISREG(status.st_mode) or status.st_nlink == 1


def is_placed_file(descriptor: int, placed: PlacedEntry) -> bool:
    """True when an open file matches the record: by size and time, or by its digest when only the time differs.

    :raises OSError: when it cannot be read.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != placed.entry.size:
        return False
    if status.st_mtime_ns == placed.mtime:
        return True
    return bool(placed.entry.digest) and file_digest(os.dup(descriptor)) == placed.entry.digest


def file_digest(descriptor: int) -> str:
    """``sha256:…`` of the content of an open file, read in bounded pieces from its position; closes it."""
    from .._files.bounded import pieces

    content = hashlib.sha256()
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        for chunk in pieces(stream):
            content.update(chunk)
    return digest_of_hash(content)


def is_intact(
    root: DirectoryHandles, path: str, status: os.stat_result, placed: PlacedEntry, check_content: bool
) -> bool:
    """True when an entry has the kind and the content of the record; mode and owner are not looked at.

    :raises OSError: when it cannot be read.
    """
    entry = placed.entry
    if entry.kind == DIRECTORY:
        return stat.S_ISDIR(status.st_mode)
    if entry.kind == SYMLINK:
        return stat.S_ISLNK(status.st_mode) and root.readlink(path) == encoded(entry.target)
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
        return False
    if not check_content and status.st_mtime_ns == placed.mtime:
        return True
    # the time changed, perhaps not the content: if the digest is known, reading is cheaper than downloading
    return bool(entry.digest) and file_digest(root.open_file(path)) == entry.digest
