# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an artifact is copied: what a chart needs, some platforms, and only what the other side lacks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

COPY = "cloudnative.artifacts.oci_artifact_copy"

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      initContainers: [{name: init, image: "{{ .Values.init }}"}]
      containers: [{name: web, image: "{{ .Values.web }}"}]
---
apiVersion: example.com/v1
kind: Store
metadata: {name: store}
spec: {image: "{{ .Values.store }}", icon: {image: logo.png}}
"""


class Helm:
    """Charts as people make them: directories, locked, packaged and pushed by Helm."""

    def __init__(self, tools: Tools, host: str, folder: Path) -> None:
        self._tools = tools
        self.repository = f"oci://{host}/charts"
        self.folder = folder

    def write(self, name: str, version: str, needs: Sequence[tuple[str, str, str]] = (), **fields: Any) -> Path:
        folder = self.folder / name
        (folder / "templates").mkdir(parents=True, exist_ok=True)
        dependencies = [dict(zip(("name", "version", "repository"), need)) for need in needs]
        metadata = {"apiVersion": "v2", "name": name, "version": version, "dependencies": dependencies, **fields}
        (folder / "Chart.yaml").write_text(yaml.safe_dump(metadata))
        return folder

    def push(self, name: str, version: str, needs: Sequence[tuple[str, str, str]] = ()) -> None:
        folder = self.write(name, version, needs)
        self.publish(folder)

    def publish(self, folder: Path) -> None:
        self._tools.run("helm", "dependency", "update", "--plain-http", folder)
        packed = self.folder / "packed" / folder.name
        self._tools.run("helm", "package", folder, "--destination", packed)
        for archive in packed.glob("*.tgz"):
            self._tools.run("helm", "push", "--plain-http", archive, self.repository)
            archive.unlink()


def publish_images(tools: Tools, host: str, folder: Path) -> dict[str, str]:
    """The images that the chart needs, by their names in its values; the first for two platforms, with an SBOM."""
    web = Publisher(host, "apps/web")
    platforms = {name: web.publish(name[6:], {"name": name}) for name in ("linux/amd64", "linux/arm64")}
    web.publish_index("1.0", platforms)
    (folder / "sbom.json").write_text("{}")
    attach = ("attach", "--plain-http", "--artifact-type", "example/sbom", f"{web.name}@{platforms['linux/amd64']}")
    tools.run("oras", *attach, "sbom.json", cwd=folder)
    init = Publisher(host, "apps/init")
    digest = init.publish("unused", {"name": "init"})
    for name in ("store", "job"):
        Publisher(host, f"apps/{name}").publish("2.0", {"name": name})
    return {"web": f"{web.name}:1.0", "init": f"{init.name}@{digest}", "store": f"{host}/apps/store:2.0"}


def digest(tools: Tools, reference: str) -> str:
    return tools.run("crane", "digest", "--insecure", reference).stdout.strip()


def test_what_of_an_artifact_is_copied(
    ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path
) -> None:
    host = f"{registry.host}"
    values = publish_images(tools, host, tmp_path)
    helm = Helm(tools, host, tmp_path / "charts")
    for version in ("2.0.0", "2.1.0"):
        helm.push("deep", version)
    helm.push("base", "1.0.1", [("deep", "~2.0", helm.repository)])
    helm.write("local", "0.1.0")
    annotations = {"artifacthub.io/images": f"- {{name: job, image: '{host}/apps/job:2.0'}}\n"}
    needs = [("base", ">=1.0.0", helm.repository), ("local", "0.1.0", "file://../local")]
    shop = helm.write("shop", "3.1.0", needs, annotations=annotations)
    (shop / "values.yaml").write_text(json.dumps(values))
    (shop / "templates/all.yaml").write_text(DEPLOYMENT)
    helm.publish(shop)
    # the lock file has the version before
    helm.push("base", "1.2.0")

    conf = Publisher(host, "platform/conf")
    first = conf.publish("1.0.0", {"shared.txt": "shared\n"})
    shared = json.loads(tools.run("crane", "manifest", "--insecure", f"{conf.name}@{first}").stdout)["layers"][0]
    (tmp_path / "new.txt").write_text("new\n")
    tools.run("crane", "pull", "--insecure", "--format=oci", f"{conf.name}:1.0.0", tmp_path / "first")
    second = conf.put_manifest(
        "1.1.0",
        json.dumps(
            {
                **json.loads(tools.run("crane", "manifest", "--insecure", f"{conf.name}@{first}").stdout),
                "layers": [shared, _pushed(tools, conf.name, tmp_path / "new.txt")],
            }
        ).encode(),
    )

    site = f"{host}/site/{{repository}}"
    chart = {
        "ref": f"{host}/charts/shop:3.1.0", "to": site, "include": ["dependencies", "images"], "insecure": True
    }  # fmt: skip
    path = f"{Path(tools['helm']).parent}:{os.environ['PATH']}"
    with_helm = {"environment": {"PATH": path}}
    one = {"platforms": ["linux/amd64"], "insecure": True, "ref": f"{host}/apps/web:1.0"}
    update, base = f"oci-archive:{tmp_path}/update.tar", f"oci-archive:{tmp_path}/base.tar"
    tasks = [
        {COPY: chart, "name": "closure", "check_mode": True, **with_helm},
        {COPY: chart, "name": "closure", **with_helm},
        {COPY: chart, "name": "closure again", **with_helm},
        {COPY: {**one, "to": f"oci-archive:{tmp_path}/web.tar"}, "name": "platform"},
        {COPY: {**one, "to": f"{host}/partial/web"}, "name": "platform to a registry", "ignore_errors": True},
        {COPY: {"ref": f"{conf.name}:1.0.0", "to": base, "insecure": True}, "name": "base"},
        {
            COPY: {"ref": f"{conf.name}:1.1.0", "to": update, "differential": [base], "insecure": True},
            "name": "difference",
        },
        {
            COPY: {"ref": f"{update}:1.1.0", "to": f"{host}/far/conf", "insecure": True},
            "name": "too early",
            "ignore_errors": True,
        },
        {COPY: {"ref": f"{base}:1.0.0", "to": f"{host}/far/conf", "insecure": True}, "name": "the base"},
        {COPY: {"ref": f"{update}:1.1.0", "to": f"{host}/far/conf", "insecure": True}, "name": "the rest"},
    ]
    foreseen, copied, again, partial, refused, _base, difference, early, _far, far = ansible.tasks(tasks)

    # the chart with all that it needs
    assert foreseen.changed and not foreseen.failed, foreseen
    names = [(each["kind"], each["url"].rpartition("/")[2], each["tag"]) for each in copied["included"]]
    assert names == [
        ("image", "web", "1.0"),
        ("image", "init", ""),
        ("image", "store", "2.0"),
        ("image", "job", "2.0"),
        ("dependency", "base", "1.0.1"),
        ("dependency", "deep", "2.0.0"),
    ], copied
    assert [each["digest"] for each in foreseen["included"]] == [each["digest"] for each in copied["included"]]
    assert [(each["name"], each["repository"]) for each in copied["not_included"]] == [("local", "file://../local")]
    for each in (*copied["included"], {**copied["artifact"], "to": copied["to"]}):
        source = f"{each['url'].removeprefix('oci://')}@{each['digest']}"
        target = each["to"] if each["tag"] else f"{each['to']}@{each['digest']}"
        assert digest(tools, source) == digest(tools, target) == each["digest"]
    assert copied.changed and copied["blobs"]["uploaded"] == 0 and copied["blobs"]["mounted"] > 0
    web = next(each for each in copied["included"] if each["url"].endswith("/web"))
    # the index, two platforms, the SBOM
    assert web["copied"] == 4
    assert not again.changed and not any(each["changed"] for each in again["included"]), again

    # some platforms: whole in an archive, and not what this registry takes
    assert {each["digest"] for each in partial["copied"]} >= {web["digest"], digest(tools, f"{host}/apps/web:amd64")}
    assert digest(tools, f"{host}/apps/web:arm64") not in {each["digest"] for each in partial["copied"]}
    assert len(partial["copied"]) == 3
    assert refused.failed and "1 were not copied, since 'platforms' leaves them out" in refused["msg"], refused

    # an update of what the other side has
    assert difference["blobs"] == {"existed": 0, "mounted": 0, "uploaded": 1, "left_out": 2}
    assert early.failed and "are neither in" in early["msg"] and "'differential'" in early["msg"], early
    assert far["blobs"]["uploaded"] == 1 and far["artifact"]["digest"] == second
    assert digest(tools, f"{host}/far/conf:1.1.0") == second
    tools.run("crane", "pull", "--insecure", "--format=oci", f"{host}/far/conf:1.1.0", tmp_path / "second")


def _pushed(tools: Tools, name: str, path: Path) -> dict[str, Any]:
    found = tools.run("oras", "blob", "push", "--plain-http", "--descriptor", name, path)
    descriptor: dict[str, Any] = json.loads(found.stdout)
    return descriptor
