# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider cosign of a policy: signatures and attestations of Sigstore, with keys or keyless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cosign import CosignVerifier, read_keys

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import Repository
    from .policy import VerifyPolicy
    from .verdict import Verdict


class _CosignPolicyVerifier:
    def __init__(self, policy: VerifyPolicy) -> None:
        self._verifier = CosignVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        return self._verifier.warnings

    def verify(self, repository: Repository, digest: str, artifact: Descriptor | None) -> Verdict:
        return self._verifier.verify(repository, digest)


def open_verifier(policy: VerifyPolicy) -> _CosignPolicyVerifier:
    """See :class:`.verifier.SignatureProvider`."""
    return _CosignPolicyVerifier(policy)


def check_signers(policy: VerifyPolicy) -> None:
    """See :class:`.verifier.SignatureProvider`."""
    read_keys(policy)
