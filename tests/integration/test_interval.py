# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules that run more often than a registry is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import HELM_LAYER, Blob, Publisher, tgz
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PULL, CHARTS = "cloudnative.artifacts.oci_artifact_pull", "cloudnative.artifacts.helm_chart_sources"


def test_what_was_answered_a_short_time_ago_is_not_asked_again(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "interval/app")

    def publish(version: str) -> None:
        chart = {"demo/Chart.yaml": f"apiVersion: v2\nname: demo\nversion: {version}\n", "demo/values.yaml": "a: 1\n"}
        place.publish(version, [Blob(tgz(chart), HELM_LAYER)])

    def tasks(**more: Any) -> list[dict[str, Any]]:
        wanted = {"url": place.url, "semver": "1.x"}
        options: list[tuple[str, dict[str, Any]]] = [
            (PULL, {**wanted, "dest": str(tmp_path / "one")}),
            (PULL, {"artifacts": [{**wanted, "dest": str(tmp_path / name)} for name in ("two", "three")]}),
            (PULL, {**wanted, "dest": str(tmp_path / "via"), "via": "controller", "cache_dir": str(tmp_path / "made")}),
            (CHARTS, {"sources": {"demo": wanted}, "cache_dir": str(tmp_path / "charts")}),
        ]
        return [{module: {"insecure": True, **given, **more}, "ignore_errors": True} for module, given in options]

    def versions(results: list[Any]) -> list[str]:
        assert not any(result.failed for result in results), results
        pulled, many, provided, charts = results
        found = [pulled, *many["results"], provided]
        return [*(each["artifact"]["tag"] for each in found), charts["charts"]["demo"]["tag"]]

    publish("1.0.0")
    first = ansible.tasks(tasks(interval="10m"))
    assert versions(first) == ["1.0.0"] * 5
    publish("1.1.0")
    mark = registry.mark()
    again = ansible.tasks(tasks(interval="10m"))
    assert registry.requests(since=mark) == []
    assert versions(again) == ["1.0.0"] * 5 and not any(result.changed for result in again)
    for before, after in zip(first, again):
        assert before.get("confirmed_at") == after.get("confirmed_at")
    assert again[0]["confirmed_at"] and again[2]["confirmed_at"] and again[3]["charts"]["demo"]["confirmed_at"]
    # what the registry has now goes into a lock file
    locked = ansible.tasks(tasks(interval="10m", lock_file=str(tmp_path / "oci.lock.yml"), lock="update"))
    assert versions(locked) == ["1.1.0"] * 5
    publish("1.2.0")
    assert versions(ansible.tasks(tasks())) == ["1.2.0"] * 5
