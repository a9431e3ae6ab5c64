# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches, images and common metadata of releases, with every Helm that the role supports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, publish_chart, stored_release
from support.tools import Tools

pytestmark = pytest.mark.once

HELMS = ["helm310", "helm", "helm4"]

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "example.com/web:1.0", env: [{name: A, value: "1"}]}
        - {name: side, image: "example.com/side:1.0"}
"""
HOOK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
data: {edition: first}
"""
# comments and an unquoted date come out of kustomize in their own way
ODD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: odd, annotations: {}}
data: &data
  y: "yes"
  # a comment
  text: |
    one
    two
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: listed}, data: {a: "1"}}
"""
MERGE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
        - name: web
          env: [{name: B, value: "2"}]
        - {name: side, $patch: delete}
"""
HOOKS = {
    "patch": [{"op": "add", "path": "/data/edition", "value": "patched"}],
    "target": {"kind": "ConfigMap", "name": "hook"},
}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", "wait": False, **options}


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm."""
    return dataclasses.replace(role, helm=tools[request.param])


def test_every_helm_deploys_what_is_patched(
    any_helm: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path
) -> None:
    role, cluster = any_helm, any_helm.cluster
    is_4 = role.helm.endswith("helm4")
    files = {"templates__web.yaml": WEB, "templates__hook.yaml": HOOK, "templates__odd.yaml": ODD}
    publish_chart(publisher, "1.0.0", chart(**files))
    demo = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    program = tmp_path / "pro gram"
    program.write_text('#!/bin/sh\nsed "s/value: .1.*/value: \\"$1\\"}]}/"\n')
    program.chmod(0o755)
    patches = [
        {"patch": MERGE},
        {"patch": [{"op": "replace", "path": "/spec/replicas", "value": 0}], "target": {"kind": "Deployment"}},
    ]
    images = [{"name": "example.com/web", "new_name": "example.org/web", "new_tag": 2.5}]
    everything = release(
        namespace,
        post_renderer={"command": str(program), "args": ["seen"]},
        patches=[*patches, *([HOOKS] if is_4 else [])],
        images=images,
        common_metadata={"labels": {"team": "blue", "app": "all"}, "annotations": {"number": 5}},
    )
    without_program = {**everything, "post_renderer": None}
    runs = role.batch(
        demo,
        Step([everything], check=True, diff=True),
        Step([everything]),
        Step([everything]),
        Step([without_program]),
        Step([{**without_program, "images": []}], check=True, diff=True),
        Step([{**without_program, "images": []}]),
        Step([{**without_program, "images": [], "common_metadata": {"labels": {"team": "red"}}}]),
        Step([release(namespace, patches=[{"patch": {"apiVersion": "v1", "kind": "Odd", "metadata": {"name": "x"}}}])]),
        Step([release(namespace)]),
    )
    assert [run.releases["one"]["reason"] for run in runs] == [
        "NotInstalled", "InstallSucceeded", "ReleaseUpToDate", "UpgradeSucceeded", "PostRendererChanged",
        "UpgradeSucceeded", "UpgradeSucceeded", "UpgradeFailed", "UpgradeSucceeded",
    ], [run.message for run in runs]  # fmt: skip
    assert {run.releases["one"]["cause"] for run in runs[3:]} == {"PostRendererChanged"}
    assert "+      - env:" in runs[0].output and "example.org/web:2.5" in runs[0].output
    assert (
        "-        image: example.org/web:2.5" in runs[4].output
        and "+        image: example.com/web:1.0" in runs[4].output
    )
    assert "is for the Deployment x" not in runs[7].message and "Odd x of v1" in runs[7].message
    assert "Nothing was changed." in runs[7].message

    first = stored_release(cluster, namespace, "one", 1)
    manifest = first["manifest"]
    assert manifest.count("team: blue") == 4 and 'number: "5"' in manifest and "replicas: 0" in manifest
    assert 'value: "seen' in manifest or "value: seen" in manifest
    assert "name: side" not in manifest and "app: all" in manifest and "image: example.org/web:2.5" in manifest
    hooks = [each["manifest"] for each in first["hooks"]]
    assert len(hooks) == 1 and ("edition: patched" in hooks[0]) is is_4 and ("team: blue" in hooks[0]) is is_4

    # the release as it is now, without any of it
    live = cluster.get("deployment", "web", namespace)
    assert live is not None and live["metadata"]["labels"]["app"] == "web"
    assert [each["name"] for each in live["spec"]["template"]["spec"]["containers"]] == ["web", "side"]


def test_hooks_are_left_alone_or_patched(any_helm: RoleRunner, namespace: str, publisher: Publisher) -> None:
    role = any_helm
    is_4 = role.helm.endswith("helm4")
    publish_chart(publisher, "1.0.0", chart(**{"templates__hook.yaml": HOOK}))
    demo = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    metadata = {"common_metadata": {"labels": {"team": "blue"}}}
    delete = {"patch": {"$patch": "delete", "kind": "ConfigMap"}, "target": {"kind": ".*"}}
    runs = role.batch(
        demo,
        Step([release(namespace, **metadata, post_render_strategy="nohooks")]),
        Step([release(namespace, "both", **metadata, post_render_strategy="combined")]),
        # nothing is left of it
        Step([release(namespace, "none", patches=[delete])]),
        Step([release(namespace, "none", patches=[delete], drift="warn")]),
    )
    assert [run.releases["one"]["reason"] for run in runs[:1]] == ["InstallSucceeded"], runs[0].message
    first = stored_release(role.cluster, namespace, "one", 1)
    assert "team: blue" in first["manifest"] and "team: blue" not in first["hooks"][0]["manifest"]
    if is_4:
        both = stored_release(role.cluster, namespace, "both", 1)
        assert "team: blue" in both["manifest"] and "team: blue" in both["hooks"][0]["manifest"]
    else:
        assert "post-rendering of hooks" in runs[1].message
    assert [run.message for run in runs[2:]] == ["", ""]
    assert [run.changed for run in runs[2:]] == [True, False]


def test_drift_is_compared_with_what_is_patched(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart(**{"templates__odd.yaml": ODD}))
    demo = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    patch = {"patch": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}, "data": {"y": "patched"}}}
    one = release(namespace, patches=[patch], common_metadata={"labels": {"team": "blue"}}, drift="correct")
    assert role(demo, [one]).changed
    for data, labels in ({"y": "by hand"}, {}), ({}, {"team": "none"}):
        by_hand = json.dumps({"data": data, "metadata": {"labels": labels}})
        role.cluster.kubectl("patch", "configmap", "odd", "--namespace", namespace, "--type=merge", "--patch", by_hand)
        run = role(demo, [one])
        assert [each["name"] for each in run.releases["one"]["drift"]] == ["odd"]
        live = role.cluster.get("configmap", "odd", namespace)
        assert live is not None and live["data"]["y"] == "patched" and live["metadata"]["labels"]["team"] == "blue"
    assert not role(demo, [one]).changed
