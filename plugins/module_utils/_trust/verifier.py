# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify the signatures of a digest against a policy, whichever tool made them.

A verification has six steps. The comments of this file, and of the two verifiers that it chooses from, name them:

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

from typing import TYPE_CHECKING, Any

from .policy import NOTATION, VerifyPolicy
from .verdict import IGNORED, Verdict

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository


class PolicyVerifier:
    """Verifies any number of digests against one policy, whose keys and certificates are read once.

    :raises InvalidPolicy: when the policy cannot be used.
    """

    def __init__(self, policy: VerifyPolicy) -> None:
        # 1. Read the policy
        self.policy = policy
        self._cosign: Any = None
        self._notation: Any = None
        if policy.provider == NOTATION:
            from .notation import NotationVerifier

            self._notation = NotationVerifier(policy)
        else:
            from .cosign import CosignVerifier

            self._cosign = CosignVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user about the policy itself; those about one artifact are in its verdict."""
        return [] if self._cosign is None else list(self._cosign.warnings)

    def verify(self, repository: Repository, digest: str, artifact: Descriptor | None = None) -> Verdict:
        """Check the signatures of a digest: steps 2 to 6.

        :param artifact: what the repository says of the digest; only Notation's signatures need it, and it is asked
            for where it is not given.
        :raises VerificationFailed: when the signatures do not satisfy the policy.
        """
        if self._cosign is not None:
            verdict: Verdict = self._cosign.verify(repository, digest)
            return verdict
        return verify_notation(self._notation, repository, artifact or repository.resolve(digest))


def verify_notation(verifier: Any, repository: Repository, artifact: Descriptor) -> Verdict:
    """Check the Notary Project signatures of an artifact: steps 2 to 6 for the provider notation.

    The scope, by which a trust policy names its statements, is ``host/repository``.

    :raises VerificationFailed: when they do not satisfy the trust policy.
    """
    # imported here: for cosign's signatures none of this is needed
    from .discovery import attached_notation
    from .notation import MAX_ENVELOPE
    from .verdict import Refusal

    refusals: list[Refusal] = []
    scope = repository.reference.name
    if verifier.skips(scope):
        return Verdict(IGNORED, NOTATION)
    # 2. Find what is attached to the digest: one after the other, while step 4 asks for more
    budget, thumbprints = verifier.budget(), verifier.thumbprints(scope)
    attached = attached_notation(repository, artifact.digest, refusals, MAX_ENVELOPE, budget, thumbprints)
    envelopes = ((each.found_in, each.media_type, each.content) for each in attached)
    # 3. to 6.
    verdict: Verdict = verifier.verify(envelopes, artifact, scope, budget, refusals)
    return verdict


def check_number_of_signers(policy: VerifyPolicy) -> None:
    """Check, without a request, that the policy names as many signers as it demands (part of step 1).

    Where one signer suffices, nothing is read: the verification itself does that.

    :raises InvalidPolicy: when it does not, or what it names cannot be read.
    """
    if policy.most_signers < 2:
        return
    if policy.provider == NOTATION:
        from .notation import NotationVerifier

        NotationVerifier(policy)
    else:
        from .cosign import read_keys

        read_keys(policy)
