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
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from .._errors import DigestMismatch, InvalidContent, InvalidReference, NotFound, PushFailed, StorageError
from .._files.bounded import expanded, pieces
from .._files.regular_file import storage_error
from .._oci import media
from .._oci.digest import is_digest, parse_digest, verify_bytes
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, load_json_object, parse_manifest
from .._oci.reference import DEFAULT_TAG, Reference, check_tag
from .._oci.repository import EXISTED, MAX_SMALL_BLOB, UPLOADED, BlobSource
from .._oci.single_place import SinglePlace
from .blob_store import CHUNK_SIZE, BlobStore
from .index import LayoutIndex, list_manifest, parse_index, ref_name

if TYPE_CHECKING:
    from .unlisted import UnlistedManifests

LAYOUT_VERSION = "1.0.0"

# An entry of index.json has about 300 bytes: room for 200,000 of them.
MAX_INDEX_SIZE = 64 * 1024 * 1024

# The most manifests that are read to find referrers.
MAX_SCANNED = 10_000

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
_TAGS_IN_MESSAGE = 10
# The most manifests without a tag that are read to find out which of them are referrers.
_MOST_ATTACHED = 100
# Seconds between attempts to read a file that another tool may be writing in place.
_RETRY_PAUSES = (0.02, 0.05, 0.1)
# Written by containerd and docker beside the standard annotation, with the same meaning.
_ANNOTATION_IMAGE_NAME = "io.containerd.image.name"


@dataclass(frozen=True)
class _Scanned:
    """The fields of a manifest that the search for referrers needs; cached, since a digest's content is constant."""

    referrer: Descriptor
    subject: str
    manifests: Sequence[Descriptor]


class LayoutRepository(SinglePlace):
    """The image layout at ``reference.layout`` (a path as users write it); see ``transport.Repository``.

    Reading needs no write access, and works in directories of other users; see
    :class:`~._layout.directory.StoreDirectory`. The first push creates the layout with its parents; modes follow the
    umask.
    ``lock_timeout`` is in seconds. Every method raises StorageError when a file operation fails or the lock is not
    acquired in time.

    :raises InvalidReference: when the reference is not to a layout.
    """

    def __init__(self, reference: Reference, *, lock_timeout: float = 60.0) -> None:
        if not reference.is_layout:
            raise InvalidReference(f"The reference {str(reference)!r} is not to an OCI image layout.")
        self.reference = reference
        self.root = os.path.abspath(expanded(reference.layout))
        self.store = BlobStore(self.root, durable=True, is_layout=True)
        self._lock_timeout = lock_timeout
        self._known: tuple[tuple[int, ...], LayoutIndex] | None = None
        self._scanned: dict[str, _Scanned] = {}
        self._known_unlisted: UnlistedManifests | None = None

    @property
    def warnings(self) -> list[str]:
        """Warnings about searches for signatures that ended at a limit."""
        return list(self._known_unlisted.warnings) if self._known_unlisted else []

    def resolve(self, identifier: str) -> Descriptor:
        """The descriptor of the manifest that a tag or digest stands for.

        A digest needs no entry in ``index.json``. An empty identifier means the tag ``latest`` or, when there is none,
        the only artifact of a layout without tags, as ``crane``, ``skopeo`` and ``cosign save`` write it. The tags
        that cosign puts signatures and attestations under are known in a layout of ``cosign save``, too.

        :raises NotFound: when there is no layout, no such tag, or the blob is missing.
        :raises InvalidContent: when the layout is malformed or the tag stands for several manifests.
        """
        index = self._index()
        if is_digest(identifier):
            entry = next((entry for entry in index.entries if entry.digest == identifier), None)
            size = self.store.size(identifier)
            if size is None:
                raise NotFound(f"The layout {self.root} has no manifest {identifier}.", self._tags_hint(index))
            found = entry or Descriptor(media_type="", digest=identifier, size=size)
        else:
            found = self._tagged(index, identifier)
        if not self.store.has(found):
            self._refuse_incomplete(found)
        media_type = found.media_type or self._read_manifest(found).descriptor.media_type
        return Descriptor(media_type=media_type, digest=found.digest, size=found.size)

    def fetch_manifest(self, identifier: str) -> Manifest:
        """The manifest or index itself, checked; at most ``MAX_MANIFEST_SIZE`` bytes.

        :raises NotFound: as :meth:`resolve`.
        :raises InvalidContent: as :meth:`resolve`, and when the bytes are not a manifest or do not match the digest.
        """
        return self._read_manifest(self.resolve(identifier))

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from ``offset`` on, not checked.

        :raises NotFound: when there is no such blob.
        """
        return self.store.stream(descriptor, offset)

    def blob_views(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        return self.stream_blob(descriptor, offset)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        """True when the blob exists with the right size; False also when there is no layout."""
        return self.store.has(descriptor)

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
        parts = [*([manifest.config] if manifest.config else []), *manifest.layers, *manifest.manifests]
        for part in parts:
            if not self.store.has(part):
                raise PushFailed(
                    f"The layout {self.root} cannot take the manifest {manifest.descriptor.digest}: "
                    f"the {part.media_type or 'blob'} {part.digest} ({part.size} bytes) that it names is missing.",
                    "Push what a manifest names before the manifest.",
                )
        with self._locked():
            self._add(manifest.descriptor, (manifest.raw,))
            document = self._load_index().document
            if list_manifest(document, manifest, tag):
                self._write_index(document)

    def list_tags(self) -> list[str]:
        """The tags, sorted, without those of several manifests.

        :raises NotFound: when there is no layout.
        """
        return sorted(tag for tag, found in self._index().tags.items() if len(found) == 1)

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """The manifests whose ``subject`` is this digest, with annotations and artifact type, in the index's order.

        Searches the manifests that ``index.json`` lists and those that its indexes list, which includes a referrers
        tag (``sha256-<hex>``). Only in a layout that ``cosign save`` wrote, blobs that nothing lists are searched, too;
        what they have comes last. Missing and damaged manifests are ignored, as they are not usable as referrers.

        :raises InvalidContent: when more than ``MAX_SCANNED`` manifests would have to be read.
        """
        parse_digest(digest)
        index = self._index()
        pending, seen, found = deque(index.entries), set(), []
        while pending:
            entry = pending.popleft()
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            if len(seen) > MAX_SCANNED:
                raise InvalidContent(
                    f"The layout {self.root} lists more than {MAX_SCANNED} manifests: too many to look for referrers.",
                    "Spread its content over several layouts.",
                )
            scanned = self._scan(entry)
            if scanned:
                pending.extend(scanned.manifests)
                if scanned.subject == digest:
                    found.append(scanned.referrer)
        if index.is_saved:
            found += self._unlisted().referrers(digest, seen)
        return [each for each in found if artifact_type in ("", each.artifact_type)]

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
        document = self._load_json(LAYOUT_FILE, MAX_MANIFEST_SIZE)
        if document is None:
            if os.path.isdir(self.root):
                problem = f"The directory {self.root} is not an OCI image layout: it has no file {LAYOUT_FILE}."
            elif os.path.lexists(self.root):
                problem = f"There is no OCI image layout at {self.root}: it is not a directory."
            else:
                problem = f"There is no OCI image layout at {self.root}: the directory does not exist."
            raise NotFound(problem, "Check the path; a layout in a tar archive has to be unpacked first.")
        version = document.get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            raise InvalidContent(
                f"The layout {self.root} has version {str(version)[:40]!r}, not {LAYOUT_VERSION!r}.",
                "Write it again with a current tool.",
            )

    def _load_json(self, name: str, limit: int) -> dict[str, Any] | None:
        """Read a JSON file; None when there is none. A truncated one is read again: other tools write in place."""
        path = self.store.directory.path(name)
        for pause in (*_RETRY_PAUSES, 0.0):
            try:
                with self.store.directory.open_file(name) as handle:
                    raw = _read_bounded(handle, limit, path)
            except FileNotFoundError:
                return None
            try:
                return load_json_object(raw, f"The file {path}")
            except InvalidContent as exc:
                if not pause:
                    raise InvalidContent(exc.message, "The layout is damaged: write it again.") from None
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _unlisted(self) -> UnlistedManifests:
        from .unlisted import UnlistedManifests

        self._known_unlisted = self._known_unlisted or UnlistedManifests(self.store)
        return self._known_unlisted

    def _tagged(self, index: LayoutIndex, identifier: str) -> Descriptor:
        tag = identifier or DEFAULT_TAG
        found = index.tags.get(tag, ())
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidContent(
                f"The layout {self.root} lists {len(found)} manifests under the tag {tag!r}.",
                f"Name one by its digest: {', '.join(entry.digest for entry in found[:_TAGS_IN_MESSAGE])}.",
            )
        untagged = None
        if not identifier:
            untagged = self._only_artifact(index)
        elif index.is_saved:
            untagged = self._unlisted().tagged(tag, index.entries, self._read_manifest)
        if untagged is not None:
            return untagged
        raise NotFound(f"The layout {self.root} has no tag {tag[:200]!r}.", self._tags_hint(index))

    def _only_artifact(self, index: LayoutIndex) -> Descriptor | None:
        """Return the only artifact of a layout whose artifacts have no tags. What is attached to it does not count."""
        alone = list({entry.digest: entry for entry in index.artifacts}.values())
        if any(map(ref_name, alone)):
            return None
        if 1 < len(alone) <= _MOST_ATTACHED:
            alone = [
                entry for entry, scanned in zip(alone, map(self._scan, alone)) if not (scanned and scanned.subject)
            ]
        return alone[0] if len(alone) == 1 else None

    def _tags_hint(self, index: LayoutIndex) -> str:
        tags = sorted(index.tags)
        if not tags:
            count = len({entry.digest for entry in index.artifacts})
            if count == 1:
                return "It has no tags, and one artifact, which is read without a tag."
            return f"It has no tags; it lists {count} manifests, which are addressed by digest."
        more = f" and {len(tags) - _TAGS_IN_MESSAGE} more" if len(tags) > _TAGS_IN_MESSAGE else ""
        return f"It has {', '.join(tags[:_TAGS_IN_MESSAGE])}{more}."

    def _refuse_incomplete(self, entry: Descriptor) -> None:
        if self.store.size(entry.digest) is None:
            raise NotFound(
                f"The layout {self.root} lists the manifest {entry.digest} but lacks its blob.",
                "The layout is incomplete: copy the artifact into it again.",
            )
        self.store.open(entry).close()

    def _read_manifest(self, descriptor: Descriptor) -> Manifest:
        what = f"The manifest {descriptor.digest} of the layout {self.root}"
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise InvalidContent(f"{what} has {descriptor.size} bytes, more than the {MAX_MANIFEST_SIZE} allowed.")
        with self.store.open(descriptor) as handle:
            raw = _read_bounded(handle, MAX_MANIFEST_SIZE, self.store.path(descriptor.digest))
        try:
            verify_bytes(raw, descriptor.digest, descriptor.size, what)
        except DigestMismatch as exc:
            raise DigestMismatch(exc.message, "The layout is damaged: copy the artifact into it again.") from None
        return parse_manifest(raw, descriptor.media_type, what)

    def _scan(self, entry: Descriptor) -> _Scanned | None:
        if entry.digest not in self._scanned:
            # an index may list other content; build caches list layers
            if entry.media_type not in ("", *media.MANIFEST_TYPES, *media.INDEX_TYPES):
                return None
            try:
                manifest = self._read_manifest(entry)
            except (NotFound, InvalidContent):
                return None
            self._scanned[entry.digest] = _Scanned(
                referrer=manifest.as_referrer(),
                subject=manifest.subject.digest if manifest.subject else "",
                manifests=manifest.manifests,
            )
        return self._scanned[entry.digest]

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


def _read_bounded(handle: Any, limit: int, path: str) -> bytes:
    try:
        raw: bytes = handle.read(limit + 1)
    except OSError as exc:
        raise storage_error("read", path, exc) from exc
    if len(raw) > limit:
        raise InvalidContent(f"The file {path} has more than the {limit} bytes allowed.")
    return raw


def _chunks(source: BlobSource) -> Iterator[bytes]:
    try:
        with source.open() as handle:
            yield from pieces(handle, CHUNK_SIZE)
    except OSError as exc:
        raise PushFailed(
            f"The content of the blob {source.descriptor.digest} cannot be read: {exc.strerror or type(exc).__name__}."
        ) from exc
