# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of Helm releases runs as written, in one playbook, on a registry, a cluster and in folders of the test.

Only names of places are replaced. test_examples.py has those of everything else.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from forward_proxy import ForwardProxy
from support import vectors
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, history, publish_chart, shown_values, write_chart_layout
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE_DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NAMESPACES = ("podinfo", "marketing")


def blocks() -> list[tuple[str, str]]:
    """The YAML of each document, with the document's name."""
    found = []
    for module in ("helm_chart_sources", "helm_releases", "helm_chart_render"):
        for node in ast.parse((CHECKOUT / f"plugins/modules/{module}.py").read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
                found.append((module, str(ast.literal_eval(node.value))))
    for name in ("guide_helm_release", "guide_migrate_helm"):
        guide = (CHECKOUT / f"docs/docsite/rst/{name}.rst").read_text()
        texts = re.findall(r"^\.\. code-block:: yaml\n\n((?:(?:   .*)?\n)+)", guide, re.MULTILINE)
        assert len(texts) == guide.count("code-block:: yaml") > 1
        found += [("guide", textwrap.dedent(text)) for text in texts]
    for path in ("README.md", "roles/helm_release/README.md"):
        readme = (CHECKOUT / path).read_text()
        texts = re.findall(r"^```yaml\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        found += [(path, text) for text in texts if "helm_release" in text]
    return found


def plays(document: str, text: str) -> list[dict[str, Any]]:
    """The plays of a block; its tasks, where it has no play around them."""
    items = yaml.safe_load(text)
    if "hosts" not in items[0]:
        items = [{"name": f"Tasks of {document}", "hosts": "localhost", "gather_facts": False, "tasks": items}]
    return [{**item, "module_defaults": {"group/cloudnative.artifacts.oci": {"insecure": True}}} for item in items]


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    """The proxy of an example."""
    with ForwardProxy() as running:
        yield running


def test_examples(
    role: RoleRunner, namespace: str, registry: RegistryServer, tools: Tools, tmp_path: Path, proxy: ForwardProxy
) -> None:
    archive = chart("podinfo", "6.7.1", **{"values-production.yaml": "replicaCount: 3\n"})
    publisher = Publisher(registry.host, "examples/charts/podinfo")
    digest = publish_chart(publisher, "6.7.1", archive)
    assert publish_chart(publisher, "stable", archive) == digest
    publish_chart(Publisher(registry.host, "examples/marketing/campaign1/chart"), "1.1", chart("campaign"))
    env = Publisher(registry.host, "examples/env/prod")
    values = env.publish("1.4.0", {"values.yaml": "ui: {color: red}\n"})
    write_chart_layout(tmp_path / "media/charts", "6.7.1", archive)
    for name in ("etc/keys", "etc/kubernetes", "etc/podinfo", "srv/charts"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(vectors.ROOT / "keys/key-a.pub", tmp_path / "etc/keys/release.pub")
    shutil.copy(role.cluster.kubeconfig, tmp_path / "etc/kubernetes/admin.conf")
    (tmp_path / "etc/podinfo/values.yaml").write_text("logLevel: info\n")
    (tmp_path / "srv/charts/podinfo-6.7.1.tgz").write_bytes(archive)
    tools.run(
        "cosign", "sign", "--key", vectors.ROOT / "keys/key-a.key", "--use-signing-config=false", "--tlog-upload=false",
        "--allow-http-registry", "--yes", f"{publisher.name}@{digest}", f"{env.name}@{values}",
        env={"COSIGN_PASSWORD": "vector-password"},
    )  # fmt: skip

    def placed(text: str) -> str:
        text = re.sub(r"registry\.example\.com|contoso\.azurecr\.io", f"{registry.host}/examples", text)
        text = re.sub(r"(?<![\w}/.])/(etc|media|srv)/", rf"{tmp_path}/\1/", text)
        text = re.sub(rf"\b(\w*namespace): ({'|'.join(NAMESPACES)})\b", rf"\1: {namespace}-\2", text)
        text = re.sub(rf"(?<=kind: Namespace, metadata: {{name: )({'|'.join(NAMESPACES)})\b", rf"{namespace}-\1", text)
        text = text.replace("namespace: default", f"namespace: {namespace}")
        text = text.replace("proxy.example.com:3128", proxy.host)
        return text.replace(EXAMPLE_DIGEST, digest)

    found = [play for document, text in blocks() for play in plays(document, placed(text))]
    for play in found:
        own: dict[str, Any] = {"helm_release_helm": role.helm, "helm_release_cache_dir": str(role.cache)}
        # of releases that name none
        own["helm_release_defaults"] = {"namespace": namespace}
        play["vars"] = {**own, **play.get("vars", {})}
        play["environment"] = {"PATH": f"{Path(role.helm).parent}:/usr/bin:/bin"}
    playbook = tmp_path / "examples.yml"
    playbook.write_text(json.dumps(found))  # JSON is YAML
    inventory = tmp_path / "clusters.json"
    variables = {"helm_release_kubeconfig": str(tmp_path / "etc/kubernetes/admin.conf")}
    inventory.write_text(json.dumps({"clusters": {"hosts": dict.fromkeys(["north", "south"], variables)}}))
    try:
        done = role.ansible.playbook(playbook, "-i", str(inventory))
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        for play in found:
            assert f"PLAY [{play['name']}]" in done.stdout
        assert history(role.cluster, f"{namespace}-podinfo", "podinfo-internal")[-1][1] == "deployed"
        assert history(role.cluster, f"{namespace}-podinfo", "podinfo-external") == []
        assert history(role.cluster, f"{namespace}-marketing", "campaign1-preview") == [(1, "deployed")]
        assert history(role.cluster, namespace, "guarded") == [(1, "deployed")]
        assert [status for _number, status in history(role.cluster, namespace, "moved")] == ["superseded", "deployed"]
        assert shown_values(role.cluster, namespace, "from-artifact")["ui"] == {"color": "red"}
        assert shown_values(role.cluster, namespace, "set")["podAnnotations"] == {"revision": "1e3"}
        assert proxy.log and history(role.cluster, namespace, "predicted") == [(1, "deployed")]
        assert (tmp_path / "srv/gitops/podinfo/podinfo/templates/shown.yaml").is_file()
        assert "kind: ConfigMap" in (tmp_path / "srv/gitops/podinfo.yaml").read_text()
        assert list((tmp_path / "srv/review").rglob("podinfo-*.yaml"))
    finally:
        for name in NAMESPACES:
            role.cluster.kubectl("delete", "namespace", f"{namespace}-{name}", "--wait=false", "--ignore-not-found")
