# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls via a relay host, with what else a task may ask for; users of one machine as hosts; runs that are killed."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import TITLE, Blob, Publisher, contents
from support.processes import kill_family
from support.servers import RegistryServer
from support.ssh_host import NAME, SshHost, ssh_users
from support.tools import Tools
from two_users import public_place, require_two_users

pytestmark = pytest.mark.once

PULL, PUSH = "cloudnative.artifacts.oci_artifact_pull", "cloudnative.artifacts.oci_artifact_push"
KEYS = vectors.ROOT / "keys"
VERIFY = {"public_keys": [str(KEYS / "ed25519.pub")]}
KILLS = 8


def noise(size: int, seed: int) -> bytes:
    """Bytes that nothing compresses."""
    return random.Random(seed).randbytes(size)


def reads(registry: RegistryServer, mark: int) -> Counter[str]:
    """How often each manifest was asked for by tag, and how many layers were read."""
    found: Counter[str] = Counter()
    for request in registry.requests(mark):
        if "/blobs/" in request.path:
            found["blob"] += 1
        elif request.method == "HEAD" and "sha256" not in request.path:
            found[request.path.rpartition("/")[2]] += 1
    return found


class Site:
    """Two hosts and a controller in a network without a route to the registry, and a relay that has one.

    All are local to Ansible. The relay's Python enters the network of the tests.
    """

    def __init__(self, ansible: AnsibleRunner, folder: Path) -> None:
        require_two_users()
        home = folder / "home"
        home.mkdir()
        self._ansible = ansible.behind(["unshare", "--net"], home)
        python = folder / "python"
        python.write_text(
            f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/ns/net {shlex.quote(ansible.target_python)} "$@"\n'
        )
        python.chmod(0o755)
        # not that of the controller, which would read there what it would send to others
        own = folder / "own-python"
        own.write_text(f'#!/bin/sh\nexec {shlex.quote(ansible.target_python)} "$@"\n')
        own.chmod(0o755)
        self._inventory = folder / "site.ini"
        self._inventory.write_text(
            f"[fleet]\none\ntwo\n[relays]\nrelay ansible_python_interpreter={python}\n"
            "gone ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=9 ansible_ssh_args='-F none'\n"
            f"[fleet:vars]\nansible_connection=local\nansible_python_interpreter={own}\n"
            "[relays:vars]\nansible_connection=local\n"
        )

    def pulls(self, tasks: dict[str, dict[str, Any]]) -> dict[str, list[TaskResult]]:
        """Run tasks by name on both hosts, via the relay where they do not say another one; return their results."""
        given = {"insecure": True, "retries": 0, "via": "relay"}
        play = [
            {"name": name, PULL: {**given, **options}, "ignore_errors": True, "ignore_unreachable": True}
            for name, options in tasks.items()
        ]
        found: dict[str, list[TaskResult]] = {name: [] for name in tasks}
        for result in self._ansible.tasks(play, hosts="fleet", flags=["-i", str(self._inventory), "-vvv"]):
            found[result.task].append(result)
        return found


def test_a_relay_serves_a_site_without_a_way_to_the_registry(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    """With revisions that are kept, judged and held back, a policy of the task, and a lock file."""

    def push(port: int, size: int, *tags: str) -> dict[str, Any]:
        files = tmp_path / str(port)
        files.mkdir(exist_ok=True)
        (files / "app.conf").write_text(f"port = {port}\n")
        if size:
            (files / "noise").write_bytes(noise(size, port))
        sign = {"key": str(KEYS / "ed25519.raw.pem")}
        return {PUSH: {"path": str(files), "insecure": True, "ref": publisher.name, "tags": [*tags], "sign": sign}}

    pushes = [push(80, 0, "1.0.0", "stable"), push(81, 600_000, "1.1.0"), push(8080, 500_000, "1.2.0")]
    assert not any(result.failed for result in ansible.tasks(pushes))
    lock = tmp_path / "oci.lock.yml"
    site, host = Site(ansible, tmp_path), "{{ inventory_hostname }}"
    way = {
        "verify": VERIFY,
        "username": "deploy",
        "password": "not for hosts",
        "cache_dir": str(tmp_path / "cache of the relay"),
    }
    judged = {
        "dest": f"{tmp_path}/{host}",
        **way,
        "keep": 2,
        "validate": "grep -q port %s/app.conf",
        "health": {"command": "grep -qv 8080 %s/app.conf"},
    }
    guarded = {**judged, "policy": [{"match": "*", "never_downgrade": True}]}
    locked = {"ref": f"{publisher.name}:stable", "dest": f"{tmp_path}/locked-{host}", **way, "lock_file": str(lock)}
    refs = {version: {"ref": f"{publisher.name}:{version}"} for version in ("1.0.0", "1.1.0", "1.2.0", "absent")}
    mark = registry.mark()
    found = site.pulls(
        {
            "controller": {**judged, **refs["absent"], "via": "controller"},
            "small": {**guarded, **refs["1.0.0"]},
            "large": {**guarded, **refs["1.1.0"]},
            "bad": {**guarded, **refs["1.2.0"]},
            "bad again": {**guarded, **refs["1.2.0"]},
            "older": {**guarded, **refs["1.0.0"]},
            "back": {**judged, **refs["1.0.0"]},
            "locked": {**locked, "lock": "update"},
            "unknown": {**judged, **refs["1.1.0"], "via": "elsewhere"},
            "gone": {**judged, **refs["1.1.0"], "via": "gone"},
            "absent": {**judged, **refs["absent"]},
        }
    )
    sent = {
        name: [(result.get("reason"), result.get("via", {}).get("files_sent")) for result in results]
        for name, results in found.items()
    }
    assert sent == {
        "controller": [("ConnectionFailed", None)] * 2,
        "small": [("NewRevision", 0)] * 2,
        "large": [("NewRevision", 1)] * 2,
        "bad": [("HealthCheckFailed", None)] * 2,
        "bad again": [("HeldBack", 0)] * 2,
        "older": [("DowngradeDenied", None)] * 2,
        # both hosts have kept it
        "back": [("NewRevision", 0)] * 2,
        "locked": [("NewRevision", 0)] * 2,
        "unknown": [("InvalidOption", None)] * 2,
        "gone": [("ConnectionFailed", None)] * 2,
        "absent": [("OCIArtifactPullFailed", None)] * 2,
    }, found
    assert not any(result.unreachable for results in found.values() for result in results)
    result = found["large"][0]
    assert result["via"]["place"] == result["invocation"]["module_args"]["via"] == "relay"
    assert result["verification"]["verified"] and [each["number"] for each in result["history"]] == [2, 1]
    assert "not for hosts" not in result.stdout
    assert found["bad"][0]["rolled_back"] and "name of a host" in found["unknown"][0]["msg"]
    assert "The relay host gone" in found["gone"][0]["msg"] and "relay host relay" in found["absent"][0]["msg"]
    asked = reads(registry, mark)
    assert [asked[tag] for tag in ("1.0.0", "1.1.0", "1.2.0", "stable")] == [1, 1, 1, 1], asked
    for name in ("one", "two"):
        assert contents(tmp_path / name) == contents(tmp_path / f"locked-{name}") == {"app.conf": "port = 80\n"}

    # what the lock file has stays, whatever becomes of the tag, until it is updated; a hold is no word of the registry
    [moved] = ansible.tasks([push(81, 600_000, "stable")])
    assert not moved.failed and "stable" in lock.read_text()
    mark = registry.mark()
    found = site.pulls(
        {
            "use": locked,
            "check": {**locked, "lock": "check"},
            "held": {**judged, **refs["1.2.0"], "lock_file": str(lock), "lock": "update"},
        }
    )
    assert {name: [result["reason"] for result in results] for name, results in found.items()} == {
        "use": ["ArtifactUpToDate"] * 2,
        "check": ["LockOutdated"] * 2,
        "held": ["HeldBack"] * 2,
    }, found
    assert "1.2.0" not in lock.read_text()
    assert contents(tmp_path / "locked-one") == {"app.conf": "port = 80\n"}


def test_users_of_one_machine_as_hosts_over_ssh(
    ansible: AnsibleRunner,
    registry: RegistryServer,
    publisher: Publisher,
    second_host: SshHost,
    tools: Tools,
) -> None:
    """Every connection is a real one, that of the relay as well."""
    data = noise(700_000, 7)
    publisher.publish("1", [Blob(data, "application/octet-stream", {TITLE: "model"})])
    with public_place() as place, ssh_users(tools, place, 10, "/usr/bin/python3") as inventory:
        flags = ["-i", str(second_host.inventory), "-i", str(inventory), "--forks", "5"]
        task = {PULL: {"ref": f"{publisher.name}:1", "dest": "~/app", "insecure": True, "via": NAME}}
        mark = registry.mark()
        results = ansible.tasks([task], hosts="users", flags=flags)
        expected = ("NewRevision", 1, NAME)
        found = [(result["reason"], result["via"]["files_sent"], result["via"]["place"]) for result in results]
        assert found == [expected] * 10, results
        assert reads(registry, mark) == {"1": 1, "blob": 1}
        for number in range(10):
            model = place / f"user{number}/app/model"
            assert model.read_bytes() == data and model.stat().st_uid == (place / f"user{number}").stat().st_uid
        results = ansible.tasks([task], hosts="users", flags=flags)
        assert [(result["reason"], result["via"]["files_sent"]) for result in results] == [("ArtifactUpToDate", 0)] * 10


def test_runs_that_are_killed(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    """With revisions that are kept. After any kill the files are of one revision, or the record says that a run did not
    end; the next run completes it."""
    files = [{f"{number}": f"{version}\n" * 50 for number in range(60)} for version in "ab"]
    for number, each in enumerate(files):
        publisher.publish(str(number), {**each, "noise": noise(400_000, number)})
    # a Python of its own, to which files are sent
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    dest = tmp_path / "dest"
    task = {"ref": f"{publisher.name}:{{{{ revision }}}}", "dest": str(dest), "insecure": True, "via": "controller"}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{PULL: {**task, "keep": 1}}]}
    (tmp_path / "playbook.yml").write_text(str([play]))
    given = {"ansible_python_interpreter": str(python)}
    began = time.monotonic()
    for revision in (1, 0):
        done = ansible.playbook(tmp_path / "playbook.yml", extra_vars={**given, "revision": revision})
        assert done.returncode == 0, done.stdout
    duration = (time.monotonic() - began) / 2
    generator, current, killed = random.Random(20261129), 0, 0
    for _turn in range(KILLS):
        wanted = 1 - current
        arguments = [f"-eansible_python_interpreter={python}", f"-erevision={wanted}"]
        process = ansible.start(tmp_path / "playbook.yml", *arguments, start_new_session=True)
        time.sleep(generator.uniform(0.3, 1.0) * duration)
        # newer workers of Ansible are groups of their own
        kill_family(process.pid)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            # the machine was busier when it was measured
            duration *= 0.7
        found = {name: text for name, text in contents(dest).items() if name != "noise"}
        # a run that ended while it placed files says so in the record
        pending = json.loads((dest / ".oci-artifact/state").read_text())["pending"]
        assert pending or found in files, "files of two revisions, and the record does not say so"
        done = ansible.playbook(tmp_path / "playbook.yml", extra_vars={**given, "revision": wanted})
        assert done.returncode == 0, done.stdout
        assert {name: text for name, text in contents(dest).items() if name != "noise"} == files[wanted]
        assert sorted(os.listdir(dest / ".oci-artifact")) == ["kept", "lock", "state"]
        current = wanted
    assert killed
