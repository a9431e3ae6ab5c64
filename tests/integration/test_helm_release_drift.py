# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift on a real API server: what is put right, what is left alone, and what is said when that is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, edition, history, publish_chart, stored_release
from support.kube_api import KubeCluster
from support.tools import Tools

pytestmark = pytest.mark.once

HELMS = ["helm310", "helm", "helm4"]

# Nulls and empty mappings, as templates leave them behind; quantities and ports in a form that the API completes.
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  annotations:
  labels: {}
spec:
  replicas: {{ if not .Values.unset }}{{ .Values.replicas | default 1 }}{{ end }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
      annotations:
    spec:
      nodeSelector: {disk: fast}
      securityContext:
      containers:
        - name: app
          image: example.com/app:IMAGE
          args: [--serve, --verbose]
          env:
            - {name: FIRST, value: "1"}
            - {name: SECOND, value: "2"}
          ports:
            - {name: dns, containerPort: 53, protocol: UDP}
            - {name: dns-tcp, containerPort: 53}
          resources:
            limits: {cpu: 1000m, memory: 1024Mi}
          livenessProbe:
        - name: helper
          image: example.com/helper:1
      volumes:
---
apiVersion: v1
kind: List
items: []
---
# nothing is left of this one
---
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}", labels: }
data:
stringData: {password: "hidden-PASSWORD"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "{{ .Release.Namespace }}-{{ .Release.Name }}", namespace: ignored, annotations: }
rules:
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: "{{ .Release.Name }}-hook"
  annotations: {helm.sh/hook: "post-install,post-upgrade"}
"""
APP = "/spec/template/spec/containers/0"


def source(publisher: Publisher, tag: str = "1.0.0") -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True}


def release(namespace: str, name: str, *ignored: str, **options: Any) -> dict[str, Any]:
    rules = {"drift_ignore": [{"kind": "Deployment", "paths": list(ignored)}]} if ignored else {}
    common = {"source": "demo", "timeout": "20s", "wait": False, "drift": "correct"}
    return {"name": name, "namespace": namespace, **common, **rules, **options}


def deployment_chart(image: str = "1", **files: str) -> bytes:
    return chart(**{"templates__deployment.yaml": DEPLOYMENT.replace("IMAGE", image), **files})


def patch(cluster: KubeCluster, namespace: str, kind: str, name: str, *operations: dict[str, Any]) -> None:
    cluster.kubectl("patch", kind, name, "-n", namespace, "--type=json", "-p", json.dumps(operations))


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def get(cluster: KubeCluster, namespace: str, kind: str, name: str) -> dict[str, Any]:
    found = cluster.get(kind, name, namespace)
    assert found is not None
    return found


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def app(cluster: KubeCluster, namespace: str, name: str) -> dict[str, Any]:
    """The container of the chart."""
    containers = get(cluster, namespace, "deployment", name)["spec"]["template"]["spec"]["containers"]
    return next(each for each in containers if each["name"] == "app")


def generation(cluster: KubeCluster, namespace: str, name: str) -> int:
    number: int = get(cluster, namespace, "deployment", name)["metadata"]["generation"]
    return number


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm: 3 merges on the client, 4 applies on the server."""
    return dataclasses.replace(role, helm=tools[request.param])


def paths(entry: dict[str, Any]) -> dict[str, list[str]]:
    return {f"{each['kind']} {each['change']}": each["paths"] for each in entry["drift"]}


def test_only_what_differs_and_is_not_ignored(any_helm: RoleRunner, namespace: str, publisher: Publisher) -> None:
    role, cluster = any_helm, any_helm.cluster
    publish_chart(publisher, "1.0.0", deployment_chart())
    demo = {"demo": source(publisher)}
    releases = [
        release(namespace, "untouched"),
        release(namespace, "scaled", "/spec/replicas"),
        release(namespace, "sized", f"{APP}/resources/limits/cpu"),
        release(namespace, "imaged", f"{APP}/image", "/metadata", "/status"),
        release(namespace, "mixed", f"{APP}/image", f"{APP}/args/1", "/spec/template/spec/nodeSelector/zone"),
        release(namespace, "wholly", ""),
        release(namespace, "unset", values={"unset": True}),
    ]
    run = role(demo, releases)
    assert not run.failed, run.message
    run = role(demo, releases)
    assert not run.failed, run.message
    assert not run.changed, run.releases

    edited, other = replace(f"{APP}/image", "example.com/app:edited"), replace(f"{APP}/env/1/value", "edited")
    # an autoscaler, and somebody who edits the image
    cluster.kubectl("scale", "deployment", "scaled", "-n", namespace, "--replicas=5")
    patch(cluster, namespace, "deployment", "scaled", edited)
    cpu, memory = replace(f"{APP}/resources/limits/cpu", "3"), replace(f"{APP}/resources/limits/memory", "1Mi")
    patch(cluster, namespace, "deployment", "sized", cpu, memory)
    patch(cluster, namespace, "deployment", "imaged", edited, other)
    # a container in front of the chart's, one of the chart's missing, atomic wholes with a part that may differ
    patch(
        cluster,
        namespace,
        "deployment",
        "mixed",
        edited,
        replace(f"{APP}/args", ["--edited", "--quiet"]),
        {"op": "remove", "path": "/spec/template/spec/containers/1"},
        {"op": "add", "path": APP, "value": {"name": "injected", "image": "example.com/proxy:1"}},
        replace("/spec/template/spec/nodeSelector", {"disk": "slow", "zone": "a"}),
    )
    patch(cluster, namespace, "deployment", "wholly", edited)
    # what the manifest has as null is anybody's; hooks are not part of what is deployed
    cluster.kubectl("scale", "deployment", "unset", "-n", namespace, "--replicas=4")
    cluster.kubectl("delete", "configmap", "untouched-hook", "-n", namespace)
    untouched = generation(cluster, namespace, "untouched")

    run = role(demo, releases)
    assert not run.failed, run.message
    found = run.releases
    assert {name: each["changed"] for name, each in found.items()} == {
        "untouched": False,
        "scaled": True,
        "sized": True,
        "imaged": True,
        "mixed": True,
        "wholly": False,
        "unset": False,
    }
    assert {each["corrected"] for entry in found.values() for each in entry.get("drift", [])} == {True}
    assert paths(found["scaled"]) == {"Deployment changed": [f"{APP}/image"]}
    assert paths(found["sized"]) == {"Deployment changed": [f"{APP}/resources/limits/memory"]}
    assert paths(found["imaged"]) == {"Deployment changed": [f"{APP}/env/1/value"]}
    assert generation(cluster, namespace, "untouched") == untouched

    assert get(cluster, namespace, "deployment", "scaled")["spec"]["replicas"] == 5
    assert app(cluster, namespace, "scaled")["image"] == "example.com/app:1"
    limits = app(cluster, namespace, "sized")["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("3", "1Gi")
    imaged = app(cluster, namespace, "imaged")
    assert (imaged["image"], imaged["env"][1]["value"]) == ("example.com/app:edited", "2")
    mixed = get(cluster, namespace, "deployment", "mixed")["spec"]["template"]["spec"]
    images = {each["name"]: each["image"] for each in mixed["containers"]}
    assert images == {
        "app": "example.com/app:edited",
        "helper": "example.com/helper:1",
        "injected": "example.com/proxy:1",
    }
    assert app(cluster, namespace, "mixed")["args"] == ["--serve", "--quiet"]
    assert mixed["nodeSelector"] == {"disk": "fast", "zone": "a"}
    assert app(cluster, namespace, "wholly")["image"] == "example.com/app:edited"
    assert history(cluster, namespace, "scaled") == [(1, "deployed")]
    run = role(demo, releases)
    assert (run.failed, run.changed) == (False, False), run.message

    # Helm's next upgrade of what was put right finds nobody else in charge
    publish_chart(publisher, "1.0.0", deployment_chart("2"))
    run = role(demo, [release(namespace, "scaled", values={"replicas": 5})])
    assert not run.failed, run.message
    assert app(cluster, namespace, "scaled")["image"] == "example.com/app:2"
    assert get(cluster, namespace, "deployment", "scaled")["spec"]["replicas"] == 5


def test_what_was_removed_is_made_again(any_helm: RoleRunner, namespace: str, publisher: Publisher) -> None:
    role, cluster = any_helm, any_helm.cluster
    group = f"{namespace}.example.com"
    crd = CRD.replace("GROUP", group)
    custom = f"apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: thing, annotations: }}\nspec: {{size: 1}}\n"
    publish_chart(publisher, "1.0.0", deployment_chart(**{"templates__crd.yaml": crd}))
    demo = {"demo": source(publisher)}
    assert not role(demo, [release(namespace, "one")]).failed
    files = {"templates__crd.yaml": crd, "templates__thing.yaml": custom}
    publish_chart(publisher, "1.0.0", deployment_chart(**files))
    run = role(demo, [release(namespace, "one")])
    assert not run.failed, run.message
    run = role(demo, [release(namespace, "one")])
    assert not run.failed and not run.changed, run.message

    # a field of a custom resource, a Secret's key, what Helm marks its objects with
    cluster.kubectl("patch", f"things.{group}", "thing", "-n", namespace, "--type=merge", "-p", '{"spec": {"size": 9}}')
    patch(cluster, namespace, "secret", "one", replace("/data/password", encoded("EDITED-pass")))
    cluster.kubectl("annotate", "configmap", "one", "-n", namespace, "meta.helm.sh/release-name-")
    run = role(demo, [release(namespace, "one")], diff=True)
    assert not run.failed, run.message
    assert paths(run.releases["one"]) == {
        "Secret changed": ["/data/password"],
        "ConfigMap changed": ["/metadata/annotations/meta.helm.sh~1release-name"],
        "Thing changed": ["/spec/size"],
    }
    for shown in ("hidden-PASSWORD", "EDITED-pass"):
        assert shown not in run.output and encoded(shown) not in run.output
    assert get(cluster, namespace, f"things.{group}", "thing")["spec"]["size"] == 1

    # objects, and a kind with its objects
    cluster.kubectl("delete", "deployment,secret", "one", "-n", namespace)
    cluster.kubectl("delete", "crd", f"things.{group}")
    run = role(demo, [release(namespace, "one", drift="warn")])
    assert not run.failed and not run.changed and "Thing" in run.last["warnings"][0], run.message
    run = role(demo, [release(namespace, "one")])
    assert not run.failed, run.message
    assert {f"{each['kind']} {each['change']}" for each in run.releases["one"]["drift"] if each["corrected"]} == {
        "Deployment missing",
        "Secret missing",
        "CustomResourceDefinition missing",
        "Thing missing",
    }
    data = get(cluster, namespace, "secret", "one")["data"]
    assert base64.b64decode(data["password"]) == b"hidden-PASSWORD"
    assert get(cluster, namespace, f"things.{group}", "thing")["spec"]["size"] == 1
    run = role(demo, [release(namespace, "one")])
    assert (run.failed, run.changed) == (False, False), run.message
    cluster.kubectl("delete", "crd", f"things.{group}", "--wait=false")


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {size: {type: integer}}
"""

# an object that the API does not let be changed
FIXED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-fixed", namespace: "{{ .Release.Namespace }}"}
data: {edition: first}
---
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-fixed", annotations: {helm.sh/resource-policy: keep}}
stringData: {password: hidden-PASSWORD}
"""


def test_what_the_api_refuses(any_helm: RoleRunner, namespace: str, publisher: Publisher) -> None:
    role, cluster = any_helm, any_helm.cluster
    publish_chart(publisher, "1.0.0", chart(**{"templates__fixed.yaml": FIXED}))
    demo = {"demo": source(publisher)}
    names = ["partly", "refused", "corrected"]
    releases = [release(namespace, name) for name in names]
    assert not role(demo, releases).failed
    for name in ("partly", "refused"):
        object_name = f"{name}-fixed"
        cluster.kubectl("delete", "configmap", object_name, "-n", namespace)
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": object_name},
            "data": {"edition": "edited"},
            "immutable": True,
        }
        secret = {**document, "kind": "Secret", "data": {"password": encoded("EDITED-pass")}}
        cluster.kubectl("delete", "secret", object_name, "-n", namespace)
        cluster.apply(document, secret, namespace=namespace)
    for name in ("partly", "corrected"):
        patch(cluster, namespace, "configmap", name, replace("/data/edition", "edited"))

    run = role(demo, releases, diff=True)
    assert run.failed and run.changed
    found = run.releases
    for value in ("hidden-PASSWORD", "EDITED-pass"):
        assert value not in run.output and encoded(value) not in run.output
    assert {name: (each["failed"], each["changed"]) for name, each in found.items()} == {
        "partly": (True, True),
        "refused": (True, False),
        "corrected": (False, True),
    }
    for kind in ("ConfigMap", "Secret"):
        assert f"{kind} {namespace}/refused-fixed" in found["refused"]["msg"]
    assert "immutable" in found["refused"]["msg"] and "Nothing was changed." in found["refused"]["msg"]
    assert "Other objects were corrected." in found["partly"]["msg"]
    assert found["refused"]["reason"] == "ClusterError"
    assert {name: edition(cluster, namespace, name) for name in ("partly", "corrected")} == {
        "partly": "first",
        "corrected": "first",
    }


def test_a_failure_hides_no_result(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    """A record that Helm would not write makes the work on its release end in a way that nobody foresaw."""
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    odd = release(namespace, "odd")
    assert not role(demo, [odd]).failed
    name = "sh.helm.release.v1.odd.v1"
    record = {**stored_release(role.cluster, namespace, "odd", 1), "info": ["token-of-a-user"]}
    encoded = base64.b64encode(base64.b64encode(json.dumps(record).encode())).decode()
    labels = [f"cloudnative.artifacts/{label}-" for label in ("release-revision", "chart-digest", "values-digest")]
    patch(role.cluster, namespace, "secret", name, replace("/data/release", encoded))
    role.cluster.kubectl("label", "secret", name, "-n", namespace, *labels)
    releases = [
        release(namespace, "before"),
        {**odd, "rollback_to": f"sha256:{secrets.token_hex(32)}"},
        release(namespace, "after"),
    ]
    run = role(demo, releases)
    assert run.failed and run.changed
    assert {name: (each["failed"], each["changed"], each["revision"]) for name, each in run.releases.items()} == {
        "before": (False, True, 1),
        "odd": (True, False, 1),
        "after": (False, True, 1),
    }
    failure = run.releases["odd"]
    assert failure["reason"] == run.reason == "InternalError"
    assert "an unexpected AttributeError" in failure["msg"] and "context.py" in failure["msg"]
    assert "token-of-a-user" not in run.output and "Traceback" not in run.output


def test_pointers_that_are_none(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    run = role({"demo": source(publisher)}, [release(namespace, "one", "spec/replicas")])
    assert run.failed and run.reason == "InvalidOption"
    assert "'spec/replicas' is not a JSON pointer" in run.message and history(role.cluster, namespace, "one") == []


def test_rights(role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    """An account that may not change what differs: the release says so, and nothing claims to be changed."""
    publish_chart(publisher, "1.0.0", deployment_chart())
    demo = {"demo": source(publisher)}
    assert not role(demo, [release(namespace, "one")]).failed
    patch(role.cluster, namespace, "deployment", "one", replace(f"{APP}/image", "example.com/app:edited"))
    reader = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}
    user = role.cluster.as_user(tmp_path, namespace, "reader", [reader, leases], cluster_wide=True)
    run = dataclasses.replace(role, cluster=user)(demo, [release(namespace, "one")])
    assert run.failed and not run.changed and run.reason == "Forbidden"
    assert "Deployment" in run.message
