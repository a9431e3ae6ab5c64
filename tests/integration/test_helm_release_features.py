# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role can do beside installing and upgrading, with every Helm that it supports."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher, tgz
from support.helm import RoleRunner, chart, edition, history, publish_chart, shown_values, stored_release
from support.kube_api import KubeCluster
from support.tools import Tools

HELMS = ["helm310", "helm", "helm4"]

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


@pytest.mark.once
def test_every_helm(any_helm: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    role = any_helm
    first = publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    renderer = tmp_path / "render er"
    renderer.write_text("#!/bin/sh\nsed \"s/edition: .*/edition: $1/\"\n")
    renderer.chmod(0o755)
    rendered = {"post_renderer": {"command": str(renderer), "args": ["rendered"]}}
    releases = [
        release(namespace, labels={"team": "blue"}),
        release(namespace, "rendered", **rendered),
        release(namespace, "gone", labels={"team": "none"}),
    ]
    run = role(demo, releases)
    assert not run.failed, run.message
    assert edition(role.cluster, namespace, "rendered") == "rendered"
    assert not role(demo, releases).changed

    # labels alone need no new revision; one that is taken away goes
    releases = [
        release(namespace, labels={"team": "red", "more": True}),
        release(namespace, "rendered"),
        release(namespace, "gone", state="absent"),
    ]
    run = role(demo, releases)
    assert {name: (each["action"], each["cause"]) for name, each in run.releases.items()} == {
        "one": ("label", "LabelsChanged"),
        "rendered": ("upgrade", "PostRendererChanged"),
        "gone": ("uninstall", "Unwanted"),
    }
    assert edition(role.cluster, namespace, "rendered") == "first"
    assert history(role.cluster, namespace, "gone") == []
    assert not role(demo, releases).changed
    labelled = role.cluster.list("secret", namespace, "team=red,more=true,owner=helm")
    assert [each["metadata"]["name"] for each in labelled] == ["sh.helm.release.v1.one.v1"]

    # a new chart, and back to the first one, by its digest
    second = publish_chart(publisher, "1.0.0", chart(edition="second"))
    one = release(namespace, labels={"team": "red"}, values={"size": 2})
    assert role(demo, [one]).releases["one"]["cause"] == "ChartChanged"
    assert role(demo, [{**one, "rollback_to": second}]).actions == {"one": "none"}
    back = {**one, "rollback_to": first}
    run = role(demo, [back], check=True, diff=True)
    assert run.changed and "+  edition: first" in run.output
    run = role(demo, [back])
    assert run.actions == {"one": "rollback"} and run.releases["one"]["reason"] == "RollbackSucceeded"
    assert edition(role.cluster, namespace, "one") == "first"
    assert "size" not in shown_values(role.cluster, namespace, "one")
    assert not role(demo, [back]).changed
    assert role(demo, [{**one, "rollback_to": f"sha256:{'0' * 64}"}]).reason == "ReadOperationFailed"
    run = role(demo, [one])
    assert run.releases["one"]["cause"] == "ChartChanged"
    assert history(role.cluster, namespace, "one")[-1] == (4, "deployed")

    # by hand: what inherits the labels of another revision is known as not ours
    role.cluster.kubectl("version", "--client")
    by_hand = ["rollback", "one", "1", "--namespace", namespace, "--kubeconfig", str(role.cluster.kubeconfig)]
    run_helm(role.helm, *by_hand)
    run = role(demo, [one])
    assert run.releases["one"]["cause"] == "Unmanaged"
    assert edition(role.cluster, namespace, "one") == "second"


def run_helm(helm: str, *arguments: str) -> None:
    import subprocess

    subprocess.run([helm, *arguments], check=True, capture_output=True)
