# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of one pull share: the request, where its content goes, and what the record there says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._dest.destination import Destination
from ..._dest.drift import Drift
from ..._dest.state import State
from ..._errors import StorageError
from ..._files.names import CONTROL_NAME, native, shown
from ..layer_selector import ALL, COPY
from ..resolve import Resolved, Target, parse_target
from ..task import Task
from .options import PullOptions, PullResult, listed_changes


@dataclass(frozen=True, eq=False)
class PullContext:
    """One artifact that a task pulls, checked as far as that takes no request; see :func:`make_context`.

    ``target`` is what is asked for. ``destination`` is the directory that is written to, and ``name`` the name of the
    file in it, for a copy to a file. ``policy`` is the fingerprint of the policy that signatures have to satisfy, empty
    when there is none. No step replaces any of this; ``warnings``, for the user, is what steps append to.
    """

    target: Target
    options: PullOptions
    task: Task
    destination: Destination
    name: str
    policy: str
    check_mode: bool
    want_diff: bool
    warnings: list[str] = field(default_factory=list)

    def load_state(self) -> State:
        """Return the record of the last pull; one that is damaged counts as none, with a warning.

        :raises StorageError: when it may not be read.
        """
        state = self.destination.load_state()
        if state.is_damaged:
            self.warn_once(
                f"The record of the last pull in {shown(self.destination.control)} cannot be understood: "
                "what it described counts as not pulled."
            )
        return state

    def key(self, resolved: Resolved) -> dict[str, Any]:
        """Return what a record says of ``dest`` once this revision is in place."""
        selector = self.options.selector
        return {
            "url": self.target.reference.url,
            "revision": resolved.revision,
            "media_type": selector.media_type,
            "operation": selector.operation,
            "layers": selector.layers,
            "platform": self.options.platform,
            "ignore": self.options.ignore,
        }

    def drift(self, state: State, resolved: Resolved) -> Drift | None:
        """Return how the files differ from the record; None when the record is of another revision, or other options.

        :raises StorageError: when ``dest`` may not be read.
        """
        if dict(state.key) != self.key(resolved) or state.pending or self.options.force:
            return None
        return self.destination.find_drift(state, self.options.check_content)

    def is_verified(self, state: State) -> bool:
        """Return whether no signature is demanded, or the record says that this policy was satisfied: the signatures
        of a digest that count once go on counting."""
        return self.options.verify is None or state.verification.get("policy") == self.policy

    def recorded_verification(self, state: State) -> Mapping[str, Any]:
        """Return the verification in the record, and warn of what it warned of; empty where this run demands none.

        Without a policy nothing is claimed: the record is of one that may be gone.
        """
        if self.options.verify is None:
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
        """Return the result for an artifact that is in place as it should be."""
        artifact, verdict = dict(state.artifact), verdict_of(verification)
        return PullResult(False, reason, artifact, listed_changes(), verdict, warnings=self.warnings)


def make_context(options: PullOptions, task: Task, *, check_mode: bool = False, want_diff: bool = False) -> PullContext:
    """Check what a pull is asked for, without a request.

    :raises OciError: when the options cannot be used.
    """
    target = parse_target(options.reference, options.selector.media_type)
    policy = ""
    if options.verify is not None:
        from ..verdicts import policy_fingerprint

        policy = policy_fingerprint(options.verify)
        if options.verify.most_signers > 1:
            from ..._trust.verifier import check_number_of_signers

            check_number_of_signers(options.verify)
    destination, name = _open_destination(options, target)
    warnings = list(target.warnings)
    return PullContext(target, options, task, destination, name, policy, check_mode, want_diff, warnings)


def verdict_of(verification: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the module returns of a verification; empty where nothing was verified."""
    verdict: Mapping[str, Any] = verification.get("verdict", {})
    return verdict


def _open_destination(options: PullOptions, target: Target) -> tuple[Destination, str]:
    """Return ``dest`` as the directory that is written to, and no name; for a copy to a file, its parent and its name.

    :raises StorageError: when it is empty.
    """
    dest = options.dest
    if not dest:
        raise StorageError("'dest' is empty.", "Give the directory or file that the artifact is pulled to.")
    if options.selector.operation != COPY:
        return Destination(dest, options.permissions), ""
    if options.selector.layers == ALL or dest.endswith("/") or os.path.isdir(native(dest)):
        return Destination(dest, options.permissions, f"{CONTROL_NAME}.{_purpose(options, target)}"), ""
    parent, name = os.path.split(os.path.abspath(dest))
    return Destination(parent, options.permissions, f".{name}{CONTROL_NAME}", is_parent=True), name


def _purpose(options: PullOptions, target: Target) -> str:
    """Return what tells apart the records of several tasks that copy into one directory."""
    selector = options.selector
    wanted = [target.wanted, selector.media_type, selector.layers, options.platform]
    return hashlib.sha256("\n".join(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:12]
