# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: objects of a release that are not what it deployed, found by dry runs of server-side apply, and put right.

Source of the rules: helm-controller, internal/action/diff.go. What is put right is patched, object by object; the
release gets no new revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._helm.manifest_text import documents
from .._helm.values import merge
from .._kube.objects import Place, Places, comparable, differences, merge_patch, without
from .._kube.rest import KubeRest
from .release_shop import Workshop
from .release_spec import DriftRule

if TYPE_CHECKING:
    from .releases import Plan

DETECTED = "DriftDetected"
CORRECTED = "DriftCorrected"
MISSING = "missing"
CHANGED = "changed"

# The field manager of Helm, and one that owns nothing, to ask what Helm's manifest would change.
HELM_MANAGER = "helm"
ASKING_MANAGER = "cloudnative.artifacts-drift"
MAX_LISTED = 100

# Flux's mark for objects that may drift
_EXEMPT = "helm.toolkit.fluxcd.io/driftDetection"


@dataclass(frozen=True)
class _Drift:
    place: Place
    change: str
    paths: list[str]
    wanted: Mapping[str, Any] = field(repr=False)
    before: Mapping[str, Any] = field(repr=False, default_factory=dict)
    after: Mapping[str, Any] = field(repr=False, default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        place = self.place
        return {
            "kind": place.kind,
            "namespace": place.namespace,
            "name": place.name,
            "change": self.change,
            "paths": self.paths[:MAX_LISTED],
        }


def look_for_drift(shop: Workshop, places: Places, plan: Plan) -> None:
    """Find the drift of a release that is deployed as wanted, and put it right if the plan says so.

    :raises OciError: when the cluster does not let it be found or put right.
    """
    if plan.last is None:
        return
    release = shop.release(plan.last)
    found = [drift for drift in _find(shop.api, places, plan, release) if drift is not None]
    if not found:
        return
    plan.drift = [drift.as_result() for drift in found]
    plan.reason = DETECTED
    if plan.spec.drift == "warn":
        names = ", ".join(f"{drift.place} ({drift.change})" for drift in found[:10])
        plan.warnings.append(f"The release {plan.key} has drifted: {names}.")
        return
    plan.changed = True
    plan.reason = CORRECTED
    if shop.want_diff:
        headers = {"before_header": f"{plan.key} (drifted)", "after_header": f"{plan.key} (as deployed)"}
        before, after = zip(*((drift.before, drift.after) for drift in found))
        texts = ["".join(shop.shown_object(each) for each in side if each) for side in (before, after)]
        plan.diff.append({**headers, "before": texts[0], "after": texts[1]})
    if not shop.check_mode:
        is_server_side = release.get("apply_method") == "ssa"
        for drift in found:
            _correct(shop.api, drift, is_server_side)


def _find(api: KubeRest, places: Places, plan: Plan, release: Mapping[str, Any]) -> list[_Drift | None]:
    manifest = str(release.get("manifest") or "")
    return [_of_object(api, places, plan, each) for each in documents(manifest, f"the release {plan.key}")]


def _of_object(api: KubeRest, places: Places, plan: Plan, document: Mapping[str, Any]) -> _Drift | None:
    place = places.find(document, plan.key.namespace)
    marks = {**document["metadata"].get("annotations", {}), **document["metadata"].get("labels", {})}
    if marks.get(_EXEMPT) == "disabled":
        return None
    wanted = merge(document, _helm_metadata(plan, place))
    live = api.find(place.path)
    if live is None:
        return _Drift(place, MISSING, [], wanted, {}, document)
    would_be = api.apply(place.path, wanted, ASKING_MANAGER, force=True, dry_run=True)
    ignored = [path for rule in plan.spec.drift_ignore if _concerns(rule, place) for path in rule.paths]
    before, after = (without(comparable(each), ignored) for each in (live, would_be))
    paths = list(differences(before, after))
    return _Drift(place, CHANGED, paths, wanted, before, after) if paths else None


def _concerns(rule: DriftRule, place: Place) -> bool:
    return rule.kind in ("", place.kind) and rule.name in ("", place.name)


def _helm_metadata(plan: Plan, place: Place) -> dict[str, Any]:
    """What Helm puts on each object (pkg/action/validate.go, ``setMetadataVisitor``)."""
    annotations = {"meta.helm.sh/release-name": plan.key.name, "meta.helm.sh/release-namespace": plan.key.namespace}
    metadata: dict[str, Any] = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": annotations}
    if place.namespace:
        metadata["namespace"] = place.namespace
    return {"metadata": metadata}


def _correct(api: KubeRest, drift: _Drift, is_server_side: bool) -> None:
    """Put an object right in the way that Helm applied it, so that its next upgrade finds no other manager."""
    if is_server_side:
        api.apply(drift.place.path, drift.wanted, HELM_MANAGER, force=True)
    elif drift.change == MISSING:
        api.create(drift.place.collection, drift.wanted, HELM_MANAGER)
    else:
        api.merge(drift.place.path, merge_patch(drift.before, drift.after), HELM_MANAGER)
