# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blobs of a delivery as those of an image layout: in the arguments, in a directory, or in files that were sent."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from ..._errors import DigestMismatch, NotFound
from ..._files.bounded import pieces
from ..._files.regular_file import storage_error
from ..._layout.blobs import SmallBlobs, blob_name
from ..._layout.index import LayoutIndex, parse_index
from ..._layout.reader import LayoutReader
from ..._oci.manifest import Descriptor
from ..._oci.reference import Reference
from .delivery import PART_SIZE, Archive, Delivery

if TYPE_CHECKING:
    from ..._dest.incoming import Incoming

_PIECE = 256 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DeliveredBlobs:
    """Implements :class:`~._layout.blobs.Blobs`. Nothing that it returns is checked: who reads a blob does that.

    :param store: the path of a directory with blobs; empty without one.
    :param sent: where files were sent to, and the archive that they are the parts of; None without any.
    """

    def __init__(self, deliveries: Sequence[Delivery], store: str, sent: tuple[Incoming, Archive] | None) -> None:
        self._inline = {digest: data for each in deliveries for digest, data in each.inline.items()}
        self._sizes = {digest: len(data) for digest, data in self._inline.items()}
        self._sizes.update({digest: size for each in deliveries for digest, size in each.blobs.items()})
        self._store = store
        self._sent = sent

    def path(self, digest: str) -> str:
        return f"the blob {digest} that was handed over"

    def size(self, digest: str) -> int | None:
        return self._sizes.get(digest) if self._is_here(digest) else None

    def has(self, descriptor: Descriptor) -> bool:
        return self.size(descriptor.digest) == descriptor.size

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(b"".join(self.stream(descriptor)))

    def stream(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        digest = descriptor.digest
        if not self._is_here(digest):
            raise NotFound(f"The blob {digest} was not handed over.", "Run the task again.")
        if self._sizes[digest] != descriptor.size:
            raise DigestMismatch(
                f"The blob {digest} was handed over with {self._sizes[digest]} bytes; its descriptor says "
                f"{descriptor.size}."
            )
        if digest in self._inline:
            return iter((self._inline[digest][offset:],))
        if self._sent is None or self._store:
            return self._of_store(digest, offset)
        return self._of_parts(*self._sent, digest, offset, descriptor.size - offset)

    @contextlib.contextmanager
    def small_blobs(self, limit: int, ends: float) -> Iterator[SmallBlobs]:
        yield SmallBlobs()

    def _is_here(self, digest: str) -> bool:
        if digest in self._inline:
            return True
        if self._store:
            return digest in self._sizes
        return self._sent is not None and self._sent[1].start_of(digest) is not None

    def _of_store(self, digest: str, offset: int) -> Iterator[bytes]:
        path = os.path.join(self._store, blob_name(digest))
        try:
            with os.fdopen(os.open(path, _READ), "rb", buffering=0) as stream:
                stream.seek(offset)
                yield from pieces(stream, _PIECE)
        except FileNotFoundError:
            raise NotFound(f"The blob {digest} is not in {self._store} any more.", "Run the task again.") from None
        except OSError as exc:
            raise storage_error("read", path, exc) from exc

    @staticmethod
    def _of_parts(incoming: Incoming, archive: Archive, digest: str, offset: int, size: int) -> Iterator[bytes]:
        position = (archive.start_of(digest) or 0) + offset
        names = {start: name for name, (start, _size) in archive.parts.items()}
        while size > 0:
            start = position // PART_SIZE * PART_SIZE
            try:
                with os.fdopen(incoming.open(names[start]), "rb", buffering=0) as stream:
                    stream.seek(position - start)
                    left = min(size, start + PART_SIZE - position)
                    while left:
                        piece = stream.read(min(left, _PIECE))
                        if not piece:
                            raise DigestMismatch(f"The part {names[start]} of what was sent is too short.")
                        yield piece
                        left -= len(piece)
                        size -= len(piece)
                        position += len(piece)
            except OSError as exc:
                raise storage_error("read", incoming.path, exc) from exc


class DeliveredRepository(LayoutReader):
    """What was handed over of one repository."""

    def __init__(self, reference: Reference, delivery: Delivery, blobs: DeliveredBlobs) -> None:
        super().__init__(reference.at(), "", f"What was handed over of {reference.name}")
        self.store = blobs
        self._delivery = delivery
        self._parsed: LayoutIndex | None = None

    @property
    def served_by(self) -> list[str]:
        return list(self._delivery.served_by)

    def _index(self) -> LayoutIndex:
        if self._parsed is None:
            self._parsed = parse_index(dict(self._delivery.listing), self._place)
        return self._parsed

    def close(self) -> None:
        """There is nothing to close."""
