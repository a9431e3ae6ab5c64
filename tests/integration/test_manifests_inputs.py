# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What manifests are made of beside the artifact: variables of the cluster, and keys for files that SOPS encrypted."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher
from support.kube_api import KubeCluster
from support.tools import Tools

pytestmark = pytest.mark.once

PASSWORD = "hidden-PASSWORD-of-nobody"
# a pair of age, for this test alone
RECIPIENT = "age1pqhandzdsk5s2h8al6pl9ll0rgxja3cz7gsjevjtz9davekvkv7qzx8few"
AGE_KEY = "AGE-SECRET-KEY-1A2UJ5LT7WPAXYM3FMU9E848SSCDHUWRCQDNNWZ2AJ20HH9T8UJDQAPQQAX"
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {region: "${region}", password: "${password}", tier: "${tier:=small}"}
"""


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def variables(**values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-vars"}, "data": values}


def test_variables_of_the_cluster_and_encrypted_files(
    ansible: AnsibleRunner,
    cluster: KubeCluster,
    publisher: Publisher,
    namespace: str,
    tools: Tools,
    tmp_path: Path,
) -> None:
    def encrypted(name: str, text: str) -> bytes:
        path = tmp_path / name
        path.write_text(text)
        return tools.run("sops", "encrypt", "--age", RECIPIENT, path).stdout.encode()

    token = encrypted("token.yaml", json.dumps(secret("token", token=PASSWORD)))
    assert PASSWORD.encode() not in token
    files = {
        "cluster/kustomization.yaml": b"resources: [settings.yaml, token.yaml]\n"
        b"secretGenerator: [{name: generated, envs: [generated.env], options: {disableNameSuffixHash: true}}]\n",
        "cluster/settings.yaml": SETTINGS.encode(),
        "cluster/token.yaml": token,
        "cluster/generated.env": encrypted("generated.env", f"password={PASSWORD}\n"),
        # for another cluster: what is here cannot decrypt it
        "other/token.yaml": token.replace(b"ENC[AES256_GCM,data:", b"ENC[AES256_GCM,data:AAAA"),
    }
    publisher.publish("latest", files)
    entry: dict[str, Any] = {
        "name": "app", "namespace": namespace, "path": "./cluster",
        "substitute_from": [
            {"kind": "ConfigMap", "name": "cluster-vars"},
            {"kind": "Secret", "name": "cluster-secrets"},
            {"kind": "ConfigMap", "name": "nowhere", "optional": True},
        ],
    }  # fmt: skip
    decryption = {"secret_ref": "sops-age", "sops_binary": tools["sops"]}

    def run(**options: Any) -> TaskResult:
        result = ansible.task(
            "cloudnative.artifacts.oci_manifests",
            diff=True,
            sources={"app": {"ref": f"{publisher.name}:latest", "insecure": True}},
            manifests=[{**entry, **options}],
            cache_dir=str(tmp_path / "cache"),
            kubeconfig=str(cluster.kubeconfig),
            kustomize=tools["kubectl"],
        )
        assert PASSWORD not in result.stdout and "AGE-SECRET" not in result.stdout
        return result

    def refused(words: str, **options: Any) -> None:
        result = run(**options)
        assert result.failed and result["reason"] == "BuildFailed" and words in result["msg"], result
        assert cluster.get("configmap", "settings", namespace) is None

    refused(f"ConfigMap {namespace}/cluster-vars of 'substitute_from' is not in the cluster")
    cluster.apply(variables(region="east\n-1"), namespace=namespace)
    cluster.apply(secret("cluster-secrets", password=PASSWORD, tier="large"), namespace=namespace)
    refused("'decryption'")
    refused(f"Secret {namespace}/sops-age", decryption=decryption)
    cluster.apply(secret("sops-age", other="x"), namespace=namespace)
    refused(".agekey", decryption=decryption)
    cluster.apply(secret("sops-age", **{"mine.agekey": AGE_KEY}), namespace=namespace)

    done = run(decryption=decryption, substitute={"tier": "medium"})
    assert done.changed, done["msg"]
    settings = cluster.get("configmap", "settings", namespace)
    assert settings is not None
    assert settings["data"] == {"region": "east-1", "password": PASSWORD, "tier": "medium"}
    for name, key in (("token", "token"), ("generated", "password")):
        found = cluster.get("secret", name, namespace)
        assert found is not None and base64.b64decode(found["data"][key]).decode() == PASSWORD

    again = run(decryption=decryption, substitute={"tier": "medium"})
    assert not again.changed and again["statistics"]["api_requests"] == 1 + len(entry["substitute_from"])
    # neither the former value nor the new one is shown
    cluster.apply(secret("cluster-secrets", password=f"new-{PASSWORD}"), namespace=namespace)
    changed = run(decryption=decryption, substitute={"tier": "medium"})
    assert [each["name"] for each in changed["manifests"][0]["objects"]] == ["settings"]
    shown = changed["diff"][0]
    assert "password: (hidden, " in shown["before"] and "password: (hidden, " in shown["after"]
