# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading of an OCI image layout, whether a directory or a tar file holds it.

Source: image-spec, image-layout.md; where it leaves a choice, the behaviour of ``oras``, ``skopeo`` and ``crane``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._errors import DigestMismatch, InvalidContent, NotFound, PushFailed
from .._files.regular_file import storage_error
from .._oci import media
from .._oci.digest import is_digest, parse_digest, verify_bytes
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, parse_manifest
from .._oci.reference import DEFAULT_TAG, Reference
from .._oci.single_place import SinglePlace
from .index import LayoutIndex, ref_name

if TYPE_CHECKING:
    from .blobs import Blobs
    from .unlisted import UnlistedManifests

LAYOUT_FILE, INDEX_FILE = "oci-layout", "index.json"

# An entry of index.json has about 300 bytes: room for 200,000 of them.
MAX_INDEX_SIZE = 64 * 1024 * 1024

# The most manifests that are read to find referrers.
MAX_SCANNED = 10_000

_TAGS_IN_MESSAGE = 10
# The most manifests without a tag that are read to find out which of them are referrers.
_MOST_ATTACHED = 100


@dataclass(frozen=True)
class _Scanned:
    """The fields of a manifest that the search for referrers needs; cached, since a digest's content is constant."""

    referrer: Descriptor
    subject: str
    manifests: Sequence[Descriptor]


class LayoutReader(SinglePlace, ABC):
    """The reading part of :class:`~._oci.repository.Repository` for an image layout.

    Subclasses set ``store``, and return ``index.json`` in :meth:`_index`.

    :param root: the absolute path of the layout.
    :param place: what it is called at the beginning of a message, as in ``The layout /srv/oci``.
    """

    store: Blobs

    def __init__(self, reference: Reference, root: str, place: str) -> None:
        self.reference = reference
        self.root = root
        self._place = place
        # digests that manifests may name although they are not here: they are to be had elsewhere
        self.absent: Collection[str] = ()
        self._scanned: dict[str, _Scanned] = {}
        self._known_unlisted: UnlistedManifests | None = None

    @abstractmethod
    def _index(self) -> LayoutIndex:
        """Return the parsed ``index.json``.

        :raises NotFound: when there is no layout.
        :raises InvalidContent: when it is malformed.
        """

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
                raise NotFound(f"{self._place} has no manifest {identifier}.", self._tags_hint(index))
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

    def blob_views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        return self.stream_blob(descriptor, offset)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        """True when the blob exists with the right size; False also when there is no layout."""
        return self.store.has(descriptor)

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
                    f"{self._place} lists more than {MAX_SCANNED} manifests: too many to look for referrers.",
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

    def _unlisted(self) -> UnlistedManifests:
        from .unlisted import UnlistedManifests

        self._known_unlisted = self._known_unlisted or UnlistedManifests(self.store, self._place)
        return self._known_unlisted

    def _tagged(self, index: LayoutIndex, identifier: str) -> Descriptor:
        tag = identifier or DEFAULT_TAG
        found = index.tags.get(tag, ())
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidContent(
                f"{self._place} lists {len(found)} manifests under the tag {tag!r}.",
                f"Name one by its digest: {', '.join(entry.digest for entry in found[:_TAGS_IN_MESSAGE])}.",
            )
        untagged = None
        if not identifier:
            untagged = self._only_artifact(index)
        elif index.is_saved:
            untagged = self._unlisted().tagged(tag, index.entries, self._read_manifest)
        if untagged is not None:
            return untagged
        raise NotFound(f"{self._place} has no tag {tag[:200]!r}.", self._tags_hint(index))

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
                f"{self._place} lists the manifest {entry.digest} but lacks its blob.",
                "The layout is incomplete: copy the artifact into it again.",
            )
        self.store.open(entry).close()

    def _read_manifest(self, descriptor: Descriptor) -> Manifest:
        what = f"The manifest {descriptor.digest} of {self._place[0].lower()}{self._place[1:]}"
        if descriptor.size > MAX_MANIFEST_SIZE:
            raise InvalidContent(f"{what} has {descriptor.size} bytes, more than the {MAX_MANIFEST_SIZE} allowed.")
        with self.store.open(descriptor) as handle:
            raw = read_bounded(handle, MAX_MANIFEST_SIZE, self.store.path(descriptor.digest))
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

    def _check_parts(self, manifest: Manifest) -> None:
        """Check that what a manifest names, other than its subject and what is ``absent``, is there.

        :raises PushFailed: when a blob or manifest is missing.
        """
        parts = [*([manifest.config] if manifest.config else []), *manifest.layers, *manifest.manifests]
        for part in parts:
            if part.digest not in self.absent and not self.store.has(part):
                raise PushFailed(
                    f"{self._place} cannot take the manifest {manifest.descriptor.digest}: "
                    f"the {part.media_type or 'blob'} {part.digest} ({part.size} bytes) that it names is missing.",
                    "Push what a manifest names before the manifest.",
                )


def read_bounded(handle: Any, limit: int, path: str) -> bytes:
    try:
        raw: bytes = handle.read(limit + 1)
    except OSError as exc:
        raise storage_error("read", path, exc) from exc
    if len(raw) > limit:
        raise InvalidContent(f"The file {path} has more than the {limit} bytes allowed.")
    return raw
