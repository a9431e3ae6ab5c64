# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work on one release that is not up to date: lock, read the state again, recover, act, test, remedy.

Source of the rules: helm-controller, internal/reconcile. Several reconciliations of Flux are one run here: a failed
attempt is followed by its remedy and, while there are retries, by another attempt.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from typing import Any

from ..._errors import Forbidden, HelmFailed, NamespaceTerminating, NotFound, OciError, ReleaseLocked
from ..._helm import decision as decisions
from ..._helm.apply_method import conflict_hint
from ..._helm.decision import decide
from ..._helm.helm_binary import Outcome
from ..._helm.release import (
    DEPLOYED,
    REVISION_LABEL,
    SUPERSEDED,
    TEST_FAILED,
    TEST_LABEL,
    TEST_PASSED,
    UNINSTALLED,
    UNINSTALLING,
    Fingerprint,
    Revision,
    revision_description,
)
from ..._unexpected import as_error
from .context import ReleaseContext
from .labels import next_labels
from .left_behind import collect_failed, note_left_behind
from .place import creates_namespace, objects_namespace
from .plan import ReleasePlan
from .preview import add_diff, current
from .refusals import left_pending, no_revision_of
from .spec import Remedy

LOOK_AGAIN = 2.0
# How often a decision is repeated because another run changed the release.
MAX_ROUNDS = 5

# What Helm says when somebody else has removed the record. What else it says without a record is a failure: it removes
# the record, too, when the wait for objects runs out, or a hook fails after the removal.
_NOTHING_TO_REMOVE = re.compile(r"Release not loaded|with 1 error\(s\): uninstall: Failed to purge the release")

NO_REMEDY = "none"
ROLLBACK = "rollback"
UNINSTALL = "uninstall"

_DONE = {
    decisions.INSTALL: "InstallSucceeded",
    decisions.UPGRADE: "UpgradeSucceeded",
    decisions.ROLLBACK: "RollbackSucceeded",
    decisions.UNINSTALL: "UninstallSucceeded",
    decisions.TEST: "TestSucceeded",
    decisions.LABEL: "LabelsUpdated",
}
_FAILED = {action: word.replace("Succeeded", "Failed") for action, word in _DONE.items()}


class ReleaseWork:
    """The work on one release; the outcome is stored in ``plan``."""

    def __init__(self, context: ReleaseContext, plan: ReleasePlan, *, rehearse: bool = False) -> None:
        """``rehearse`` makes Helm do nothing but note its commands in the plan; see :meth:`rehearse`."""
        self._context = context
        # the error for a missing Helm is the same for every release
        self._helm = context.helm.noting(plan.commands, rehearse=rehearse)
        self._is_rehearsal = rehearse
        self._target = plan.spec.target
        self._plan = plan
        self._spec = plan.spec
        self._key = plan.spec.key
        self._new_namespace = False
        # the records of failed revisions, by number
        self._before: dict[int, Mapping[str, Any]] = {}

    def carry_out(self) -> None:
        """Bring the release to the wanted state.

        :raises OciError: when that fails; the plan still has the changes that were made.
        """
        for _round in range(MAX_ROUNDS):
            try:
                with self._context.locked(self._key) as (_is_held, abandoned):
                    self._act(abandoned)
                return
            except NamespaceTerminating:
                if self._plan.decision.action != decisions.UNINSTALL:
                    raise
                # what lies outside of the namespace can still be removed; no other run can get a lock either
                self._act(abandoned=False)
                return
            except NotFound:
                is_created = self._spec.create_namespace and self._spec.target == self._key.namespace
                if self._plan.decision.action != decisions.INSTALL or not is_created:
                    raise
            # Helm creates the namespace after it has rendered the chart; until then no Lease can be created in it
            self._new_namespace = True
            try:
                self._act(abandoned=False)
                return
            except HelmFailed:
                # CustomResourceDefinitions may have been created before it
                if self._context.last(self._key) is None or self._plan.attempts:
                    raise
                # another run created the namespace: now its lock can be waited for
                self._new_namespace = False
        raise ReleaseLocked(f"The release {self._key} was changed by somebody else again and again.")

    def rehearse(self) -> None:
        """Note the command of Helm that the decision leads to, without running it."""
        action = self._plan.decision.action
        if action != decisions.INSTALL or self._plan.cause == decisions.TARGET_CHANGED:
            self._aim_at(objects_namespace(self._context, self._plan))
        if self._plan.cause == decisions.TARGET_CHANGED:
            self._call_uninstall()
            self._aim_at(self._spec.target)
        if action in (decisions.INSTALL, decisions.UPGRADE):
            self._call_helm(action)
        elif action == decisions.UNINSTALL:
            self._call_uninstall()
        elif action == decisions.TEST:
            self._call_test()
        elif action == decisions.ROLLBACK:
            target = self._context.made_of(self._key, self._spec.rollback_to)
            if target is not None:
                self._call_rollback(target)

    # -- decision

    def _act(self, abandoned: bool) -> None:
        self._look()
        # its window may have closed while the lock was waited for
        self._plan.check_window()
        before = current(self._context, self._plan.last) if self._context.want_diff else {}
        try:
            self._do(abandoned)
        finally:
            note_left_behind(self._context, self._plan, self._before)
            if self._context.want_diff and self._plan.changed:
                self._show_change(before)

    def _show_change(self, before: Mapping[str, Any]) -> None:
        """Add the difference to the plan. A failure to read it must not hide how the work itself ended."""
        try:
            add_diff(self._context, self._plan, before, current(self._context, self._plan.last))
        except Exception as exc:
            error = as_error(exc, f"Reading what the release {self._key} deploys")
            self._plan.warnings.append(f"The changes of the release {self._key} cannot be shown: {error.message}")

    def _do(self, abandoned: bool) -> None:
        if self._plan.decision.recover:
            cause = self._plan.cause
            if self._recover(abandoned):
                # why there was work, not what was found after the first half of it
                self._plan.cause = cause
        if self._plan.decision.reason == decisions.TARGET_CHANGED:
            self._remove()
            self._look()
            self._plan.cause = decisions.TARGET_CHANGED
        action = self._plan.decision.action
        if action in (decisions.INSTALL, decisions.UPGRADE):
            self._deploy(action)
        elif action == decisions.UNINSTALL:
            self._remove()
        elif action == decisions.ROLLBACK:
            self._roll_back_to(self._spec.rollback_to)
        elif action == decisions.TEST:
            self._run_tests()
        elif action == decisions.LABEL:
            self._label()
        if action != decisions.NONE:
            self._plan.reason = _DONE[action]

    def _look(self) -> None:
        """Read the current state, and decide again: another run may have changed it."""
        plan = self._plan
        plan.last = self._context.last(self._key)
        if plan.given and plan.last != plan.preserved:
            from .preserved import preserve_values

            preserve_values(self._context.api_of(self._key), plan, plan.given)
        chart = plan.chart.digest if plan.chart else ""
        plan.decision = decide(self._spec.desired_state(chart, plan.values_digest), plan.last)
        plan.cause = plan.decision.reason
        self._aim_at(objects_namespace(self._context, plan))

    def _aim_at(self, namespace: str) -> None:
        """Have Helm run in the namespace of the objects."""
        self._target = namespace
        helm = self._context.helm_for(self._key, namespace)
        self._helm = helm.noting(self._plan.commands, rehearse=self._is_rehearsal)

    def _recover(self, abandoned: bool) -> bool:
        """Recover a release that another run left pending, as the option 'pending' says; return whether it had to be.

        Only a lock shows whether another run is still working on it. For a release that was deployed by other means,
        its age decides, as Helm stops after its timeout.

        :raises ReleaseLocked: when another run is working on it, or 'pending' is fail.
        """
        deadline = time.monotonic() + self._context.lock_timeout
        while True:
            last = self._plan.last
            if last is None or not (last.is_pending or last.status == UNINSTALLING):
                self._look()
                return False
            stale = abandoned or last.age() >= self._spec.flags.timeout
            if self._spec.pending == "fail" and (stale or time.monotonic() >= deadline):
                raise left_pending(self._key, last)
            if stale:
                break
            if time.monotonic() >= deadline:
                raise ReleaseLocked(
                    f"The release {self._key} is {last.status} (revision {last.number}) since {last.age():.0f} s, by "
                    "another program.",
                    f"It counts as abandoned after its timeout of {self._spec.flags.timeout:g} s: let it finish, or "
                    "try again then.",
                )
            time.sleep(LOOK_AGAIN)
            self._plan.last = self._context.last(self._key)
        self._unlock(last)
        return True

    def _unlock(self, last: Revision) -> None:
        if last.status == UNINSTALLING:
            if self._spec.present:
                self._remove()
                self._look()
            return
        if not self._spec.present:
            return
        self._context.mark_failed(last, f"Release unlocked from stale '{last.status}' state")
        self._plan.changed = True
        if self._spec.pending == UNINSTALL:
            self._remove()
        elif self._spec.pending == ROLLBACK:
            target = self._rollback_target()
            if target is not None:
                self._roll_back(target)
        self._look()

    # -- install and upgrade

    def _deploy(self, action: str) -> None:
        # a release whose remedy fails stays failed
        self._helm.check_remedies(self._spec.rollback_flags, self._spec.uninstall_flags)
        chart, policy = self._plan.chart, self._spec.crds
        if chart is not None and policy != "Skip":
            replace, changed = policy == "CreateReplace", self._plan.crds
            try:
                self._context.apply_crds(self._key, chart, self._plan.values, replace=replace, changed=changed)
            finally:
                self._plan.changed = self._plan.changed or bool(changed)
        remedy = self._spec.install_remedy if action == decisions.INSTALL else self._spec.upgrade_remedy
        for attempt in range(remedy.retries + 1):
            error = self._attempt(action)
            if error is None:
                return
            is_last = attempt == remedy.retries
            if not is_last or self._spec.remediate_last_failure:
                self._remedy(remedy, error)
            if is_last:
                raise error
            is_there = self._plan.last is not None and self._plan.last.status != UNINSTALLED
            action = decisions.UPGRADE if is_there else decisions.INSTALL

    def _attempt(self, action: str) -> HelmFailed | None:
        """Install or upgrade, and test; return the failure of an attempt that changed the cluster, otherwise None.

        :raises HelmFailed: when nothing was changed: another attempt would fail in the same way.
        """
        plan, before = self._plan, self._plan.last
        collect_failed(self._context, plan, self._before)
        outcome = self._call_helm(action)
        # even if the cluster cannot be reached any more
        plan.changed = plan.changed or outcome.ok
        plan.last = self._context.last(self._key)
        modified = plan.last != before
        plan.changed = plan.changed or modified
        if modified and plan.last is not None:
            if plan.last.is_pending:
                # Helm was killed before it stored the outcome
                self._context.mark_failed(plan.last, f"Helm was ended: {self._context.said(outcome, self._key)}")
                plan.last = self._context.last(self._key)
            self._record()
        if not outcome.ok and not modified:
            raise self._failure(action, outcome, unchanged=True)
        plan.attempts += 1
        if not outcome.ok:
            return self._failure(action, outcome)
        return self._tested()

    def _call_helm(self, action: str) -> Outcome:
        plan, chart = self._plan, self._plan.wanted_chart
        verb = self._helm.install if action == decisions.INSTALL else self._helm.upgrade
        is_new = self._new_namespace or (action == decisions.INSTALL and creates_namespace(self._context, plan))
        own = {"create_namespace": is_new, "replace": plan.last is not None}
        return verb(
            self._key.name,
            self._target,
            self._context.chart_file(chart),
            plan.values,
            self._context.accepted_flags(self._spec.flags, None if action == decisions.INSTALL else plan.last),
            description=revision_description(action, chart.origin, self._fingerprint()),
            labels=next_labels(self._fingerprint(), self._spec.labels, plan.last),
            **(own if action == decisions.INSTALL else {}),
        )

    def _fingerprint(self) -> Fingerprint:
        chart = self._plan.chart
        return self._spec.fingerprint(chart.digest if chart else "", self._plan.values_digest)

    def _record(self) -> None:
        """Set the labels of the revision, when Helm is too old to do it itself."""
        last = self._plan.last
        if self._helm.labels_releases or last is None:
            return
        labels = {**self._fingerprint().as_labels(last.number), **self._spec.labels}
        self._context.label(last, labels)
        self._plan.last = self._context.last(self._key)

    def _failure(self, action: str, outcome: Outcome, *, unchanged: bool = False) -> HelmFailed:
        words = self._context.said(outcome, self._key).rstrip(".")
        hints = [conflict_hint(outcome.words, self._spec.flags), self._plan.changed_before() if unchanged else ""]
        error = HelmFailed(f"helm {action} of the release {self._key} failed: {words}.", " ".join(filter(None, hints)))
        error.reason = _FAILED[action]
        if unchanged and "because it is being terminated" in outcome.words:
            error.reason, error.retryable = NamespaceTerminating.reason, True
        elif unchanged and " is forbidden: " in outcome.words:
            error.reason = Forbidden.reason
        return error

    # -- tests

    def _tested(self) -> HelmFailed | None:
        """Run the tests, if they are enabled; return their failure, unless it is ignored."""
        tests = self._spec.test
        if not tests.enable or self._plan.last is None:
            return None
        outcome = self._call_test()
        self._plan.test = TEST_PASSED if outcome.ok else TEST_FAILED
        last = self._context.last(self._key)
        if last is not None:
            # Helm has rewritten its record, without the labels that it does not know
            labels = {**self._fingerprint().as_labels(last.number), TEST_LABEL: self._plan.test}
            self._context.label(last, labels if self._helm.labels_releases else {**labels, **self._spec.labels})
            self._plan.last = self._context.last(self._key)
        if outcome.ok:
            return None
        error = self._failure(decisions.TEST, outcome)
        if tests.ignore_failures:
            self._plan.warnings.append(str(error))
            return None
        return error

    def _call_test(self) -> Outcome:
        tests = self._spec.test
        return self._helm.test(self._key.name, self._target, tests.timeout, tests.filters)

    def _run_tests(self) -> None:
        self._plan.changed = True
        error = self._tested()
        if error is not None:
            raise error

    # -- remedies

    def _remedy(self, remedy: Remedy, error: HelmFailed) -> None:
        """Apply the remedy after a failed attempt; its outcome is added to the error's message."""
        if remedy.action == NO_REMEDY:
            return
        try:
            if remedy.action == UNINSTALL:
                self._remove()
                self._plan.remediation = "UninstallSucceeded"
                error.message += " It was uninstalled."
                return
            target = self._rollback_target()
            if target is None:
                self._plan.remediation = "MissingRollbackTarget"
                error.message += " There is no earlier revision to roll back to."
                return
            self._roll_back(target)
            self._plan.remediation = "RollbackSucceeded"
            error.message += f" It was rolled back to revision {target.number}."
        except OciError as exc:
            self._plan.remediation = exc.reason
            error.message += f" {exc.message}"

    def _rollback_target(self) -> Revision | None:
        """The latest earlier revision that was deployed and whose tests did not fail."""
        revisions = [each for each in self._context.revisions(self._key) if each.number != self._number()]
        for status in (DEPLOYED, SUPERSEDED):
            for revision in revisions:
                if revision.status == status and revision.test != TEST_FAILED:
                    return revision
        return None

    def _roll_back_to(self, digest: str) -> None:
        """Roll back to the latest revision with this chart.

        :raises ObjectNotFound: when no stored revision has it.
        """
        target = self._context.made_of(self._key, digest)
        if target is None:
            raise no_revision_of(self._key, digest, self._context.revisions(self._key))
        self._roll_back(target)

    def _roll_back(self, target: Revision) -> None:
        collect_failed(self._context, self._plan, self._before)
        outcome = self._call_rollback(target)
        before, self._plan.last = self._plan.last, self._context.last(self._key)
        last = self._plan.last
        self._plan.changed = self._plan.changed or last != before
        if not outcome.ok or last is None:
            raise self._failure(decisions.ROLLBACK, outcome)
        if target.is_recorded:
            # the labels were copied, with the number of the revision that they were set for
            names = [name for name in target.labels if name.startswith(REVISION_LABEL.rpartition("/")[0] + "/")]
            self._context.label(
                last, {**{name: target.labels[name] for name in names}, REVISION_LABEL: str(last.number)}
            )
            self._plan.last = self._context.last(self._key)

    def _call_rollback(self, target: Revision) -> Outcome:
        flags = self._context.accepted_flags(self._spec.rollback_flags, target)
        return self._helm.rollback(self._key.name, self._target, target.number, flags)

    # -- uninstall, labels

    def _remove(self) -> None:
        collect_failed(self._context, self._plan, self._before)
        outcome = self._call_uninstall()
        before, self._plan.last = self._plan.last, self._context.last(self._key)
        self._plan.changed = self._plan.changed or self._plan.last != before
        if outcome.ok or (self._plan.last is None and _NOTHING_TO_REMOVE.search(outcome.words)):
            return
        error = self._failure(decisions.UNINSTALL, outcome)
        if self._plan.last is None:
            error.hint = "Its record is gone, so that no other run removes what is left of it: look for it."
            if self._spec.present:
                # the name is free again, which is all that was wanted
                self._plan.warnings.append(str(error))
                return
        raise error

    def _call_uninstall(self) -> Outcome:
        flags = self._spec.uninstall_flags
        if self._spec.present:
            # a remedy, after which the name is free again
            flags = dataclasses.replace(flags, keep_history=False)
        return self._helm.uninstall(self._key.name, self._target, flags)

    def _label(self) -> None:
        if self._plan.last is not None:
            self._context.label(self._plan.last, self._spec.labels)
        self._plan.changed = True
        self._plan.last = self._context.last(self._key)

    def _number(self) -> int:
        return self._plan.last.number if self._plan.last else 0
