# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that kubernetes.core.helm and helm have made are taken over: one upgrade, and no object is changed by it."""

from __future__ import annotations

import ast
import dataclasses
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, history, publish_chart, shown_values, stored_release
from support.tools import Tools

pytestmark = pytest.mark.once

UNIT = Path(__file__).resolve().parents[1] / "unit/test_migrate_helm.py"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example.com/web:1"}]}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: NAME.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Moved, plural: NAME}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
VALUES = {"color": "red", "nested": {"list": [1, "two"], "number": 1.5}, "when": "12:30:45", "replicas": 2}


@pytest.mark.parametrize("name", ["helm310", "helm", "helm4"])
def test_a_release_is_adopted_without_a_change_of_its_objects(
    name: str, role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, tmp_path: Path
) -> None:
    role = dataclasses.replace(role, helm=tools[name])
    plural = f"moved{namespace.rpartition('-')[2]}"
    files = {"templates__web.yaml": DEPLOYMENT, "crds__moved.yaml": CRD.replace("NAME", plural)}
    archive = chart(values="color: blue\nreplicas: 1\n", **files)
    packed = tmp_path / "demo-1.0.0.tgz"
    packed.write_bytes(archive)
    publish_chart(publisher, "1.0.0", archive)
    own_values = tmp_path / "own.yaml"
    own_values.write_text("from_file: true\ncolor: green\n")
    task = {
        "kubeconfig": str(role.cluster.kubeconfig),
        "binary_path": role.helm,
        "name": "one",
        "release_namespace": namespace,
        "chart_ref": str(packed),
        "values": VALUES,
        "values_files": [str(own_values)],
        "history_max": 5,
        "skip_crds": True,
    }
    done = role.ansible.task("kubernetes.core.helm", **task)
    assert done.changed, done.get("msg")
    before = objects(role, namespace)

    # the same, by the table of the guide
    release: dict[str, Any] = {
        "name": "one",
        "namespace": namespace,
        "source": "demo",
        "values": VALUES,
        "values_files": [str(own_values)],
        "history_max": 5,
        "crds": "Skip",
        "wait": False,
    }
    sources = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    preview = role(sources, [release], check=True, diff=True)
    assert (preview.message, preview.releases["one"]["cause"]) == ("", "Unmanaged")
    assert "diff" not in preview.last or not preview.last["diff"]
    taken = role(sources, [release])
    assert (taken.actions, taken.releases["one"]["cause"]) == ({"one": "upgrade"}, "Unmanaged")
    assert objects(role, namespace) == before
    assert history(role.cluster, namespace, "one")[-1] == (2, "deployed")
    first, second = (stored_release(role.cluster, namespace, "one", number) for number in (1, 2))
    assert first["manifest"] == second["manifest"] and first["config"] == second["config"]
    assert shown_values(role.cluster, namespace, "one") == {**VALUES, "from_file": True}
    assert role.cluster.get("crd", f"{plural}.example.com") is None
    assert not role(sources, [release]).changed

    # and back again
    done = role.ansible.task("kubernetes.core.helm", **task)
    assert not done.failed, done.get("msg")
    assert objects(role, namespace) == before


def objects(role: RoleRunner, namespace: str) -> dict[str, Any]:
    """Who each object is, and what it says, without who wrote it when."""
    found = {}
    for kind in ("deployment", "configmap"):
        for each in role.cluster.list(kind, namespace, "app.kubernetes.io/managed-by=Helm"):
            metadata = each["metadata"]
            identity = {name: metadata.get(name) for name in ("uid", "generation", "labels", "annotations")}
            # that its controller gives it some time after it was made
            identity["annotations"].pop("deployment.kubernetes.io/revision", None)
            found[f"{kind}/{metadata['name']}"] = {**identity, "spec": each.get("spec"), "data": each.get("data")}
    assert len(found) == 2
    return found


def test_the_page_knows_every_option(role: RoleRunner) -> None:
    """The list that the unit test of the page keeps is that of the collection that is installed."""
    core = role.ansible.collections / "ansible_collections/kubernetes/core/plugins"
    options = {
        **documentation(core / "modules/helm.py"),
        **documentation(core / "doc_fragments/helm_common_options.py"),
    }
    names = []
    for name, option in options.items():
        below = option.get("suboptions")
        names += [f"{name}[].{each}" for each in below] if below else [name]
        names += option.get("aliases") or []
    assert sorted(names) == sorted(runpy.run_path(str(UNIT))["OPTIONS"].split())


def documentation(path: Path) -> dict[str, Any]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            options: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return options
    raise AssertionError(path)
