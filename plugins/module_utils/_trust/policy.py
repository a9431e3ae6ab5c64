# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user demands of signatures, as values; see the documentation fragment ``verify``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Identity:
    """Regular expressions (Go's spellings, unanchored) on issuer and subject of a certificate, as Flux's
    matchOIDCIdentity."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class AttestationRule:
    """An in-toto attestation of predicate type ``type`` that the same signers must have made.

    ``type`` is a full predicate type, or one of cosign's short names (slsaprovenance, slsaprovenance1, spdxjson, spdx,
    cyclonedx, vuln, openvex, link, custom). ``min_signers`` as in the policy.
    """

    type: str
    min_signers: int = 1


@dataclass(frozen=True)
class VerifyPolicy:
    """A checked policy. ``public_keys`` and ``trust_store`` hold PEM text or paths as the user wrote them.

    ``min_signers`` is a number of entries (keys, identities), each satisfied by a signer of its own.
    ``max_signatures`` bounds how many signatures are tried; 0 stands for what the provider's own tool does.
    """

    provider: str = "cosign"
    public_keys: Sequence[str] = ()
    identities: Sequence[Identity] = ()
    any_identity: bool = False
    trusted_root: str = ""
    min_signers: int = 1
    max_signatures: int = 0
    predicate_types: Sequence[str] = ()
    curve_hash: bool = False
    attestations: Sequence[AttestationRule] = ()
    trust_policy: Mapping[str, Any] | None = None
    trust_store: Mapping[str, Sequence[str]] | None = None

    @property
    def most_signers(self) -> int:
        """The most signers that anything in the policy demands."""
        return max([self.min_signers, *(rule.min_signers for rule in self.attestations)])
