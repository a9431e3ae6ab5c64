# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls that are suspended, validated, and judged after they were placed, on one host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher, contents
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, INFO, ROLLBACK = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "info", "rollback"))
FILES: dict[str, dict[str, Any]] = {
    "1.4.1": {"app.conf": "version 1\n", "conf.d/a": "a\n"},
    "1.4.2": {"app.conf": "version 2\n", "conf.d/b": "b\n"},
    "1.4.3": {"app.conf": "broken\n", "conf.d/b": "b\n"},
}


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
        no_single_one = {ROLLBACK: {**suspend[ROLLBACK], "to": "1.4.2"}, "ignore_errors": True}
        refused, first, suspended, quiet, resumed = ansible.tasks([no_single_one, task, suspend, task, resume])
        assert refused["reason"] == "InvalidOption" and "'to' is '1.4.2' with state: suspended" in refused["msg"]
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
