# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ready_when``: when the releases that another one depends on count as ready, in the words of the user.

Source of the rules: helm-controller, ``spec.dependsOn[].readyExpr``: an expression in CEL about ``dep``, the release
that is depended on, and ``self``, the one that depends on it. It replaces the check of the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..._errors import DependencyNotReady, OciError
from ..._helm.cel import NotEvaluated, check_expressions, is_true
from ..._helm.release import PREFIX, SYSTEM_LABELS, Revision, parse_description
from .context import ReleaseContext
from .plan import ReleasePlan
from .spec import ReleaseKey

# characters of an expression in messages
_MAX_SHOWN = 300


def check_ready_when(plans: Iterable[ReleasePlan]) -> None:
    """Let those releases that have work fail whose expressions do not parse, before any of them is worked on."""
    found = {
        _named(plan, need): (plan, text)
        for plan in plans
        if plan.has_work and plan.spec.present and plan.failure is None
        for need, text in plan.spec.ready_when.items()
    }
    if not found:
        return
    try:
        errors: Mapping[str, OciError] = check_expressions({what: text for what, (_plan, text) in found.items()})
    except OciError as exc:
        errors = dict.fromkeys(found, exc)
    for what, error in errors.items():
        found[what][0].fail(error)


def check_ready(context: ReleaseContext, plans: Mapping[ReleaseKey, ReleasePlan], plan: ReleasePlan) -> None:
    """Check that the releases that one depends on are ready, as the expressions say.

    In check mode, a release that would be changed is not asked, since it is not known what it will be.

    :raises DependencyNotReady: when one is not ready.
    :raises InvalidOption: when an expression cannot be evaluated whatever the release is.
    """
    if not plan.spec.present:
        return
    for need, expression in plan.spec.ready_when.items():
        other = plans.get(need)
        if context.check_mode and other is not None and other.has_work:
            plan.warnings.append(f"Whether {need} will be ready for the release {plan.key} is not known in check mode.")
            continue
        last = context.last(need)
        if last is None:
            raise _not_ready(plan, need, "is not there")
        what = _named(plan, need)
        try:
            is_ready = is_true(expression, {"dep": _view(context, last, other), "self": _own_view(plan)}, what)
        except NotEvaluated as exc:
            raise _not_ready(plan, need, f"cannot be judged by 'ready_when', {_shown(expression)}: {exc}") from None
        if not is_ready:
            raise _not_ready(plan, need, f"is not ready: 'ready_when' is {_shown(expression)}, and not true")


def _view(context: ReleaseContext, last: Revision, plan: ReleasePlan | None) -> dict[str, Any]:
    """What an expression knows of a release in the cluster: the fields of the module's result, and more of the record.

    Values are not among them: they may be secret, and messages may quote what an expression compares.
    """
    release = context.release(last)
    info, chart = release.get("info") or {}, (release.get("chart") or {}).get("metadata") or {}
    fingerprint = parse_description(str(info.get("description") or ""))
    labels = {
        name: value for name, value in last.labels.items() if name not in SYSTEM_LABELS and not name.startswith(PREFIX)
    }
    return {
        **_identity(plan.spec.namespace if plan is not None else last.namespace, last.name, labels),
        "status": last.status,
        "revision": last.number,
        "test": last.test,
        "first_deployed": str(info.get("first_deployed") or ""),
        "last_deployed": str(info.get("last_deployed") or ""),
        "chart": {
            "name": str(chart.get("name") or ""),
            "version": str(chart.get("version") or ""),
            "app_version": str(chart.get("appVersion") or ""),
            "digest": fingerprint.chart if fingerprint else "",
        },
        "values_digest": fingerprint.values if fingerprint else "",
    }


def _own_view(plan: ReleasePlan) -> dict[str, Any]:
    """What an expression knows of the release that is to be deployed: what is wanted, and what is there."""
    chart, last = plan.chart, plan.last
    labels = {name: value for name, value in plan.spec.labels.items() if value is not None}
    return {
        **_identity(plan.spec.namespace, plan.key.name, labels),
        "status": last.status if last else "",
        "revision": last.number if last else 0,
        "test": last.test if last else "",
        "chart": {
            "name": chart.name if chart else "",
            "version": chart.version if chart else "",
            "app_version": chart.app_version if chart else "",
            "digest": chart.digest if chart else "",
        },
        "values_digest": plan.values_digest,
    }


def _identity(namespace: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    # in both places, the second of which is where expressions for Flux look
    own = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {**own, "metadata": own}


def _named(plan: ReleasePlan, need: ReleaseKey) -> str:
    return f"'ready_when' for {need}, of the release {plan.key},"


def _shown(expression: str) -> str:
    text = " ".join(expression.split())
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def _not_ready(plan: ReleasePlan, need: ReleaseKey, what: str) -> DependencyNotReady:
    return DependencyNotReady(f"The release {plan.key} depends on {need}, which {what}.", "It was left as it is.")
