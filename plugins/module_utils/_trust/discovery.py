# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the signatures of an artifact are.

Three places, all looked at: cosign's tag ``sha256-<hex>.sig`` (cosign, SIGNATURE_SPEC.md), its tag
``sha256-<hex>.att`` for
attestations, and referrers, by the API or the fallback tag (distribution-spec, "Listing Referrers"). The registry
decides
what it lists: it can hide, add and repeat. Hiding makes verification fail; what it adds is counted, bounded and refused
one by one, and never keeps a good signature from counting. Descriptors' artifact types are not trusted to say what
a referrer is: registries fill them in differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .._oci.errors import InvalidContent, NotAtMirrors, NotFound
from .._oci.manifest import Descriptor, Manifest
from .._oci.transport import Repository, read_blob
from .formats import BUNDLE_PREFIX, MAX_BUNDLE, MAX_LEGACY_LAYERS, MAX_REFERRERS
from .verdict import Refusal

SIGNATURE_SUFFIX = ".sig"
ATTESTATION_SUFFIX = ".att"
NOTATION_SIGNATURE = "application/vnd.cncf.notary.signature"


@dataclass(frozen=True)
class Attached:
    """Bytes that were attached to the artifact. ``found_in`` is the digest of the layer or manifest that brought
    them."""

    found_in: str
    media_type: str
    content: bytes


def tagged_layers(repository: Repository, digest: str, suffix: str, refusals: list[Refusal]) -> list[Descriptor]:
    """The layers under one of cosign's tags, each once; empty when there is no such tag. One request.

    A tag that cannot be used becomes an entry in ``refusals``.
    """
    tag = digest.replace(":", "-") + suffix
    try:
        manifest = repository.fetch_manifest(tag)
    except (NotFound, NotAtMirrors):
        # a signature that is not there cannot make anything valid; another kind may be at a mirror
        return []
    except InvalidContent as exc:
        refusals.append(Refusal(tag, "legacy", "malformed", exc.message))
        return []
    found_in = manifest.descriptor.digest
    if manifest.is_index:
        refusals.append(
            Refusal(found_in, "legacy", "malformed", f"The tag {tag} is an index, not a manifest of signatures.")
        )
        return []
    if len(manifest.layers) > MAX_LEGACY_LAYERS:
        message = (
            f"The tag {tag} has {len(manifest.layers)} signatures, more than the {MAX_LEGACY_LAYERS} that are tried."
        )
        refusals.append(Refusal(found_in, "legacy", "too-large", message))
        return []
    return list(manifest.layers)


def attached_bundles(repository: Repository, digest: str, refusals: list[Refusal]) -> Iterator[Attached]:
    """The Sigstore bundles among the referrers; other referrers are passed over in silence."""
    for manifest in referring_manifests(repository, digest, refusals):
        layers = manifest.layers
        if len(layers) == 1 and layers[0].media_type.startswith(BUNDLE_PREFIX):
            yield from _attached(repository, manifest, layers[0], MAX_BUNDLE, "bundle", refusals)


def attached_notation(repository: Repository, digest: str, refusals: list[Refusal], limit: int) -> Iterator[Attached]:
    """The envelopes of the Notary Project among the referrers, of at most ``limit`` bytes each."""
    for manifest in referring_manifests(repository, digest, refusals):
        kinds = (manifest.artifact_type, manifest.config.media_type if manifest.config else "")
        if NOTATION_SIGNATURE in kinds and len(manifest.layers) == 1:
            yield from _attached(repository, manifest, manifest.layers[0], limit, "notation", refusals)


def referring_manifests(repository: Repository, digest: str, refusals: list[Refusal]) -> Iterator[Manifest]:
    """The manifests that really name ``digest`` as their subject, each once, at most ``MAX_REFERRERS``."""
    try:
        listed = {entry.digest: entry for entry in repository.list_referrers(digest)}
    except InvalidContent as exc:
        refusals.append(Refusal(digest, "referrers", "malformed", exc.message))
        return
    if len(listed) > MAX_REFERRERS:
        message = f"The registry lists {len(listed)} referrers; only {MAX_REFERRERS} are looked at."
        refusals.append(Refusal(digest, "referrers", "too-large", message))
    for referrer in list(listed)[:MAX_REFERRERS]:
        try:
            manifest = repository.fetch_manifest(referrer)
        except (NotFound, InvalidContent) as exc:
            refusals.append(Refusal(referrer, "referrer", "malformed", exc.message))
            continue
        if manifest.subject is not None and manifest.subject.digest == digest:
            yield manifest


def fetch_attached(repository: Repository, layer: Descriptor, limit: int) -> bytes:
    """The bytes of a layer of at most ``limit`` bytes, checked against its digest.

    :raises InvalidContent: when it is larger, or is not what its digest says.
    :raises NotFound: when the registry does not have it.
    """
    if layer.size > limit:
        raise InvalidContent(f"The layer {layer.digest} has {layer.size} bytes, more than the {limit} that are read.")
    return b"".join(read_blob(repository, layer))


def _attached(
    repository: Repository, manifest: Manifest, layer: Descriptor, limit: int, kind: str, refusals: list[Refusal]
) -> Iterator[Attached]:
    found_in = manifest.descriptor.digest
    try:
        content = fetch_attached(repository, layer, limit)
    except (NotFound, InvalidContent) as exc:
        code = "too-large" if layer.size > limit else "malformed"
        refusals.append(Refusal(found_in, kind, code, exc.message))
        return
    yield Attached(found_in, layer.media_type, content)
