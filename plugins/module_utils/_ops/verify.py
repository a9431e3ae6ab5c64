# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify one artifact or several: resolve the reference once, and check the signatures of that digest.

The resolved digest is the one that is verified and used: every later request names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._trust.policy import VerifyPolicy
from .artifact_result import artifact_identity
from .moved_tag import warnings_of_moved_tag
from .resolve import ReferenceOptions, parse_target
from .task import Task
from .verdicts import policy_fingerprint

VERIFIED, VERIFICATION_IGNORED = "Verified", "VerificationIgnored"


@dataclass(frozen=True)
class VerifyOptions:
    """The options of a verification."""

    reference: ReferenceOptions
    policy: VerifyPolicy
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)


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
    from .many import Item, numbered, run_items

    with Task(cache) as task:
        work = []
        for number, (options, label) in enumerate(items, 1):
            one = numbered(number, partial(Verification, options, task))
            task.expect(one.target, options.auth, options.connection)
            work.append(Item(label, one.run))
        return run_items(work, parallel, (VERIFICATION_IGNORED, VERIFIED))


class Verification:
    """One artifact that a task verifies; its options are checked without a request. ``target`` is the artifact.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, options: VerifyOptions, task: Task) -> None:
        self.target = parse_target(options.reference)
        self._options = options
        self._task = task
        self._fingerprint = policy_fingerprint(options.policy)
        task.verdicts.check(options.policy, self._fingerprint)

    def run(self) -> dict[str, Any]:
        """Verify the artifact; return the module's result. Raises as :func:`verify`."""
        options, task = self._options, self._task
        repository = task.open(self.target, options.auth, options.connection)
        try:
            resolved = task.resolve(repository, self.target, options.auth, options.connection)
            moved = warnings_of_moved_tag(repository, self.target)
            found = task.verify(repository, resolved, options.policy, self._fingerprint)
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
