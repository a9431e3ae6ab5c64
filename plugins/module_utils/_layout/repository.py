# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI image layout as a repository: ``oci-layout:PATH``.

Source: image-spec, image-layout.md; where it leaves a choice, the behaviour of ``oras``, ``skopeo`` and ``crane``.

Writers of this collection lock the file ``oci-layout`` and replace ``index.json`` atomically, so that readers need no
lock and a killed writer leaves the old index or the new one. Other tools do not lock: none of them must write at the
same time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from .._errors import InvalidContent, InvalidReference, NotFound, PushFailed, StorageError
from .._files.bounded import expanded, pieces
from .._files.regular_file import storage_error
from .._oci import media
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, load_json_object
from .._oci.reference import Reference, check_tag
from .._oci.repository import EXISTED, MAX_SMALL_BLOB, UPLOADED, BlobSource
from .blob_store import CHUNK_SIZE, BlobStore
from .index import LAYOUT_VERSION, LayoutIndex, check_version, list_manifest, parse_index
from .reader import INDEX_FILE, LAYOUT_FILE, MAX_INDEX_SIZE, LayoutReader, read_bounded

# Seconds between attempts to read a file that another tool may be writing in place.
_RETRY_PAUSES = (0.02, 0.05, 0.1)


class LayoutRepository(LayoutReader):
    """The image layout at ``reference.layout`` (a path as users write it); see
    :class:`~._oci.repository.WritableRepository`.

    Reading needs no write access, and works in directories of other users; see
    :class:`~._layout.directory.StoreDirectory`. The first push creates the layout with its parents; modes follow the
    umask.
    ``lock_timeout`` is in seconds. Every method raises StorageError when a file operation fails or the lock is not
    acquired in time.

    :raises InvalidReference: when the reference is not to a layout.
    """

    def __init__(self, reference: Reference, *, lock_timeout: float = 60.0) -> None:
        if not reference.is_layout or reference.is_archive:
            raise InvalidReference(f"The reference {str(reference)!r} is not to the directory of an OCI image layout.")
        root = os.path.abspath(expanded(reference.layout))
        super().__init__(reference, root, f"The layout {root}")
        self.store: BlobStore = BlobStore(root, durable=True, is_layout=True)
        self._lock_timeout = lock_timeout
        self._known: tuple[tuple[int, ...], LayoutIndex] | None = None

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """Store a blob unless the layout has it; return EXISTED or UPLOADED. ``mount_from`` has no effect here.

        An existing blob of at most ``MAX_SMALL_BLOB`` bytes is hashed, and replaced when it is damaged; of a larger
        one only the size is compared.

        :raises DigestMismatch: when the source's bytes do not match its descriptor.
        :raises PushFailed: when the source cannot be read.
        """
        self._ensure_layout()
        return self._add(source.descriptor, _chunks(source))

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Store a manifest or index and list it in ``index.json``, under ``tag`` when one is given.

        A manifest that had the tag before stays listed without it. Nothing is written when the manifest has the tag.

        :raises InvalidReference: when the tag is malformed.
        :raises PushFailed: when a blob or manifest that it names, other than its subject, is missing.
        """
        if tag:
            check_tag(tag)
        self._check_parts(manifest)
        with self._locked():
            self._add(manifest.descriptor, (manifest.raw,))
            document = self._load_index().document
            if list_manifest(document, manifest, tag):
                self._write_index(document)

    def close(self) -> None:
        """Do nothing: files are closed after each use."""

    # -- reading

    def _index(self) -> LayoutIndex:
        try:
            with self.store.directory.open_file(INDEX_FILE) as handle:
                status = os.fstat(handle.fileno())
        except FileNotFoundError:
            return self._load_index()
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if not self._known or self._known[0] != state:
            self._known = (state, self._load_index())
        return self._known[1]

    def _load_index(self) -> LayoutIndex:
        self._check_layout_file()
        document = self._load_json(INDEX_FILE, MAX_INDEX_SIZE)
        if document is None:
            raise NotFound(f"The directory {self.root} is not an OCI image layout: it has no file {INDEX_FILE}.")
        return parse_index(document, f"The file {self.store.directory.path(INDEX_FILE)}")

    def _check_layout_file(self) -> None:
        try:
            document = self._load_json(LAYOUT_FILE, MAX_MANIFEST_SIZE)
        except InvalidContent:
            # a writer locks it before it writes; one that was killed in between leaves what the next one completes
            if self.store.directory.size(LAYOUT_FILE) == 0:
                problem = f"The directory {self.root} is no OCI image layout yet: its file {LAYOUT_FILE} is empty."
                raise NotFound(problem, "Write to it again.") from None
            raise
        if document is None:
            if os.path.isdir(self.root):
                problem = f"The directory {self.root} is not an OCI image layout: it has no file {LAYOUT_FILE}."
            elif os.path.lexists(self.root):
                problem = f"There is no OCI image layout at {self.root}: it is not a directory."
            else:
                problem = f"There is no OCI image layout at {self.root}: the directory does not exist."
            raise NotFound(problem, "Check the path; a layout in a tar file is written oci-archive:PATH.")
        check_version(document, self._place)

    def _load_json(self, name: str, limit: int) -> dict[str, Any] | None:
        """Read a JSON file; None when there is none. A truncated one is read again: other tools write in place."""
        path = self.store.directory.path(name)
        for pause in (*_RETRY_PAUSES, 0.0):
            try:
                with self.store.directory.open_file(name) as handle:
                    raw = read_bounded(handle, limit, path)
            except FileNotFoundError:
                return None
            try:
                return load_json_object(raw, f"The file {path}")
            except InvalidContent as exc:
                if not pause:
                    raise InvalidContent(exc.message, "The layout is damaged: write it again.") from None
            time.sleep(pause)
        raise AssertionError("unreachable")

    # -- writing

    def _add(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> str:
        what = f"The blob {descriptor.digest} for {self.reference.name}"
        if descriptor.size <= MAX_SMALL_BLOB:
            self.store.verified_path(descriptor)
        return UPLOADED if self.store.add(descriptor, chunks, what) else EXISTED

    def _ensure_layout(self) -> None:
        if self.store.directory.size(LAYOUT_FILE) and self.store.directory.size(INDEX_FILE):
            return
        with self._locked():
            pass

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock for writing, in an existing layout."""
        # a symbolic link that must not be followed gets its own error message here
        if self.store.directory.size(LAYOUT_FILE) is None:
            self._check_untouched()
        with self.store.locked(LAYOUT_FILE, self._lock_timeout, may_be_foreign=True) as (handle, handles):
            self._prepare()
            if self._is_to_be_written(handle):
                self._write_layout_file(handle)
            try:
                self.store.make_folder(handles, "blobs")
            except OSError as exc:
                raise self.store.directory.refusal("create", "blobs", exc) from exc
            self._check_layout_file()
            if self.store.directory.size(INDEX_FILE) is None:
                self._write_index({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []})
            yield

    def _check_untouched(self) -> None:
        """Hook before a directory becomes a layout.

        :raises InvalidContent: when its ``index.json`` is not an image index, so the directory was named by mistake.
        """
        document = self._load_json(INDEX_FILE, MAX_INDEX_SIZE)
        if document is not None:
            parse_index(document, f"The file {self.store.directory.path(INDEX_FILE)}")

    def _prepare(self) -> None:
        """Hook under the lock, before anything else is written."""

    def _is_to_be_written(self, handle: BinaryIO) -> bool:
        """True when the file ``oci-layout``, which is open and locked, is empty."""
        return os.fstat(handle.fileno()).st_size == 0

    def _write_layout_file(self, handle: BinaryIO) -> None:
        path = self.store.directory.path(LAYOUT_FILE)
        if os.fstat(handle.fileno()).st_nlink > 1:
            raise StorageError(
                f"Cannot write {path}: the file has another hard link, whose content must not be changed.",
                f"Remove {path}.",
            )
        try:
            if not handle.writable():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            handle.seek(0)
            handle.truncate(0)
            handle.write(json.dumps({"imageLayoutVersion": LAYOUT_VERSION}).encode())
        except OSError as exc:
            raise storage_error("write", path, exc) from exc

    def _write_index(self, document: Mapping[str, Any]) -> None:
        # escaped, because a document of another tool may hold text that is not valid Unicode
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")
        self.store.replace_file(INDEX_FILE, data)


def _chunks(source: BlobSource) -> Iterator[bytes]:
    try:
        with source.open() as handle:
            yield from pieces(handle, CHUNK_SIZE)
    except OSError as exc:
        raise PushFailed(
            f"The content of the blob {source.descriptor.digest} cannot be read: {exc.strerror or type(exc).__name__}."
        ) from exc
