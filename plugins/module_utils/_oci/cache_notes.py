# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has found out about digests, kept beside the blobs of a cache: ``notes/UID/ALGORITHM/DIGITS.json``.

Content in a cache proves itself by its digest, a note does not. So each user has notes of their own, and one that
anybody else may have written counts as absent.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO

from .cache_store import CacheStore
from .digest import parse_digest

FOLDER = "notes"
MAX_NOTE = 4 << 20
_SUFFIX = ".json"


class CacheNotes(CacheStore):
    """The notes in the cache ``root``; its folders and temporary files are those of the blobs."""

    def load(self, digest: str) -> Mapping[str, Any]:
        """What this user has noted about a digest; empty where there is nothing to rely on."""
        with contextlib.suppress(OSError, ValueError, RecursionError), open(self._note(digest), "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                document = json.loads(stream.read(MAX_NOTE))
                # where others may write to the folder, they may give a note another name
                if isinstance(document, dict) and document.get("digest") == digest:
                    return document
        return {}

    def save(self, digest: str, document: Mapping[str, Any]) -> None:
        """Replace what this user has noted about a digest.

        :raises StorageError: when the file system refuses.
        """
        data = json.dumps({**document, "digest": digest}, sort_keys=True)
        self.replace_file(self._note(digest), data.encode("utf-8"))

    def drop_except(self, digests: Collection[str]) -> None:
        """Remove what was noted about other digests than these, as far as the file system lets it, by any user."""
        for digest, path in list(self._all()):
            if digest not in digests:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def remove_folders(self) -> None:
        """Remove the folders, when there is nothing in them."""
        for folder, _names, _files in os.walk(os.path.join(self.root, FOLDER), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _note(self, digest: str) -> str:
        algorithm, digits = parse_digest(digest)
        return os.path.join(self.root, FOLDER, str(os.geteuid()), algorithm, digits + _SUFFIX)

    def _all(self) -> Iterator[tuple[str, str]]:
        for folder, _names, files in os.walk(os.path.join(self.root, FOLDER)):
            for name in files:
                digits = name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else name
                yield f"{os.path.basename(folder)}:{digits}", os.path.join(folder, name)

    def _set_mode(self, handle: BinaryIO) -> None:
        # in a shared cache, too
        os.fchmod(handle.fileno(), 0o600)
