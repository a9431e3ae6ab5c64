# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which action a release needs, from its desired state and its last revision, without any request.

Source of the rules: helm-controller, internal/reconcile/state.go. Charts are compared by digest here, not by version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .release import DEPLOYED, UNINSTALLED, UNINSTALLING, Fingerprint, Revision

# Actions.
NONE = "none"
INSTALL = "install"
UPGRADE = "upgrade"
UNINSTALL = "uninstall"
ROLLBACK = "rollback"
TEST = "test"
LABEL = "label"

# Reasons; those for an up-to-date release and for one that is left alone are values in results too.
UP_TO_DATE = "ReleaseUpToDate"
SUSPENDED = "Suspended"
NOT_INSTALLED = "NotInstalled"
CHART_CHANGED = "ChartChanged"
VALUES_CHANGED = "ValuesChanged"
POST_RENDERER_CHANGED = "PostRendererChanged"
TARGET_CHANGED = "TargetNamespaceChanged"
LABELS_CHANGED = "LabelsChanged"
UNMANAGED = "Unmanaged"
LAST_FAILED = "LastActionFailed"
PENDING = "Pending"
UNTESTED = "Untested"
UNWANTED = "Unwanted"
NEW_REVISION_PENDING = "NewRevisionPending"
ROLLBACK_WANTED = "RollbackWanted"


@dataclass(frozen=True)
class DesiredState:
    """The desired state of a release, as far as the decision depends on it."""

    present: bool
    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint("", ""))
    labels: Mapping[str, str | None] = field(default_factory=dict)
    tests: Sequence[str] = ()  # acceptable outcomes of its tests; empty when it need not be tested
    suspended: bool = False
    rollback_to: str = ""
    keep_history: bool = False  # of a release that is to be absent


@dataclass(frozen=True)
class Decision:
    """An action and its reason. With ``recover``, an unfinished action of another client has to be cleaned up first."""

    action: str
    reason: str
    recover: bool = False


def decide(desired: DesiredState, last: Revision | None) -> Decision:
    """Return the action for a release; ``last`` is its last revision in the cluster, None when there is none."""
    if desired.suspended:
        return Decision(NONE, SUSPENDED)
    is_there = last is not None and last.status != UNINSTALLED
    if not desired.present:
        if last is None or (not is_there and desired.keep_history):
            return Decision(NONE, NOT_INSTALLED)
        return Decision(UNINSTALL, UNWANTED, recover=last is not None and last.is_pending)
    if last is None or not is_there:
        return Decision(INSTALL, NOT_INSTALLED)
    if last.status == UNINSTALLING:
        return Decision(INSTALL, NOT_INSTALLED, recover=True)
    if last.is_pending:
        return Decision(UPGRADE, PENDING, recover=True)
    if last.is_recorded and not desired.rollback_to and last.target != (desired.fingerprint.target or last.namespace):
        # Flux, too, removes it from where it was (helm-controller, internal/action/reset.go)
        return Decision(INSTALL, TARGET_CHANGED)
    if desired.rollback_to:
        if last.status == DEPLOYED and last.has_chart(desired.rollback_to):
            return Decision(NONE, UP_TO_DATE)
        return Decision(ROLLBACK, ROLLBACK_WANTED)
    if last.status != DEPLOYED:
        return Decision(UPGRADE, LAST_FAILED)
    return _of_deployed(desired, last)


def _of_deployed(desired: DesiredState, last: Revision) -> Decision:
    fingerprint = desired.fingerprint
    if not last.is_recorded:
        return Decision(UPGRADE, UNMANAGED)
    if not last.has_chart(fingerprint.chart):
        return Decision(UPGRADE, CHART_CHANGED)
    if not last.has_values(fingerprint.values):
        return Decision(UPGRADE, VALUES_CHANGED)
    if not last.has_rendering(fingerprint.rendering):
        return Decision(UPGRADE, POST_RENDERER_CHANGED)
    if desired.tests and last.test not in desired.tests:
        # failed tests make the release a failed one; tests that never ran are run
        return Decision(UPGRADE, LAST_FAILED) if last.test else Decision(TEST, UNTESTED)
    if any(last.labels.get(key) != value for key, value in desired.labels.items()):
        return Decision(LABEL, LABELS_CHANGED)
    return Decision(NONE, UP_TO_DATE)
