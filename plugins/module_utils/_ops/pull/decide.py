# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull: resolve → verify → fetch → check → place. Here is decided whether anything has to be done; what an unchanged
artifact does not need is in :mod:`.change`.

Source of the semantics: Flux's OCIRepository (what is fetched, and when again), without its controller.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from ..._dest.destination import Destination
from ..._dest.drift import Drift, Plan
from ..._dest.state import State
from ..._errors import NotFound, OciError, StorageError, is_outage
from ..._files.names import CONTROL_NAME, native, shown
from ..layer_selector import ALL, COPY
from ..resolve import Resolved, parse_target
from ..task import Task
from .options import PullOptions, PullResult, listed_changes

if TYPE_CHECKING:
    from ..._oci.repository import Repository
    from .places import Place

NEW_REVISION = "NewRevision"
DRIFT_CORRECTED = "DriftCorrected"
UP_TO_DATE = "ArtifactUpToDate"
SUSPENDED = "Suspended"
LAST_GOOD_KEPT = "LastGoodKept"


def pull(options: PullOptions, *, check_mode: bool = False, want_diff: bool = False) -> PullResult:
    """Make ``dest`` hold the artifact; return what changed.

    With ``check_mode`` nothing is written: without ``want_diff`` the layers are not fetched either, and the answer is
    the revision's; with it they are unpacked into a temporary directory and compared file by file.

    :raises OciError: for everything that cannot be done; ``dest`` is then as it was.
    """
    with Task(options.cache) as task:
        return Pull(options, task, check_mode=check_mode, want_diff=want_diff).run()


class Pull:
    """One artifact that a task pulls, checked as far as that takes no request; ``target`` is what is meant.

    :raises OciError: when the options cannot be used.
    """

    def __init__(self, options: PullOptions, task: Task, *, check_mode: bool = False, want_diff: bool = False) -> None:
        self.target = parse_target(options.reference, options.selector.media_type)
        self.options = options
        self.task = task
        self.check_mode = check_mode
        self.want_diff = want_diff
        self.warnings = list(self.target.warnings)
        self.name = ""
        self.verification: Mapping[str, Any] = {}
        self.policy = ""
        self._resolved: Resolved | None = None
        self.turn: AbstractContextManager[object] = nullcontext()
        if options.verify is not None:
            from ..verdicts import policy_fingerprint

            self.policy = policy_fingerprint(options.verify)
            if options.verify.most_signers > 1:
                from ..._trust.verifier import check_number_of_signers

                check_number_of_signers(options.verify)
        self.destination = self._open_destination()

    @property
    def place(self) -> Place:
        """Where the artifact goes, for a comparison with other artifacts' places."""
        from .places import Place

        destination, operation = self.destination, self.options.selector.operation
        return Place(destination.root, self.name, destination.control, is_tree=operation != COPY)

    def run(self, turn: AbstractContextManager[object] | None = None) -> PullResult:
        """Make ``dest`` hold the artifact; what is in it is compared and replaced within ``turn``.

        :raises OciError: for everything that cannot be done; ``dest`` is then as it was.
        """
        if turn is not None:
            self.turn = turn
        state = self.load_state()
        if self.options.suspend:
            return self.unchanged(state, SUSPENDED)
        if not self.check_mode and self.destination.has_leftovers():
            from ..._dest.workplace import remove_leftovers

            remove_leftovers(self.destination)
        known = self.target.known
        if known is not None:
            # nothing to ask the registry: what the digest names cannot have changed
            drift = self.drift(state, known)
            if drift is not None and drift.is_empty and self.is_verified(state):
                self.rely_on(state)
                return self._confirmed(self.unchanged(state, UP_TO_DATE), self.target.pin)
        options, last_good = self.options, self.options.last_good
        try:
            repository = self.task.open(self.target, options.auth, options.connection)
            try:
                result = self._run_with(repository, state)
            finally:
                repository.close()
            result.served_by = repository.served_by
            result.warnings = [*result.warnings, *repository.warnings]
        except OciError as exc:
            if last_good is None or not is_outage(exc):
                raise
            from .change import keep

            return keep(self, last_good, exc, self._resolved)
        return self._confirmed(result, self._resolved)

    def _confirmed(self, result: PullResult, resolved: Resolved | None) -> PullResult:
        """The result, after it was noted that the registry said so; None where it was not asked."""
        if self.options.last_good is not None and resolved is not None and not self.check_mode:
            from .last_good import confirm

            result.warnings += confirm(self.destination, self.target, self.key(resolved))
        return result

    def _run_with(self, repository: Repository, state: State) -> PullResult:
        resolved = self._resolve(repository)
        drift = self.drift(state, resolved)
        is_intact = drift is not None and not drift.content
        if is_intact and self.is_verified(state):
            self.rely_on(state)
        elif self.options.verify is not None:
            from .change import verify

            verify(self, repository, resolved, self.options.verify, is_intact=is_intact)
        if drift is not None and drift.is_empty:
            return self.unchanged(state, UP_TO_DATE)
        from .change import Change

        return Change(self, repository, resolved).carry_out(state, drift)

    def is_verified(self, state: State) -> bool:
        """Whether nothing is demanded, or the record says that the demand was met: a digest's signatures do not
        change."""
        return self.options.verify is None or state.verification.get("policy") == self.policy

    def rely_on(self, state: State) -> None:
        """Take the record's verdict for this run's, and say again what it warned of.

        Where this run demands nothing, it claims nothing: the record is of a policy that may be gone.
        """
        if self.options.verify is not None:
            from ..verdicts import warnings_of

            self.verification = state.verification
            self.warnings += [each for each in warnings_of(state.verification) if each not in self.warnings]

    def verdict(self) -> Mapping[str, Any]:
        """What is known about the signatures, as the module returns it; empty when nobody asked."""
        verdict: Mapping[str, Any] = self.verification.get("verdict", {})
        return verdict

    def _open_destination(self) -> Destination:
        """``dest`` as the directory that is written to; for a copy to a file, its parent and the file's name."""
        options, dest = self.options, self.options.dest
        if not dest:
            raise StorageError("'dest' is empty.", "Give the directory or file that the artifact is pulled to.")
        if options.selector.operation != COPY:
            return Destination(dest, options.permissions)
        if options.selector.layers == ALL or dest.endswith("/") or os.path.isdir(native(dest)):
            return Destination(dest, options.permissions, f"{CONTROL_NAME}.{self._purpose()}")
        parent, self.name = os.path.split(os.path.abspath(dest))
        return Destination(parent, options.permissions, f".{self.name}{CONTROL_NAME}", is_parent=True)

    def _purpose(self) -> str:
        """Tells apart what several tasks copy into one directory: each has a record of its own."""
        selector = self.options.selector
        wanted = [self.target.wanted, selector.media_type, selector.layers, self.options.platform]
        return hashlib.sha256("\n".join(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def load_state(self) -> State:
        """The record of the last pull; one that is damaged counts as none, with a warning."""
        state = self.destination.load_state()
        if state.is_damaged:
            warning = (
                f"The record of the last pull in {shown(self.destination.control)} cannot be understood: "
                "what it described counts as not pulled."
            )
            self.warnings = [*(known for known in self.warnings if known != warning), warning]
        return state

    def _resolve(self, repository: Repository) -> Resolved:
        try:
            options = self.options
            self._resolved = self.task.resolve(repository, self.target, options.auth, options.connection)
        except NotFound as exc:
            # Flux's word for a tag whose digest cannot be determined
            exc.reason = "OCIArtifactPullFailed"
            raise
        return self._resolved

    def key(self, resolved: Resolved) -> dict[str, Any]:
        """What ``dest`` holds once this revision is in place; the record says what it holds now."""
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
        """How the files differ from what the record says; None when the record is of something else."""
        if dict(state.key) != self.key(resolved) or state.pending or self.options.force:
            return None
        return self.destination.find_drift(state, self.options.check_content)

    def unchanged(self, state: State, reason: str) -> PullResult:
        """The answer when nothing is done."""
        return PullResult(
            False, reason, dict(state.artifact), listed_changes(Plan({}), 0), self.verdict(), warnings=self.warnings
        )
