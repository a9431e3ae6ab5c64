# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the signatures of an artifact are.

Three places, all looked at: cosign's tag ``sha256-<hex>.sig`` (cosign, SIGNATURE_SPEC.md), its tag
``sha256-<hex>.att`` for attestations, and referrers, by the API or the fallback tag (distribution-spec, "Listing
Referrers"). The registry decides what it lists: it can hide, add and repeat. Hiding makes verification fail; what it
adds is counted, bounded and refused one by one, and never keeps a good signature from counting, within the bounds of
a :class:`~.budget.Budget`. So that what others add is not tried in place of a good signature, what is likely to be one
comes first, and what is large last. Descriptors' artifact types are not trusted to say what a referrer is: registries
fill them in differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .._errors import InvalidContent, NotAtMirrors, NotFound
from .._oci.manifest import Descriptor, Manifest
from .._oci.repository import Repository, read_blob
from .budget import Budget
from .formats import BUNDLE_PREFIX, MAX_BUNDLE, MAX_LEGACY_LAYERS, MAX_REFERRERS
from .verdict import Refusal

SIGNATURE_SUFFIX = ".sig"
ATTESTATION_SUFFIX = ".att"
NOTATION_SIGNATURE = "application/vnd.cncf.notary.signature"
#: notation-go, registry/repository.go: a JSON list of the SHA-256 of each certificate, the signer's first.
THUMBPRINTS = "io.cncf.notary.x509chain.thumbprint#S256"
#: What tools write, or registries fill in, where a referrer does not say what it is.
UNTYPED = ("", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json")
#: Bytes of a manifest or a bundle beyond which it is looked at after the others.
LARGE = 1024 * 1024
#: Characters of an annotation in which thumbprints are looked for.
MAX_THUMBPRINTS = 4096

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Attached:
    """Bytes that were attached to the artifact. ``found_in`` is the digest of the layer or manifest that brought
    them."""

    found_in: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class ReferrerKind:
    """One kind of referrers: a manifest with one layer of at most ``limit`` bytes, and how it is told from others.

    It is told by ``artifact_type``, as the manifest says it or in its config's media type; or, where ``layer_type`` is
    given, by how the layer's media type begins, since registries fill in artifact types differently. ``name`` is for
    refusals. Descriptors that name one of ``thumbprints`` (see ``THUMBPRINTS``) come first.
    """

    name: str
    artifact_type: str
    limit: int
    layer_type: str = ""
    thumbprints: Collection[str] = ()

    def is_in(self, manifest: Manifest) -> bool:
        """Return whether a manifest is of this kind."""
        if len(manifest.layers) != 1:
            return False
        if self.layer_type:
            return manifest.layers[0].media_type.startswith(self.layer_type)
        return self.artifact_type in (manifest.artifact_type, manifest.config.media_type if manifest.config else "")

    def rank(self, entry: Descriptor) -> tuple[bool, int]:
        """Smaller for what is more likely to be wanted, as far as the list of referrers says."""
        named = _SHA256.findall(entry.annotations.get(THUMBPRINTS, "")[:MAX_THUMBPRINTS])
        if any(each.lower() in self.thumbprints for each in named):
            likely = 0
        elif entry.artifact_type.startswith(self.artifact_type):
            likely = 1
        else:
            likely = 2 if entry.artifact_type in UNTYPED else 3
        return entry.size > LARGE, likely


BUNDLES = ReferrerKind("bundle", BUNDLE_PREFIX, MAX_BUNDLE, layer_type=BUNDLE_PREFIX)


def tagged_layers(
    repository: Repository, digest: str, suffix: str, refusals: list[Refusal], budget: Budget | None = None
) -> list[Descriptor]:
    """The layers under one of cosign's tags, small ones first; empty when there is no such tag. One request.

    A tag that cannot be used becomes an entry in ``refusals``.
    """
    budget = budget or Budget()
    tag = digest.replace(":", "-") + suffix
    try:
        manifest = repository.fetch_manifest(tag)
    except (NotFound, NotAtMirrors):
        # a signature that is not there cannot make anything valid; another kind may be at a mirror
        return []
    except InvalidContent as exc:
        refusals.append(Refusal(tag, "legacy", "malformed", exc.message))
        return []
    budget.take(manifest.descriptor.size)
    found_in = manifest.descriptor.digest
    if manifest.is_index:
        refusals.append(
            Refusal(found_in, "legacy", "malformed", f"The tag {tag} is an index, not a manifest of signatures.")
        )
        return []
    if len(manifest.layers) > MAX_LEGACY_LAYERS:
        # as cosign, which then tries none
        message = (
            f"The tag {tag} has {len(manifest.layers)} signatures, more than the {MAX_LEGACY_LAYERS} that are tried."
        )
        refusals.append(Refusal(found_in, "legacy", "too-large", message))
        budget.note(message)
        return []
    layers = sorted(manifest.layers, key=lambda layer: layer.size)
    if len(layers) > budget.signatures:
        budget.note(
            f"Of the {len(layers)} signatures under the tag {tag}, {budget.signatures} are tried ('max_signatures')."
        )
    return layers[: budget.signatures]


def attached_bundles(
    repository: Repository, digest: str, refusals: list[Refusal], budget: Budget | None = None
) -> Iterator[Attached]:
    """The Sigstore bundles among the referrers; other referrers are passed over in silence."""
    budget = budget or Budget()
    for tried, found in enumerate(attached(repository, digest, BUNDLES, refusals, budget)):
        if tried == budget.signatures:
            budget.note(f"It has more bundles than the {tried} that are tried ('max_signatures').")
            return
        yield found


def fetch_attached(repository: Repository, layer: Descriptor, limit: int, budget: Budget | None = None) -> bytes:
    """The bytes of a layer of at most ``limit`` bytes, checked against its digest.

    :param budget: whose time bounds the transfer; its bytes are for the caller to :meth:`~.Budget.take`.
    :raises InvalidContent: when it is larger, is not what its digest says, or does not come in time.
    :raises NotFound: when the registry does not have it.
    """
    if layer.size > limit:
        raise InvalidContent(f"The layer {layer.digest} has {layer.size} bytes, more than the {limit} that are read.")
    chunks = []
    for chunk in read_blob(repository, layer):
        chunks.append(chunk)
        if budget is not None and budget.is_spent:
            raise InvalidContent(f"The layer {layer.digest} was not read to its end: the time for it is up.")
    return b"".join(chunks)


def attached(
    repository: Repository, digest: str, kind: ReferrerKind, refusals: list[Refusal], budget: Budget
) -> Iterator[Attached]:
    """Yield what referrers of a kind bring, one at a time: no content is kept here. Large ones come last.

    What cannot be used becomes an entry in ``refusals``; what the budget leaves out, a note of it.
    """
    large: list[tuple[str, Descriptor]] = []
    for manifest in _referring_manifests(repository, digest, refusals, budget, kind):
        if not kind.is_in(manifest):
            continue
        layer = manifest.layers[0]
        found_in = manifest.descriptor.digest
        layer = Descriptor(layer.media_type, layer.digest, layer.size)
        if layer.size > LARGE:
            large.append((found_in, layer))
        else:
            yield from _attached_content(repository, found_in, layer, refusals, budget, kind)
    for found_in, layer in sorted(large, key=lambda pair: pair[1].size):
        yield from _attached_content(repository, found_in, layer, refusals, budget, kind)


def _attached_content(
    repository: Repository,
    found_in: str,
    layer: Descriptor,
    refusals: list[Refusal],
    budget: Budget,
    wanted: ReferrerKind,
) -> Iterator[Attached]:
    if layer.size <= wanted.limit and not budget.take(layer.size):
        return
    try:
        content = fetch_attached(repository, layer, wanted.limit, budget)
    except (NotFound, InvalidContent) as exc:
        code = "too-large" if layer.size > wanted.limit else "malformed"
        refusals.append(Refusal(found_in, wanted.name, code, exc.message))
        return
    yield Attached(found_in, layer.media_type, content)


def _referring_manifests(
    repository: Repository, digest: str, refusals: list[Refusal], budget: Budget, wanted: ReferrerKind
) -> Iterator[Manifest]:
    """The manifests that really name ``digest`` as their subject, each once, at most ``MAX_REFERRERS``."""
    try:
        listed = {entry.digest: entry for entry in repository.list_referrers(digest)}
    except InvalidContent as exc:
        refusals.append(Refusal(digest, "referrers", "malformed", exc.message))
        budget.note(exc.message)
        return
    # stable: among equals, the registry's order
    entries = sorted(listed.values(), key=wanted.rank)
    if len(entries) > MAX_REFERRERS:
        message = f"The registry lists {len(entries)} referrers; only {MAX_REFERRERS} are looked at."
        refusals.append(Refusal(digest, "referrers", "too-large", message))
        budget.note(message)
    for entry in entries[:MAX_REFERRERS]:
        if budget.is_spent:
            return
        if not budget.take(entry.size):
            continue
        try:
            manifest = repository.fetch_manifest(entry.digest)
        except (NotFound, InvalidContent) as exc:
            refusals.append(Refusal(entry.digest, "referrer", "malformed", exc.message))
            continue
        # what the list says of its size may be too little
        if manifest.descriptor.size > entry.size and not budget.take(manifest.descriptor.size - entry.size):
            continue
        if manifest.subject is not None and manifest.subject.digest == digest:
            yield manifest
