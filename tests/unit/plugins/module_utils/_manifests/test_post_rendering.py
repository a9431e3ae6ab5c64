# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with rendered manifests, compared with what kustomize made of the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, ManifestsInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.post_rendering import PostRendering

FIXTURES = Path(__file__).parent / "fixtures"
CASES: list[dict[str, Any]] = yaml.safe_load((FIXTURES / "kustomize_cases.yaml").read_text())
WANTED: dict[str, str] = json.loads((FIXTURES / "kustomize.json").read_text())
HOOK = """---
apiVersion: v1
kind: ConfigMap
metadata:
  name: hook
  annotations: {"helm.sh/hook": test}
  on: yes
"""
MAP = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\n"


def rendered(text: str, **parts: Any) -> str:
    return PostRendering(**parts).render(text.encode()).decode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_bytes_are_those_of_kustomize(case: dict[str, Any]) -> None:
    parts = {part: case[part] for part in ("patches", "images", "labels", "annotations") if part in case}
    assert rendered(case["manifests"], **parts) == WANTED[case["name"]]


def test_all_cases_were_shown_to_kustomize() -> None:
    assert [each["name"] for each in CASES] == list(WANTED)


def test_hooks_can_be_left_as_they_are() -> None:
    found = rendered(MAP + HOOK, labels={"a": "b"}, strategy="nohooks")
    assert found.count("a: b") == 1 and found.endswith(HOOK[4:])
    assert rendered(MAP + HOOK, labels={"a": "b"}).count("a: b") == 2


def test_nothing_may_be_left() -> None:
    patch = {"patch": {"$patch": "delete", "kind": "ConfigMap"}, "target": {"kind": "ConfigMap"}}
    assert rendered(MAP, patches=[patch]) == "" == rendered("", labels={"a": "b"})


def test_anchors_of_a_list_that_was_taken_apart() -> None:
    # Helm 4 makes documents of the items of a list, and leaves their anchors as they are
    text = f"{MAP}data: &data\n  a: '1'\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\ndata: *data\n"
    assert rendered(text, labels={"a": "b"}).count('data:\n  a: "1"\n') == 2


def test_the_digest_depends_on_everything() -> None:
    patch = {"patch": {"kind": "x"}, "target": {"kind": "y"}}
    parts: list[dict[str, Any]] = [
        {}, {"labels": {"a": "b"}}, {"annotations": {"a": "b"}}, {"labels": {"a": "c"}}, {"patches": [patch]},
        {"patches": [patch, patch]}, {"images": [{"name": "a", "new_tag": "1"}]},
        {"labels": {"a": "b"}, "strategy": "nohooks"},
    ]  # fmt: skip
    assert len({PostRendering(**each).digest() for each in parts}) == len(parts)
    assert PostRendering(strategy="nohooks").digest() == ""


@pytest.mark.parametrize(
    ("text", "parts", "error"),
    [
        ("a: [", {"labels": {"a": "b"}}, ManifestsInvalid),
        ("just text", {"labels": {"a": "b"}}, ManifestsInvalid),
        ("a: *none", {"labels": {"a": "b"}}, ManifestsInvalid),
        (f"{MAP}data: .nan", {"labels": {"a": "b"}}, ManifestsInvalid),
        (f"{MAP}data: [x]", {"patches": [{"patch": f"{MAP}data: {{a: b}}"}]}, ManifestsInvalid),
        (MAP, {"patches": [{"patch": f"{MAP}data: {{$patch: odd}}"}]}, None),
        (f"{MAP}data: {{}}", {"patches": [{"patch": f"{MAP}data: {{$patch: odd}}"}]}, ManifestsInvalid),
        (MAP, {"patches": [{"patch": f"{MAP}{HOOK}", "target": {"kind": "ConfigMap"}}]}, InvalidOption),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, parts: dict[str, Any], error: type[Exception] | None) -> None:
    if error is None:
        assert "$patch" in rendered(text, **parts)
        return
    with pytest.raises(error):
        rendered(text, **parts)
    with pytest.raises(ManifestsInvalid):
        PostRendering(labels={"a": "b"}).render(b"\xff")
