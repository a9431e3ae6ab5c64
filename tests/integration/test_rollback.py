# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of a fleet: releases are kept, one is rolled back with the registry off, held back, and released again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher, contents
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, INFO, ROLLBACK = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "info", "rollback"))
HOSTS = 20
FILES: dict[str, dict[str, Any]] = {
    "1.4.1": {"app.conf": "version 1\n", "conf.d/a": "a\n"},
    "1.4.2": {"app.conf": "version 2\n", "conf.d/b": "b\n"},
    "1.4.3": {"app.conf": "broken\n", "conf.d/b": "b\n"},
}


class Fleet:
    """Hosts that are this machine, each with a directory of its own."""

    def __init__(self, ansible: AnsibleRunner, folder: Path) -> None:
        self._ansible, self._folder = ansible, folder
        python = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
        self._inventory = folder / "hosts.ini"
        self._inventory.write_text("[fleet]\n" + "".join(f"host{number} {python}\n" for number in range(1, HOSTS + 1)))
        for number in range(1, HOSTS + 1):
            self.dest(number).mkdir()
            (self.dest(number) / "own.conf").write_text(f"host {number}\n")

    def dest(self, number: int) -> Path:
        return self._folder / f"host{number}"

    def run(self, *tasks: tuple[str, dict[str, Any]], **more: Any) -> list[list[TaskResult]]:
        """Run tasks on all hosts; return the results of each task."""
        dest = f"{self._folder}/{{{{ inventory_hostname }}}}"
        document = [{module: {"dest": dest, **options}, "ignore_errors": True} for module, options in tasks]
        results = self._ansible.tasks(
            document, hosts="fleet", flags=["-i", str(self._inventory), "--forks", "4"], **more
        )
        assert len(results) == HOSTS * len(tasks), results[-1].stdout
        return [results[at : at + HOSTS] for at in range(0, len(results), HOSTS)]

    def hold(self, tag: str) -> None:
        """Assert what is on all hosts."""
        for number in range(1, HOSTS + 1):
            assert contents(self.dest(number)) == {**FILES[tag], "own.conf": f"host {number}\n"}


def reasons(results: list[TaskResult]) -> set[tuple[bool, str]]:
    return {(result.changed, str(result["reason"])) for result in results}


def test_a_release_is_taken_back_on_a_fleet_without_the_registry(
    ansible: AnsibleRunner, tools: Tools, tmp_path: Path
) -> None:
    fleet = Fleet(ansible, tmp_path)
    (tmp_path / "registry").mkdir()
    with servers.distribution(Path(tools["registry"]), tmp_path / "registry") as registry:
        publisher = Publisher(registry.host, "app/config")
        digests = {tag: publisher.publish(tag, files) for tag, files in FILES.items() if tag != "1.4.3"}
        pull = {"url": f"oci://{publisher.name}", "semver": "1.x", "insecure": True, "keep": 3, "retries": 0}
        first, second = fleet.run((PULL, {**pull, "semver": "1.4.1"}), (PULL, pull))
        assert reasons(first) == reasons(second) == {(True, "NewRevision")}
        fleet.hold("1.4.2")

    # the registry is off
    back = {"to": "previous", "reason": "requests fail", "who": "ops"}
    (predicted,) = fleet.run((ROLLBACK, back), check=True, diff=True)
    assert reasons(predicted) == {(True, "RolledBack")} and "-version 2" in predicted[0].stdout
    fleet.hold("1.4.2")
    gone, again, held, shown = fleet.run((ROLLBACK, back), (ROLLBACK, back), (PULL, pull), (INFO, {}))
    assert reasons(gone) == {(True, "RolledBack")} and reasons(again) == {(False, "ArtifactUpToDate")}
    assert reasons(held) == {(False, "HeldBack")} and not any(result.failed for result in held)
    assert {result["held"][0]["digest"] for result in held} == {digests["1.4.2"]}
    assert (
        held[0]["degraded_reason"] == "ConnectionFailed" and "by ops: requests fail" in held[0].stdout + held[0].stderr
    )
    fleet.hold("1.4.1")
    (newest, oldest) = shown[0]["history"]
    assert (newest["tag"], newest["held"], newest["current"]) == ("1.4.2", True, False)
    assert (oldest["tag"], oldest["held"], oldest["current"]) == ("1.4.1", False, True)
    released, forward = fleet.run((ROLLBACK, {"state": "released"}), (ROLLBACK, {"to": "1.4.2", "hold": False}))
    assert reasons(released) == {(True, "Released")} and reasons(forward) == {(True, "RolledBack")}
    fleet.hold("1.4.2")


def test_a_release_that_fails_its_check_is_passed_over_until_there_is_another(
    ansible: AnsibleRunner, tools: Tools, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    (tmp_path / "registry").mkdir()
    with servers.distribution(Path(tools["registry"]), tmp_path / "registry") as registry:
        publisher = Publisher(registry.host, "app/config")
        publisher.publish("1.4.2", FILES["1.4.2"])
        pull = {
            "url": f"oci://{publisher.name}",
            "semver": "1.x",
            "insecure": True,
            "dest": str(dest),
            "keep": 2,
            "validate": "test -s %s/app.conf",
            "health": {"command": "grep -q version %s/app.conf", "timeout": "60s"},
        }
        task = {PULL: pull, "ignore_errors": True}
        suspend = {ROLLBACK: {"dest": str(dest), "state": "suspended", "reason": "inventory"}}
        resume = {ROLLBACK: {"dest": str(dest), "state": "resumed"}}
        first, suspended, quiet, resumed = ansible.tasks([task, suspend, task, resume])
        assert (first["reason"], suspended["reason"], resumed["reason"]) == ("NewRevision", "Suspended", "Resumed")
        assert quiet["reason"] == "Suspended" and quiet["suspended"]["reason"] == "inventory"
        publisher.publish("1.4.3", FILES["1.4.3"])
        mark = registry.mark()
        bad, held = ansible.tasks([task, task])
        assert bad.failed and bad["reason"] == "HealthCheckFailed" and bad["rolled_back"] is True
        assert "The command succeeds there." in bad["msg"] and contents(dest) == FILES["1.4.2"]
        assert (held.failed, held.changed, held["reason"]) == (False, False, "HeldBack")
        # the bad release was fetched once
        assert len([each for each in registry.requests(since=mark) if "/blobs/" in each.path]) == 1
        refused = ansible.tasks([{PULL: {**pull, "tag": "1.4.3", "semver": None, "validate": "false %s"}}])[0]
        assert refused["reason"] == "HeldBack"
        publisher.publish("1.4.4", {"app.conf": "", "conf.d/b": "b\n"})
        invalid = ansible.tasks([task])[0]
        assert invalid.failed and invalid["reason"] == "ValidationFailed" and "-version 2" in invalid["msg"]
        publisher.publish("1.4.5", FILES["1.4.1"])
        fixed = ansible.tasks([task, {INFO: {"dest": str(dest)}}])
        assert fixed[0]["reason"] == "NewRevision" and contents(dest) == FILES["1.4.1"]
        assert [each["tag"] for each in fixed[1]["history"]] == ["1.4.5", "1.4.2"]
        assert fixed[1]["history"][1]["failures"] == 2
        assert [each["revision"].partition("@")[0] for each in fixed[1]["held"]] == ["1.4.3"]
