# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_info through ansible-playbook: what each part is, and what it costs in requests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools

PUSH = "cloudnative.artifacts.oci_artifact_push"
INFO = "cloudnative.artifacts.oci_artifact_info"
PULL = "cloudnative.artifacts.oci_artifact_pull"
PARTS = ("manifest", "config", "layers", "tags", "platforms", "referrers")
NOWHERE = "sha256:" + "0" * 64


def info(ref: str = "", **options: Any) -> dict[str, Any]:
    """A task; a failure is a result too."""
    return {"name": "look", INFO: {**({"ref": ref} if ref else {}), "insecure": True, **options}, "ignore_errors": True}


def push(ref: str, path: Path, **options: Any) -> dict[str, Any]:
    return {"name": "push", PUSH: {"ref": ref, "path": str(path), "insecure": True, **options}}


def run(ansible: AnsibleRunner, *tasks: dict[str, Any]) -> list[TaskResult]:
    results = ansible.tasks(tasks)
    assert len(results) == len(tasks), results[-1]
    assert not any(result.changed for task, result in zip(tasks, results) if INFO in task)
    return results


def parts_of(result: TaskResult) -> set[str]:
    return set(PARTS) & set(result)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")
    return path


@pytest.fixture(params=["registry", "layout"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the same look has to give the same answer."""
    if request.param == "layout":
        return f"oci-layout:{tmp_path}/layout"
    server: RegistryServer = request.getfixturevalue("registry")
    return f"{server.host}/info/{request.node.originalname.replace('_', '-')}"


@pytest.mark.once
def test_requests(ansible: AnsibleRunner, registry: RegistryServer, file: Path) -> None:
    """Each part costs what it needs: nothing gathered is one HEAD, as the registry's own access log shows."""
    repository = f"{registry.host}/info/requests"
    digest = run(ansible, push(f"{repository}:1.0.0", file))[0]["artifact"]["digest"]
    subject, manifests = f"{repository}:1.0.0", "/v2/info/requests/manifests/"
    cases: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
        ({"ref": subject, "gather": []}, [("HEAD", manifests + "1.0.0")]),
        ({"ref": subject, "gather": ["none"]}, [("HEAD", manifests + "1.0.0")]),
        ({"ref": f"{repository}@{digest}", "gather": []}, [("HEAD", manifests + digest)]),
        ({"ref": subject}, [("GET", manifests + "1.0.0")]),
        ({"ref": subject, "gather": ["manifest", "layers", "platforms"]}, [("GET", manifests + "1.0.0")]),
        ({"ref": subject, "gather": ["config"]}, [("GET", manifests + "1.0.0"), ("GET", "/v2/info/requests/blobs/")]),
        ({"ref": repository, "gather": ["tags"]}, [("GET", "/v2/info/requests/tags/list")]),
        (
            {"ref": repository, "semver": "*", "gather": []},
            [("GET", "/v2/info/requests/tags/list"), ("HEAD", manifests + "1.0.0")],
        ),
        (
            {"ref": subject, "gather": ["referrers"]},
            [
                ("HEAD", manifests + "1.0.0"),
                ("GET", f"/v2/info/requests/referrers/{digest}"),
                ("GET", manifests + digest.replace(":", "-")),
            ],
        ),
    ]
    start = registry.mark()
    results = run(ansible, *(info(**options) for options, _wanted in cases))
    requests = [(request.method, request.path) for request in registry.requests(start)]
    for (options, wanted), result in zip(cases, results):
        found, requests = requests[: len(wanted)], requests[len(wanted) :]
        assert [method for method, _path in found] == [method for method, _path in wanted], options
        assert all(path.startswith(prefix) for (_m, path), (_n, prefix) in zip(found, wanted)), (options, found)
        assert not result.failed and result["exists"] is True
        if options.get("gather", ["manifest"]) != ["tags"]:
            assert result["artifact"]["digest"] == digest
    assert requests == []


def test_every_part(ansible: AnsibleRunner, place: str, file: Path) -> None:
    options = {"type": "files", "annotations": {"key": "a=b"}, "artifact_type": "application/x.y"}
    pushed, referrer, *looks = run(
        ansible,
        push(f"{place}:1.0.0", file, **options, tags=["stable"]),
        push(place, file, type="files", subject="1.0.0", artifact_type="application/x.sbom", annotations={"of": "it"}),
        info(f"{place}:1.0.0", gather=["all"]),
        *(info(f"{place}:1.0.0", gather=[part]) for part in PARTS),
        info(f"{place}:1.0.0", gather=["none"]),
        info(f"{place}:1.0.0", gather=["referrers"], artifact_type="application/x.sbom"),
        info(f"{place}:1.0.0", gather=["referrers"], artifact_type="application/x.other"),
    )
    every, *singles, nothing, found, not_found = looks
    artifact = pushed["artifact"]
    assert every["artifact"] == artifact
    assert parts_of(every) == set(PARTS) and parts_of(nothing) == set()
    for part, single in zip(PARTS, singles):
        assert parts_of(single) == {part} and single[part] == every[part], part
    short = {key: artifact[key] for key in ("url", "revision", "tag", "digest", "media_type")}
    assert nothing["artifact"] == short
    assert every["manifest"]["annotations"] == artifact["metadata"] == {"key": "a=b"}
    assert every["config"] == {} and every["platforms"] == []
    assert every["tags"] == ["1.0.0", "stable"]
    (layer,) = every["layers"]
    assert layer == {**artifact["layer"], "annotations": {"org.opencontainers.image.title": "a.yaml"}}
    (entry,) = every["referrers"]
    assert found["referrers"] == [entry] and not_found["referrers"] == []
    assert entry["digest"] == referrer["artifact"]["digest"]
    assert (entry["artifact_type"], entry["annotations"]) == ("application/x.sbom", {"of": "it"})


@pytest.mark.once
def test_tags(ansible: AnsibleRunner, place: str, file: Path) -> None:
    names = ["1.0.0", "1.2.0-rc.1", "1.10.0", "1.9.0", "main", "b-7", "b-10"]
    numerical = {"pattern": r"^b-(?P<n>\d+)$", "extract": "$n", "policy": {"numerical": {"order": "asc"}}}
    order = ["1.10.0", "1.9.0", "1.2.0-rc.1", "1.0.0", "main", "b-7", "b-10"]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, order),
        ({"limit": 2}, order[:2]),
        ({"limit": 100}, order),
        ({"sort": "semver"}, order),
        ({"sort": "alphabetical"}, sorted(names, reverse=True)),
        ({"sort": "registry"}, sorted(names)),
        ({"sort": "registry", "limit": 3}, sorted(names)[:3]),
        ({"semver": "1.x"}, ["1.10.0", "1.9.0", "1.0.0"]),
        ({"semver": "1.x", "limit": 1}, ["1.10.0"]),
        ({"semver": "1.x", "sort": "alphabetical"}, ["1.9.0", "1.10.0", "1.0.0"]),
        ({"semver": "1.x", "sort": "registry"}, ["1.0.0", "1.10.0", "1.9.0"]),
        ({"semver": ">=1.0.0-0", "semver_filter": "-rc"}, ["1.2.0-rc.1"]),
        ({"semver_filter": "^b-"}, ["b-7", "b-10"]),
        ({"filter_tags": numerical}, ["b-10", "b-7"]),
        ({"tag": "main", "semver": ""}, order),
    ]
    _pushed, *looks = run(
        ansible,
        push(f"{place}:{names[0]}", file, tags=names[1:]),
        *(info(place, gather=["tags"], **options) for options, _wanted in cases),
    )
    for (options, wanted), look in zip(cases, looks):
        assert not look.failed, (options, look["msg"])
        # the order of a registry's list is its own: Distribution and layouts sort
        assert look["tags"] == wanted, options
        assert look["warnings"] == [], options
        chosen = bool({"semver", "filter_tags", "tag"} & {name for name, value in options.items() if value})
        assert ("artifact" in look) == chosen, options
        if chosen:
            assert look["artifact"]["tag"] == options.get("tag", ranked_first(options, wanted)), options


def ranked_first(options: dict[str, Any], wanted: list[str]) -> str:
    """What the policy chooses, whatever order the list is shown in."""
    return "1.10.0" if options.get("semver") == "1.x" else wanted[0]


@pytest.mark.once
def test_missing(ansible: AnsibleRunner, place: str, registry: RegistryServer, file: Path) -> None:
    absent = f"oci-layout:{file.parent}/absent" if place.startswith("oci-") else f"{registry.host}/info/absent"
    cases: list[dict[str, Any]] = [
        {"ref": f"{place}:none", "gather": []},
        {"ref": f"{place}:none"},
        {"ref": place, "gather": ["all"]},  # latest
        {"ref": f"{place}@{NOWHERE}", "gather": []},
        {"ref": f"{place}@{NOWHERE}", "gather": ["layers"]},
        {"ref": f"{absent}:1", "gather": []},
        {"ref": absent, "gather": ["tags"]},
        {"ref": absent, "semver": "*"},
        {"ref": place, "semver": "9.x", "gather": []},
        {"ref": place, "semver": "9.x", "gather": ["tags"]},
    ]
    _pushed, *looks = run(
        ansible,
        push(f"{place}:1.0.0", file),
        *(info(**options) for options in cases),
        *(info(**options, missing_ok=True) for options in cases),
    )
    for options, strict, lenient in zip(cases, looks, looks[len(cases) :]):
        reason = "ReadOperationFailed" if options.get("semver") == "9.x" else "OCIArtifactPullFailed"
        assert strict.failed and strict["reason"] == reason and "\n" not in strict["msg"], options
        assert not lenient.failed and lenient["exists"] is False and lenient["artifact"] == {}, options
        assert lenient["missing"] and lenient["missing"] in strict["msg"]
        gathers_tags = {"tags", "all"} & set(options.get("gather", []))
        assert ("tags" in lenient) == bool(gathers_tags), options


@pytest.mark.once
def test_only_tags_needs_no_latest(ansible: AnsibleRunner, place: str, file: Path) -> None:
    _pushed, look, resolved = run(
        ansible, push(f"{place}:dev", file), info(place, gather=["tags"]), info(place, gather=["tags", "manifest"])
    )
    assert look["tags"] == ["dev"] and "artifact" not in look and look["exists"] is True
    assert resolved.failed and resolved["reason"] == "OCIArtifactPullFailed"


@pytest.mark.once
def test_missing_ok_does_not_hide_what_is_broken(ansible: AnsibleRunner, file: Path) -> None:
    """The artifact is there, its config is not: that is no missing artifact."""
    layout = file.parent / "layout"
    (pushed,) = run(ansible, push(f"oci-layout:{layout}:1", file))
    manifest = json.loads((layout / "blobs/sha256" / pushed["artifact"]["digest"][7:]).read_text())
    (layout / "blobs/sha256" / manifest["config"]["digest"][7:]).unlink()
    look, resolved = run(
        ansible,
        info(f"oci-layout:{layout}:1", gather=["config"], missing_ok=True),
        info(f"oci-layout:{layout}:1", gather=[], missing_ok=True),
    )
    assert look.failed and manifest["config"]["digest"] in look["msg"]
    assert resolved["exists"] is True


@pytest.mark.once
def test_index(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, file: Path) -> None:
    """Its platforms; config and layers of one of them; and an index that is of no platforms at all."""
    name = f"{registry.host}/info/index"
    run(ansible, push(f"{name}:a", file), push(f"{name}:b", file, revision="b"))
    entries = []
    for tag in "ab":
        raw = tools.run("crane", "manifest", "--insecure", f"{name}:{tag}").stdout.encode()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        entries.append({"mediaType": json.loads(raw)["mediaType"], "digest": digest, "size": len(raw)})
    platforms = [{"os": "linux", "architecture": name} for name in ("amd64", "s390x")]
    indexes = {
        "plain": entries,
        "platforms": [{**entry, "platform": platform} for entry, platform in zip(entries, platforms)],
    }
    for tag, manifests in indexes.items():
        path = file.parent / f"{tag}.json"
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
        path.write_text(json.dumps(index))
        tools.run("oras", "manifest", "push", "--plain-http", f"{name}:{tag}", path)
    looks = run(
        ansible,
        info(f"{name}:platforms", gather=["platforms", "layers"], platform="linux/s390x"),
        info(f"{name}:platforms", gather=["layers"], platform="linux/riscv64"),
        info(f"{name}:platforms", gather=["platforms"], platform="no platform"),
        info(f"{name}:plain", gather=["all"]),
        info(f"{name}:plain", gather=["layers"]),
    )
    one, absent, wrong, every, layers = looks
    assert [entry["platform"] for entry in one["platforms"]] == ["linux/amd64", "linux/s390x"]
    assert {"digest", "media_type", "size"} <= set(one["platforms"][0]) and len(one["layers"]) == 1
    assert absent.failed and "linux/riscv64" in absent["msg"] and "linux/amd64" in absent["msg"]
    assert wrong.failed and wrong["reason"] == "InvalidOption"
    assert parts_of(every) == set(PARTS) - {"config", "layers"}
    assert every["manifest"]["manifests"] and [entry["platform"] for entry in every["platforms"]] == ["", ""]
    assert layers.failed and "without a manifest for" in layers["msg"]


def test_options(ansible: AnsibleRunner, registry: RegistryServer, file: Path) -> None:
    """What cannot be used is refused before any request; what has no effect is said."""
    name = f"{registry.host}/info/options"
    run(ansible, push(f"{name}:1.0.0", file))
    start = registry.mark()
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "InvalidOption"),
        ({"ref": name, "url": f"oci://{name}"}, "InvalidOption"),
        ({"url": f"oci://{name}:1"}, "URLInvalid"),
        ({"ref": "no host/x"}, "URLInvalid"),
        ({"ref": name, "limit": -1}, "InvalidOption"),
        ({"ref": name, "semver": "one"}, "ReadOperationFailed"),
        ({"ref": name, "semver": "*", "semver_filter": "("}, "ReadOperationFailed"),
        ({"ref": name, "timeout": "soon"}, "InvalidOption"),
        ({"ref": name, "retries": -1}, "InvalidOption"),
    ]
    results = run(ansible, *(info(**options) for options, _reason in bad))
    for (options, reason), result in zip(bad, results):
        assert result.failed and result.get("reason") == reason and "\n" not in result["msg"], (options, result)
    assert registry.requests(start) == []
    tag, both = run(ansible, info(f"{name}:main", semver="1.x", gather=[]), info(f"{name}:1.0.0", semver_filter="x"))
    assert [warning for warning in tag["warnings"] if "'tag' has no effect" in warning]
    assert [warning for warning in both["warnings"] if "'semver_filter' has no effect" in warning]


@pytest.mark.once
def test_what_is_in_dest(ansible: AnsibleRunner, registry: RegistryServer, file: Path, tmp_path: Path) -> None:
    ref, dest = f"{registry.host}/info/dest:1", tmp_path / "dest"
    pull = {"name": "pull", PULL: {"ref": ref, "dest": str(dest), "insecure": True}}
    here = {"name": "look", INFO: {"dest": str(dest)}, "ignore_errors": True}
    results = ansible.tasks([here, push(ref, file), pull, here, info(ref, dest=str(dest))])
    before, _pushed, pulled, after, both = results
    assert (before["exists"], before["artifact"], before["progress"]) == (False, {}, {})
    assert after["exists"] and after["artifact"]["revision"] == pulled["artifact"]["revision"]
    assert after["progress"] == {} and len(after["records"]) == 1
    assert both.failed and "mutually exclusive" in both["msg"] and both["reason"] == "InvalidOption"


@pytest.mark.once
def test_capabilities(
    ansible: AnsibleRunner, registry: RegistryServer, oci11_registry: RegistryServer, file: Path, tmp_path: Path
) -> None:
    """Two registries say what they can do, once for the tasks of a cache, and nothing is left of the questions."""
    able = {"mount", "chunked_upload", "range", "delete", "catalog", "tag_paging"}
    known = {"cache_dir": str(tmp_path / "cache")}
    for server, wanted in ((registry, {*able, "delete_tag"}), (oci11_registry, {"referrers"})):
        repository = f"{server.host}/info/capabilities"
        tasks = [push(f"{repository}:{tag}", file) for tag in ("1.0.0", "1.1.0")]
        *_pushed, first = run(ansible, *tasks, info(repository, gather=["capabilities"], **known))
        found = first["capabilities"]
        assert {name for name in wanted if found[name] is not True} == set(), found
        assert found["referrers"] is (server is oci11_registry)
        assert set(found["unknown"]) == {name for name, value in found.items() if value is None}
        mark = server.mark()
        again, tags = run(
            ansible,
            info(f"{repository}:1.0.0", gather=["capabilities"], **known),
            info(repository, gather=["tags"]),
        )
        assert again["capabilities"] == found and "artifact" not in first
        assert tags["tags"] == ["1.1.0", "1.0.0"]
        assert {request.method for request in server.requests(since=mark)} <= {"GET", "HEAD"}
