# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify the signatures of a digest against a policy, whichever tool made them.

A verification has six steps. The docstrings and comments of the providers use their numbers:

1. *Read the policy*: public keys, identities and the trusted root (:mod:`.cosign`), or the trust policy and the trust
   store (:mod:`.notation`). A policy that no artifact could satisfy is an error of its own, before any request.
2. *Find what is attached to the digest*, in all places where the tools put it (:mod:`.discovery`), within a budget of
   requests, signatures and bytes (:mod:`.budget`). What cannot be fetched or read is a refusal, not an error.
3. *Check each signature by itself*: its form, and the cryptographic signature, by a key or a certificate.
4. *Check who signed*: a key of the policy; or the certificate's chain, times, log entries and identity.
5. *Check what was signed*: it has to name the digest, and to be of a kind that the policy asks for.
6. *Count the signers* (:mod:`.counting`): distinct ones, each for an entry of the policy of its own. Enough of them
   make a :class:`~.verdict.Verdict`; otherwise :class:`~.._errors.VerificationFailed` says why each signature did not
   count.

The digest comes from the caller, who has resolved the reference once and uses nothing but this digest afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Protocol

from .policy import COSIGN, NOTATION, VerifyPolicy

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository
    from .verdict import Verdict


class SignatureVerifier(Protocol):
    """Verifies any number of digests against one policy."""

    @property
    def warnings(self) -> list[str]:
        """Warnings about the policy, see :attr:`PolicyVerifier.warnings`."""

    def verify(self, repository: Repository, digest: str, artifact: Descriptor | None) -> Verdict:
        """Run steps 2 to 6, see :meth:`PolicyVerifier.verify`."""


class SignatureProvider(Protocol):
    """Interface of a provider's module."""

    def open_verifier(self, policy: VerifyPolicy) -> SignatureVerifier:
        """Run step 1 and return a verifier; raise InvalidPolicy when the policy cannot be used."""

    def check_signers(self, policy: VerifyPolicy) -> None:
        """Check that the policy names as many signers as it demands; raises InvalidPolicy when it does not."""


def _cosign() -> SignatureProvider:
    from . import provider_cosign

    return provider_cosign


def _notation() -> SignatureProvider:
    from . import provider_notation

    return provider_notation


# What a policy's ``provider`` may be. A new one is a file beside this one, with what SignatureProvider says and the
# kind of referrers that it reads (:class:`.discovery.ReferrerKind`), and its import here. The imports are written out
# because Ansible copies to hosts what import statements name.
_IMPORTS: dict[str, Callable[[], SignatureProvider]] = {COSIGN: _cosign, NOTATION: _notation}


class PolicyVerifier:
    """Verifies any number of digests against one policy, whose keys and certificates are read once.

    :raises InvalidPolicy: when the policy cannot be used.
    """

    def __init__(self, policy: VerifyPolicy) -> None:
        # 1. Read the policy
        self._verifier = _IMPORTS[policy.provider]().open_verifier(policy)

    @property
    def warnings(self) -> list[str]:
        """Return warnings about the policy itself; those about one artifact are in its verdict."""
        return list(self._verifier.warnings)

    def verify(self, repository: Repository, digest: str, artifact: Descriptor | None = None) -> Verdict:
        """Check the signatures of a digest: steps 2 to 6.

        :param artifact: descriptor of the digest. Only Notation's signatures need it; it is requested from the
            repository when it is not given.
        :raises VerificationFailed: when the signatures do not satisfy the policy.
        """
        return self._verifier.verify(repository, digest, artifact)


def check_number_of_signers(policy: VerifyPolicy) -> None:
    """Check, without a request, that the policy names as many signers as it demands (part of step 1).

    Where one signer suffices, nothing is read: the verification itself does that.

    :raises InvalidPolicy: when it does not, or what it names cannot be read.
    """
    if policy.most_signers > 1:
        _IMPORTS[policy.provider]().check_signers(policy)
