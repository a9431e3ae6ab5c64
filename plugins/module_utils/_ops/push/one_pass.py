# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs that are sent while they are hashed or made, where knowing their digests first would save no transfer."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Callable, Protocol, TypeVar, cast

from ..._errors import BuildError
from ..._files.bounded import READ_SIZE
from ..._files.threads import new_thread, thread_pool
from ..._oci.digest import digest_of_hash
from ..._oci.manifest import Descriptor
from .known_files import KnownFiles
from .local_blob import Delivery, changed, open_file

# Bytes. A file that is smaller is hashed in less time than what a needless transfer could cost; of an archive this much
# is packed before anything is sent, since most are smaller.
MIN_FILE = 64 * 1024 * 1024
MIN_ARCHIVE = 8 * 1024 * 1024
# bytes of an archive that are waited for, so that few large pieces are sent
MIN_PIECE = 256 * 1024

if TYPE_CHECKING:
    from ..._archive.writer import PackResult
    from ..._oci.repository import Repository, WritableRepository

T = TypeVar("T")


class Prospect(Protocol):
    """What is known of the place to publish to; may be asked by several threads."""

    def repository_for(self, size: int | None) -> WritableRepository | None:
        """The repository, when no tag to be written holds a layer of so many bytes (None: of unknown size) already,
        and all of them may be written; otherwise None."""


class OnePass(Delivery):
    """Sends large files, and archives that become large, to the repository while the artifact is built.

    ``sent`` has the digests that it holds then. What could not be sent in this way is sent later, as if it had not been
    tried. ``width`` is how many layers are made at the same time.
    """

    def __init__(self, prospect: Prospect, known: KnownFiles, width: int) -> None:
        self.sent: set[str] = set()
        self._prospect = prospect
        self._known = known
        self._width = width
        self._failure: BaseException | None = None

    def describe(self, path: str, media_type: str) -> Descriptor:
        try:
            is_large = os.stat(path).st_size >= MIN_FILE
        except OSError:
            is_large = False
        if not is_large:
            return super().describe(path, media_type)
        with HashedFile(path, self._check) as file:
            is_sent = self._send(file)
            found = file.finish()
            if is_sent:
                self.sent.add(found.digest)
            self._known.note(file.status, found.digest)
            return replace(found, media_type=media_type)

    def _send(self, file: HashedFile) -> bool:
        repository = self._prospect.repository_for(file.size)
        if repository is None or self._may_be_there(repository, file):
            return False
        return repository.push_unhashed(file)

    def _may_be_there(self, repository: Repository, file: HashedFile) -> bool:
        """True when the repository holds what the file was when it was published before."""
        digest = self._known.digest_of(file.status)
        return bool(digest) and repository.blob_exists(Descriptor("", digest, file.size))

    def archive(self, path: str, pack: Callable[[BinaryIO], PackResult]) -> PackResult:
        with GrowingArchive(path, self._check) as archive:
            follower = Follower(archive, self._prospect)
            archive.on_growth = follower.start
            try:
                packed = pack(cast(BinaryIO, archive))
                archive.end(Descriptor("", packed.digest, packed.size))
                if follower.join():
                    self.sent.add(packed.digest)
                return packed
            finally:
                archive.fail()
                follower.stop()

    def gather(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        if self._width < 2:
            return super().gather(jobs)
        with thread_pool(self._width) as pool:
            pending = [pool.submit(self._unless_failed, job) for job in jobs]
        if self._failure is not None:
            raise self._failure
        return [each.result() for each in pending]

    def _unless_failed(self, job: Callable[[], T]) -> T:
        try:
            self._check()
            return job()
        except BaseException as exc:
            self._failure = self._failure or exc
            raise

    def _check(self) -> None:
        """:raises BuildError: when another layer has failed, so that nothing more needs to be sent."""
        if self._failure is not None:
            raise BuildError("Another path could not be published.")


class HashedFile:
    """A file whose digest is computed in a thread of its own, from when this is made. A context manager.

    What is sent is read apart from that: if the file changes meanwhile, the registry refuses the digest.
    """

    def __init__(self, path: str, check: Callable[[], None]) -> None:
        """:raises BuildError: when it cannot be read, or is not a regular file."""
        self._path = path
        self._check = check
        self._stream = open_file(path)
        self.status = os.fstat(self._stream.fileno())
        self._content = hashlib.sha256()
        self._count = 0
        self._error: BaseException | None = None
        self._is_closed = False
        self._thread = new_thread(self._hash)
        self._thread.start()

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_closed = True
        self._thread.join()
        self._stream.close()

    @property
    def size(self) -> int:
        return self.status.st_size

    def open(self) -> BinaryIO:
        return cast(BinaryIO, _FilePart(self._stream.fileno(), self._check))

    def finish(self) -> Descriptor:
        self._thread.join()
        if isinstance(self._error, OSError):
            raise BuildError(f"{self._path} cannot be read: {self._error.strerror}.")
        if self._error is not None:
            raise self._error
        now = os.fstat(self._stream.fileno())
        if self._count != self.size or now.st_size != self.size:
            raise changed(self._path, f"it had {self.size} bytes at first and {max(self._count, now.st_size)} now")
        if now.st_mtime_ns != self.status.st_mtime_ns:
            raise changed(self._path, "somebody wrote to it")
        return Descriptor("", digest_of_hash(self._content), self.size)

    def _hash(self) -> None:
        try:
            while not self._is_closed:
                piece = os.pread(self._stream.fileno(), READ_SIZE, self._count)
                if not piece:
                    return
                self._content.update(piece)
                self._count += len(piece)
        except BaseException as exc:
            self._error = exc


class _FilePart(io.RawIOBase):
    """The bytes of an open file from its start, whatever others read of it."""

    def __init__(self, descriptor: int, check: Callable[[], None]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._check = check
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        self._check()
        data = os.pread(self._descriptor, READ_SIZE if size < 0 else size, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset
        return offset


class GrowingArchive:
    """The file of an archive, written by one thread and read by another, which waits for what is not written yet. A
    context manager.

    ``on_growth`` is called once, when the archive has become large. What is set as ``failure`` is raised by the next
    write.
    """

    size = None

    def __init__(self, path: str, check: Callable[[], None]) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115  # see __exit__
        self._check = check
        self._written = 0
        self._descriptor: Descriptor | None = None
        self._is_failed = False
        self._grown = threading.Condition()
        self.on_growth: Callable[[], None] | None = None
        self.failure: BaseException | None = None

    def __enter__(self) -> GrowingArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._check()
        if self.failure is not None:
            raise self.failure
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        with self._grown:
            self._written += len(data)
            self._grown.notify_all()
        if self._written >= MIN_ARCHIVE and self.on_growth is not None:
            start, self.on_growth = self.on_growth, None
            start()
        return len(data)

    def end(self, descriptor: Descriptor) -> None:
        """All of it is written, and this is what it is."""
        with self._grown:
            self._descriptor = descriptor
            self._grown.notify_all()

    def fail(self) -> None:
        """Nothing more of it is to be read: whoever does gets an error."""
        with self._grown:
            self._is_failed = True
            self._grown.notify_all()

    def open(self) -> BinaryIO:
        return cast(BinaryIO, _ArchivePart(self))

    def part(self, size: int, position: int) -> bytes:
        """Up to ``size`` bytes from a position on; empty at the end of the whole.

        :raises BuildError: when the archive is not made to its end.
        """
        self._wait_for(lambda: self._written - position >= min(size, MIN_PIECE))
        self._check()
        return os.pread(self._file.fileno(), size, position)

    def finish(self) -> Descriptor:
        self._wait_for(lambda: False)
        if self._descriptor is None:
            raise _unfinished()
        return self._descriptor

    def _wait_for(self, is_enough: Callable[[], bool]) -> None:
        with self._grown:
            self._grown.wait_for(lambda: self._descriptor is not None or self._is_failed or is_enough())
            if self._is_failed:
                raise _unfinished()


def _unfinished() -> BuildError:
    """Seen by the thread that sends the archive alone; the one that makes it has the reason."""
    return BuildError("The archive could not be made.")


class _ArchivePart(io.RawIOBase):
    def __init__(self, archive: GrowingArchive) -> None:
        super().__init__()
        self._archive = archive
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        data = self._archive.part(READ_SIZE if size < 0 else size, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset
        return offset


class Follower:
    """Sends a growing archive in a thread of its own."""

    def __init__(self, archive: GrowingArchive, prospect: Prospect) -> None:
        self._archive = archive
        self._prospect = prospect
        self._thread: threading.Thread | None = None
        self._is_sent = False

    def start(self) -> None:
        self._thread = new_thread(self._send)
        self._thread.start()

    def _send(self) -> None:
        try:
            repository = self._prospect.repository_for(None)
            self._is_sent = repository is not None and repository.push_unhashed(self._archive)
        except BaseException as exc:
            self._archive.failure = exc

    def join(self) -> bool:
        """Wait for the end of the upload; True when the repository holds the archive now."""
        self.stop()
        if self._archive.failure is not None:
            raise self._archive.failure
        return self._is_sent

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.join()
