# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull from a real registry: what is selected, how many requests it takes, what is returned."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import LAYER, Publisher, contents, digest_of, snapshot, tgz, write_layout
from support.servers import RegistryServer

PULL = "cloudnative.artifacts.oci_artifact_pull"
FILES = {"app.yaml": "replicas: 1\n", "sub/": "", "sub/data.bin": b"\0\1\2"}


def pull(**options: Any) -> dict[str, Any]:
    return {PULL: {"insecure": True, **options}, "ignore_errors": True}


def shell(command: str) -> dict[str, Any]:
    return {"ansible.builtin.raw": command}


@pytest.fixture(scope="module")
def published(registry: RegistryServer) -> Publisher:
    """A repository with releases, builds of branches, and other tags."""
    place = Publisher(registry.host, "pull/selection")
    releases = ("1.0.0", "1.2.0", "v1.10.0", "2.0.0-rc.1", "1.2.0-debian")
    for tag in (*releases, "main-aaa-100", "main-bbb-99", "rel-a", "rel-b"):
        place.publish(tag, {"tag": tag})
    place.publish("latest", FILES)
    return place


def test_ad_hoc_command_in_check_diff_and_real_runs(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    Publisher(registry.host, "x").publish("1", FILES)
    dest = tmp_path / "x"
    arguments = f"ref=localhost:{registry.port}/x:1 dest={dest} insecure=true"
    before = snapshot(tmp_path)
    done = ansible.adhoc("oci_artifact_pull", arguments, "--check", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CHANGED" in done.stdout and "+replicas: 1" in done.stdout and "file of 3 bytes, sha256:" in done.stdout
    assert snapshot(tmp_path) == before
    done = ansible.adhoc("oci_artifact_pull", arguments)
    assert done.returncode == 0 and "CHANGED" in done.stdout, done.stdout + done.stderr
    assert contents(dest) == {"app.yaml": "replicas: 1\n", "sub/data.bin": "\0\1\2"}
    assert stat.S_IMODE((dest / ".oci-artifact").stat().st_mode) == 0o700
    mark, before = registry.mark(), snapshot(tmp_path)
    done = ansible.adhoc("oci_artifact_pull", arguments)
    assert done.returncode == 0 and "SUCCESS" in done.stdout and '"changed": false' in done.stdout
    assert [(request.method, request.path) for request in registry.requests(since=mark)] == [
        ("HEAD", "/v2/x/manifests/1")
    ]
    assert snapshot(tmp_path) == before


@pytest.mark.once
def test_an_unchanged_pull_by_digest_makes_no_request(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "pull/pinned")
    digest = place.publish("1.0.0", FILES)
    pinned = pull(ref=f"{place.name}@{digest}", dest=str(tmp_path / "a"))
    first, second = ansible.tasks([pinned, shell("true"), pinned])[::2]
    assert first.changed and first["artifact"]["revision"] == digest and first["artifact"]["tag"] == ""
    assert not second.changed and second["reason"] == "ArtifactUpToDate"
    assert second["artifact"] == first["artifact"]
    mark = registry.mark()
    ansible.tasks([pinned])
    assert registry.requests(since=mark) == []


def test_results_of_a_first_pull_an_upgrade_and_an_unchanged_run(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "pull/results")
    annotations = {"org.opencontainers.image.revision": "main@sha1:abc"}
    first_digest = place.publish("1.0.0", FILES, annotations=annotations)
    dest = str(tmp_path / "dest")
    first = ansible.tasks([pull(url=place.url, semver="1.x", dest=dest)])[0]
    layer = tgz(FILES)
    artifact = first["artifact"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", artifact["last_update_time"])
    assert artifact == {
        "url": place.url,
        "revision": f"1.0.0@{first_digest}",
        "tag": "1.0.0",
        "digest": first_digest,
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "artifact_type": "application/vnd.cncf.flux.config.v1+json",
        "metadata": annotations,
        "layer": {"digest": digest_of(layer), "media_type": LAYER, "size": len(layer)},
        "size": len(layer),
        "path": dest,
        "last_update_time": artifact["last_update_time"],
    }
    assert (first.changed, first["reason"], first["diff"]) == (True, "NewRevision", [])
    none = {"added": [], "changed": [], "removed": [], "permissions": [], "ignored": 0}
    assert first["changes"] == {**none, "added": ["app.yaml", "sub", "sub/data.bin"]}
    place.publish("1.1.0", {"app.yaml": "replicas: 2\n", "new.yaml": "a: 1\n", "logo.png": "left out by default"})
    upgrade = pull(url=place.url, semver="1.x", dest=dest)
    checked = ansible.tasks([upgrade], check=True)[0]
    assert (checked.changed, checked["reason"]) == (True, "NewRevision")
    assert checked["artifact"]["tag"] == "1.1.0"
    second, third = ansible.tasks([upgrade, upgrade], diff=True)
    assert second["changes"] == {
        **none,
        "added": ["new.yaml"],
        "changed": ["app.yaml"],
        "removed": ["sub/data.bin", "sub"],
        "ignored": 1,
    }
    assert [(entry["before"], entry["after"]) for entry in second["diff"]] == [
        ("replicas: 1\n", "replicas: 2\n"),
        ("", "a: 1\n"),
        (f"file of 3 bytes, {digest_of(bytes([0, 1, 2]))[:19]}\n", ""),
    ]
    assert second["diff"][0]["before_header"] == f"{dest}/app.yaml"
    assert (third.changed, third["reason"], third["changes"], third["diff"]) == (False, "ArtifactUpToDate", none, [])
    assert third["artifact"] == second["artifact"]


BRANCH = "^main-\\w+-(?P<ts>\\d+)$"
SELECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"semver": "1.x"}, "v1.10.0"),
    ({"semver": ">=1.0.0-0"}, "2.0.0-rc.1"),
    ({"semver": "~1.0"}, "1.0.0"),
    ({"semver": "1.2 - 1.5 || 0.1"}, "1.2.0"),
    ({"semver": ">=1.0.0-0", "semver_filter": "debian$"}, "1.2.0-debian"),
    ({"filter_tags": {"pattern": "^v?(?P<v>1.*)$", "extract": "$v", "policy": {"semver": {"range": "<1.5"}}}}, "1.2.0"),
    (
        {"filter_tags": {"pattern": BRANCH, "extract": "$ts", "policy": {"numerical": {"order": "asc"}}}},
        "main-aaa-100",
    ),
    (
        {"filter_tags": {"pattern": BRANCH, "extract": "${1}", "policy": {"numerical": {"order": "desc"}}}},
        "main-bbb-99",
    ),
    ({"filter_tags": {"pattern": "^rel-", "policy": {"alphabetical": {"order": "asc"}}}}, "rel-b"),
    ({"tag": "1.0.0"}, "1.0.0"),
    ({}, "latest"),
]


@pytest.mark.once
def test_selection_by_range_filter_policy_and_tag(ansible: AnsibleRunner, published: Publisher, tmp_path: Path) -> None:
    tasks = [pull(url=published.url, dest=str(tmp_path / "d"), **options) for options, _tag in SELECTIONS]
    results = ansible.tasks(tasks, check=True)
    found = [result.get("msg") or result["artifact"]["tag"] for result in results]
    assert found == [tag for _options, tag in SELECTIONS]
    for result in results:
        assert result["artifact"]["revision"] == f"{result['artifact']['tag']}@{result['artifact']['digest']}"
        assert not result["warnings"]
    assert not (tmp_path / "d").exists()


def test_reference_forms_and_precedence(
    ansible: AnsibleRunner, published: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    digest = published.publish("1.0.0", {"tag": "1.0.0"})
    forms: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"ref": f"{published.name}:1.0.0"}, f"1.0.0@{digest}", []),
        ({"ref": f"oci://{published.name}:1.0.0"}, f"1.0.0@{digest}", []),
        ({"ref": f"{published.name}:rel-a@{digest}"}, f"rel-a@{digest}", []),
        ({"url": published.name, "tag": "1.0.0"}, f"1.0.0@{digest}", []),
        ({"ref": published.name, "tag": "1.0.0"}, f"1.0.0@{digest}", []),
        ({"url": published.url, "digest": digest}, digest, []),
        ({"url": published.url, "tag": "rel-a", "semver": "~1.0"}, f"1.0.0@{digest}", ["tag"]),
        ({"url": published.url, "tag": "rel-a", "digest": digest}, digest, ["tag"]),
        ({"url": published.url, "semver": "2.x", "digest": digest}, digest, ["semver"]),
        ({"url": published.url, "tag": "1.0.0", "semver_filter": "debian"}, f"1.0.0@{digest}", ["semver_filter"]),
    ]
    tasks = [pull(dest=str(tmp_path / "d"), **options) for options, _revision, _losers in forms]
    results = ansible.tasks(tasks, check=True)
    for result, (options, revision, losers) in zip(results, forms):
        assert not result.failed, (options, result["msg"])
        assert result["artifact"]["revision"] == revision, options
        assert len(result["warnings"]) == len(losers), options
        for loser, warning in zip(losers, result["warnings"]):
            assert f"'{loser}' has no effect" in warning


def test_module_defaults_loop_and_async(ansible: AnsibleRunner, published: Publisher, tmp_path: Path) -> None:
    loop = {
        PULL: {"url": published.url, "tag": "{{ item }}", "dest": f"{tmp_path}/{{{{ item }}}}"},
        "loop": ["rel-a", "rel-b"],
    }
    waited = {
        PULL: {"url": published.url, "semver": "1.x", "dest": f"{tmp_path}/async"},
        "async": 600,
        "poll": 1,
        "vars": {"ansible_async_dir": str(tmp_path / "jobs")},
    }
    defaults = {"group/cloudnative.artifacts.oci": {"insecure": True, "timeout": "30s"}}
    looped, asynchronous = ansible.tasks([loop, waited], module_defaults=defaults)
    assert [item["artifact"]["tag"] for item in looped["results"]] == ["rel-a", "rel-b"]
    assert (tmp_path / "rel-a/tag").read_text() == "rel-a"
    assert asynchronous.changed, json.dumps(asynchronous)
    assert contents(tmp_path / "async") == {"tag": "v1.10.0"}


def test_a_layout_is_a_source_without_a_server(ansible: AnsibleRunner, tmp_path: Path) -> None:
    digest = write_layout(tmp_path / "layout", "1.4.0", FILES)
    ref = f"oci-layout:{tmp_path}/layout"
    dest = str(tmp_path / "dest")
    first, second, by_digest = ansible.tasks(
        [
            pull(url=ref, semver="^1.2", dest=dest),
            pull(ref=f"{ref}:1.4.0", dest=dest),
            pull(ref=f"{ref}@{digest}", dest=dest),
        ]
    )
    assert first["artifact"]["revision"] == f"1.4.0@{digest}" and first["artifact"]["url"] == ref
    assert not second.changed, "the same revision, however it was asked for"
    # another revision string is another revision, though no file differs
    assert by_digest.changed and by_digest["changes"]["added"] == by_digest["changes"]["changed"] == []


def test_suspend_does_nothing_and_returns_what_is_there(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "pull/suspended")
    place.publish("1.0.0", FILES)
    dest = str(tmp_path / "dest")
    first = ansible.tasks([pull(url=place.url, semver="*", dest=dest)])[0]
    place.publish("1.1.0", {"other": "x"})
    mark, before = registry.mark(), snapshot(tmp_path)
    unknown, suspended = ansible.tasks(
        [
            pull(url=place.url, dest=str(tmp_path / "never"), suspend=True),
            pull(url=place.url, semver="*", dest=dest, suspend=True),
        ]
    )
    assert registry.requests(since=mark) == []
    assert snapshot(tmp_path) == before
    assert (suspended.changed, suspended["reason"], suspended["artifact"]) == (False, "Suspended", first["artifact"])
    assert (unknown.changed, unknown["artifact"]) == (False, {})


def test_check_mode_with_diff_says_what_the_run_then_does(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    place = Publisher(registry.host, "pull/check")
    place.publish("1", FILES)
    cache = tmp_path / "cache"
    task = pull(ref=f"{place.name}:1", dest=str(tmp_path / "dest"), cache_dir=str(cache))
    ansible.tasks([task])
    place.publish("1", {"app.yaml": "replicas: 3\n", "more": "x"})
    (tmp_path / "dest/mine").write_text("foreign")
    before = snapshot(tmp_path)
    checked = ansible.tasks([task], check=True, diff=True)[0]
    assert snapshot(tmp_path) == before
    done = ansible.tasks([task], diff=True)[0]
    assert _comparable(checked) == _comparable(done)
    assert (checked.changed, checked["reason"]) == (True, "NewRevision")


def _comparable(result: TaskResult) -> Any:
    kept = {name: result[name] for name in ("changed", "changes", "diff", "reason", "artifact")}
    return {**kept, "artifact": {**kept["artifact"], "last_update_time": ""}}


def test_names_do_not_depend_on_the_locale(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    place = Publisher(registry.host, "pull/names")
    names = {"größe/ß.txt": "a", "日本": "b"}
    place.publish("1", {"größe/": "", **names})
    place.publish("2", {"日本": "b2"})
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for number, locale in enumerate(({}, environment)):
        dest = tmp_path / f"dest{number}"
        first, again, second = ansible.tasks(
            [{**pull(ref=f"{place.name}:{tag}", dest=str(dest)), "environment": locale} for tag in ("1", "1", "2")],
            diff=True,
        )
        assert not first.failed, json.dumps(first)
        assert first.changed and not again.changed and second.changed
        assert len(first["changes"]["added"]) == 3
        assert contents(dest) == {"日本": "b2"}
