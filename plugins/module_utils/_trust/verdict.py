# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of a verification: the signers, and the reasons why other signatures did not count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

LEGACY, BUNDLE, JWS, COSE = "legacy", "bundle", "jws", "cose"
# formats of refusals only: under the tag of attestations, a referrer that cannot be read, and the list of them
ATTESTATION, REFERRER, REFERRERS = "attestation", "referrer", "referrers"
VERIFIED, UNVERIFIED, IGNORED = "Verified", "Unverified", "Ignored"
# Refusals that a result lists, and that a message describes.
MAX_LISTED = 100
MAX_DESCRIBED = 5


class Rejected(Exception):
    """A signature does not count. ``code`` is a stable word for the cause (see the guide on verification)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Signer:
    """The signer of a signature that counts.

    ``key`` is the SHA-256 of the public key's SubjectPublicKeyInfo (``sha256:<hex>``), of the leaf's key for
    certificates; ``source`` the path or the number of the configured key that matched. ``issuer`` and ``subject`` come
    from the certificate. ``signed_at`` (RFC 3339, UTC) is set only when the time comes from a trusted log or authority.
    ``found_in`` is the digest of the manifest or layer that carried the signature. ``predicate`` is that of the signed
    statement, and part of the result when ``has_predicate`` is True: the policy asks for it.

    Not part of the result: ``entries``, the entries of the policy that the signer satisfies, and ``names``, all its
    names, see :class:`~.counting.SignerCount`; ``valid_until`` as in :class:`Verdict`.
    """

    provider: str
    format: str
    key: str = ""
    source: str = ""
    issuer: str = ""
    subject: str = ""
    signed_at: str = ""
    predicate_type: str = ""
    found_in: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)
    predicate: Any = field(default=None, repr=False)
    has_predicate: bool = False
    entries: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    names: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    valid_until: float = field(default=math.inf, repr=False, compare=False)

    @property
    def who(self) -> str:
        """Return the value by which distinct signers differ: issuer and subject, or else the key."""
        return f"{self.issuer}\n{self.subject}" if self.issuer or self.subject else self.key


@dataclass(frozen=True)
class Refusal:
    """A signature that did not count: where it was, a stable code, and a readable sentence."""

    found_in: str
    format: str
    code: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """The outcome for one digest. ``outcome`` is VERIFIED or IGNORED (Notation's skip and audit); failures are
    raised. ``valid_until`` (seconds since 1970) is when a signature or a certificate that it rests on expires, infinite
    where nothing does. ``warnings`` are sentences about checks that the policy only logs."""

    outcome: str
    provider: str
    signers: Sequence[Signer] = ()
    refusals: Sequence[Refusal] = ()
    valid_until: float = math.inf
    warnings: Sequence[str] = ()

    @property
    def verified(self) -> bool:
        return self.outcome == VERIFIED


def check_annotation(found: Mapping[str, Any], name: str, wanted: str) -> None:
    """Check an annotation that signed content has to have (cosign verify -a, notation verify --user-metadata).

    :raises Rejected: ``annotations``.
    """
    if name not in found:
        raise Rejected("annotations", f"It is signed without the annotation {name[:100]!r}")
    if found[name] != wanted:
        message = (
            f"It is signed with {str(found[name])[:100]!r} as the annotation {name[:100]!r}, wanted {wanted[:100]!r}"
        )
        raise Rejected("annotations", message)


def as_result(verdict: Verdict) -> dict[str, Any]:
    """Return the value of ``verification`` in the result of a module."""
    return {
        "verified": verdict.verified,
        "provider": verdict.provider,
        "reason": verdict.outcome,
        "signers": [_signer_result(signer) for signer in verdict.signers],
        "refused": [asdict(refusal) for refusal in verdict.refusals[:MAX_LISTED]],
    }


def describe_refusals(refusals: Sequence[Refusal]) -> str:
    """Return the first refusals as text for a message."""
    words = [f"{each.format} {each.found_in[:19]} ({each.code}: {each.message.rstrip('.')})" for each in refusals]
    more = len(words) - MAX_DESCRIBED
    return "; ".join(words[:MAX_DESCRIBED]) + (f"; and {more} more" if more > 0 else "")


def _signer_result(signer: Signer) -> dict[str, Any]:
    result = {**asdict(signer), "annotations": dict(signer.annotations)}
    hidden = {"entries", "names", "valid_until", "has_predicate"} | (set() if signer.has_predicate else {"predicate"})
    return {name: value for name, value in result.items() if name not in hidden}


def failure_details(provider: str, refusals: Sequence[Refusal]) -> dict[str, Any]:
    """Return the value of ``verification`` for a failure."""
    return as_result(Verdict(UNVERIFIED, provider, (), refusals))
