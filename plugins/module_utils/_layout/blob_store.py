# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder ``blobs/<algorithm>/<hex>`` of an OCI image layout, safe under concurrent threads and processes.

Source: image-spec, image-layout.md, "Blobs". Layouts on disk and the cache keyed by digest share it.

A blob is renamed to its name after digest and size were checked, so that readers see complete blobs only, and a stored
blob is never opened for writing. Temporary files are in ``.ingest`` beside ``blobs``, not below it: ``crane layout gc``
refuses a layout with a name below ``blobs`` that is not a digest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Callable

from .._errors import DigestMismatch, NotFound, StorageError
from .._files.bounded import pieces
from .._files.regular_file import storage_error
from .._files.shared_file import write_all
from .._oci.digest import Verifier, parse_digest
from .._oci.manifest import Descriptor
from .._oci.pipeline import BackgroundWorker
from .blobs import SmallBlobs, blob_name, small_files
from .files import INGEST, StoreFiles, Temporary, unlink
from .leftovers import PARTIAL

CHUNK_SIZE = 256 * 1024

# Seconds that a process waits for another one's download that does not grow.
DEFAULT_LOCK_TIMEOUT = 300.0


class BlobStore(StoreFiles):
    """The blobs of the image layout in the directory ``root``, which is created by the first write.

    ``durable`` flushes each blob to the disk before the rename, so that after a power loss no index names a missing
    blob. A cache does not need that: its entries are hashed again before they are used.

    ``lock_timeout`` is in seconds, see :meth:`fetch`. Every method raises InvalidReference for a malformed digest,
    before it is used in a path, and StorageError as documented in :class:`~._layout.files.StoreFiles`.
    """

    def __init__(
        self,
        root: str,
        *,
        durable: bool = False,
        lock_timeout: float = DEFAULT_LOCK_TIMEOUT,
        is_layout: bool = False,
    ) -> None:
        super().__init__(root, is_layout=is_layout)
        self._durable = durable
        self._lock_timeout = lock_timeout

    def path(self, digest: str) -> str:
        """The path of the blob, whether or not it exists."""
        return self.directory.path(blob_name(digest))

    def size(self, digest: str) -> int | None:
        """The size in bytes, None when there is no such blob."""
        return self.directory.size(blob_name(digest))

    def has(self, descriptor: Descriptor) -> bool:
        """True when the blob exists with the descriptor's size; its content is not read."""
        return self.size(descriptor.digest) == descriptor.size

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob, opened for reading, not checked.

        :raises NotFound: when there is no such blob.
        :raises DigestMismatch: when it has another size.
        """
        try:
            handle = self.directory.open_file(blob_name(descriptor.digest))
        except FileNotFoundError:
            raise NotFound(f"The blob {descriptor.digest} is not in {self.root}.") from None
        found, size = os.fstat(handle.fileno()).st_size, descriptor.size
        if found != size:
            handle.close()
            raise DigestMismatch(
                f"The blob {descriptor.digest} in {self.root} has {found} bytes; its descriptor says {size}.",
                "The file is damaged: remove it and fetch it again.",
            )
        return handle

    def stream(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of the blob from ``offset`` on, in pieces of at most 256 KiB, not checked.

        :raises NotFound: when there is no such blob.
        :raises DigestMismatch: when it has another size.
        """
        with self.open(descriptor) as handle:
            try:
                handle.seek(offset)
                yield from pieces(handle, CHUNK_SIZE)
            except OSError as exc:
                raise storage_error("read", self.path(descriptor.digest), exc) from exc

    @contextlib.contextmanager
    def small_blobs(self, limit: int, ends: float) -> Iterator[SmallBlobs]:
        """The blobs that may be manifests; see :meth:`.blobs.Blobs.small_blobs`."""
        with self.directory.opened() as handles:
            yield small_files(handles, limit, ends)

    def verified_path(self, descriptor: Descriptor) -> str | None:
        """The path of a blob after hashing it, None when it does not exist.

        A blob of another size or content is removed, so that the next :meth:`fetch` or :meth:`add` stores it again.
        """
        path = self.path(descriptor.digest)
        try:
            handle = self.directory.open_file(blob_name(descriptor.digest))
        except FileNotFoundError:
            return None
        with handle:
            if is_sound(handle, descriptor, path):
                return path
            self.remove_damaged(handle, descriptor.digest)
        return None

    def remove_damaged(self, handle: BinaryIO, digest: str) -> None:
        """Remove an open blob, unless another process has replaced it since it was opened."""
        name = blob_name(digest)
        try:
            with self.directory.changing() as handles:
                parent, base = handles.locate(name)
                # the status of a link's target; the link itself is removed
                if os.path.samestat(os.fstat(handle.fileno()), os.stat(base, dir_fd=parent)):
                    os.unlink(base, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise self.directory.refusal("remove", name, exc) from exc

    def add(self, descriptor: Descriptor, chunks: Iterable[bytes], what: str = "") -> bool:
        """Store a blob; False when it existed already, and ``chunks`` was not read.

        ``what`` names the blob in messages. Exceptions of ``chunks`` pass through. Nothing is left after a failure.

        :raises DigestMismatch: when the bytes do not match the descriptor.
        """
        if self.has(descriptor):
            return False
        name = blob_name(descriptor.digest)
        verifier = Verifier(descriptor.digest, descriptor.size, what or f"The blob {descriptor.digest}")
        with self.temporary(os.path.basename(name)[:16]) as temporary:
            for chunk in chunks:
                verifier.update(chunk)
                write_all(temporary.handle, chunk, self.directory.path(temporary.name))
            verifier.finish()
            self.publish(temporary, name, self._durable)
        return True

    def fetch(self, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> str:
        """Return the path of a blob that this call has hashed, after downloading it when it is missing.

        ``stream(offset)`` returns the bytes from ``offset`` on and is called only for a missing blob. When several
        callers want the same blob, one downloads it and the others wait, as long as that download grows at least once
        in ``lock_timeout`` seconds.

        When ``stream`` raises, the partial download stays, and the next call resumes it, in this run or another. If a
        resumed download does not match the digest, all of it is discarded and downloaded once more from the start.

        :raises DigestMismatch: when the bytes of one uninterrupted download do not match the descriptor.
        :raises StorageError: when a file operation fails, or the other download stalls.
        """
        path = self.verified_path(descriptor)
        if path:
            return path
        algorithm, encoded_digest = parse_digest(descriptor.digest)
        partial = f"{INGEST}/{algorithm}-{encoded_digest}{PARTIAL}"
        self.sweep(keep=partial)
        try:
            with self.locked(partial, self._lock_timeout) as (handle, handles):
                path = self.verified_path(descriptor)
                if path:
                    unlink(handles, partial)
                    return path
                try:
                    download(handle, self.directory.path(partial), descriptor, stream, what)
                    self.publish(Temporary(handle, partial, handles), blob_name(descriptor.digest), self._durable)
                    return self.path(descriptor.digest)
                except BaseException:
                    # the lock is still held, so the file may be removed
                    if os.fstat(handle.fileno()).st_size == 0:
                        unlink(handles, partial)
                    raise
        finally:
            self.tidy()


def is_sound(handle: BinaryIO, descriptor: Descriptor, path: str) -> bool:
    """True when a file has the size and digest of the descriptor."""
    verifier = Verifier(descriptor.digest, descriptor.size, f"The file {path}")
    try:
        _hash_file(handle, verifier, path)
        verifier.finish()
    except DigestMismatch:
        return False
    return True


def _hash_file(handle: BinaryIO, verifier: Verifier, path: str) -> None:
    try:
        for chunk in pieces(handle, CHUNK_SIZE):
            verifier.update(chunk)
    except OSError as exc:
        raise storage_error("read", path, exc) from exc


def download(
    handle: BinaryIO, path: str, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str
) -> None:
    """Download the missing bytes of an open file, and check all of them. See :meth:`BlobStore.fetch`."""
    offset = os.fstat(handle.fileno()).st_size
    while True:
        try:
            _fill(handle, path, offset, descriptor, stream, what)
            return
        except DigestMismatch:
            _empty(handle)
            if not offset:
                raise
            offset = 0
        except StorageError:
            # a partial download must not keep the disk full
            _empty(handle)
            raise


def _empty(handle: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        handle.seek(0)
        handle.truncate(0)


def _fill(
    handle: BinaryIO,
    path: str,
    offset: int,
    descriptor: Descriptor,
    stream: Callable[[int], Iterator[bytes]],
    what: str,
) -> None:
    verifier = Verifier(descriptor.digest, descriptor.size, what)
    _hash_file(handle, verifier, path)
    if offset < descriptor.size or not offset:
        chunks = stream(offset)
        hashing = BackgroundWorker(verifier.update)
        try:
            for chunk in chunks:
                # at once, unless there are so many that `blob_views` gives each its own memory
                hashing.put(chunk)
                write_all(handle, chunk, path)
            hashing.close()
        finally:
            hashing.stop()
            # an unfinished generator keeps its connection until it is garbage-collected
            close = getattr(chunks, "close", None)
            if close:
                close()
    verifier.finish()
