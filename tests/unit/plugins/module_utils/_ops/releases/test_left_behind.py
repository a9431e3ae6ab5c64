# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that failed revisions have left: which are looked for, and which of those that are there are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ClusterError, InvalidContent
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import Revision
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import ObjectLocation, UnknownKind
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases import left_behind
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.left_behind import (
    collect_failed,
    note_left_behind,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import ReleaseKey, ReleaseSpec

KEY = ReleaseKey("ns", "one")
OWN = {"meta.helm.sh/release-name": "one", "meta.helm.sh/release-namespace": "ns"}


class Context:
    """Revisions by number, as status and names of ConfigMaps; and objects that are in the cluster."""

    def __init__(self, revisions: Mapping[int, tuple[str, str]], **live: Mapping[str, Any]) -> None:
        self._revisions = revisions
        self._live = live
        self.read: list[int] = []
        self.api = self.places = self
        self.trouble: Exception | None = None
        self.latest = max(revisions)

    def revisions(self, _key: ReleaseKey) -> list[Revision]:
        numbers = [each for each in sorted(self._revisions, reverse=True) if each <= self.latest]
        return [Revision("ns", "one", number, self._revisions[number][0], "", {}) for number in numbers]

    def release(self, revision: Revision) -> dict[str, Any]:
        self.read.append(revision.number)
        status, names = self._revisions[revision.number]
        text = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {0}}}}}"
        return {
            "namespace": "ns",
            "info": {"status": status},
            "manifest": "\n---\n".join(text.format(name) for name in names.split()),
        }

    def api_of(self, _key: ReleaseKey) -> Context:
        return self

    def find(self, where: Any, namespace: str = "") -> Any:
        if isinstance(where, str):
            if self.trouble:
                raise self.trouble
            found = self._live.get(where)
            return None if found is None else {"metadata": {"annotations": OWN, **found}}
        name = where["metadata"]["name"]
        if name == "Bad":
            raise InvalidContent("no name")
        if name == "unknown":
            raise UnknownKind("no kind")
        return ObjectLocation(name, "", "ConfigMap", namespace, name)

    def masked(self, words: str) -> str:
        return words.replace("secret", "***")


def looked(context: Any, before: int, after: int | None) -> ReleasePlan:
    """The plan of a release whose last revision was ``before``, and is ``after``; None when it was removed."""
    plan = ReleasePlan(ReleaseSpec(KEY))
    revisions = {each.number: each for each in context.revisions(KEY)}
    found: dict[int, Mapping[str, Any]] = {}
    plan.last = revisions[before]
    context.latest = before
    collect_failed(context, plan, found)
    plan.last = revisions[after] if after else None
    note_left_behind(context, plan, found)
    return plan


def names(plan: ReleasePlan) -> list[str]:
    return [each["name"] for each in plan.left_behind]


HISTORY = {1: ("deployed", "old a b"), 2: ("deployed", "a b"), 3: ("failed", "a new Bad unknown"), 4: ("deployed", "a")}
ALL: dict[str, Mapping[str, Any]] = {"old": {}, "a": {}, "b": {}, "new": {}}


def test_what_a_failed_revision_added() -> None:
    context = Context(HISTORY, **ALL)
    plan = looked(context, 3, 4)
    # b was to be removed by both; what an earlier one had is not looked for
    assert names(plan) == ["new", "b"] and context.read == [3, 2, 4]
    assert plan.left_behind[0] == {"kind": "ConfigMap", "namespace": "ns", "name": "new"}
    (warning,) = plan.warnings
    assert "ns/one" in warning and "ConfigMap ns/new, ConfigMap ns/b." in warning
    assert names(looked(Context(HISTORY), 3, 4)) == []


def test_after_a_success_nothing_is_asked() -> None:
    context = Context(HISTORY, **ALL)
    assert looked(context, 2, 4).left_behind == [] and context.read == []
    context = Context({1: ("uninstalled", "a"), 2: ("deployed", "b")}, **ALL)
    assert looked(context, 1, 2).left_behind == [] and context.read == []


def test_removals() -> None:
    assert names(looked(Context(HISTORY, **ALL), 3, None)) == ["a", "new", "b"]
    history = {**HISTORY, 4: ("uninstalled", "a")}
    assert names(looked(Context(history, **ALL), 3, 4)) == ["a", "new", "b"]


def test_what_the_next_upgrade_removes_is_not_left() -> None:
    history = {1: ("deployed", "a b"), 2: ("failed", "a new"), 3: ("failed", "a")}
    assert names(looked(Context(history, **ALL), 2, 3)) == ["new"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {}},
        {"annotations": {**OWN, "meta.helm.sh/release-name": "two"}},
        {"annotations": {**OWN, "meta.helm.sh/release-namespace": "other"}},
        {"annotations": {**OWN, "helm.sh/resource-policy": "keep"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
)
def test_what_is_there_on_purpose(metadata: dict[str, Any]) -> None:
    plan = looked(Context(HISTORY, new=metadata), 3, 4)
    assert plan.left_behind == [] and plan.warnings == []


def test_bounds_and_troubles(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(HISTORY, **ALL)
    context.trouble = ClusterError("the secret is refused")
    plan = looked(context, 3, 4)
    assert plan.left_behind == [] and plan.warnings[0].endswith("is not known: the *** is refused")
    monkeypatch.setattr(left_behind, "MAX_NAMED", 1)
    assert "ConfigMap ns/new and 1 more." in looked(Context(HISTORY, **ALL), 3, 4).warnings[0]
    monkeypatch.setattr(left_behind, "MAX_OBJECTS", 2)
    plan = looked(Context(HISTORY, **ALL), 3, 4)
    assert names(plan) == ["new"] and "too many" in plan.warnings[0]
    monkeypatch.setattr(left_behind, "MAX_REVISIONS", 1)
    context = Context(HISTORY, **ALL)
    looked(context, 3, 4)
    assert context.read == [3, 4]
