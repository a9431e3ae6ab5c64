# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of a release, and the diff of its objects."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ..._errors import HelmFailed, ObjectNotFound, OciError
from ..._helm import decision as decisions
from ..._helm.manifest_text import documents
from ..._helm.release import UNINSTALLED, Revision
from ..._kube.objects import ObjectLocator, UnknownKind
from .context import MISSING, TERMINATING, ReleaseContext
from .foresight import Foresight, settle
from .place import objects_namespace
from .plan import ReleasePlan, Unmet
from .refusals import left_pending, namespace_terminating, no_namespace, no_revision_of
from .spec import ReleaseKey

# In a client-side dry run, templates cannot look up objects of the cluster.
DRY_RUN = "server"

# client-go, restmapper; Helm builds all objects before it says which of them it cannot
_NO_MATCH = re.compile(r'no matches for kind \\?"([^"\\]+)\\?" in version \\?"([^"\\]+)\\?"')
_DEPLOYS = (decisions.INSTALL, decisions.UPGRADE)


def predict(context: ReleaseContext, foresight: Foresight, plan: ReleasePlan) -> None:
    """Predict the changes of a plan, without changing anything.

    Helm renders and validates the objects in a dry run. What the cluster lacks now is left in ``plan.unmet``, for
    :func:`settle_all`.

    :raises OciError: when the work is certain to fail.
    """
    plan.changed = True
    # the error for a missing Helm is that of the work
    helm = context.helm
    del helm
    _check_namespace(context, foresight, plan)
    if plan.decision.recover:
        _check_pending(plan)
        return
    if plan.decision.action in (decisions.TEST, decisions.LABEL):
        return
    after: dict[str, Any] = {}
    if plan.decision.action in _DEPLOYS:
        after = _rendered(context, foresight, plan)
    elif plan.decision.action == decisions.ROLLBACK:
        target = context.made_of(plan.key, plan.spec.rollback_to)
        if target is None:
            raise no_revision_of(plan.key, plan.spec.rollback_to, context.revisions(plan.key))
        after = context.release(target) if context.want_diff or context.want_show else {}
    plan.rendered = after
    if context.want_diff:
        add_diff(context, plan, current(context, plan.last), after)


def settle_all(context: ReleaseContext, foresight: Foresight, plans: Mapping[ReleaseKey, ReleasePlan]) -> None:
    """Decide about what predicted releases lack, now that it is known what each of them makes."""
    lacking = {unmet.thing for plan in plans.values() if plan.failure is None for unmet in plan.unmet}
    if any(version for version, _name in lacking):
        for plan in plans.values():
            if plan.chart is not None and plan.failure is None and plan.decision.action in _DEPLOYS:
                with contextlib.suppress(OciError):
                    _foresee_crds(context, foresight, plan)
    settle(foresight, plans)


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


def _check_namespace(context: ReleaseContext, foresight: Foresight, plan: ReleasePlan) -> None:
    """Find out whether the namespaces of record and objects are there, or will be.

    :raises NamespaceTerminating: when one is being deleted, and something has to be created in it.
    :raises Forbidden: when one is to be created, and may not be.
    """
    key, target = plan.key, plan.spec.target
    for name in dict.fromkeys((key.namespace, target)):
        state = context.namespace_state(key, name)
        if state == TERMINATING and plan.decision.action != decisions.UNINSTALL:
            raise namespace_terminating(ReleaseKey(name, key.name))
        if state != MISSING or plan.decision.action != decisions.INSTALL:
            continue
        if plan.spec.create_namespace and name == target:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            context.api_of(key).create("/api/v1/namespaces", namespace, dry_run=True)
            foresight.add_namespace(name, key)
        elif None not in foresight.makers(("", name)):
            plan.unmet.append(Unmet(("", name), no_namespace(ReleaseKey(name, key.name))))


def _check_pending(plan: ReleasePlan) -> None:
    """Say what becomes of a release that is not finished, when ``pending`` is ``fail``.

    :raises ReleaseLocked: when it is old enough to be abandoned.
    """
    if plan.last is None or not plan.last.is_pending or plan.spec.pending != "fail":
        return
    error = left_pending(plan.key, plan.last)
    if plan.last.age() >= plan.spec.flags.timeout:
        raise error
    plan.warnings.append(f"Whether it can be deployed depends on what happens until then. {error}")


def _rendered(context: ReleaseContext, foresight: Foresight, plan: ReleasePlan) -> dict[str, Any]:
    action, chart = plan.decision.action, plan.wanted_chart
    is_install = action == decisions.INSTALL
    namespace = plan.spec.target if is_install else objects_namespace(context, plan)
    helm = context.helm_for(plan.key, namespace)
    helm.check_remedies(plan.spec.rollback_flags, plan.spec.uninstall_flags)
    verb = helm.install if is_install else helm.upgrade
    own = {"replace": True} if is_install and plan.last is not None else {}
    outcome = verb(
        plan.key.name,
        namespace,
        context.chart_file(chart),
        plan.values,
        context.accepted_flags(plan.spec.flags, None if is_install else plan.last),
        dry_run=DRY_RUN,
        **own,
    )
    if not outcome.ok:
        error = HelmFailed(
            f"helm {action} of the release {plan.key} would fail: {context.said(outcome, plan.key)}.",
            "Nothing was changed.",
        )
        error.reason = f"{action.capitalize()}Failed"
        kinds = list(dict.fromkeys(_NO_MATCH.findall(outcome.words)))
        if not kinds:
            raise error
        _lack_kinds(context, foresight, plan, [(version, kind) for kind, version in kinds], error)
        return {}
    try:
        release = json.loads(outcome.output)
    except (ValueError, RecursionError):
        release = None
    if not isinstance(release, dict):
        raise HelmFailed(f"The dry run of helm {action} of the release {plan.key} did not print a release.")
    context.learn(release, plan.key)
    _look_at_objects(context, foresight, plan, str(release.get("manifest") or ""))
    return release


def _lack_kinds(
    context: ReleaseContext, foresight: Foresight, plan: ReleasePlan, things: list[tuple[str, str]], error: HelmFailed
) -> None:
    """Note the kinds that the cluster does not know, but for those that the chart's own CRDs make."""
    missing = _foresee_crds(context, foresight, plan)
    unmet = [Unmet(thing, error) for thing in things if plan.key not in foresight.makers(thing)]
    plan.unmet += unmet
    if missing and not unmet:
        plan.warnings.append(
            f"What the release {plan.key} would deploy cannot be shown before the cluster has its CRDs: "
            f"{', '.join(missing)}."
        )


def _foresee_crds(context: ReleaseContext, foresight: Foresight, plan: ReleasePlan) -> list[str]:
    if plan.spec.crds == "Skip":
        return []
    replace = plan.spec.crds == "CreateReplace"
    made, missing = context.crds_to_come(plan.key, plan.wanted_chart, plan.values, replace=replace)
    foresight.add(made, plan.key)
    return missing


def _look_at_objects(context: ReleaseContext, foresight: Foresight, plan: ReleasePlan, manifest: str) -> None:
    """Note what the release makes, and which other namespaces it needs."""
    try:
        objects = documents(manifest, f"the release {plan.key}")
    except OciError:
        # a post-renderer may print anything; Helm has accepted it
        return
    foresight.add(objects, plan.key)
    own = {plan.spec.target}
    locator = ObjectLocator(context.api_of(plan.key))
    for each in objects:
        metadata = each.get("metadata")
        name = str(metadata.get("namespace") or "") if isinstance(metadata, Mapping) else ""
        if not name or name in own or context.namespace_state(plan.key, name) != MISSING:
            continue
        try:
            place = locator.find(each, plan.spec.target)
        except (OciError, UnknownKind):
            continue
        # one that has no namespace may name any
        if place.namespace == name and plan.key not in foresight.makers(("", name)):
            own.add(name)
            words = f"The namespace {name}, of the {place.kind} {place.name} of the release {plan.key}, does not exist."
            plan.unmet.append(Unmet(("", name), ObjectNotFound(words, "Create it before the release.")))
