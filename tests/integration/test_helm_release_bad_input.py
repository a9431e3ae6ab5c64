# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role is given, and cannot work with; what it meets in the cluster, and may not do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from support import vectors
from support.artifacts import HELM_LAYER, Blob, Publisher, tgz
from support.helm import RoleRunner, Step, chart, edition, history, publish_chart, shown_values
from support.kube_api import KubeCluster
from support.servers import RegistryServer
from support.tools import Tools

PASSWORD = "vector-password"


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


@pytest.mark.once
def test_charts_that_are_none(role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish("plain", {"a.txt": "a"})
    publisher.publish("empty", [Blob(tgz({"demo/values.yaml": "a: b\n"}), HELM_LAYER)])
    publisher.publish("text", [Blob(b"this is no archive", HELM_LAYER)])
    publish_chart(publisher, "1.2", chart(version="1.0.7+build.3"))
    tags = {"plain": "is not a Helm chart: .*has no layer of media type", "empty": "Chart.yaml is missing"}
    tasks = [
        {
            "name": tag,
            "cloudnative.artifacts.helm_chart_sources": {
                "sources": {"demo": source(publisher, tag)},
                "cache_dir": str(tmp_path / "cache"),
            },
            "ignore_errors": True,
        }
        for tag in [*tags, "text", "nowhere", "1.2"]
    ]
    results = {result.task: result for result in role.ansible.tasks(tasks)}
    for tag, words in {**tags, "text": "is not a packaged chart: it begins with"}.items():
        assert results[tag].failed and results[tag]["reason"] == "ArtifactFailed", results[tag]
        assert results[tag]["msg"].startswith("The source 'demo': ")
        assert re.search(words, results[tag]["msg"]), results[tag]["msg"]
    assert results["nowhere"].failed and results["nowhere"]["reason"] == "OCIArtifactPullFailed"

    # a tag that says something else than the chart: both are reported, and the chart is deployed
    found = results["1.2"]["charts"]["demo"]
    assert (found["tag"], found["name"], found["version"]) == ("1.2", "demo", "1.0.7+build.3")
    assert "is the chart demo 1.0.7+build.3: its tag says 1.2" in results["1.2"]["warnings"][0]
    run = role({"demo": source(publisher, "1.2")}, [release(namespace)])
    assert run.releases["one"]["chart"]["version"] == "1.0.7+build.3"
    assert run.releases["one"]["chart"]["revision"].startswith("1.2@sha256:")
    assert edition(role.cluster, namespace, "one") == "first"


def test_options_are_checked_before_anything_starts(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    bad = {
        "a needs .*/b needs .*/a": [
            release(namespace, "a", depends_on=["b"]),
            release(namespace, "b", depends_on=["a"]),
        ],
        "is given twice": [release(namespace, "a"), release(namespace, "a")],
        "names the source 'other', which is not among the sources \\(demo\\)": [release(namespace, source="other")],
        "'Not_A_Name' cannot be the name": [release(namespace, "Not_A_Name")],
        "'cloudnative.artifacts/x' of the release .* is reserved": [
            release(namespace, labels={"cloudnative.artifacts/x": "y"})
        ],
        "'soon' is not a duration": [release(namespace, timeout="soon")],
    }
    variables = role.variables({}, [])
    fetch = {"cloudnative.artifacts.helm_chart_sources": {"sources": {"demo": source(publisher)}}, "register": "found"}
    tasks: list[dict[str, Any]] = [{"name": "fetch", **fetch}]
    tasks += [
        {
            "name": words,
            "cloudnative.artifacts.helm_releases": {
                "charts": "{{ found.charts }}",
                "releases": [release(namespace, "bystander"), *releases],
                "kubeconfig": variables["helm_release_kubeconfig"],
                "helm": role.helm,
            },
            "ignore_errors": True,
        }
        for words, releases in bad.items()
    ]
    for result in role.ansible.tasks(tasks)[1:]:
        assert result.failed and re.search(result.task, result["msg"]), (result.task, result["msg"])
    assert history(role.cluster, namespace, "bystander") == []


def secret(password: str) -> dict[str, Any]:
    metadata = {"name": "secrets"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": password}}


def test_values(
    role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUES_PLACE", str(tmp_path))  # of the controller, which reads the files
    publish_chart(publisher, "1.0.0", chart(**{"values-prod.yaml": "color: green\nsize: 1\nlist: [chart]\n"}))
    (tmp_path / "own.yaml").write_text("size: 3\nnested: {file: true}\nlist: [file]\n")
    (tmp_path / "vault-password").write_text("open sesame\n")
    vault = VaultLib([("default", VaultSecret(b"open sesame"))])
    (tmp_path / "vaulted.yaml").write_bytes(vault.encrypt("vaulted: true\n"))
    (tmp_path / "broken.yaml").write_text("a: [b\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    role.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"values.yaml": "size: 2\nnested: {map: yes}\n", "broken": "a: [b"},
        },
        secret("hush-hush"),
        namespace=namespace,
    )
    references: list[dict[str, Any]] = [
        {"kind": "ConfigMap", "name": "settings"},
        {"kind": "Secret", "name": "secrets", "values_key": "password", "target_path": "nested.password"},
        {"kind": "Secret", "name": "absent", "optional": True},
        {"kind": "ConfigMap", "name": "settings", "values_key": "absent", "optional": True},
    ]
    own = str(tmp_path / "own.yaml")
    missing = {"path": str(tmp_path / "absent.yaml"), "ignore_missing": True}
    releases = [
        release(
            namespace,
            "all",
            chart_values_files=["values-prod.yaml", {"path": "values-none.yaml", "ignore_missing": True}],
            values_from=references,
            values_files=[own, str(tmp_path / "vaulted.yaml"), missing],
            values={"nested": {"inline": 1, "word": "inline-secret"}, "list": ["inline"]},
        ),
        release(namespace, "file-absent", values_files=[missing["path"]]),
        release(namespace, "file-broken", values_files=[str(tmp_path / "broken.yaml")]),
        release(namespace, "file-list", values_files=["$VALUES_PLACE/list.yaml"]),
        release(namespace, "chart-file-absent", chart_values_files=["values-none.yaml"]),
        release(namespace, "secret-absent", values_from=[{"kind": "Secret", "name": "absent"}]),
        release(namespace, "key-absent", values_from=[{"kind": "ConfigMap", "name": "settings", "values_key": "no"}]),
        release(namespace, "map-broken", values_from=[{**references[0], "values_key": "broken"}]),
    ]
    run = role(
        {"demo": source(publisher)}, releases, flags=["-vvv", "--vault-password-file", str(tmp_path / "vault-password")]
    )
    results = run.releases
    assert {name for name, each in results.items() if each["failed"]} == {each["name"] for each in releases[1:]}
    assert {each["reason"] for each in results.values() if each["failed"]} == {"ValuesError"}
    for name, words in {
        "file-absent": "absent.yaml is not on the controller",
        "file-broken": "broken.yaml is not YAML: line 2",
        "file-list": "list.yaml is not a mapping",
        "chart-file-absent": "has no file values-none.yaml",
        "secret-absent": "There is no Secret",
        "key-absent": "There is no key 'no' in the ConfigMap",
        "map-broken": "'broken' of the ConfigMap",
    }.items():
        assert words in results[name]["msg"], results[name]["msg"]
    assert shown_values(role.cluster, namespace, "all") == {
        "color": "green",
        "size": 3,
        "nested": {"map": True, "password": "hush-hush", "file": True, "inline": 1, "word": "inline-secret"},
        "list": ["inline"],
        "vaulted": True,
    }
    # neither in what is printed with -vvv, which shows the arguments of modules, nor in results
    assert "module_args" in run.output
    assert "hush-hush" not in run.output and "inline-secret" not in run.output
    # the same values by another way are the same values; another Secret is a change
    again = release(namespace, "all", values=shown_values(role.cluster, namespace, "all"))
    assert role({"demo": source(publisher)}, [again]).actions == {"all": "none"}
    role.cluster.apply(secret("hush-hush-too"), namespace=namespace)
    unlock = ["--vault-password-file", str(tmp_path / "vault-password")]
    run = role({"demo": source(publisher)}, releases[:1], check=True, diff=True, flags=unlock)
    assert run.releases["all"]["cause"] == "ValuesChanged" and "hush-hush-too" not in run.output
    assert shown_values(role.cluster, namespace, "all")["nested"]["password"] == "hush-hush"


@pytest.mark.once
def test_what_the_cluster_does_not_allow(
    role: RoleRunner, namespace: str, publisher: Publisher, cluster: KubeCluster, tmp_path: Path
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    secrets: dict[str, Any] = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}
    maps: dict[str, Any] = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}
    reader = cluster.as_user(tmp_path, namespace, "reader", [{**secrets, "verbs": ["get", "list"]}, maps])
    lister = cluster.as_user(tmp_path, namespace, "lister", [maps])
    owner = cluster.as_user(tmp_path, namespace, "owner", [secrets, maps])
    demo = {"demo": source(publisher)}

    def asked(user: KubeCluster, *releases: dict[str, Any]) -> Step:
        return Step(releases, variables={"helm_release_kubeconfig": str(user.kubeconfig)})

    elsewhere = f"{namespace}-new"
    away, expired = (json.loads(cluster.kubeconfig.read_text()) for _number in range(2))
    away["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    expired["users"][0]["user"] = {"token": "expired"}
    results = role.batch(
        demo,
        asked(lister, release(namespace)),
        asked(reader, release(namespace)),
        asked(owner, release(namespace)),
        asked(owner, release(elsewhere, create_namespace=True)),
        Step([release(namespace)], variables={"helm_release_kubeconfig": away}),
        Step([release(namespace)], variables={"helm_release_kubeconfig": expired}),
        Step([release(namespace, "new")], variables={"helm_release_helm": "/nowhere/helm"}),
        # as somebody who may, but does not say so
        Step([release(elsewhere), release(namespace, "two"), release(elsewhere, "three")]),
    )
    assert [result.reason for result in results] == [
        "Forbidden",
        "Forbidden",
        "",
        "Forbidden",
        "ConnectionFailed",
        "AuthenticationFailed",
        "MissingDependency",
        "ReadOperationFailed",
    ]
    assert 'cannot list resource "secrets"' in results[0].message
    assert results[1].releases["one"]["reason"] == "Forbidden" and "Nothing was changed" in results[1].message
    # no right to Leases: it works, and says what is missing
    assert not results[2].failed
    assert any("without a lock" in warning for warning in results[2].last["warnings"])
    assert "https://127.0.0.1:9" in results[4].message and "/nowhere/helm" in results[6].message
    assert f"The namespace {elsewhere}, of the release one, does not exist" in results[7].message
    assert results[7].releases["two"]["reason"] == "InstallSucceeded"
    assert cluster.get("namespace", elsewhere) is None

    # a namespace is made for a chart that can be rendered
    publish_chart(publisher, "broken", chart(**{"templates__bad.yaml": "{{ fail `no` }}"}))
    result = role({"demo": source(publisher, "broken")}, [release(elsewhere, create_namespace=True)])
    assert result.failed and cluster.get("namespace", elsewhere) is None
    names = ["one", "two", "three"]
    result = role(demo, [release(elsewhere, name, create_namespace=True) for name in names])
    assert not result.failed, result.message
    assert {edition(cluster, elsewhere, name) for name in names} == {"first"}
    cluster.kubectl("delete", "namespace", elsewhere, "--wait=false")


@pytest.mark.once
def test_a_tag_that_moves_to_what_nobody_signed(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer, tools: Tools
) -> None:
    digest = publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher, verify={"public_keys": [str(vectors.ROOT / "keys/key-a.pub")]})}
    run = role(demo, [release(namespace)])
    assert run.failed and run.reason == "VerificationError"
    assert history(role.cluster, namespace, "one") == []
    tools.run(
        "cosign", "sign", "--key", vectors.ROOT / "keys/key-a.key", "--use-signing-config=false", "--tlog-upload=false",
        "--allow-http-registry", "--yes", f"{publisher.name}@{digest}", env={"COSIGN_PASSWORD": PASSWORD},
    )  # fmt: skip
    run = role(demo, [release(namespace)])
    assert not run.failed, run.message
    assert run.charts["demo"]["verification"]["verified"] is True
    start = registry.mark()
    run = role(demo, [release(namespace)])
    assert not run.changed and run.charts["demo"]["verification"]["verified"] is True
    assert [request.method for request in registry.requests(start)] == ["HEAD"]

    publish_chart(publisher, "1.0.0", chart(edition="second"))
    run = role(demo, [release(namespace)])
    assert run.failed and run.reason == "VerificationError"
    assert history(role.cluster, namespace, "one") == [(1, "deployed")]
    assert edition(role.cluster, namespace, "one") == "first"
