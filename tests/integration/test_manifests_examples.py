# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of manifests runs as written, those of the role and of the page for users of Flux among them.

Only names of places are replaced. They run in one playbook, on a registry, a cluster and in folders of the test.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.helm import chart, history, publish_chart
from support.kube_api import KubeCluster
from support.newcomer import blocks_of
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

CHECKOUT = Path(__file__).resolve().parents[2]
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: podinfo}\nspec: {ports: [{port: 9898}]}\n"
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {cluster: '${cluster:=none}'}\n"
WIDGETS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: examples.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Example, plural: examples, singular: example}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


def blocks() -> list[tuple[str, str]]:
    """The YAML of each document, with the document's name; the guide publishes what the others apply."""
    found = []
    for guide in ("guide_manifests", "guide_from_flux"):
        texts = [
            block.text for block in blocks_of(CHECKOUT / f"docs/docsite/rst/{guide}.rst") if block.language == "yaml"
        ]
        found += [(guide, text) for text in texts]
    for node in ast.parse((CHECKOUT / "plugins/modules/oci_manifests.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
            found.append(("oci_manifests", str(ast.literal_eval(node.value))))
    readme = (CHECKOUT / "roles/manifests/README.md").read_text()
    found += [("role", text) for text in re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)]
    assert {name for name, _text in found} == {"guide_manifests", "guide_from_flux", "oci_manifests", "role"}
    return found


def plays(document: str, text: str) -> list[dict[str, Any]]:
    """The plays of a block; its tasks, where it has no play around them."""
    items = yaml.safe_load(text)
    if "hosts" not in items[0]:
        items = [{"name": f"Tasks of {document}", "hosts": "localhost", "gather_facts": False, "tasks": items}]
    return [{**item, "module_defaults": {"group/cloudnative.artifacts.oci": {"insecure": True}}} for item in items]


def test_examples(
    ansible: AnsibleRunner, cluster: KubeCluster, namespace: str, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    for name in ("etc/keys", "etc/kubernetes", "deploy/kustomize"):
        (tmp_path / name).mkdir(parents=True)
    # without a password, which an environment of plays would show on command lines
    for name, here in (("ed25519.raw.pem", "release.key"), ("ed25519.pub", "release.pub")):
        shutil.copy(vectors.ROOT / "keys" / name, tmp_path / "etc/keys" / here)
    kubeconfig = tmp_path / "etc/kubernetes/admin.conf"
    shutil.copy(cluster.kubeconfig, kubeconfig)
    (tmp_path / "deploy/kustomize/kustomization.yaml").write_text("resources: [service.yaml, settings.yaml]\n")
    (tmp_path / "deploy/kustomize/service.yaml").write_text(SERVICE)
    (tmp_path / "deploy/kustomize/settings.yaml").write_text(SETTINGS)
    platform = {"apps/settings.yaml": SETTINGS.encode(), "crds/widgets.yaml": WIDGETS.encode()}
    Publisher(registry.host, "examples/manifests/platform").publish("stable", platform)
    publish_chart(Publisher(registry.host, "examples/charts/podinfo"), "6.7.1", chart("podinfo", "6.7.1"))
    for name in ("podinfo", "platform"):
        cluster.kubectl("create", "namespace", f"{namespace}-{name}")
    variables = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-vars"},
        "data": {"cluster": "east"},
    }
    cluster.apply(variables, namespace=f"{namespace}-podinfo")

    def placed(text: str) -> str:
        text = text.replace("registry.example.com", f"{registry.host}/examples")
        text = re.sub(r"(?<![\w}/.])/etc/", f"{tmp_path}/etc/", text).replace(
            "path: deploy/", f"path: {tmp_path}/deploy/"
        )
        return re.sub(r"namespace: (podinfo|platform)\b", rf"namespace: {namespace}-\1", text)

    found = [play for document, text in blocks() for play in plays(document, placed(text))]
    programs = {Path(tools[name]).parent for name in ("kubectl", "helm")}
    for play in found:
        play["environment"] = {
            "PATH": ":".join([*map(str, programs), "/usr/bin", "/bin"]),
            "K8S_AUTH_KUBECONFIG": str(kubeconfig),
        }
    playbook = tmp_path / "examples.yml"
    playbook.write_text(json.dumps(found))  # JSON is YAML
    try:
        done = ansible.playbook(playbook)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        settings = cluster.get("configmap", "settings", f"{namespace}-platform")
        assert settings is not None and settings["data"] == {"cluster": "east-1"}
        assert cluster.get("service", "podinfo", f"{namespace}-podinfo") is not None
        assert history(cluster, f"{namespace}-podinfo", "podinfo") == [(1, "deployed")]
    finally:
        cluster.kubectl("delete", "crd", "examples.example.com", "--ignore-not-found")
        for name in ("podinfo", "platform"):
            cluster.kubectl("delete", "namespace", f"{namespace}-{name}", "--wait=false", "--ignore-not-found")
