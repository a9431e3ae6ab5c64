# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of a user about digests, such as verification results: ``notes/UID/ALGORITHM/DIGITS.json`` in a cache.

Content in a cache is checked by its digest, a note cannot be. So each user has separate notes, in a folder that nobody
else may write to, and a note that another user may have written, or put there, is ignored.
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
# Seconds to wait for another process of this user that works on the same digest.
NOTE_TIMEOUT = 120.0
_SUFFIX = ".json"
_LOCK_SUFFIX = ".lock"


class CacheNotes(CacheStore):
    """The notes of the user of this process in the cache ``root``.

    Their temporary files are in the user's own folder, not in that of blobs: another user of a shared cache could
    replace a temporary file there with another file of the same owner.
    """

    file_mode = 0o600

    def __init__(self, root: str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._own = f"{FOLDER}/{os.geteuid()}"

    def load(self, digest: str) -> Mapping[str, Any]:
        """The notes of this user about a digest; empty when there are none that can be trusted."""
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
        """Replace the notes of this user about a digest.

        :raises StorageError: when a file operation fails, or another user owns the folder or may write to it.
        """
        name = self._note(digest)
        data = json.dumps({**document, "digest": digest}, sort_keys=True)
        self.replace_file(name, data.encode("utf-8"))

    def update(self, digest: str, part: str, content: Mapping[str, Any]) -> None:
        """Replace one part of the notes about a digest, unless the cache is read-only or a file operation fails. To be
        called within :meth:`alone`."""
        if not self._read_only:
            with contextlib.suppress(StorageError):
                self.save(digest, {**self.load(digest), part: dict(content)})

    @contextlib.contextmanager
    def alone(self, digest: str) -> Iterator[None]:
        """Make other processes and threads of this user wait for the same digest, so that they can use the notes.

        Nobody waits in a read-only cache, on a file system without locks, or longer than two minutes.
        """
        if self._read_only:
            yield
            return
        with self.taking_turns(self._note(digest) + _LOCK_SUFFIX, NOTE_TIMEOUT):
            yield

    def drop_except(self, digests: Collection[str]) -> None:
        """Remove the notes of all users about other digests, as far as the file permissions allow."""
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            for folder in _folders(handles):
                for name in map(os.fsdecode, handles.names(folder)):
                    digits = name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else name
                    if f"{os.path.basename(folder)}:{digits}" not in digests:
                        unlink(handles, f"{folder}/{name}")

    def remove_folders(self) -> None:
        """Remove the folders of notes that are empty."""
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            folders = _folders(handles)
            for folder in [*folders, *{os.path.dirname(each) for each in folders}, FOLDER]:
                with contextlib.suppress(OSError):
                    parent, base = handles.locate(folder)
                    os.rmdir(base, dir_fd=parent)

    def make_folder(self, handles: DirectoryHandles, name: str) -> int:
        """As for blobs, except that the user's own folder stays private in a shared cache, too."""
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
        # private in a shared cache, too
        os.fchmod(handle.fileno(), 0o600)

    def folder_of_temporary(self, name: str) -> str:
        return os.path.dirname(name)

    def tidy(self) -> None:
        """Do nothing: the folder has the notes."""

    def _is_own(self, name: str) -> bool:
        return name == self._own or name.startswith(self._own + "/")

    def _own_folder(self, handles: DirectoryHandles, name: str) -> int:
        """The descriptor of a folder of this user's notes.

        :raises PermissionError: when another user owns it or its parent, or may write to one of them.
        """
        above = name
        while self._is_own(above):
            # users who may write to a folder can move files of this user into it
            if not belongs_to_us(os.fstat(handles.get(above))):
                raise PermissionError(errno.EPERM, "it belongs to another user, or others may write to it")
            above = os.path.dirname(above)
        return handles.get(name)

    def _note(self, digest: str) -> str:
        algorithm, digits = parse_digest(digest)
        return f"{self._own}/{algorithm}/{digits}{_SUFFIX}"


def _folders(handles: DirectoryHandles) -> list[str]:
    """The folders of all users and algorithms; symbolic links are ignored."""
    found = []
    for user in _names(handles, FOLDER):
        found += [f"{FOLDER}/{user}/{algorithm}" for algorithm in _names(handles, f"{FOLDER}/{user}")]
    return found


def _names(handles: DirectoryHandles, folder: str) -> list[str]:
    try:
        return [os.fsdecode(name) for name in handles.names(folder)]
    except OSError:
        return []
