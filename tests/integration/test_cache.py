# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache through ansible-playbook: what it saves, who else reads it, how it is pruned while it is used."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Blob, Publisher, contents, digest_of, snapshot, tgz
from support.hostile_registry import Answer, HostileRegistry, hostile_registry
from support.servers import RegistryServer
from support.tools import Tools

PULL, PUSH, INFO, VERIFY, SIGN, CACHE = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "push", "info", "verify", "sign", "cache")
)
KEY = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAcidJcMVcRGe7fTQmXRO7TBWhM5I
GXcRe3bSQrvFPYLGJIPYGDVnpDPoLVUbWE2GVn6G4JTYvdXUWxYyzkYgpg==
-----END PUBLIC KEY-----
"""


def task(module: str, **options: Any) -> dict[str, Any]:
    return {module: {**({} if module == CACHE else {"insecure": True}), **options}, "ignore_errors": True}


def ok(results: list[TaskResult]) -> list[TaskResult]:
    assert [result["msg"] for result in results if result.failed] == []
    return results


def blob(cache: Path, digest: str) -> Path:
    return cache / "blobs" / digest.replace(":", "/")


@pytest.fixture(scope="module")
def server() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        yield registry


@pytest.fixture
def place(registry: RegistryServer, request: pytest.FixtureRequest) -> Publisher:
    return Publisher(registry.host, f"cache/{request.node.name.replace('_', '-')}")


def test_what_is_held_is_not_asked_for(
    ansible: AnsibleRunner, registry: RegistryServer, place: Publisher, tmp_path: Path
) -> None:
    """One HEAD for a tag, nothing for a digest, whichever module, task or repository asks."""
    digest = place.publish("1", {"app.yaml": "replicas: 3\n"}, annotations={"org.opencontainers.image.title": "app"})
    place.publish("2", {"app.yaml": "replicas: 4\n"})
    cache = tmp_path / "cache"
    steps: list[tuple[dict[str, Any], list[str]]] = [
        (task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "a")), ["HEAD", "GET", "GET", "GET"]),
        (task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "a")), ["HEAD"]),
        (task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "b")), ["HEAD"]),
        (task(PULL, ref=f"{place.name}@{digest}", dest=str(tmp_path / "c")), []),
        (task(INFO, ref=f"{place.name}:1", gather=["manifest", "config", "layers"]), ["HEAD"]),
        (task(INFO, ref=f"{place.name}@{digest}", gather=["config"]), []),
        (task(INFO, ref=f"{place.name}@{digest}", gather=["config"], cache_dir=""), ["GET", "GET"]),
        # the same config under another manifest, which only a pull completes
        (task(INFO, ref=f"{place.name}:2", gather=["config"]), ["HEAD", "GET"]),
        (task(INFO, ref=f"{place.name}:2", gather=["config"]), ["HEAD"]),
    ]
    start = registry.mark()
    results = ok(
        ansible.tasks([step for step, _wanted in steps], environment={"OCI_ARTIFACT_CACHE_DIR": str(cache)})
    )
    methods = [request.method for request in registry.requests(start)]
    for number, (step, wanted) in enumerate(steps):
        assert methods[: len(wanted)] == wanted, (number, step, methods)
        del methods[: len(wanted)]
    assert methods == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c") == {
        "app.yaml": "replicas: 3\n"
    }
    assert [result["warnings"] for result in results if result["warnings"]] == []
    assert results[4]["config"] == results[5]["config"] == {}
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_digest_that_is_held_needs_no_registry(
    ansible: AnsibleRunner, place: Publisher, tmp_path: Path
) -> None:
    """Neither is it reached, nor are credentials looked for, in the same repository or another."""
    digest = place.publish("1", {"a": "a"})
    cache = str(tmp_path / "cache")
    nowhere = "registry.invalid/other"
    config = {"cache_dir": cache, "auth_file": str(tmp_path / "absent.json"), "retries": 0}
    _filled, same, other, missing = ansible.tasks(
        [
            task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "a"), cache_dir=cache),
            task(PULL, ref=f"{place.name}@{digest}", dest=str(tmp_path / "b"), **config),
            task(PULL, ref=f"{nowhere}@{digest}", dest=str(tmp_path / "c"), **config),
            task(PULL, ref=f"{nowhere}:1", dest=str(tmp_path / "d"), cache_dir=cache, retries=0),
        ]
    )
    ok([same, other])
    assert contents(tmp_path / "b") == contents(tmp_path / "c") == {"a": "a"}
    assert missing.failed and missing["reason"] == "ConnectionFailed", "a tag is what the registry says"


def test_signatures_come_from_the_cache(
    ansible: AnsibleRunner, registry: RegistryServer, place: Publisher, tmp_path: Path
) -> None:
    place.publish("1", {"a": "a"})
    keys = Path(__file__).resolve().parents[1] / "vectors/keys"
    cache = str(tmp_path / "cache")
    policy = {"public_keys": [str(keys / "key-nopass.pub")], "cache_dir": cache, "ref": f"{place.name}:1"}
    signed = task(SIGN, ref=f"{place.name}:1", key=str(keys / "key-nopass.key"), key_password="", cache_dir=cache)
    ok(ansible.tasks([signed, task(VERIFY, **policy)]))
    start = registry.mark()
    (again,) = ok(ansible.tasks([task(VERIFY, **policy)]))
    assert again["verification"]["verified"]
    got = [request.path for request in registry.requests(start) if request.method == "GET"]
    # what refers to a digest is asked for each time; what a digest names is not
    assert [path for path in got if "/blobs/" in path or "/manifests/sha256:" in path] == []


def test_other_tools_read_the_cache(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, place: Publisher, tmp_path: Path
) -> None:
    """It is an image layout: oras, skopeo and crane find whole artifacts by digest and by name, and so do we."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "hello.txt").write_text("hello\n")
    tools.run("oras", "push", "--plain-http", f"{place.name}:1", "hello.txt:text/plain", cwd=files)
    digest = tools.run("oras", "resolve", "--plain-http", f"{place.name}:1").stdout.strip()
    other = place.publish("2", {"a": "a"})
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    image = place.publish("image", {"platform": machine})
    index = place.publish_index("index", {f"linux/{machine}": image, "linux/mips": other})
    big = Blob(os.urandom(5 * 1024 * 1024), "application/octet-stream")
    partial = place.publish("partial", [Blob(tgz({"first": "layer"})), big])
    cache = tmp_path / "cache"
    pulls = [
        task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "1"), cache_dir=str(cache), layers="all"),
        *(
            task(PULL, ref=f"{place.name}:{tag}", dest=str(tmp_path / tag), cache_dir=str(cache))
            for tag in ("2", "index", "partial")
        ),
    ]
    ok(ansible.tasks(pulls))
    assert blob(cache, partial).exists() and blob(cache, index).exists()
    entries = json.loads((cache / "index.json").read_text())["manifests"]
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in entries}
    # not the index, of which one platform is there, nor an artifact with a large layer that nobody asked for
    assert names == {f"{place.name}:1": digest, f"{place.name}:2": other, f"{place.name}@{image}": image}
    tools.run("oras", "pull", "--oci-layout", f"{cache}@{digest}", "-o", tmp_path / "by-oras")
    assert contents(tmp_path / "by-oras") == {"hello.txt": "hello\n"}
    copied = f"{registry.host}/cache/copied"
    tools.run("oras", "cp", "--from-oci-layout", "--to-plain-http", f"{cache}@{digest}", f"{copied}:oras")
    named = f"oci:{cache}:{place.name}:2"
    assert digest_of(tools.run("skopeo", "inspect", "--raw", named).stdout.encode()) == other
    tools.run("skopeo", "copy", "--dest-tls-verify=false", named, f"docker://{copied}:skopeo")
    tools.run("crane", "push", "--insecure", "--index", cache, f"{copied}:crane")
    listed = json.loads(tools.run("crane", "manifest", "--insecure", f"{copied}:crane").stdout)["manifests"]
    assert {entry["digest"] for entry in listed} == set(names.values())
    before = snapshot(cache / "blobs")
    assert not set(tools.run("crane", "layout", "gc", cache).stderr.split()) & {digest, other, image}
    (pulled, seen) = ok(
        ansible.tasks(
            [
                task(PULL, ref=f"oci-layout:{cache}@{digest}", dest=str(tmp_path / "again"), layers="all"),
                task(CACHE, cache_dir=str(cache), check_content=True),
            ]
        )
    )
    assert contents(tmp_path / "again") == contents(tmp_path / "1") and pulled["artifact"]["digest"] == digest
    # crane's garbage collection takes what nothing lists; that leaves the cache sound
    assert len(snapshot(cache / "blobs")) < len(before)
    assert (seen.changed, seen["cache"]["artifacts"], seen["removed"]["damaged"]) == (False, 3, [])


def test_a_tag_that_moves_leaves_its_artifact_under_its_digest(
    ansible: AnsibleRunner, place: Publisher, tmp_path: Path
) -> None:
    cache = {"cache_dir": str(tmp_path / "cache")}
    first = place.publish("stable", {"a": "1"})
    ok(ansible.tasks([task(PULL, ref=f"{place.name}:stable", dest=str(tmp_path / "d"), **cache)]))
    second = place.publish("stable", {"a": "2"})
    _pulled, seen = ok(
        ansible.tasks([task(PULL, ref=f"{place.name}:stable", dest=str(tmp_path / "d"), **cache), task(CACHE, **cache)])
    )
    assert {each["digest"]: each["names"] for each in seen["artifacts"]} == {
        first: [f"{place.name}@{first}"],
        second: [f"{place.name}:stable"],
    }
    assert (seen.changed, seen["reason"]) == (False, "CacheShown")


def _age(cache: Path, digests: list[str], days: float) -> None:
    for digest in digests:
        manifest = json.loads(blob(cache, digest).read_text())
        for each in (digest, *(layer["digest"] for layer in manifest["layers"])):
            moment = time.time() - days * 86400
            os.utime(blob(cache, each), (moment, moment))


def test_prune(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    """By age, then by size, the least recently used first; in check mode the same answer, and nothing happens."""
    size = 50_000
    digests = [place.publish(str(number), {"data": os.urandom(size)}) for number in range(6)]
    cache = tmp_path / "cache"
    given = {"cache_dir": str(cache)}
    ok(
        ansible.tasks(
            [task(PULL, ref=f"{place.name}:{n}", dest=str(tmp_path / f"d{n}"), **given) for n in range(len(digests))]
        )
    )
    for number, digest in enumerate(digests):
        _age(cache, [digest], 60 - number)
    # all of them have one config, whose age is that of the last
    (cache / ".ingest").mkdir(exist_ok=True)
    leftover = cache / ".ingest/killed.tmp"
    leftover.write_text("half")
    os.utime(leftover, (0, 0))
    rules = {**given, "max_age": "58d", "max_size": f"{3 * size + size // 2}"}
    before = snapshot(cache)
    (foreseen,) = ok(ansible.tasks([task(CACHE, **rules)], check=True, diff=True))
    assert snapshot(cache) == before
    done, again = ok(ansible.tasks([task(CACHE, **rules)] * 2, diff=True))
    for name in ("changed", "cache", "artifacts", "removed", "in_use", "diff", "reason"):
        assert foreseen[name] == done[name], name
    assert done.changed and done["reason"] == "CachePruned"
    # the config is as young as the youngest artifact with it, and all have it: the rest of each says how old it is
    assert [each["digest"] for each in done["artifacts"]] == list(reversed(digests[3:]))
    assert sorted(each["digest"] for each in done["removed"]["artifacts"]) == sorted(digests[:3])
    assert (done["removed"]["blobs"], done["removed"]["leftovers"], done["in_use"]) == (6, 1, 0)
    assert 3 * size < done["cache"]["size"] <= 3 * size + size // 2
    assert (again.changed, again["reason"], again["removed"]["blobs"]) == (False, "CacheUpToDate", 0)
    removed, away, missing = ok(
        ansible.tasks([task(CACHE, **given, state="absent"), task(CACHE, **given, state="absent"), task(CACHE, **given)])
    )
    assert removed.changed and not cache.exists() and not away.changed
    assert missing["cache"] == {"path": str(cache), "size": 0, "blobs": 0, "artifacts": 0}


def test_what_is_in_use_is_never_removed(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    digest = place.publish("1", {"a": "a"})
    cache = tmp_path / "cache"
    given = {"cache_dir": str(cache)}
    ok(ansible.tasks([task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "d"), **given)]))
    layer = json.loads(blob(cache, digest).read_text())["layers"][0]["digest"]
    with blob(cache, layer).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        kept, absent = ok(
            ansible.tasks([task(CACHE, **given, max_size="0"), task(CACHE, **given, state="absent")])
        )
    for result in (kept, absent):
        assert (result.changed, result["in_use"], result["cache"]["artifacts"]) == (False, 1, 1)
        assert "being used" in result["warnings"][0]
    (gone,) = ok(ansible.tasks([task(CACHE, **given, max_size="0")]))
    assert gone.changed and gone["cache"]["blobs"] == 0


def test_pulls_and_prunes_at_the_same_time(
    ansible: AnsibleRunner, place: Publisher, tmp_path: Path
) -> None:
    """Background tasks on one cache: every pull ends well, whatever is removed under it, and the cache is sound."""
    data = {name: os.urandom(300_000) for name in "ab"}
    for tag, content in data.items():
        place.publish(tag, {"data": content})
    cache = {"cache_dir": str(tmp_path / "cache")}
    background: list[dict[str, Any]] = []
    for number in range(4):
        for tag in data:
            ref = f"{place.name}:{tag}"
            background.append(task(PULL, ref=ref, dest=str(tmp_path / f"{tag}{number}"), **cache))
        background.append(task(CACHE, **cache, **({"max_size": "0"} if number % 2 else {"state": "absent"})))
    started = [{**each, "async": 120, "poll": 0, "register": f"job{n}"} for n, each in enumerate(background)]
    waits = [
        {
            "ansible.builtin.async_status": {"jid": f"{{{{ job{number}.ansible_job_id }}}}"},
            "register": "job",
            "until": "job.finished",
            "retries": 200,
            "delay": 0.3,
            "ignore_errors": True,
        }
        for number in range(len(background))
    ]
    results = ansible.tasks([*started, *waits, task(CACHE, **cache, check_content=True)])
    ended, last = results[len(background) : -1], results[-1]
    assert [result["msg"] for result in ended if result.failed] == []
    assert [result["warnings"] for result in ended if any("cannot be used" in text for text in result["warnings"])] == []
    for number in range(4):
        for tag, content in data.items():
            assert (tmp_path / f"{tag}{number}/data").read_bytes() == content
    assert not last.failed and last["removed"]["damaged"] == [] and not last.changed


def test_a_killed_pull_leaves_a_cache_that_works(
    ansible: AnsibleRunner, server: HostileRegistry, collections_tree: Path, tmp_path: Path
) -> None:
    """kill -9 in the midst of a download: the next run goes on behind it, and nothing half is ever listed."""
    layer = Blob(tgz({"random": os.urandom(400_000)}))
    digest = server.artifact("killed", [layer])
    cache = tmp_path / "cache"
    options = {"ref": f"{server.host}/killed:1", "insecure": True, "cache_dir": str(cache), "dest": str(tmp_path / "d")}
    stalled = Answer(layer.data, breaks=[150_000])
    server.blob("killed", digest_of(layer.data), stalled)
    module = collections_tree / "ansible_collections/cloudnative/artifacts/plugins/modules/oci_artifact_pull.py"
    # a connection that is cut is retried after a pause, in which the process is killed
    process = subprocess.Popen(
        [ansible.target_python, str(module)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(collections_tree)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**options, **_INTERNAL}}).encode())
    process.stdin.close()
    deadline = time.monotonic() + 60
    while not list(cache.glob(".ingest/*.partial")) or stalled.breaks:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (seen, pulled, after) = ok(
        ansible.tasks([task(CACHE, cache_dir=str(cache)), task(PULL, **options), task(CACHE, cache_dir=str(cache))])
    )
    assert seen["cache"]["artifacts"] == 0 and pulled.changed
    assert [each["digest"] for each in after["artifacts"]] == [digest]
    ranges = [wanted for _method, path, wanted in server.requests if digest_of(layer.data) in path]
    assert ranges[0] == "" and all(wanted.startswith("bytes=") for wanted in ranges[1:]) and len(ranges) > 1


# what Ansible adds to the arguments of a module
_INTERNAL: Mapping[str, Any] = {"_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}


def test_directories_that_are_no_cache(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    """They are neither filled nor emptied; what cannot be written is gone without, and said."""
    place.publish("1", {"a": "a"})
    layout, other, file, blocked = (tmp_path / name for name in ("layout", "other", "file", "blocked"))
    other.mkdir()
    (other / "precious").write_text("x")
    file.write_text("x")
    blocked.mkdir()
    (blocked / ".ingest").write_text("in the way")
    ok(ansible.tasks([task(PUSH, ref=f"oci-layout:{layout}:1", path=str(other))]))
    before = snapshot(tmp_path)
    refused = ansible.tasks(
        [
            *(task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "d"), cache_dir=str(c)) for c in (layout, other, file)),
            *(task(CACHE, cache_dir=str(c), state="absent") for c in (layout, other, file)),
            task(CACHE),
            task(CACHE, cache_dir=str(layout), max_age="a month"),
        ]
    )
    for result in refused:
        assert result.failed and result["reason"] == "InvalidOption" and "\n" not in result["msg"], result
    assert ["no CACHEDIR.TAG" in result["msg"] for result in refused[:2]] == [True, True]
    assert snapshot(tmp_path) == before
    (without,) = ok(
        ansible.tasks([task(PULL, ref=f"{place.name}:1", dest=str(tmp_path / "d"), cache_dir=str(blocked))])
    )
    assert contents(tmp_path / "d") == {"a": "a"}
    (warning,) = without["warnings"]
    assert str(blocked) in warning and "for this task alone" in warning
