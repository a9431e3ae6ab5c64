# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks cost, in counts that are the same on every machine: bytes, modules, processes, requests, system calls."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bounds import BOUNDS, exceeded
from support.ansible_runner import AnsibleRunner
from support.artifacts import Blob, Publisher
from support.counts import Calls, instructions, module_command, payloads_of, system_calls
from support.module_process import module_result, start_module
from support.servers import RegistryServer
from support.tools import Tools

PULL = "cloudnative.artifacts.oci_artifact_pull"
PUSH = "cloudnative.artifacts.oci_artifact_push"
FEW, MANY = 40, 240
# more than are fetched at the same time, so that no thread starts for one of those that are more
FEW_LAYERS, MANY_LAYERS = 20, 44
FILES = {f"d{number % 8}/{number:04}.yaml": b"number: %d\n" % number * 40 for number in range(MANY)}

pytestmark = pytest.mark.once


def test_a_pull_with_nothing_to_do_costs_little_more_than_a_ping(
    ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path
) -> None:
    """What a host gets and does for it: the payload that Ansible copies there."""
    publisher = Publisher(registry.host, "costs/unchanged")
    digest = publisher.publish("1.0", {"a.yaml": b"a: 1\n", "b/c.yaml": b"c: 1\n"})
    pinned = {"ref": f"{publisher.name}@{digest}", "dest": str(tmp_path / "pinned"), "insecure": True}
    tagged = {"ref": f"{publisher.name}:1.0", "dest": str(tmp_path / "tagged"), "insecure": True}
    tasks = {"ping": ("ansible.builtin.ping", {}), "digest": (PULL, pinned), "tag": (PULL, tagged)}
    payloads = payloads_of(ansible, tmp_path, tasks, unchanged=True)
    ping = payloads.pop("ping")
    _result, always = ping.run()
    found: dict[str, float] = {}
    for name, payload in payloads.items():
        what = f"unchanged by {name}"
        mark = registry.mark()
        result, loaded = payload.run()
        assert (result["changed"], result["reason"]) == (False, "ArtifactUpToDate")
        found[f"{what}: requests"] = len(registry.requests(since=mark))
        found[f"{what}: files carried, of ping's"] = payload.files / ping.files
        found[f"{what}: bytes carried, of ping's"] = payload.bytes / ping.bytes
        found[f"{what}: own modules imported"] = len(loaded & set(payload.own))
        found[f"{what}: modules imported more than by ping"] = len(loaded - always)
    least = instructions(ping.command, ping.environment, tmp_path)
    if least:
        pull = payloads["digest"]
        mine = instructions(pull.command, pull.environment, tmp_path)
        assert mine
        found["unchanged by digest: instructions, of ping's"] = round(mine / least, 2)
    print(json.dumps(found, indent=1))
    assert exceeded(found, BOUNDS) == []


def test_a_task_in_the_worker_starts_no_interpreter(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    """Processes of a whole playbook, so that what Ansible does for a task is in it; one more task costs so many."""
    publisher = Publisher(registry.host, "costs/worker")
    digest = publisher.publish("1.0", {"a.yaml": b"a: 1\n"})
    pull = {PULL: {"ref": f"{publisher.name}@{digest}", "dest": str(tmp_path / "dest"), "insecure": True}}

    def programs(wish: str, count: int) -> int:
        path = tmp_path / f"{wish}-{count}.yml"
        path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [pull] * count}]))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-c", "local", str(path)]
        environment = {
            **ansible.environment(),
            "OCI_ARTIFACT_RUN_IN_WORKER": wish,
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }
        calls = system_calls(tools["strace"], command, environment, tmp_path, only="trace=execve,execveat")[1]
        return calls.of("execve", "execveat")

    one = programs("auto", 1)
    found = {"local task (auto): programs started": (programs("auto", 3) - one) / 2}
    # what is counted is there: through the module, a shell and an interpreter are started
    assert programs("never", 1) >= one + 2
    assert exceeded(found, BOUNDS) == []


def test_each_file_and_each_layer_costs_few_system_calls(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    publisher = Publisher(registry.host, "costs/files")
    few = dict(list(FILES.items())[:FEW])
    digests = {count: publisher.publish(str(count), files) for count, files in ((FEW, few), (MANY, FILES))}
    layers = {
        count: publisher.publish(f"layers-{count}", [_layer(number) for number in range(count)])
        for count in (FEW_LAYERS, MANY_LAYERS)
    }

    def run(module: str, options: Mapping[str, Any], changed: bool) -> Calls:
        command, environment = module_command(ansible, module, tmp_path, {"insecure": True, **options})
        out, calls = system_calls(tools["strace"], command, environment, tmp_path)
        assert json.loads(out)["changed"] is changed
        return calls

    def pulled(kind: str, versions: Mapping[int, str], changed: bool, **options: Any) -> dict[str, float]:
        """The calls that each of the items more costs, from an artifact with few and one with many."""
        fewer, more = versions
        one, other = (
            run(PULL, {"ref": f"{publisher.name}@{versions[count]}", "dest": f"{tmp_path}/{kind}-{count}/", **options},
                changed)
            for count in (fewer, more)
        )  # fmt: skip
        return other.per_item(one, more - fewer)

    copied = {"layers": "all", "layer_selector": {"operation": "copy"}}
    # runs that do not count: what they compile is kept for the others
    run(PULL, {"ref": f"{publisher.name}@{digests[FEW]}", "dest": f"{tmp_path}/first/"}, True)
    run(PULL, {"ref": f"{publisher.name}@{layers[FEW_LAYERS]}", "dest": f"{tmp_path}/second/", **copied}, True)
    spent = {
        "a file into an empty dest": pulled("files", digests, True),
        "a file that is in place": pulled("files", digests, False),
        "a layer of 64 KiB, kept as a file": pulled("layers", layers, True, **copied),
    }
    print(json.dumps(spent, indent=1))
    found = {f"{what}: system calls": round(sum(calls.values()), 1) for what, calls in spent.items()}
    assert exceeded(found, BOUNDS) == [], spent


def _layer(number: int) -> Blob:
    title = {"org.opencontainers.image.title": f"part-{number:03}.bin"}
    return Blob(bytes([number]) * (64 * 1024), "application/octet-stream", title)


def test_what_is_done_takes_few_requests(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    publisher = Publisher(registry.host, "costs/requests")
    publisher.publish("1.0", [_layer(number) for number in range(3)])
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights" * 1000)
    pushed = {"path": str(source), "ref": f"{publisher.name}-pushed:1.0", "type": "files", "insecure": True,
              "artifact_type": "application/vnd.example.model.v1"}  # fmt: skip
    pull = {"ref": f"{publisher.name}:1.0", "dest": f"{tmp_path}/dest/", "insecure": True, "layers": "all",
            "layer_selector": {"operation": "copy"}}  # fmt: skip
    found: dict[str, float] = {}
    for what, module, options in (
        ("pull of three layers", PULL, pull),
        ("pull again", PULL, pull),
        ("push of one file", PUSH, pushed),
        ("push again", PUSH, pushed),
    ):
        mark = registry.mark()
        result = module_result(start_module(ansible, module, tmp_path, **options))
        assert result.get("changed") is not what.endswith("again"), result
        found[f"{what}: requests"] = len(registry.requests(since=mark))
    print(json.dumps(found, indent=1))
    assert exceeded(found, BOUNDS) == []
