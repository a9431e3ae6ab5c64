# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI image layout in one tar file as a repository, for reading: ``oci-archive:PATH``.

It is read where it is. Only one that is compressed as a whole is first decompressed to a temporary file, since gzip and
zstd cannot be read from the middle. An archive of docker without a layout is read as if it had one, see
:mod:`~._layout.docker_archive`.

The file stays open from the first read on: one that is replaced meanwhile does not change what is read.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO

from .._archive.decompress import Decompressor, sniff
from .._errors import DigestMismatch, InvalidContent, InvalidReference, LayerError, NotFound, StorageError
from .._files.bounded import expanded, pieces
from .._files.regular_file import storage_error
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, load_json_object
from .._oci.reference import Reference
from .._oci.repository import BlobSource
from .blobs import SMALL_BLOBS, SmallBlobs, blob_name, small_sizes
from .directory import StoreDirectory
from .index import LayoutIndex, check_version, parse_index
from .reader import INDEX_FILE, LAYOUT_FILE, MAX_INDEX_SIZE, LayoutReader, read_bounded
from .tar_members import Section, TarMembers, read_members

CHUNK_SIZE = 256 * 1024
# How far a compressed archive may expand: most of what is in it is compressed already. Bytes, and times its size.
MIN_EXPANSION = 64 * 1024 * 1024
MAX_RATIO = 50

_AGAIN = "Copy the archive here again, or write it anew."


class ArchiveFile:
    """The open tar file: its members, and the content of each. Thread-safe.

    Methods raise NotFound when there is no such file, InvalidContent when it is not a tar file that can be read, and
    StorageError when a file operation fails or the path leads through a link that is not to be followed.

    :param path: absolute.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.what = f"The archive {path}"
        self.is_compressed = False
        self._lock = threading.Lock()
        self._opened: tuple[BinaryIO, TarMembers] | None = None

    @property
    def members(self) -> TarMembers:
        return self._open()[1]

    @property
    def sections(self) -> Mapping[str, Section]:
        return self.members.sections

    def open(self, name: str, offset: int = 0) -> BinaryIO:
        """Open a file of the layout at a position in it.

        :raises KeyError: when there is no such file.
        """
        handle, members = self._open()
        section = members.sections[name]
        start = min(offset, section.size)
        document = members.documents.get(name)
        if document is not None:
            return io.BytesIO(document[start:])
        return _open_section(handle, Section(section.offset + start, section.size - start))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].close()
                self._opened = None

    def _open(self) -> tuple[BinaryIO, TarMembers]:
        with self._lock:
            if self._opened is None:
                with contextlib.ExitStack() as stack:
                    source = stack.enter_context(self._open_file())
                    try:
                        handle = stack.enter_context(self._decompressed(source))
                        members = self._members_of(handle)
                    except OSError as exc:
                        raise storage_error("read", self.path, exc) from exc
                    if handle is not source:
                        source.close()
                    self._opened = handle, members
                    stack.pop_all()
            return self._opened

    def _members_of(self, handle: BinaryIO) -> TarMembers:
        members = read_members(handle, os.fstat(handle.fileno()).st_size, self.what)
        if members.is_docker:
            from .docker_archive import with_layout

            return with_layout(members, partial(_open_section, handle), self.what)
        return members

    def _open_file(self) -> BinaryIO:
        folder, name = os.path.split(self.path)
        try:
            return StoreDirectory(folder, is_layout=True).open_file(name)
        except FileNotFoundError:
            pass
        if os.path.isdir(self.path):
            raise NotFound(
                f"There is no archive at {self.path}: it is a directory.",
                "The directory of an OCI image layout is written oci-layout:PATH.",
            )
        state = "it is not a file" if os.path.lexists(self.path) else "the file does not exist"
        raise NotFound(f"There is no archive at {self.path}: {state}.", "Check the path.")

    def _decompressed(self, handle: BinaryIO) -> BinaryIO:
        """Return the file itself, from its start, or its content in a temporary file when it is compressed."""
        kind = sniff(handle.read(512))
        handle.seek(0)
        self.is_compressed = kind in ("gzip", "zstd")
        if not self.is_compressed:
            return handle
        room = max(MIN_EXPANSION, MAX_RATIO * os.fstat(handle.fileno()).st_size)
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(tempfile.TemporaryFile(prefix="oci-archive-"))

            def take(data: bytes | memoryview) -> None:
                nonlocal room
                room -= len(data)
                if room < 0:
                    raise InvalidContent(
                        f"{self.what} expands to more than {MAX_RATIO} times its size.",
                        "Decompress it by hand if that is to be expected.",
                    )
                try:
                    plain.write(data)
                except OSError as exc:
                    raise storage_error("decompress", self.path, exc) from exc

            decompressor = Decompressor(take, self.what)
            try:
                for chunk in pieces(handle, CHUNK_SIZE):
                    decompressor.write(chunk)
                decompressor.close()
            except LayerError as exc:
                raise InvalidContent(exc.message, _AGAIN) from None
            plain.seek(0)
            stack.pop_all()
        return plain


def _open_section(handle: BinaryIO, section: Section) -> BinaryIO:
    return io.BufferedReader(_SectionReader(handle, section.offset, section.size), CHUNK_SIZE)


class _SectionReader(io.RawIOBase):
    """The content of one member. It is read by position: many may read from one open file at the same time."""

    def __init__(self, handle: BinaryIO, position: int, size: int) -> None:
        self._handle = handle
        self._position = position
        self._end = position + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._end - self._position)
        if count <= 0:
            return 0
        data = os.pread(self._handle.fileno(), count, self._position)
        if not data:
            raise OSError(errno.EIO, "The archive was cut short while it was read")
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class ArchiveBlobs:
    """Implements :class:`~._layout.blobs.Blobs` for an archive; raises as :class:`ArchiveFile`."""

    def __init__(self, file: ArchiveFile) -> None:
        self.file = file

    def path(self, digest: str) -> str:
        return f"{self.file.path}, {blob_name(digest)}"

    def size(self, digest: str) -> int | None:
        section = self._sections().get(blob_name(digest))
        return section.size if section is not None else None

    def has(self, descriptor: Descriptor) -> bool:
        return self.size(descriptor.digest) == descriptor.size

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return self._open_at(descriptor, 0)

    def stream(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        with self._open_at(descriptor, offset) as handle:
            try:
                yield from pieces(handle, CHUNK_SIZE)
            except OSError as exc:
                raise storage_error("read", self.path(descriptor.digest), exc) from exc

    @contextlib.contextmanager
    def small_blobs(self, limit: int, ends: float) -> Iterator[SmallBlobs]:
        prefix = f"{SMALL_BLOBS}/"
        sections = self._sections()

        def size_of(name: str) -> int:
            return sections[prefix + name].size

        def read(name: str, size: int) -> bytes:
            try:
                with self.file.open(prefix + name) as handle:
                    return handle.read(size)
            except (OSError, KeyError):
                return b""

        names = [name[len(prefix) :] for name in sections if name.startswith(prefix)]
        found = small_sizes(((name, partial(size_of, name)) for name in names), limit, ends)
        yield SmallBlobs(found.sizes, found.problem, read)

    def _open_at(self, descriptor: Descriptor, offset: int) -> BinaryIO:
        found = self.size(descriptor.digest)
        if found is None:
            raise NotFound(f"The blob {descriptor.digest} is not in {self.file.path}.")
        if found != descriptor.size:
            raise DigestMismatch(
                f"The blob {descriptor.digest} in {self.file.path} has {found} bytes; its descriptor says "
                f"{descriptor.size}.",
                _AGAIN,
            )
        return self.file.open(blob_name(descriptor.digest), offset)

    def _sections(self) -> Mapping[str, Section]:
        """Return the members, none when there is no archive."""
        try:
            return self.file.sections
        except NotFound:
            return {}


class ArchiveRepository(LayoutReader):
    """The image layout in the tar file at ``reference.layout`` (a path as users write it), for reading.

    Works in directories of other users, as :class:`~._layout.directory.StoreDirectory` does for layouts.

    :raises InvalidReference: when the reference is not to an archive.
    """

    def __init__(self, reference: Reference) -> None:
        if not reference.is_archive:
            raise InvalidReference(f"The reference {str(reference)!r} is not to an OCI archive.")
        path = os.path.abspath(expanded(reference.layout))
        self.file = ArchiveFile(path)
        super().__init__(reference, path, self.file.what)
        self.store = ArchiveBlobs(self.file)
        self._parsed: LayoutIndex | None = None

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """:raises StorageError: always, see :class:`~._layout.archive_writer.WritableArchive`."""
        raise self._read_only()

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """:raises StorageError: always, as :meth:`push_blob`."""
        raise self._read_only()

    def close(self) -> None:
        self.file.close()

    def _read_only(self) -> StorageError:
        return StorageError(f"{self.file.what} was opened for reading.")

    def _index(self) -> LayoutIndex:
        if self._parsed is None:
            self._parsed = self._read_index()
        return self._parsed

    def _read_index(self) -> LayoutIndex:
        members = self.file.members
        for name in (LAYOUT_FILE, INDEX_FILE):
            if name not in members.sections:
                problem = f"{self.file.what} has no OCI image layout: there is no file {name} in it."
                raise InvalidContent(problem, _hint(members))
        check_version(self._document(LAYOUT_FILE, MAX_MANIFEST_SIZE), self._place)
        return parse_index(self._document(INDEX_FILE, MAX_INDEX_SIZE), f"The file {INDEX_FILE} in {self.file.path}")

    def _document(self, name: str, limit: int) -> dict[str, Any]:
        what = f"The file {name} in {self.file.path}"
        with self.file.open(name) as handle:
            return load_json_object(read_bounded(handle, limit, what), what)


def _hint(members: TarMembers) -> str:
    """Say what the archive is in place of one with a layout."""
    if members.below:
        return f"It has one in its folder {members.below!r}: pack what is in there, as with tar -C FOLDER -cf ARCHIVE ."
    return "Check that it was written as an OCI archive."
