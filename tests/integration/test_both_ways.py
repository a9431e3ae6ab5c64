# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task comes to the same whether Ansible starts a module for it or a child of its worker is the module."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.both_ways import SECRET, Ground, plays
from support.servers import RegistryServer

SWITCH = "oci_artifact_run_in_worker"
PLAYS = plays()


def run(ansible: AnsibleRunner, tasks: list[dict[str, Any]], wish: str) -> list[TaskResult]:
    umask = os.umask(0o027)
    try:
        return ansible.tasks(
            tasks,
            flags=["-v"],
            # pipelining brings the module by another way, which is shorter, and changes nothing in it
            vars={SWITCH: wish, "ansible_python_interpreter": sys.executable, "ansible_pipelining": True},
            # 2.19 and later show what a module was given when they are asked to, others always
            controller_environment={"ANSIBLE_INJECT_INVOCATION": "1"},
        )
    finally:
        os.umask(umask)


def shown(ground: Ground, result: TaskResult) -> dict[str, Any]:
    """All that callbacks get of a task."""
    state = {"failed": result.failed, "skipped": result.skipped}
    found: dict[str, Any] = json.loads(ground.normal(json.dumps({**result, **state}, sort_keys=True)))
    return found


def lines(ground: Ground, result: TaskResult) -> list[str]:
    """What Ansible printed, where it is told apart by what is in it."""
    text = ground.normal(f"{result.stdout}\n{result.stderr}")
    return [line for line in text.splitlines() if "DIGEST-" not in line]


def left(ground: Ground) -> dict[str, Any]:
    """Files, and the modes of all that is there."""
    modes = {
        ground.normal(str(path)): oct(path.lstat().st_mode)
        for path in ground.folder.rglob("*")
        if "sha256" not in str(path) and ".oci-artifact" not in str(path)
    }
    files = {name: ground.normal(text) for name, text in contents(ground.folder).items() if "sha256" not in name}
    return {"modes": modes, "files": {name: text for name, text in files.items() if name.startswith(("dest", "home"))}}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if each.with_each_core else pytest.mark.once) for name, each in PLAYS.items()]
)
def test_results_output_and_files_are_the_same(
    ansible: AnsibleRunner, registry: RegistryServer, htpasswd_registry: RegistryServer, tmp_path: Path, name: str
) -> None:
    # names of one length: Ansible breaks its lines after so many letters
    never, always = (
        Ground.make(tmp_path / f"{name}-{way}", registry, htpasswd_registry) for way in ("as-file", "as-fork")
    )
    play = PLAYS[name]
    tasks, others = play.make(never), play.make(always)
    ones, found = run(ansible, tasks, "never"), run(ansible, others, "always")
    assert [one.task for one in ones] == [task["name"] for task in tasks] == [two.task for two in found]
    for one, two in zip(ones, found):
        assert shown(never, one) == shown(always, two), one.task
    assert lines(never, ones[0]) == lines(always, found[0])
    assert SECRET not in ones[0].stdout + ones[0].stderr + found[0].stdout + found[0].stderr
    assert left(never) == left(always)
    # the play does what it says: good and bad ends, changes, warnings and differences are in it
    states = [(each.failed, each.changed) for each in found]
    counts = [states.count(state) for state in ((False, True), (False, False), (True, False))]
    assert all(count >= least for count, least in zip(counts, play[2:])), counts
    assert any(each["warnings"] for each in found) or name not in ("history", "samples")
    assert sum("diff" in each for each in found) > 8 or name != "pulls"
    assert not [each.task for each in found if "Traceback" in json.dumps(each)]
