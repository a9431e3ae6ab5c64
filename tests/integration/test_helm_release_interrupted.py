# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases in the middle of whose deployment something happens: a kill, another run, another program."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, history, publish_chart, shown_values
from support.kube_api import KubeCluster
from support.node import pod
from support.processes import descendants, kill, parent
from support.tools import Tools

pytestmark = pytest.mark.once

# with .Values.hang Helm waits for a Pod that nobody runs
HOOK = "{{ if .Values.hang }}\n" + pod("hook", "", "pre-install,pre-upgrade") + "{{ end }}\n"


def source(publisher: Publisher) -> dict[str, Any]:
    return {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "30m", **options}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def is_pending(cluster: KubeCluster, namespace: str, name: str) -> bool:
    return any(status.startswith("pending") for _number, status in history(cluster, namespace, name))


@pytest.mark.parametrize("victim", ["everything", "the module"])
def test_a_kill_in_the_middle_of_an_upgrade(
    role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path, victim: str
) -> None:
    publish_chart(publisher, "1.0.0", chart(**{"templates__hook.yaml": HOOK}))
    assert not role(source(publisher), [release(namespace)]).failed
    hanging = role.playbook(tmp_path, source(publisher), [release(namespace, values={"hang": True})])
    process = role.ansible.start(hanging)
    try:
        wait_for(lambda: is_pending(role.cluster, namespace, "one"), "the upgrade did not begin")
        family = descendants(process.pid)
        helm = [pid for pid, command in family.items() if f"{role.helm} upgrade" in command]
        assert helm, family
        # a process that Ansible started, or a child of its worker
        modules = [parent(pid) for pid in helm]
        kill(family if victim == "everything" else modules)
        process.wait(timeout=600)
        wait_for(lambda: not set(descendants(helm[0])), "Helm lives on without anybody who watches it")
    finally:
        kill(descendants(process.pid))
        process.communicate()
    assert history(role.cluster, namespace, "one") == [(1, "deployed"), (2, "pending-upgrade")]

    started = time.monotonic()
    run = role(source(publisher), [release(namespace, values={"size": 2})])
    assert not run.failed, run.message
    # it does not wait until the time of the run that was killed is over
    assert time.monotonic() - started < 900
    assert history(role.cluster, namespace, "one") == [(1, "superseded"), (2, "failed"), (3, "deployed")]
    assert shown_values(role.cluster, namespace, "one")["size"] == 2
    assert role.cluster.list("lease", namespace) == []


def test_two_runs_at_once(role: RoleRunner, namespace: str, publisher: Publisher, tmp_path: Path) -> None:
    publish_chart(publisher, "1.0.0", chart(**{"templates__hook.yaml": HOOK}))
    wanted = [release(namespace, values={"hang": True})]
    first = role.ansible.start(role.playbook(tmp_path, source(publisher), wanted))
    patient = None
    try:
        wait_for(lambda: is_pending(role.cluster, namespace, "one"), "the install did not begin")
        patient = role.ansible.start(role.playbook(tmp_path, source(publisher), wanted))
        other = role(source(publisher), [release(namespace, values={"size": 2})], helm_release_lock_timeout="1s")
        assert other.failed and not other.changed
        assert other.reason == "ReleaseLocked"
        assert f"Another run works on the release {namespace}/one" in other.message
        hook = role.cluster.await_object("pod", "one-hook", namespace)["metadata"]["name"]
        patch = '{"status": {"phase": "Succeeded"}}'
        role.cluster.kubectl("patch", "pod", hook, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
        outputs = [process.communicate(timeout=600)[0] for process in (first, patient)]
    finally:
        for process in (first, patient):
            if process is not None:
                kill(descendants(process.pid))
                process.communicate()
    assert "changed=1" in outputs[0], outputs[0]
    # it waited, and found that there was nothing left to do
    assert "changed=0" in outputs[1] and "failed=0" in outputs[1], outputs[1]
    assert history(role.cluster, namespace, "one") == [(1, "deployed")]


def test_what_another_program_left_pending(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, tmp_path: Path
) -> None:
    archive = chart(**{"templates__hook.yaml": HOOK})
    publish_chart(publisher, "1.0.0", archive)
    packed = tmp_path / "chart.tgz"
    packed.write_bytes(archive)
    common = ["--kubeconfig", str(role.cluster.kubeconfig), "--namespace", namespace]
    upgraded = ["rolled-back", "removed"]
    for name in upgraded:
        tools.run("helm", "install", name, packed, *common)
    names = ["unlocked", "refused", "in-use", "unwanted", *upgraded]
    started = [
        subprocess.Popen(
            [role.helm, "upgrade", "--install", name, str(packed), "--set", "hang=true", *common],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in names
    ]
    try:
        wait_for(lambda: all(is_pending(role.cluster, namespace, name) for name in names), "Helm did not begin")
    finally:
        for process in started:
            process.kill()
            process.wait()
    run = role(
        source(publisher),
        [
            release(namespace, "unlocked", timeout="10s"),
            release(namespace, "refused", timeout="10s", pending="fail"),
            release(namespace, "in-use", timeout="1h"),
            release(namespace, "unwanted", timeout="10s", state="absent"),
            release(namespace, "rolled-back", timeout="10s", pending="rollback"),
            release(namespace, "removed", timeout="10s", pending="uninstall"),
        ],
        # as long as it takes until what is left pending counts as abandoned
        helm_release_lock_timeout="20s",
    )
    results = run.releases
    assert {name: each["reason"] for name, each in results.items()} == {
        "unlocked": "UpgradeSucceeded",
        "refused": "ReleaseLocked",
        "in-use": "ReleaseLocked",
        "unwanted": "UninstallSucceeded",
        "rolled-back": "UpgradeSucceeded",
        "removed": "InstallSucceeded",
    }
    # why there was work, whatever was done first
    present = ["unlocked", "refused", "in-use", *upgraded]
    assert {results[name]["cause"] for name in present} == {"Pending"} and results["unwanted"]["cause"] == "Unwanted"
    assert "is pending-install (revision 1)" in results["refused"]["msg"]
    assert "by another program" in results["in-use"]["msg"]
    assert {name: history(role.cluster, namespace, name) for name in names} == {
        "unlocked": [(1, "superseded"), (2, "deployed")],
        "refused": [(1, "pending-install")],
        "in-use": [(1, "pending-install")],
        "unwanted": [],
        "rolled-back": [(1, "superseded"), (2, "failed"), (3, "superseded"), (4, "deployed")],
        "removed": [(1, "deployed")],
    }
