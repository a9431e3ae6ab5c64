# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verbs do under a policy: the target with the rule for it, and what is checked against it.

It is imported where a task has a policy, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._policy.refusals import ChangePending
from .._policy.rules import Artifact, Rules, rules_for
from .resolve import ReferenceOptions, Resolved, Target, parse_target
from .verdicts import Finding, policy_fingerprint

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor, Manifest
    from .._oci.reference import Reference
    from .._oci.repository import Repository
    from .._policy.rules import Policy
    from .._trust.policy import VerifyPolicy
    from .task import Task


@dataclass(frozen=True)
class Guard:
    """The rules for one artifact. ``policies`` are those that signatures have to satisfy, each of them, by fingerprint:
    the rule's and the task's."""

    rules: Rules
    policies: Mapping[str, VerifyPolicy]

    def check_resolved(self, resolved: Resolved) -> None:
        """Check what a reference stands for.

        :raises OciError: when the rule denies the tag or the digest.
        """
        self.rules.check_identity(resolved.tag, [resolved.digest] if resolved.digest else ())

    def verify(self, task: Task, repository: Repository, resolved: Resolved, *, anew: bool = False) -> Finding:
        """Verify a digest under each of the policies, of which there is one; return what was found as one result.

        :raises VerificationFailed: when the signatures do not satisfy one of them.
        """
        return verify_each(task, repository, resolved, self.policies, anew=anew)

    def check_change(
        self,
        resolved: Resolved,
        manifests: Sequence[Manifest],
        verdict: Mapping[str, Any],
        recorded: Mapping[str, Any],
        *,
        check_mode: bool,
    ) -> None:
        """Check what is to be placed in a ``dest``. A revision that is in place already may be repaired at any time.

        Where a rule has new revisions wait for their time, the error has what waits as ``pending``.

        :param manifests: the one that the digest stands for, and the one with the content.
        :param verdict: the modules' value ``verification``; empty without a verification.
        :param recorded: the artifact in the record of the last pull; empty without one.
        :raises OciError: when the policy refuses it.
        """
        self.check_parts(resolved, manifests)
        old = _recorded(recorded, self.rules.reference)
        if old is None or old.digest != resolved.digest:
            new = _artifact(resolved, manifests)
            try:
                self.rules.check_change(
                    new, old, signed_at=signing_times(verdict), check_mode=check_mode, may_wait=True
                )
            except ChangePending as exc:
                exc.details["pending"] = pending_revision(resolved, self.rules.reference, exc)
                raise

    def check_chart(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any]) -> None:
        """Check a chart before it is fetched. When a release may change, and to which version, is checked there.

        :raises OciError: when the policy refuses it.
        """
        self.check_parts(resolved, [manifest])
        self.rules.check_arrival(_artifact(resolved, [manifest]), signed_at=signing_times(verdict))

    def check_push(
        self, repository: Repository, tag: str, manifest: Manifest, version: str, held: Descriptor | None
    ) -> None:
        """Check a tag that is to be written; under ``never_downgrade`` the manifest that it holds is fetched.

        :param version: that of a chart, empty otherwise.
        :raises OciError: when the policy refuses it.
        """
        digest, old = manifest.descriptor.digest, None
        self.check_parts(Resolved(digest, tag, None), [manifest])
        if held is not None and self.rules.never_downgrade:
            old = Artifact(held.digest, tag, repository.fetch_manifest(held.digest).annotations)
        new = Artifact(digest, tag, manifest.annotations, version)
        self.rules.check_write(tag, digest, "" if held is None else held.digest, new=new, old=old)

    def check_copy(
        self,
        resolved: Resolved,
        manifests: Sequence[Manifest],
        tag: str,
        held: Descriptor | None,
        target: Repository,
        verdict: Mapping[str, Any],
        *,
        check_mode: bool,
    ) -> None:
        """Check what is to be copied into ``target``; under ``never_downgrade`` what its tag holds is fetched.

        :param manifests: the artifact first, then those of its platforms and what refers to it.
        :param tag: the one that is to be written, empty for none; ``held`` is what it names now.
        :param verdict: the modules' value ``verification``; empty without a verification.
        :raises OciError: when the policy refuses it.
        """
        self.check_parts(resolved, manifests)
        old = None
        if held is not None:
            if held.digest == resolved.digest:  # something is added to what is in place
                self.rules.check_window(f"Nothing is written to {target.reference.at(tag=tag)}")
                return
            annotations = target.fetch_manifest(held.digest).annotations if self.rules.never_downgrade else {}
            old = Artifact(held.digest, tag, annotations)
        new = _artifact(resolved, manifests[:1])
        self.rules.check_change(new, old, signed_at=signing_times(verdict), check_mode=check_mode)

    def check_parts(self, resolved: Resolved, manifests: Sequence[Manifest]) -> None:
        """Check what a reference stands for, with the digests of manifests, their configs and layers.

        :raises OciError: when the rule denies the tag or one of the digests.
        """
        parts = [digest for manifest in manifests for digest in manifest.digests]
        self.rules.check_identity(resolved.tag, [resolved.digest, *parts])

    def check_in_place(self, artifact: Mapping[str, Any], parts: Sequence[str]) -> None:
        """Check what a record says is in place: tag, digest, and the digests of its parts.

        :raises OciError: when the rule denies one of them.
        """
        layer = artifact.get("layer") or {}
        digests = [artifact.get("digest"), layer.get("digest"), *parts]
        self.rules.check_identity(str(artifact.get("tag") or ""), [str(each) for each in digests if each])


def guarded_target(
    options: ReferenceOptions,
    policy: Policy,
    verify: VerifyPolicy | None = None,
    layer_media_type: str = "",
    *,
    lists_tags: bool = False,
) -> tuple[Target, Guard | None]:
    """Parse a reference as :func:`~.resolve.parse_target` does, and check it before any request.

    ``tag_moved`` is the stricter of the task's and the policy's.

    :param verify: what the task itself asks for, None for nothing.
    :returns: the target, and the guard; None when no rule is for this repository.
    :raises OciError: when a rule denies the tag or the digest.
    """
    target = parse_target(options, layer_media_type, lists_tags=lists_tags)
    rules = rules_for(policy, target.reference)
    if rules is None:
        return target, None
    tag_moved = rules.tag_moved(options.tag_moved)
    if tag_moved != options.tag_moved:
        # whether a tag beside a digest counts depends on it
        target = parse_target(options._replace(tag_moved=tag_moved), layer_media_type, lists_tags=lists_tags)
        target = target._replace(tag_moved_rule=rules.named("tag_moved"))
    policies: dict[str, VerifyPolicy] = {}
    for each in (rules.verify, verify):
        if each is not None:
            policies.setdefault(policy_fingerprint(each), each)
    guard = Guard(rules, policies)
    reference = target.reference
    # without a tag, what is written or found may have another name than latest
    guard.check_resolved(Resolved(reference.digest, reference.tag if target.is_explicit else "", None))
    if target.pin is not None:
        guard.check_resolved(target.pin)
    return target, guard


def guard_of(policy: Policy, place: Reference) -> Guard | None:
    """The guard for a place that is written to, with what its rule asks of signatures; None without a rule for it."""
    rules = rules_for(policy, place)
    if rules is None:
        return None
    verify = rules.verify
    return Guard(rules, {} if verify is None else {policy_fingerprint(verify): verify})


def pending_revision(resolved: Resolved, reference: Reference, error: ChangePending) -> dict[str, str]:
    """What results say of a revision that waits for its time."""
    found = {"digest": resolved.digest, "revision": resolved.revision, "url": reference.url}
    return {**found, "why": error.message}


def verify_each(
    task: Task,
    repository: Repository,
    resolved: Resolved,
    policies: Mapping[str, VerifyPolicy],
    *,
    anew: bool = False,
) -> Finding:
    """Verify a digest under each of the policies, of which there is one; return what was found as one result.

    :raises VerificationFailed: when the signatures do not satisfy one of them.
    """
    found = [task.verify(repository, resolved, policy, key, anew=anew) for key, policy in policies.items()]
    return found[0] if len(found) == 1 else joined(found)


def joined(found: Sequence[Finding]) -> Finding:
    """One result of several: verified when all are, with the signers of all."""
    signers: list[Any] = []
    refused: list[Any] = []
    for each in found:
        signers += [signer for signer in each.verification["signers"] if signer not in signers]
        refused += [refusal for refusal in each.verification["refused"] if refusal not in refused]
    weakest = next((each.verification for each in found if not each.verification["verified"]), found[-1].verification)
    warnings = dict.fromkeys(warning for each in found for warning in each.warnings)
    verification = {**weakest, "signers": signers, "refused": refused}
    return Finding(verification, list(warnings), all(each.is_remembered for each in found))


def signing_times(verdict: Mapping[str, Any]) -> list[str]:
    """The trusted times of the signatures that count."""
    return [str(signer["signed_at"]) for signer in verdict.get("signers", ()) if signer.get("signed_at")]


def _artifact(resolved: Resolved, manifests: Sequence[Manifest]) -> Artifact:
    annotations = {name: text for manifest in manifests for name, text in manifest.annotations.items()}
    return Artifact(resolved.digest, resolved.tag, annotations)


def _recorded(artifact: Mapping[str, Any], reference: Reference) -> Artifact | None:
    """The artifact in a record; None when there is none, or it is of another repository."""
    if not artifact.get("digest") or artifact.get("url") != reference.url:
        return None
    metadata = artifact.get("metadata")
    annotations = metadata if isinstance(metadata, Mapping) else {}
    return Artifact(str(artifact["digest"]), str(artifact.get("tag") or ""), annotations)
