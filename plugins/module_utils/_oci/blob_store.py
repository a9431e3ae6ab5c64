# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder ``blobs/<algorithm>/<hex>`` of an OCI image layout, safe under concurrent threads and processes.

Source: image-spec, image-layout.md, "Blobs". Layouts on disk and the cache keyed by digest share it.

A blob gets its name by a rename, after digest and size were checked: whoever sees the name sees the whole content, and
no blob that is there is ever opened for writing. What is under way lies in ``.ingest`` beside ``blobs``, since a rename
must not leave the file system, and ``crane layout gc`` refuses a layout with a name below ``blobs`` that is no digest.
The folder is gone when nothing is under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Callable

from .digest import Verifier, digest_of, parse_digest
from .errors import DigestMismatch, NotFound, StorageError
from .manifest import Descriptor
from .pipeline import Beside
from .regular_file import open_regular, storage_error
from .shared_file import is_at, locked_file, open_creating, remove, write_all

CHUNK_SIZE = 256 * 1024

# Seconds for which a waiting process puts up with a download that does not grow.
DEFAULT_LOCK_TIMEOUT = 300.0

# Seconds after which what a killed process left behind is removed by the next one that writes.
TEMPORARY_AGE = 3600.0
PARTIAL_AGE = 7 * 24 * 3600.0

_INGEST = ".ingest"
_ATTEMPTS = 10
TEMPORARY = ".tmp"
PARTIAL = ".partial"


class BlobStore:
    """The blobs of the image layout in the directory ``root``, which is created by the first write.

    ``durable`` flushes each blob to the disk before it gets its name, so that after a power loss no index is ahead of
    the blobs it names. A cache does without: its entries are hashed again before they are used.

    ``lock_timeout`` is in seconds, see :meth:`fetch`. Every method raises InvalidReference for a malformed digest,
    before a path is made of it, and StorageError when the file system refuses.
    """

    def __init__(self, root: str, *, durable: bool = False, lock_timeout: float = DEFAULT_LOCK_TIMEOUT) -> None:
        self.root = os.path.abspath(root)
        self._durable = durable
        self._lock_timeout = lock_timeout
        self._blobs = os.path.join(self.root, "blobs")
        self._ingest = os.path.join(self.root, _INGEST)
        self._swept = False

    def path(self, digest: str) -> str:
        """Where the blob lies or would lie."""
        algorithm, encoded = parse_digest(digest)
        return os.path.join(self._blobs, algorithm, encoded)

    def size(self, digest: str) -> int | None:
        """The size in bytes, None when there is no such blob."""
        path = self.path(digest)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise storage_error("look at", path, exc) from exc
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there with the size that the descriptor says; its content is not read."""
        return self.size(descriptor.digest) == descriptor.size

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob, opened for reading, not checked.

        :raises NotFound: when there is no such blob.
        :raises DigestMismatch: when it has another size.
        """
        path = self.path(descriptor.digest)
        try:
            handle = open_regular(path)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"The blob {descriptor.digest} is not in {self.root}.") from None
        except OSError as exc:
            raise storage_error("read", path, exc) from exc
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
                chunk = handle.read(CHUNK_SIZE)
            except OSError as exc:
                raise storage_error("read", self.path(descriptor.digest), exc) from exc
            while chunk:
                yield chunk
                try:
                    chunk = handle.read(CHUNK_SIZE)
                except OSError as exc:
                    raise storage_error("read", self.path(descriptor.digest), exc) from exc

    def verified_path(self, descriptor: Descriptor) -> str | None:
        """The path of a blob that was just hashed, None when it is not there.

        A blob of another size or content is removed, so that the next :meth:`fetch` or :meth:`add` puts it right.
        """
        path = self.path(descriptor.digest)
        try:
            handle = open_regular(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise storage_error("read", path, exc) from exc
        with handle:
            if is_sound(handle, descriptor, path):
                return path
            # another process may have put a good one in its place since the file was opened
            if is_at(handle, path):
                remove(path)
        return None

    def add_bytes(self, data: bytes, algorithm: str = "sha256") -> str:
        """Store bytes that are in memory; returns their digest."""
        digest = digest_of(data, algorithm)
        self.add(Descriptor(media_type="", digest=digest, size=len(data)), (data,))
        return digest

    def add(self, descriptor: Descriptor, chunks: Iterable[bytes], what: str = "") -> bool:
        """Store a blob; False when it was there already, with ``chunks`` left untouched.

        ``what`` names the blob in messages. What ``chunks`` raises passes through. Nothing is left after a failure.

        :raises DigestMismatch: when the bytes are not what the descriptor says.
        """
        if self.has(descriptor):
            return False
        path = self.path(descriptor.digest)
        verifier = Verifier(descriptor.digest, descriptor.size, what or f"The blob {descriptor.digest}")
        with self._temporary(os.path.basename(path)[:16]) as (handle, temporary):
            for chunk in chunks:
                verifier.update(chunk)
                write_all(handle, chunk, temporary)
            verifier.finish()
            self._publish(handle, temporary, path, self._durable)
        return True

    def replace_file(self, path: str, data: bytes) -> None:
        """Give a file beside the blobs, such as ``index.json``, a new content in one step, durably."""
        with self._temporary(os.path.basename(path)) as (handle, temporary):
            write_all(handle, data, temporary)
            self._publish(handle, temporary, path, True)

    def fetch(self, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> str:
        """Make sure that the blob is there and hashed by this call; returns its path.

        ``stream(offset)`` gives the bytes from ``offset`` on and is called only for a blob that is missing. When
        several callers want the same one, one downloads and the others wait, as long as that download grows at least
        once in ``lock_timeout`` seconds.

        When ``stream`` raises, what came so far stays and the next call goes on behind it, in this run or another. If
        the content turns out wrong after such a resumption, the old part is as suspect as the new one: everything is
        thrown away and fetched once more from the start.

        :raises DigestMismatch: when the bytes of one uninterrupted download are not what the descriptor says.
        :raises StorageError: when the file system refuses, or the other download stalls.
        """
        path = self.verified_path(descriptor)
        if path:
            return path
        algorithm, encoded = parse_digest(descriptor.digest)
        partial = os.path.join(self._ingest, f"{algorithm}-{encoded}{PARTIAL}")
        self._sweep(keep=partial)
        try:
            self._prepare_ingest()
            with locked_file(partial, self._lock_timeout, follows_links=False) as handle:
                path = self.verified_path(descriptor)
                if path:
                    remove(partial)
                    return path
                try:
                    download(handle, partial, descriptor, stream, what)
                    path = self.path(descriptor.digest)
                    self._publish(handle, partial, path, self._durable)
                    return path
                except BaseException:
                    # the lock is still held: the name is ours to remove
                    if os.fstat(handle.fileno()).st_size == 0:
                        with contextlib.suppress(OSError):
                            os.unlink(partial)
                    raise
        finally:
            self._tidy()

    def remove_leftovers(self, temporary_age: float = TEMPORARY_AGE, partial_age: float = PARTIAL_AGE) -> None:
        """Remove what killed processes left: temporary files and partial downloads unchanged for so many seconds.

        Files that a living process works on are locked and stay, whatever their age.
        """
        self._sweep(temporary_age, partial_age, again=True)
        self._tidy()

    def _sweep(
        self,
        temporary_age: float = TEMPORARY_AGE,
        partial_age: float = PARTIAL_AGE,
        keep: str = "",
        again: bool = False,
    ) -> None:
        if self._swept and not again:
            return
        self._swept = True
        try:
            names = os.listdir(self._ingest)
        except OSError:
            return
        for name in names:
            path = os.path.join(self._ingest, name)
            age = {TEMPORARY: temporary_age, PARTIAL: partial_age}.get(os.path.splitext(name)[1])
            if age is not None and path != keep:
                remove_abandoned(path, age)

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Iterator[tuple[BinaryIO, str]]:
        self._sweep()
        handle, path = self._open_temporary(name)
        try:
            with handle:
                yield handle, path
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            self._tidy()

    def _open_temporary(self, name: str) -> tuple[BinaryIO, str]:
        while True:
            self._prepare_ingest()
            path = os.path.join(self._ingest, f"{name}-{secrets.token_hex(8)}{TEMPORARY}")
            descriptor = open_creating(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
            handle = os.fdopen(descriptor, "r+b", buffering=0)
            if _is_marked(handle) and is_at(handle, path):
                return handle, path
            # who empties a cache has taken it for a leftover
            handle.close()

    def _publish(self, handle: BinaryIO, source: str, path: str, durable: bool) -> None:
        try:
            self._set_mode(handle)
            if durable:
                os.fsync(handle.fileno())
        except OSError as exc:
            raise storage_error("write", path, exc) from exc
        for attempt in range(_ATTEMPTS):
            self.make_folder(os.path.dirname(path))
            try:
                os.replace(source, path)
                return
            except OSError as exc:
                # who empties a cache may have removed the folder between the two calls
                if not isinstance(exc, FileNotFoundError) or attempt == _ATTEMPTS - 1:
                    raise storage_error("write", path, exc) from exc

    def _prepare_ingest(self) -> None:
        """Called before a file is made in the folder for what is under way, which is made with it."""

    def make_folder(self, path: str) -> None:
        """Make a folder of the store with its parents; modes follow the umask."""
        for attempt in range(_ATTEMPTS):
            try:
                os.makedirs(path, exist_ok=True)
                return
            except OSError as exc:
                # of a folder that is removed between its steps, makedirs says now this and now that
                is_race = isinstance(exc, (FileExistsError, FileNotFoundError))
                if not is_race or attempt == _ATTEMPTS - 1:
                    raise storage_error("create", path, exc) from exc

    def _set_mode(self, handle: BinaryIO) -> None:
        """Set the mode of a file that is about to get its name; here it follows the umask."""

    def _tidy(self) -> None:
        # fails while others have files there, as it should
        with contextlib.suppress(OSError):
            os.rmdir(self._ingest)


def _is_marked(handle: BinaryIO) -> bool:
    """Mark a file as one that is worked on; False when another process has it already."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # where locks are not to be had, its age must do
    return True


def remove_abandoned(path: str, age: float, *, only_look: bool = False) -> bool:
    """Remove a file that is unchanged for so many seconds, and that nobody has locked; False when it stays.

    With ``only_look``, say what would become of it. What is left over costs space only: that it cannot be removed is no
    error.
    """
    with contextlib.suppress(OSError), open_regular(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(handle.fileno()).st_mtime >= age and is_at(handle, path):
            if not only_look:
                os.unlink(path)
            return True
    return False


def is_sound(handle: BinaryIO, descriptor: Descriptor, path: str) -> bool:
    """Whether a file has the size and digest of the descriptor."""
    verifier = Verifier(descriptor.digest, descriptor.size, f"The file {path}")
    try:
        _hash_file(handle, verifier, path)
        verifier.finish()
    except DigestMismatch:
        return False
    return True


def _hash_file(handle: BinaryIO, verifier: Verifier, path: str) -> None:
    while True:
        try:
            chunk = handle.read(CHUNK_SIZE)
        except OSError as exc:
            raise storage_error("read", path, exc) from exc
        if not chunk:
            return
        verifier.update(chunk)


def download(
    handle: BinaryIO, path: str, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str
) -> None:
    """Complete an open file with the bytes that it lacks, and check them all. See :meth:`BlobStore.fetch`."""
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
            # a partial file must not be what keeps the disk full
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
        hashing = Beside(verifier.update)
        try:
            for chunk in chunks:
                hashing.put(chunk)
                write_all(handle, chunk, path)
            hashing.close()
        finally:
            hashing.stop()
            # a generator that is dropped half way keeps its connection until it is collected
            close = getattr(chunks, "close", None)
            if close:
                close()
    verifier.finish()
