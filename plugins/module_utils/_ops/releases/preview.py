# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of a release, and the diff of its objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..._errors import HelmFailed
from ..._helm import decision as decisions
from ..._helm.release import UNINSTALLED, Revision
from .context import ReleaseContext
from .plan import ReleasePlan

# In a client-side dry run, templates cannot look up objects of the cluster.
DRY_RUN = "server"


def predict(context: ReleaseContext, plan: ReleasePlan) -> None:
    """Predict the changes of a plan, without changing anything.

    Helm renders and validates the objects in a dry run.

    :raises HelmFailed: when the dry run fails.
    """
    plan.changed = True
    if plan.decision.recover or plan.decision.action in (decisions.TEST, decisions.LABEL):
        return
    after: dict[str, Any] = {}
    if plan.decision.action in (decisions.INSTALL, decisions.UPGRADE):
        after = _rendered(context, plan)
    elif plan.decision.action == decisions.ROLLBACK and (context.want_diff or context.want_show):
        target = context.made_of(plan.key, plan.spec.rollback_to)
        after = context.release(target) if target is not None else {}
    plan.rendered = after
    if context.want_diff:
        add_diff(context, plan, current(context, plan.last), after)


def current(context: ReleaseContext, last: Revision | None) -> dict[str, Any]:
    """The release document of a revision; empty when it is not deployed."""
    return {} if last is None or last.status == UNINSTALLED else context.release(last)


def add_diff(context: ReleaseContext, plan: ReleasePlan, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Store the diff of two revisions' objects in the plan, if they differ.

    The text is masked at the end, when all secrets are known, so that neither side shows those of the other.
    """
    before, after = context.shown(old), context.shown(new)
    if before != after:
        header = f"{plan.key.namespace}/{plan.key.name}"
        headers = {"before_header": f"{header} (before)", "after_header": f"{header} (after)"}
        plan.diff.append({**headers, "before": before, "after": after})


def _lacks_kinds(words: str) -> bool:
    """True when Helm's message is that the cluster does not know a kind."""
    return "no matches for kind" in words or "ensure CRDs are installed first" in words


def _rendered(context: ReleaseContext, plan: ReleasePlan) -> dict[str, Any]:
    action, chart = plan.decision.action, plan.wanted_chart
    verb = context.helm.install if action == decisions.INSTALL else context.helm.upgrade
    own = {"replace": True} if action == decisions.INSTALL and plan.last is not None else {}
    outcome = verb(
        plan.key.name,
        plan.key.namespace,
        context.chart_file(chart),
        plan.values,
        plan.spec.flags,
        dry_run=DRY_RUN,
        **own,
    )
    if not outcome.ok and plan.spec.crds != "Skip" and _lacks_kinds(outcome.words):
        missing = context.missing_crds(chart, plan.values)
        if missing:
            plan.warnings.append(
                f"What the release {plan.key} would deploy cannot be shown before the cluster has its CRDs: "
                f"{', '.join(missing)}."
            )
            return {}
    if not outcome.ok:
        error = HelmFailed(
            f"helm {action} of the release {plan.key} would fail: {context.said(outcome, plan.key)}.",
            "Nothing was changed.",
        )
        error.reason = f"{action.capitalize()}Failed"
        raise error
    try:
        release = json.loads(outcome.output)
    except (ValueError, RecursionError):
        release = None
    if not isinstance(release, dict):
        raise HelmFailed(f"The dry run of helm {action} of the release {plan.key} did not print a release.")
    context.learn(release, plan.key)
    return release
