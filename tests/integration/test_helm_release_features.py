# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role can do beside installing and upgrading, with every Helm that it supports."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, edition, history, publish_chart, shown_values, stored_release
from support.tools import Tools

pytestmark = pytest.mark.once

HELMS = ["helm310", "helm", "helm4"]

# a ConfigMap that does not show its values
PLAIN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {edition: first}
"""

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-secret"}
stringData: {password: "{{ .Values.password }}"}
"""


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm."""
    return dataclasses.replace(role, helm=tools[request.param])


def test_every_helm(any_helm: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    role = any_helm
    first = publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    renderer = tmp_path / "render er"
    renderer.write_text('#!/bin/sh\nsed "s/edition: .*/edition: $1/"\n')
    renderer.chmod(0o755)
    rendered = {"post_renderer": {"command": str(renderer), "args": ["rendered"]}}
    releases = [
        release(namespace, labels={"team": "blue"}),
        release(namespace, "rendered", **rendered),
        release(namespace, "gone", labels={"team": "none"}),
    ]
    # labels alone need no new revision; one that is taken away goes
    changed = [
        release(namespace, labels={"team": "red", "more": True}),
        release(namespace, "rendered"),
        release(namespace, "gone", state="absent"),
    ]
    runs = role.batch(demo, Step(releases), Step(releases), Step(changed), Step(changed))
    assert [run.message for run in runs] == [""] * 4
    assert [run.changed for run in runs] == [True, False, True, False]
    assert {name: (each["action"], each["cause"]) for name, each in runs[2].releases.items()} == {
        "one": ("label", "LabelsChanged"),
        "rendered": ("upgrade", "PostRendererChanged"),
        "gone": ("uninstall", "Unwanted"),
    }
    assert "edition: rendered" in stored_release(role.cluster, namespace, "rendered", 1)["manifest"]
    assert edition(role.cluster, namespace, "rendered") == "first"
    assert history(role.cluster, namespace, "gone") == []
    labelled = role.cluster.list("secret", namespace, "team=red,more=true,owner=helm")
    assert [each["metadata"]["name"] for each in labelled] == ["sh.helm.release.v1.one.v1"]

    # a new chart, back to the first one by its digest, and forth again
    second = publish_chart(publisher, "1.0.0", chart(edition="second"))
    one = release(namespace, labels={"team": "red"}, values={"size": 2})
    back = {**one, "rollback_to": first}
    runs = role.batch(
        demo,
        Step([one]),
        Step([{**one, "rollback_to": second}]),
        Step([back], check=True, diff=True),
        Step([back]),
        Step([back]),
        Step([{**one, "rollback_to": f"sha256:{'0' * 64}"}]),
        Step([one]),
    )
    assert [(run.releases["one"]["action"], run.releases["one"]["reason"]) for run in runs] == [
        ("upgrade", "UpgradeSucceeded"),
        ("none", "ReleaseUpToDate"),
        ("rollback", "RollbackWanted"),
        ("rollback", "RollbackSucceeded"),
        ("none", "ReleaseUpToDate"),
        ("rollback", "ReadOperationFailed"),
        ("upgrade", "UpgradeSucceeded"),
    ]
    assert {run.releases["one"].get("cause") for run in (runs[0], runs[6])} == {"ChartChanged"}
    assert "+  edition: first" in runs[2].output
    stored = [stored_release(role.cluster, namespace, "one", number) for number in (2, 3, 4)]
    assert [(each.get("config") or {}).get("size") for each in stored] == [2, None, 2]
    assert ["edition: first" in each["manifest"] for each in stored] == [False, True, False]
    assert history(role.cluster, namespace, "one")[-1] == (4, "deployed")

    # by hand: what inherits the labels of another revision is known as not ours
    run_helm(role.helm, "rollback", "one", "1", "--namespace", namespace, "--kubeconfig", str(role.cluster.kubeconfig))
    run = role(demo, [one])
    assert run.releases["one"]["cause"] == "Unmanaged"
    assert edition(role.cluster, namespace, "one") == "second"


def run_helm(helm: str, *arguments: str) -> None:
    subprocess.run([helm, *arguments], check=True, capture_output=True)


def test_drift(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    files = {"templates__secret.yaml": SECRET, "templates__shown.yaml": PLAIN}
    publish_chart(publisher, "1.0.0", chart(**files))
    demo = {"demo": source(publisher)}
    names = ["ignored", "warned", "corrected", "tolerated"]
    own = {"values": {"password": "hush-hush"}}
    rule = {"kind": "ConfigMap", "paths": ["/data/edition"]}
    releases = [
        release(namespace, "ignored", **own),
        release(namespace, "warned", drift="warn", **own),
        release(namespace, "corrected", drift="correct", **own),
        release(namespace, "tolerated", drift="correct", drift_ignore=[rule], **own),
    ]
    assert not role(demo, releases).failed
    assert not role(demo, releases).changed
    for name in names:
        role.cluster.kubectl("patch", "configmap", name, "-n", namespace, "-p", '{"data": {"edition": "edited"}}')
    role.cluster.kubectl("delete", "secret", "corrected-secret", "-n", namespace)
    # what the chart says nothing about is nobody's drift
    role.cluster.kubectl("patch", "configmap", "warned", "-n", namespace, "-p", '{"data": {"more": "is fine"}}')

    run = role(demo, releases, check=True, diff=True)
    assert run.changed and "-  edition: edited" in run.output and "hush-hush" not in run.output
    assert edition(role.cluster, namespace, "corrected") == "edited"
    run = role(demo, releases)
    assert {name: each["reason"] for name, each in run.releases.items()} == {
        "ignored": "ReleaseUpToDate",
        "warned": "DriftDetected",
        "corrected": "DriftCorrected",
        "tolerated": "ReleaseUpToDate",
    }
    assert {name: each["changed"] for name, each in run.releases.items() if each["changed"]} == {"corrected": True}
    assert [(each["kind"], each["change"], each["paths"]) for each in run.releases["corrected"]["drift"]] == [
        ("Secret", "missing", []),
        ("ConfigMap", "changed", ["/data/edition"]),
    ]
    assert "has drifted: ConfigMap" in run.last["warnings"][0]
    assert {name: edition(role.cluster, namespace, name) for name in names} == {
        "ignored": "edited",
        "warned": "edited",
        "corrected": "first",
        "tolerated": "edited",
    }
    assert history(role.cluster, namespace, "corrected") == [(1, "deployed")]
    assert not role(demo, releases).changed
    # Helm's next upgrade finds nobody else in charge
    publish_chart(publisher, "1.0.0", chart(edition="second"))
    run = role(demo, releases)
    assert not run.failed, run.message
    assert {edition(role.cluster, namespace, name) for name in names} == {"second"}


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: "NAME.GROUP", labels: , annotations: , creationTimestamp: }
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: NAME, singular: NAME, kind: KIND}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, description: "DESCRIPTION", x-kubernetes-preserve-unknown-fields: true}}
"""


def crd(group: str, name: str, description: str = "first") -> str:
    text = CRD.replace("GROUP", group).replace("NAME", name).replace("KIND", name.capitalize())
    return text.replace("DESCRIPTION", description)


def test_crds(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    group = f"{namespace}.example.com"  # CRDs are the cluster's
    dependencies = "dependencies: [{name: sub, version: 1.x, condition: sub.enabled}]\n"
    sub = {"charts__sub__Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.2.3\n"}
    object_of_kind = f"apiVersion: {group}/v1\nkind: Wanted\nmetadata: {{name: '{{{{ .Release.Name }}}}'}}\n"

    def archive(description: str) -> bytes:
        return chart(
            values="sub: {enabled: false}\n",
            **{
                "Chart.yaml": f"apiVersion: v2\nname: demo\nversion: 1.0.0\n{dependencies}",
                "crds__all.yaml": f"{crd(group, 'wanted', description)}---\n{crd(group, 'more')}",
                "charts__sub__crds__sub.yaml": crd(group, "below"),
                "templates__object.yaml": object_of_kind,
                **sub,
            },
        )

    def descriptions() -> dict[str, str]:
        specs = [each["spec"] for each in role.cluster.list("customresourcedefinitions")]
        own = {spec["names"]["plural"]: spec["versions"][0] for spec in specs if spec["group"] == group}
        return {name: version["schema"]["openAPIV3Schema"]["description"] for name, version in own.items()}

    publish_chart(publisher, "1.0.0", archive("first"))
    demo = {"demo": source(publisher)}
    run = role(demo, [release(namespace)], check=True, diff=True)
    assert run.changed and "before the cluster has its CRDs" in run.last["warnings"][0], run.message
    assert role(demo, [release(namespace, crds="Skip")]).failed
    assert descriptions() == {}
    run = role(demo, [release(namespace), release(namespace, "two")])
    assert not run.failed, run.message
    assert descriptions() == {"wanted": "first", "more": "first"}

    publish_chart(publisher, "1.0.0", archive("second"))
    assert not role(demo, [release(namespace)]).failed
    assert descriptions()["wanted"] == "first"
    run = role(demo, [release(namespace, crds="CreateReplace", values={"sub": {"enabled": True}})])
    assert not run.failed, run.message
    assert descriptions() == {"wanted": "second", "more": "first", "below": "first"}
    role(demo, [release(namespace, name, state="absent") for name in ("one", "two")])
    assert set(descriptions()) == {"wanted", "more", "below"}
    for name in descriptions():
        role.cluster.kubectl("delete", "customresourcedefinition", f"{name}.{group}", "--wait=false")


def test_crds_before_one_that_is_refused(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    """What was changed before a failure is said."""
    group = f"{namespace}.example.com"
    refused = crd(group, "refused").replace("scope: Namespaced", "scope: Nowhere")
    publish_chart(publisher, "1.0.0", chart(**{"crds__a.yaml": crd(group, "taken"), "crds__b.yaml": refused}))
    demo = {"demo": source(publisher)}
    for changed in (True, False):
        run = role(demo, [release(namespace)])
        assert run.failed and run.reason == "ClusterError" and "Nowhere" in run.message
        assert run.changed is changed and history(role.cluster, namespace, "one") == []
    role.cluster.kubectl("delete", "customresourcedefinition", f"taken.{group}", "--wait=false")


def test_adoption_and_removal(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, tmp_path: Path
) -> None:
    """Releases that were made by hand, objects that were there before, and the way back out."""
    archive = chart()
    publish_chart(publisher, "1.0.0", archive)
    demo = {"demo": source(publisher)}
    (tmp_path / "chart.tgz").write_bytes(archive)
    common = ["--kubeconfig", role.cluster.kubeconfig, "--namespace", namespace]
    tools.run("helm", "install", "by-hand", tmp_path / "chart.tgz", "--set", "size=7", *common)
    tools.run("helm", "install", "kept", tmp_path / "chart.tgz", *common)
    tools.run("helm", "uninstall", "kept", "--keep-history", *common)
    objects = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "objects"}, "data": {"edition": "old"}}
    role.cluster.apply(objects, namespace=namespace)
    releases = [
        release(namespace, "by-hand"),
        release(namespace, "kept"),
        release(namespace, "objects", take_ownership=True),
        release(namespace, "above", depends_on=["by-hand"]),
        release(namespace, "outside", depends_on=["nowhere"]),
    ]
    run = role(demo, releases)
    assert {name: (each["action"], each["reason"]) for name, each in run.releases.items()} == {
        "by-hand": ("upgrade", "UpgradeSucceeded"),
        "kept": ("install", "InstallSucceeded"),
        "objects": ("install", "InstallSucceeded"),
        "above": ("install", "InstallSucceeded"),
        "outside": ("install", "DependencyNotReady"),
    }
    assert run.releases["by-hand"]["cause"] == "Unmanaged"
    assert shown_values(role.cluster, namespace, "by-hand") == {"color": "blue"}
    assert history(role.cluster, namespace, "kept")[-1] == (2, "deployed")
    assert not role(demo, releases[:-1]).changed

    gone = [{**each, "state": "absent"} for each in releases[:-1]]
    gone[1]["keep_history"] = True
    # a dependency of what stays may be missing from the list, as long as it is in the cluster
    run = role(demo, [release(namespace, "stays", depends_on=["by-hand"]), *gone[1:]])
    assert not run.failed, run.message
    assert [history(role.cluster, namespace, name) for name in ("objects", "above")] == [[], []]
    assert history(role.cluster, namespace, "kept")[-1] == (2, "uninstalled")
    assert not role({}, gone[1:]).changed
    assert role(demo, releases[1:2]).actions == {"kept": "install"}
