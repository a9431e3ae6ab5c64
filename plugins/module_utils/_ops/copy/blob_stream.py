# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A blob of one repository as the source of a push to another, without a copy on the disk.

Its bytes are read into one buffer, hashed there and sent from there: for large blobs, memory that is taken and given
back for each piece costs more than the transfer.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

from ..._errors import ConnectionFailed
from ..._oci.digest import Verifier
from ..._oci.manifest import Descriptor
from ..._oci.repository import BlobSource, Repository

BUFFER_SIZE = 1024 * 1024


class SourceFailed(Exception):
    """The source of a blob failed for good while it was sent: not a failure of the place that it is sent to, which
    would be tried again there. ``error`` says what happened."""

    def __init__(self, error: ConnectionFailed) -> None:
        super().__init__(error.message)
        self.error = error


class BlobStreams:
    """Opens blobs of one repository, to be pushed to another one; may be shared by threads.

    Buffers of streams that are closed are used again.

    :param for_uploads: the other repository is a registry. Each blob is compared with its digest here, as layouts and
        archives do themselves, and a lost connection is told from one to the registry.
    """

    def __init__(self, repository: Repository, *, for_uploads: bool) -> None:
        self.repository = repository
        self.for_uploads = for_uploads
        # those that no stream uses; the methods of a list are atomic
        self.buffers: list[memoryview] = []

    def source(self, descriptor: Descriptor) -> BlobSource:
        """Return a blob to be pushed. What is read of it are views of a buffer, good until the next read.

        The last bytes for an upload are handed out when all of the blob was compared with its digest, so that no upload
        of other content is ever completed. Reading raises DigestMismatch otherwise, SourceFailed for a lost connection,
        and what else the repository raises.
        """
        return BlobSource(descriptor, lambda: cast(BinaryIO, _BlobStream(self, descriptor)))


class _BlobStream(io.RawIOBase):
    """The bytes of a blob. It can be rewound to its start, which reads it anew, and has a length, as requests wants."""

    def __init__(self, streams: BlobStreams, descriptor: Descriptor) -> None:
        self._streams = streams
        self._descriptor = descriptor
        self._buffer: memoryview | None = None
        self._pieces: Iterator[bytes] | None = None
        self._verifier: Verifier | None = None
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
        """Return up to ``size`` bytes, as a view; all of them, as bytes, without a size."""
        if size < 0:
            return b"".join(map(bytes, iter(partial(self.read, BUFFER_SIZE), b"")))
        if not self._rest:
            self._rest = self._next()
        data, self._rest = self._rest[:size], self._rest[size:]
        self._position += len(data)
        return cast(bytes, data)

    def close(self) -> None:
        self._stop()
        if self._buffer is not None:
            self._streams.buffers.append(self._buffer)
            self._buffer = None
        super().close()

    def _next(self) -> memoryview:
        """Return the next bytes, hashed; none at the end."""
        pieces = self._pieces or self._start()
        try:
            piece = next(pieces, b"")
        except ConnectionFailed as exc:
            if not self._streams.for_uploads:
                raise
            raise SourceFailed(exc) from None
        if self._verifier is not None:
            # in this thread: there are as many transfers at a time as keep the processors busy
            self._verifier.update(piece)
            if not piece or self._verifier.count == self._descriptor.size:
                self._verifier.finish()
        return memoryview(piece)

    def _start(self) -> Iterator[bytes]:
        blob, repository, buffers = self._descriptor, self._streams.repository, self._streams.buffers
        if self._streams.for_uploads:
            what = f"The blob {blob.digest} of {repository.reference.name}"
            self._verifier = Verifier(blob.digest, blob.size, what)
        size = min(BUFFER_SIZE, max(1, blob.size))
        if self._buffer is None:
            self._buffer = buffers.pop() if buffers else memoryview(b"")
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        self._pieces = iter(repository.blob_views(blob, 0, self._buffer))
        return self._pieces

    def _stop(self) -> None:
        """Give back the connection that an unfinished stream holds."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        self._pieces = self._verifier = None
