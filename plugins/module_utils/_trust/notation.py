# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of Notary Project signatures against a trust policy.

Source: Notary Project, trust-store-trust-policy.md, "Signature Verification", as notation-go applies it.

The steps, by the numbers of :mod:`.verifier`; what the specification calls them is in brackets:

1. *Read the policy*: :func:`.notation_policy.parse_trust_policy`, and the statement for the artifact's repository.
2. *Find what is attached*: the caller does, and hands envelopes over one after the other.
3. *Check each signature*: the envelope, its chain and its signature (integrity), in :mod:`.notation_envelope`.
4. *Check who signed*: the chain leads to the trust store, and the subject is a trusted identity (authenticity); then,
   as the level of the statement says, expiry, time stamps and the chain's validity, and revocation.
5. *Check what was signed*: the descriptor in the payload is the artifact's (integrity). This comes before step 4.
6. *Count the signers*; a failure that the statement only logs is a warning, and does not count as authentic.

What is checked: integrity (the signature, the form of the chain, the descriptor of the artifact), authenticity (trust
store and trusted identities), expiry, and that the chain was valid when the signature was made (:mod:`.notation_time`).
What is not: revocation, since it depends on places that the signature names. So a certificate that names an OCSP
responder or a revocation list fails a policy that enforces revocation, and is warned of where the policy logs it; that
holds for the certificates of timestamp authorities, too. Certificates that name neither cannot be revoked, for notation
too. Plugins are not run: a signature that demands one is refused.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._errors import InvalidPolicy, VerificationFailed
from .._oci.manifest import Descriptor
from .._packages import require_cryptography
from .budget import MAX_NOTATION_SIGNATURES, Budget
from .counting import SignerCount
from .distinguished_name import name_of_subject
from .keys import fingerprint_of
from .notation_chain import encode, ends_of, name_of, reading, revocable
from .notation_envelope import MAX_ENVELOPE, SignedEnvelope, check_payload, format_of, open_envelope
from .notation_policy import (
    AUTHENTICITY,
    ENFORCE,
    EXPIRY,
    LOG,
    REVOCATION,
    TIMESTAMP,
    PolicyStatement,
    parse_trust_policy,
)
from .notation_time import check_time
from .policy import NOTATION, VerifyPolicy
from .verdict import (
    IGNORED,
    VERIFIED,
    Refusal,
    Rejected,
    Signer,
    Verdict,
    check_annotation,
    describe_refusals,
    failure_details,
)

__all__ = ["MAX_ENVELOPE", "NotationVerifier"]

_HINTS = {
    "revocation": "Revocation is not checked here: override 'revocation' with log or skip in the trust policy.",
    "timestamp": "Sign with a timestamp (notation sign --timestamp-url …) of an authority in a 'tsa' store, set "
    "'verifyTimestamp' to afterCertExpiry, or override 'authenticTimestamp' with log.",
    "expired-certificate": "Sign again with a certificate that is valid, or override 'authenticTimestamp' with log.",
    "expired-signature": "Sign again, or override 'expiry' with log.",
    "identity": "Check 'trustedIdentities' of the trust policy.",
    "untrusted-certificate": "Check 'trust_store': a certificate of the signer's chain has to be in it.",
    "digest-mismatch": "The signature was made for something else: sign this digest.",
}


class NotationVerifier:
    """Verifies artifacts against one trust policy.

    ``now`` gives the time of verification, with a zone.

    :raises InvalidPolicy: when the trust policy or a certificate of the trust store cannot be used, or more signers are
        demanded than any of its statements trusts.
    """

    def __init__(self, policy: VerifyPolicy, now: Callable[[], datetime.datetime] | None = None) -> None:
        self._attempts = policy.max_signatures or MAX_NOTATION_SIGNATURES
        if policy.min_signers < 1:
            raise InvalidPolicy(f"'min_signers' is {policy.min_signers}: wanted 1 or more.")
        if policy.min_signers > self._attempts:
            raise InvalidPolicy(
                f"'min_signers' is {policy.min_signers}, but only {self._attempts} signatures of an artifact are tried."
            )
        require_cryptography("Verifying Notary Project signatures")
        # 1. Read the policy
        self.policy = parse_trust_policy(policy.trust_policy or {}, policy.trust_store or {})
        self._min_signers = policy.min_signers
        self._annotations = policy.annotations
        self._now = now or (lambda: datetime.datetime.now(datetime.timezone.utc))
        refusals = [self._too_few(each) for each in self.policy.statements if not each.skips]
        if refusals and None not in refusals:
            raise next(filter(None, refusals))

    def budget(self) -> Budget:
        """Return a new budget for one verification."""
        return Budget(self._attempts)

    def thumbprints(self, scope: str) -> frozenset[str]:
        """Return the SHA-256 (hex) of the certificates that are trusted for ``host/repository``.

        :raises VerificationFailed: when no statement applies.
        """
        statement = self.scope_statement(scope)
        trusted = (*statement.trusted, *statement.signing_authorities)
        return frozenset(hashlib.sha256(each.encoded).hexdigest() for each in trusted)

    def _too_few(self, statement: PolicyStatement) -> InvalidPolicy | None:
        """Return an error when a statement can never be satisfied by the demanded number of signers."""
        names = statement.identities
        if names is None or len(names) >= self._min_signers:
            return None
        return InvalidPolicy(
            f"'min_signers' is {self._min_signers}, but the statement {statement.name[:100]!r} of the trust policy has "
            f"only {len(names)} trusted {'identity' if len(names) == 1 else 'identities'}.",
            "Lower it, or list more 'trustedIdentities': each counts once, however many certificates match it.",
        )

    def scope_statement(self, scope: str) -> PolicyStatement:
        """Return the statement of the trust policy for ``host/repository``.

        :raises VerificationFailed: when there is none.
        """
        statement = self.policy.statement_for(scope)
        if statement is None:
            raise VerificationFailed(
                f"The trust policy has no statement for {scope}.",
                "Add it to the 'registryScopes' of a statement, or add one for '*', which alone matches image layouts.",
                {"verification": failure_details(NOTATION, ())},
            )
        return statement

    def skips(self, scope: str) -> bool:
        """Return True when the trust policy skips verification there, so that no signature has to be fetched.

        :raises VerificationFailed: when no statement applies.
        """
        return self.scope_statement(scope).skips

    def verify(
        self,
        envelopes: Iterable[tuple[str, str, bytes]],
        artifact: Descriptor,
        scope: str,
        budget: Budget | None = None,
        unusable: Sequence[Refusal] = (),
    ) -> Verdict:
        """Check the signatures of an artifact. Each is a tuple: digest that it was found in, media type, content.

        No more is taken from ``envelopes`` than needed, and never more than ``max_signatures`` of the policy. The
        outcome is VERIFIED when signatures that satisfy the policy are by ``min_signers`` distinct signers, each for
        a trusted identity of its own; IGNORED, which is not verified, when the policy skips verification, or when it
        takes signatures that are not authentic to make up the number.

        :param budget: that ``envelopes`` is read within; what it left out is said in the error.
        :param unusable: grows while ``envelopes`` is read, with what could not even be fetched.
        :raises VerificationFailed: in every other case.
        :raises InvalidPolicy: when the statement for ``scope`` does not trust as many signers as are demanded.
        """
        statement = self.scope_statement(scope)
        if statement.skips:
            return Verdict(IGNORED, NOTATION)
        too_few = self._too_few(statement)
        if too_few is not None:
            raise too_few
        budget = budget or self.budget()
        check = _NotationCheck(statement, artifact, self._now(), self._annotations)
        for tried, (found_in, media_type, raw) in enumerate(envelopes):
            if tried == self._attempts:
                budget.note(f"It has more signatures than the {self._attempts} that are tried ('max_signatures').")
                break
            check.attempt(found_in, media_type, raw)
            # 6. Count the signers, after each signature: no more is fetched than needed
            if check.count.number >= self._min_signers:
                signers, refusals = tuple(check.signers.values()), tuple(check.refusals)
                return Verdict(VERIFIED, NOTATION, signers, refusals, check.valid_until, tuple(check.warnings))
        if check.count.number + len(check.doubtful.keys() - check.signers.keys()) >= self._min_signers:
            doubts = [each for warnings in check.doubtful.values() for each in warnings]
            said = tuple(dict.fromkeys([*check.warnings, *doubts]))
            return Verdict(IGNORED, NOTATION, (), tuple(check.refusals), warnings=said)
        raise self._failed(check, scope, budget.exceeded(), unusable)

    def _failed(
        self, check: _NotationCheck, scope: str, exceeded: Sequence[str], unusable: Sequence[Refusal]
    ) -> VerificationFailed:
        name = f"{scope}@{check.artifact.digest}"
        found, wanted = check.count.number, self._min_signers
        if not check.refusals and not found:
            message = f"{name} has no Notary Project signature{' that can be used' if unusable or exceeded else ''}."
            hint = "Sign it (notation sign …), or check that its signatures were copied with it."
        else:
            message = f"No signature of {name} satisfies" if wanted == 1 else ""
            message = message or f"{name} has signatures by {found} of the {wanted} signers wanted that satisfy"
            statement = check.statement
            message += f" the statement {statement.name[:100]!r} (level {statement.level}) of the trust policy"
            message += f": {describe_refusals(check.refusals)}." if check.refusals else "."
            if len(check.signers) > found:
                message += " A trusted identity, a name and a key count once each."
            codes = [each.code for each in check.refusals if each.code in _HINTS]
            hint = _HINTS[codes[0]] if codes else "Check who signed this digest, and with what."
        if unusable:
            message += f" Not usable: {describe_refusals(unusable)}."
        if exceeded:
            message = " ".join([message, *(each for each in exceeded if each.rstrip(".") not in message)])
            hint += " Remove from the repository what others attached to this digest, or raise 'max_signatures'."
        refusals = [*check.refusals, *unusable]
        return VerificationFailed(message, hint, {"verification": failure_details(NOTATION, refusals)})


class _NotationCheck:
    """The verification of one artifact against one statement.

    ``signers``, and ``doubtful`` with the warnings about signers whose identity is not proven, are by the fingerprint
    of the signer's key.
    """

    def __init__(
        self,
        statement: PolicyStatement,
        artifact: Descriptor,
        now: datetime.datetime,
        wanted_annotations: Mapping[str, str],
    ) -> None:
        self.statement = statement
        self.wanted_annotations = wanted_annotations
        self.artifact = artifact
        self.now = now
        self.signers: dict[str, Signer] = {}
        self.count = SignerCount()
        self.doubtful: dict[str, list[str]] = {}
        self.refusals: list[Refusal] = []
        self.warnings: list[str] = []
        self.valid_until = math.inf

    def attempt(self, found_in: str, media_type: str, raw: bytes) -> None:
        """Try one signature; it becomes a signer, or a refusal."""
        logged: list[str] = []
        try:
            signer, doubt = self._signer(found_in, media_type, raw, logged)
        except Rejected as exc:
            self.refusals.append(Refusal(found_in, format_of(media_type), exc.code, exc.message))
            return
        warnings = [f"The trust policy only logs this, of the signature in {found_in[:19]}: {each}." for each in logged]
        if doubt is None:
            self.signers.setdefault(signer.key, signer)
            self.count.add(signer.names, signer.entries)
            self.warnings += [each for each in warnings if each not in self.warnings]
        else:
            self.doubtful.setdefault(signer.key, warnings)
            self.refusals.append(Refusal(found_in, signer.format, doubt.code, doubt.message))

    def _signer(self, found_in: str, media_type: str, raw: bytes, logged: list[str]) -> tuple[Signer, Rejected | None]:
        """Return the signer, and, where the policy only logs that, why its identity is not proven.

        :raises Rejected: when a check that is enforced fails.
        """
        # 3. Check the signature
        envelope = open_envelope(media_type, raw)
        # 5. Check what was signed
        artifact = self.artifact
        annotations = check_payload(envelope.payload, artifact.media_type, artifact.digest, artifact.size)
        for name, wanted in self.wanted_annotations.items():
            # user metadata; whatever the level, as for notation verify --user-metadata
            check_annotation(annotations, name, wanted)
        # 4. Check who signed: authenticity, then expiry, time and revocation, each enforced, logged or skipped
        source, doubt, entries = "", None, frozenset[str]()
        try:
            source, entries = self._authenticate(envelope)
        except Rejected as exc:
            if self.statement.actions[AUTHENTICITY] == ENFORCE:
                raise
            doubt = exc
            logged.append(exc.message)
        late, signed_at = None, None
        time_chain: Sequence[Any] = ()
        try:
            signed_at, time_chain = check_time(envelope, self.statement, self.now)
        except Rejected as exc:
            late = exc
        for kind, failure in (
            (EXPIRY, self._expiry(envelope)),
            (TIMESTAMP, late),
            (REVOCATION, self._revocation(envelope, time_chain)),
        ):
            if failure is not None and self.statement.actions[kind] == ENFORCE:
                raise failure
            if failure is not None and self.statement.actions[kind] == LOG:
                logged.append(failure.message)
        # independent of the policy's actions: anything that expires is verified again later; a certificate whose use is
        # proven to have been in time does not
        ends = [] if signed_at else ends_of(envelope.chain)
        ends += [envelope.expiry] if envelope.expiry else []
        self.valid_until = min([self.valid_until, *(each.timestamp() for each in ends)])
        signer = _describe_signer(envelope, found_in, source, annotations)
        if signed_at is not None:
            signer = replace(signer, signed_at=f"{signed_at:%Y-%m-%dT%H:%M:%SZ}")
        # a signer whose identity is not proven counts only as its own key and name
        return replace(signer, entries=entries or frozenset([signer.key])), doubt

    def _authenticate(self, envelope: SignedEnvelope) -> tuple[str, frozenset[str]]:
        """Return the source of the trusted certificate, and the matching identities; none where all are trusted.

        :raises Rejected: ``untrusted-certificate`` or ``identity``.
        """
        leaf = envelope.chain[0]
        encoded = {encode(each) for each in envelope.chain}
        by_authority = envelope.authentic_time is not None
        trusted_roots = self.statement.signing_authorities if by_authority else self.statement.trusted
        anchor = next((each for each in trusted_roots if each.encoded in encoded), None)
        if anchor is None:
            names = f"from {name_of(leaf)} to {name_of(envelope.chain[-1])}"
            store = "a trust store of signing authorities" if by_authority else "the trust store"
            raise Rejected("untrusted-certificate", f"No certificate of its chain, {names}, is in {store}")
        if self.statement.identities is None:
            return anchor.source, frozenset()
        try:
            with reading("The subject of the signer's certificate"):
                subject = leaf.subject
            trusted = self.statement.trusted_identities(name_of_subject(subject))
        except ValueError as exc:
            raise Rejected("identity", f"The subject {name_of(leaf)} cannot be compared: {exc}") from None
        if not trusted:
            raise Rejected("identity", f"The subject {name_of(leaf)} is none of the trusted identities")
        return anchor.source, trusted

    def _expiry(self, envelope: SignedEnvelope) -> Rejected | None:
        if envelope.expiry is None or self.now < envelope.expiry:
            return None
        return Rejected("expired-signature", f"The signature expired at {envelope.expiry:%Y-%m-%d %H:%M:%S} UTC")

    def _revocation(self, envelope: SignedEnvelope, time_chain: Sequence[Any]) -> Rejected | None:
        names = [*revocable(envelope.chain), *revocable(time_chain)]
        if not names:
            return None
        return Rejected("revocation", f"Whether the certificate of {names[0]} was revoked was not asked")


def _describe_signer(envelope: SignedEnvelope, found_in: str, source: str, annotations: dict[str, str]) -> Signer:
    leaf: Any = envelope.chain[0]
    with reading("The names in the signer's certificate"):
        key = fingerprint_of(leaf.public_key())
        # whatever the order of its parts, which trusted identities do not look at either
        name = "\n".join(sorted(f"{each.oid.dotted_string}={each.value!r}" for each in leaf.subject))
        return Signer(
            provider=NOTATION,
            format=envelope.format,
            key=key,
            source=source,
            issuer=leaf.issuer.rfc4514_string(),
            subject=leaf.subject.rfc4514_string(),
            found_in=found_in,
            annotations=annotations,
            names=frozenset(filter(None, (key, name))),
        )
