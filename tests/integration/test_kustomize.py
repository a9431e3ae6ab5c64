# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed manifests are compared with what kustomize itself makes of them, byte by byte.

``KUSTOMIZE_WRITE=1`` writes what kustomize says about the cases beside them, for the unit tests.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.merge_keys import (
    KINDS,
    field_of,
    type_of,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.post_rendering import PostRendering

pytestmark = pytest.mark.once

FIXTURES = Path(__file__).parents[1] / "unit/plugins/module_utils/_manifests/fixtures"
CASES: list[dict[str, Any]] = yaml.safe_load((FIXTURES / "kustomize_cases.yaml").read_text())
WORDS = {
    "label_selector": "labelSelector",
    "annotation_selector": "annotationSelector",
    "new_name": "newName",
    "new_tag": "newTag",
}


def kustomize(tools: Tools, cases: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What kustomize makes of each case: ``output``, or ``error``."""
    done = tools.run("kustomize-oracle", stdin=json.dumps([_in_its_words(each) for each in cases]))
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


def _in_its_words(node: Any) -> Any:
    if isinstance(node, dict):
        return {WORDS.get(key, key): _in_its_words(value) for key, value in node.items()}
    return [_in_its_words(each) for each in node] if isinstance(node, list) else node


def ours(case: dict[str, Any]) -> str:
    parts = [case.get(part) or {} for part in ("patches", "images", "labels", "annotations")]
    return PostRendering(*parts).render(case["manifests"].encode()).decode()


def test_cases(tools: Tools) -> None:
    wanted = kustomize(tools, CASES)
    assert [each["name"] for each, found in zip(CASES, wanted) if found.get("error")] == [], wanted
    if os.environ.get("KUSTOMIZE_WRITE"):
        found = {case["name"]: each["output"] for case, each in zip(CASES, wanted)}
        (FIXTURES / "kustomize.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for case, each in zip(CASES, wanted):
        assert ours(case) == each["output"], case["name"]


def test_random_merges(tools: Tools) -> None:
    choose = random.Random(17)
    cases = [_random_case(choose) for _each in range(300)]
    wanted = kustomize(tools, cases)
    # kustomize refuses some, for example directives that it does not know
    assert sum("error" in each for each in wanted) < 60
    for case, each in zip(cases, wanted):
        if not each.get("error"):
            assert ours(case) == each["output"], case


def _random_case(choose: random.Random) -> dict[str, Any]:
    base, patch = _deployment(choose, is_patch=False), _deployment(choose, is_patch=True)
    return {"manifests": json.dumps(base), "patches": [{"patch": json.dumps(patch)}]}


def _deployment(choose: random.Random, *, is_patch: bool) -> dict[str, Any]:
    def some(kinds: Sequence[Any], most: int = 3) -> list[Any]:
        found = [dict(choose.choice(kinds)) for _each in range(choose.randint(0, most))]
        for each in found:
            if is_patch and choose.random() < 0.15:
                each["$patch"] = choose.choice(["delete", "replace", "merge"])
        if is_patch and choose.random() < 0.08:
            found.insert(choose.randint(0, len(found)), {"$patch": choose.choice(["delete", "replace"])})
        return found

    ports = [{"containerPort": port, **more} for port in (80, 81) for more in ({}, {"protocol": "UDP"}, {"name": "x"})]
    env = [{"name": name, "value": value} for name in "ab" for value in ("1", None)]
    containers = [
        {"name": name, "image": "x", "ports": some(ports), "env": some(env), "args": ["a"][: choose.randint(0, 1)]}
        for name in "abc"
    ]
    spec = {
        "containers": some(containers),
        "initContainers": some(containers, 1),
        "volumes": some([{"name": name, kind: {}} for name in "ab" for kind in ("emptyDir", "configMap")]),
        "hostAliases": some([{"ip": ip, "hostnames": ["h"]} for ip in "12"]),
        "topologySpreadConstraints": some(
            [{"topologyKey": key, "whenUnsatisfiable": each} for key in "zh" for each in "ab"]
        ),
        "nodeSelector": choose.choice([None, {}, {"a": None}, {"a": "b"}]),
    }
    kept = {key: value for key, value in spec.items() if choose.random() < 0.7}
    metadata = {"name": "web", "finalizers": [choose.choice("abc") for _each in range(choose.randint(0, 3))]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": choose.choice([None, 1, 2]), "template": {"spec": kept}},
    }


def test_the_keys_of_lists_are_those_of_kustomize(tools: Tools) -> None:
    table = json.loads(tools.run("kustomize-oracle", "schema").stdout)
    known = {name for name in table["kinds"] if not name.endswith("List")}
    assert known == {f"{version} {kind}" for version, kinds in KINDS.items() for kind in kinds}

    def check(theirs: str, own: str, path: str) -> None:
        for field, text in table["types"][theirs].items():
            target, _space, keys = text.partition(" ")
            if target.endswith(("LabelSelector", "LabelSelectorRequirement")):
                # its one list has no items that are merged
                continue
            name, found = field_of(own, field)
            assert found == ({"-": ("",), "": None}.get(keys) or (tuple(keys.split()) or None)), f"{path}.{field}"
            if target:
                check(target, name, f"{path}.{field}")

    for name in known:
        version, _space, kind = name.partition(" ")
        check(table["kinds"][name], type_of(version, kind), name)
