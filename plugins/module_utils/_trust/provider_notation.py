# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider notation of a policy: signatures of the Notary Project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .discovery import NOTATION_SIGNATURE, ReferrerKind, attached
from .notation import MAX_ENVELOPE, NotationVerifier
from .policy import NOTATION
from .verdict import IGNORED, Refusal, Verdict

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository
    from .policy import VerifyPolicy


class _NotationPolicyVerifier:
    def __init__(self, policy: VerifyPolicy) -> None:
        self._verifier = NotationVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        return []

    def verify(self, repository: Repository, digest: str, artifact: Descriptor | None) -> Verdict:
        return verify_notation(self._verifier, repository, artifact or repository.resolve(digest))


def open_verifier(policy: VerifyPolicy) -> _NotationPolicyVerifier:
    """See :class:`.verifier.SignatureProvider`."""
    return _NotationPolicyVerifier(policy)


def check_signers(policy: VerifyPolicy) -> None:
    """See :class:`.verifier.SignatureProvider`."""
    NotationVerifier(policy)


def verify_notation(verifier: NotationVerifier, repository: Repository, artifact: Descriptor) -> Verdict:
    """Check the Notary Project signatures of an artifact: steps 2 to 6 of :mod:`.verifier`.

    The scope, by which a trust policy names its statements, is ``host/repository``.

    :raises VerificationFailed: when they do not satisfy the trust policy.
    """
    refusals: list[Refusal] = []
    scope = repository.reference.name
    if verifier.skips(scope):
        return Verdict(IGNORED, NOTATION)
    # 2. Find what is attached to the digest: one after the other, while the next steps ask for more
    budget = verifier.budget()
    kind = ReferrerKind("notation", NOTATION_SIGNATURE, MAX_ENVELOPE, thumbprints=verifier.thumbprints(scope))
    found = attached(repository, artifact.digest, kind, refusals, budget)
    envelopes = ((each.found_in, each.media_type, each.content) for each in found)
    # 3. to 6.
    return verifier.verify(envelopes, artifact, scope, budget, refusals)
