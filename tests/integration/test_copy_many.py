# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors of many artifacts with real registries: how much is asked for, what is reported, and what is removed."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import CONFIG, Blob, Publisher, digest_of, manifest_of, tgz
from support.servers import RegistryServer

pytestmark = pytest.mark.once

COPY, SIGN = "cloudnative.artifacts.oci_artifact_copy", "cloudnative.artifacts.oci_artifact_sign"
KEY, PUBLIC = str(vectors.ROOT / "keys/ed25519.raw.pem"), [str(vectors.ROOT / "keys/ed25519.pub")]
COUNT = 1000


def copy(**options: Any) -> dict[str, Any]:
    keywords = {name: options.pop(name) for name in ("check_mode", "diff") if name in options}
    return {"name": "copy", COPY: {"insecure": True, **options}, "ignore_errors": True, **keywords}


def publish(server: RegistryServer, repository: str, tag: str, content: str) -> bytes:
    """Publish one file; returns the manifest."""
    layer, config = Blob(tgz({"a.txt": content})), Blob(b"{}", CONFIG)
    Publisher(server.host, repository).publish(tag, [layer], config=config)
    return manifest_of([layer], config)


@contextmanager
def connected(server: RegistryServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(server.host)
    yield connection
    connection.close()


def put_tags(server: RegistryServer, repository: str, raw: bytes, tags: list[str]) -> None:
    """Give a manifest whose blobs are there many tags, over one connection."""
    with connected(server) as connection:
        for tag in tags:
            headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
            connection.request("PUT", f"/v2/{repository}/manifests/{tag}", raw, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 201


def delete(server: RegistryServer, repository: str, identifier: str) -> None:
    with connected(server) as connection:
        connection.request("DELETE", f"/v2/{repository}/manifests/{identifier}")
        assert connection.getresponse().status == 202


def kinds(server: RegistryServer, since: int) -> Counter[str]:
    """How many requests there were by what they are for."""
    return Counter(
        "tags" if "/tags/list" in request.path else request.path.split("/")[-2] if request.path != "/v2/" else "ping"
        for request in server.requests(since=since)
    )


def became(result: TaskResult) -> dict[str, int]:
    return dict(Counter(result["results"][0]["tags"].values()))


def test_a_mirror_of_a_thousand_versions(
    ansible: AnsibleRunner, registry: RegistryServer, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """An unchanged one takes four requests at most besides the lists of tags; then it follows its source."""
    name = "copy-many/thousand"
    raw = publish(registry, name, "1.0.0", "one")
    put_tags(registry, name, raw, [f"1.0.{number}" for number in range(1, COUNT)])
    mirror = {
        "artifacts": [{"url": f"oci://{registry.host}/{name}", "semver": "1.x", "limit": 0, "prune": "report"}],
        "to": f"{oci11_registry.host}/mirror/{{repository}}",
        "cache_dir": str(tmp_path / "cache"),
    }
    (first,) = ansible.tasks([copy(**mirror)])
    assert first.changed and became(first) == {"created": COUNT}, first.get("msg")
    # the target has the blobs of all repositories in one place
    assert len(first["copied"]) == 1 and first["blobs"]["uploaded"] + first["blobs"]["existed"] == 2
    since = registry.mark(), oci11_registry.mark()
    (again,) = ansible.tasks([copy(**mirror)])
    assert not again.changed and became(again) == {"unchanged": COUNT} and again["present"] == COUNT
    asked = kinds(registry, since[0]) + kinds(oci11_registry, since[1])
    assert asked.pop("tags") <= 2 + 2 * 2, "pages of both lists, and of that to prune by"
    assert sum(asked.values()) <= 4, asked

    publish(registry, name, "1.1.0", "two")
    delete(registry, name, "1.0.7")
    since = registry.mark(), oci11_registry.mark()
    pruning = {**mirror["artifacts"][0], "prune": True}
    follow, settled = ansible.tasks([copy(**{**mirror, "artifacts": [pruning]}, diff=True)] * 2)
    assert became(follow) == {"created": 1, "unchanged": COUNT - 1}, follow.get("msg")
    assert [(each["tag"], each["removed"]) for each in follow["pruned"]] == [("1.0.7", True)]
    assert "1.0.7 " in follow["diff"][1]["before"] and "1.1.0 -> " in follow["diff"][0]["after"]
    assert not settled.changed and settled["pruned"] == []
    with connected(oci11_registry) as connection:
        for tag, status in (("1.0.7", 404), ("1.0.8", 200), ("1.1.0", 200)):
            connection.request("HEAD", f"/v2/mirror/{name}/manifests/{tag}")
            response = connection.getresponse()
            response.read()
            assert response.status == status, tag


def test_the_report_of_a_list(
    ansible: AnsibleRunner, registry: RegistryServer, oci11_registry: RegistryServer, tmp_path: Path
) -> None:
    """Signed and unsigned, drifted, denied, missing: what can be copied is, and the rest is told with its reason."""
    names = {name: f"copy-many/{name}" for name in ("signed", "drifted", "channel")}
    for name, tags in {"signed": ["1.0.0", "1.1.0"], "drifted": ["1.0.0"], "channel": ["stable", "beta"]}.items():
        for tag in tags:
            publish(registry, names[name], tag, f"{name} {tag}")
    publish(registry, "copy-many/other", "1.0.0", "something else")
    refs = {name: f"{registry.host}/{path}" for name, path in names.items()}
    options = {
        "to": f"{oci11_registry.host}/mirror/{{repository}}",
        "cache_dir": str(tmp_path / "cache"),
        "policy": [{"match": refs["channel"], "deny_tags": ["beta"]}, {"match": "*"}],
        "artifacts": [
            {"url": refs["signed"], "limit": 0, "verify": {"public_keys": PUBLIC}},
            {"ref": f"{refs['drifted']}:1.0.0"},
            {"url": refs["channel"], "limit": 0},
            {"ref": f"{registry.host}/copy-many/missing:1"},
        ],
    }
    sign = {"name": "sign", SIGN: {"ref": f"{refs['signed']}:1.0.0", "key": KEY, "insecure": True}}
    clash = [{"ref": f"{refs['signed']}:1.0.0"}, {"ref": f"{refs['drifted']}:1.0.0"}]
    since = registry.mark()
    conflict = ansible.task(COPY, artifacts=clash, to=f"{oci11_registry.host}/all/app", insecure=True)
    assert conflict["reason"] == "InvalidOption" and "Items 1 and 2 of 'artifacts' would both" in conflict["msg"]
    assert registry.requests(since=since) == []
    other = {"ref": f"{registry.host}/copy-many/other:1.0.0", "to": f"{oci11_registry.host}/mirror/{names['drifted']}"}
    signed, drift, foreseen, done, again = ansible.tasks(
        [sign, copy(**other), copy(**options, check_mode=True), copy(**options), copy(**options)]
    )
    assert not signed.failed and not drift.failed, (signed, drift)
    for result in (foreseen, done, again):
        assert result.failed and result["reason"] == "VerificationError" and "diff" not in result
        assert [(each["url"].rpartition("/")[2], each["tag"], each["reason"]) for each in result["refused"]] == [
            ("signed", "1.1.0", "VerificationError"),
            ("drifted", "1.0.0", "TagImmutable"),
            ("channel", "beta", "TagDenied"),
            ("missing", "1", "OCIArtifactPullFailed"),
        ]
        assert [each["to"] for each in result["drifted"]] == [f"{oci11_registry.host}/mirror/{names['drifted']}:1.0.0"]
    assert (foreseen.changed, done.changed, again.changed) == (True, True, False)
    assert [each.get("tags") for each in done["results"][::2]] == [
        {"1.1.0": "refused", "1.0.0": "created"},
        {"stable": "created", "beta": "refused"},
    ]
    assert [each["failed"] for each in done["results"]] == [True] * 4
    counts = [len(each.get("copied", ())) for each in done["results"]]
    assert counts[0] > 1, "the signature is copied, too"
    assert counts[1:] == [0, 1, 0] and len(done["copied"]) == sum(counts)
    assert done["refused"][2]["refused_by"]["check"] == "deny_tags"
    # the signature went along, and is found there
    (verified,) = ansible.tasks(
        [
            copy(
                ref=f"{oci11_registry.host}/mirror/{names['signed']}:1.0.0",
                to=f"oci-archive:{tmp_path}/a.tar",
                verify={"public_keys": PUBLIC},
            )
        ]
    )
    assert verified.changed and verified["verification"]["verified"]


def test_what_is_copied_is_what_was_verified_however_often_the_tag_moves(
    ansible: AnsibleRunner, registry: RegistryServer, oci11_registry: RegistryServer
) -> None:
    """While somebody moves the tag all the time between a signed artifact and others that nobody signed."""
    name = "copy-many/moving"
    contents = [publish(registry, name, f"build-{number}", f"content {number}") for number in range(3)]
    sign = {"name": "sign", SIGN: {"ref": f"{registry.host}/{name}:build-0", "key": KEY, "insecure": True}}
    assert not ansible.tasks([sign])[0].failed
    put_tags(registry, name, contents[0], ["stable"])
    done = threading.Event()
    moves: list[int] = []

    def move() -> None:
        while not done.is_set() or len(moves) < 100:
            put_tags(registry, name, contents[len(moves) % 3], ["stable"])
            moves.append(1)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        to = {"to": f"{oci11_registry.host}/moving/app", "verify": {"public_keys": PUBLIC}}
        results = ansible.tasks([copy(ref=f"{registry.host}/{name}:stable", **to)] * 3)
    finally:
        done.set()
        mover.join()
    assert {result["reason"] for result in results} <= {"ArtifactCopied", "ArtifactUpToDate", "VerificationError"}
    put_tags(registry, name, contents[0], ["stable"])
    (last,) = ansible.tasks([copy(ref=f"{registry.host}/{name}:stable", **to)])
    assert not last.failed and len(moves) >= 100
    with connected(oci11_registry) as connection:
        connection.request("GET", "/v2/moving/app/manifests/stable")
        assert connection.getresponse().read() == contents[0]
        connection.request("GET", "/v2/moving/app/tags/list")
        assert b"build" not in connection.getresponse().read()
        for raw in (contents[1], contents[2]):
            digest = digest_of(raw)
            connection.request("HEAD", f"/v2/moving/app/manifests/{digest}")
            response = connection.getresponse()
            response.read()
            assert response.status == 404, "what was not verified is not there"
