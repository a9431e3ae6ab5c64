# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_push through ansible-playbook, against real registries: what is sent, and what is left alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer, Request
from support.tools import Tools

PUSH = "cloudnative.artifacts.oci_artifact_push"
INFO = "cloudnative.artifacts.oci_artifact_info"
READING = {"HEAD", "GET"}


def push(
    ref: str, path: Path | str | list[Any], *, check: bool = False, diff: bool = False, **options: Any
) -> dict[str, Any]:
    """A task; a failure is a result too."""
    arguments = {"ref": ref, "path": str(path) if isinstance(path, Path) else path, "insecure": True, **options}
    environment = arguments.pop("environment", {})
    return {
        "name": f"push {ref}",
        PUSH: arguments,
        "ignore_errors": True,
        "check_mode": check,
        "diff": diff,
        "environment": environment,
    }


def run(ansible: AnsibleRunner, *tasks: dict[str, Any], **play: Any) -> list[TaskResult]:
    results = ansible.tasks(tasks, **play)
    assert len(results) == len(tasks)
    assert not any("Traceback" in str(result.get("module_stderr", "")) + str(result.get("msg")) for result in results)
    return results


def fail_reason(result: TaskResult) -> str:
    assert result.failed and "\n" not in result["msg"], result
    return str(result["reason"])


def methods(requests: list[Request]) -> list[str]:
    return [request.method for request in requests]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1\n")
    (folder / "sub/b.txt").write_text("b\n")
    return folder


def tags_of(tools: Tools, repository: str) -> dict[str, str]:
    listed = tools.run("crane", "ls", "--insecure", repository).stdout.split()
    return {tag: tools.run("crane", "digest", "--insecure", f"{repository}:{tag}").stdout.strip() for tag in listed}


@pytest.mark.once
def test_requests(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    """New: a GET for each tag that HEAD does not find, to be sure. Unchanged: one HEAD for each tag."""
    repository = f"{registry.host}/push/requests"
    start = registry.mark()
    assert run(ansible, push(f"{repository}:1.0.0", content, tags=["main"]))[0].changed
    new = registry.requests(start)
    counted = Counter(methods(new))
    # two tags and two blobs looked for, two uploads opened and filled, two tags written
    assert counted == {"HEAD": 4, "GET": 2, "POST": 2, "PUT": 4}, new
    assert [request.path.rpartition("/")[2] for request in new[-2:]] == ["1.0.0", "main"]

    start = registry.mark()
    again = run(ansible, push(f"{repository}:1.0.0", content, tags=["main"]))[0]
    assert (again.changed, again["tags"]) == (False, {"1.0.0": "unchanged", "main": "unchanged"})
    unchanged = registry.requests(start)
    assert methods(unchanged) == ["HEAD", "HEAD"], unchanged

    start = registry.mark()
    run(ansible, push(f"{repository}:1.0.0", content, tags=["main", "stable"]))
    assert methods(registry.requests(start)) == ["HEAD", "HEAD", "HEAD", "GET", "PUT"]


@pytest.mark.once
@pytest.mark.parametrize("kind", ["registry", "oci11_registry"])
def test_large_layers_are_sent_while_they_are_built(
    ansible: AnsibleRunner, tools: Tools, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """One PATCH for each, whose digest the registry checks; and a second tag sends nothing that a note knows of."""
    server: RegistryServer = request.getfixturevalue(kind)
    (tmp_path / "tree").mkdir()
    for path, size in (("model.bin", 64 << 20), ("tree/a", 6 << 20), ("tree/b", 6 << 20)):
        (tmp_path / path).write_bytes(os.urandom(size))
    ref, paths = f"{server.host}/push/large", [str(tmp_path / "model.bin"), str(tmp_path / "tree")]
    options = {"type": "files", "cache_dir": str(tmp_path / "cache")}
    start = server.mark()
    first = run(ansible, push(f"{ref}:1", paths, **options))[0]
    # one of the registries has the blobs of all repositories in one place, so that the empty config may be there
    blobs = first["blobs"]
    assert first.changed and blobs["uploaded"] + blobs["existed"] == 3 and blobs["existed"] <= 1, first
    sent = [each for each in server.requests(start) if "/blobs/uploads/" in each.path and each.method != "POST"]
    assert methods(sent) == [*["PATCH", "PUT"] * 2, *["PUT"] * (1 - blobs["existed"])], sent
    start = server.mark()
    second = run(ansible, push(f"{ref}:2", paths[:1], **options))[0]
    assert second["blobs"] == {"existed": 2, "mounted": 0, "uploaded": 0}
    assert "PATCH" not in methods(server.requests(start))
    tools.run("oras", "pull", "--plain-http", "-o", tmp_path / "pulled", f"{ref}:1")
    for path in ("model.bin", "tree/a", "tree/b"):
        assert (tmp_path / "pulled" / path).read_bytes() == (tmp_path / path).read_bytes()


def test_check_mode_sends_nothing(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    repository = f"{registry.host}/push/check"
    layout = f"oci-layout:{content.parent}/layout"
    start = registry.mark()
    new, in_layout = run(
        ansible,
        push(f"{repository}:main", content, check=True, diff=True),
        push(f"{layout}:main", content, check=True),
    )
    assert new.changed and new["tags"] == {"main": "created"} and in_layout.changed
    assert set(methods(registry.requests(start))) <= READING
    assert not (content.parent / "layout").exists()
    assert "a.yaml" in json.dumps(new["diff"]) and "a: 1" in json.dumps(new["diff"])

    done = run(ansible, push(f"{repository}:main", content))[0]
    assert done["artifact"]["digest"] == new["artifact"]["digest"]
    (content / "a.yaml").write_text("a: 2\n")
    start = registry.mark()
    moved = run(ansible, push(f"{repository}:main", content, check=True, diff=True))[0]
    assert moved.changed and moved["tags"] == {"main": "moved"}
    requests = registry.requests(start)
    assert requests and set(methods(requests)) <= READING
    changed_file = next(entry for entry in moved["diff"] if entry.get("after_header") == "a.yaml")
    assert (changed_file["before"], changed_file["after"]) == ("a: 1\n", "a: 2\n")


@pytest.mark.once
def test_tags(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path) -> None:
    repository = f"{registry.host}/push/tags"
    url = {"url": f"oci://{repository}"}
    latest, several = run(ansible, push("", content, **url), push("", content, tags=["1.0.0", "v1.1.0", "main"], **url))
    assert latest["artifact"]["tag"] == "latest" and several["artifact"]["tag"] == "1.0.0"
    before = tags_of(tools, repository)
    assert set(before) == {"latest", "1.0.0", "v1.1.0", "main"} and len(set(before.values())) == 1

    (content / "a.yaml").write_text("a: 2\n")
    start = registry.mark()
    refused, own_rule, digest = run(
        ansible,
        push(f"{repository}:new", content, tags=["main", "v1.1.0"]),
        push(f"{repository}:main", content, immutable_tags="^ma"),
        push(f"{repository}@{before['main']}", content),
    )
    assert [fail_reason(each) for each in (refused, own_rule, digest)] == [
        "TagImmutable",
        "TagImmutable",
        "InvalidOption",
    ]
    assert f"{repository}:v1.1.0" in refused["msg"] and "force: true" in refused["msg"]
    assert set(methods(registry.requests(start))) <= READING  # nothing was sent, not even for the other tags
    assert tags_of(tools, repository) == before

    moved, forced = run(
        ansible,
        push(f"{repository}:new", content, tags=["main"]),
        push(f"{repository}:1.0.0", content, force=True, tags=["new"]),
    )
    assert moved["tags"] == {"new": "created", "main": "moved"}
    assert forced["tags"] == {"1.0.0": "moved", "new": "unchanged"}
    after = tags_of(tools, repository)
    assert after["v1.1.0"] == before["v1.1.0"] and after["1.0.0"] == after["main"] == after["new"] != before["main"]


@pytest.mark.once
def test_same_content_compressed_otherwise(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path, tmp_path: Path
) -> None:
    ref = f"{registry.host}/push/recompressed:1.0.0"
    repository = ref.rpartition(":")[0]
    run(ansible, push(ref, content))
    manifest = json.loads(tools.run("crane", "manifest", "--insecure", ref).stdout)
    layer = manifest["layers"][0]
    packed = tmp_path / "layer"
    tools.run("oras", "blob", "fetch", "--plain-http", "-o", packed, f"{repository}@{layer['digest']}")
    data = gzip.compress(gzip.decompress(packed.read_bytes()), 1, mtime=0)
    packed.write_bytes(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert digest != layer["digest"]
    tools.run("oras", "blob", "push", "--plain-http", f"{repository}@{digest}", packed)
    layer.update(digest=digest, size=len(data))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest, indent=3))
    tools.run("oras", "manifest", "push", "--plain-http", ref, tmp_path / "manifest.json")
    theirs = tools.run("crane", "digest", "--insecure", ref).stdout.strip()

    start = registry.mark()
    result = run(ansible, push(ref, content))[0]
    assert (result.changed, result["artifact"]["digest"]) == (False, theirs)
    assert result["blobs"] == {"existed": 0, "mounted": 0, "uploaded": 0}
    requests = registry.requests(start)
    assert methods(requests) == ["HEAD", "GET", "GET"], requests  # the tag, its manifest, its layer


@pytest.mark.once
def test_index_under_the_tag(ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path) -> None:
    repository = f"{registry.host}/push/index"
    run(ansible, push(f"{repository}:part", content))
    for tag in ("1.0.0", "main"):
        tools.run("crane", "index", "append", "--insecure", "-m", f"{repository}:part", "-t", f"{repository}:{tag}")
    refused, moved = run(ansible, push(f"{repository}:1.0.0", content), push(f"{repository}:main", content, diff=True))
    assert fail_reason(refused) == "TagImmutable"
    assert moved["tags"] == {"main": "moved"}


@pytest.mark.once
@pytest.mark.parametrize("fixture", ["registry", "oci11_registry"])
def test_referrers(
    fixture: str, request: pytest.FixtureRequest, ansible: AnsibleRunner, tools: Tools, content: Path
) -> None:
    """Entered under the fallback tag, or by the API: `oras discover` finds it, and a second push changes nothing."""
    server: RegistryServer = request.getfixturevalue(fixture)
    repository = f"{server.host}/push/referrers"
    subject = run(ansible, push(f"{repository}:1.0.0", content))[0]["artifact"]["digest"]
    sbom = {"type": "files", "artifact_type": "application/vnd.example.sbom", "subject": "1.0.0"}
    other = {**sbom, "artifact_type": "application/vnd.example.other", "subject": subject}
    start = server.mark()
    results = run(
        ansible,
        push(repository, content / "a.yaml", **sbom),
        push(repository, content / "a.yaml", **other),
        push(repository, content / "a.yaml", **sbom),
        push(repository, content / "a.yaml", **{**sbom, "subject": "missing"}),
        push(f"{repository}:1.0.0", content / "a.yaml", **sbom),
        {"name": "look", INFO: {"ref": f"{repository}:1.0.0", "gather": ["referrers"], "insecure": True}},
        {
            "name": "look for one type",
            INFO: {
                "ref": f"{repository}:1.0.0",
                "gather": ["referrers"],
                "artifact_type": "application/vnd.example.other",
                "insecure": True,
            },
        },
    )
    first, second, again, missing, both, look, one_type = results
    assert [result.changed for result in (first, second, again)] == [True, True, False]
    assert first["tags"] == {} and first["artifact"]["digest"] == again["artifact"]["digest"]
    assert fail_reason(missing) == "OCIArtifactPullFailed" and "subject" in missing["msg"]
    assert fail_reason(both) == "InvalidOption"
    pushed = {first["artifact"]["digest"], second["artifact"]["digest"]}
    assert {entry["digest"] for entry in look["referrers"]} == pushed
    assert [entry["digest"] for entry in one_type["referrers"]] == [second["artifact"]["digest"]]
    for scheme in ("api", "tag") if fixture == "oci11_registry" else ("tag",):
        # with an API there is no fallback tag, and nobody writes one
        found = tools.run(
            "oras", "discover", "--plain-http", "--format", "json", "--distribution-spec",
            f"v1.1-referrers-{scheme}", f"{repository}:1.0.0",
        )  # fmt: skip
        listed = json.loads(found.stdout).get("referrers") or []
        expected = set() if (fixture, scheme) == ("oci11_registry", "tag") else pushed
        assert {entry["digest"] for entry in listed} == expected
    written = [entry.path for entry in server.requests(start) if entry.method == "PUT" and "/manifests/" in entry.path]
    fallback = [path for path in written if "/manifests/sha256-" in path]
    assert len(fallback) == (2 if fixture == "registry" else 0)


@pytest.mark.once
def test_referrer_of_a_push_that_broke_off(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, content: Path
) -> None:
    """The manifest is there, the fallback tag does not list it: the next push enters it."""
    repository = f"{registry.host}/push/broken-referrer"
    options = {"type": "files", "subject": "main"}
    subject = run(ansible, push(f"{repository}:main", content))[0]["artifact"]["digest"]
    digest = run(ansible, push(repository, content / "a.yaml", **options))[0]["artifact"]["digest"]
    fallback = f"{repository}:{subject.replace(':', '-')}"
    tools.run(
        "crane",
        "delete",
        "--insecure",
        f"{repository}@{tools.run('crane', 'digest', '--insecure', fallback).stdout.strip()}",
    )
    assert run(ansible, push(repository, content / "a.yaml", **options))[0].changed
    index = json.loads(tools.run("crane", "manifest", "--insecure", fallback).stdout)
    assert [entry["digest"] for entry in index["manifests"]] == [digest]


@pytest.mark.once
def test_pushes_at_once(ansible: AnsibleRunner, registry: RegistryServer, content: Path, tmp_path: Path) -> None:
    """Into one layout and one repository; each ends with its own tag, and no entry is lost."""
    places = [f"oci-layout:{tmp_path}/layout", f"{registry.host}/push/at-once"]
    arguments = [
        f"path={content} ref={place}:t{number} tags=both insecure=true revision=r{number}"
        for place in places
        for number in range(3)
    ]
    with ThreadPoolExecutor(len(arguments)) as pool:
        done = list(pool.map(lambda text: ansible.adhoc("oci_artifact_push", text), arguments))
    assert [each.returncode for each in done] == [0] * len(done), [each.stdout for each in done]
    names = ["t0", "t1", "t2", "both"]
    for place in places:
        looks = run(
            ansible,
            *({"name": "look", INFO: {"ref": f"{place}:{name}", "gather": [], "insecure": True}} for name in names),
        )
        digests = [look["artifact"]["digest"] for look in looks]
        assert len(set(digests[:3])) == 3 and digests[3] in digests[:3]


@pytest.mark.once
def test_killed_push_leaves_tags_as_they_were(
    registry: RegistryServer, tools: Tools, ansible: AnsibleRunner, content: Path, tmp_path: Path
) -> None:
    """The process dies while it uploads: no tag is there, and the next push does it all."""
    fifo_like = tmp_path / "big"
    fifo_like.write_bytes(os.urandom(64 << 20))
    ref = f"{registry.host}/push/killed:main"
    run(ansible, push(ref, content))
    before = tags_of(tools, ref.rpartition(":")[0])
    script = f"""
import os, sys
sys.path.insert(0, {str(ansible.collections)!r})
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, Input
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

class Dying:
    def __init__(self, stream): self._stream = stream
    def read(self, size=-1):
        if self._stream.tell() > 32 << 20: os._exit(9)
        return self._stream.read(size)
    def __getattr__(self, name): return getattr(self._stream, name)
    def __enter__(self): return self
    def __exit__(self, *_): self._stream.close()

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import local_blob
plain = local_blob._open_unchanged
local_blob._open_unchanged = lambda *arguments: Dying(plain(*arguments))
push(PushOptions(
    ReferenceOptions(ref={ref!r}), BuildOptions([Input({str(fifo_like)!r})], type="files"),
    connection=ConnectionOptions(insecure=True),
))
"""
    target = subprocess.run(
        [ansible.target_python, "-c", script], check=False, capture_output=True, text=True, timeout=900
    )
    assert target.returncode == 9, target.stderr
    assert tags_of(tools, ref.rpartition(":")[0]) == before
    assert run(ansible, push(ref, str(fifo_like), type="files"))[0]["tags"] == {"main": "moved"}


def test_path_forms(ansible: AnsibleRunner, content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = f"oci-layout:{tmp_path}/layout"
    (tmp_path / "empty").mkdir()
    (content / "inside").symlink_to("sub/b.txt")
    escaping = tmp_path / "escaping"
    escaping.mkdir()
    (escaping / "out").symlink_to("../content/a.yaml")
    odd = tmp_path / "odd ✓ 'name'.txt"
    odd.write_text("odd\n")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        good = run(
            ansible,
            push(f"{layout}:dir", content),
            push(f"{layout}:file", content / "a.yaml"),
            push(f"{layout}:one", [str(content)]),
            push(f"{layout}:empty", tmp_path / "empty"),
            push(f"{layout}:list", [str(content / "a.yaml"), str(odd), str(content)], type="files"),
            push(
                f"{layout}:mappings",
                [{"path": str(odd), "name": "plain/name.txt", "media_type": "text/plain"}, str(content / "a.yaml")],
                type="files",
            ),
        )
        assert all(result.changed for result in good)
        assert good[0]["artifact"]["digest"] == good[2]["artifact"]["digest"]
        bad = run(
            ansible,
            push(f"{layout}:bad", tmp_path / "missing"),
            push(f"{layout}:bad", tmp_path / "s"),
            push(f"{layout}:bad", tmp_path / "s", type="files"),
            push(f"{layout}:bad", tmp_path / "s", type="helm"),
            push(f"{layout}:bad", escaping),
            push(f"{layout}:bad", [str(content), str(odd)]),
            push(f"{layout}:bad", [{"file": str(odd)}], type="files"),
            push(f"{layout}:bad", [], type="files"),
            push(f"{layout}:bad", content, type="helm"),
            push(f"{layout}:bad", content, annotations={"a": ["list"]}),
            push(f"{layout}:bad", content, created="yesterday"),
            push(f"{layout}:bad", content, artifact_type="none"),
        )
    build_failed, invalid = "OCIArtifactBuildFailed", "InvalidOption"
    assert [fail_reason(result) for result in bad] == [
        build_failed, build_failed, build_failed, build_failed, build_failed, invalid, invalid, invalid, build_failed,
        invalid, invalid, invalid,
    ]  # fmt: skip
    look = run(ansible, {"name": "look", INFO: {"ref": f"{layout}:mappings", "gather": ["layers", "tags"]}})[0]
    assert look["tags"] == ["one", "mappings", "list", "file", "empty", "dir"]
    assert [layer["media_type"] for layer in look["layers"]] == ["text/plain", "application/octet-stream"]
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in look["layers"]]
    assert titles == ["plain/name.txt", "a.yaml"]


@pytest.mark.once
def test_annotations_types_and_time(ansible: AnsibleRunner, content: Path, tmp_path: Path) -> None:
    layout = f"oci-layout:{tmp_path}/layout"
    created = "org.opencontainers.image.created"
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - {PUSH}:
        path: {content}
        ref: {layout}:yaml
        created: 2026-11-21T02:00:00Z
        annotations: {{number: 1.5, truth: true, whole: 7, equal: a=b=c}}
"""
    )
    done = ansible.playbook(playbook)
    assert done.returncode == 0, done.stdout + done.stderr
    results = run(
        ansible,
        {"name": "look", INFO: {"ref": f"{layout}:yaml"}},
        push(f"{layout}:epoch", content, environment={"SOURCE_DATE_EPOCH": "1700000000"}),
        push(f"{layout}:given", content, created="2026-01-02T03:04:05+01:00", source="https://x/?a=b", revision="r=1"),
        push(f"{layout}:default", content, artifact_type="application/x.y", layer_media_type="application/x.layer"),
        push(f"{layout}:epoch", content),
    )
    look, epoch, given, default, again = results
    annotations = look["artifact"]["metadata"]
    assert annotations.pop(created).startswith("2026-11-21T02:00:00")
    assert annotations == {"number": "1.5", "truth": "true", "whole": "7", "equal": "a=b=c"}
    assert epoch["artifact"]["metadata"][created] == "2023-11-14T22:13:20Z"
    assert given["artifact"]["metadata"] == {
        created: "2026-01-02T03:04:05+01:00",
        "org.opencontainers.image.source": "https://x/?a=b",
        "org.opencontainers.image.revision": "r=1",
    }
    assert default["artifact"]["metadata"] == {created: "1970-01-01T00:00:00Z"}
    assert default["artifact"]["artifact_type"] == "application/x.y"
    assert default["artifact"]["layer"]["media_type"] == "application/x.layer"
    assert again["tags"] == {"epoch": "moved"}  # its config has the time too: what is published is not the same


def test_adhoc(ansible: AnsibleRunner, registry: RegistryServer, content: Path) -> None:
    arguments = f"path={content} ref={registry.host}/push/adhoc:1 insecure=true annotations=a=b=c,d=e tags=2,3"
    done = ansible.adhoc("oci_artifact_push", arguments)
    assert done.returncode == 0 and "CHANGED" in done.stdout, done.stdout
    result = json.loads(done.stdout[done.stdout.index("{") :])
    assert {key: result["artifact"]["metadata"][key] for key in "ad"} == {"a": "b=c", "d": "e"}
    assert set(result["tags"]) == {"1", "2", "3"}
    assert "CHANGED" not in ansible.adhoc("oci_artifact_push", arguments).stdout


def credentials(server: RegistryServer) -> dict[str, str]:
    assert server.username and server.password
    return {"OCI_ARTIFACT_USERNAME": server.username, "OCI_ARTIFACT_PASSWORD": server.password}


def auth_config(server: RegistryServer, password: str | None = None) -> dict[str, Any]:
    return {"auths": {server.host: {"username": server.username, "password": password or server.password}}}


@pytest.mark.once
def test_credentials(ansible: AnsibleRunner, htpasswd_registry: RegistryServer, content: Path, tmp_path: Path) -> None:
    """What the task says wins over the environment as a whole; files count where neither says anything."""
    server = htpasswd_registry
    good, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good.write_text(json.dumps(auth_config(server)))
    wrong.write_text(json.dumps(auth_config(server, "wrong")))
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text(json.dumps(auth_config(server)))
    right = {"username": server.username, "password": server.password}
    cases: list[tuple[dict[str, Any], Mapping[str, str], bool]] = [
        ({}, {}, False),
        (right, {}, True),
        ({}, credentials(server), True),
        ({}, {"OCI_ARTIFACT_AUTH_FILE": str(good)}, True),
        ({}, {"REGISTRY_AUTH_FILE": str(good)}, True),
        ({}, {"HOME": str(home)}, True),
        ({"auth_file": str(good)}, {}, True),
        ({"auth_config": auth_config(server)}, {}, True),
        ({"auth_config": json.dumps(auth_config(server))}, {}, True),
        # who wins
        ({**right, "auth_file": str(wrong)}, {}, True),
        (right, {"OCI_ARTIFACT_AUTH_FILE": str(wrong)}, True),
        ({"auth_file": str(good)}, {**credentials(server), "OCI_ARTIFACT_PASSWORD": "wrong"}, True),
        ({"auth_file": str(wrong)}, credentials(server), False),
        ({}, {**credentials(server), "OCI_ARTIFACT_AUTH_FILE": str(wrong)}, True),
        ({}, {"OCI_ARTIFACT_AUTH_FILE": str(wrong), "REGISTRY_AUTH_FILE": str(good)}, False),
        # a part of one never joins a part of the other
        ({"username": server.username}, {"OCI_ARTIFACT_PASSWORD": server.password or ""}, False),
        # the wrong shape is an error, no anonymous login
        ({"auth_config": {"password": server.password}}, {}, False),
        ({"auth_config": "no JSON"}, {}, False),
        ({"auth_file": str(tmp_path / "missing")}, {}, False),
    ]
    results = run(
        ansible,
        *(
            {
                **push(f"{server.host}/push/credentials:main", content, check=True, **options),
                "vars": {"ansible_python_interpreter": ansible.python_with(environment)},
            }
            for options, environment, _works in cases
        ),
    )
    for (options, environment, works), result in zip(cases, results):
        assert not result.failed if works else fail_reason(result) == "AuthenticationFailed", (options, environment)


def test_secrets_are_not_shown(ansible: AnsibleRunner, htpasswd_registry: RegistryServer, content: Path) -> None:
    server = htpasswd_registry
    secret = server.password or ""
    document = json.dumps(auth_config(server)).replace('"', '\\"')
    base = f"path={content} ref={server.host}/push/secrets:1 insecure=true"
    for arguments in (
        f"{base} username={server.username} password='{secret}'",
        f"{base} username=nobody password='{secret}'",
        f'{base} auth_config="{document}"',
    ):
        # what the task was told is shown by newer releases only on request
        done = ansible.adhoc("oci_artifact_push", arguments, "-vvv", environment={"ANSIBLE_INJECT_INVOCATION": "1"})
        said = (done.stdout + done.stderr).replace(arguments, "")
        assert "invocation" in said and secret not in said
        assert "'password'" not in said.replace('"password": "VALUE', "")


def test_private_authority_and_defaults_of_the_group(
    ansible: AnsibleRunner, tls_registry: RegistryServer, content: Path
) -> None:
    """TLS from a private authority; and the defaults of the action group reach this module."""
    ref = f"{tls_registry.host}/push/tls:1"
    task = {"name": "push", PUSH: {"path": str(content), "ref": ref}, "ignore_errors": True}
    defaults = {"group/cloudnative.artifacts.oci": {"ca_cert": str(tls_registry.ca_cert)}}
    assert fail_reason(run(ansible, task)[0]) == "TLSFailed"
    done = run(ansible, task, {"name": "look", INFO: {"ref": ref}}, module_defaults=defaults)
    assert done[0].changed and done[1]["artifact"]["digest"] == done[0]["artifact"]["digest"]
