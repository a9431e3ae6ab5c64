# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull and bad input: one clear sentence, a reason, no traceback, and dest as it was."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import INDEX, LAYER, Blob, Publisher, digest_of, manifest_of, snapshot, special, tar, tgz
from support.hostile_registry import Answer, HostileRegistry, hostile_registry
from support.servers import RegistryServer

PULL = "cloudnative.artifacts.oci_artifact_pull"
PULL_FAILED, LAYER_FAILED, STORAGE = (
    "OCIArtifactPullFailed",
    "OCIArtifactLayerOperationFailed",
    "StorageOperationFailed",
)
SELECTION, URL, OPTION = "ReadOperationFailed", "URLInvalid", "InvalidOption"

# options, the reason, words of the message
Case = tuple[dict[str, Any], str, str]


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        yield registry


@pytest.fixture
def dest(tmp_path: Path, ansible: AnsibleRunner, hostile: HostileRegistry) -> Path:
    """A directory with an artifact and a foreign file."""
    hostile.artifact("good", [Blob(tgz({"kept": "kept\n", "sub/": "", "sub/too": "kept\n"}))])
    folder = tmp_path / "dest"
    done = ansible.tasks([{PULL: {"ref": f"{hostile.host}/good:1", "insecure": True, "dest": str(folder)}}])[0]
    assert done.changed, done
    (folder / "foreign").write_text("foreign")
    return folder


def state_of(folder: Path) -> dict[str, Any]:
    """A snapshot without the times of directories: the control directory comes and goes."""
    return {path: entry[:3] + entry[4:] if entry[4] is None else entry for path, entry in snapshot(folder).items()}


def refuse(ansible: AnsibleRunner, cases: list[Case], dest: Path, **defaults: Any) -> list[TaskResult]:
    """Run all cases on one dest, each of which has to fail as it says, and leave dest alone."""
    before = state_of(dest)
    tasks = [
        {PULL: {"insecure": True, "retries": 0, "dest": str(dest), **defaults, **options}, "ignore_errors": True}
        for options, _reason, _words in cases
    ]
    results = ansible.tasks(tasks)
    assert len(results) == len(cases)
    for result, (options, reason, words) in zip(results, cases):
        assert result.failed, options
        check_message(result, reason, words)
    assert state_of(dest) == before
    return results


def check_message(result: TaskResult, reason: str, words: str) -> None:
    message = result["msg"]
    assert result.get("reason") == reason, message
    assert words in message
    assert "\n" not in message and len(message) < 1500 and message[-1:] == "."
    for output in (result.stdout, result.stderr):
        assert "Traceback (most recent call last)" not in output


def test_what_is_refused_before_any_request(ansible: AnsibleRunner, hostile: HostileRegistry, dest: Path) -> None:
    name = f"{hostile.host}/good"
    url = f"oci://{name}"
    cases: list[Case] = [
        ({"ref": ""}, OPTION, "One of 'ref' and 'url' is wanted"),
        ({"ref": name, "url": url}, OPTION, "both"),
        ({"ref": "nginx"}, URL, "no repository"),
        ({"ref": "host/repo"}, URL, "neither a dot nor a port"),
        ({"ref": f"{hostile.host}/UPPER"}, URL, "lower case"),
        ({"ref": f"{name}:bad tag"}, URL, "white space"),
        ({"ref": f"{name}:{'a' * 129}"}, URL, "tag"),
        ({"ref": f"{name}@sha256:abc"}, URL, "digest"),
        ({"ref": f"https://{name}"}, URL, "scheme"),
        ({"ref": f"me:secret@{name}"}, URL, "before its host"),
        ({"url": f"https://{name}"}, URL, "scheme"),
        ({"url": f"{url}:1"}, URL, "carries a tag"),
        ({"url": url, "semver": "not a range"}, SELECTION, "not a range"),
        ({"url": url, "semver": ">=1.0.0 <"}, SELECTION, "<"),
        ({"url": url, "semver": "1.x", "semver_filter": "("}, SELECTION, "semver_filter"),
        ({"url": url, "filter_tags": {"pattern": "("}}, SELECTION, "policy"),
        ({"url": url, "filter_tags": {"pattern": "(", "policy": {"alphabetical": {}}}}, SELECTION, "pattern"),
        ({"ref": name, "platform": "linux"}, OPTION, "platform"),
        ({"ref": name, "mode": "rwx"}, OPTION, "mode"),
        ({"ref": name, "max_size": "many"}, OPTION, "size"),
        ({"ref": name, "timeout": "soon"}, OPTION, "duration"),
        ({"ref": f"{name}:1", "dest": f"{dest}/kept"}, STORAGE, "is not a directory"),
        ({"ref": f"{name}:1", "dest": ""}, STORAGE, "'dest' is empty"),
    ]
    hostile.requests.clear()
    results = refuse(ansible, cases, dest)
    assert hostile.requests == []
    assert "secret" not in json.dumps(results[9]["msg"])


@pytest.mark.once
def test_what_is_not_there(ansible: AnsibleRunner, registry: RegistryServer, dest: Path) -> None:
    place = Publisher(registry.host, "bad/there")
    digest = place.publish("1.0.0", {"a": "a"})
    absent = digest_of(b"absent")
    cases: list[Case] = [
        ({"ref": f"{place.name}:2"}, PULL_FAILED, f"There is no {place.name}:2 in the registry."),
        ({"ref": f"{registry.host}/bad/nothing:1"}, PULL_FAILED, "bad/nothing:1"),
        ({"ref": f"{place.name}@{absent}"}, PULL_FAILED, absent),
        ({"url": place.url, "semver": ">=2"}, SELECTION, "1.0.0"),
        ({"url": f"oci://{registry.host}/bad/nothing", "semver": "*"}, PULL_FAILED, "bad/nothing"),
        ({"ref": "127.0.0.1:1/x:1"}, "ConnectionFailed", "127.0.0.1:1"),
        ({"ref": "nowhere.invalid:5000/x:1"}, "ConnectionFailed", "nowhere.invalid"),
        ({"ref": f"{place.name}@{digest}", "layer_selector": {"media_type": "a/b"}}, LAYER_FAILED, f"it has {LAYER}"),
        ({"ref": f"oci-layout:{dest}/none:1"}, PULL_FAILED, f"{dest}/none"),
    ]
    refuse(ansible, cases, dest)


@pytest.mark.once
def test_a_wrong_password_is_tried_once(ansible: AnsibleRunner, htpasswd_registry: RegistryServer, dest: Path) -> None:
    ref = f"{htpasswd_registry.host}/bad/x:1"
    user = str(htpasswd_registry.username)
    mark = htpasswd_registry.mark()
    (wrong,) = refuse(
        ansible,
        [({"ref": ref, "username": user, "password": "wr0ng-pass-word"}, "AuthenticationFailed", "refused")],
        dest,
        retries=3,
    )
    assert [request.status for request in htpasswd_registry.requests(since=mark)] == [401]
    assert "wr0ng-pass-word" not in wrong.stdout + wrong.stderr + json.dumps(wrong["msg"])
    refuse(ansible, [({"ref": ref}, "AuthenticationFailed", "no credentials were found")], dest)


@pytest.mark.once
def test_tls_that_does_not_fit(
    ansible: AnsibleRunner, registry: RegistryServer, tls_registry: RegistryServer, dest: Path
) -> None:
    Publisher(registry.host, "bad/plain").publish("1", {"a": "a"})
    cases: list[Case] = [
        ({"ref": f"{tls_registry.host}/x:1", "insecure": False}, "TLSFailed", "ca_cert"),
        ({"ref": f"{registry.host}/bad/plain:1", "insecure": False}, "TLSFailed", "insecure"),
        ({"ref": f"{tls_registry.host}/x:1"}, PULL_FAILED, "insecure: false"),
        ({"ref": f"{tls_registry.host}/x:1", "insecure": False, "ca_cert": f"{dest}/none"}, OPTION, "ca_cert"),
        ({"ref": f"{tls_registry.host}/x:1", "insecure": False, "ca_cert": f"{dest}/kept"}, OPTION, "ca_cert"),
    ]
    refuse(ansible, cases, dest)


@pytest.mark.once
def test_manifests_that_are_none(ansible: AnsibleRunner, hostile: HostileRegistry, dest: Path) -> None:
    html = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    child = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(b"x"), "size": 1}
    other = {**child, "platform": {"os": "plan9", "architecture": "mips"}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, {**other, "digest": digest_of(b"y")}]}
    deep = json.dumps(index).encode()
    hostile.manifest("html", html, "text/html")
    hostile.manifest("truncated", manifest_of([Blob(b"x")], Blob(b"{}"))[:-20])
    hostile.manifest("list", b"[]")
    hostile.manifest("nested", b"[" * 100_000)
    hostile.manifest("index", deep, INDEX)
    hostile.manifest("schema1", b'{"schemaVersion": 1, "name": "x", "fsLayers": []}', "application/json")
    hostile.manifest("empty", manifest_of([], Blob(b"{}")))
    hostile.manifest("both", json.dumps({**json.loads(manifest_of([], Blob(b"{}"))), "manifests": []}).encode())
    hostile.manifest("digest", manifest_of([Blob(b"x", claims={"digest": "../../etc/passwd"})], Blob(b"{}")))
    hostile.manifest("surrogate", manifest_of([Blob(b"x")], Blob(b"{}"), annotations={"a": "\udcff"}))
    hostile.manifest("size", manifest_of([Blob(b"x", claims={"size": -1})], Blob(b"{}")))
    hostile.manifest("huge", b" " * (1024 * 1024), repeat=100, headers={"Docker-Content-Digest": digest_of(b"z")})
    hostile.answers[f"/v2/huge/manifests/{digest_of(b'z')}"] = hostile.answers["/v2/huge/manifests/1"]
    hostile.manifest("swapped", manifest_of([Blob(b"x")], Blob(b"{}")))
    swapped = hostile.manifest("swapped", manifest_of([Blob(b"y")], Blob(b"{}")))
    hostile.answers[f"/v2/swapped/manifests/{swapped}"] = Answer(manifest_of([Blob(b"z")], Blob(b"{}")), INDEX)
    cases: list[Case] = [
        ({"ref": f"{hostile.host}/html:1"}, PULL_FAILED, "HTML"),
        ({"ref": f"{hostile.host}/truncated:1"}, PULL_FAILED, "is not JSON"),
        ({"ref": f"{hostile.host}/list:1"}, PULL_FAILED, "list"),
        ({"ref": f"{hostile.host}/nested:1"}, PULL_FAILED, "is not JSON"),
        ({"ref": f"{hostile.host}/index:1"}, PULL_FAILED, "plan9/mips"),
        ({"ref": f"{hostile.host}/schema1:1"}, PULL_FAILED, "schema 1"),
        ({"ref": f"{hostile.host}/empty:1"}, LAYER_FAILED, "no layers"),
        ({"ref": f"{hostile.host}/both:1"}, PULL_FAILED, "both a manifest and an index"),
        ({"ref": f"{hostile.host}/digest:1"}, PULL_FAILED, "no valid digest"),
        ({"ref": f"{hostile.host}/surrogate:1"}, PULL_FAILED, "annotations"),
        ({"ref": f"{hostile.host}/size:1"}, PULL_FAILED, "no valid size"),
        ({"ref": f"{hostile.host}/huge:1"}, PULL_FAILED, "4194304 bytes"),
        ({"ref": f"{hostile.host}/swapped:1"}, PULL_FAILED, "does not match its digest"),
    ]
    refuse(ansible, cases, dest)


@pytest.mark.once
def test_blobs_that_are_not_what_they_claim(ansible: AnsibleRunner, hostile: HostileRegistry, dest: Path) -> None:
    good = tgz({"evil": "evil\n", "kept": "evil\n"})
    for name, served in (("short", good[:-5]), ("long", good + b"more"), ("other", good[:-1] + b"?")):
        hostile.artifact(name, [Blob(served, claims={"digest": digest_of(good), "size": len(good)})])
    hostile.artifact("gone", [Blob(good, claims={"digest": digest_of(b"gone")})])
    hostile.answers.pop(f"/v2/gone/blobs/{digest_of(b'gone')}")
    cases: list[Case] = [
        ({"ref": f"{hostile.host}/short:1"}, "ConnectionFailed", f"{len(good) - 5} of {len(good)} bytes"),
        ({"ref": f"{hostile.host}/long:1"}, PULL_FAILED, "longer than its descriptor says"),
        ({"ref": f"{hostile.host}/other:1"}, PULL_FAILED, "does not match its digest"),
        ({"ref": f"{hostile.host}/gone:1"}, PULL_FAILED, "404"),
    ]
    refuse(ansible, cases, dest)
    copied = [({**options, "layer_selector": {"operation": "copy"}}, reason, words) for options, reason, words in cases]
    refuse(ansible, copied, dest)


@pytest.mark.once
def test_archives_that_may_not_be_unpacked(ansible: AnsibleRunner, hostile: HostileRegistry, dest: Path) -> None:
    link, hard = tarfile.SYMTYPE, tarfile.LNKTYPE
    bomb = tgz({f"zeros{number}": b"\0" * 1_000_000 for number in range(20)})
    archives: dict[str, tuple[bytes, str]] = {
        "text": (b"just some text, longer than a tar block? " * 20, "is not an archive"),
        "cut": (tgz({"a": "a" * 1000})[:-10], "truncated gzip data"),
        "up": (tgz({"../evil": "evil"}), "'../evil'"),
        "middle": (tgz({"a/../../evil": "evil"}), "'a/../../evil'"),
        "absolute": (tgz({"/tmp/evil": "evil"}), "'/tmp/evil'"),
        "link": (tgz({"l": special(link, "../outside")}), "'l'"),
        "link-absolute": (tgz({"l": special(link, "/etc")}), "'l'"),
        "link-through": (tgz({"l": special(link, "."), "l/evil": "evil"}), "'l/evil'"),
        "link-chain": (tgz({"d/e/l": special(link, "../.."), "m": special(link, "d/e/l/..")}), "outside the artifact"),
        "hard": (tgz({"h": special(hard, "../../etc/passwd")}), "'h'"),
        "hard-absolute": (tgz({"h": special(hard, "/etc/passwd")}), "'h'"),
        "device": (tgz({"null": special(tarfile.CHRTYPE)}), "'null'"),
        "pipe": (tgz({"pipe": special(tarfile.FIFOTYPE)}), "'pipe'"),
        "bomb": (bomb, "max_size"),
        "many": (tgz({f"f{number}": "" for number in range(200)}), "max_files"),
    }
    for name, (data, _words) in archives.items():
        hostile.artifact(f"archive/{name}", [Blob(data)])
    cases: list[Case] = [
        ({"ref": f"{hostile.host}/archive/{name}:1"}, LAYER_FAILED, words) for name, (_data, words) in archives.items()
    ]
    refuse(ansible, cases, dest, max_size="1MiB", max_files=100)
    assert sorted(path.name for path in dest.parent.iterdir()) == ["dest"]


@pytest.mark.once
def test_an_expression_that_backtracks_on_hostile_tags(
    ansible: AnsibleRunner, hostile: HostileRegistry, dest: Path
) -> None:
    hostile.tags("tags", [f"{'a' * 100}{number}.b" for number in range(2000)])
    policy = {"alphabetical": {"order": "asc"}}
    filter_tags = {"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$", "policy": policy}
    task = {"url": f"oci://{hostile.host}/tags", "filter_tags": filter_tags}
    started = time.monotonic()
    refuse(ansible, [(task, SELECTION, "filter_tags")], dest)
    # without a limit it would take longer than anybody can wait
    assert time.monotonic() - started < 600


def test_odd_text_in_manifests_reaches_the_result(
    ansible: AnsibleRunner, hostile: HostileRegistry, tmp_path: Path
) -> None:
    layer = Blob(tar({"a": "a"}), "application/vnd.oci.image.layer.v1.tar")
    hostile.artifact("odd", [layer], annotations={"jinja": "{{ 1/0 }}", "escape": "\x1b[31m"})
    done = ansible.tasks([{PULL: {"ref": f"{hostile.host}/odd:1", "insecure": True, "dest": str(tmp_path / "d")}}])[0]
    assert done.changed, done["msg"]
    assert done["artifact"]["metadata"]["jinja"] == "{{ 1/0 }}"
