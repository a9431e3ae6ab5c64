# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts kept by digest, between the operations and a registry.

The cache is passive: it never says what a tag stands for, and nothing in it has to be up to date. A registry is asked
for a digest, and what has that digest is taken from here. Every byte is hashed when it is used, so nobody who may write
into the directory can have another content used; what is damaged counts as absent and is fetched again.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Callable, TypeVar

from .._errors import InvalidContent, OciError, StorageError
from .._oci.digest import is_digest
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, parse_manifest
from .._oci.reference import Reference
from .._oci.repository import MAX_SMALL_BLOB, BlobSource, Repository, from_each_place
from .layout import CacheEntry, CacheLayout, is_cache, parts_of
from .notes import CacheNotes
from .store import CacheStore, checked

_Result = TypeVar("_Result")


class ArtifactCache:
    """The cache in the directory ``root``, which is made by the first write; with ``read_only`` it is only read.

    Safe for threads and processes at the same time. Where the file system refuses something, the cache goes on without
    writing, and says so once in ``warnings``; ``refusal`` is what it said last.

    :raises InvalidOption: when the directory holds something else.
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
        """The bytes of a manifest, checked; None when they are not there."""
        return self._try(lambda: self.store.read(digest, MAX_MANIFEST_SIZE))

    @contextlib.contextmanager
    def turn(self, digest: str) -> Iterator[None]:
        """Let other threads and processes that want the same manifest wait until this one has kept it."""
        with contextlib.ExitStack() as stack:
            if self._is_writable():
                self._try(lambda: stack.enter_context(self.store.turn(digest)))
            yield

    def notes(self) -> CacheNotes:
        """What this user has noted about digests; see :class:`~._cache.notes.CacheNotes`."""
        return CacheNotes(self.root, read_only=not self._is_writable())

    def keep(self, digest: str, data: bytes) -> None:
        """Store bytes that have this digest."""
        if self._is_writable():
            self._try(lambda: self.store.add(Descriptor("", digest, len(data)), (data,)))

    def hold(self, descriptor: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> BinaryIO | None:
        """A blob, fetched when it is missing, open and kept from removal until it is closed.

        None when it is neither there nor to be stored: it has to be had without the cache. ``stream`` and what is
        raised are those of :meth:`~._cache.store.CacheStore.fetch_held`, but for errors of the file system.
        """
        held = self._try(lambda: self.store.hold(descriptor))
        if held is None and self._is_writable():
            held = self._try(lambda: self.store.fetch_held(descriptor, stream, what))
        return held

    def enter(
        self, place: str, tag: str, manifest: Manifest, fetch: Callable[[Descriptor, int], Iterator[bytes]]
    ) -> None:
        """List an artifact whose layers were used, once everything that its manifest names is there.

        What is missing, as config and provenance of a chart, is fetched up to 4 MiB in all; beyond that the artifact
        stays unlisted. Nothing that goes wrong here matters to whoever uses the artifact, so nothing is raised.

        :param fetch: gives the bytes of a blob of the manifest from an offset on.
        """
        if manifest.is_index or not self._is_writable():
            return
        with contextlib.suppress(OciError), contextlib.ExitStack() as held:
            missing = []
            for part in {part.digest: part for part in parts_of(manifest)}.values():
                is_small = part.size <= MAX_SMALL_BLOB
                # who used a large one has hashed it
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
        """What the index lists; see :meth:`~._cache.layout.CacheLayout.entries`."""
        return self._layout.entries()

    def _is_writable(self) -> bool:
        """Whether there is a cache to write to; the first call makes it."""
        with self._lock:
            if self._writes and not self._is_made:
                self._is_made = True
                self._try(self._layout.make)
        return self._writes

    def _try(self, action: Callable[[], _Result]) -> _Result | None:
        """Do it; None when the file system refuses, after which nothing is written any more."""
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
    """A cache for one task, which lists nothing and so fetches nothing for a list."""

    def enter(
        self, place: str, tag: str, manifest: Manifest, fetch: Callable[[Descriptor, int], Iterator[bytes]]
    ) -> None:
        pass


class CachedRepository:
    """A repository of a registry whose manifests and small blobs are taken from a cache when it has them.

    Tags, lists and everything that is written go to the registry. It is opened when it is first needed: what the cache
    has of a digest takes no request, no credentials and no library.
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
        """Those that are not the cache's, which others may use at the same time."""
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
            # what is no manifest gets the registry's answer
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
        """A blob of any size from the cache, into which it is fetched first when it is missing. See
        :meth:`ArtifactCache.hold` for the rest."""
        what = f"The blob {descriptor.digest} of {self.reference.name}"

        def hold() -> BinaryIO | None:
            return self.cache.hold(descriptor, lambda offset: self._registry.stream_blob(descriptor, offset), what)

        return from_each_place(self, descriptor, hold)

    def enter(self, tag: str, manifest: Manifest) -> None:
        """Have the cache list an artifact whose layers were used; ``tag`` is the one that led to it, or empty."""

        def fetch(part: Descriptor, offset: int) -> Iterator[bytes]:
            return self._registry.stream_blob(part, offset)

        self.cache.enter(self.reference.name, tag, manifest, fetch)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._registry.blob_exists(descriptor)

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        return self._registry.push_blob(source, mount_from)

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        self._registry.push_manifest(manifest, tag)

    def list_tags(self) -> list[str]:
        return self._registry.list_tags()

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        return self._registry.list_referrers(digest, artifact_type)

    def check_attachable(self, subject: str) -> None:
        self._registry.check_attachable(subject)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
