# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the signatures that are attached to an artifact.

They are in four places: cosign's tag ``sha256-<hex>.sig`` (cosign, SIGNATURE_SPEC.md), its tag ``sha256-<hex>.att``
for attestations, and referrers, by the API and by the fallback tag (distribution-spec, "Listing Referrers").

A registry can hide, add and repeat entries. If it hides signatures, verification fails. Entries that it adds are
bounded by a :class:`~.budget.Budget` and refused one by one; they cannot make a good signature invalid. To keep them
from using up the budget before a good signature is tried, likely signatures are tried first and large objects last.
The artifact types in descriptors are not used to tell kinds of referrers apart, since registries fill them in
differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Generic, TypeVar

from .._errors import InvalidContent, NotAtMirrors, NotFound, OciError
from .._oci.digest import fallback_tag
from .._oci.manifest import Descriptor, Manifest
from .._oci.preliminary import answer_or_none, is_about_one, is_unsettled
from .._oci.repository import Repository, read_blob
from .budget import Budget
from .formats import BUNDLE_PREFIX, MAX_ATTESTATION, MAX_LEGACY_LAYERS, MAX_REFERRERS, Document
from .long_json import read_document
from .verdict import ATTESTATION, LEGACY, REFERRER, REFERRERS, Refusal, Rejected

SIGNATURE_SUFFIX = ".sig"
ATTESTATION_SUFFIX = ".att"
NOTATION_SIGNATURE = "application/vnd.cncf.notary.signature"
#: notation-go, registry/repository.go: a JSON list of the SHA-256 of each certificate, the signer's first.
THUMBPRINTS = "io.cncf.notary.x509chain.thumbprint#S256"
#: Types that tools or registries write when a referrer has no artifact type of its own.
UNTYPED = ("", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json")
#: Bytes; a larger manifest or bundle is read after the others.
LARGE = 1024 * 1024
#: Characters of the longest annotation that is searched for thumbprints.
MAX_THUMBPRINTS = 4096

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Attached(Generic[_Content]):
    """Content that is attached to the artifact. ``found_in`` is the digest of the layer or manifest that has it."""

    found_in: str
    media_type: str
    content: _Content


@dataclass(frozen=True)
class ReferrerKind:
    """A kind of referrers: manifests with one layer of at most ``limit`` bytes, and how they are recognised.

    A manifest is of this kind when its artifact type, or its config's media type, is ``artifact_type``; or, where
    ``layer_type`` is given, when the layer's media type begins with it, since registries fill in artifact types
    differently. ``name`` is for refusals, ``option`` is what sets the limit. Descriptors with one of ``thumbprints``
    (see ``THUMBPRINTS``) come first.
    """

    name: str
    artifact_type: str
    limit: int
    layer_type: str = ""
    thumbprints: Collection[str] = ()
    option: str = ""

    def is_in(self, manifest: Manifest) -> bool:
        """Return True when a manifest is of this kind."""
        if len(manifest.layers) != 1:
            return False
        if self.layer_type:
            return manifest.layers[0].media_type.startswith(self.layer_type)
        return self.artifact_type in (manifest.artifact_type, manifest.config.media_type if manifest.config else "")

    def rank(self, entry: Descriptor) -> tuple[bool, int]:
        """Return a sort key, smaller for entries that, by the list of referrers, are more likely to be of this kind."""
        named = _SHA256.findall(entry.annotations.get(THUMBPRINTS, "")[:MAX_THUMBPRINTS])
        if any(each.lower() in self.thumbprints for each in named):
            likely = 0
        elif entry.artifact_type.startswith(self.artifact_type):
            likely = 1
        else:
            likely = 2 if entry.artifact_type in UNTYPED else 3
        return entry.size > LARGE, likely


BUNDLES = ReferrerKind(
    "bundle", BUNDLE_PREFIX, MAX_ATTESTATION, layer_type=BUNDLE_PREFIX, option="max_attestation_size"
)


def tagged_layers(
    repository: Repository, digest: str, suffix: str, refusals: list[Refusal], budget: Budget | None = None
) -> list[Descriptor]:
    """Return the layers under one of cosign's tags, small ones first; empty without the tag. Makes one request.

    A tag that cannot be used is added to ``refusals``.
    """
    budget = budget or Budget()
    tag = digest.replace(":", "-") + suffix
    form = ATTESTATION if suffix == ATTESTATION_SUFFIX else LEGACY
    try:
        manifest = repository.fetch_manifest(tag)
    except (NotFound, NotAtMirrors):
        # treated like a missing tag: that cannot make anything valid, and signatures may be in another place
        return []
    except OciError as exc:
        if not is_unsettled(exc):
            raise
        # another place may have a good one
        refusals.append(Refusal(tag, form, "malformed", exc.message))
        return []
    budget.take(manifest.descriptor.size)
    found_in = manifest.descriptor.digest
    if manifest.is_index:
        refusals.append(
            Refusal(found_in, form, "malformed", f"The tag {tag} is an index, not a manifest of signatures.")
        )
        return []
    if len(manifest.layers) > MAX_LEGACY_LAYERS:
        # as in cosign, which then tries none
        message = (
            f"The tag {tag} has {len(manifest.layers)} signatures, more than the {MAX_LEGACY_LAYERS} that are tried."
        )
        refusals.append(Refusal(found_in, form, "too-large", message))
        budget.note(message)
        return []
    layers = sorted(manifest.layers, key=lambda layer: layer.size)
    if len(layers) > budget.signatures:
        budget.note(
            f"Of the {len(layers)} signatures under the tag {tag}, {budget.signatures} are tried ('max_signatures')."
        )
    return layers[: budget.signatures]


def attached_bundles(
    repository: Repository,
    digest: str,
    refusals: list[Refusal],
    budget: Budget | None = None,
    limit: int = MAX_ATTESTATION,
    seen: set[str] | None = None,
) -> Iterator[Attached[Document]]:
    """Yield the Sigstore bundles of at most ``limit`` bytes among the referrers; other referrers are ignored.

    :param seen: gets the digests of the referrers that are listed.
    """
    budget = budget or Budget()
    return _bundles(
        repository, digest, _listed_referrers(repository, digest, refusals, budget), refusals, budget, limit, seen
    )


def bundles_by_tag(
    repository: Repository, digest: str, refusals: list[Refusal], budget: Budget, limit: int, seen: set[str]
) -> Iterator[Attached[Document]]:
    """Yield the bundles that the fallback tag lists and that are not in ``seen``. Makes one request.

    A registry that learned the API after they were attached may not list them by the API.
    """
    try:
        index = answer_or_none(lambda: repository.fetch_manifest(fallback_tag(digest)))
    except NotAtMirrors:
        index = None
    # some registries answer with the artifact itself
    if index is None or not index.is_index or index.descriptor.digest == digest:
        return iter(())
    budget.take(index.descriptor.size)
    listed = [entry for entry in index.manifests if entry.digest not in seen]
    return _bundles(repository, digest, listed, refusals, budget, limit, seen)


def _bundles(
    repository: Repository,
    digest: str,
    listed: Sequence[Descriptor],
    refusals: list[Refusal],
    budget: Budget,
    limit: int,
    seen: set[str] | None,
) -> Iterator[Attached[Document]]:
    if seen is not None:
        seen.update(entry.digest for entry in listed)
    kind = replace(BUNDLES, limit=limit)
    manifests = _referring_manifests(repository, digest, listed, refusals, budget, kind)
    for tried, found in enumerate(_contents(repository, manifests, kind, refusals, budget, _read_bundle)):
        if tried == budget.signatures:
            budget.note(f"It has more bundles than the {tried} that are tried ('max_signatures').")
            return
        yield found
        del found  # before the next one is read


def fetch_attached(repository: Repository, layer: Descriptor, limit: int, budget: Budget | None = None) -> bytes:
    """Return the content of a layer of at most ``limit`` bytes, checked against its digest.

    :param budget: bounds the time of the transfer; the caller reserves the bytes with :meth:`~.Budget.take`.
    :raises InvalidContent: when the layer is larger, does not match its digest, or does not arrive in time.
    :raises NotFound: when the registry does not have it.
    """
    return b"".join(stream_attached(repository, layer, limit, budget))


def stream_attached(
    repository: Repository, layer: Descriptor, limit: int, budget: Budget | None = None
) -> Iterator[bytes]:
    """Yield the content of a layer in pieces, as :func:`fetch_attached` does. It was checked when there is no more."""
    if layer.size > limit:
        raise InvalidContent(f"The layer {layer.digest} has {layer.size} bytes, more than the {limit} that are read.")
    for chunk in read_blob(repository, layer):
        yield chunk
        if budget is not None and budget.is_spent:
            raise InvalidContent(f"The layer {layer.digest} was not read to its end: the time for it is up.")


def attached(
    repository: Repository, digest: str, kind: ReferrerKind, refusals: list[Refusal], budget: Budget
) -> Iterator[Attached[bytes]]:
    """Yield the content of referrers of a kind, one at a time, large ones last. No content is kept here.

    A referrer that cannot be used is added to ``refusals``; for those that the budget leaves out, it gets a note.
    """
    listed = _listed_referrers(repository, digest, refusals, budget)
    manifests = _referring_manifests(repository, digest, listed, refusals, budget, kind)
    return _contents(repository, manifests, kind, refusals, budget, b"".join)


def _read_bundle(chunks: Iterable[bytes]) -> Document:
    return read_document(chunks, "The bundle")


def _contents(
    repository: Repository,
    manifests: Iterator[Manifest],
    kind: ReferrerKind,
    refusals: list[Refusal],
    budget: Budget,
    read: Callable[[Iterable[bytes]], _Content],
) -> Iterator[Attached[_Content]]:
    large: list[tuple[str, Descriptor]] = []
    for manifest in manifests:
        if not kind.is_in(manifest):
            continue
        layer = manifest.layers[0]
        found_in = manifest.descriptor.digest
        layer = Descriptor(layer.media_type, layer.digest, layer.size)
        if layer.size > LARGE:
            large.append((found_in, layer))
        else:
            yield from _attached_content(repository, found_in, layer, refusals, budget, kind, read)
    for found_in, layer in sorted(large, key=lambda pair: pair[1].size):
        yield from _attached_content(repository, found_in, layer, refusals, budget, kind, read)


def _attached_content(
    repository: Repository,
    found_in: str,
    layer: Descriptor,
    refusals: list[Refusal],
    budget: Budget,
    wanted: ReferrerKind,
    read: Callable[[Iterable[bytes]], _Content],
) -> Iterator[Attached[_Content]]:
    if layer.size <= wanted.limit and not budget.take(layer.size):
        return
    try:
        content = read(stream_attached(repository, layer, wanted.limit, budget))
    except OciError as exc:
        if not is_about_one(exc):
            raise
        code, message = "malformed", exc.message
        if layer.size > wanted.limit:
            code, message = "too-large", f"{message.rstrip('.')} ('{wanted.option}')." if wanted.option else message
        refusals.append(Refusal(found_in, wanted.name, code, message))
        return
    except Rejected as exc:
        refusals.append(Refusal(found_in, wanted.name, exc.code, exc.message))
        return
    found = Attached(found_in, layer.media_type, content)
    del content
    yield found


def _listed_referrers(
    repository: Repository, digest: str, refusals: list[Refusal], budget: Budget
) -> Sequence[Descriptor]:
    """Return what the registry lists, by its API or else the fallback tag. What cannot be read is in ``refusals``."""
    said = len(repository.warnings)
    try:
        listed = repository.list_referrers(digest)
    except InvalidContent as exc:
        refusals.append(Refusal(digest, REFERRERS, "malformed", exc.message))
        budget.note(exc.message)
        return ()
    for unread in repository.warnings[said:]:
        refusals.append(Refusal(digest, REFERRERS, "malformed", unread))
        budget.note(unread)
    return listed


def _referring_manifests(
    repository: Repository,
    digest: str,
    listed: Iterable[Descriptor],
    refusals: list[Refusal],
    budget: Budget,
    wanted: ReferrerKind,
) -> Iterator[Manifest]:
    """Yield the listed manifests whose subject is ``digest``, without duplicates, at most ``MAX_REFERRERS``."""
    # a stable sort: the registry's order for equal ranks
    entries = sorted({entry.digest: entry for entry in listed}.values(), key=wanted.rank)
    if len(entries) > MAX_REFERRERS:
        message = f"The registry lists {len(entries)} referrers; only {MAX_REFERRERS} are looked at."
        refusals.append(Refusal(digest, REFERRERS, "too-large", message))
        budget.note(message)
    for entry in entries[:MAX_REFERRERS]:
        if budget.is_spent:
            return
        if not budget.take(entry.size):
            continue
        try:
            manifest = repository.fetch_manifest(entry.digest)
        except OciError as exc:
            if not is_about_one(exc):
                raise
            refusals.append(Refusal(entry.digest, REFERRER, "malformed", exc.message))
            continue
        # the size in the list may be too small
        if manifest.descriptor.size > entry.size and not budget.take(manifest.descriptor.size - entry.size):
            continue
        if manifest.subject is not None and manifest.subject.digest == digest:
            yield manifest
