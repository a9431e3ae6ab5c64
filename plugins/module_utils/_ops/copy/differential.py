# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts and archives that hold only what the other side lacks: all manifests, and the blobs that are not there.

What the other side has is said by a layout or an archive that it has, or by digests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

from ..._errors import InvalidContent, InvalidOption, NotFound
from ..._layout.reader import LayoutReader
from ..._oci.digest import is_digest
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.options import AuthOptions, ConnectionOptions
from ..._oci.reference import Reference, parse_reference
from ..._oci.repository import Repository
from ..connect import open_repository
from .graph import Part, is_manifest

MAX_ENTRIES = 10_000
# The most digests that are looked up, to see whether they are those of artifacts; and the manifests that these have.
MAX_LOOKUPS = 200
MAX_MANIFESTS = 1_000
_SHOWN = 5


class OtherSide:
    """What the other side has. A context manager, which closes the layouts and archives.

    :param entries: layouts and archives (``oci-layout:PATH``, ``oci-archive:PATH``), of which all blobs count, and
        digests, each of a blob or of an artifact that ``source`` has, of which all blobs count.
    :raises InvalidOption: when an entry is none of these.
    """

    def __init__(self, entries: Sequence[str], source: Repository) -> None:
        if len(entries) > MAX_ENTRIES:
            raise InvalidOption(f"'differential' has {len(entries)} entries, more than the {MAX_ENTRIES} allowed.")
        self._digests = {text for text in entries if is_digest(text)}
        self._references = [_place(text) for text in dict.fromkeys(entries) if not is_digest(text)]
        self._source = source
        self._opened = contextlib.ExitStack()
        self._places: list[Repository] = []

    def __enter__(self) -> OtherSide:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def blobs_of(self, parts: Sequence[Part]) -> set[str]:
        """Return the digests of the blobs of these manifests that the other side has.

        :raises NotFound: when a layout or an archive is not there.
        """
        blobs = {blob.digest: blob for part in parts for blob in part.blobs}
        for reference in self._references:
            place = open_repository(reference, AuthOptions(), ConnectionOptions())
            self._opened.callback(place.close)
            # one that is not there has no blobs, and would not be noticed
            place.list_tags()
            self._places.append(place)
        known = self._digests | self._blobs_of_artifacts(self._digests - set(blobs))
        return {digest for digest, blob in blobs.items() if digest in known or self._is_at_place(blob)}

    def _is_at_place(self, blob: Descriptor) -> bool:
        return any(place.blob_exists(blob) for place in self._places)

    def _blobs_of_artifacts(self, digests: Collection[str]) -> set[str]:
        found: set[str] = set()
        for digest in sorted(digests)[:MAX_LOOKUPS]:
            for manifest in self._manifests(digest):
                found.update(blob.digest for blob in Part(manifest).blobs)
        return found

    def _manifests(self, digest: str) -> Iterator[Manifest]:
        """Yield an artifact of the source and the manifests of its platforms; none for a digest of something else."""
        pending, seen = [digest], set[str]()
        while pending and len(seen) < MAX_MANIFESTS:
            each = pending.pop()
            seen.add(each)
            try:
                manifest = self._source.fetch_manifest(each)
            except (NotFound, InvalidContent):
                continue
            yield manifest
            pending += [child.digest for child in manifest.manifests if is_manifest(child) and child.digest not in seen]


def _place(text: str) -> Reference:
    reference = parse_reference(text)
    if not reference.is_layout or reference.identifier:
        raise InvalidOption(
            f"'differential' has {str(reference)[:200]!r}: wanted a layout or an archive without a tag, of which all "
            "blobs count, or the digest of a blob or of an artifact of the source.",
            "Write it as oci-archive:/media/last.tar, oci-layout:/media/last or sha256:….",
        )
    return reference


def check_target(target: Repository) -> None:
    """:raises InvalidOption: when a registry is written to, which takes no manifest without its blobs."""
    if not target.reference.is_layout:
        raise InvalidOption(
            f"'differential' is for a layout or an archive that is carried, and {target.reference.name} is a registry: "
            "what it has is not sent again anyway.",
            "Leave it out.",
        )


def may_lack(target: Repository, digests: Collection[str]) -> None:
    """Let manifests in a layout or an archive name these digests without having them, for as long as it is open: what
    was left out of one artifact belongs to its other tags, too."""
    if isinstance(target, LayoutReader):
        target.absent = frozenset({*target.absent, *digests})


def check_complete(source: Repository, target: Repository, missing: Sequence[Part], left_out: Collection[str]) -> None:
    """Check, before anything is sent, that a layout or an archive has what the target lacks of some manifests.

    :raises InvalidContent: when neither has a blob.
    """
    if not source.reference.is_layout:
        return
    blobs = {blob.digest: blob for part in missing for blob in part.blobs if blob.digest not in left_out}
    nowhere = [digest for digest, blob in blobs.items() if not (source.blob_exists(blob) or target.blob_exists(blob))]
    if nowhere:
        raise InvalidContent(
            f"{len(nowhere)} of the {len(blobs)} blobs that are to be copied are neither in {source.reference.name} "
            f"nor in {target.reference.name}: {', '.join(nowhere[:_SHOWN])}{', …' if len(nowhere) > _SHOWN else ''}.",
            f"If it was written with 'differential', copy what it was compared with to {target.reference.name} first; "
            "otherwise write it again.",
        )
