# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of objects: only what differs, and nothing that may differ."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.patches import (
    hand_over,
    json_patch,
    keep_live,
    parse_pointer,
    with_plain_secret,
    without_nulls,
)

KEYS = st.text("ab/~1", min_size=1, max_size=2)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def patched(document: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902, as far as these patches go."""
    result = {"": copy.deepcopy(document)}
    for operation in operations:
        *parents, last = ["", *parse_pointer(operation["path"])]
        node: Any = result
        for part in parents:
            node = node[int(part) if isinstance(node, list) else part]
        if isinstance(node, list):
            assert operation["op"] == "replace"
            node[int(last)] = operation["value"]
        elif operation["op"] == "remove":
            del node[last]
        else:
            assert (last in node) is (operation["op"] == "replace")
            node[last] = operation["value"]
    return result[""]


@given(OBJECTS, OBJECTS)
def test_a_patch_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    operations = list(json_patch(before, after))
    # as JSON: for Python, true is 1
    assert json.dumps(patched(before, operations), sort_keys=True) == json.dumps(after, sort_keys=True)
    assert list(json_patch(before, before)) == []


def test_only_what_differs_is_patched() -> None:
    before = {"a": {"b/c": 1, "d~e": [1, 2]}, "f": [1], "gone": 1, "flag": 1}
    after = {"a": {"b/c": 2, "d~e": [1, 3]}, "f": [1, 2], "new": {}, "flag": True}
    assert list(json_patch(before, after)) == [
        {"op": "replace", "path": "/a/b~1c", "value": 2},
        {"op": "replace", "path": "/a/d~0e/1", "value": 3},
        {"op": "replace", "path": "/f", "value": [1, 2]},
        {"op": "replace", "path": "/flag", "value": True},
        {"op": "remove", "path": "/gone"},
        {"op": "add", "path": "/new", "value": {}},
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("/", ("",)),
        ("/spec/replicas", ("spec", "replicas")),
        ("/a~1b/c~0d/0", ("a/b", "c~d", "0")),
        ("/~01", ("~1",)),
    ],
)
def test_pointers(text: str, parts: tuple[str, ...]) -> None:
    assert parse_pointer(text) == parts


@pytest.mark.parametrize("text", ["spec/replicas", "replicas", ".spec.replicas", "/a~2b", "/a~", "$.spec"])
def test_what_is_not_a_pointer_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a JSON pointer"):
        parse_pointer(text)


def test_null_says_nothing() -> None:
    manifest = {
        "metadata": {"name": "x", "annotations": None, "labels": {"a": None}},
        "data": None,
        "spec": {
            "replicas": None,
            "args": ["a", None, "b"],
            "containers": [None, {"name": "app", "env": None, "resources": {}}, None],
            "secrets": [None, None],
            "none": [],
        },
    }
    assert without_nulls(manifest) == {
        "metadata": {"name": "x", "labels": {}},
        "spec": {"args": ["a", None, "b"], "containers": [{"name": "app", "resources": {}}], "none": []},
    }
    assert manifest["data"] is None and manifest["spec"]["secrets"] == [None, None]  # type: ignore[index]


def test_secrets_as_the_server_keeps_them() -> None:
    document = {"kind": "Secret", "data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"b": "new", "c": "\u00e9"}}
    assert with_plain_secret(document) == {"kind": "Secret", "data": {"a": "QQ==", "b": "bmV3", "c": "w6k="}}
    assert with_plain_secret({"stringData": {"a": "x"}, "data": None}) == {"data": {"a": "eA=="}}
    assert with_plain_secret({"stringData": None, "data": None}) == {"stringData": None, "data": None}


def live_pod(containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    fields = {f'k:{{"name":"{each["name"]}"}}': {".": {}, "f:ports": PORTS} for each in containers}
    entry = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {"f:containers": fields}}}
    odd_key = {"fieldsV1": {"f:spec": {"f:containers": {"k:x": {}}}}}
    broken: list[Any] = [None, {"manager": "x"}, {"fieldsV1": None}, odd_key]
    return {"metadata": {"managedFields": [*broken, entry]}, "spec": {"containers": containers, **spec}}


PORTS = {'k:{"containerPort":53,"protocol":"TCP"}': {}, 'k:{"containerPort":53,"protocol":"UDP"}': {}}
CONTAINER = ("spec", "containers", "0")


def manifest_pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", "image": "a:1", **container}]}}


def test_an_ignored_field_of_a_list_item_stays_wherever_the_item_stands() -> None:
    live = live_pod([{"name": "proxy", "image": "p:1"}, {"name": "app", "image": "a:9", "args": ["x"]}])
    asked = keep_live(manifest_pod(args=["y"]), live, [(*CONTAINER, "image")])
    assert asked == {"spec": {"containers": [{"name": "app", "image": "a:9", "args": ["y"]}]}}


def test_an_ignored_field_that_is_not_there_is_not_asked_for() -> None:
    live = live_pod([{"name": "app", "image": "a:9"}])
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    asked = keep_live(manifest_pod(resources=limits), live, [(*CONTAINER, "resources", "limits", "cpu")])
    assert asked == manifest_pod(resources={"limits": {"memory": "1Gi"}})
    assert keep_live(manifest_pod(resources=limits), live, [(*CONTAINER, "resources")]) == manifest_pod()


def test_a_missing_list_item_is_asked_for_as_a_whole() -> None:
    live = live_pod([{"name": "other", "image": "o:1"}])
    assert keep_live(manifest_pod(), live, [(*CONTAINER, "image")]) == manifest_pod()
    # unless the item itself is ignored
    assert keep_live(manifest_pod(), live, [CONTAINER]) == {"spec": {"containers": []}}


def test_keys_that_the_server_completes() -> None:
    ports = [{"containerPort": 53, "protocol": "UDP", "name": "u"}, {"containerPort": 53, "name": "t"}]
    found = [{"containerPort": 53, "protocol": "TCP", "name": "edited"}, {**ports[0]}]
    live = live_pod([{"name": "app", "image": "a:1", "ports": found}])
    asked = keep_live(manifest_pod(ports=ports), live, [(*CONTAINER, "ports", "1", "name")])
    assert asked["spec"]["containers"][0]["ports"] == [ports[0], {"containerPort": 53, "name": "edited"}]


@pytest.mark.parametrize(
    ("wanted", "found", "pointer", "asked"),
    [
        # lists without keys: positions
        ({"args": ["a", "b"]}, {"args": ["a", "x"]}, "/args/1", {"args": ["a", "x"]}),
        ({"args": ["a", "b"]}, {"args": ["a", "b", "c"]}, "/args/2", {"args": ["a", "b", "c"]}),
        ({"args": ["a", "b"]}, {"args": ["a"]}, "/args/1", {"args": ["a"]}),
        ({"args": ["a"]}, {"args": ["x", "y"]}, "/args/7", {"args": ["a"]}),
        ({"args": ["a"]}, {}, "/args/0", {"args": []}),
        ({"rules": [{"host": "a", "weight": 1}]}, {"rules": [{"host": "b", "weight": 5}]}, "/rules/0/weight",
         {"rules": [{"host": "a", "weight": 5}]}),
        ({"a": [1, 2, 3]}, {"a": []}, "/a/0", {"a": [2, 3]}),
        # atomic maps: the live member has to be part of the whole
        ({"map": {"a": "b"}}, {"map": {"a": "x", "c": "d"}}, "/map/c", {"map": {"a": "b", "c": "d"}}),
        ({"whole": {}}, {"whole": {"below": {"deep": 1, "other": 2}}}, "/whole/below/deep",
         {"whole": {"below": {"deep": 1}}}),
        ({"whole": {}}, {"whole": {}}, "/whole/below/deep", {"whole": {}}),
        # shapes that do not meet
        ({"a": "text"}, {"a": {"b": 1}}, "/a/b", {"a": "text"}),
        ({"a": [1]}, {"a": {"0": 1}}, "/a/b", {"a": [1]}),
        ({"a": {"b": 1}}, {"a": [5]}, "/a/b", {"a": {}}),
        ({"a": 1}, {"a": 2}, "", {"a": 1}),
        ({"a": 1}, {"a": {"b": 1}}, "/a", {"a": {"b": 1}}),
        ({"a": 1}, {}, "/a", {}),
    ],
)  # fmt: skip
def test_what_is_asked_for(wanted: Any, found: Any, pointer: str, asked: Any) -> None:
    before = copy.deepcopy((wanted, found))
    for metadata in ({}, {"metadata": None}, {"metadata": {"managedFields": None}}):
        assert keep_live(wanted, {**found, **metadata}, [parse_pointer(pointer)]) == asked
    assert (wanted, found) == before


def test_several_pointers_count_in_the_manifest() -> None:
    pointers = [("a", "0"), ("a", "2"), ("a", "0"), ("a", "1")]
    assert keep_live({"a": [1, 2, 3]}, {"a": []}, pointers) == {"a": []}
    assert keep_live({"a": [1, 2, 3]}, {"a": [4]}, pointers) == {"a": [4]}


def test_owners_of_fields() -> None:
    apply = {"manager": "helm", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:a": {}, ".": {}}}}
    ours = {"manager": "us", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:b": {}}, "f:x": {}}}
    status = {**ours, "subresource": "status"}
    entries = [status, apply, ours]
    assert hand_over(entries, "us", "helm") == [
        status,
        {**apply, "fieldsV1": {"f:data": {"f:a": {}, ".": {}, "f:b": {}}, "f:x": {}}},
    ]
    assert entries == [status, apply, ours]
    assert hand_over([apply], "us", "helm") is None
    assert hand_over([ours], "us", "helm") is None
    assert hand_over([{**apply, "operation": "Update"}, ours], "us", "helm") is None
    assert hand_over([{**apply, "apiVersion": "v2"}, ours], "us", "helm") is None
    assert hand_over(None, "us", "helm") is None
