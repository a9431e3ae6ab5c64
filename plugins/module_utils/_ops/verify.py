# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify one artifact or several: resolve the reference once, and check the signatures of that digest.

The resolved digest is the one that is verified and used: every later request names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._trust.policy import VerifyPolicy
from .artifact_result import artifact_identity
from .moved_tag import warnings_of_moved_tag
from .resolve import ReferenceOptions, parse_target
from .task import Task
from .verdicts import policy_fingerprint

if TYPE_CHECKING:
    from .._oci.repository import Repository
    from .._policy.rules import Policy
    from .guard import Guard
    from .resolve import Resolved
    from .verdicts import Finding

VERIFIED, VERIFICATION_IGNORED = "Verified", "VerificationIgnored"


@dataclass(frozen=True)
class VerifyOptions:
    """The options of a verification. ``policy`` is what the task says of signatures, ``rules`` the policy whose rule
    for the repository applies as well, or alone where the task says nothing."""

    reference: ReferenceOptions
    policy: VerifyPolicy
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    rules: Policy | None = None


def verify(options: VerifyOptions) -> dict[str, Any]:
    """Resolve the reference once and verify that digest; return the module's result. Nothing is changed.

    :raises VerificationFailed: when the signatures do not satisfy the policy.
    :raises OciError: for every other failure.
    """
    with Task(options.cache) as task:
        return Verification(options, task).run()


def verify_many(
    items: Sequence[tuple[VerifyOptions, Mapping[str, Any]]], cache: CacheOptions, parallel: int
) -> dict[str, Any]:
    """Verify several artifacts, each with its label in the result; return the module's result.

    :raises OciError: when the options of one cannot be used, before any request.
    :raises ItemsFailed: when some failed, after all were tried.
    """
    from .many import run_each

    with Task(cache) as task:

        def make(options: VerifyOptions) -> Verification:
            one = Verification(options, task)
            task.expect(one.target, options.auth, options.connection)
            return one

        return run_each(items, make, Verification.run, parallel, (VERIFICATION_IGNORED, VERIFIED))


class Verification:
    """One artifact that a task verifies; its options are checked without a request. ``target`` is the artifact.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, options: VerifyOptions, task: Task) -> None:
        self._guard: Guard | None = None
        if options.rules is None:
            self.target = parse_target(options.reference)
        else:
            from .guard import guarded_target

            is_silent = options.policy == VerifyPolicy()
            self.target, self._guard = guarded_target(
                options.reference, options.rules, None if is_silent else options.policy
            )
        # where neither says anything of signatures, the task's policy is refused for that
        given = self._guard.policies if self._guard is not None else {}
        self._policies = given or {policy_fingerprint(options.policy): options.policy}
        self._options = options
        self._task = task
        for fingerprint, policy in self._policies.items():
            task.verdicts.check(policy, fingerprint)

    def run(self) -> dict[str, Any]:
        """Verify the artifact; return the module's result. Raises as :func:`verify`."""
        options, task = self._options, self._task
        repository = task.open(self.target, options.auth, options.connection)
        try:
            resolved = task.resolve(repository, self.target, options.auth, options.connection)
            if self._guard is not None:
                self._guard.check_resolved(resolved)
            moved = warnings_of_moved_tag(repository, self.target)
            found = self._verify(repository, resolved)
        finally:
            repository.close()
        return {
            "changed": False,
            "artifact": artifact_identity(repository.reference, resolved),
            "verification": {**found.verification, "remembered": found.is_remembered},
            "served_by": repository.served_by,
            "reason": VERIFIED if found.verification["verified"] else VERIFICATION_IGNORED,
            "warnings": [*self.target.warnings, *moved, *found.warnings, *repository.warnings],
        }

    def _verify(self, repository: Repository, resolved: Resolved) -> Finding:
        if self._guard is not None and self._guard.policies:
            return self._guard.verify(self._task, repository, resolved)
        fingerprint, policy = next(iter(self._policies.items()))
        return self._task.verify(repository, resolved, policy, fingerprint)
