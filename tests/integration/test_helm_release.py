# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role helm_release on a real Kubernetes API, with charts from a real registry whose access log is the witness."""

from __future__ import annotations

from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import (
    RoleResult,
    RoleRunner,
    chart,
    downloads,
    edition,
    history,
    publish_chart,
    shown_values,
    stored_release,
)
from support.servers import RegistryServer


def source(publisher: Publisher, tag: str, **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def test_decisions(role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer) -> None:
    first = publish_chart(publisher, "1.0.0", chart())
    sources = {"demo": source(publisher, "1.0.0")}
    names = ["one", "two", "three"]

    def releases(**values: Any) -> list[dict[str, Any]]:
        own = {"namespace": namespace, "source": "demo"}
        return [{"name": name, "values": values.get(name, {"size": 1}), **own} for name in names]

    start = registry.mark()
    run = role(sources, releases())
    assert run.actions == dict.fromkeys(names, "install")
    # resolve, manifest, chart, and the config, so that the cache has the artifact as a whole
    assert [request.method for request in registry.requests(start)] == ["HEAD", "GET", "GET", "GET"]
    assert shown_values(role.cluster, namespace, "two") == {"color": "blue", "size": 1}

    start = registry.mark()
    run = role(sources, releases())
    assert not run.changed
    assert run.statistics == {"helm_processes": 0, "api_requests": 1}
    assert [(request.method, request.path) for request in registry.requests(start)] == [
        ("HEAD", f"/v2/{publisher.name.partition('/')[2]}/manifests/1.0.0")
    ]

    run = role(sources, releases(two={"size": 2}))
    assert run.actions == {"one": "none", "two": "upgrade", "three": "none"}
    assert run.releases["two"]["cause"] == "ValuesChanged"
    assert history(role.cluster, namespace, "two") == [(1, "superseded"), (2, "deployed")]
    assert shown_values(role.cluster, namespace, "two")["size"] == 2

    archive = chart(edition="second")
    second = publish_chart(publisher, "1.0.0", archive)
    start = registry.mark()
    run = role(sources, releases(two={"size": 2}))
    assert run.actions == dict.fromkeys(names, "upgrade")
    assert {each["cause"] for each in run.releases.values()} == {"ChartChanged"}
    assert downloads(registry, start, archive) == 1
    assert {edition(role.cluster, namespace, name) for name in names} == {"second"}
    assert run.charts["demo"]["digest"] == second != first

    stored = stored_release(role.cluster, namespace, "two", 3)
    assert stored["chart"]["metadata"]["version"] == "1.0.0"
    assert f"1.0.0@{second}" in stored["info"]["description"]
    assert run.releases["two"]["values_digest"] in stored["info"]["description"]


@pytest.mark.once
def test_two_hundred_releases(role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer) -> None:
    """One source and 200 releases: what is unchanged costs one request to the registry and one to the API in all."""
    names = [f"tenant-{number:03}" for number in range(200)]

    def run_with(expected: dict[str, str], **values: str) -> tuple[RoleResult, int]:
        releases = [{"name": name, "values": {"owner": values.get(name.replace("-", "_"), name)}} for name in names]
        start = registry.mark()
        defaults = {"namespace": namespace, "source": "demo"}
        run = role({"demo": source(publisher, "stable")}, releases, helm_release_defaults=defaults)
        assert not run.failed, run.message
        assert run.actions == {**dict.fromkeys(names, "none"), **expected}
        return run, start

    archive = chart()
    publish_chart(publisher, "stable", archive)
    _run, start = run_with(dict.fromkeys(names, "install"))
    assert downloads(registry, start, archive) == 1
    assert len(role.cluster.list("configmap", namespace, "app.kubernetes.io/managed-by=Helm")) == len(names)

    run, start = run_with({})
    assert not run.changed
    assert run.statistics == {"helm_processes": 0, "api_requests": 1}
    assert [request.method for request in registry.requests(start)] == ["HEAD"]

    run, start = run_with({"tenant-117": "upgrade"}, tenant_117="somebody else")
    assert run.releases["tenant-117"]["cause"] == "ValuesChanged"
    assert shown_values(role.cluster, namespace, "tenant-117")["owner"] == "somebody else"

    archive = chart(edition="second")
    publish_chart(publisher, "stable", archive)
    run, start = run_with(dict.fromkeys(names, "upgrade"), tenant_117="somebody else")
    assert {each["cause"] for each in run.releases.values()} == {"ChartChanged"}
    assert downloads(registry, start, archive) == 1
    shown = role.cluster.list("configmap", namespace, "app.kubernetes.io/managed-by=Helm")
    assert {each["data"]["edition"] for each in shown} == {"second"}
