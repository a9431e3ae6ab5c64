# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull while its registry is away, and after it came back.

Which failures count, and what keeps content from being kept, is tested case by case in tests/unit.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import Fault, FaultProxy
from support import servers, vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher, contents
from support.tools import Tools

PULL = "cloudnative.artifacts.oci_artifact_pull"
FILES = {"app.yaml": "replicas: 1\n", "sub/data": "x"}
KEEP = {"use": "last_good"}
DAY = {**KEEP, "max_age": "24h"}
KEY_A, KEY_B = (str(vectors.ROOT / "keys" / f"{name}.pub") for name in ("key-a", "key-b"))


class Host:
    """Tasks of one host; each has a folder of its own."""

    def __init__(self, ansible: AnsibleRunner, folder: Path) -> None:
        self._ansible = ansible
        self._folder = folder

    def dest(self, name: str) -> Path:
        return self._folder / name

    def task(self, name: str, **options: Any) -> dict[str, Any]:
        options = {"insecure": True, "retries": 0, "dest": str(self.dest(name)), **options}
        return {"name": name, PULL: options, "ignore_errors": True}

    def run(self, *tasks: dict[str, Any]) -> list[TaskResult]:
        results = self._ansible.tasks(tasks)
        assert len(results) == len(tasks)
        return results


def is_kept(result: TaskResult) -> bool:
    """Whether a task went well without its registry, and says so in every place."""
    assert not result.failed, result["msg"]
    assert result["degraded"] is True and not result.changed and result["reason"] == "LastGoodKept"
    assert result["degraded_reason"] == "ConnectionFailed" and "Connection refused" in result["degraded_message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["degraded_since"])
    (warning,) = result["warnings"]
    assert "is kept, which the registry last confirmed" in warning and result["degraded_message"] in warning
    return True


def why_not(result: TaskResult) -> str:
    """Why nothing was kept."""
    assert result.failed and result["reason"] == "ConnectionFailed" and "degraded" not in result
    return str(result["msg"]).partition("'on_registry_error' has no effect: ")[2]


def age(dest: Path, hours: int) -> None:
    """Make what is on record older: when it was placed, and when it was confirmed."""
    state, note = dest / ".oci-artifact/state", dest / ".oci-artifact/confirmed"
    record = json.loads(state.read_text())
    record["artifact"]["last_update_time"] = "2026-01-01T00:00:00Z"
    state.write_text(json.dumps(record))
    fingerprint, moment, *terms = note.read_text().split()
    note.write_text(" ".join([fingerprint, f"{int(moment) - hours * 3600:020d}", *terms, ""]).rstrip() + "\n")


@pytest.mark.once
def test_a_registry_that_is_stopped_and_comes_back(ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    host, folder, binary = Host(ansible, tmp_path), tmp_path / "registry", Path(tools["registry"])
    folder.mkdir()
    row = next(row for row in vectors.rows() if row["name"] == "flux-legacy-a/key-a")
    with servers.distribution(binary, folder) as server:
        place = Publisher(server.host, "config")
        place.publish("1.0.0", FILES)
        signed = {"ref": f"{server.host}/{vectors.publish(row, server.host)}:{row['ref']}"}
        by_range = {"url": place.url, "semver": "1.x"}
        first = host.run(
            host.task("config", **by_range, on_registry_error=DAY),
            host.task("old", **by_range, on_registry_error=DAY),
            host.task("altered", **by_range),
            host.task("signed", **signed, on_registry_error=KEEP, verify={"public_keys": [KEY_A]}),
        )
        assert [(result.changed, result["degraded"]) for result in first] == [(True, False)] * 4
    (host.dest("altered") / "app.yaml").write_text("replicas: 2\n")
    age(host.dest("config"), hours=23)
    age(host.dest("old"), hours=25)

    config, verified, without, other_key, altered, old, fresh = host.run(
        host.task("config", **by_range, on_registry_error=DAY),
        host.task("signed", **signed, on_registry_error=KEEP, verify={"public_keys": [KEY_A]}),
        host.task("config", **by_range),
        host.task("signed", **signed, on_registry_error=KEEP, verify={"public_keys": [KEY_B]}),
        host.task("altered", **by_range, on_registry_error=KEEP),
        host.task("old", **by_range, on_registry_error=DAY),
        host.task("fresh", **by_range, on_registry_error=KEEP),
    )
    assert is_kept(config) and is_kept(verified)
    assert 23 * 3600 <= config["degraded_seconds"] < 24 * 3600 and "confirmed 23h" in config["warnings"][0]
    assert config["artifact"]["tag"] == "1.0.0" and verified["verification"]["verified"] is True
    assert why_not(without) == ""
    assert why_not(other_key) == "what is there was not verified under this policy."
    assert why_not(altered) == "what is there was altered (app.yaml), and only the registry has the original."
    assert why_not(old) == "the registry last confirmed what is there 1d 1h ago, and 'max_age' is 1d."
    assert why_not(fresh) == "nothing that was pulled before is there." and not host.dest("fresh").exists()
    assert contents(host.dest("config")) == contents(host.dest("old")) == FILES

    with servers.distribution(binary, folder, port=server.port):
        back, healed = host.run(
            host.task("config", **by_range, on_registry_error=DAY), host.task("altered", **by_range)
        )
    assert (back.changed, back["degraded"], back["reason"]) == (False, False, "ArtifactUpToDate")
    assert healed.changed and contents(host.dest("altered")) == FILES
    os.chmod(host.dest("config") / "app.yaml", 0o600)
    repaired, kept = host.run(*[host.task("config", **by_range, on_registry_error=DAY)] * 2)
    assert repaired.changed and repaired["degraded"] and repaired["reason"] == "DriftCorrected"
    assert repaired["changes"]["permissions"] == ["app.yaml"]
    assert stat.S_IMODE((host.dest("config") / "app.yaml").stat().st_mode) == 0o644
    assert is_kept(kept) and kept["degraded_seconds"] < 3600, "it was confirmed when the registry was back"


@pytest.mark.once
def test_a_registry_that_drips_its_head(
    ansible: AnsibleRunner, registry: servers.RegistryServer, tmp_path: Path
) -> None:
    """A byte every 0.3 s: the head of an answer would take minutes, and each byte comes in time."""
    host = Host(ansible, tmp_path)
    with FaultProxy(registry.host) as proxy:
        place = Publisher(registry.host, "dripping")
        place.publish("1.0.0", FILES)
        options = {"ref": f"{proxy.host}/dripping:1.0.0"}
        (first,) = host.run(host.task("config", **options))
        assert first.changed
        proxy.always("", "", Fault(drip_head=(1, 0.3)))
        start = time.monotonic()
        impatient = {**options, "timeout": "2s", "retries": 1}
        kept, failed = host.run(
            host.task("config", **impatient, on_registry_error=KEEP), host.task("fresh", **impatient)
        )
        # two attempts of 2 s each, with a pause, and what it takes to start two tasks on a busy machine
        assert time.monotonic() - start < 80
    assert not kept.failed and kept["degraded"] is True and kept["degraded_reason"] == "ConnectionFailed"
    assert contents(host.dest("config")) == FILES
    assert failed.failed and failed["reason"] == "ConnectionFailed"
    assert re.search(
        r"HEAD http://127\.0\.0\.1:\d+/v2/dripping/manifests/1\.0\.0 got no .*answer within 2 s", failed["msg"]
    )
