# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to hold for an artifact before it is copied: what the task asks for, and the rules of the policy for the
repository that it comes from and for the one that it goes to. All of them apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..resolve import Resolved, Target, parse_target
from ..verdicts import policy_fingerprint

if TYPE_CHECKING:
    from ..._oci.manifest import Descriptor, Manifest
    from ..._oci.reference import Reference
    from ..._oci.repository import Repository
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard
    from ..resolve import ReferenceOptions
    from ..task import Task
    from ..verdicts import Finding


class CopyRules:
    """The checks for what one entry copies; without a policy, what the task asks of signatures is all.

    :param place: where it is copied to.
    :param lists_tags: the selection orders a list of tags.
    :raises OciError: when a rule denies the tag or the digest, before any request.
    """

    def __init__(
        self,
        reference: ReferenceOptions,
        place: Reference,
        verify: VerifyPolicy | None,
        rules: Policy | None,
        *,
        lists_tags: bool,
    ) -> None:
        self.policies: Mapping[str, VerifyPolicy]
        self._source: Guard | None = None
        self._place: Guard | None = None
        if rules is None:
            self.target: Target = parse_target(reference, lists_tags=lists_tags)
            self.policies = {} if verify is None else {policy_fingerprint(verify): verify}
            return
        from ..guard import guard_of, guarded_target

        self.target, self._source = guarded_target(reference, rules, verify, lists_tags=lists_tags)
        self._place = guard_of(rules, place)
        own = {} if verify is None else {policy_fingerprint(verify): verify}
        self.policies = {**own, **(self._source.policies if self._source else {})}
        if self._place is not None:
            self.policies = {**self.policies, **self._place.policies}
            self._place.check_resolved(Resolved("", place.tag, None))

    def check_resolved(self, resolved: Resolved, tag: str) -> None:
        """Check what a reference stands for, and the tag that it gets.

        :raises OciError: when a rule denies one of them.
        """
        if self._source is not None:
            self._source.check_resolved(resolved)
        if self._place is not None:
            self._place.check_resolved(resolved._replace(tag=tag))

    def verify(self, task: Task, source: Repository, resolved: Resolved) -> Finding | None:
        """Verify a digest by the signatures at the source; None where nobody asks for it.

        :raises VerificationFailed: when they do not satisfy one of the policies.
        """
        if not self.policies:
            return None
        if len(self.policies) == 1:
            ((key, policy),) = self.policies.items()
            return task.verify(source, resolved, policy, key)
        from ..guard import verify_each

        return verify_each(task, source, resolved, self.policies)

    def check_change(
        self,
        manifests: Sequence[Manifest],
        resolved: Resolved,
        tag: str,
        held: Descriptor | None,
        target: Repository,
        verdict: Mapping[str, Any],
        *,
        check_mode: bool,
    ) -> None:
        """Check an artifact before anything of it is sent.

        :param manifests: the artifact, and what belongs to it.
        :param tag: that it gets; ``held`` is what this names now.
        :param verdict: the modules' value ``verification``; empty without a verification.
        :raises OciError: when the policy refuses it.
        """
        guards = [(self._source, resolved), (self._place, resolved._replace(tag=tag))]
        for guard, subject in guards:
            if guard is not None:
                guard.check_copy(subject, manifests, tag, held, target, verdict, check_mode=check_mode)

    @property
    def guards_place(self) -> bool:
        """True when there is a rule for the target."""
        return self._place is not None

    def check_removal(self) -> None:
        """Check that tags of the target may be removed now.

        :raises OutsideWindow: when the rule for it does not permit it.
        """
        if self._place is not None:
            self._place.rules.check_window(f"No tag of {self._place.rules.reference.name} is removed")

    def is_immutable(self, tag: str, place_tag: str) -> bool:
        """True for a tag that is taken never to move: a version, or one that a rule protects."""
        from ..immutable_tags import is_immutable

        if is_immutable(tag, None):
            return True
        guards = [(self._source, tag), (self._place, place_tag)]
        return any(guard is not None and guard.rules.rule.immutable_tags.covers(name) for guard, name in guards)
