# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode: what the cluster lacks now and will have by then, since something else in the same run makes it.

What nothing in the run makes will be missing, so the release fails. What another release makes cannot be checked before
it is deployed: that is a warning.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..._errors import OciError
from .plan import ReleasePlan, Thing, Unmet
from .refusals import not_ready
from .spec import ReleaseKey

CRD = "CustomResourceDefinition"
# where client-side apply keeps what was applied last
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
DEFAULT_NAMESPACE = "default"


class Foresight:
    """What earlier tasks and the releases of this run make: namespaces, kinds, ConfigMaps and Secrets. Thread-safe.

    ``planned`` are objects that an earlier task applies, unless it is in check mode, too.
    """

    def __init__(self, planned: Sequence[Mapping[str, Any]] = ()) -> None:
        self._guard = threading.Lock()
        self._makers: dict[Thing, set[ReleaseKey | None]] = {}
        self._planned: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        planned = [each for document in planned for each in _members(document)]
        self.add(planned, None)
        self._granted = {user for each in planned for user in _subjects(each)}
        for each in planned:
            metadata = each.get("metadata")
            if each.get("kind") in ("ConfigMap", "Secret") and isinstance(metadata, Mapping):
                namespace = str(metadata.get("namespace") or DEFAULT_NAMESPACE)
                self._planned[str(each["kind"]), namespace, str(metadata.get("name"))] = each

    def add(self, documents: Iterable[Mapping[str, Any]], maker: ReleaseKey | None) -> None:
        """Note what a release makes; None stands for an earlier task."""
        with self._guard:
            for each in documents:
                for thing in _made(each):
                    self._makers.setdefault(thing, set()).add(maker)

    def add_namespace(self, name: str, maker: ReleaseKey) -> None:
        """Note that a release creates its namespace."""
        with self._guard:
            self._makers.setdefault(("", name), set()).add(maker)

    def makers(self, thing: Thing) -> set[ReleaseKey | None]:
        """Who makes something; None stands for an earlier task."""
        with self._guard:
            return set(self._makers.get(thing, ()))

    def may_grant(self, user: str) -> bool:
        """Return whether an earlier task gives a service account rights, which it may lack until then."""
        namespace = user.split(":")[2] if user.count(":") == 3 else ""
        names = {user, "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"}
        return bool(namespace) and not names.isdisjoint(self._granted)

    def as_planned(self, place: tuple[str, str, str], found: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A ConfigMap or Secret as it will be, out of what it is; None when there will be none.

        :param place: kind, namespace and name.
        """
        planned = self._planned.get(place)
        if planned is None:
            return found
        own = _data(planned)
        data = {key: value for key, value in _data(found or {}).items() if key not in _applied_before(found or {})}
        return {**(found or {}), "data": {**data, **own}}


def settle(foresight: Foresight, plans: Mapping[ReleaseKey, ReleasePlan]) -> None:
    """Decide about what predicted releases lack: fail those for which nothing makes it, and warn about the others.

    Releases that depend on one that fails now fail, too.
    """
    # what a release needs comes before it
    ordered = sorted(plans.values(), key=lambda plan: len(_needs(plans, plan.key)))
    is_new = True
    while is_new:
        is_new = False
        for plan in ordered:
            error = None if plan.failure is not None or not plan.has_work else _lack(foresight, plans, plan)
            if error is not None:
                plan.fail(error)
                is_new = True
    for plan in plans.values():
        if plan.failure is None:
            plan.warnings += [
                _warning(plans, plan, unmet, _makers(foresight, plans, plan, unmet)) for unmet in plan.unmet
            ]


def _lack(foresight: Foresight, plans: Mapping[ReleaseKey, ReleasePlan], plan: ReleasePlan) -> OciError | None:
    for need in plan.spec.depends_on if plan.spec.present else ():
        if need in plans and plans[need].failure is not None:
            return not_ready(plan.key, f"{need}, which failed")
    for unmet in plan.unmet:
        if not _makers(foresight, plans, plan, unmet):
            return unmet.error
    return None


def _makers(
    foresight: Foresight, plans: Mapping[ReleaseKey, ReleasePlan], plan: ReleasePlan, unmet: Unmet
) -> set[ReleaseKey | None]:
    """Who makes something before a release needs it, or may do so."""
    return {
        maker
        for maker in foresight.makers(unmet.thing)
        if maker is None or (plans[maker].failure is None and plan.key not in _needs(plans, maker))
    }


def _needs(plans: Mapping[ReleaseKey, ReleasePlan], key: ReleaseKey) -> set[ReleaseKey]:
    """The releases that come before one, directly and by way of others."""
    found: set[ReleaseKey] = set()
    pending = [key]
    while pending:
        plan = plans.get(pending.pop())
        for need in plan.spec.depends_on if plan is not None else ():
            if need not in found:
                found.add(need)
                pending.append(need)
    return found


def _warning(
    plans: Mapping[ReleaseKey, ReleasePlan], plan: ReleasePlan, unmet: Unmet, makers: set[ReleaseKey | None]
) -> str:
    said = f"Whether the release {plan.key} can be deployed cannot be checked before {unmet} is there"
    before = _needs(plans, plan.key)
    others = sorted(maker for maker in makers if maker is not None)
    if None in makers or plan.key in makers:
        return f"{said}."
    if before.intersection(others):
        return f"{said}, which the release {sorted(before.intersection(others))[0]} makes."
    return (
        f"{said}. The release {others[0]} makes it, and nothing says that it comes first: name it in 'depends_on' of "
        f"{plan.key}."
    )


def _made(document: Mapping[str, Any]) -> list[Thing]:
    kind, metadata, spec = document.get("kind"), document.get("metadata"), document.get("spec")
    if kind == "Namespace" and isinstance(metadata, Mapping):
        return [("", str(metadata.get("name")))]
    if kind != CRD or not isinstance(spec, Mapping) or not isinstance(spec.get("names"), Mapping):
        return []
    versions = spec.get("versions")
    return [
        (f"{spec.get('group')}/{each.get('name')}", str(spec["names"].get("kind")))
        for each in (versions if isinstance(versions, list) else [])
        if isinstance(each, Mapping) and each.get("served")
    ]


def _members(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of a list of Kubernetes; an object that is none stands for itself."""
    items = document.get("items")
    if not str(document.get("kind")).endswith("List") or not isinstance(items, list):
        return [document]
    # those of a ConfigMapList may leave their kind out
    kind = str(document.get("kind"))[: -len("List")]
    return [{"kind": kind, **each} for each in items if isinstance(each, Mapping)]


def _subjects(document: Mapping[str, Any]) -> set[str]:
    """The names of the users and groups that a binding gives rights to."""
    subjects = document.get("subjects")
    if document.get("kind") not in ("RoleBinding", "ClusterRoleBinding") or not isinstance(subjects, list):
        return set()
    found = set()
    for each in subjects:
        if isinstance(each, Mapping):
            name = str(each.get("name"))
            is_account = each.get("kind") == "ServiceAccount"
            found.add(f"system:serviceaccount:{each.get('namespace')}:{name}" if is_account else name)
    return found


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    """The ``data`` of a ConfigMap or Secret, with that of ``stringData`` in it."""
    data, texts = document.get("data"), document.get("stringData")
    found = dict(data) if isinstance(data, Mapping) else {}
    if isinstance(texts, Mapping):
        found.update({key: base64.b64encode(str(text).encode()).decode("ascii") for key, text in texts.items()})
    return found


def _applied_before(document: Mapping[str, Any]) -> set[str]:
    """The keys that apply takes away, where they are not applied again."""
    metadata = document.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    text = annotations.get(LAST_APPLIED) if isinstance(annotations, Mapping) else None
    try:
        return set(_data(json.loads(text))) if isinstance(text, str) else set()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return set()
