# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts found through ansible-playbook: in a repository, a registry, the cache; and where that is not permitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import HELM_LAYER, Blob, Publisher, manifest_of, tgz
from support.hostile_registry import Answer, hostile_registry
from support.servers import RegistryServer
from support.tools import Tools

PULL, INFO = "cloudnative.artifacts.oci_artifact_pull", "cloudnative.artifacts.oci_artifact_info"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
COPY = {"media_type": HELM_LAYER, "operation": "copy"}


def task(module: str, **options: Any) -> dict[str, Any]:
    return {module: {"insecure": True, **options}, "ignore_errors": True}


def ok(results: list[TaskResult]) -> list[TaskResult]:
    assert [result["msg"] for result in results if result.failed] == []
    return results


class Charts(Publisher):
    """Publishes charts, as helm push stores them, into one repository."""

    def __init__(self, registry: RegistryServer, repository: str) -> None:
        super().__init__(registry.host, repository)
        self.chart = repository.rpartition("/")[2]

    def push(self, version: str, *tags: str, **fields: Any) -> str:
        metadata = {"apiVersion": "v2", "name": self.chart, "version": version, **fields}
        text = json.dumps(metadata)  # JSON is YAML
        layer, config = Blob(tgz({f"{self.chart}/Chart.yaml": text}), HELM_LAYER), Blob(text.encode(), HELM_CONFIG)
        for blob in (layer, config):
            self._push_blob(blob.data)
        raw = manifest_of([layer], config)
        return [self.put_manifest(tag, raw) for tag in tags or (version,)][0]


@pytest.mark.once
def test_charts_are_found(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path) -> None:
    place = f"{registry.host}/search"
    shop, wordpress = f"{place}/shop", f"{place}/team/wordpress"
    charts, cache = Charts(registry, "search/shop"), tmp_path / "cache"
    digests = {
        "1.0.0": charts.push("1.0.0", appVersion="2025.1", deprecated=True),
        "1.2.0": charts.push("1.2.0", "1.2.0", "stable", appVersion="2026.1", description="Sells things"),
        "1.10.0_build.1": charts.push("1.10.0+build.1", "1.10.0_build.1", appVersion="2026.2", type="library"),
        "2.0.0-rc.1": charts.push("2.0.0-rc.1"),
    }
    digests["stable"] = digests["1.2.0"]
    charts.publish("1.5.0", {"no": "chart"})
    Charts(registry, "search/team/wordpress").push("6.7.0", appVersion="6.7")
    Publisher(registry.host, "search/team/image").publish("1.0.0", {"no": "chart"})
    look, search = {"gather": ["charts"]}, {"registry": registry.host, "name_filter": "^search/"}
    looks = [
        task(INFO, ref=shop, **look),
        task(INFO, ref=shop, **look, limit=2),
        task(INFO, url=f"oci://{shop}", **look, semver="1.x"),
        task(INFO, **search),
        task(INFO, **search, **look),
        task(INFO, **search, **look, limit=0, semver=">=1.1"),
        task(INFO, registry=f"oci://{registry.host}/search/team/", name_filter="^search/.*word"),
        task(INFO, **search, max_repositories=1),
    ]
    pulls = [
        task(PULL, ref=ref, dest=f"{tmp_path}/{number}/", layer_selector=COPY, cache_dir=str(cache))
        for number, ref in enumerate((f"{shop}:1.2.0", f"{shop}:stable", f"{wordpress}:6.7.0"))
    ]
    held = {"from_cache": True, "cache_dir": str(cache)}
    offline = [
        task(INFO, **held, **look, limit=0),
        task(INFO, **held, registry="elsewhere.example.com"),
        task(INFO, **held, ref=shop, **look),
        task(INFO, **held, ref=f"{shop}:stable", gather=["manifest", "config", "tags"]),
        task(INFO, **held, ref=f"{shop}:1.0.0", missing_ok=True),
    ]
    for each in offline:
        del each[INFO]["insecure"]
    results = ok(ansible.tasks([*looks, *pulls, *offline]))
    all_charts, few, ranged, names, newest, more, filtered, bounded = results[: len(looks)]

    def seen(result: TaskResult, *fields: str) -> list[Any]:
        return [
            tuple(chart[field] for field in fields) if fields[1:] else chart[fields[0]] for chart in result["charts"]
        ]

    assert seen(all_charts, "tag", "version", "app_version", "deprecated", "type") == [
        ("2.0.0-rc.1", "2.0.0-rc.1", "", False, "application"),
        ("1.10.0_build.1", "1.10.0+build.1", "2026.2", False, "library"),
        ("1.2.0", "1.2.0", "2026.1", False, "application"),
        ("1.0.0", "1.0.0", "2025.1", True, "application"),
        ("stable", "1.2.0", "2026.1", False, "application"),
    ]
    assert {chart["tag"]: chart["digest"] for chart in all_charts["charts"]} == digests
    assert all_charts["charts"][2]["description"] == "Sells things" and all_charts["truncated"] is False
    assert (seen(few, "tag"), few["truncated"]) == (["2.0.0-rc.1", "1.10.0_build.1"], True)
    assert seen(ranged, "tag") == ["1.10.0_build.1", "1.2.0", "1.0.0"]
    repositories = [f"{place}/{name}" for name in ("shop", "team/image", "team/wordpress")]
    assert sorted(names["repositories"]) == repositories and "charts" not in names and names["truncated"] is False
    # the newest of each, and what is no chart is none
    assert sorted(seen(newest, "url", "tag")) == [(f"oci://{shop}", "2.0.0-rc.1"), (f"oci://{wordpress}", "6.7.0")]
    assert sorted(seen(more, "tag")) == ["1.10.0_build.1", "1.2.0", "6.7.0"]
    assert filtered["repositories"] == [wordpress]
    assert (len(bounded["repositories"]), bounded["truncated"]) == (1, True)

    every_held, elsewhere, of_shop, one, missing = results[-len(offline) :]
    assert seen(every_held, "url", "tag", "version") == [
        (f"oci://{shop}", "1.2.0", "1.2.0"),
        (f"oci://{shop}", "stable", "1.2.0"),
        (f"oci://{wordpress}", "6.7.0", "6.7.0"),
    ]
    assert elsewhere["repositories"] == [] and every_held["repositories"] == [shop, wordpress]
    assert seen(of_shop, "tag", "app_version") == [("1.2.0", "2026.1"), ("stable", "2026.1")]
    assert one["artifact"]["digest"] == digests["stable"] and one["tags"] == ["1.2.0", "stable"]
    assert one["artifact"]["url"] == f"oci://{shop}" and one["config"]["appVersion"] == "2026.1"
    assert (missing["exists"], missing["reason"]) == (False, "OCIArtifactPullFailed")
    shown = tools.run("helm", "show", "chart", "--plain-http", f"oci://{shop}@{digests['1.0.0']}").stdout
    assert "deprecated: true" in shown and 'appVersion: "2025.1"' in shown


@pytest.mark.once
def test_what_a_search_costs(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    """Two requests for a tag without a cache; with it, one, and what the cache lacks."""
    charts = Charts(registry, "search-costs")
    for number in range(3):
        charts.push(f"1.{number}.0")
    plain = task(INFO, ref=charts.name, gather=["charts"])
    cached = task(INFO, ref=charts.name, gather=["charts"], cache_dir=str(tmp_path / "cache"))
    start = registry.mark()
    one, filled, again = ok(ansible.tasks([plain, cached, cached]))
    assert one["charts"] == filled["charts"] == again["charts"] and len(one["charts"]) == 3
    methods = [request.method for request in registry.requests(start)]
    assert methods[:7] == ["GET"] * 7 and sorted(methods[7:17]) == ["GET"] * 7 + ["HEAD"] * 3
    assert sorted(methods[17:]) == ["GET"] + ["HEAD"] * 3


@pytest.mark.once
def test_what_is_not_permitted_is_said(ansible: AnsibleRunner, htpasswd_registry: RegistryServer) -> None:
    """A reason and never an empty list; what may be searched but not read is named."""
    login = {"username": htpasswd_registry.username, "password": htpasswd_registry.password}
    with hostile_registry() as private, hostile_registry() as plain, hostile_registry() as partial:
        for server, status in ((private, 403), (plain, 404)):
            server.answers["/v2/"] = Answer(b"{}", "application/json")
            server.answers["/v2/_catalog"] = Answer(b"{}", "application/json", status)
        partial.answers["/v2/_catalog"] = Answer(b'{"repositories": ["secret", "gone"]}', "application/json")
        partial.answers["/v2/secret/tags/list"] = Answer(b"{}", "application/json", 403)
        *closed, denied, nobody, somebody = ansible.tasks(
            [
                task(INFO, registry=private.host),
                task(INFO, registry=private.host, missing_ok=True, gather=["charts"]),
                task(INFO, registry=plain.host),
                task(INFO, registry=plain.host, missing_ok=True, gather=["charts"]),
                task(INFO, registry=partial.host, gather=["charts"]),
                task(INFO, registry=htpasswd_registry.host, missing_ok=True),
                task(INFO, registry=htpasswd_registry.host, **login),
            ]
        )
    for number, (server, reason) in enumerate(((private, "CatalogNotPermitted"), (plain, "CatalogNotSupported"))):
        strict, lenient = closed[2 * number : 2 * number + 2]
        assert strict.failed and strict["reason"] == reason and "'ref'" in strict["msg"]
        ok([lenient])
        assert (lenient["exists"], lenient["reason"]) == (False, reason)
        assert lenient["charts"] == lenient["repositories"] == [] and server.host in lenient["missing"]
    ok([denied, somebody])
    assert denied["denied"] == [f"{partial.host}/secret"] and denied["charts"] == []
    assert denied["repositories"] == [f"{partial.host}/{name}" for name in ("secret", "gone")]
    # who is not let in at all has to log in first
    assert nobody.failed and nobody["reason"] == "AuthenticationFailed"
    assert somebody["exists"] is True
