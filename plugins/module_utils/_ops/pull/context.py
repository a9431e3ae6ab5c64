# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State that the steps of one pull share: the request, the destination, and the record of the last pull."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._dest.destination import Destination
from ..._dest.drift import Drift
from ..._dest.state import State, observed
from ..._errors import StorageError
from ..._files.names import CONTROL_NAME, native, shown
from ..layer_selector import ALL, COPY
from ..resolve import Resolved, Target, parse_target
from ..task import Task
from .options import PullOptions, PullResult, listed_changes

if TYPE_CHECKING:
    from ..._trust.policy import VerifyPolicy
    from ..guard import Guard


@dataclass(frozen=True, eq=False)
class PullContext:
    """One artifact that a task pulls, with options that were checked without a request; see :func:`make_context`.

    ``target`` is the requested artifact. ``destination`` is the directory that is written to, and ``name`` the file's
    name in it, for a copy to a file. ``policies`` are those that signatures have to satisfy, each of them, by
    fingerprint. ``guard`` has the rules for the repository, None without any. No step replaces any of these fields;
    steps append to ``warnings``, which the user gets.
    """

    target: Target
    options: PullOptions
    task: Task
    destination: Destination
    name: str
    policies: Mapping[str, VerifyPolicy]
    check_mode: bool
    want_diff: bool
    warnings: list[str] = field(default_factory=list)
    guard: Guard | None = None

    @property
    def policy(self) -> str:
        """The fingerprint of all that signatures have to satisfy; empty without a policy for them."""
        return " ".join(self.policies)

    def load_state(self) -> State:
        """Return the record of the last pull; a damaged one counts as missing, with a warning.

        :raises StorageError: when it cannot be read.
        """
        state = self.destination.load_state()
        if state.is_damaged:
            self.warn_once(
                f"The record of the last pull in {shown(self.destination.control)} cannot be understood: "
                "what it described counts as not pulled."
            )
        if state.key and state.key.get("layout", "") != self.options.layout:
            where, other = shown(self.destination.root), state.key.get("layout", "in_place")
            raise StorageError(f"{where} was pulled with layout: {other}.", "Say so, or choose another 'dest'.")
        return state

    def key(self, resolved: Resolved) -> dict[str, Any]:
        """Return the key of the record for this revision; see ``State.key``."""
        return {
            "url": self.target.reference.url,
            "revision": resolved.revision,
            **self.options.selector._asdict(),
            "platform": self.options.platform,
            "ignore": self.options.ignore,
            **({"layout": self.options.layout} if self.options.layout else {}),
        }

    def may_be_in_place(self, state: State) -> bool:
        """Return False when something is to be done whatever the revision is; without looking at files."""
        if state.pending or self.options.force or not self.is_verified(state) or self.must_keep(state):
            return False
        return dict(state.key) == {**self.key(Resolved("", "", None)), "revision": state.key.get("revision")}

    def drift(self, state: State, resolved: Resolved) -> Drift | None:
        """Return the drift of the files from the record; None when the record is of another revision or other options.

        :raises StorageError: when ``dest`` cannot be read.
        :raises OciError: when the policy denies what is in place by now.
        """
        if dict(state.key) != self.key(resolved) or state.pending or self.options.force:
            return None
        if self.guard is not None:
            self.guard.check_in_place(state.artifact, state.parts)
        return self.destination.find_drift(state, self.compares_content(state))

    def is_in_place(self, state: State, known: Resolved) -> bool:
        """Return True when ``dest`` holds a revision as the record says, verified if a policy asks for that.

        :raises OciError: as :meth:`drift`.
        """
        drift = self.drift(state, known)
        return drift is not None and drift.is_empty and self.is_verified(state) and not self.must_keep(state)

    def must_keep(self, state: State) -> bool:
        """Return True when the revision in ``dest`` is to be kept and is not yet."""
        return bool(self.options.keep) and not state.standing.get("current")

    def compares_content(self, state: State) -> bool:
        """Return True when files are to be compared by their digests."""
        return self.options.check_content or self.is_requested(state)

    def is_requested(self, state: State) -> bool:
        """Return True when ``requested_at`` has a token that no pull has handled yet."""
        token = self.options.requested_at
        return bool(token) and state.standing.get("requested_at", {}).get("token") != token

    def is_verified(self, state: State) -> bool:
        """Return True when no policy is given, or the record says that it was satisfied: a verification of a digest
        stays valid."""
        return not self.policies or state.verification.get("policy") == self.policy

    def recorded_verification(self, state: State) -> Mapping[str, Any]:
        """Return the verification in the record, and repeat its warnings; empty without a policy.

        Without a policy the recorded verification is not returned, since its policy may no longer apply.
        """
        if not self.policies:
            return {}
        from ..verdicts import warnings_of

        for warning in warnings_of(state.verification):
            self.warn_once(warning)
        return state.verification

    def warn_once(self, warning: str) -> None:
        """Append a warning, unless it is there already."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def unchanged(self, state: State, reason: str, verification: Mapping[str, Any]) -> PullResult:
        """Return the result for an artifact that is in place already."""
        artifact, verdict = dict(state.artifact), verdict_of(verification)
        result = PullResult(False, reason, artifact, listed_changes(), verdict, warnings=self.warnings)
        result.observed = observed(state.key, state.verification)
        result.standing = state.standing
        return result


def make_context(options: PullOptions, task: Task, *, check_mode: bool = False, want_diff: bool = False) -> PullContext:
    """Check the options of a pull, without a request.

    :raises OciError: when the options cannot be used.
    """
    guard: Guard | None = None
    policies: Mapping[str, VerifyPolicy] = {}
    if options.policy is None:
        target = parse_target(options.reference, options.selector.media_type)
    else:
        from ..guard import guarded_target

        target, guard = guarded_target(options.reference, options.policy, options.verify, options.selector.media_type)
    if guard is not None:
        policies = guard.policies
    elif options.verify is not None:
        from ..verdicts import policy_fingerprint

        policies = {policy_fingerprint(options.verify): options.verify}
    if options.vouched:
        from ..._trust.policy import VerifyPolicy

        policies = {options.vouched: VerifyPolicy()}
        guard = guard and replace(guard, policies=policies)
    for policy in policies.values():
        if policy.most_signers > 1:
            from ..._trust.verifier import check_number_of_signers
            from ..verdicts import naming_rule

            with naming_rule(policy):
                check_number_of_signers(policy)
    destination, name = _open_destination(options, target)
    warnings = list(target.warnings)
    return PullContext(target, options, task, destination, name, policies, check_mode, want_diff, warnings, guard)


def verdict_of(verification: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the module's value for a verification; empty without one."""
    verdict: Mapping[str, Any] = verification.get("verdict", {})
    return verdict


def _open_destination(options: PullOptions, target: Target) -> tuple[Destination, str]:
    """Return the directory that is written to, and the file's name in it: empty, except for a copy to a file.

    :raises StorageError: when it is empty.
    """
    dest = options.dest
    if not dest:
        raise StorageError("'dest' is empty.", "Give the directory or file that the artifact is pulled to.")
    make = partial(Destination, permissions=options.permissions, unsafe_writes=options.unsafe_writes)
    if options.layout:
        from ..._dest.places import releases_at

        return releases_at(dest, options.permissions), ""
    if options.selector.operation != COPY:
        return make(dest), ""
    if options.selector.layers == ALL or dest.endswith("/") or os.path.isdir(native(dest)):
        return make(dest, control_name=f"{CONTROL_NAME}.{_purpose(options, target)}"), ""
    parent, name = os.path.split(os.path.abspath(dest))
    return make(parent, control_name=f".{name}{CONTROL_NAME}", is_parent=True), name


def _purpose(options: PullOptions, target: Target) -> str:
    """Return an identifier that distinguishes the records of several tasks that copy into one directory."""
    selector = options.selector
    wanted = [target.wanted, selector.media_type, selector.layers, options.platform]
    return hashlib.sha256("\n".join(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:12]
