# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that other tests build on: it stores, it controls, and it refuses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.kube_api import ForbiddenByCluster, KubeCluster

pytestmark = pytest.mark.once

READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def secret(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": "value"}}


def test_the_cluster_is_real(cluster: KubeCluster, tmp_path: Path) -> None:
    with cluster.namespace() as namespace:
        cluster.apply(secret("there"), namespace=namespace)
        found = cluster.get("secret", "there", namespace)
        assert found is not None
        assert found["data"] == {"key": "dmFsdWU="}

        # RBAC: a user may do what a Role says, and nothing else, and nowhere else
        reader = cluster.as_user(tmp_path, namespace, "reader", [READ_SECRETS])
        assert reader.get("secret", "there", namespace)
        with pytest.raises(ForbiddenByCluster):
            reader.list("secrets", namespace)
        with pytest.raises(ForbiddenByCluster):
            reader.get("secret", "there", "kube-system")

        # a controller works: the Job controller makes a Pod, and the garbage collector takes it away with the Job
        cluster.kubectl("create", "job", "work", "--image=example.invalid/none", "--namespace", namespace)
        (pod,) = _await_count(cluster, "pods", namespace, 1)
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
        cluster.kubectl("delete", "job", "work", "--namespace", namespace)
        _await_count(cluster, "pods", namespace, 0)


def _await_count(cluster: KubeCluster, kind: str, namespace: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 300
    while True:
        found = cluster.list(kind, namespace)
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} {kind}, wanted {count}"
        time.sleep(0.1)
