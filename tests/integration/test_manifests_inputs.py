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
    references = [
        {"kind": "ConfigMap", "name": "cluster-vars"},
        {"kind": "Secret", "name": "cluster-secrets"},
        {"kind": "ConfigMap", "name": "nowhere", "optional": True},
    ]
    keys = {"secret_ref": "sops-age", "sops_binary": tools["sops"]}
    entry: dict[str, Any] = {
        "name": "app", "namespace": namespace, "path": "./cluster", "source": "app", "substitute_from": references,
        "decryption": keys, "substitute": {"tier": "medium"},
    }  # fmt: skip

    def run(*entries: dict[str, Any], **options: Any) -> TaskResult:
        given = options or {"sources": {"app": {"ref": f"{publisher.name}:latest", "insecure": True}}}
        result = ansible.task(
            "cloudnative.artifacts.oci_manifests",
            diff=True,
            manifests=list(entries),
            cache_dir=str(tmp_path / "cache"),
            kubeconfig=str(cluster.kubeconfig),
            kustomize=tools["kubectl"],
            **given,
        )
        assert PASSWORD not in result.stdout and "AGE-SECRET" not in result.stdout
        return result

    cluster.apply(variables(region="east\n-1"), namespace=namespace)
    cluster.apply(secret("cluster-secrets", password=PASSWORD, tier="large"), namespace=namespace)
    cluster.apply(secret("sops-age", **{"mine.agekey": AGE_KEY}), namespace=namespace)
    cluster.apply(secret("other", other="x"), namespace=namespace)
    refused = run(
        {**entry, "name": "a", "substitute_from": [{"kind": "ConfigMap", "name": "nowhere"}]},
        {**entry, "name": "b", "decryption": None},
        {**entry, "name": "c", "decryption": {**keys, "secret_ref": "nowhere"}},
        {**entry, "name": "d", "decryption": {**keys, "secret_ref": "other"}},
        {**entry, "name": "e", "path": "./other"},
        {**entry, "name": "f", "decryption": {**keys, "sops_binary": "/none/sops"}},
    )
    words = (
        f"ConfigMap {namespace}/nowhere of 'substitute_from' is not in the cluster", "'decryption'",
        f"Secret {namespace}/nowhere", ".agekey", "SOPS cannot decrypt other/token.yaml", "/none/sops",
    )  # fmt: skip
    found = refused["manifests"]
    assert [each["reason"] for each in found] == [*["BuildFailed"] * 5, "MissingDependency"], refused["msg"]
    for word, each in zip(words, found):
        assert word in each["error"]
    assert cluster.get("configmap", "settings", namespace) is None

    done = run(entry)
    assert done.changed, done["msg"]
    settings = cluster.get("configmap", "settings", namespace)
    assert settings is not None
    assert settings["data"] == {"region": "east-1", "password": PASSWORD, "tier": "medium"}
    for name, key in (("token", "token"), ("generated", "password")):
        made = cluster.get("secret", name, namespace)
        assert made is not None and base64.b64decode(made["data"][key]).decode() == PASSWORD

    # what another task has fetched will do
    again = run(entry, fetched=done["fetched"])
    assert not again.changed and again["statistics"]["api_requests"] == 1 + len(references)
    # neither the former value nor the new one is shown
    cluster.apply(secret("cluster-secrets", password=f"new-{PASSWORD}"), namespace=namespace)
    changed = run(entry)
    assert [each["name"] for each in changed["manifests"][0]["objects"]] == ["settings"]
    shown = changed["diff"][0]
    assert "password: (hidden, " in shown["before"] and "password: (hidden, " in shown["after"]
