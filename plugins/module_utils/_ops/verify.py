# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify: check the signatures of a digest against a policy.

What was resolved is what is verified, and what is verified is what is used: every later request names the digest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._errors import InvalidPolicy
from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._oci.repository import Repository
from .._trust.policy import AttestationRule, Identity, VerifyPolicy
from .._trust.verdict import COSIGN, IGNORED, NOTATION, Verdict
from .artifact_result import artifact_identity
from .resolve import ReferenceOptions, Resolved, parse_target
from .task import Task
from .verdicts import policy_fingerprint

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor

MAX_POLICY_FILE = 1024 * 1024

VERIFIED, VERIFICATION_IGNORED = "Verified", "VerificationIgnored"


@dataclass(frozen=True)
class VerifyOptions:
    """Everything that a verification is told."""

    reference: ReferenceOptions
    policy: VerifyPolicy
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)


class PolicyVerifier:
    """A policy that was checked and whose keys were read, ready for any number of digests.

    :raises InvalidPolicy: when it cannot be used.
    """

    def __init__(self, policy: VerifyPolicy) -> None:
        self.policy = policy
        self._cosign: Any = None
        self._notation: Any = None
        if policy.provider == NOTATION:
            from .._trust.notation import NotationVerifier

            self._notation = NotationVerifier(policy)
        else:
            from .._trust.cosign import CosignVerifier

            self._cosign = CosignVerifier(policy)

    @property
    def warnings(self) -> list[str]:
        """Sentences about the policy itself; those about one artifact are in its verdict."""
        return [] if self._cosign is None else list(self._cosign.warnings)

    def verify(self, repository: Repository, resolved: Resolved) -> Verdict:
        """Check the signatures of what was resolved.

        :raises VerificationFailed: when they do not satisfy the policy.
        """
        if self._cosign is not None:
            verdict: Verdict = self._cosign.verify(repository, resolved.digest)
            return verdict
        artifact: Descriptor = resolved.descriptor or repository.resolve(resolved.digest)
        return verify_notation(self._notation, repository, artifact)


def verify(options: VerifyOptions) -> dict[str, Any]:
    """Resolve once, verify that digest; return what the module returns. Nothing is ever changed.

    :raises VerificationFailed: when the signatures do not satisfy the policy.
    :raises OciError: for everything else that keeps it from being known.
    """
    with Task(options.cache) as task:
        return Verification(options, task).run()


class Verification:
    """One artifact that a task verifies, checked as far as that takes no request; ``target`` is what is meant.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, options: VerifyOptions, task: Task) -> None:
        self.target = parse_target(options.reference)
        self._options = options
        self._task = task
        self._fingerprint = policy_fingerprint(options.policy)
        task.verdicts.check(options.policy, self._fingerprint)

    def run(self) -> dict[str, Any]:
        """Verify it; return what the module returns. Raises as :func:`verify`."""
        options, task = self._options, self._task
        repository = task.open(self.target, options.auth, options.connection)
        try:
            resolved = task.resolve(repository, self.target, options.auth, options.connection)
            found = task.verify(repository, resolved, options.policy, self._fingerprint)
        finally:
            repository.close()
        return {
            "changed": False,
            "artifact": artifact_identity(repository.reference, resolved),
            "verification": {**found.verification, "remembered": found.is_remembered},
            "served_by": repository.served_by,
            "reason": VERIFIED if found.verification["verified"] else VERIFICATION_IGNORED,
            "warnings": [*self.target.warnings, *found.warnings, *repository.warnings],
        }


def verify_notation(verifier: Any, repository: Repository, artifact: Descriptor) -> Verdict:
    """Check Notary Project signatures; the scope that trust policies name is ``host/repository``."""
    from .._trust.discovery import attached_notation
    from .._trust.notation import MAX_ENVELOPE
    from .._trust.verdict import Refusal

    refusals: list[Refusal] = []
    scope = repository.reference.name
    if verifier.skips(scope):
        return Verdict(IGNORED, NOTATION)
    budget, thumbprints = verifier.budget(), verifier.thumbprints(scope)
    attached = attached_notation(repository, artifact.digest, refusals, MAX_ENVELOPE, budget, thumbprints)
    envelopes = ((each.found_in, each.media_type, each.content) for each in attached)
    verdict: Verdict = verifier.verify(envelopes, artifact, scope, budget, refusals)
    return verdict


def check_number_of_signers(policy: VerifyPolicy) -> None:
    """Check, without a request, that the policy names as many signers as it demands.

    Where one suffices, nothing is read: that is for the verification.

    :raises InvalidPolicy: when it does not, or what it names cannot be read.
    """
    if policy.most_signers < 2:
        return
    if policy.provider == NOTATION:
        from .._trust.notation import NotationVerifier

        NotationVerifier(policy)
    else:
        from .._trust.cosign import read_keys

        read_keys(policy)


def parse_policy(option: Mapping[str, Any]) -> VerifyPolicy:
    """Check the options of the documentation fragment ``verify``, given as one mapping.

    :raises InvalidPolicy: when they do not fit together, or a file of the policy cannot be read.
    """
    provider = option.get("provider") or COSIGN
    for_cosign = ("public_keys", "identities", "any_identity", "trusted_root", "predicate_types", "curve_hash")
    for_notation = ("trust_policy", "trust_store")
    misplaced = for_notation if provider == COSIGN else (*for_cosign, "attestations")
    wrong = next((name for name in misplaced if option.get(name)), None)
    if wrong is not None:
        raise InvalidPolicy(
            f"'{wrong}' has no meaning for the provider {provider}.", "Remove it, or change 'provider'."
        )
    return VerifyPolicy(
        provider=provider,
        public_keys=tuple(option.get("public_keys") or ()),
        identities=tuple(_identity(each) for each in option.get("identities") or ()),
        any_identity=bool(option.get("any_identity")),
        trusted_root=option.get("trusted_root") or "",
        min_signers=1 if option.get("min_signers") is None else option["min_signers"],
        max_signatures=_max_signatures(option.get("max_signatures")),
        predicate_types=tuple(option.get("predicate_types") or ()),
        curve_hash=bool(option.get("curve_hash")),
        attestations=tuple(_attestation(each) for each in option.get("attestations") or ()),
        trust_policy=_trust_policy(option.get("trust_policy")) if provider == NOTATION else None,
        trust_store=_trust_store(option.get("trust_store")) if provider == NOTATION else None,
    )


def _max_signatures(value: int | None) -> int:
    if value is None:
        return 0
    from .._trust.budget import MOST_SIGNATURES

    if not 1 <= value <= MOST_SIGNATURES:
        raise InvalidPolicy(f"'max_signatures' is {value}: wanted 1 to {MOST_SIGNATURES}.")
    return value


def _identity(value: Mapping[str, Any]) -> Identity:
    return Identity(str(value.get("issuer") or ""), str(value.get("subject") or ""))


def _attestation(value: Mapping[str, Any]) -> AttestationRule:
    count = value.get("min_signers")
    if not value.get("type") or (count is not None and count < 1):
        raise InvalidPolicy("An entry of 'attestations' needs a 'type', and 1 or more 'min_signers'.")
    return AttestationRule(str(value["type"]), 1 if count is None else count)


def _trust_policy(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if not value:
        raise InvalidPolicy("The provider notation needs a 'trust_policy'.", "Give a trustpolicy.json, or its content.")
    text = str(value)
    if not text.lstrip().startswith("{"):
        try:
            with open(os.path.expanduser(text), "rb") as stream:
                text = stream.read(MAX_POLICY_FILE).decode("utf-8", "replace")
        except (OSError, ValueError) as exc:
            # ValueError: a NUL in the path
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise InvalidPolicy(f"The trust policy {value!r} cannot be read: {why}.") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidPolicy(
            "The trust policy is not a JSON object.", "Wanted the format of notation's trustpolicy.json."
        )
    return document


def _trust_store(value: Any) -> Mapping[str, Sequence[str]]:
    """Certificates by the name of their store; a list answers for every store that the policy names (``*``)."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {"*": tuple(value)}
    if isinstance(value, Mapping):
        stores = {str(name): (each,) if isinstance(each, str) else tuple(each or ()) for name, each in value.items()}
        if all(isinstance(certificate, str) for each in stores.values() for certificate in each):
            return stores
    if not value:
        return {}
    raise InvalidPolicy("'trust_store' is neither a list of certificates nor a mapping of store names to such lists.")
