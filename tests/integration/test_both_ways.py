# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task comes to the same whether Ansible starts a module for it or a child of its worker is the module."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.both_ways import SECRET, Ground, tasks
from support.servers import RegistryServer

SWITCH = "oci_artifact_run_in_worker"


def run(ansible: AnsibleRunner, ground: Ground, wish: str) -> list[TaskResult]:
    umask = os.umask(0o027)
    try:
        return ansible.tasks(
            tasks(ground),
            flags=["-v"],
            vars={SWITCH: wish, "ansible_python_interpreter": sys.executable},
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
    # positions in the two playbooks, whose names differ
    return [line for line in re.sub(r"run-\d+", "run-N", text).splitlines() if "DIGEST-" not in line]


def left(ground: Ground) -> dict[str, Any]:
    """Files, and the modes of all that is there."""
    modes = {
        ground.normal(str(path)): oct(path.lstat().st_mode)
        for path in ground.folder.rglob("*")
        if "sha256" not in str(path) and ".oci-artifact" not in str(path)
    }
    files = {name: ground.normal(text) for name, text in contents(ground.folder).items() if "sha256" not in name}
    return {"modes": modes, "files": {name: text for name, text in files.items() if name.startswith(("dest", "home"))}}


def test_results_output_and_files_are_the_same(
    ansible: AnsibleRunner, registry: RegistryServer, htpasswd_registry: RegistryServer, tmp_path: Path
) -> None:
    results, grounds = {}, {}
    for wish in ("never", "always"):
        grounds[wish] = Ground.make(tmp_path / wish, registry, htpasswd_registry)
        results[wish] = run(ansible, grounds[wish], wish)
    names = [each["name"] for each in tasks(grounds["never"])]
    assert [result.task for result in results["never"]] == names == [result.task for result in results["always"]]
    for one, other in zip(results["never"], results["always"]):
        assert shown(grounds["never"], one) == shown(grounds["always"], other), one.task
    one, other = results["never"][-1], results["always"][-1]
    assert lines(grounds["never"], one) == lines(grounds["always"], other)
    assert left(grounds["never"]) == left(grounds["always"])
    assert SECRET not in one.stdout + one.stderr + other.stdout + other.stderr
    # the table does what it says: good and bad ends, changes, warnings and differences are in it
    states = [(result.failed, result.changed) for result in results["always"]]
    assert states.count((False, True)) > 15 and states.count((False, False)) > 15 and states.count((True, False)) > 25
    assert sum(bool(result["warnings"]) for result in results["always"]) > 1
    assert sum("diff" in result for result in results["always"]) > 8
    assert not [result.task for result in results["always"] if "Traceback" in json.dumps(result)]
