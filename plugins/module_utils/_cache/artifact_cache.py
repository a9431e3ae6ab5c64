# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache of artifacts by digest, between the operations and a registry.

The cache never resolves tags, so nothing in it can be out of date: the registry resolves a tag to a digest, and the
content of that digest is read from the cache. Content is hashed whenever it is used, so nobody who may write to the
directory can replace it unnoticed; damaged content counts as absent and is downloaded again.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Callable, TypeVar

from .._errors import InvalidContent, OciError, StorageError
from .._oci.digest import is_digest
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, parse_manifest
from .._oci.reference import Reference
from .._oci.repository import MAX_SMALL_BLOB, Repository, from_each_place
from .layout import CacheEntry, CacheLayout, is_cache, parts_of
from .notes import CacheNotes
from .store import CacheStore, checked

_Result = TypeVar("_Result")


class ArtifactCache:
    """The cache in the directory ``root``, which the first write creates; with ``read_only`` nothing is written.

    Safe for concurrent threads and processes. After a failed file operation the cache is no longer written to, with
    one entry in ``warnings``; ``refusal`` is the last such error.

    :raises InvalidOption: when the directory is not a cache.
    """

    def __init__(self, root: str, *, read_only: bool = False) -> None:
        self._layout = CacheLayout(root)
        self.root = self._layout.root
        self.store = CacheStore(self.root, read_only=read_only)
        self.warnings: list[str] = []
        self.refusal: StorageError | None = None
        self._lock = threading.Lock()
        self._writes = not read_only
        self._is_made = False
        self._try(lambda: is_cache(self.root))

    def manifest(self, digest: str) -> bytes | None:
        """The bytes of a manifest, checked; None when the cache does not have it."""
        return self._try(lambda: self.store.read(digest, MAX_MANIFEST_SIZE))

    @contextlib.contextmanager
    def turn(self, digest: str) -> Iterator[None]:
        """Make other threads and processes that want the same manifest wait until this one has stored it."""
        with contextlib.ExitStack() as stack:
            if self._is_writable():
                self._try(lambda: stack.enter_context(self.store.turn(digest)))
            yield

    def notes(self) -> CacheNotes:
        """The notes of this user about digests; see :class:`~._cache.notes.CacheNotes`."""
        return CacheNotes(self.root, read_only=not self._is_writable())

    def keep(self, digest: str, data: bytes) -> None:
        """Store bytes that have this digest."""
        if self._is_writable():
            self._try(lambda: self.store.add(Descriptor("", digest, len(data)), (data,)))

    def hold(self, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> BinaryIO | None:
        """Open a blob, which is downloaded when it is missing and is not removed before it is closed.

        None when the cache neither has it nor can store it: the caller has to do without the cache. ``stream`` and
        the errors raised are those of :meth:`~._cache.store.CacheStore.fetch_held`, except for StorageError.
        """
        held = self._try(lambda: self.store.hold(descriptor))
        if held is None and self._is_writable():
            held = self._try(lambda: self.store.fetch_held(descriptor, stream, what))
        return held

    def enter(
        self, place: str, tag: str, manifest: Manifest, fetch: Callable[[Descriptor, int], Iterator[bytes]]
    ) -> None:
        """List an artifact whose layers were used, once all blobs of its manifest are in the cache.

        Missing blobs, such as config and provenance of a chart, are downloaded up to 4 MiB in all; beyond that the
        artifact stays unlisted. No failure here affects the use of the artifact, so nothing is raised.

        :param fetch: returns the bytes of a blob of the manifest from an offset on.
        """
        if manifest.is_index or not self._is_writable():
            return
        with contextlib.suppress(OciError), contextlib.ExitStack() as held:
            missing = []
            for part in {part.digest: part for part in parts_of(manifest)}.values():
                is_small = part.size <= MAX_SMALL_BLOB
                # a large one was hashed when it was used
                found = self.store.hold(part) if is_small else None
                if found is not None:
                    held.enter_context(found)
                elif is_small or not self.store.has(part):
                    missing.append(part)
            if sum(part.size for part in missing) > MAX_SMALL_BLOB:
                return
            for part in missing:
                what = f"The blob {part.digest} of {place}"
                held.enter_context(self.store.fetch_held(part, functools.partial(fetch, part), what))
            self._layout.enter(place, tag, manifest)

    def entries(self) -> list[CacheEntry]:
        """The entries of the index; see :meth:`~._cache.layout.CacheLayout.entries`."""
        return self._layout.entries()

    def _is_writable(self) -> bool:
        """True when the cache can be written to; the first call creates it."""
        with self._lock:
            if self._writes and not self._is_made:
                self._is_made = True
                self._try(self._layout.make)
        return self._writes

    def _try(self, action: Callable[[], _Result]) -> _Result | None:
        """Return the result of ``action``; None when a file operation fails, after which nothing more is written."""
        try:
            return action()
        except StorageError as exc:
            self._writes = False
            self.refusal = exc
            self.warnings[:] = [
                f"The cache {self.root} cannot be used as it should. {exc} What it lacks is fetched for this task "
                "alone."
            ]
            return None


class TemporaryCache(ArtifactCache):
    """A cache for one task, without an index, so that nothing is downloaded only to be listed."""

    def enter(
        self, place: str, tag: str, manifest: Manifest, fetch: Callable[[Descriptor, int], Iterator[bytes]]
    ) -> None:
        pass


class CachedRepository:
    """A repository of a registry whose manifests and small blobs are read from a cache when it has them.

    Tags and lists are those of the registry. It is opened on first use: content that the cache has for a digest takes
    no request, no credentials and no library.
    """

    def __init__(self, reference: Reference, cache: ArtifactCache, open_repository: Callable[[], Repository]) -> None:
        self.reference = reference.at()
        self.cache = cache
        self._open = open_repository
        self._opened: Repository | None = None
        self._lock = threading.Lock()

    @property
    def _registry(self) -> Repository:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    @property
    def served_by(self) -> list[str]:
        return [] if self._opened is None else self._opened.served_by

    @property
    def warnings(self) -> list[str]:
        return [*self.cache.warnings, *self.own_warnings]

    @property
    def own_warnings(self) -> list[str]:
        """The warnings of the registry alone, without those of the cache, which other repositories may share."""
        return [] if self._opened is None else self._opened.warnings

    @property
    def has_alternatives(self) -> bool:
        return self._registry.has_alternatives

    def distrust(self, descriptor: Descriptor) -> bool:
        return self._registry.distrust(descriptor)

    def resolve(self, identifier: str) -> Descriptor:
        return self._registry.resolve(identifier)

    def fetch_manifest(self, identifier: str) -> Manifest:
        media_type = ""
        if not is_digest(identifier):
            found = self._registry.resolve(identifier)
            identifier, media_type = found.digest, found.media_type
        held = self._held_manifest(identifier, media_type)
        if held is not None:
            return held
        with self.cache.turn(identifier):
            manifest = self._held_manifest(identifier, media_type)
            if manifest is None:
                manifest = self._registry.fetch_manifest(identifier)
                self.cache.keep(identifier, manifest.raw)
            return manifest

    def _held_manifest(self, digest: str, media_type: str) -> Manifest | None:
        raw = self.cache.manifest(digest)
        if raw is not None:
            # content that is not a manifest is requested from the registry
            with contextlib.suppress(InvalidContent):
                manifest = parse_manifest(raw, media_type, f"The manifest {self.reference.at(digest=digest)}")
                return replace(manifest, descriptor=replace(manifest.descriptor, digest=digest))
        return None

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        held = self.hold_blob(descriptor) if descriptor.size <= MAX_SMALL_BLOB and not offset else None
        if held is None:
            yield from self._registry.stream_blob(descriptor, offset)
            return
        with held:
            yield from checked(held, descriptor)

    def hold_blob(self, descriptor: Descriptor) -> BinaryIO | None:
        """Open a blob of any size in the cache, after downloading it when it is missing; as
        :meth:`ArtifactCache.hold`."""
        what = f"The blob {descriptor.digest} of {self.reference.name}"

        def hold() -> BinaryIO | None:
            return self.cache.hold(descriptor, lambda offset: self._registry.blob_views(descriptor, offset), what)

        return from_each_place(self, descriptor, hold)

    def enter(self, tag: str, manifest: Manifest) -> None:
        """List an artifact whose layers were used in the cache; ``tag`` is the tag it was resolved from, or empty."""

        def fetch(part: Descriptor, offset: int) -> Iterator[bytes]:
            return self._registry.blob_views(part, offset)

        self.cache.enter(self.reference.name, tag, manifest, fetch)

    def blob_views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        if buffer is not None and descriptor.size > MAX_SMALL_BLOB:
            return self._registry.blob_views(descriptor, offset, buffer)
        return self.stream_blob(descriptor, offset)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._registry.blob_exists(descriptor)

    def list_tags(self) -> list[str]:
        return self._registry.list_tags()

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        return self._registry.list_referrers(digest, artifact_type)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
