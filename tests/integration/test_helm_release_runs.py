# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role in plays of many hosts, in check mode, with tags, with other sources: how a run of it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import ROLE, RoleRunner, chart, downloads, edition, history, publish_chart, write_chart_layout
from support.servers import RegistryServer

HOSTS = 3


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


@pytest.mark.parametrize("strategy", [{"serial": 2}, pytest.param({"strategy": "free"}, marks=pytest.mark.once)])
def test_one_digest_for_all_hosts(
    role: RoleRunner,
    namespace: str,
    publisher: Publisher,
    registry: RegistryServer,
    tmp_path: Path,
    strategy: dict[str, Any],
) -> None:
    """The tag moves while the play is at work: its hosts deploy the same nonetheless."""
    first = chart()
    publish_chart(publisher, "1.0.0", first)
    archive = tmp_path / "second.tgz"
    archive.write_bytes(chart(edition="second"))
    inventory = tmp_path / "hosts.json"
    hosts = {f"cluster-{number}": {"ansible_connection": "local"} for number in range(HOSTS)}
    inventory.write_text(json.dumps({"clusters": {"hosts": hosts}}))
    variables = role.variables(
        {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}},
        [release(namespace, "{{ inventory_hostname }}"), release(namespace, "{{ inventory_hostname }}-too")],
    )
    move = {
        "name": "Move the tag",
        "cloudnative.artifacts.oci_artifact_push": {
            "path": str(archive), "ref": f"{publisher.name}:1.0.0", "type": "helm", "insecure": True, "force": True,
        },
        "delegate_to": "localhost",
    }  # fmt: skip
    play = {"hosts": "clusters", "gather_facts": False, "vars": variables, "roles": [ROLE], **strategy}
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([{**play, "post_tasks": [move]}, play]))  # JSON is YAML
    start = registry.mark()
    done = role.ansible.playbook(playbook, "-i", str(inventory), "--forks", "3")
    assert done.returncode == 0, done.stdout
    assert downloads(registry, start, first) == 1, done.stdout
    found = role.cluster.list("secret", namespace, "owner=helm")
    digests = {each["metadata"]["labels"]["cloudnative.artifacts/chart-digest"] for each in found}
    assert len(found) == 2 * HOSTS and len(digests) == 1
    assert {edition(role.cluster, namespace, f"cluster-{number}-too") for number in range(HOSTS)} == {"first"}

    # the next run sees where the tag is by now, on the hosts that it is limited to
    done = role.ansible.playbook(playbook, "-i", str(inventory), "--limit", "cluster-2")
    assert done.returncode == 0, done.stdout
    editions = {number: edition(role.cluster, namespace, f"cluster-{number}") for number in range(HOSTS)}
    assert editions == {0: "first", 1: "first", 2: "second"}


@pytest.mark.once
def test_the_same_playbook_with_a_layout(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    """Without a network, too; what is the same digest is the same chart, wherever it comes from."""
    archive = chart()
    publish_chart(publisher, "1.0.0", archive)
    layout = tmp_path / "media"
    digest = write_chart_layout(layout, "1.0.0", archive)
    playbook = role.playbook(
        tmp_path,
        {"demo": {"url": "{{ charts }}", "semver": "1.x", "insecure": True}},
        [release(namespace), release(namespace, "two", depends_on=["one"])],
    )
    done = role.ansible.playbook(playbook, extra_vars={"charts": publisher.url})
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    start = registry.mark()
    done = role.ansible.playbook(playbook, extra_vars={"charts": f"oci-layout:{layout}"})
    assert done.returncode == 0, done.stdout
    assert registry.requests(start) == []
    found = role.cluster.list("secret", namespace, "owner=helm,status=deployed")
    assert digest[7:70] in {each["metadata"]["labels"]["cloudnative.artifacts/chart-digest"] for each in found}
    done = role.ansible.playbook(playbook, extra_vars={"charts": f"oci-layout:{layout}"})
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    assert edition(role.cluster, namespace, "two") == "first"


def test_check_mode_tags_and_suspension(role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    first = publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    releases = [release(namespace), release(namespace, "two")]
    run = role(demo, releases, check=True, diff=True)
    assert run.changed and run.actions == {"one": "install", "two": "install"}
    assert "+  edition: first" in run.output and f"+++ after: {namespace}/one (after)" in run.output
    assert role.cluster.list("secret", namespace, "owner=helm") == []
    playbook = role.playbook(tmp_path, demo, releases)
    done = role.ansible.playbook(playbook, "--tags", "helm_release_sources")
    assert done.returncode == 0 and "Install, upgrade" not in done.stdout, done.stdout
    done = role.ansible.playbook(playbook, "--tags", "helm_release_releases")
    assert done.returncode == 0 and "changed=1 " in done.stdout, done.stdout

    bad = {"templates__bad.yaml": "{{ if .Values.bad }}{{ fail `no` }}{{ end }}"}
    publish_chart(publisher, "1.0.0", chart(edition="second", **bad))
    releases = [release(namespace, suspend=True), release(namespace, "two", values={"bad": True})]
    run = role(demo, releases, check=True)
    assert run.failed and run.releases["two"]["reason"] == "UpgradeFailed"
    assert run.releases["one"]["reason"] == "Suspended" and not run.releases["one"]["changed"]
    # a revision that was agreed upon wins over where the tag is now
    run = role(demo, [release(namespace), release(namespace, "two", state="absent")], check=True, diff=True,
               helm_release_pins={"demo": f"1.0.0@{first}"})  # fmt: skip
    assert run.actions == {"one": "none", "two": "uninstall"} and "-  edition: first" in run.output
    run = role(demo, [release(namespace)], diff=True)
    assert run.actions == {"one": "upgrade"}
    assert "-  edition: first" in run.output and "+  edition: second" in run.output
    assert history(role.cluster, namespace, "two") == [(1, "deployed")]
