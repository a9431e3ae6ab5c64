# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is carried to a host for a task: how much, in how many steps, and that the result is the whole module's."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
from ansible.release import __version__ as core_version
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher
from support.payload import Payload
from support.servers import RegistryServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import FILE_NAME
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import CONTROL_NAME

PULL, PING = "cloudnative.artifacts.oci_artifact_pull", "ansible.builtin.ping"
NOWHERE = "127.0.0.1:1"
ASKED, ALL = "asked", "all"
CORE = tuple(int(part) for part in core_version.split(".")[:2])

# of the file that Ansible copies for ping: entries of its archive, and bytes
MAX_FILES, MAX_BYTES = 1.25, {"unchanged, by digest": 1.33, "unchanged, by tag": 1.5}
# the oldest cores carry half as much for ping
MAX_BYTES_OF_OLD = {"unchanged, by digest": 1.33, "unchanged, by tag": 1.65}


class Way:
    """One way of carrying modules, with folders of its own."""

    def __init__(self, ansible: AnsibleRunner, way: str, folder: Path) -> None:
        self._ansible, self.way, self.folder = ansible, way, folder
        folder.mkdir()

    def run(self, tasks: Mapping[str, dict[str, Any]]) -> dict[str, TaskResult]:
        found = self._ansible.tasks(
            [
                {
                    "name": name,
                    "ignore_errors": True,
                    "vars": {"ansible_remote_tmp": str(self._remote(name))},
                    **task,
                }
                for name, task in tasks.items()
            ],
            controller_environment={
                "OCI_ARTIFACT_CARRY": self.way,
                "OCI_ARTIFACT_RUN_IN_WORKER": "never",
                "ANSIBLE_KEEP_REMOTE_FILES": "1",
                "ANSIBLE_PIPELINING": "0",
            },
            flags=("-vvv",),
        )
        assert [result.task for result in found] == list(tasks)
        return {result.task: result for result in found}

    def payload(self, name: str) -> Payload:
        (path,) = self._remote(name).glob("*/AnsiballZ_*.py")
        return Payload(path)

    def _remote(self, name: str) -> Path:
        return self.folder / "remote" / re.sub(r"\W+", "-", name)

    def comparable(self, result: TaskResult) -> Any:
        """A result without the folder of this way, and without times."""
        text = json.dumps(result).replace(str(self.folder), "FOLDER")
        text = re.sub(r'"seconds": [\d.]+', '"seconds": 0', text)
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z|confirmed .{1,30}? ago", "TIME", text)
        return json.loads(re.sub(r'(?<="degraded_seconds": )\d+', "0", text))


class Case(NamedTuple):
    """A task, and how many steps it takes: how often something is carried to the host for it; none for other modules.
    Only a reviewer adds to the steps."""

    task: dict[str, Any]
    steps: int = 0


class Both:
    """Runs tasks with each way of carrying modules, in folders of their own, and compares."""

    def __init__(self, ansible: AnsibleRunner, registry: RegistryServer, folder: Path) -> None:
        self._registry = registry
        self.asked, self.all = (Way(ansible, way, folder / way) for way in (ASKED, ALL))

    def run(self, cases: Callable[[Path], Mapping[str, Case]]) -> dict[str, TaskResult]:
        """The results of the tasks, which are the same for both ways, and so are the requests that they made."""
        runs = []
        for way in (self.asked, self.all):
            mark = self._registry.mark()
            results = way.run({name: case.task for name, case in cases(way.folder).items()})
            requests = [(each.method, each.path) for each in self._registry.requests(since=mark)]
            runs.append((results, {name: way.comparable(results[name]) for name in self._own(cases)}, requests))
        (found, shown, requests), (expected, all_shown, all_requests) = runs
        assert shown == all_shown
        # none is made twice because the first step did not suffice
        assert requests == all_requests
        wanted = self._own(cases)
        assert steps(found, wanted) == wanted
        assert steps(expected, wanted) == dict.fromkeys(wanted, 1)
        return found

    @staticmethod
    def _own(cases: Callable[[Path], Mapping[str, Case]]) -> dict[str, int]:
        return {name: case.steps for name, case in cases(Path()).items() if case.steps}


def steps(results: Mapping[str, TaskResult], names: Collection[str]) -> dict[str, int]:
    """How often something was carried for each task."""
    log = next(iter(results.values())).stdout
    parts = re.split(r"^TASK \[(.+)\] \**$", log, flags=re.MULTILINE)[1:]
    used = {name: text.count("Using module file") for name, text in zip(parts[::2], parts[1::2])}
    return {name: used[name] for name in names}


def pull(ref: str, dest: Path, **options: Any) -> dict[str, Any]:
    return {PULL: {"ref": ref, "dest": str(dest), "insecure": True, "retries": 0, **options}}


def write(path: Path, content: str) -> Case:
    return Case({"ansible.builtin.copy": {"dest": str(path), "content": content}})


@pytest.fixture
def both(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> Both:
    return Both(ansible, registry, tmp_path)


def test_an_unchanged_pull_is_carried_nearly_as_small_as_a_task_that_does_nothing(
    both: Both, publisher: Publisher
) -> None:
    digest = publisher.publish("1.0", {"a.yaml": b"a: 1\n", "b/c.yaml": b"c: 1\n"})

    def cases(folder: Path) -> dict[str, Case]:
        pinned = pull(f"{publisher.name}@{digest}", folder / "pinned")
        tagged = pull(f"{publisher.name}:1.0", folder / "tagged")
        return {
            "nothing": Case({PING: {}}),
            "first, by digest": Case(pinned, 2),
            "unchanged, by digest": Case(pinned, 1),
            "first, by tag": Case(tagged, 2),
            "unchanged, by tag": Case(tagged, 1),
        }

    found = both.run(cases)
    assert [result.changed for result in found.values()] == [False, True, False, True, False]
    nothing = both.asked.payload("nothing")
    for name, most in (MAX_BYTES if CORE >= (2, 19) else MAX_BYTES_OF_OLD).items():
        payload = both.asked.payload(name)
        assert payload.files / nothing.files <= MAX_FILES, (payload.files, nothing.files)
        assert payload.bytes / nothing.bytes <= most, (payload.bytes, nothing.bytes)
        assert both.all.payload(name).bytes / nothing.bytes > 3  # what is measured is what is carried

    publisher.publish("1.0", {"a.yaml": b"a: 2\n"})
    found = both.run(
        lambda folder: {
            "moved tag": cases(folder)["first, by tag"],
            "unchanged, by the moved tag": cases(folder)["unchanged, by tag"],
        }
    )
    assert [result.changed for result in found.values()] == [True, False]


@pytest.mark.once
def test_what_is_found_in_a_destination_is_dealt_with_alike(both: Both, publisher: Publisher) -> None:
    publisher.publish("1.0", {"a.yaml": b"a: 1\n", "b/c.yaml": b"c: 1\n"})

    def cases(folder: Path) -> dict[str, Case]:
        def tagged(**options: Any) -> dict[str, Any]:
            return pull(f"{publisher.name}:1.0", folder / "tagged", **options)

        away = {"proxy": f"http://{NOWHERE}", "on_registry_error": {"use": "last_good"}}
        empty = pull(f"{publisher.name}:1.0", folder / "empty", **away)
        return {
            "first": Case(tagged(), 2),
            "unchanged, in check mode": Case({**tagged(), "check_mode": True}, 1),
            "with a diff": Case({**tagged(ignore="*.yaml"), "check_mode": True, "diff": True}, 2),
            "forced": Case(tagged(force=True), 1),
            "spoil": write(folder / "tagged/a.yaml", "spoilt\n"),
            "drift": Case(tagged(), 2),
            "confuse": write(folder / "tagged" / CONTROL_NAME / FILE_NAME, "{}"),
            "another record": Case(tagged(), 2),
            "registry away": Case(tagged(**away), 1),
            "registry away, nothing to keep": Case(empty, 2),
        }

    found = both.run(cases)
    reasons = {name: result.get("reason") for name, result in found.items()}
    assert (reasons["drift"], reasons["registry away"]) == ("DriftCorrected", "LastGoodKept")
    assert reasons["registry away, nothing to keep"] == "ConnectionFailed"


@pytest.mark.once
def test_what_is_asked_for_is_there(both: Both, publisher: Publisher) -> None:
    publisher.publish("1.0", {"a.yaml": b"a: 1\n", "b/c.yaml": b"c: 1\n"})
    host = publisher.name.partition("/")[0]
    row = next(row for row in vectors.rows() if row["name"] == "chart-legacy-a/key-a")
    vectors.publish(row, host)
    signed = f"{host}/vectors/{Path(row['path']).name}:{row['ref']}"

    def cases(folder: Path) -> dict[str, Case]:
        def by_key(key: str) -> dict[str, Any]:
            return pull(signed, folder / "signed", verify={"public_keys": [str(vectors.ROOT / f"keys/key-{key}.pub")]})

        listed = {
            PULL: {"parallel": 1, "artifacts": [pull(f"{publisher.name}:1.0", folder / name)[PULL] for name in "ab"]}
        }
        return {
            "verified": Case(by_key("a"), 2),
            "verified before": Case(by_key("a"), 1),
            "of another": Case(by_key("b"), 2),
            "list": Case(listed, 1),
            "out of bounds": Case(pull(f"{publisher.name}:1.0", folder / "x", retries=-1), 1),
            "misspelt": Case(pull(f"{publisher.name}:1.0", folder / "x", reties=3), 2),
        }

    found = both.run(cases)
    assert [result.changed for result in found.values()] == [True, False, False, True, False, False]
    assert [result.failed for result in found.values()] == [False, False, True, False, True, True]
