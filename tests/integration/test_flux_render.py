# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A HelmRelease, rendered by Flux's own code, and the release that the table of the guide makes of it."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, publish_chart, stored_release
from support.tools import Tools

pytestmark = pytest.mark.once

TEMPLATES = {
    "templates__web.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  namespace: {{ .Release.Namespace }}
  labels: {app: web, answer: "yes"}
  annotations: {since: 2024-01-01, number: 1_000}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: {{ .Values.image | quote }}
          env: {{- toYaml .Values.env | nindent 12 }}
        - {name: side, image: "example.com/side:1"}
""",
    "templates__secret.yaml": """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-secret"}
stringData: {password: {{ .Values.database.password | quote }}, user: {{ .Values.database.user | quote }}}
""",
    "templates__list.yaml": """\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: listed, annotations: {}}, data: {text: "a: b"}}
""",
    "templates__hook.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
data: {edition: first}
""",
}
PATCHES: list[dict[str, Any]] = [
    {
        "patch": """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: any}
spec:
  template:
    spec:
      containers:
        - name: web
          env: [{name: ADDED, value: "1"}]
        - {name: side, $patch: delete}
""",
        "target": {"kind": "Deployment", "labelSelector": "app=web"},
    },
    {
        "patch": '[{"op": "add", "path": "/data/more", "value": "patched"}]',
        "target": {"kind": "ConfigMap", "name": "listed|hook", "version": "v1"},
    },
]
SHARED = "replicas: 2\nenv: [{name: SHARED, value: '1'}]\ndatabase: {user: shared}\n"
PASSWORD = base64.b64encode(b"s3cr3t, with a comma").decode()
OBJECTS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shared"},
        "data": {"values.yaml": SHARED, "user": "of-map"},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret"}, "data": {"password": PASSWORD}},
]
VALUES = {"image": "example.com/web:1.0", "database": {"pool": 5}}


def helm_release(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "interval": "10m",
            "timeout": "20s",
            "releaseName": "one",
            "chartRef": {"kind": "OCIRepository", "name": "demo"},
            "maxHistory": 7,
            "install": {"remediation": {"retries": 1}, "disableWait": True},
            "upgrade": {
                "remediation": {"retries": 2, "strategy": "rollback"},
                "disableWait": True,
                "cleanupOnFail": True,
            },
            "driftDetection": {
                "mode": "enabled",
                "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}],
            },
            "values": VALUES,
            "valuesFrom": [
                {"kind": "ConfigMap", "name": "shared"},
                {"kind": "ConfigMap", "name": "shared", "valuesKey": "user", "targetPath": "database.user"},
                {"kind": "ConfigMap", "name": "none", "optional": True},
                {
                    "kind": "Secret",
                    "name": "secret",
                    "valuesKey": "password",
                    "targetPath": "database.password",
                    "literal": True,
                },
            ],
            "commonMetadata": {"labels": {"team": "blue", "number": "5"}, "annotations": {"note": "a: b"}},
            "postRenderers": [
                {
                    "kustomize": {
                        "patches": PATCHES,
                        "images": [{"name": "example.com/web", "newName": "example.org/web", "newTag": "2.0"}],
                    }
                }
            ],
            "postRenderStrategy": "combined",
        },
    }  # fmt: skip


def translated(namespace: str) -> dict[str, Any]:
    """The same in the options of the module, as the table in the guide says."""
    return {
        "name": "one",
        "namespace": namespace,
        "source": "demo",
        "timeout": "20s",
        "history_max": 7,
        "wait": False,
        "install": {"retries": 1, "remediation": "uninstall"},
        "upgrade": {"retries": 2, "remediation": "rollback"},
        "cleanup_on_fail": True,
        "drift": "correct",
        "drift_ignore": [{"paths": ["/spec/replicas"], "kind": "Deployment"}],
        "values": VALUES,
        "values_from": [
            {"kind": "ConfigMap", "name": "shared"},
            {"kind": "ConfigMap", "name": "shared", "values_key": "user", "target_path": "database.user"},
            {"kind": "ConfigMap", "name": "none", "optional": True},
            {
                "kind": "Secret",
                "name": "secret",
                "values_key": "password",
                "target_path": "database.password",
                "literal": True,
            },
        ],
        "common_metadata": {"labels": {"team": "blue", "number": 5}, "annotations": {"note": "a: b"}},
        "patches": [
            {**PATCHES[0], "target": {"kind": "Deployment", "label_selector": "app=web"}},
            PATCHES[1],
        ],
        "images": [{"name": "example.com/web", "new_name": "example.org/web", "new_tag": "2.0"}],
        "post_render_strategy": "combined",
    }  # fmt: skip


def objects(*texts: str) -> list[dict[str, Any]]:
    """The objects in manifests, without the labels by which Flux finds its own."""
    found = [each for text in texts for each in yaml.safe_load_all(text) if each]
    for each in found:
        labels = each["metadata"].get("labels") or {}
        each["metadata"]["labels"] = {
            key: value for key, value in labels.items() if not key.startswith("helm.toolkit.fluxcd.io/")
        }
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


def test_the_manifests_are_those_of_flux(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, tmp_path: Path
) -> None:
    role = dataclasses.replace(role, helm=tools["helm4"])
    archive = chart(values="replicas: 1\nenv: []\nimage: none\ndatabase: {user: own, password: ''}\n", **TEMPLATES)
    publish_chart(publisher, "1.0.0", archive)
    (tmp_path / "chart.tgz").write_bytes(archive)
    (tmp_path / "release.yaml").write_text(json.dumps(helm_release(namespace)))
    placed = [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in OBJECTS]
    (tmp_path / "objects.yaml").write_text("---\n".join(map(yaml.safe_dump, placed)))
    files = [tmp_path / name for name in ("release.yaml", "chart.tgz", "objects.yaml")]
    flux = json.loads(tools.run("flux-render", *files).stdout)

    role.cluster.apply(*placed)
    run = role({"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}, [translated(namespace)])
    assert run.releases["one"]["reason"] == "InstallSucceeded", run.message
    stored = stored_release(role.cluster, namespace, "one", 1)
    assert (stored["name"], stored["namespace"]) == (flux["name"], flux["namespace"]) == ("one", namespace)
    wanted = objects(flux["manifest"])
    assert objects(stored["manifest"]) == wanted
    assert [each["kind"] for each in wanted] == ["ConfigMap", "ConfigMap", "Deployment", "Secret"]
    hooks = [objects(*(each["manifest"] for each in found["hooks"])) for found in (stored, flux)]
    assert hooks[0] == hooks[1]
    assert [each["data"] for each in hooks[0]] == [{"edition": "first", "more": "patched"}]
    deployment = wanted[2]
    assert [each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]] == ["web"]
    assert wanted[3]["stringData"] == {"password": "s3cr3t, with a comma", "user": "of-map"}
