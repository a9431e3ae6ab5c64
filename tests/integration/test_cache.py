# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache through ansible-playbook: what it saves, who else reads it, how it is pruned while it is used."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Blob, Publisher, contents, digest_of, snapshot, tgz, write_layout
from support.hostile_registry import Answer, HostileRegistry, hostile_registry
from support.module_process import module_result, start_module
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, INFO, VERIFY, SIGN, CACHE = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "info", "verify", "sign", "cache")
)


def task(module: str, **options: Any) -> dict[str, Any]:
    return {module: {**({} if module == CACHE else {"insecure": True}), **options}, "ignore_errors": True}


def ok(results: list[TaskResult]) -> list[TaskResult]:
    assert [result["msg"] for result in results if result.failed] == []
    return results


def pull_all(ansible: AnsibleRunner, folder: Path, cache: Path, *pulls: dict[str, Any]) -> None:
    """Fill a cache by modules that run at the same time."""
    started = [start_module(ansible, PULL, folder, insecure=True, cache_dir=str(cache), **each) for each in pulls]
    assert [result["msg"] for result in map(module_result, started) if result.get("failed")] == []


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
        # neither the registry is reached nor are credentials looked for, in this repository or another
        (task(PULL, ref=f"{place.name}@{digest}", dest=str(tmp_path / "c"), auth_file=str(tmp_path / "absent")), []),
        (task(PULL, ref=f"registry.invalid/other@{digest}", dest=str(tmp_path / "d")), []),
        (task(INFO, ref=f"{place.name}:1", gather=["manifest", "config", "layers"]), ["HEAD"]),
        (task(INFO, ref=f"{place.name}@{digest}", gather=["config"]), []),
        (task(INFO, ref=f"{place.name}@{digest}", gather=["config"], cache_dir=""), ["GET", "GET"]),
        # the same config under another manifest, which only a pull completes
        (task(INFO, ref=f"{place.name}:2", gather=["config"]), ["HEAD", "GET"]),
        (task(INFO, ref=f"{place.name}:2", gather=["config"]), ["HEAD"]),
    ]
    start = registry.mark()
    results = ok(ansible.tasks([step for step, _wanted in steps], environment={"OCI_ARTIFACT_CACHE_DIR": str(cache)}))
    methods = [request.method for request in registry.requests(start)]
    for number, (step, wanted) in enumerate(steps):
        assert methods[: len(wanted)] == wanted, (number, step, methods)
        del methods[: len(wanted)]
    assert methods == []
    assert [contents(tmp_path / name) for name in "abcd"] == [{"app.yaml": "replicas: 3\n"}] * 4
    assert [result["warnings"] for result in results if result["warnings"]] == []
    assert results[5]["config"] == results[6]["config"] == {}
    assert cache.stat().st_mode & 0o777 == 0o700


def test_signatures_come_from_the_cache(
    ansible: AnsibleRunner, registry: RegistryServer, place: Publisher, tmp_path: Path
) -> None:
    place.publish("1", {"a": "a"})
    keys = Path(__file__).resolve().parents[1] / "vectors/keys"
    given = {"cache_dir": str(tmp_path / "cache"), "ref": f"{place.name}:1"}
    verify = task(VERIFY, **given, public_keys=[str(keys / "key-nopass.pub")])
    start = registry.mark()
    signed = task(SIGN, **given, key=str(keys / "key-nopass.key"), key_password="")
    *_others, again = ok(ansible.tasks([signed, verify, verify]))
    assert again["verification"]["verified"]
    got = [request.path for request in registry.requests(start) if request.method == "GET"]
    named = [path for path in got if "/blobs/" in path or "/manifests/sha256:" in path]
    # what refers to a digest is asked for each time; what a digest names is not
    assert len(named) == len(set(named)) > 0


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
    pulls = [{"ref": f"{place.name}:{tag}", "dest": str(tmp_path / tag)} for tag in ("1", "2", "index", "partial")]
    pulls[0]["layers"] = "all"
    pull_all(ansible, tmp_path, cache, *pulls)
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


def _age(cache: Path, digest: str, days: float) -> str:
    """Make an artifact look unused for so many days; returns the digest of its layer."""
    moment = time.time() - days * 86400
    (layer,) = json.loads(blob(cache, digest).read_text())["layers"]
    for each in (digest, layer["digest"]):
        os.utime(blob(cache, each), (moment, moment))
    return str(layer["digest"])


def test_prune(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    """By age, then by size, the least recently used first, but never what is in use; foreseen by check mode."""
    size = 50_000
    digests = [place.publish(str(number), {"data": os.urandom(size)}) for number in range(5)]
    used, *others = digests
    cache = tmp_path / "cache"
    given = {"cache_dir": str(cache)}
    pull_all(
        ansible, tmp_path, cache, *({"ref": f"{place.name}:{n}", "dest": str(tmp_path / f"d{n}")} for n in range(5))
    )
    (seen,) = ok(ansible.tasks([task(CACHE, **given)]))
    assert (seen.changed, seen["reason"], seen["cache"]["artifacts"]) == (False, "CacheShown", 5)
    assert {name for each in seen["artifacts"] for name in each["names"]} == {f"{place.name}:{n}" for n in range(5)}
    # all of them share a config, which is of no consequence: each is as old as the rest of it
    config = json.loads(blob(cache, used).read_text())["config"]["digest"]
    os.utime(blob(cache, config), (0, 0))
    layers = [_age(cache, digest, 60 - number) for number, digest in enumerate(digests)]
    leftover = cache / ".ingest/killed.tmp"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_text("half")
    os.utime(leftover, (0, 0))
    prune = task(CACHE, **given, max_age="58d", max_size=f"{3 * size + size // 2}")
    absent = task(CACHE, **given, state="absent")
    with blob(cache, layers[0]).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        foreseen, done, again, kept = ok(
            ansible.tasks([{**prune, "check_mode": True}, prune, prune, absent], diff=True)
        )
    for name in ("changed", "cache", "artifacts", "removed", "in_use", "diff", "reason"):
        assert foreseen[name] == done[name], name
    assert done.changed and done["reason"] == "CachePruned" and "being used" in done["warnings"][0]
    # the first is in use; the second and third are too old
    assert [each["digest"] for each in done["artifacts"]] == [digests[4], digests[3], used]
    assert sorted(each["digest"] for each in done["removed"]["artifacts"]) == sorted(others[:2])
    assert (done["removed"]["blobs"], done["removed"]["leftovers"], done["in_use"]) == (4, 1, 1)
    assert done["diff"][0]["after"].count("\n") == 4
    assert (again.changed, again["reason"], again["in_use"]) == (False, "CacheUpToDate", 1)
    assert kept.changed and [each["digest"] for each in kept["artifacts"]] == [used]
    gone, away, missing = ok(ansible.tasks([absent, absent, task(CACHE, **given)]))
    assert gone.changed and not cache.exists() and not away.changed
    assert missing["cache"] == {"path": str(cache), "size": 0, "blobs": 0, "artifacts": 0}


def test_pulls_and_prunes_at_the_same_time(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    """Many processes on one cache: every pull ends well, whatever is removed under it, and the cache stays sound."""
    data = {name: os.urandom(300_000) for name in "ab"}
    for tag, content in data.items():
        place.publish(tag, {"data": content})
    cache = {"cache_dir": str(tmp_path / "cache")}
    processes = []
    for number in range(4):
        for tag in data:
            options = {"ref": f"{place.name}:{tag}", "dest": str(tmp_path / f"{tag}{number}"), "insecure": True}
            processes.append(start_module(ansible, PULL, tmp_path, **options, **cache))
        how = {"max_size": "0"} if number % 2 else {"state": "absent"}
        processes.append(start_module(ansible, CACHE, tmp_path, **how, **cache))
    results = [module_result(process) for process in processes]
    assert [result["msg"] for result in results if result.get("failed")] == []
    assert [text for result in results for text in result.get("warnings", ()) if "cannot be used" in text] == []
    for number in range(4):
        for tag, content in data.items():
            assert (tmp_path / f"{tag}{number}/data").read_bytes() == content
    sound = module_result(start_module(ansible, CACHE, tmp_path, **cache, check_content=True))
    assert not sound.get("failed") and not sound["changed"], sound


class AfterTheFirst(threading.Event):
    """Lets the first request pass, and the others when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._first = iter([True])

    def wait(self, timeout: float | None = None) -> bool:
        return next(self._first, False) or super().wait(timeout)


def test_a_killed_pull_leaves_a_cache_that_works(
    ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path
) -> None:
    """kill -9 in the midst of a download: the next run goes on behind it, and nothing half is ever listed."""
    layer = Blob(tgz({"random": os.urandom(400_000)}))
    digest = server.artifact("killed", [layer])
    cache = tmp_path / "cache"
    options = {"ref": f"{server.host}/killed:1", "insecure": True, "cache_dir": str(cache), "dest": str(tmp_path / "d")}
    # a connection that is cut is tried again, in vain until the process is killed
    gate = AfterTheFirst()
    server.blob("killed", digest_of(layer.data), Answer(layer.data, breaks=[150_000], delay=gate))
    process = start_module(ansible, PULL, tmp_path, **options)
    deadline = time.monotonic() + 600
    while not any(path.stat().st_size for path in cache.glob(".ingest/*.partial")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    gate.set()
    look = task(CACHE, cache_dir=str(cache))
    seen, pulled, after = ok(ansible.tasks([look, task(PULL, **options), look]))
    assert seen["cache"]["artifacts"] == 0 and pulled.changed
    assert [each["digest"] for each in after["artifacts"]] == [digest]
    ranges = [wanted for _method, path, wanted in server.requests if digest_of(layer.data) in path]
    assert ranges[0] == "" and all(wanted.startswith("bytes=") for wanted in ranges[1:]) and len(ranges) > 1


def test_directories_that_are_no_cache(ansible: AnsibleRunner, place: Publisher, tmp_path: Path) -> None:
    """They are neither filled nor emptied; what cannot be written is gone without, and said."""
    place.publish("1", {"a": "a"})
    layout, other, file, blocked = (tmp_path / name for name in ("layout", "other", "file", "blocked"))
    write_layout(layout, "1", {"b": "b"})
    other.mkdir()
    (other / "precious").write_text("x")
    file.write_text("x")
    blocked.mkdir()
    (blocked / ".ingest").write_text("in the way")
    before = snapshot(tmp_path)
    pull = {"ref": f"{place.name}:1", "dest": str(tmp_path / "d")}
    *refused, without = ansible.tasks(
        [
            *(task(PULL, **pull, cache_dir=str(each)) for each in (layout, other, file)),
            *(task(CACHE, cache_dir=str(each), state="absent") for each in (layout, other, file)),
            task(CACHE),
            task(PULL, **pull, cache_dir=str(blocked)),
        ]
    )
    for result in refused:
        assert result.failed and result["reason"] == "InvalidOption" and "\n" not in result["msg"], result
    assert ["no CACHEDIR.TAG" in result["msg"] for result in refused[:2]] == [True, True]
    ok([without])
    assert contents(tmp_path / "d") == {"a": "a"}
    (warning,) = without["warnings"]
    assert str(blocked) in warning and "for this task alone" in warning
    assert snapshot(layout) == {name: what for name, what in before.items() if name.startswith(str(layout))}
    assert (other / "precious").read_text() == file.read_text() == "x"
