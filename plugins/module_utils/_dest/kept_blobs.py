# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of kept revisions, in the directory ``kept`` of the control directory; see :mod:`.history`.

Each file is named by the digest of what it holds, and hashed whenever it is used. The directory belongs to the user of
the task alone, and is opened relative to the control directory without following links, so that nobody else can put
another in its place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

from .._errors import DigestMismatch, NotFound
from .._files.bounded import pieces
from .._files.directory_handles import DIRECTORY, names_in, open_file_at
from .._files.users import belongs_to_us
from .._oci.digest import Verifier, parse_digest

FOLDER = "kept"
_NEW = ".new"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class KeptBlobs:
    """The kept blobs of an open control directory, which outlives this object.

    :raises OSError: when a file operation fails, from every method unless documented otherwise.
    """

    def __init__(self, control: int) -> None:
        self._control = control

    def open(self, digest: str, what: str) -> BinaryIO:
        """Open a blob that was hashed by this call.

        :param what: names the blob in messages.
        :raises NotFound: when it is not there.
        :raises DigestMismatch: when it holds something else.
        """
        try:
            with self._folder() as folder:
                handle = os.fdopen(open_file_at(_name(digest), folder), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"{what} is not among what this host has kept.") from None
        try:
            verifier = Verifier(digest, None, what)
            for chunk in pieces(handle):
                verifier.update(chunk)
            verifier.finish()
            handle.seek(0)
        except BaseException:
            handle.close()
            raise
        return handle

    def has(self, digest: str) -> bool:
        """Return whether a blob is there, with the bytes of its digest."""
        try:
            self.open(digest, "").close()
        except (NotFound, DigestMismatch):
            return False
        return True

    def add(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Store a blob whose bytes are checked by ``chunks``, which raises when they are wrong."""
        with self._folder(make=True) as folder:
            # for several threads at once
            name = _name(digest) + os.fsencode(_NEW)
            with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=folder), "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
            os.replace(name, _name(digest), src_dir_fd=folder, dst_dir_fd=folder)

    def take(self, digest: str, name: str, directory: int) -> None:
        """Store the checked file ``name`` of another open directory of the file system as a blob."""
        with self._folder(make=True) as folder:
            os.replace(name, _name(digest), src_dir_fd=directory, dst_dir_fd=folder)

    def remove_others(self, digests: Collection[str]) -> None:
        """Remove all but these blobs, and the directory when it is empty then."""
        wanted = {_name(digest) for digest in digests}
        with contextlib.suppress(FileNotFoundError):
            with self._folder() as folder:
                for name in names_in(folder):
                    if name not in wanted:
                        os.unlink(name, dir_fd=folder)
            if not wanted:
                os.rmdir(FOLDER, dir_fd=self._control)

    @contextlib.contextmanager
    def _folder(self, *, make: bool = False) -> Iterator[int]:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(FOLDER, 0o700, dir_fd=self._control)
        folder = os.open(FOLDER, os.O_RDONLY | DIRECTORY, dir_fd=self._control)
        try:
            # another user's, moved here, counts as none
            if not belongs_to_us(os.fstat(folder)):
                raise FileNotFoundError(FOLDER)
            yield folder
        finally:
            os.close(folder)


def _name(digest: str) -> bytes:
    """The name of a blob's file.

    :raises InvalidReference: when it is not a digest.
    """
    return os.fsencode("-".join(parse_digest(digest)))
