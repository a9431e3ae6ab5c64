# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of manifests, as kustomize applies them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidOption,
    ManifestsInvalid,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.objects import ManifestObject, copied
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.patches import (
    patch_objects,
    selects,
)

CONTAINERS = [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "s:1"}]
DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "labels": {"tier": "web"}},
    "spec": {"replicas": 1, "template": {"spec": {"containers": CONTAINERS}}},
}  # fmt: skip
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"}, "spec": {"ports": [{"port": 80}]}}


def objects() -> list[ManifestObject]:
    return copied([ManifestObject(DEPLOYMENT), ManifestObject(SERVICE)])


def patched(*patches: dict[str, Any]) -> list[dict[str, Any]]:
    return [item.document for item in patch_objects(objects(), list(patches))]


def test_strategic_merge_finds_items_by_their_keys() -> None:
    patch = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: app}
    spec:
      replicas: null
      template:
        spec:
          containers:
            - name: app
              env: [{name: B, value: "2"}]
            - {name: side, $patch: delete}
          tolerations: [{key: a}]
    """
    found = patched({"patch": patch})[0]["spec"]
    assert "replicas" not in found
    containers = found["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["app"] and containers[0]["image"] == "app:1"
    assert {each["name"] for each in containers[0]["env"]} == {"A", "B"}
    assert found["template"]["spec"]["tolerations"] == [{"key": "a"}]


def test_lists_and_mappings_may_be_replaced() -> None:
    patch = {
        "metadata": {"labels": {"$patch": "replace", "b": "2"}},
        "spec": {"template": {"spec": {"containers": [{"$patch": "replace"}, {"name": "x"}], "tolerations": []}}},
    }
    name = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}}
    found = patched({"patch": {**name, **patch, "metadata": {**name["metadata"], **patch["metadata"]}}})[0]
    assert found["metadata"]["labels"] == {"b": "2"}
    assert found["spec"]["template"]["spec"] == {"containers": [{"name": "x"}], "tolerations": []}


def test_lists_of_custom_resources_are_replaced() -> None:
    items = [ManifestObject({"apiVersion": "example.com/v1", "kind": "Pool", "metadata": {"name": "a"},
                             "spec": {"containers": [{"name": "x"}]}})]  # fmt: skip
    patch = {"kind": "Pool", "spec": {"containers": [{"name": "y"}]}}
    found = patch_objects(items, [{"patch": patch, "target": {"kind": "Pool"}}])
    assert found[0].document["spec"]["containers"] == [{"name": "y"}]


def test_an_object_may_be_removed() -> None:
    found = patched({"patch": {"$patch": "delete", "kind": "Service"}, "target": {"kind": "Service"}})
    assert [each["kind"] for each in found] == ["Deployment"]


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ({"kind": "Deployment"}, {"Deployment"}),
        ({"kind": "Dep.*|Serv.*"}, {"Deployment", "Service"}),
        ({"kind": "Dep"}, set()),
        ({"name": "app"}, {"Deployment", "Service"}),
        ({"group": "apps", "version": "v1"}, {"Deployment"}),
        ({"label_selector": "tier in (web, api)"}, {"Deployment"}),
        ({"label_selector": "!tier"}, {"Service"}),
    ],
)
def test_targets(target: dict[str, str], kinds: set[str]) -> None:
    operation = {"op": "add", "path": "/metadata/annotations", "value": {"patched": "yes"}}
    found = patched({"patch": [operation], "target": target})
    assert {each["kind"] for each in found if "annotations" in each["metadata"]} == kinds


def test_identity_in_a_patch_with_a_target_changes_no_name() -> None:
    patch = {"apiVersion": "x", "kind": "y", "metadata": {"name": "not-used", "labels": {"a": "b"}}}
    found = patched({"patch": patch, "target": {"kind": "Service"}})[1]
    assert (found["kind"], found["metadata"]) == ("Service", {"name": "app", "labels": {"a": "b"}})


@pytest.mark.parametrize(
    ("operations", "wanted"),
    [
        ([{"op": "replace", "path": "/spec/replicas", "value": 3}], 3),
        ([{"op": "remove", "path": "/spec/replicas"}], None),
        ([{"op": "copy", "from": "/metadata/name", "path": "/spec/replicas"}], "app"),
        ([{"op": "test", "path": "/spec/replicas", "value": 1}], 1),
        ([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {}},
          {"op": "move", "from": "/spec/template/spec/containers/2", "path": "/spec/replicas"}], {}),
    ],
)  # fmt: skip
def test_json_patch(operations: list[dict[str, Any]], wanted: Any) -> None:
    found = patched({"patch": operations, "target": {"kind": "Deployment"}})[0]["spec"]
    assert found.get("replicas") == wanted


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        ({"patch": [{"op": "remove", "path": "/spec/none"}], "target": {"kind": "Service"}}, ManifestsInvalid),
        ({"patch": [{"op": "test", "path": "/kind", "value": "x"}], "target": {"kind": "Service"}}, ManifestsInvalid),
        ({"patch": [{"op": "odd", "path": "/kind"}], "target": {"kind": "Service"}}, ManifestsInvalid),
        ({"patch": [{"op": "add", "path": "kind", "value": 1}], "target": {"kind": "Service"}}, InvalidOption),
        ({"patch": [{"op": "remove", "path": "/kind"}]}, InvalidOption),
        ({"patch": {"kind": "Service", "metadata": {"name": "none"}}}, ManifestsInvalid),
        ({"patch": "just text"}, InvalidOption),
        ({"patch": "a: ["}, InvalidOption),
        ({"patch": {}, "target": {"kind": "("}}, InvalidOption),
        ({"patch": {}, "target": {"label_selector": "a b"}}, InvalidOption),
    ],
)
def test_what_cannot_be_applied_is_refused(patch: dict[str, Any], error: type[OciError]) -> None:
    with pytest.raises(error):
        patched(patch)


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [("", True), ("a", True), ("a=1", True), ("a==1,b!=3", True), ("a!=1", False), ("c", False), ("!c", True),
     ("a in (1,2),b notin (5)", True), ("a notin (1)", False), ("c notin (1)", True)],
)  # fmt: skip
def test_selectors(selector: str, wanted: bool) -> None:
    assert selects(selector, {"a": "1", "b": "2"}) is wanted
