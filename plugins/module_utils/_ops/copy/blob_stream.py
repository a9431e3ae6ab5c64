# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A blob of one repository as the source of a push to another, without a copy on the disk."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

from ..._oci.manifest import Descriptor
from ..._oci.repository import BlobSource, Repository, read_blob


def blob_of(repository: Repository, descriptor: Descriptor) -> BlobSource:
    """Return a blob of a repository, to be pushed to another one. It is checked while it is read."""
    return BlobSource(descriptor, partial(_open, repository, descriptor))


def _open(repository: Repository, descriptor: Descriptor) -> BinaryIO:
    return cast(BinaryIO, _BlobStream(repository, descriptor))


class _BlobStream(io.RawIOBase):
    """The bytes of a blob. It can be rewound to its start, which reads it anew, and has a length, as requests wants.

    Reading raises DigestMismatch at the end when the bytes are wrong, and what the repository raises.
    """

    def __init__(self, repository: Repository, descriptor: Descriptor) -> None:
        self._repository = repository
        self._descriptor = descriptor
        self._chunks: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._position = 0

    def __len__(self) -> int:
        return self._descriptor.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("A blob is only rewound to its start")
        self._stop()
        self._rest, self._position = memoryview(b""), 0
        return 0

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(partial(self.read, io.DEFAULT_BUFFER_SIZE), b""))
        if self._chunks is None:
            self._chunks = read_blob(self._repository, self._descriptor)
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        self._position += len(data)
        return data

    def close(self) -> None:
        self._stop()
        super().close()

    def _stop(self) -> None:
        """Give back the connection that an unfinished stream holds."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        self._chunks = None
