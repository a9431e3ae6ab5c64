# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls of a fleet via the controller: what the registry is asked, what hosts are sent, and what they have then."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import TITLE, Blob, Publisher, contents, write_layout
from support.servers import RegistryServer
from support.ssh_host import SshHost
from two_users import NOBODY, public_place

PULL = "cloudnative.artifacts.oci_artifact_pull"
KEYS = vectors.ROOT / "keys"
# how Ansible says with -vvv that it sends a file
SENDS = re.compile(r"PUT (\S+) TO (\S+)")


def noise(size: int, seed: int) -> bytes:
    """Bytes that nothing compresses."""
    return random.Random(seed).randbytes(size)


class Fleet:
    """Local hosts, each with a directory of its own."""

    def __init__(self, ansible: AnsibleRunner, folder: Path, count: int, python: str = "") -> None:
        self._ansible = ansible
        self.folder = folder
        self.count = count
        self._inventory = folder / "fleet.ini"
        python = f"ansible_python_interpreter={python or ansible.target_python}"
        self._inventory.write_text(
            "[fleet]\n" + "".join(f"host{n} ansible_connection=local {python}\n" for n in range(count))
        )

    def dest(self, number: int) -> Path:
        return self.folder / f"host{number}"

    def pull(
        self, *, flags: tuple[str, ...] = (), task: dict[str, Any] | None = None, **options: Any
    ) -> list[TaskResult]:
        modes = {
            name: options.pop(name) for name in ("check", "diff", "serial", "strategy", "throttle") if name in options
        }
        dest = f"{self.folder}/{{{{ inventory_hostname }}}}"
        pull = {PULL: {"dest": dest, "insecure": True, "via": "controller", **options}, **(task or {})}
        return self._ansible.tasks(
            [pull], hosts="fleet", flags=["-i", str(self._inventory), "--forks", "4", *flags], **modes
        )


def reads(registry: RegistryServer, mark: int) -> Counter[str]:
    """How often each thing was asked for, by method and kind."""
    found: Counter[str] = Counter()
    for request in registry.requests(mark):
        kind = "blob" if "/blobs/" in request.path else "manifest" if "/manifests/" in request.path else "other"
        found[f"{request.method} {kind}"] += 1
    return found


def test_one_host_small_and_large(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("small", {"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n"})
    publisher.publish("large", {"a.yaml": "a: 2\n", "noise": noise(600_000, 1)})
    # with the controller's own Python it would read there what others are sent
    fleet = Fleet(ansible, tmp_path, 1, python=ansible.python_with({}))
    mark = registry.mark()
    # ansible-core 2.19 and later say only where they are asked with what options a module was run
    shown = {"vars": {"ansible_inject_invocation": True}}
    [result] = fleet.pull(ref=f"{publisher.name}:small", flags=("-vvv",), task=shown)
    assert (result.changed, result["reason"]) == (True, "NewRevision"), result
    assert contents(fleet.dest(0)) == {"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n"}
    assert reads(registry, mark) == {"HEAD manifest": 1, "GET manifest": 1, "GET blob": 1}
    assert result["served_by"] == [registry.host]
    assert result["invocation"]["module_args"]["via"] == "controller"

    [result] = fleet.pull(ref=f"{publisher.name}:small", flags=("-vvv",))
    assert (result.changed, result["reason"]) == (False, "ArtifactUpToDate"), result

    mark = registry.mark()
    [result] = fleet.pull(ref=f"{publisher.name}:large", flags=("-vvv",))
    assert (result.changed, result["reason"]) == (True, "NewRevision"), result
    assert sorted(contents(fleet.dest(0))) == ["a.yaml", "noise"]
    assert not (fleet.dest(0) / ".oci-artifact/incoming").exists()
    assert reads(registry, mark) == {"HEAD manifest": 1, "GET manifest": 1, "GET blob": 1}
    assert result["via"] == {"place": "controller", "verified_here": False, "files_sent": 1}
    sent = [target for _source, target in SENDS.findall(result.stdout) if "AnsiballZ" not in target]
    assert len(sent) == 1 and "/.oci-artifact/incoming/sha256-" in sent[0]

    # without the option it is the same artifact, in the same place
    [result] = fleet.pull(ref=f"{publisher.name}:large", via=None)
    assert (result.changed, result["reason"]) == (False, "ArtifactUpToDate"), result


@pytest.mark.once
def test_two_hundred_hosts_read_everything_once(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    """Batches, forks and two strategies, in Ansible's workers; signed, of two layers."""
    files = {"one.bin": noise(200_000, 2), "two.bin": noise(300_000, 3)}
    layers = [Blob(data, "application/octet-stream", {TITLE: name}) for name, data in files.items()]
    publisher.publish("1.0.0", layers)
    key = str(KEYS / "ed25519.raw.pem")
    signed = ansible.task(f"{PULL[:-4]}sign", ref=f"{publisher.name}:1.0.0", key=key, insecure=True)
    assert not signed.failed, signed
    fleet = Fleet(ansible, tmp_path, 200, python=sys.executable)
    options = {
        "url": publisher.url,
        "semver": "1.x",
        "verify": {"public_keys": [str(KEYS / "ed25519.pub")]},
        "task": {"throttle": 3},
    }
    mark = registry.mark()
    results = fleet.pull(serial=[1, 19, "100%"], **options)
    assert Counter(result["reason"] for result in results) == {"NewRevision": 200}, results[-1]
    assert all(result["verification"]["verified"] and result["via"]["verified_here"] for result in results)
    for number in (0, 57, 199):
        assert {name: (fleet.dest(number) / name).read_bytes() for name in files} == files
    requests = registry.requests(mark)
    layers = [each.path for each in requests if each.method == "GET" and "/blobs/" in each.path]
    assert max(Counter(layers).values()) == 1
    resolved = [each for each in requests if each.method == "HEAD" and each.path.endswith("/manifests/1.0.0")]
    assert len(resolved) == 1

    mark = registry.mark()
    results = fleet.pull(strategy="free", **options)
    assert Counter(result["reason"] for result in results) == {"ArtifactUpToDate": 200}
    assert {result["via"]["files_sent"] for result in results} == {0}
    found = reads(registry, mark)
    assert (found["HEAD manifest"], found["GET blob"]) == (1, 0)


@pytest.mark.once
def test_what_a_host_without_network_packages_and_trust_gets(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    """In a network namespace without a route, with a Python that has no package; check mode and diff before."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec unshare --net {shlex.quote(sys.executable)} -I -S "$@"\n')
    python.chmod(0o755)
    port = registry.host.rpartition(":")[2]
    probe = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)"
    assert "unreachable" in subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False).stderr
    assert subprocess.run([python, "-c", "import requests"], capture_output=True, check=False).returncode == 1
    (tmp_path / "files").mkdir()
    (tmp_path / "files/app.conf").write_text("port = 80\n")
    push = {"path": str(tmp_path / "files"), "insecure": True, "sign": {"key": str(KEYS / "ed25519.raw.pem")}}
    assert not ansible.task(f"{PULL[:-4]}push", ref=f"{publisher.name}:small", **push).failed
    (tmp_path / "files/noise").write_bytes(noise(500_000, 4))
    assert not ansible.task(f"{PULL[:-4]}push", ref=f"{publisher.name}:large", **push).failed
    fleet = Fleet(ansible, tmp_path, 1, python=str(python))
    verify = {"verify": {"public_keys": [str(KEYS / "ed25519.pub")]}, "username": "deploy", "password": "not for hosts"}

    [result] = fleet.pull(ref=f"{publisher.name}:small", check=True, diff=True, **verify)
    assert result.changed and [each["after"] for each in result["diff"]] == ["port = 80\n"], result
    [result] = fleet.pull(ref=f"{publisher.name}:large", check=True, diff=True, **verify)
    assert result.changed and not fleet.dest(0).exists()

    for tag, sent in (("small", 0), ("large", 1)):
        [result] = fleet.pull(ref=f"{publisher.name}:{tag}", flags=("-vvvv",), **verify)
        assert (result.changed, result["reason"]) == (True, "NewRevision"), result
        assert result["verification"]["verified"] and not result["via"]["verified_here"]
        assert result["via"]["files_sent"] == sent
        assert "not for hosts" not in result.stdout
    assert sorted(contents(fleet.dest(0))) == ["app.conf", "noise"]
    # the next version is compared on the controller, with what the host says of this one
    (tmp_path / "files/app.conf").write_text("port = 8080\n")
    assert not ansible.task(f"{PULL[:-4]}push", ref=f"{publisher.name}:next", **push).failed
    [result] = fleet.pull(ref=f"{publisher.name}:next", check=True, diff=True, **verify)
    header = str(fleet.dest(0) / "app.conf")
    shown = {"before": "port = 80\n", "after": "port = 8080\n", "before_header": header, "after_header": header}
    assert result.changed and result["diff"] == [shown], result
    assert result["artifact"]["path"] == str(fleet.dest(0)) and result["changes"]["changed"] == ["app.conf"]
    # what is not signed is placed nowhere, and what is there stays
    publisher.publish("unsigned", {"app.conf": "port = 81\n"})
    [result] = fleet.pull(ref=f"{publisher.name}:unsigned", **verify)
    assert (result.failed, result["reason"]) == (True, "VerificationError")
    assert (fleet.dest(0) / "app.conf").read_text() == "port = 80\n"


@pytest.mark.once
def test_over_ssh_as_another_user_and_what_is_refused(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, second_host: SshHost, tmp_path: Path
) -> None:
    size = 40 * 1024 * 1024
    publisher.publish("1", [Blob(noise(size, 5), "application/octet-stream", {TITLE: "model"})])
    options = {"ref": f"{publisher.name}:1", "insecure": True, "via": "controller"}
    with public_place() as place:
        for name in ("root", "nobody"):
            (place / name).mkdir()
        os.chown(place / "nobody", NOBODY, NOBODY)
        become = {"become": True, "become_user": "nobody", "become_method": "ansible.builtin.su"}
        tasks: list[dict[str, Any]] = [
            {"name": "as root", PULL: {**options, "dest": str(place / "root/dest")}},
            {
                "name": "as nobody",
                PULL: {**options, "dest": str(place / "nobody/dest")},
                "vars": {"ansible_become_flags": "-s /bin/sh", "ansible_python_interpreter": "/usr/bin/python3"},
                **become,
            },
            {
                "name": "in the background",
                PULL: {**options, "dest": "/x"},
                "async": 60,
                "poll": 1,
                "ignore_errors": True,
            },
            {
                "name": "windows",
                PULL: {**options, "dest": "/x"},
                "vars": {"ansible_shell_type": "powershell"},
                "ignore_errors": True,
            },
        ]
        mark = registry.mark()
        results = ansible.tasks(tasks, hosts="second-host", flags=["-i", str(second_host.inventory), "-vvv"])
        by_name = {result.task: result for result in results}
        for name, folder, owner in (("as root", "root", 0), ("as nobody", "nobody", NOBODY)):
            assert by_name[name].changed, by_name[name]
            model = place / folder / "dest/model"
            assert (model.stat().st_size, model.stat().st_uid) == (size, owner)
            assert by_name[name]["via"]["files_sent"] == 2
        assert reads(registry, mark)["GET blob"] == 1
        assert (
            by_name["in the background"]["reason"] == "InvalidOption" and "async" in by_name["in the background"]["msg"]
        )
        assert "cloudnative.artifacts.oci_artifact" in by_name["windows"]["msg"]


@pytest.mark.once
def test_lists_policies_platforms_layouts_and_a_registry_that_is_off(
    ansible: AnsibleRunner, registry: RegistryServer, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish("1.0.0", {"a": "old\n"})
    digest = publisher.publish("2.0.0", {"a": "new\n", "noise": noise(400_000, 6)})
    publisher.publish_index("any", {"linux/amd64": digest, "linux/arm64": digest})
    write_layout(tmp_path / "layout", "1", {"b": "of a layout\n"})
    python = {"ansible_python_interpreter": ansible.target_python, "ansible_connection": "local"}

    def pull(**options: Any) -> dict[str, Any]:
        given = {"insecure": True, "via": "controller", "retries": 0, **options}
        return {PULL: given, "vars": python, "ignore_errors": True}

    def dest(name: str) -> str:
        return str(tmp_path / name)

    guarded = {"dest": dest("guarded"), "policy": [{"match": "*", "never_downgrade": True}]}
    kept = {"dest": dest("kept"), "on_registry_error": {"use": "last_good"}}
    off = {"mirrors": {registry.host: [{"url": "http://127.0.0.1:9", "mode": "replace"}]}}
    artifacts = [
        {"ref": f"{publisher.name}:2.0.0", "dest": dest("list/two")},
        {"ref": f"{publisher.name}:1.0.0", "dest": dest("list/one")},
        {"ref": f"{publisher.name}:absent", "dest": dest("list/none")},
    ]
    results = ansible.tasks(
        [
            pull(ref=f"{publisher.name}:2.0.0", **guarded),
            pull(ref=f"{publisher.name}:1.0.0", **guarded),
            pull(ref=f"{publisher.name}:any", dest=dest("any")),
            pull(ref=f"oci-layout:{tmp_path}/layout:1", dest=dest("of layout")),
            pull(artifacts=artifacts),
            pull(ref=f"{publisher.name}:1.0.0", **kept),
            pull(ref=f"{publisher.name}:1.0.0", dest=dest("denied"), policy=[{"match": "*", "deny_tags": ["1.0.0"]}]),
        ]
    )
    assert [(result.failed, result["reason"]) for result in results] == [
        (False, "NewRevision"),
        (True, "DowngradeDenied"),
        (False, "NewRevision"),
        (False, "NewRevision"),
        (True, "OCIArtifactPullFailed"),
        (False, "NewRevision"),
        (True, "TagDenied"),
    ]
    assert results[1]["refused_by"] == {"policy": "", "match": "*", "check": "never_downgrade"}
    assert results[6]["refused_by"] == {"policy": "", "match": "*", "check": "deny_tags"}
    assert (tmp_path / "guarded/a").read_text() == (tmp_path / "any/a").read_text() == "new\n"
    assert (tmp_path / "of layout/b").read_text() == "of a layout\n"
    assert [each.get("reason") for each in results[4]["results"]][:2] == ["NewRevision"] * 2
    assert (tmp_path / "list/two/a").read_text() == "new\n" and (tmp_path / "list/one/a").read_text() == "old\n"
    # of a run in which the registry is off
    denied = [{"match": publisher.name, "deny_digests": [results[5]["artifact"]["digest"]]}]
    results = ansible.tasks(
        [
            pull(ref=f"{publisher.name}:1.0.0", **kept, **off),
            pull(ref=f"{publisher.name}:1.0.0", dest=dest("fresh"), **off),
            # neither is what is denied by now a last good
            pull(ref=f"{publisher.name}:1.0.0", policy=denied, **kept, **off),
        ]
    )
    assert (results[0]["reason"], results[0]["degraded"]) == ("LastGoodKept", True), results[0]
    assert results[1].failed and results[1]["reason"] == "ConnectionFailed" and not (tmp_path / "fresh").exists()
    assert results[2].failed and results[2]["reason"] == "DigestDenied"
    assert results[2]["refused_by"]["match"] == publisher.name
