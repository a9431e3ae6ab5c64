# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that others applied, marked, refused or made: taken over, left alone and given up on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher
from support.kube_api import KubeCluster

pytestmark = pytest.mark.once

MODULE = "cloudnative.artifacts.oci_manifests"
PART_OF = "applyset.kubernetes.io/part-of"
FLUX = "kustomize.toolkit.fluxcd.io"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(*containers: str, **environment: str) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo"},
        "spec": {
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {
                "metadata": {"labels": {"app": "podinfo"}},
                "spec": {"containers": [{"name": name, "image": "podinfo", "env": env} for name in containers]},
            },
        },
    }


JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "podinfo"}]}}},
}


class Sets:
    def __init__(self, ansible: AnsibleRunner, cluster: KubeCluster, publisher: Publisher, cache: Path) -> None:
        self._ansible, self._cluster, self._publisher, self._cache = ansible, cluster, publisher, cache

    def publish(self, tag: str, *objects: dict[str, Any], **files: bytes) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).encode()
        self._publisher.publish(tag, {"objects.yaml": text, **files} if objects else files)

    def task(self, name: str, tag: str, *, check: bool = False, cluster: Any = None, **entry: Any) -> dict[str, Any]:
        module = {
            "sources": {"app": {"ref": f"{self._publisher.name}:{tag}", "insecure": True}},
            "manifests": [{"name": name, "source": "app", **entry}],
            "cache_dir": str(self._cache),
            "kubeconfig": str((cluster or self._cluster).kubeconfig),
        }
        return {"name": name, MODULE: module, "check_mode": check, "diff": True, "ignore_errors": True}

    def run(self, *tasks: dict[str, Any]) -> list[TaskResult]:
        return self._ansible.tasks(tasks)


@pytest.fixture
def sets(ansible: AnsibleRunner, cluster: KubeCluster, publisher: Publisher, tmp_path: Path) -> Sets:
    return Sets(ansible, cluster, publisher, tmp_path / "cache")


def actions(result: TaskResult) -> dict[str, str]:
    assert not result.failed, result["msg"]
    return {f"{each['kind']}/{each['name']}": each["action"] for each in result["manifests"][0]["objects"]}


def found(cluster: KubeCluster, kind: str, name: str, namespace: str) -> dict[str, Any]:
    document = cluster.get(kind, name, namespace)
    assert document is not None
    return document


def test_what_kubectl_has_set_is_taken_over(sets: Sets, cluster: KubeCluster, namespace: str) -> None:
    def apply(document: dict[str, Any], *options: str) -> None:
        cluster.kubectl("apply", "-n", namespace, *options, "-f", "-", stdin=json.dumps(document))

    apply(config_map("settings", key="1", former="1"))
    apply(config_map("shared", key="1", former="1"), "--server-side")
    apply(config_map("shared", others="1"), "--server-side", "--field-manager=others")
    apply(deployment("podinfo", "sidecar", KEPT="1", FORMER="1"))
    sets.publish("one", config_map("settings", key="1"), config_map("shared", key="1"), deployment("podinfo", KEPT="1"))
    where: dict[str, Any] = {"namespace": namespace}
    predicted, done, again = sets.run(
        sets.task("app", "one", check=True, **where),
        sets.task("app", "one", **where),
        sets.task("app", "one", drift="correct", **where),
    )
    changed = {"ConfigMap/settings", "ConfigMap/shared", "Deployment/podinfo"}
    assert actions(predicted) == actions(done) == dict.fromkeys(changed, "configured")
    # what the server fills in is in both
    assert predicted["diff"] == done["diff"]
    assert not again.changed
    settings, shared = (found(cluster, "configmap", name, namespace) for name in ("settings", "shared"))
    assert settings["data"] == {"key": "1"} and "annotations" not in settings["metadata"]
    assert shared["data"] == {"key": "1", "others": "1"}
    (container,) = found(cluster, "deployment", "podinfo", namespace)["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "KEPT", "value": "1"}]

    # by hand: undone, but for marks, what another client has set, and the number of replicas
    cluster.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", '{"data": {"more": "1"}}')
    cluster.kubectl("annotate", "configmap", "settings", "-n", namespace, "cloudnative.artifacts/prune=disabled", "a=b")
    cluster.kubectl("annotate", "configmap", "shared", "-n", namespace, f"{FLUX}/ssa=Merge", "a=b")
    cluster.kubectl("scale", "deployment", "podinfo", "-n", namespace, "--replicas=3")
    warned, corrected, again = (
        sets.run(sets.task("app", "one", drift=drift, **where))[0] for drift in ("warn", "correct", "correct")
    )
    assert actions(warned) == actions(corrected) == {"ConfigMap/settings": "configured"}
    assert warned["manifests"][0]["reason"] == "DriftDetected" and not again.changed
    settings, shared = (found(cluster, "configmap", name, namespace) for name in ("settings", "shared"))
    assert settings["data"] == {"key": "1"}
    assert settings["metadata"]["annotations"] == {"cloudnative.artifacts/prune": "disabled"}
    assert shared["metadata"]["annotations"] == {f"{FLUX}/ssa": "Merge", "a": "b"}
    assert found(cluster, "deployment", "podinfo", namespace)["spec"]["replicas"] == 3


def test_marks_in_the_cluster_and_sets_that_are_renamed(sets: Sets, cluster: KubeCluster, namespace: str) -> None:
    where: dict[str, Any] = {"namespace": namespace}
    sets.publish("one", config_map("left", key="1"), config_map("other", key="1"), config_map("marked", key="1"))
    sets.publish("two", config_map("other", key="1"))
    sets.run(sets.task("app", "one", **where))
    for name, mark in (("left", f"{FLUX}/reconcile=disabled"), ("marked", "cloudnative.artifacts/ssa=Ignore")):
        cluster.kubectl("annotate", "configmap", name, "-n", namespace, mark)
        cluster.kubectl("patch", "configmap", name, "-n", namespace, "--type=merge", "-p", '{"data": {"key": "2"}}')
    corrected, pruned = sets.run(sets.task("app", "one", drift="correct", **where), sets.task("app", "two", **where))
    assert not corrected.changed
    assert actions(pruned) == {"ConfigMap/left": "kept", "ConfigMap/marked": "pruned"}

    refused, given_up, taken, nothing = sets.run(
        sets.task("renamed", "two", **where),
        sets.task("app", "two", state="absent", prune=False, **where),
        sets.task("renamed", "two", **where),
        sets.task("app", "two", state="absent", prune=False, **where),
    )
    assert refused["reason"] == "Conflict" and "'state: absent' with 'prune: false'" in refused["msg"]
    assert not given_up.failed and given_up.changed and not nothing.changed
    assert actions(taken) == {"ConfigMap/other": "configured"}
    labels = found(cluster, "configmap", "other", namespace)["metadata"]["labels"]
    assert labels[PART_OF] == taken["manifests"][0]["applyset"]
    assert PART_OF not in found(cluster, "configmap", "left", namespace)["metadata"].get("labels", {})


def test_what_a_job_has_made_goes_with_it(sets: Sets, cluster: KubeCluster, namespace: str) -> None:
    sets.publish("one", JOB, config_map("other", key="1"))
    sets.publish("two", config_map("other", key="1"))
    sets.run(sets.task("app", "one", namespace=namespace))
    job = found(cluster, "job", "job", namespace)
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "made",
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": job["metadata"]["uid"]},
            ],
        },
        "spec": {"containers": [{"name": "a", "image": "podinfo"}]},
    }  # fmt: skip
    cluster.apply(pod, namespace=namespace)
    (pruned,) = sets.run(sets.task("app", "two", namespace=namespace))
    assert actions(pruned) == {"Job/job": "pruned"}
    cluster.kubectl("wait", "--for=delete", "pod/made", "-n", namespace, "--timeout=300s", timeout=330)


def test_check_mode_is_told_what_may_not_be_pruned(
    sets: Sets, cluster: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    sets.publish("one", config_map("one", key="1"), config_map("two", key="1"))
    sets.publish("two", config_map("two", key="1"))
    sets.publish("none", README=b"nothing")
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
    ]
    limited = cluster.as_user(tmp_path, namespace, "limited", rules)
    where: dict[str, Any] = {"namespace": namespace, "cluster": limited}
    _first, predicted, done, empty = sets.run(
        sets.task("app", "one", **where),
        sets.task("app", "two", check=True, **where),
        sets.task("app", "two", **where),
        sets.task("app", "none", **where),
    )
    for result in (predicted, done):
        assert result["reason"] == "Forbidden" and "could not be removed" in result["msg"]
    # an artifact without manifests is not one that prunes them all
    assert empty["reason"] == "BuildFailed" and "no manifests" in empty["msg"]
    assert found(cluster, "configmap", "one", namespace)
