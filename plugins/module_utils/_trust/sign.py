# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign with a key, in both of Cosign's formats: find what is there, sign what is missing, and write it.

What is signed is in :mod:`.signed_content`. Source: cosign, SIGNATURE_SPEC.md and cmd/cosign/cli/sign/sign.go.

The tag of legacy signatures and the fallback tag of referrers are read, extended and written back, and registries have
no lock for that. So a written signature is read back after a delay in which concurrent writers have finished, and
written again when one of them has overwritten it.
"""

from __future__ import annotations

import base64
import io
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import (
    InvalidOption,
    NotFound,
    OciError,
    PushFailed,
    ReferrersUnsupported,
)
from .._oci import media
from .._oci.digest import digest_of
from .._oci.manifest import Descriptor, Manifest, load_json_object, parse_manifest
from .._oci.preliminary import find_tag, is_about_one, is_unsettled
from .._oci.reference import is_tag
from .._oci.repository import BlobSource, WritableRepository
from . import formats
from .budget import Budget
from .discovery import attached_bundles, fetch_attached
from .private_keys import PrivateKey
from .signed_content import (
    as_cosign,
    bundle_manifest,
    bundle_of,
    descriptor_of,
    docker_reference,
    legacy_config,
    legacy_tag,
    manifest_json,
    simple_payload,
    statement_for,
)
from .verdict import BUNDLE, LEGACY, Refusal, Rejected

CREATED, UNCHANGED = "created", "unchanged"
MAX_WRITES = 8
MAX_ANNOTATIONS = 100
#: Bytes of the largest bundle that is read, which may be an attestation: one with a signature of ours is far smaller.
MAX_SIGNATURE_BUNDLE = 16 * 1024 * 1024
# Delay before reading back: a multiple of the seconds that reading and writing took, within limits.
SETTLE_FACTOR, MIN_SETTLE, MAX_SETTLE = 4.0, 0.25, 10.0


@dataclass(frozen=True)
class Signature:
    """A signature by the key.

    ``digest`` is that of the layer (legacy) or manifest (bundle) that carries it, empty where it cannot be foreseen;
    ``status`` is CREATED or UNCHANGED; ``artifact`` is the digest that is signed.
    """

    format: str
    digest: str
    key: str
    status: str
    artifact: str


@dataclass(frozen=True)
class Signed:
    """The result for the wanted formats of one artifact."""

    signatures: Sequence[Signature]
    warnings: Sequence[str] = ()

    @property
    def changed(self) -> bool:
        return any(signature.status == CREATED for signature in self.signatures)


@dataclass(frozen=True)
class _Found:
    """Signatures of one format: digest of the first valid one by the key, and the number of those by others."""

    own: str = ""
    others: int = 0


class CosignSigner:
    """Signs digests with one key.

    ``created`` is the value of ``org.opencontainers.image.created`` of bundles.

    :raises InvalidOption: when an annotation cannot be signed.
    """

    def __init__(self, key: PrivateKey, wanted: Sequence[str], annotations: Mapping[str, str], created: str) -> None:
        self.key = key
        self._wanted = tuple(wanted)
        self._annotations = dict(sorted(annotations.items()))
        self._created = created
        _check_annotations(self._annotations)

    def sign(self, repository: WritableRepository, artifact: Descriptor, *, check_mode: bool = False) -> Signed:
        """Make sure that the artifact has a valid signature by the key in each wanted format, with the annotations.

        :raises PushFailed: when the place of signatures holds something else, or other clients kept replacing it.
        :raises OciError: for everything else that cannot be done.
        """
        if LEGACY in self._wanted and not is_tag(legacy_tag(artifact.digest)):
            raise InvalidOption(
                f"{artifact.digest[:30]}… cannot have a legacy signature: its tag would be longer than tags may be.",
                "Sign it with format: bundle.",
            )
        one = _OneArtifact(self.key, repository, artifact, self._annotations, self._created)
        before = {form: one.find(form) for form in self._wanted}
        missing = [form for form in self._wanted if not before[form].own]
        warnings = self._warnings(one, before, missing)
        left_out = self._add(one, missing, check_mode=check_mode)
        if left_out:
            warnings = [left_out]
            missing.remove(BUNDLE)
        made = {form: one.foreseen(form) if check_mode else one.made(form) for form in missing}
        signatures = [
            Signature(
                form,
                made[form] if form in made else before[form].own,
                self.key.public.fingerprint,
                CREATED if form in made else UNCHANGED,
                artifact.digest,
            )
            for form in self._wanted
            if form in made or before[form].own
        ]
        return Signed(signatures, warnings)

    def _add(self, one: _OneArtifact, missing: Sequence[str], *, check_mode: bool) -> str:
        """Write what is missing; return a warning when a bundle cannot be attached and the legacy signature stands.

        :raises ReferrersUnsupported: when a bundle is all that is wanted.
        """
        try:
            if BUNDLE in missing:
                one.check_attachable()
            if not check_mode:
                one.add(missing)
        except ReferrersUnsupported as exc:
            if LEGACY not in self._wanted:
                raise
            if not check_mode:
                one.add([form for form in missing if form != BUNDLE])
            return f"No bundle was attached to {one.name}, its legacy signature counts alone. {exc.message}"
        return ""

    def _warnings(self, one: _OneArtifact, before: Mapping[str, _Found], missing: Sequence[str]) -> list[str]:
        """Return warnings for an artifact with both formats: cosign 3 and Flux ignore its legacy signatures."""
        if not missing:
            return []
        other = {form: before[form] if form in before else one.find_if_possible(form) for form in (LEGACY, BUNDLE)}
        if BUNDLE in missing and not other[BUNDLE].others and other[LEGACY].others:
            return [
                f"{one.name} has {other[LEGACY].others} legacy signatures by others. Beside the new bundle, cosign 3 "
                "and Flux do not look at them any more: their signers should add bundles too."
            ]
        if BUNDLE not in self._wanted and not other[BUNDLE].own and other[BUNDLE].others:
            return [
                f"{one.name} has bundles by other signers, so that cosign 3 and Flux do not look at its legacy "
                "signature. Sign it with format: both."
            ]
        return []


class _OneArtifact:
    """The signatures of one key on one artifact. Each format is signed once, even if it is written several times."""

    def __init__(
        self,
        key: PrivateKey,
        repository: WritableRepository,
        artifact: Descriptor,
        annotations: Mapping[str, str],
        created: str,
    ) -> None:
        self._key = key
        self._repository = repository
        self._artifact = artifact
        self._annotations = annotations
        self._created = created
        self._payload = simple_payload(docker_reference(repository.reference), artifact.digest, annotations)
        self._signed_layer: Descriptor | None = None
        self._signed_bundle: tuple[bytes, Manifest] | None = None
        self.name = str(repository.reference.at(digest=artifact.digest))

    # Finding signatures

    def find(self, form: str) -> _Found:
        """Return the signatures of a format in the repository, read again. One with more annotations counts too."""
        try:
            return self._find_legacy() if form == LEGACY else self._find_bundle()
        except NotFound:
            return _Found()

    def find_if_possible(self, form: str) -> _Found:
        """Return the same for a format that is not wanted; problems with it are not errors."""
        try:
            return self.find(form)
        except OciError:
            return _Found()

    def _find_legacy(self) -> _Found:
        manifest, budget = self._legacy_manifest(), Budget()
        own, others = "", 0
        for layer in manifest.layers if manifest else ():
            if formats.ANNOTATION_SIGNATURE not in layer.annotations:
                continue
            if self._is_own_layer(layer, budget):
                own = own or layer.digest
            else:
                others += 1
        return _Found(own, others)

    def _is_own_layer(self, layer: Descriptor, budget: Budget) -> bool:
        if layer.annotations.get(formats.ANNOTATION_CERTIFICATE):
            return False
        try:
            encoded = layer.annotations[formats.ANNOTATION_SIGNATURE]
            signature = formats.decode_base64(encoded, "The signature annotation")
            payload = self._payload
            if layer.digest != digest_of(payload):
                if not budget.take(layer.size):
                    return False
                payload = fetch_attached(self._repository, layer, formats.MAX_PAYLOAD, budget)
            if not self._key.public.verifies(signature, payload):
                return False
            return self._has_annotations(formats.check_simple_payload(payload, self._artifact.digest))
        except Rejected:
            return False
        except OciError as exc:
            if not is_about_one(exc):
                raise
            return False

    def _find_bundle(self) -> _Found:
        refusals: list[Refusal] = []
        own, others = "", 0
        for attached in attached_bundles(self._repository, self._artifact.digest, refusals, limit=MAX_SIGNATURE_BUNDLE):
            if self._is_own_bundle(attached.content):
                own = own or attached.found_in
            else:
                others += 1
            del attached  # before the next one is read
        return _Found(own, others)

    def _is_own_bundle(self, document: formats.Document) -> bool:
        try:
            bundle = formats.parse_bundle(document)
            envelope = bundle.envelope
            if envelope is None or not bundle.is_keyed or not self._key.public.is_named(envelope.key_id):
                return False
            if not self._key.public.verifies(envelope.signature, envelope.signed):
                return False
            statement = formats.check_statement(envelope, self._artifact.digest, (formats.COSIGN_SIGN,))
        except Rejected:
            return False
        return self._has_annotations(statement.annotations)

    def _has_annotations(self, found: Mapping[str, Any]) -> bool:
        return all(found.get(name) == value for name, value in self._annotations.items())

    def _legacy_manifest(self) -> Manifest | None:
        tag = legacy_tag(self._artifact.digest)
        try:
            manifest = self._repository.fetch_manifest(tag)
        except NotFound:
            return None
        except OciError as exc:
            if is_unsettled(exc) and find_tag(self._repository, tag) is None:
                return None
            raise
        problem = ""
        if manifest.is_index:
            problem = "is an index, not a manifest of signatures"
        elif len(manifest.layers) > formats.MAX_LEGACY_LAYERS:
            problem = f"has {len(manifest.layers)} layers, more than the {formats.MAX_LEGACY_LAYERS} that cosign reads"
        if problem:
            raise PushFailed(
                f"The tag of signatures {self._repository.reference.at(tag=tag)} {problem}.",
                "Find out who wrote it, and remove it; or sign with format: bundle.",
            )
        return manifest

    # Writing

    def check_attachable(self) -> None:
        """:raises ReferrersUnsupported: when it is known that no referrer of the artifact would be found."""
        self._repository.check_attachable(self._artifact.digest)

    def made(self, form: str) -> str:
        return self._layer.digest if form == LEGACY else self._bundle[1].descriptor.digest

    def foreseen(self, form: str) -> str:
        """Return the digest that a signature will have; empty when the key's signatures are random."""
        return digest_of(self._payload) if form == LEGACY else self.made(form) if self._key.is_deterministic else ""

    def add(self, wanted: Sequence[str]) -> None:
        missing = list(wanted)
        for attempt in range(MAX_WRITES):
            if not missing:
                return
            if attempt:
                # a random delay, so that concurrent writers do not collide again
                time.sleep(random.uniform(0, MIN_SETTLE * 2**attempt))
            started = time.monotonic()
            for form in missing:
                self._write_legacy() if form == LEGACY else self._write_bundle()
            needed = time.monotonic() - started
            time.sleep(min(max(SETTLE_FACTOR * needed, MIN_SETTLE), MAX_SETTLE))
            missing = [form for form in missing if not self.find(form).own]
        if missing:
            raise PushFailed(
                f"The {' and '.join(missing)} signature of {self.name} was written {MAX_WRITES} times and is gone.",
                "Other clients keep replacing it, or the registry does not keep what it is sent: sign again later.",
                retryable=True,
            )

    @property
    def _layer(self) -> Descriptor:
        if self._signed_layer is None:
            signature = base64.b64encode(self._key.sign(self._payload)).decode("ascii")
            annotations = {formats.ANNOTATION_SIGNATURE: signature}
            self._signed_layer = descriptor_of(self._payload, formats.SIMPLE_SIGNING, annotations)
        return self._signed_layer

    @property
    def _bundle(self) -> tuple[bytes, Manifest]:
        if self._signed_bundle is None:
            raw = bundle_of(self._key, statement_for(self._artifact.digest, self._annotations))
            self._signed_bundle = raw, bundle_manifest(raw, self._artifact, self._created)
        return self._signed_bundle

    def _write_legacy(self) -> None:
        """Append the signature to the manifest of the tag, without changing the rest."""
        self._push_blob(self._payload, formats.SIMPLE_SIGNING)
        tag = legacy_tag(self._artifact.digest)
        existing = self._legacy_manifest()
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": {}, "layers": []}
        config_type = media.OCI_CONFIG
        if existing is not None:
            if self._layer in existing.layers:
                return  # a registry may be slow to list what was written
            document = load_json_object(existing.raw, f"The manifest {tag}")
            config_type = existing.config.media_type if existing.config else config_type
        layers = [*(document.get("layers") or []), as_cosign(self._layer)]
        if len(layers) > formats.MAX_LEGACY_LAYERS:
            raise PushFailed(
                f"{self.name} has {len(layers) - 1} legacy signatures already, and cosign reads no more.",
                "Sign it with format: bundle.",
            )
        config = legacy_config([layer["digest"] for layer in layers])
        self._push_blob(config, config_type)
        document["config"], document["layers"] = as_cosign(descriptor_of(config, config_type)), layers
        kind = existing.descriptor.media_type if existing else media.OCI_MANIFEST
        self._repository.push_manifest(parse_manifest(manifest_json(document), kind, f"The manifest {tag}"), tag)

    def _write_bundle(self) -> None:
        raw, referrer = self._bundle
        self._push_blob(media.EMPTY_JSON, media.OCI_EMPTY)
        self._push_blob(raw, formats.BUNDLE_V03)
        self._repository.push_manifest(referrer)

    def _push_blob(self, content: bytes, media_type: str) -> None:
        self._repository.push_blob(BlobSource(descriptor_of(content, media_type), lambda: io.BytesIO(content)))


def _check_annotations(annotations: Mapping[str, str]) -> None:
    if len(annotations) > MAX_ANNOTATIONS:
        raise InvalidOption(f"There are {len(annotations)} annotations to sign: at most {MAX_ANNOTATIONS} are.")
    for name, value in annotations.items():
        if not name:
            raise InvalidOption("An annotation to sign has no name.")
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            raise InvalidOption(f"The annotation {name!a} to sign is not valid Unicode.") from None
