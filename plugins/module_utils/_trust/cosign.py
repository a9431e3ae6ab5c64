# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of Cosign's signatures (by keys and by certificates, in both layouts) and of in-toto attestations.

A signature counts when it is made by one of the keys, or by a certificate with one of the identities, and the signed
payload names the artifact's digest. Legacy signatures are tried first: when they satisfy the policy, two requests are
enough. An artifact may have bundles and legacy signatures; then all of them are tried.

The steps, by the numbers of :mod:`.verifier`:

1. *Read the policy*: :func:`read_keys`, and the identities and the trusted root by :class:`.keyless.KeylessVerifier`.
2. *Find what is attached*: layers of the tag of legacy signatures; bundles among the referrers; layers of the tag of
   attestations, where keys may sign them.
3. *Check each signature*: by a key here, by a certificate in :mod:`.keyless`.
4. *Check who signed*: the key is one of the policy; a certificate beside a keyed signature must not have expired.
5. *Check what was signed*: the payload or in-toto statement names the digest, and its type is asked for.
6. *Count the signers*, and those who made each attestation that the policy wants.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .._errors import InvalidContent, InvalidPolicy, NotFound, VerificationFailed
from .._oci.manifest import Descriptor
from .._oci.repository import Repository
from .._packages import require_cryptography
from . import formats
from .budget import MAX_COSIGN_SIGNATURES, Budget
from .counting import SignerCount
from .discovery import ATTESTATION_SUFFIX, SIGNATURE_SUFFIX, attached_bundles, fetch_attached, tagged_layers
from .formats import Bundle, Envelope, Statement
from .keys import PublicKey, load_public_keys
from .policy import COSIGN, AttestationRule, VerifyPolicy
from .verdict import (
    BUNDLE,
    LEGACY,
    MAX_DESCRIBED,
    VERIFIED,
    Refusal,
    Rejected,
    Signer,
    Verdict,
    describe_refusals,
    failure_details,
)

if TYPE_CHECKING:
    from .keyless import KeylessVerifier

DSSE_ENVELOPE = "application/vnd.dsse.envelope.v1+json"

# cosign, pkg/cosign/attestation and cmd/cosign/cli/options/predicate.go
PREDICATE_TYPES = {
    "custom": ("https://cosign.sigstore.dev/attestation/v1",),
    "slsaprovenance": ("https://slsa.dev/provenance/v0.2",),
    "slsaprovenance02": ("https://slsa.dev/provenance/v0.2",),
    "slsaprovenance1": ("https://slsa.dev/provenance/v1",),
    "spdx": ("https://spdx.dev/Document",),
    "spdxjson": ("https://spdx.dev/Document",),
    "cyclonedx": ("https://cyclonedx.org/bom",),
    "link": ("https://in-toto.io/Link/v1",),
    "vuln": ("https://cosign.sigstore.dev/attestation/vuln/v1",),
    "openvex": ("https://openvex.dev/ns",),
}


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
        self._keyless: KeylessVerifier | None = None
        if policy.identities or policy.any_identity:
            from .keyless import KeylessVerifier

            self._keyless = KeylessVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        return list(self._keyless.warnings) if self._keyless is not None else []

    def verify(self, repository: Repository, digest: str) -> Verdict:
        """Check the signatures of a digest.

        :raises VerificationFailed: when they do not satisfy the policy.
        """
        return _CosignCheck(self._policy, self._keys, self._keyless, repository, digest).run()


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
    """The verification of one digest against one policy: signers found so far, and what is still missing."""

    def __init__(
        self,
        policy: VerifyPolicy,
        keys: list[PublicKey],
        keyless: KeylessVerifier | None,
        repository: Repository,
        digest: str,
    ) -> None:
        self._policy = policy
        self._keys = keys
        self._keyless = keyless
        self._repository = repository
        self._digest = digest
        self._signers = _Signers()
        self._attesters = [_Signers() for _rule in policy.attestations]
        self._refusals: list[Refusal] = []
        self._budget = Budget(policy.max_signatures or MAX_COSIGN_SIGNATURES)

    def run(self) -> Verdict:
        for _candidate in self._candidates():
            # 6. Count the signers, after each candidate: nothing is fetched that is not needed
            if self._is_satisfied():
                signers = [each for group in (self._signers, *self._attesters) for each in group.found.values()]
                unique = list({(each.found_in, each.who, each.predicate_type): each for each in signers}.values())
                valid_until = min(each.valid_until for each in unique)
                return Verdict(VERIFIED, COSIGN, unique, self._refusals, valid_until)
            if self._budget.is_spent:
                break
        raise self._failed()

    def _candidates(self) -> Iterator[None]:
        """Try one candidate after the other (steps 2 to 5); the caller stops as soon as nothing is missing.

        The content of one candidate is released before the next is fetched.
        """
        repository, digest, refusals, budget = self._repository, self._digest, self._refusals, self._budget
        if not self._policy.predicate_types or formats.COSIGN_SIGN in self._policy.predicate_types:
            # with the size: a layer with a wrong size must not affect others that name the same payload
            by_payload: dict[tuple[str, int], list[Descriptor]] = {}
            for layer in tagged_layers(repository, digest, SIGNATURE_SUFFIX, refusals, budget):
                by_payload.setdefault((layer.digest, layer.size), []).append(layer)
            for layers in by_payload.values():
                yield from self._try_legacy(layers)
        for attached in attached_bundles(repository, digest, refusals, budget):
            self._try_bundle(attached.found_in, attached.content)
            del attached  # before the next one is read
            yield
        if self._policy.attestations and self._keys and not budget.is_spent:
            layers = tagged_layers(repository, digest, ATTESTATION_SUFFIX, refusals, budget)
            for layer in {(each.digest, each.size, each.media_type): each for each in layers}.values():
                self._try_envelope(layer)
                yield

    def _is_satisfied(self) -> bool:
        return self._signers.number >= self._policy.min_signers and not self._missing_attestations()

    def _missing_attestations(self) -> list[AttestationRule]:
        pairs = zip(self._policy.attestations, self._attesters)
        return [rule for rule, attesters in pairs if attesters.number < rule.min_signers]

    def _try_legacy(self, layers: Sequence[Descriptor]) -> Iterator[None]:
        """Try signatures over one payload, which is fetched once: several signers of it share the same layer."""
        payload: bytes | Rejected | None = None
        for layer in layers:
            try:
                if formats.ANNOTATION_SIGNATURE not in layer.annotations:
                    raise Rejected("malformed", "The layer has no signature annotation")
                if payload is None:
                    payload = self._payload(layer, formats.MAX_PAYLOAD)
                if isinstance(payload, Rejected):
                    raise payload
                self._signers.add(self._legacy_signer(layer, payload))
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

    def _try_bundle(self, found_in: str, raw: bytes) -> None:
        try:
            bundle = formats.parse_bundle(raw)
            if bundle.envelope is None:
                raise Rejected(
                    "malformed", "The bundle holds a message signature, not an envelope that names the artifact"
                )
            signer, statement = self._bundle_signer(found_in, bundle, bundle.envelope)
        except Rejected as exc:
            self._refuse(found_in, BUNDLE, exc)
            return
        self._count_statement(signer, statement, found_in, BUNDLE)

    def _bundle_signer(self, found_in: str, bundle: Bundle, envelope: Envelope) -> tuple[Signer, Statement]:
        if bundle.is_keyed:
            if not self._keys:
                raise Rejected("no-certificate", "The bundle is signed with a key, and the policy has none")
            return self._keyed_envelope(found_in, envelope, BUNDLE)
        if self._keyless is None:
            raise Rejected("not-keyed", "The bundle is signed with a certificate, and the policy has no identities")
        signer, statement = self._keyless.verify_bundle(bundle, self._digest, ())
        return signer, statement

    def _try_envelope(self, layer: Descriptor) -> None:
        """Try a layer of cosign's attestation tag: a DSSE envelope; certificates in its annotations are ignored."""
        try:
            if layer.media_type != DSSE_ENVELOPE:
                raise Rejected("malformed", f"The layer is of type {layer.media_type[:100]!r}, not {DSSE_ENVELOPE!r}")
            content = self._payload(layer, formats.MAX_BUNDLE)
            if isinstance(content, Rejected):
                raise content
            envelope = formats.parse_envelope(content)
            signer, statement = self._keyed_envelope(layer.digest, envelope, LEGACY)
        except Rejected as exc:
            self._refuse(layer.digest, "attestation", exc)
            return
        self._count_statement(signer, statement, layer.digest, "attestation")

    def _keyed_envelope(self, found_in: str, envelope: Envelope, form: str) -> tuple[Signer, Statement]:
        # 3. Check the signature: by a key, over the envelope's payload and its type
        key = self._matching_key(envelope.signature, envelope.signed)
        if key is None:
            raise Rejected("bad-signature", self._no_key_matches())
        # 4. Check who signed
        if not key.is_named(envelope.key_id):
            raise Rejected("key-id", "The envelope names another key than the one that made its signature")
        # 5. Check what was signed; _count_statement looks at its type
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

    def _count_statement(self, signer: Signer, statement: Statement, found_in: str, form: str) -> None:
        """Count the signer for each rule that the statement's type matches; refuse a type that no rule wants."""
        counted = False
        for rule, attesters in zip(self._policy.attestations, self._attesters):
            if statement.predicate_type in expand_predicate_type(rule.type):
                attesters.add(signer)
                counted = True
        wanted = self._policy.predicate_types
        if form != "attestation" and (not wanted or statement.predicate_type in wanted):
            self._signers.add(signer)
        elif not counted:
            message = f"The statement is of type {statement.predicate_type[:200]!r}, which is not asked for"
            self._refuse(found_in, form, Rejected("predicate-type", message))

    def _matching_key(self, signature: bytes, message: bytes) -> PublicKey | None:
        for key in self._keys:
            if key.verifies(signature, message, self._policy.curve_hash):
                return key
        return None

    def _payload(self, layer: Descriptor, limit: int) -> bytes | Rejected:
        """Return the bytes of a layer, or the reason why they were not read."""
        if layer.size > limit:
            return Rejected("too-large", f"It has {layer.size} bytes, more than the {limit} that are read")
        if not self._budget.take(layer.size):
            return Rejected("not-tried", "It was not read: a limit of the verification is reached")
        try:
            return fetch_attached(self._repository, layer, limit, self._budget)
        except (NotFound, InvalidContent) as exc:
            return Rejected("malformed", exc.message.rstrip("."))

    def _no_key_matches(self) -> str:
        count = len(self._keys)
        return f"The signature is by none of the {count} keys" if count > 1 else "The signature is not by the key"

    def _refuse(self, found_in: str, form: str, rejected: Rejected) -> None:
        self._refusals.append(Refusal(found_in, form, rejected.code, rejected.message))

    def _failed(self) -> VerificationFailed:
        name = self._repository.reference.at(digest=self._digest)
        wanted, found = self._policy.min_signers, self._signers.number
        exceeded = self._budget.exceeded()
        if not found and not self._refusals and not exceeded:
            message = f"{name} has no signature: neither a Cosign tag nor a Sigstore bundle refers to it."
            hint = "Sign it (cosign sign --key …), or check that its signatures were copied with it."
        elif found < wanted:
            message = f"{name} has {found or 'no'} valid signature{'s' if found != 1 else ''} of the {wanted} wanted"
            if len(self._signers.found) > found:
                message += f", each by another key or identity of the policy ({self._signers.described()} count once)"
            message += f": {describe_refusals(self._refusals)}." if self._refusals else "."
            hint = "Check the keys or identities of the policy, and who signed this digest."
        else:
            missing = ", ".join(rule.type for rule in self._missing_attestations())
            message = f"{name} is signed, but lacks valid attestations of type {missing}"
            message += f": {describe_refusals(self._refusals)}." if self._refusals else "."
            hint = "Attest it (cosign attest --type …) with the same signer."
        if exceeded:
            message = " ".join([message, *(each for each in exceeded if each.rstrip(".") not in message)])
            hint += " Remove from the repository what others attached to this digest."
        return VerificationFailed(message, hint, {"verification": failure_details(COSIGN, self._refusals)})


class _Signers:
    """The signers of valid signatures, or of attestations of one type. ``found`` has one for each name."""

    def __init__(self) -> None:
        self.found: dict[str, Signer] = {}
        self._count = SignerCount()

    @property
    def number(self) -> int:
        """Return the number of entries of the policy that they satisfy, see :class:`~.counting.SignerCount`."""
        return self._count.number

    def add(self, signer: Signer) -> None:
        self.found.setdefault(signer.who, signer)
        self._count.add(signer.names, signer.entries)

    def described(self) -> str:
        """Return the names of the first of them, for messages."""
        names = [repr((each.subject or each.key)[:100]) for each in self.found.values()]
        return ", ".join(names[:MAX_DESCRIBED]) + (" and others" if len(names) > MAX_DESCRIBED else "")


def expand_predicate_type(name: str) -> tuple[str, ...]:
    """Return the predicate types of one of cosign's short names; for any other text, the text itself.

    Some tools append the version of CycloneDX to its type; only the type without version is meant.
    """
    return PREDICATE_TYPES.get(name, (name,))
