# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of Cosign's signatures (by keys and by certificates, in both layouts) and of in-toto attestations.

A signature counts when it is made by one of the keys, or by a certificate with one of the identities, and the signed
payload names the artifact's digest. Legacy signatures are tried first: when they satisfy the policy, two requests are
enough. An artifact may have bundles and legacy signatures; then all of them are tried.

The steps, by the numbers of :mod:`.verifier`:

1. *Read the policy*: :func:`read_keys`, the conditions on attestations, and the identities and the trusted root by
   :class:`.keyless.KeylessVerifier`.
2. *Find what is attached*: layers of the tag of legacy signatures; bundles among the referrers; layers of the tag of
   attestations; bundles that only the fallback tag lists. A verification fails only after all four were looked at.
3. *Check each signature*: by a key here, by a certificate in :mod:`.keyless`.
4. *Check who signed*: the key is one of the policy; a certificate beside a keyed signature must not have expired.
5. *Check what was signed*: the payload or in-toto statement names the digest, and is good for something that the policy
   asks for (:mod:`.attestations`).
6. *Count the signers*, and those who made each attestation that the policy wants. :mod:`.cosign_failure` says what is
   missing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .._errors import InvalidPolicy, OciError
from .._oci.manifest import Descriptor
from .._oci.preliminary import is_about_one
from .._oci.repository import Repository
from .._packages import require_cryptography
from . import formats
from .attestations import CompiledRule, Counted
from .budget import MAX_COSIGN_SIGNATURES, Budget
from .cosign_failure import describe_failure
from .discovery import (
    ATTESTATION_SUFFIX,
    SIGNATURE_SUFFIX,
    attached_bundles,
    bundles_by_tag,
    fetch_attached,
    stream_attached,
    tagged_layers,
)
from .formats import Bundle, Document, Envelope, Statement
from .keys import PublicKey, SignedBytes, load_public_keys
from .long_json import read_document
from .policy import COSIGN, VerifyPolicy
from .verdict import ATTESTATION, BUNDLE, LEGACY, VERIFIED, Refusal, Rejected, Signer, Verdict

if TYPE_CHECKING:
    from .keyless import KeylessVerifier

DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"


class CosignVerifier:
    """Verifies digests against one policy.

    :raises InvalidPolicy: when the policy names no signer, or a key, an identity or the trusted root cannot be used.
    """

    def __init__(self, policy: VerifyPolicy) -> None:
        self._policy = policy
        if not (policy.public_keys or policy.identities or policy.any_identity):
            raise InvalidPolicy(
                "The verification policy names no signer.",
                "Give 'public_keys', or 'identities' for keyless signatures (any_identity: true accepts every signer "
                "that the trusted root vouches for).",
            )
        # 1. Read the policy
        self._keys = read_keys(policy)
        self._rules = [CompiledRule.of(each) for each in policy.attestations]
        self._keyless: KeylessVerifier | None = None
        if policy.identities or policy.any_identity:
            from .keyless import KeylessVerifier

            self._keyless = KeylessVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        own = list(self._keyless.warnings) if self._keyless is not None else []
        return [*own, *(warning for each in self._rules for warning in each.conditions.warnings)]

    def verify(self, repository: Repository, digest: str) -> Verdict:
        """Check the signatures of a digest.

        :raises VerificationFailed: when they do not satisfy the policy.
        """
        counted = Counted(self._policy, self._rules)
        return _CosignCheck(self._policy, counted, self._keys, self._keyless, repository, digest).run()


def read_keys(policy: VerifyPolicy) -> list[PublicKey]:
    """Return the public keys of a policy, without duplicates, after checking all of it that needs no request.

    :raises InvalidPolicy: when a key cannot be used, a number is out of bounds, or more signers are demanded than the
        policy has entries: distinct keys and distinct identities, or ``any_identity``, which is one.
    """
    if policy.min_signers < 1:
        raise InvalidPolicy(f"'min_signers' is {policy.min_signers}: wanted 1 or more.")
    require_cryptography("Verifying signatures")
    keys = list({key.fingerprint: key for key in reversed(load_public_keys(list(policy.public_keys)))}.values())[::-1]
    identities = len(set(policy.identities)) + policy.any_identity
    entries = len(keys) + identities
    if policy.most_signers > entries:
        whose = "" if policy.min_signers == policy.most_signers else " of an entry of 'attestations'"
        raise InvalidPolicy(
            f"'min_signers'{whose} is {policy.most_signers}, but the policy has only {entries} distinct "
            f"{'entry' if entries == 1 else 'entries'}: {len(keys)} of 'public_keys', {identities} of 'identities'.",
            "Lower it, or list more: each key and each identity counts once, however often it is listed or has signed, "
            "and 'any_identity' counts as one identity.",
        )
    return keys


class _CosignCheck:
    """The verification of one digest against one policy: what counts so far, and what was refused."""

    def __init__(
        self,
        policy: VerifyPolicy,
        counted: Counted,
        keys: list[PublicKey],
        keyless: KeylessVerifier | None,
        repository: Repository,
        digest: str,
    ) -> None:
        self._policy = policy
        self._counted = counted
        self._keys = keys
        self._keyless = keyless
        self._repository = repository
        self._digest = digest
        self._refusals: list[Refusal] = []
        self._limit = policy.max_attestation_size or formats.MAX_ATTESTATION
        self._budget = Budget(policy.max_signatures or MAX_COSIGN_SIGNATURES, self._limit)

    def run(self) -> Verdict:
        counted = self._counted
        for _candidate in self._candidates():
            # 6. Count the signers, after each candidate: nothing is fetched that is not needed
            if counted.is_enough:
                signers = counted.all_signers()
                valid_until = min(each.valid_until for each in signers)
                return Verdict(VERIFIED, COSIGN, signers, self._refusals, valid_until, counted.warnings)
            if self._budget.is_spent:
                break
        name = str(self._repository.reference.at(digest=self._digest))
        raise describe_failure(name, self._digest, self._policy, counted, self._refusals, self._budget.exceeded())

    def _candidates(self) -> Iterator[None]:
        """Try one candidate after the other (steps 2 to 5); the caller stops as soon as nothing is missing.

        The content of one candidate is released before the next is fetched. What is not likely to be wanted is looked
        at last, to be able to say that it is there.
        """
        wants_signatures = self._counted.wants_signatures
        if wants_signatures:
            yield from self._legacy_signatures()
        seen: set[str] = set()
        repository, digest, refusals, budget, limit = (
            self._repository, self._digest, self._refusals, self._budget, self._limit,
        )  # fmt: skip
        for attached in attached_bundles(repository, digest, refusals, budget, limit, seen):
            self._try_bundle(attached.found_in, attached.content)
            del attached  # before the next one is read
            yield
        if not budget.is_spent:
            layers = tagged_layers(repository, digest, ATTESTATION_SUFFIX, refusals, budget)
            for layer in {(each.digest, each.size, each.media_type): each for each in layers}.values():
                self._try_attestation(layer)
                yield
        if not budget.is_spent:
            for attached in bundles_by_tag(repository, digest, refusals, budget, limit, seen):
                self._try_bundle(attached.found_in, attached.content)
                del attached
                yield
        if not wants_signatures and not budget.is_spent:
            yield from self._legacy_signatures()

    def _legacy_signatures(self) -> Iterator[None]:
        # with the size: a layer with a wrong size must not affect others that name the same payload
        by_payload: dict[tuple[str, int], list[Descriptor]] = {}
        for layer in tagged_layers(self._repository, self._digest, SIGNATURE_SUFFIX, self._refusals, self._budget):
            by_payload.setdefault((layer.digest, layer.size), []).append(layer)
        for layers in by_payload.values():
            yield from self._try_legacy(layers)

    def _try_legacy(self, layers: Sequence[Descriptor]) -> Iterator[None]:
        """Try signatures over one payload, which is fetched once: several signers of it share the same layer."""
        payload: bytes | Rejected | None = None
        for layer in layers:
            try:
                if formats.ANNOTATION_SIGNATURE not in layer.annotations:
                    raise Rejected("malformed", "The layer has no signature annotation")
                if payload is None:
                    payload = self._payload(layer)
                if isinstance(payload, Rejected):
                    raise payload
                self._counted.add_signature(self._legacy_signer(layer, payload))
            except Rejected as exc:
                self._refuse(layer.digest, LEGACY, exc)
            yield

    def _legacy_signer(self, layer: Descriptor, payload: bytes) -> Signer:
        encoded = layer.annotations[formats.ANNOTATION_SIGNATURE]
        # 3. Check the signature: by a key, over the payload
        signature = formats.decode_base64(encoded, "The signature annotation")
        has_certificate = bool(layer.annotations.get(formats.ANNOTATION_CERTIFICATE))
        key = self._matching_key(signature, payload)
        if key is not None:
            # 5. Check what was signed
            annotations = formats.check_simple_payload(payload, self._digest)
            # 4. Check who signed
            if has_certificate and self._keyless is None:
                self._check_beside_key(layer)
            return Signer(
                COSIGN,
                LEGACY,
                key.fingerprint,
                key.source,
                found_in=layer.digest,
                annotations=annotations,
                predicate_type=formats.COSIGN_SIGN,
                entries=frozenset([key.fingerprint]),
                names=frozenset([key.fingerprint]),
            )
        if self._keyless is not None and (has_certificate or not self._keys):
            return self._keyless.verify_legacy(layer, payload, self._digest)
        raise Rejected("bad-signature", self._no_key_matches())

    def _check_beside_key(self, layer: Descriptor) -> None:
        """Check the certificate beside a keyed signature: it proves nothing, but must be valid now, as for cosign."""
        from .certificates import read_certificate, validity

        try:
            certificate = read_certificate(layer.annotations[formats.ANNOTATION_CERTIFICATE].encode("utf-8"))
        except Rejected:
            return
        begins, ends = validity(certificate)
        if not begins <= datetime.datetime.now(datetime.timezone.utc) <= ends:
            raise Rejected(
                "expired-certificate", f"The certificate beside the signature was valid until {ends:%Y-%m-%d}"
            )

    def _try_bundle(self, found_in: str, document: Document) -> None:
        try:
            bundle = formats.parse_bundle(document)
            if bundle.envelope is None:
                raise Rejected(
                    "malformed", "The bundle holds a message signature, not an envelope that names the artifact"
                )
            signer, statement = self._bundle_signer(found_in, bundle, bundle.envelope)
            self._counted.add_statement(signer, statement, BUNDLE)
        except Rejected as exc:
            self._refuse(found_in, BUNDLE, exc)

    def _bundle_signer(self, found_in: str, bundle: Bundle, envelope: Envelope) -> tuple[Signer, Statement]:
        if bundle.is_keyed:
            if not self._keys:
                raise Rejected("no-certificate", "The bundle is signed with a key, and the policy has none")
            # 3. Check the signature: by a key, over the envelope's payload and its type
            key = self._matching_key(envelope.signature, envelope.signed)
            if key is None:
                raise Rejected("bad-signature", self._no_key_matches())
            return self._keyed_statement(found_in, envelope, key, BUNDLE)
        if self._keyless is None:
            raise Rejected("not-keyed", "The bundle is signed with a certificate, and the policy has no identities")
        signer, statement = self._keyless.verify_bundle(bundle, self._digest, ())
        return replace(signer, found_in=found_in), statement

    def _try_attestation(self, layer: Descriptor) -> None:
        """Try a layer of cosign's attestation tag: a DSSE envelope, with what belongs to a certificate beside it."""
        try:
            if layer.media_type != DSSE_ENVELOPE:
                raise Rejected("malformed", f"The layer is of type {layer.media_type[:100]!r}, not {DSSE_ENVELOPE!r}")
            document = self._document(layer)
            signer, statement = self._attestation_signer(layer, document)
            self._counted.add_statement(signer, statement, ATTESTATION)
        except Rejected as exc:
            self._refuse(layer.digest, ATTESTATION, exc)

    def _attestation_signer(self, layer: Descriptor, document: Document) -> tuple[Signer, Statement]:
        """As for legacy signatures, the keys are tried first, also where there is a certificate."""
        envelopes = formats.parse_envelopes(document)
        has_certificate = bool(layer.annotations.get(formats.ANNOTATION_CERTIFICATE))
        # 3. Check the signature: by a key, over the envelope's payload and its type
        for envelope in envelopes:
            key = self._matching_key(envelope.signature, envelope.signed)
            if key is not None:
                return self._keyed_statement(layer.digest, envelope, key, LEGACY)
        if self._keyless is not None and (has_certificate or not self._keys):
            return self._keyless.verify_attestation(layer, document, envelopes, self._digest)
        if has_certificate:
            raise Rejected("not-keyed", "It is signed with a certificate, and the policy has no identities")
        raise Rejected("bad-signature", self._no_key_matches())

    def _keyed_statement(
        self, found_in: str, envelope: Envelope, key: PublicKey, form: str
    ) -> tuple[Signer, Statement]:
        # 4. Check who signed
        if not key.is_named(envelope.key_id):
            raise Rejected("key-id", "The envelope names another key than the one that made its signature")
        # 5. Check what was signed
        statement = formats.check_statement(envelope, self._digest)
        signer = Signer(
            COSIGN,
            form,
            key.fingerprint,
            key.source,
            found_in=found_in,
            annotations=statement.annotations,
            predicate_type=statement.predicate_type,
            entries=frozenset([key.fingerprint]),
            names=frozenset([key.fingerprint]),
        )
        return signer, statement

    def _matching_key(self, signature: bytes, message: bytes | SignedBytes) -> PublicKey | None:
        for key in self._keys:
            if key.verifies(signature, message, self._policy.curve_hash):
                return key
        return None

    def _payload(self, layer: Descriptor) -> bytes | Rejected:
        """Return the payload of legacy signatures, or the reason why it was not read."""
        try:
            self._reserve(layer, formats.MAX_PAYLOAD)
            return fetch_attached(self._repository, layer, formats.MAX_PAYLOAD, self._budget)
        except OciError as exc:
            if not is_about_one(exc):
                raise
            return Rejected("malformed", exc.message.rstrip("."))
        except Rejected as exc:
            return exc

    def _document(self, layer: Descriptor) -> Document:
        """Return an envelope; raise Rejected where it cannot be read."""
        self._reserve(layer, self._limit)
        try:
            return read_document(stream_attached(self._repository, layer, self._limit, self._budget), "The attestation")
        except OciError as exc:
            if not is_about_one(exc):
                raise
            raise Rejected("malformed", exc.message.rstrip(".")) from None

    def _reserve(self, layer: Descriptor, limit: int) -> None:
        if layer.size > limit:
            option = "" if limit == formats.MAX_PAYLOAD else " ('max_attestation_size')"
            raise Rejected("too-large", f"It has {layer.size} bytes, more than the {limit} that are read{option}")
        if not self._budget.take(layer.size):
            raise Rejected("not-tried", "It was not read: a limit of the verification is reached")

    def _no_key_matches(self) -> str:
        count = len(self._keys)
        return f"The signature is by none of the {count} keys" if count > 1 else "The signature is not by the key"

    def _refuse(self, found_in: str, form: str, rejected: Rejected) -> None:
        self._refusals.append(Refusal(found_in, form, rejected.code, rejected.message))
