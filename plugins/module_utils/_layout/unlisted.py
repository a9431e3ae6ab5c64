# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures and referrers in a layout that ``cosign save`` wrote, which lists them in no standard way.

Source: cosign, pkg/oci/layout/write.go and pkg/cosign/verify.go. The entries of ``index.json`` have the annotation
``kind``: the artifact, its signatures (``sigs``), its attestations (``atts``). A registry holds the last two under the
tags ``sha256-<hex>.sig`` and ``.att``. Sigstore bundles are in ``blobs`` alone. So is all that was saved into the same
directory before, since each ``cosign save`` replaces ``index.json``.

What is found is a candidate: it was compared with its own digest, and says that it belongs to the artifact. Whoever may
write to the layout can add candidates and hide them, as in a registry, and cannot make a signature valid.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Callable

from .._errors import InvalidContent, NotFound, StorageError
from .._oci import media
from .._oci.digest import digest_of
from .._oci.manifest import Descriptor, Manifest, parse_manifest
from .._trust.formats import strict_json
from .._trust.verdict import Rejected
from .blobs import Blobs
from .index import ATTESTATIONS, SIGNATURES, kind_of

# Limits of one search. Only files of at most MAX_MANIFEST_SIZE bytes are read, the smallest first: a manifest of a
# signature has about 1 KiB.
MAX_NAMES = 100_000
MAX_READ = 10_000
MAX_BYTES = 128 * 1024 * 1024
MAX_SECONDS = 30.0
# The most listed manifests of signatures that are looked into, layers of each, and bytes of a layer.
MAX_CANDIDATES = 1_000
MAX_LAYERS = 8
MAX_CONTENT = 16 * 1024 * 1024

_TAG = re.compile(r"sha256-([0-9a-f]{64})\.(sig|att)\Z")
# suffix of cosign's tag -> kind in index.json, media type of the layers
_TAGGED = {"sig": (SIGNATURES, media.SIMPLE_SIGNING), "att": (ATTESTATIONS, media.DSSE_ENVELOPE)}


class UnlistedManifests:
    """The search in one layout. ``warnings`` says which searches ended at a limit."""

    def __init__(self, store: Blobs, place: str) -> None:
        """:param place: what the layout is called at the beginning of a warning."""
        self._store = store
        self._place = place
        self.warnings: list[str] = []

    def referrers(self, digest: str, listed: Collection[str]) -> list[Descriptor]:
        """Return the manifests whose ``subject`` is a digest, in the order of their digests, without those ``listed``.

        :raises StorageError: when another user could replace the directory of the layout.
        """
        found = []
        for manifest in self._scan(digest.partition(":")[2].encode("ascii"), f"referrers of {digest}"):
            if manifest.subject is not None and manifest.subject.digest == digest:
                found.append(manifest.as_referrer())
        return sorted((each for each in found if each.digest not in listed), key=lambda each: each.digest)

    def tagged(
        self, tag: str, entries: Sequence[Descriptor], read: Callable[[Descriptor], Manifest]
    ) -> Descriptor | None:
        """Return the manifest of signatures or attestations that a registry would have under a tag of cosign.

        One that ``index.json`` lists comes before those that it does not, of which the one with most signatures counts.

        :param tag: ``sha256-<hex>.sig`` or ``sha256-<hex>.att``; None is returned for any other.
        :param entries: those of ``index.json``.
        :param read: returns the checked manifest of an entry.
        :raises StorageError: when another user could replace the directory of the layout.
        """
        match = _TAG.match(tag)
        if match is None:
            return None
        digest, (kind, media_type) = f"sha256:{match[1]}", _TAGGED[match[2]]
        ends = time.monotonic() + MAX_SECONDS
        undecided = None
        candidates = [entry for entry in entries if kind_of(entry) == kind]
        for number, entry in enumerate(candidates):
            if number == MAX_CANDIDATES or time.monotonic() > ends:
                self._warn(f"Of the {len(candidates)} entries of the kind {kind!r}, {number} were read", tag)
                break
            try:
                named = self._names(read(entry), media_type, digest)
            except (NotFound, InvalidContent):
                continue
            if named:
                return entry
            if named is None:
                undecided = undecided or entry
        if undecided is not None:
            return undecided
        best: Manifest | None = None
        for manifest in self._scan(media_type.encode("ascii"), tag):
            if best is not None and len(manifest.layers) <= len(best.layers):
                continue
            if self._names(manifest, media_type, digest):
                best = manifest
        return best.descriptor if best is not None else None

    def _scan(self, needle: bytes, what: str) -> Iterator[Manifest]:
        """Yield the manifests among the blobs that contain ``needle``. No link is followed.

        :param what: what is looked for, for the warning that the search ended at a limit.
        """
        ends = time.monotonic() + MAX_SECONDS
        with self._store.small_blobs(MAX_NAMES, ends) as found:
            if found.problem:
                self._warn(found.problem, what)
            total = 0
            for number, (size, name) in enumerate(found.sizes):
                total += size
                if number == MAX_READ or total > MAX_BYTES or time.monotonic() > ends:
                    self._warn(f"Of its {len(found.sizes)} blobs that may be manifests, {number} were read", what)
                    return
                raw = found.read(name, size)
                if needle not in raw or digest_of(raw) != f"sha256:{name}":
                    continue
                try:
                    yield parse_manifest(raw, "", f"The blob sha256:{name}")
                except InvalidContent:
                    continue

    def _names(self, manifest: Manifest, media_type: str, digest: str) -> bool | None:
        """Return whether signatures or attestations are for a digest; None when they are too large to say."""
        undecided = False
        for layer in [each for each in manifest.layers if each.media_type == media_type][:MAX_LAYERS]:
            named = self._named_digests(layer)
            if named is None:
                undecided = True
            elif digest in named:
                return True
        return None if undecided else False

    def _named_digests(self, layer: Descriptor) -> Collection[str] | None:
        if layer.size > MAX_CONTENT:
            return None
        try:
            with self._store.open(layer) as handle:
                content = handle.read(MAX_CONTENT)
            return _named_digests(content)
        except Rejected as exc:
            return None if exc.code == "too-large" else ()
        except (NotFound, InvalidContent, StorageError, OSError):
            return ()

    def _warn(self, found: str, what: str) -> None:
        text = f"{self._place} was not wholly searched for {what}. {found}: signatures may have been missed."
        if text not in self.warnings:
            self.warnings.append(text)


def _named_digests(content: bytes) -> Collection[str]:
    """Return the digests that a payload of a signature, or the statement in an envelope, is about.

    :raises Rejected: ``malformed`` or ``too-large``.
    """
    document = strict_json(content, "It")
    try:
        if "payload" not in document:
            return [document["critical"]["image"]["docker-manifest-digest"]]
        statement = strict_json(base64.b64decode(document["payload"]), "Its statement")
        pairs = [pair for subject in statement["subject"] for pair in subject["digest"].items()]
        return [f"{algorithm}:{value.lower()}" for algorithm, value in pairs]
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError):
        return ()
