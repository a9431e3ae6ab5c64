# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which digest a file had when it was published before, as far as a cache remembers it.

A note says where to look first, and no more: whatever it says, the file is hashed. So a note that is wrong, since the
file was altered without a trace, costs a transfer or a request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..._oci.digest import digest_of, is_digest

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache

# as many files are remembered, the latest ones
MAX_FILES = 256
_PART = "files"
# the notes of a cache have digests for names
_NAME = digest_of(b"cloudnative.artifacts: files that were published")


class KnownFiles:
    """The notes about files in a cache; without a cache there are none."""

    def __init__(self, cache: ArtifactCache | None) -> None:
        self._cache = cache

    def digest_of(self, status: os.stat_result) -> str:
        """The digest of a file with this status when it was published last, or empty."""
        if self._cache is None:
            return ""
        return _noted(self._cache.notes().load(_NAME)).get(_key(status), "")

    def note(self, status: os.stat_result, digest: str) -> None:
        """Remember the digest of a file, unless the cache is read-only or cannot be written to."""
        if self._cache is None or self.digest_of(status) == digest:
            return
        notes, key = self._cache.notes(), _key(status)
        with notes.alone(_NAME):
            others = {name: found for name, found in _noted(notes.load(_NAME)).items() if name != key}
            latest = [*others.items(), (key, digest)][-MAX_FILES:]
            notes.update(_NAME, _PART, {"latest": latest})


def _noted(document: Mapping[str, Any]) -> dict[str, str]:
    """The digests by file, the oldest note first."""
    part = document.get(_PART)
    entries = part.get("latest") if isinstance(part, dict) else None
    found = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and is_digest(entry[1]):
            found[entry[0]] = str(entry[1])
    return found


def _key(status: os.stat_result) -> str:
    """What is another one after each change of a file: the last part is set by the system alone."""
    parts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return ":".join(map(str, parts))
