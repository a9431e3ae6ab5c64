# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI image layout in one tar file as a repository, for writing.

An archive is never changed in place. What is pushed is kept in mind, with a way to read it, and written together with
what the archive has to a new file, which takes the archive's name when it is complete and on the disk. So readers see
the old archive or the new one, a killed writer leaves the old one, and blobs are written once.

The same content makes the same bytes: ``oci-layout``, ``index.json`` with sorted entries, and the blobs in the order of
their names, with fixed modes, owners and times, uncompressed. The headers are those of Go's archive/tar, which skopeo,
podman, docker and oras write with.

Writers of this collection take turns, by a lock on a file beside the archive, which is removed afterwards.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from .._archive.tar_header import tar_header
from .._archive.tar_reader import BLOCK
from .._errors import DigestMismatch, InvalidContent, InvalidOption, NotFound, PushFailed, StorageError
from .._files.bounded import pieces
from .._files.directory_handles import DirectoryHandles
from .._files.regular_file import storage_error
from .._files.shared_file import write_all
from .._files.users import is_trusted
from .._oci import media
from .._oci.digest import Verifier, verify_bytes
from .._oci.manifest import Descriptor, Manifest
from .._oci.reference import Reference, check_tag
from .._oci.repository import EXISTED, MAX_SMALL_BLOB, UPLOADED, BlobSource
from .archive import CHUNK_SIZE, ArchiveBlobs, ArchiveFile, ArchiveRepository
from .blobs import blob_name
from .files import StoreFiles, unlink_same
from .index import LAYOUT_VERSION, LayoutIndex, list_manifest, parse_index
from .leftovers import TEMPORARY, TEMPORARY_AGE, remove_abandoned
from .reader import INDEX_FILE, LAYOUT_FILE

_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755
_PACKED_NAMES = (".gz", ".tgz", ".zst", ".zstd", ".tzst", ".bz2", ".xz")
# Bytes after which a writer shows those that wait for its lock that it goes on.
_PROGRESS = 64 * 1024 * 1024
_LOCK = ".lock"
# Characters of the archive's name in the names of the lock and of temporary files, which may have 255 bytes.
_MAX_BASE = 50


class WritableArchive(ArchiveRepository):
    """The image layout in the tar file at ``reference.layout``, which the first push creates with its directory.

    :param lock_timeout: seconds that a writer waits for another one that makes no progress.
    """

    def __init__(self, reference: Reference, *, lock_timeout: float = 60.0) -> None:
        super().__init__(reference)
        folder, self._name = os.path.split(self.root)
        self._files = _ArchiveFiles(folder, self._name)
        self._lock_timeout = lock_timeout
        self._staged = _StagedBlobs(self.file)
        self.store = self._staged
        # index.json as it is to be written; None while it is as in the archive
        self._new_index: dict[str, Any] | None = None
        self._batch: contextlib.ExitStack | None = None
        self._lock: BinaryIO | None = None
        self._beginning = threading.Lock()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """See :meth:`~._oci.repository.WritableRepository.batch`. The lock is taken by the first push, not by reading.

        :raises StorageError: when the archive cannot be written, or the lock is not acquired in time.
        """
        if self._batch is not None:
            yield
            return
        with contextlib.ExitStack() as stack:
            self._batch = stack
            try:
                yield
                if self._lock is not None:
                    self._write(self._lock)
                else:
                    # what a writer left that was killed after its last step
                    self._files.sweep()
            finally:
                self._batch = self._lock = self._new_index = None
                self._staged.pending.clear()
                self._reload()

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """Keep a blob in mind unless the archive has it; return EXISTED or UPLOADED. ``mount_from`` has no effect.

        An existing blob of at most ``MAX_SMALL_BLOB`` bytes is hashed, and replaced when it is damaged; of a larger
        one only the size is compared. The source is read when the archive is written, by :meth:`push_manifest` or at
        the end of the :meth:`batch`, which then raise DigestMismatch or PushFailed.

        :raises StorageError: when nothing can be added to the archive.
        """
        self._begin()
        return UPLOADED if self._stage(source) else EXISTED

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Add a manifest or index, and list it in ``index.json``, under ``tag`` when one is given.

        A manifest that had the tag before stays listed without it. Nothing is written when the manifest has the tag.

        :raises InvalidReference: when the tag is malformed.
        :raises PushFailed: when a blob or manifest that it names, other than its subject, is missing.
        """
        if tag:
            check_tag(tag)
        with self.batch():
            self._begin()
            self._check_parts(manifest)
            self._stage(BlobSource(manifest.descriptor, lambda: io.BytesIO(manifest.raw)))
            document = self._current_index()
            if list_manifest(document, manifest, tag):
                self._new_index, self._parsed = document, None

    def _index(self) -> LayoutIndex:
        if self._new_index is None:
            return super()._index()
        if self._parsed is None:
            self._parsed = parse_index(self._new_index, f"The file {INDEX_FILE} for {self.root}")
        return self._parsed

    # -- what is to be written

    def _begin(self) -> None:
        """Take the lock for the rest of the batch, and read the archive as it is now."""
        with self._beginning:
            if self._batch is None or self._lock is not None:
                return
            self._lock = self._batch.enter_context(self._files.turn(self._lock_timeout))
            self._reload()
            check_archive(self.file)

    def _stage(self, source: BlobSource) -> bool:
        """Note a blob that is to be written; False when it is there."""
        descriptor, pending = source.descriptor, self._staged.pending
        name = blob_name(descriptor.digest)
        if name in pending or (self.store.has(descriptor) and self._is_sound(descriptor)):
            return False
        pending[name] = source
        return True

    def _is_sound(self, descriptor: Descriptor) -> bool:
        if descriptor.size > MAX_SMALL_BLOB:
            return True
        with self.store.open(descriptor) as handle:
            try:
                verify_bytes(handle.read(), descriptor.digest, descriptor.size, "The blob")
            except DigestMismatch:
                return False
        return True

    def _current_index(self) -> dict[str, Any]:
        try:
            return dict(self._index().document)
        except NotFound:
            return {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}

    def _reload(self) -> None:
        self.file.close()
        self._parsed = None

    # -- writing

    def _write(self, lock: BinaryIO) -> None:
        if self._new_index is None and not self._staged.pending:
            return
        # escaped, because a document of another tool may hold text that is not valid Unicode
        document = self._current_index()
        document["manifests"] = sorted(document["manifests"] or (), key=_place_in_index)
        index = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
        with self._files.temporary(self._files.base, "") as temporary:
            self._keep_mode(temporary.handle, temporary.handles)
            output = _TarOutput(temporary.handle, self._files.directory.path(temporary.name), lock)
            version = json.dumps({"imageLayoutVersion": LAYOUT_VERSION}).encode()
            output.file(LAYOUT_FILE, len(version), (version,))
            output.file(INDEX_FILE, len(index), (index,))
            folders: set[str] = set()
            for name in sorted({*self._staged.names(), *self._staged.pending}):
                algorithm = os.path.dirname(name)
                for folder in ("blobs", algorithm):
                    if folder not in folders:
                        folders.add(folder)
                        output.directory(folder)
                self._write_blob(output, name)
            output.end()
            self._files.publish(temporary, self._name, True)

    def _write_blob(self, output: _TarOutput, name: str) -> None:
        source = self._staged.pending.get(name)
        if source is not None:
            output.file(
                name,
                source.descriptor.size,
                _checked(source, f"The blob {source.descriptor.digest} for {self.reference.name}"),
            )
            return
        with self.file.open(name) as handle:
            try:
                output.file(name, self.file.sections[name].size, pieces(handle, CHUNK_SIZE))
            except OSError as exc:
                raise storage_error("read", self.root, exc) from exc

    def _keep_mode(self, handle: BinaryIO, handles: DirectoryHandles) -> None:
        """Give the new file the permissions of the archive that it replaces, unless somebody less trusted set them."""
        with contextlib.suppress(FileNotFoundError):
            status = handles.lstat(self._name)
            if stat.S_ISREG(status.st_mode) and is_trusted(status.st_uid):
                os.fchmod(handle.fileno(), stat.S_IMODE(status.st_mode) & 0o777)


def check_archive(file: ArchiveFile) -> None:
    """Check whether content can be added to an archive, or to what is in its place.

    :raises StorageError: when content would be lost, or the new file would not be what its name says.
    """
    path = file.path
    try:
        members = file.members
    except NotFound as exc:
        if os.path.lexists(path):
            # not of what is written there: that would be taken for a lack of the source
            raise StorageError(exc.message, exc.hint) from None
        if os.path.basename(path).lower().endswith(_PACKED_NAMES):
            raise InvalidOption(
                f"{file.what} has the name of a compressed file, and archives are written uncompressed.",
                "Let its name end in .tar: most of what is in it is compressed already.",
            ) from None
        return
    if os.path.islink(path):
        raise StorageError(
            f"{file.what} is a symbolic link, which a new archive would replace.",
            f"Name the file that it leads to: {os.path.realpath(path)}.",
        )
    if file.is_compressed:
        raise StorageError(
            f"Nothing can be added to {path}: it is compressed.",
            "Decompress it first: most of what is in it is compressed already.",
        )
    if members.foreign:
        raise StorageError(
            f"Nothing can be added to {path}: it has {members.foreign!r}, which is not part of an OCI image "
            "layout and would be lost.",
            "Write to a new archive.",
        )


def _place_in_index(entry: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Return the key that entries of ``index.json`` are sorted by, so that the order of pushes makes no difference.

    Entries for a platform without a name keep their order, by which other tools choose.
    """
    name = (entry.get("annotations") or {}).get(media.ANNOTATION_REF_NAME, "")
    return not name, str(name), "" if entry.get("platform") else str(entry["digest"])


class _StagedBlobs(ArchiveBlobs):
    """The blobs of the archive, and those that are to be written: ``pending``, by their names in the layout."""

    def __init__(self, file: ArchiveFile) -> None:
        super().__init__(file)
        self.pending: dict[str, BlobSource] = {}

    def names(self) -> Iterable[str]:
        """The names of the blobs in the archive."""
        return [name for name in self._sections() if name.startswith("blobs/")]

    def size(self, digest: str) -> int | None:
        source = self.pending.get(blob_name(digest))
        return super().size(digest) if source is None else source.descriptor.size

    def _open_at(self, descriptor: Descriptor, offset: int) -> BinaryIO:
        source = self.pending.get(blob_name(descriptor.digest))
        if source is None or source.descriptor.size != descriptor.size:
            return super()._open_at(descriptor, offset)
        handle = source.open()
        while offset:
            skipped = len(handle.read(min(offset, CHUNK_SIZE)))
            offset = offset - skipped if skipped else 0
        return handle


class _ArchiveFiles(StoreFiles):
    """The new file for an archive and its lock, both in the archive's directory and with ``base`` in their names."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__(folder)
        self.base = f".{name[:_MAX_BASE]}"
        self._leftover = re.compile(re.escape(self.base) + rf"(-[0-9a-f]{{16}}{re.escape(TEMPORARY)}|{_LOCK})\Z")

    @contextlib.contextmanager
    def turn(self, timeout: float) -> Iterator[BinaryIO]:
        """Hold the lock, and yield its file, which grows to show that its holder makes progress."""
        name = f"{self.base}{_LOCK}"
        with self.locked(name, timeout) as (handle, handles):
            try:
                yield handle
            finally:
                # a process that waits for the lock notices that the name is gone, and creates a new file
                unlink_same(handle, handles, name)

    def sweep(self, *, keep: str = "", folder: str = "") -> None:
        """Remove what killed writers of this archive left. Other files of the directory are not touched."""
        with contextlib.suppress(OSError, StorageError), self.directory.changing() as handles:
            for name in map(os.fsdecode, handles.names("")):
                if self._leftover.match(name):
                    remove_abandoned(handles, name, False, TEMPORARY_AGE)

    def tidy(self) -> None:
        """Do nothing: there is no folder of temporary files."""


class _TarOutput:
    """Writes the entries of a tar file to an open file whose path is ``path``."""

    def __init__(self, handle: BinaryIO, path: str, lock: BinaryIO) -> None:
        self._handle = handle
        self._path = path
        self._lock = lock
        self._since = 0

    def directory(self, name: str) -> None:
        self._put(tar_header(f"{name}/", b"5", _DIRECTORY_MODE))

    def file(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        """Write a file of ``size`` bytes, which ``chunks`` have to make up."""
        self._put(tar_header(name, b"0", _FILE_MODE, size))
        left = size
        for chunk in chunks:
            left -= len(chunk)
            self._put(chunk)
        if left:
            raise InvalidContent(
                f"The content of {name} for {self._path} has not the {size} bytes that it should have."
            )
        self._put(bytes(-size % BLOCK))

    def end(self) -> None:
        self._put(bytes(2 * BLOCK))

    def _put(self, data: bytes) -> None:
        write_all(self._handle, data, self._path)
        self._since += len(data)
        if self._since >= _PROGRESS:
            self._since = 0
            with contextlib.suppress(OSError):
                self._lock.write(b".")


def _checked(source: BlobSource, what: str) -> Iterator[bytes]:
    """Yield the bytes of a blob; raise DigestMismatch when they are not what its descriptor says."""
    descriptor = source.descriptor
    verifier = Verifier(descriptor.digest, descriptor.size, what)
    try:
        with source.open() as handle:
            for chunk in pieces(handle, CHUNK_SIZE):
                verifier.update(chunk)
                yield chunk
    except OSError as exc:
        raise PushFailed(f"The content of {what[0].lower()}{what[1:]} cannot be read: {exc.strerror}.") from exc
    verifier.finish()
