# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""helm_chart_render: charts as files, compared with what each helm itself writes, and without a cluster."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import secret_search
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher, digest_of, tgz
from support.helm import chart, publish_chart
from support.kube_api import KubeCluster
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

MODULE = "cloudnative.artifacts.helm_chart_render"
HELMS = ["helm310", "helm", "helm4"]

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}", namespace: "{{ .Release.Namespace }}"}
spec: {ports: [{port: {{ .Values.port }}}]}
---
{{ if .Capabilities.APIVersions.Has "monitoring.example.com/v1" }}
apiVersion: monitoring.example.com/v1
kind: Monitor
metadata: {name: "{{ .Capabilities.KubeVersion.Version }}"}
{{ end }}
"""
HOOK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: hook, annotations: {helm.sh/hook: "HOOK"}}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: monitors.monitoring.example.com}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}"}
stringData: {password: "{{ .Values.password }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-copy"}
data: {url: "https://app:{{ .Values.password }}@example.com/"}
"""
FILES = {
    "templates__service.yaml": SERVICE,
    "templates__hook.yaml": HOOK.replace("HOOK", "post-install"),
    "templates__tests__test.yaml": HOOK.replace("HOOK", "test"),
    "crds__monitors.yaml": CRD,
    "values-east.yaml": "region: east\n",
    "charts__sub__Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
    "charts__sub__templates__map.yaml": HOOK.replace('annotations: {helm.sh/hook: "HOOK"}', "labels: {of: sub}"),
}
VALUES = "color: blue\nport: 80\n"


def render(ansible: AnsibleRunner, releases: list[dict[str, Any]], **options: Any) -> TaskResult:
    modes = {name: options.pop(name) for name in ("check", "diff") if name in options}
    return ansible.task(MODULE, releases=releases, **modes, **options)


def tree(folder: Path) -> dict[str, str]:
    """The files below a directory, without those of records."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".oci-artifact" not in str(path)]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def lines(text: str) -> list[str]:
    """What is in a file, without the line that says where it is from: Helm 3.10 writes two forms of it."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("# Source:")]


@pytest.mark.parametrize("name", HELMS)
def test_the_files_are_those_of_helm_itself(name: str, ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    helm = tools[name]
    packed = tmp_path / "demo.tgz"
    packed.write_bytes(chart(values=VALUES, **FILES))
    options = {
        "kube_version": "1.27.3",
        "api_versions": ["monitoring.example.com/v1"],
        "include_crds": True,
        "skip_tests": True,
        "helm": helm,
    }
    release = {
        "name": "web",
        "namespace": "east",
        "chart": str(packed),
        "values": {"color": "red", "when": "12:30:45"},
        "chart_values_files": ["values-east.yaml"],
        # what deployments are done with does not matter here
        "wait": False,
        "depends_on": ["other"],
        "drift": "correct",
    }
    wanted = tmp_path / "wanted"
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"region": "east", **release["values"]}))
    words = ["template", "web", str(packed), "--namespace=east", "--values", str(values), "--kube-version=1.27.3"]
    words += ["--api-versions=monitoring.example.com/v1", "--include-crds", "--skip-tests"]
    subprocess.run([helm, *words, f"--output-dir={wanted}"], check=True, capture_output=True)
    single = subprocess.run([helm, *words], check=True, capture_output=True, text=True).stdout

    done = render(ansible, [release], dest=str(tmp_path / "out"), **options)
    assert not done.failed, done.get("msg")
    assert (done.changed, done["releases"][0]["reason"]) == (True, "Rendered")
    found, of_helm = tree(tmp_path / "out/east/web"), tree(wanted)
    assert sorted(found) == sorted(of_helm)
    assert "demo/charts/sub/templates/map.yaml" in found and "demo/templates/tests/test.yaml" not in found
    assert {path: lines(text) for path, text in found.items()} == {path: lines(text) for path, text in of_helm.items()}
    assert "v1.27.3" in found["demo/templates/service.yaml"]
    assert done["releases"][0]["chart"]["digest"] == digest_of(packed.read_bytes())

    done = render(ansible, [{**release, "dest": str(tmp_path / "one.yaml")}], single_file=True, **options)
    assert not done.failed, done.get("msg")
    assert (tmp_path / "one.yaml").read_text() == single

    # what is done to the rendered manifests, and the namespace of the objects
    more = {"common_metadata": {"labels": {"team": "blue"}}, "target_namespace": "far"}
    done = render(ansible, [{**release, **more, "dest": str(tmp_path / "more.yaml")}], single_file=True, **options)
    assert not done.failed, done.get("msg")
    text = (tmp_path / "more.yaml").read_text()
    assert "team: blue" in text and "namespace: far" in text.replace('"', "")

    only = {**options, "show_only": ["templates/shown.yaml"]}
    done = render(ansible, [{**release, "dest": str(tmp_path / "only")}], **only)
    assert sorted(tree(tmp_path / "only")) == ["demo/templates/shown.yaml"]
    done = render(
        ansible, [{**release, "dest": str(tmp_path / "only")}], **{**only, "show_only": ["templates/no.yaml"]}
    )
    assert (done.failed, done["reason"]) == (True, "RenderFailed")
    assert "templates/no.yaml" in done["msg"] and sorted(tree(tmp_path / "only")) == ["demo/templates/shown.yaml"]


def test_a_pinned_chart_in_the_cache_needs_no_registry(
    ansible: AnsibleRunner, publisher: Publisher, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    archive = chart()
    digest = publish_chart(publisher, "1.0.0", archive)
    sources = {"demo": {"ref": f"{publisher.name}@{digest}", "insecure": True}}
    release = {"name": "web", "source": "demo", "dest": str(tmp_path / "out")}
    options = {"sources": sources, "cache_dir": str(tmp_path / "cache"), "helm": tools["helm"]}

    done = render(ansible, [release], **options, check=True, diff=True)
    assert done.changed and not (tmp_path / "out").exists()
    assert done["charts"]["demo"]["digest"] == digest and "edition: first" in done.stdout
    start = len(registry.requests())
    done = render(ansible, [release], **options)
    assert (done.changed, done["statistics"]) == (True, {"helm_processes": 2})
    assert registry.requests(start) == []
    assert "edition: first" in (tmp_path / "out/demo/templates/shown.yaml").read_text()

    # nothing to do, so not even a helm is needed
    done = render(ansible, [release], **{**options, "helm": "/nowhere/helm"})
    assert (done.failed, done.changed, done["statistics"]) == (False, False, {"helm_processes": 0})
    assert done["releases"][0]["reason"] == "RenderingUpToDate"

    # other values; and files of others stay, files of ours do not
    (tmp_path / "out/kustomization.yaml").write_text("resources: []\n")
    done = render(ansible, [{**release, "values": {"color": "red"}}], **options)
    assert done["releases"][0]["changes"]["changed"] == ["demo/templates/shown.yaml"]
    assert sorted(tree(tmp_path / "out")) == ["demo/templates/shown.yaml", "kustomization.yaml"]
    assert registry.requests(start) == []

    # drift is found and corrected
    (tmp_path / "out/demo/templates/shown.yaml").write_text("spoiled\n")
    done = render(ansible, [{**release, "values": {"color": "red"}}], **options)
    assert done["releases"][0]["reason"] == "DriftCorrected"
    assert "edition: first" in (tmp_path / "out/demo/templates/shown.yaml").read_text()

    # absent: what was rendered goes, with the empty directories
    done = render(ansible, [{"name": "web", "state": "absent", "dest": str(tmp_path / "out")}], **options)
    assert (done.changed, done["releases"][0]["reason"]) == (True, "RenderingRemoved")
    assert list(tree(tmp_path / "out")) == ["kustomization.yaml"] and not (tmp_path / "out/demo").exists()
    done = render(ansible, [{"name": "web", "state": "absent", "dest": str(tmp_path / "out")}], **options)
    assert not done.changed
    done = render(ansible, [{"name": "web", "state": "absent", "dest": str(tmp_path / "none")}], **options)
    assert not done.changed and not (tmp_path / "none").exists()


def test_what_is_in_the_way_is_not_touched(ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.0.0\n")
    (folder / "templates/map.yaml").write_text(HOOK.replace("HOOK", "post-install"))
    target = tmp_path / "one.yaml"
    target.write_text("mine\n")
    release = {"name": "web", "chart": str(folder), "dest": str(target)}
    options = {"single_file": True, "helm": tools["helm"]}
    done = render(ansible, [release], **options)
    assert done.failed and target.read_text() == "mine\n"
    done = render(ansible, [release], force=True, **options)
    assert done.changed and "name: hook" in target.read_text()
    # a file is for the user of the task alone, unless it is said otherwise
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    done = render(ansible, [release], mode="0644", **options)
    assert done.changed and stat.S_IMODE(target.stat().st_mode) == 0o644
    assert done["releases"][0]["changes"]["permissions"] == ["one.yaml"]

    # a template writes the line that names its file, too
    names = ["../../evil.yaml", "demo", ".oci-artifact/state", "/etc/evil", "demo/templates/map.yaml/below"]
    texts = [f"---\n# Source: {name}\nkind: A{number}\n" for number, name in enumerate(names)]
    (folder / "templates/map.yaml").write_text("".join(texts))
    done = render(ansible, [{**release, "dest": str(tmp_path / "out")}], helm=tools["helm"])
    assert not done.failed, done.get("msg")
    assert not (tmp_path / "evil.yaml").exists()
    assert all(path.startswith(("demo/templates/", "manifest.yaml")) for path in tree(tmp_path / "out"))

    # all or nothing: one that fails leaves the files of the others and its own
    broken = tmp_path / "broken.tgz"
    head = "apiVersion: v2\nname: b\nversion: 1.0.0\n"
    broken.write_bytes(tgz({"b/Chart.yaml": head, "b/templates/x.yaml": '{{ fail "no" }}'}))
    releases = [{"name": "bad", "chart": str(broken)}, {"name": "good", "chart": str(folder)}]
    done = render(ansible, releases, dest=str(tmp_path / "both"), helm=tools["helm"])
    assert (done.failed, done.changed, done["reason"]) == (True, True, "RenderFailed")
    assert [each["failed"] for each in done["releases"]] == [True, False]
    assert tree(tmp_path / "both/default/good") and not (tmp_path / "both/default/bad").exists()
    done = render(ansible, [{"name": "a", "chart": str(folder)}], helm=tools["helm"])
    assert done.failed and "'dest'" in done["msg"]


def test_values_of_a_cluster_are_not_shown(
    ansible: AnsibleRunner, cluster: KubeCluster, namespace: str, tools: Tools, tmp_path: Path
) -> None:
    old, new = secret_search.new_secret("old"), secret_search.new_secret("new")
    secret_search.belongs(tmp_path / "out")
    packed = tmp_path / "demo.tgz"
    packed.write_bytes(chart(values="port: 1\n", **{"templates__secret.yaml": SECRET}))
    reference = {"kind": "Secret", "name": "app", "values_key": "password", "target_path": "password"}
    release = {"name": "web", "namespace": namespace, "chart": str(packed), "values_from": [reference]}
    release["dest"] = str(tmp_path / "out")
    task = {"name": "Render", MODULE: {"releases": [release], "helm": tools["helm"]}}
    group = {"group/cloudnative.artifacts.kubernetes": {"kubeconfig": str(cluster.kubeconfig)}}
    for word in (old, new):
        data = {"password": base64.b64encode(word.encode()).decode()}
        metadata = {"name": "app", "namespace": namespace}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        (done,) = ansible.tasks([task], diff=True, module_defaults=group)
        assert done.changed, done.get("msg")
        assert f"https://app:{word}@" in (tmp_path / "out/demo/templates/secret.yaml").read_text()
        output = done.stdout + done.stderr + json.dumps(dict(done))
        assert "hidden" in output and "url:" in output
        assert old not in output and new not in output
    (done,) = ansible.tasks([task], diff=True, module_defaults=group)
    assert not done.failed and not done.changed
