# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has found out about digests, kept beside the blobs of a cache: ``notes/UID/ALGORITHM/DIGITS.json``.

Content in a cache proves itself by its digest, a note does not. So each user has notes of their own, in a folder that
nobody else may write to, and one that anybody else may have written, or put there, counts as absent.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO

from .._errors import StorageError
from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.names import encoded
from .._files.users import belongs_to_us
from .._layout.files import unlink
from .._oci.digest import parse_digest
from .store import CacheStore

FOLDER = "notes"
MAX_NOTE = 4 << 20
# Seconds to wait for another process of this user that finds out something about the same digest.
PATIENCE = 120.0
_SUFFIX = ".json"
_LOCK_SUFFIX = ".lock"


class CacheNotes(CacheStore):
    """The notes of the user of this process in the cache ``root``.

    They are written in the user's own folder, not where blobs are under way: who shares the cache could put another
    file of the same owner in the place of one that is under way there.
    """

    file_mode = 0o600

    def __init__(self, root: str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._own = f"{FOLDER}/{os.geteuid()}"

    def load(self, digest: str) -> Mapping[str, Any]:
        """What this user has noted about a digest; empty where there is nothing to rely on."""
        name = self._note(digest)
        with contextlib.suppress(OSError, StorageError, ValueError, RecursionError), self.directory.opened() as handles:
            parent, base = self._own_folder(handles, os.path.dirname(name)), encoded(os.path.basename(name))
            with os.fdopen(open_file_at(base, parent), "rb") as stream:
                if belongs_to_us(os.fstat(stream.fileno())):
                    document = json.loads(stream.read(MAX_NOTE))
                    if isinstance(document, dict) and document.get("digest") == digest:
                        return document
        return {}

    def save(self, digest: str, document: Mapping[str, Any]) -> None:
        """Replace what this user has noted about a digest.

        :raises StorageError: when the file system refuses, or the folder is not this user's own.
        """
        name = self._note(digest)
        data = json.dumps({**document, "digest": digest}, sort_keys=True)
        self.replace_file(name, data.encode("utf-8"))

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
        with self.taking_turns(self._note(digest) + _LOCK_SUFFIX, PATIENCE):
            yield

    def drop_except(self, digests: Collection[str]) -> None:
        """Remove what was noted about other digests than these, as far as the file system lets it, by any user."""
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            for folder in _folders(handles):
                for name in map(os.fsdecode, handles.names(folder)):
                    digits = name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else name
                    if f"{os.path.basename(folder)}:{digits}" not in digests:
                        unlink(handles, f"{folder}/{name}")

    def remove_folders(self) -> None:
        """Remove the folders, when there is nothing in them."""
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            folders = _folders(handles)
            for folder in [*folders, *{os.path.dirname(each) for each in folders}, FOLDER]:
                with contextlib.suppress(OSError):
                    parent, base = handles.locate(folder)
                    os.rmdir(base, dir_fd=parent)

    def make_folder(self, handles: DirectoryHandles, name: str) -> int:
        """As for blobs, but for the user's own folder, which is for nobody else in a shared cache either."""
        if not self._is_own(name):
            return super().make_folder(handles, name)
        super().make_folder(handles, name)
        return self._own_folder(handles, name)

    def folder_mode(self, name: str) -> int:
        return 0o700 if self._is_own(name) else super().folder_mode(name)

    def made_folder(self, handles: DirectoryHandles, name: str) -> None:
        if not self._is_own(name):
            super().made_folder(handles, name)

    def set_mode(self, handle: BinaryIO, handles: DirectoryHandles) -> None:
        # in a shared cache, too
        os.fchmod(handle.fileno(), 0o600)

    def folder_of_temporary(self, name: str) -> str:
        return os.path.dirname(name)

    def tidy(self) -> None:
        """The folder stays, with the notes."""

    def _is_own(self, name: str) -> bool:
        return name == self._own or name.startswith(self._own + "/")

    def _own_folder(self, handles: DirectoryHandles, name: str) -> int:
        """The descriptor of a folder of this user's notes.

        :raises PermissionError: when it, or the one above it, is somebody else's, or others may write to it.
        """
        above = name
        while self._is_own(above):
            # where others may write to a folder, they can put there what this user has elsewhere
            if not belongs_to_us(os.fstat(handles.get(above))):
                raise PermissionError(errno.EPERM, "it belongs to another user, or others may write to it")
            above = os.path.dirname(above)
        return handles.get(name)

    def _note(self, digest: str) -> str:
        algorithm, digits = parse_digest(digest)
        return f"{self._own}/{algorithm}/{digits}{_SUFFIX}"


def _folders(handles: DirectoryHandles) -> list[str]:
    """The folders of all users, by algorithm; links are none."""
    found = []
    for user in _names(handles, FOLDER):
        found += [f"{FOLDER}/{user}/{algorithm}" for algorithm in _names(handles, f"{FOLDER}/{user}")]
    return found


def _names(handles: DirectoryHandles, folder: str) -> list[str]:
    try:
        return [os.fsdecode(name) for name in handles.names(folder)]
    except OSError:
        return []
