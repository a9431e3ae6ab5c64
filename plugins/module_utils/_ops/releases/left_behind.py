# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds objects that earlier revisions of a release have left in the cluster, where one of them failed.

Helm removes what the revision that it compares with has, and the new one has not. An upgrade compares with the last
revision that was deployed, so it leaves what failed ones after it had added; an uninstall removes what the last
revision has, so it leaves what a failed one would have removed; and a rollback of Helm 3.10 fails, and leaves what was
added, when an object is there that the failed revision would have removed. Helm does not look for these objects again.
They are reported here, and not removed: whether something uses them is not known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ..._errors import InvalidContent, OciError
from ..._helm.manifest_text import documents
from ..._helm.release import DEPLOYED, SUPERSEDED, UNINSTALLED
from ..._kube.objects import ObjectLocation, UnknownKind
from .context import ReleaseContext
from .plan import ReleasePlan

# Revisions whose objects are looked for, and objects that are looked for and named.
MAX_REVISIONS = 10
MAX_OBJECTS = 500
MAX_NAMED = 10

_RELEASE_NAME = "meta.helm.sh/release-name"
_RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
# the annotation with which a chart says that Helm leaves an object in the cluster
_KEEP = ("helm.sh/resource-policy", "keep")


def collect_failed(context: ReleaseContext, plan: ReleasePlan, found: dict[int, Mapping[str, Any]]) -> None:
    """Add the records of the failed revisions of a release, and of the last deployed one before them, by number.

    Nothing is added when the last revision was deployed: Helm removes what that one has too many. A record that cannot
    be read does not keep Helm from its work.
    """
    if plan.last is None or plan.last.status in (DEPLOYED, UNINSTALLED):
        return
    with contextlib.suppress(OciError):
        for revision in context.revisions(plan.key)[:MAX_REVISIONS]:
            if revision.number not in found:
                found[revision.number] = context.release(revision)
            if revision.status in (DEPLOYED, SUPERSEDED):
                return


def note_left_behind(context: ReleaseContext, plan: ReleasePlan, before: Mapping[int, Mapping[str, Any]]) -> None:
    """Add to the plan the objects of earlier revisions that are still there, and that its last revision has not.

    What cannot be read is a warning, as it must not hide how the work itself ended.

    :param before: what :func:`collect_failed` found before each step of the work.
    """
    if not before:
        return
    try:
        found = list(_left(context, plan, before))
    except OciError as exc:
        words = context.masked(exc.message)
        plan.warnings.append(f"What earlier revisions of the release {plan.key} left behind is not known: {words}")
        return
    plan.left_behind = [{"kind": each.kind, "namespace": each.namespace, "name": each.name} for each in found]
    if found:
        names = ", ".join(str(each) for each in found[:MAX_NAMED])
        more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
        plan.warnings.append(
            f"Helm left objects of earlier revisions of the release {plan.key} in the cluster: {names}{more}. "
            "Remove them, unless something uses them."
        )


def _left(
    context: ReleaseContext, plan: ReleasePlan, before: Mapping[int, Mapping[str, Any]]
) -> Iterator[ObjectLocation]:
    known = {place.path for release in _current(context, plan, before) for place in _places(context, plan, release)}
    for _number, release in sorted(before.items(), reverse=True):
        for place in _places(context, plan, release):
            if place.path in known:
                continue
            if len(known) >= MAX_OBJECTS:
                plan.warnings.append(
                    f"Objects of earlier revisions of the release {plan.key} are too many to look for."
                )
                return
            known.add(place.path)
            live = context.api_of(plan.key).find(place.path)
            if live is not None and _is_left(live, _namespace(plan, release), plan.key.name):
                yield place


def _current(
    context: ReleaseContext, plan: ReleasePlan, before: Mapping[int, Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Yield the records of the revisions whose objects are not left behind.

    After a failure, what the last deployed revision has is still removed by the next upgrade.
    """
    if plan.last is None or plan.last.status == UNINSTALLED:
        return
    yield context.release(plan.last)
    if plan.last.status != DEPLOYED:
        yield from (
            each for each in before.values() if (each.get("info") or {}).get("status") in (DEPLOYED, SUPERSEDED)
        )


def _places(context: ReleaseContext, plan: ReleasePlan, release: Mapping[str, Any]) -> Iterator[ObjectLocation]:
    """Yield the places of the objects of a revision, without those that cannot be in the cluster."""
    namespace = _namespace(plan, release)
    for document in documents(str(release.get("manifest") or ""), f"the release {plan.key}"):
        # else: it has no name, or a kind that the cluster does not know
        with contextlib.suppress(InvalidContent, UnknownKind):
            yield context.places.find(document, namespace)


def _namespace(plan: ReleasePlan, release: Mapping[str, Any]) -> str:
    """The namespace of the objects of a revision."""
    return str(release.get("namespace") or plan.spec.target)


def _is_left(live: Mapping[str, Any], namespace: str, name: str) -> bool:
    """Return whether an object belongs to the release, is not being deleted, and is not to be kept."""
    metadata = live.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    owner = (annotations.get(_RELEASE_NAMESPACE), annotations.get(_RELEASE_NAME))
    is_own = owner == (namespace, name)
    return is_own and not metadata.get("deletionTimestamp") and annotations.get(_KEEP[0]) != _KEEP[1]
