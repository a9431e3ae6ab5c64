# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether objects are ready: a table of what kstatus says of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.kstatus import (
    CURRENT,
    FAILED,
    IN_PROGRESS,
    TERMINATING,
    status_of,
)


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


AVAILABLE = [condition("Available")]
DEPLOYED = {
    "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    "conditions": AVAILABLE,
}  # fmt: skip
STATEFUL = {
    "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "updatedReplicas": 2,
    "currentRevision": "a", "updateRevision": "a",
}  # fmt: skip
DAEMON = {
    "observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2,
    "numberAvailable": 2, "numberReady": 2,
}  # fmt: skip
REPLICAS = {
    "observedGeneration": 1,
    "replicas": 2,
    "fullyLabeledReplicas": 2,
    "availableReplicas": 2,
    "readyReplicas": 2,
}
TWO = {"replicas": 2}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "wanted"),
    [
        ("v1 ConfigMap", {}, {}, CURRENT),
        ("apps/v1 Deployment", TWO, {}, IN_PROGRESS),
        ("apps/v1 Deployment", TWO, DEPLOYED, CURRENT),
        ("apps/v1 Deployment", TWO, {**DEPLOYED, "observedGeneration": 0}, IN_PROGRESS),
        ("apps/v1 Deployment", TWO, {**DEPLOYED, "updatedReplicas": 1}, IN_PROGRESS),
        ("apps/v1 Deployment", TWO, {**DEPLOYED, "replicas": 3}, IN_PROGRESS),
        ("apps/v1 Deployment", TWO, {**DEPLOYED, "readyReplicas": 1}, IN_PROGRESS),
        ("apps/v1 Deployment", TWO, {**DEPLOYED, "conditions": []}, IN_PROGRESS),
        ("apps/v1 Deployment", {"replicas": 0}, {"observedGeneration": 1}, CURRENT),
        ("apps/v1 Deployment", TWO,
         {**DEPLOYED, "conditions": [condition("Progressing", "False", reason="ProgressDeadlineExceeded")]}, FAILED),
        ("apps/v1 ReplicaSet", TWO, REPLICAS, CURRENT),
        ("apps/v1 ReplicaSet", TWO, {**REPLICAS, "readyReplicas": 1}, IN_PROGRESS),
        ("apps/v1 ReplicaSet", TWO, {**REPLICAS, "conditions": [condition("ReplicaFailure")]}, IN_PROGRESS),
        ("apps/v1 StatefulSet", TWO, STATEFUL, CURRENT),
        ("apps/v1 StatefulSet", TWO, {**STATEFUL, "readyReplicas": 1}, IN_PROGRESS),
        ("apps/v1 StatefulSet", TWO, {**STATEFUL, "updateRevision": "b"}, IN_PROGRESS),
        ("apps/v1 StatefulSet", {**TWO, "updateStrategy": {"type": "OnDelete"}}, {}, CURRENT),
        ("apps/v1 StatefulSet", {**TWO, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
         {**STATEFUL, "updatedReplicas": 1, "updateRevision": "b"}, CURRENT),
        ("apps/v1 DaemonSet", {}, DAEMON, CURRENT),
        ("apps/v1 DaemonSet", {}, {**DAEMON, "numberReady": 1}, IN_PROGRESS),
        ("apps/v1 DaemonSet", {}, {}, IN_PROGRESS),
        ("batch/v1 Job", {}, {}, IN_PROGRESS),
        ("batch/v1 Job", {}, {"startTime": "2026-01-01T00:00:00Z"}, CURRENT),
        ("batch/v1 Job", {}, {"conditions": [condition("Complete")]}, CURRENT),
        ("batch/v1 Job", {}, {"conditions": [condition("Failed", message="no luck")]}, FAILED),
        ("v1 Pod", {}, {"phase": "Pending"}, IN_PROGRESS),
        ("v1 Pod", {}, {"phase": "Running"}, IN_PROGRESS),
        ("v1 Pod", {}, {"phase": "Running", "conditions": [condition("Ready")]}, CURRENT),
        ("v1 Pod", {}, {"phase": "Succeeded"}, CURRENT),
        ("v1 Pod", {}, {"phase": "Failed"}, FAILED),
        ("v1 PersistentVolumeClaim", {}, {"phase": "Pending"}, IN_PROGRESS),
        ("v1 PersistentVolumeClaim", {}, {"phase": "Bound"}, CURRENT),
        ("v1 Service", {"type": "LoadBalancer"}, {}, IN_PROGRESS),
        ("v1 Service", {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, {}, CURRENT),
        ("v1 Service", {"type": "ClusterIP"}, {}, CURRENT),
        ("policy/v1 PodDisruptionBudget", {}, {}, IN_PROGRESS),
        ("policy/v1 PodDisruptionBudget", {}, {"observedGeneration": 1}, CURRENT),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", {}, {}, IN_PROGRESS),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", {}, {"conditions": [condition("Established")]}, CURRENT),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition", {},
         {"conditions": [condition("NamesAccepted", "False")]}, FAILED),
        ("example.com/v1 Widget", {}, {}, CURRENT),
        ("example.com/v1 Widget", {}, {"conditions": [condition("Ready", "False")]}, IN_PROGRESS),
        ("example.com/v1 Widget", {}, {"conditions": [condition("Ready", "Unknown")]}, IN_PROGRESS),
        ("example.com/v1 Widget", {}, {"conditions": [condition("Ready")]}, CURRENT),
        ("example.com/v1 Widget", {}, {"conditions": [condition("Ready"), condition("Reconciling")]}, IN_PROGRESS),
        ("example.com/v1 Widget", {}, {"conditions": [condition("Stalled", message="no")]}, FAILED),
        ("example.com/v1 Widget", {}, {"observedGeneration": 0, "conditions": [condition("Ready")]}, IN_PROGRESS),
        # of another group than the kind that it is named like
        ("example.com/v1 Deployment", {}, {}, CURRENT),
        ("example.com/v1 Widget", {}, {"conditions": "none"}, CURRENT),
        ("v1 Pod", {}, {"conditions": [None, "Ready"]}, IN_PROGRESS),
    ],
)  # fmt: skip
def test_status(kind: str, spec: dict[str, Any], status: dict[str, Any], wanted: str) -> None:
    version, _space, name = kind.partition(" ")
    document = {"apiVersion": version, "kind": name, "metadata": {"generation": 1}, "spec": spec, "status": status}
    found = status_of(document)
    assert found.status == wanted
    assert bool(found.message) is (wanted != CURRENT)


def test_an_object_that_is_being_deleted_is_not_ready() -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert status_of(document).status == TERMINATING
