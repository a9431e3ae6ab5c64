# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has found out about digests, kept beside the blobs of a cache: ``notes/UID/ALGORITHM/DIGITS.json``.

Content in a cache proves itself by its digest, a note does not. So each user has notes of their own, in a folder that
nobody else may write to, and one that anybody else may have written, or put there, counts as absent.
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
from .errors import StorageError
from .shared_file import taking_turns

FOLDER = "notes"
MAX_NOTE = 4 << 20
# Seconds to wait for another process of this user that finds out something about the same digest.
PATIENCE = 120.0
_SUFFIX = ".json"
_LOCK_SUFFIX = ".lock"
_GROUP_OR_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CacheNotes(CacheStore):
    """The notes in the cache ``root``; its folders and temporary files are those of the blobs."""

    def load(self, digest: str) -> Mapping[str, Any]:
        """What this user has noted about a digest; empty where there is nothing to rely on."""
        path = self._note(digest)
        folder = os.path.dirname(path)
        with contextlib.suppress(OSError, ValueError, RecursionError), open(path, "rb") as stream:
            # where others may write to a folder, they can put there what this user has elsewhere
            own = (os.fstat(stream.fileno()), os.lstat(folder), os.lstat(os.path.dirname(folder)))
            if all(map(_is_own, own)):
                document = json.loads(stream.read(MAX_NOTE))
                if isinstance(document, dict) and document.get("digest") == digest:
                    return document
        return {}

    def save(self, digest: str, document: Mapping[str, Any]) -> None:
        """Replace what this user has noted about a digest.

        :raises StorageError: when the file system refuses.
        """
        data = json.dumps({**document, "digest": digest}, sort_keys=True)
        self.replace_file(self._note(digest), data.encode("utf-8"))

    def update(self, digest: str, part: str, content: Mapping[str, Any]) -> None:
        """Replace one part of what is noted about a digest; in a cache that is only read, and where the file system
        refuses, nothing is noted. To be called by who is :meth:`alone` with the digest."""
        if not self._read_only:
            with contextlib.suppress(StorageError):
                self.save(digest, {**self.load(digest), part: dict(content)})

    @contextlib.contextmanager
    def alone(self, digest: str) -> Iterator[None]:
        """Let other processes and threads of this user wait with the same digest, so that they find what is noted.

        In a cache that is only read, where the file system refuses, and after two minutes, nobody waits.
        """
        if self._read_only:
            yield
            return
        path = self._note(digest) + _LOCK_SUFFIX
        with contextlib.suppress(StorageError):
            self.make_folder(os.path.dirname(path))
        with taking_turns(path, PATIENCE):
            yield

    def make_folder(self, path: str) -> None:
        """As for blobs, but for the user's own folder, which is for nobody else in a shared cache either."""
        own = os.path.join(self.root, FOLDER, str(os.geteuid()))
        if path != own and not path.startswith(own + os.sep):
            super().make_folder(path)
            return
        super().make_folder(os.path.dirname(own))
        for folder in (own, path):
            with contextlib.suppress(OSError):
                os.mkdir(folder, 0o700)
        # says what is wrong where there is none now
        super().make_folder(path)

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


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _GROUP_OR_OTHERS_WRITE
