# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a cache: an OCI image layout whose ``index.json`` lists the artifacts that are complete.

``index.json`` names manifests as skopeo does, by the reference that they were resolved from (image-spec,
annotations.md, ``org.opencontainers.image.ref.name``): ``registry/repository:tag``, or ``registry/repository@digest``
without a tag, or when the tag has moved. The names are for people, other tools and listings of the cache.

A file ``CACHEDIR.TAG`` marks the directory as one that may be removed (https://bford.info/cachedir/). A directory
without it is never used as a cache, so that no image layout of a user is pruned.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from .._errors import InvalidContent, InvalidOption, NotFound, OciError
from .._files.regular_file import storage_error
from .._layout.directory import StoreDirectory
from .._layout.index import LayoutIndex, parse_index
from .._layout.reader import LAYOUT_FILE
from .._layout.repository import LayoutRepository
from .._oci import media
from .._oci.manifest import Descriptor, Manifest
from .._oci.reference import Reference, parse_reference
from .store import CacheStore

CACHE_TAG = "CACHEDIR.TAG"
_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_OWNER = b"cloudnative.artifacts"
_TAG_CONTENT = (
    _SIGNATURE
    + b"""
# A cache of OCI artifacts, made by the Ansible collection cloudnative.artifacts; it is an OCI image layout.
# All of it may be removed at any time, best with cloudnative.artifacts.oci_artifact_cache.
# For information about cache directory tags see https://bford.info/cachedir/
"""
)
# Entries of a directory that may become a cache, or was one. An image layout has an index.json, too.
_REUSABLE = frozenset(["lost+found", "blobs", ".ingest", LAYOUT_FILE])
# Seconds between checks of a directory without CACHEDIR.TAG.
_RETRY_PAUSES = (0.02, 0.1)


@dataclass(frozen=True)
class CacheEntry:
    """An entry of the index: a manifest, and the repository and tag that it was resolved from (empty for a digest)."""

    place: str
    tag: str
    descriptor: Descriptor


class CacheLayout(LayoutRepository):
    """The cache as an image layout, with references as names in ``index.json``.

    A damaged index counts as empty: only names are lost, and artifacts are listed again when they are used.
    """

    def __init__(self, root: str) -> None:
        super().__init__(Reference(layout=root))
        self.store = CacheStore(self.root)

    def make(self) -> None:
        """Make the directory a cache (created with mode 0700 when it is missing); rewrite damaged files of the layout.

        :raises InvalidOption: when it has other content.
        :raises StorageError: when a file operation fails.
        """
        if is_cache(self.root):
            self._ensure_layout()
            # NotFound: it was removed meanwhile
            with contextlib.suppress(InvalidContent, NotFound):
                self._check_layout_file()
                return
        with self._locked():
            pass

    def _prepare(self) -> None:
        """Write CACHEDIR.TAG first, after ``oci-layout`` (the lock): without the tag the directory is not a cache."""
        if self.store.directory.size(CACHE_TAG) is None:
            self.store.replace_file(CACHE_TAG, _TAG_CONTENT)

    def _check_untouched(self) -> None:
        """Do nothing: CACHEDIR.TAG marks the directory as a cache, so a damaged index may be rewritten."""

    def _is_to_be_written(self, handle: BinaryIO) -> bool:
        if super()._is_to_be_written(handle):
            return True
        try:
            self._check_layout_file()
        except InvalidContent:
            return True
        return False

    def entries(self) -> list[CacheEntry]:
        """The entries of the index, in its order; empty when there is no cache."""
        return [entry for entry in map(parse_entry, self._listed()) if entry is not None]

    def enter(self, place: str, tag: str, manifest: Manifest) -> None:
        """List a manifest under the reference that it was resolved from, when all its blobs are in the cache.

        :raises StorageError: when a file operation fails, or the lock is not acquired in time.
        """
        digest = manifest.descriptor.digest
        if _is_listed(self._listed(), place, tag, digest):
            return
        with self.locked_entries() as entries:
            if all(self.store.has(part) for part in parts_of(manifest)):
                self.store.add(manifest.descriptor, (manifest.raw,))
                self.write_entries(_with_entry(entries, place, tag, manifest))

    def raw_entries(self) -> list[dict[str, Any]]:
        """The unparsed entries of ``index.json``; empty when there is no layout."""
        try:
            return list(self._load_index().document.get("manifests") or ())
        except NotFound:
            return []

    @contextlib.contextmanager
    def locked_entries(self) -> Iterator[list[dict[str, Any]]]:
        """The entries of ``index.json``, locked against other writers within the block.

        :raises StorageError: when a file operation fails, or the lock is not acquired in time.
        """
        with self._locked():
            yield self.raw_entries()

    def write_entries(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Replace the entries, under the lock.

        :raises StorageError: when a file operation fails.
        """
        self._write_index({**self._load_index().document, "manifests": list(entries)})

    def _load_index(self) -> LayoutIndex:
        try:
            return super()._load_index()
        except InvalidContent:
            return LayoutIndex({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}, (), {})

    def _listed(self) -> Sequence[Descriptor]:
        try:
            return self._index().entries
        except NotFound:
            return ()


class CachedPlace(CacheLayout):
    """The cached content of one repository, as a read-only repository that sends no requests."""

    def __init__(self, root: str, reference: Reference) -> None:
        super().__init__(root)
        self.reference = reference.at()

    def _index(self) -> LayoutIndex:
        manifests = []
        for descriptor in self._whole().entries:
            entry = parse_entry(descriptor)
            if entry is not None and entry.place == self.reference.name:
                names = {media.ANNOTATION_REF_NAME: entry.tag} if entry.tag else {}
                manifests.append(replace(descriptor, annotations=names).as_json())
        if not manifests:
            raise NotFound(f"The cache {self.root} holds nothing of {self.reference.name}.")
        return parse_index({"schemaVersion": 2, "manifests": manifests}, f"The index of the cache {self.root}")

    def _whole(self) -> LayoutIndex:
        try:
            return super()._index()
        except NotFound:
            raise NotFound(f"There is no cache at {self.root}.", "Check 'cache_dir'.") from None


def parse_entry(descriptor: Descriptor) -> CacheEntry | None:
    """Parse an entry of ``index.json``; None for one that was not written by a cache."""
    try:
        reference = parse_reference(descriptor.annotations.get(media.ANNOTATION_REF_NAME, ""))
    except OciError:
        return None
    if reference.is_layout or (reference.digest and reference.digest != descriptor.digest):
        return None
    return CacheEntry(reference.name, reference.tag, descriptor)


def is_cache(root: str) -> bool:
    """True when the directory is a cache; False when it is missing, or empty and may become one.

    :raises InvalidOption: when it has other content, and must not be used as a cache.
    :raises StorageError: when it cannot be read, or another user could replace it.
    """
    directory = StoreDirectory(os.path.abspath(root))
    for pause in (*_RETRY_PAUSES, 0.0):
        names = _names(directory)
        tag = _read_tag(directory) if CACHE_TAG in names else None
        if tag is not None or names <= _REUSABLE:
            break
        # a cache that is being removed may lose the tag between the two checks
        time.sleep(pause)
    if tag is not None:
        if tag.startswith(_SIGNATURE) and _OWNER in tag:
            return True
        what = f"is the cache of another program, as its {CACHE_TAG} says"
    elif names <= _REUSABLE:
        return False
    elif CACHE_TAG in names:
        what = f"has a {CACHE_TAG} that is not a file"
    elif LAYOUT_FILE in names:
        what = f"is an OCI image layout, not a cache: it has no {CACHE_TAG}"
    else:
        what = f"is not a cache: it holds {min(names - _REUSABLE)[:100]!r} and no {CACHE_TAG}"
    raise InvalidOption(f"The directory {root} {what}.", "Give a directory of its own in 'cache_dir'.")


def _names(directory: StoreDirectory) -> set[str]:
    root = directory.root
    try:
        with directory.opened() as handles:
            return set(map(os.fsdecode, handles.names("")))
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise InvalidOption(f"The cache {root} is not a directory.", "Give a directory in 'cache_dir'.") from None
    except OSError as exc:
        raise storage_error("read", root, exc) from exc


def parts_of(manifest: Manifest) -> list[Descriptor]:
    """The blobs that a manifest names."""
    return [*([manifest.config] if manifest.config else []), *manifest.layers]


def raw_name(entry: Mapping[str, Any]) -> str:
    """The name of an entry of ``index.json``, empty without one."""
    return str((entry.get("annotations") or {}).get(media.ANNOTATION_REF_NAME, ""))


def _read_tag(directory: StoreDirectory) -> bytes | None:
    try:
        with directory.open_file(CACHE_TAG) as stream:
            return stream.read(4096)
    except OSError:
        return None


def _is_listed(entries: Sequence[Descriptor], place: str, tag: str, digest: str) -> bool:
    """True when the index lists the manifest already; without a tag, any name in that repository is enough."""
    for descriptor in entries:
        if descriptor.digest == digest:
            entry = parse_entry(descriptor)
            if entry is not None and entry.place == place and tag in ("", entry.tag):
                return True
    return False


def _with_entry(entries: list[dict[str, Any]], place: str, tag: str, manifest: Manifest) -> list[dict[str, Any]]:
    """The entries with a new one, sorted by name. An entry that had its name before is renamed to its digest."""
    found = manifest.descriptor
    pinned = f"{place}@{found.digest}"
    name = f"{place}:{tag}" if tag else pinned
    new = Descriptor(found.media_type, found.digest, found.size, artifact_type=manifest.artifact_type).as_json()
    kept = {(name, found.digest): _named(new, name)}
    for entry in entries:
        own, digest = raw_name(entry), str(entry["digest"])
        if own == name and digest != found.digest:
            own = f"{place}@{digest}"
        elif own == pinned:
            continue
        kept.setdefault((own, digest), _named(entry, own) if own else entry)
    return [kept[key] for key in sorted(kept)]


def _named(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**entry, "annotations": {**(entry.get("annotations") or {}), media.ANNOTATION_REF_NAME: name}}
