# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a task runs in the worker and when it does not, and what protects the run from what happens in it."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher, contents
from support.processes import descendants, kill
from support.servers import RegistryServer

INFO, PULL, CACHE = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("info", "pull", "cache"))
SWITCH, VARIABLE = "oci_artifact_run_in_worker", "OCI_ARTIFACT_RUN_IN_WORKER"
OURS = {"ansible_python_interpreter": sys.executable}
# how Ansible says with -vvv that it starts something: a shell, for whatever it needs on a host
STARTS = re.compile(r"EXEC ")


def started(output: str) -> dict[str, bool]:
    """By the name of each task: whether Ansible started a process for it."""
    _begin, *sections = re.split(r"^TASK \[(.*?)\] \*+$", output, flags=re.MULTILINE)
    return {name: bool(STARTS.search(text)) for name, text in zip(sections[::2], sections[1::2])}


def conditions(ansible: AnsibleRunner, folder: Path) -> dict[str, tuple[bool, dict[str, Any]]]:
    """Tasks by name: whether they run in the worker, and their keywords."""
    other = ansible.python_with({"OTHER": "1"})
    me = {"become": True, "become_user": getpass.getuser()}
    # the user that runs the tests may be root, who becomes anybody without a password, or has no way to become one
    nobody = {"become": True, "become_user": "nobody", "become_method": "ansible.builtin.su"}
    nowhere = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    return {
        "plain": (True, {"vars": OURS}),
        "by default": (ansible.target_python == sys.executable, {}),
        "delegated": (True, {"vars": OURS, "delegate_to": "localhost"}),
        "delegated to another": (True, {"delegate_to": "beside"}),
        "delegated and remote": (False, {"delegate_to": "remote", "ignore_unreachable": True}),
        "local by a variable": (True, {"vars": {**OURS, "ansible_connection": "ansible.builtin.local"}}),
        "ssh to this host": (False, {"vars": {**OURS, **nowhere}, "ignore_unreachable": True}),
        "never": (False, {"vars": {**OURS, SWITCH: "never"}}),
        "auto": (True, {"vars": {**OURS, SWITCH: "{{ 'Au' ~ 'to' }}"}}),
        "another interpreter": (False, {"vars": {"ansible_python_interpreter": other}}),
        "always": (True, {"vars": {"ansible_python_interpreter": other, SWITCH: "always"}}),
        "found by Ansible": (False, {"vars": {"ansible_python_interpreter": "auto_silent"}}),
        "this one by its other name": (True, {"vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}}),
        "async": (False, {"vars": {**OURS, SWITCH: "always"}, "async": 60, "poll": 0}),
        "the same user": (True, {"vars": OURS, **me}),
        "another user": (False, {"vars": {**OURS, SWITCH: "always"}, **nobody}),
        "environment": (True, {"vars": OURS, "environment": {"TMPDIR": str(folder), "HOME": str(folder)}}),
        "environment of a start": (False, {"vars": {**OURS, SWITCH: "always"}, "environment": {"PYTHONUTF8": "1"}}),
        "another remote_tmp": (True, {"vars": {**OURS, "ansible_remote_tmp": str(folder / "remote")}}),
        "another shell": (False, {"vars": {**OURS, SWITCH: "always", "ansible_shell_executable": "/bin/bash"}}),
        "check": (True, {"vars": OURS, "check_mode": True, "diff": True}),
        "loop": (True, {"vars": OURS, "loop": [1, 2]}),
        "no_log": (True, {"vars": OURS, "no_log": True}),
        "pipelining": (True, {"vars": {**OURS, "ansible_pipelining": True}}),
    }


def test_when_a_task_runs_in_the_worker(ansible: AnsibleRunner, tmp_path: Path) -> None:
    cases = conditions(ansible, tmp_path)
    hosts = [
        {"name": "beside", "ansible_connection": "local", **OURS},
        {"name": "remote", "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9},
    ]
    tasks = [{"name": f"add {host['name']}", "ansible.builtin.add_host": host} for host in hosts]
    tasks += [
        {"name": name, CACHE: {"cache_dir": str(tmp_path / "cache")}, "ignore_errors": True, **keywords}
        for name, (_in_worker, keywords) in cases.items()
    ]
    results = ansible.tasks(tasks, flags=["-vvv"])
    found = started(results[0].stdout)
    assert {name: not found[name] for name in cases} == {name: wanted for name, (wanted, _keywords) in cases.items()}
    by_name = {result.task: result for result in results}
    failed = {name for name in cases if by_name[name].failed}
    # which user and interpreter there are besides is the machine's
    elsewhere = {"another user", "found by Ansible", "ssh to this host", "delegated and remote"}
    assert failed <= elsewhere, {name: by_name[name] for name in failed}
    assert not (tmp_path / "remote").exists()


def test_the_switch_in_a_variable_the_environment_and_the_settings(ansible: AnsibleRunner, tmp_path: Path) -> None:
    def run(**wish: str) -> tuple[list[TaskResult], dict[str, bool]]:
        options = {CACHE: {"cache_dir": str(tmp_path / "cache")}, "ignore_errors": True}
        tasks = [{"name": "of the environment", **options}, {"name": "closer", **options, "vars": {SWITCH: "always"}}]
        results = ansible.tasks(tasks, flags=["-vvv"], vars=OURS, controller_environment=wish)
        return results, started(results[0].stdout)

    settings = tmp_path / "ansible.cfg"
    settings.write_text("[oci_artifact]\nrun_in_worker = never\n")
    assert run(ANSIBLE_CONFIG=str(settings))[1] == {"of the environment": True, "closer": False}
    results, found = run(ANSIBLE_CONFIG=str(settings), **{VARIABLE: "sometimes"})
    assert found == {"of the environment": False, "closer": False}
    assert [result.failed for result in results] == [True, False]
    for words in (SWITCH, VARIABLE, "'sometimes'", "auto, always or never"):
        assert words in results[0]["msg"]


HELPER = """\
#!/bin/sh
read -r server
echo "$PPID" > "$NOTES/module"
set -- $(cat "/proc/$PPID/stat")
case "$server" in
    segv*) kill -SEGV "$PPID" ;;
    kill*) kill -KILL "$PPID" ;;
    alarm*) kill -ALRM "$4" ;;
esac
# it is not left behind when the module is
while [ -e "/proc/$PPID/exe" ]; do sleep 0.2; done
"""


class Trap:
    """A credential helper, which a module starts and waits for, that does something to the module or its worker."""

    def __init__(self, folder: Path) -> None:
        program = folder / "docker-credential-trap"
        program.write_text(HELPER)
        program.chmod(0o755)
        names = [f"{kind}.invalid" for kind in ("segv", "kill", "alarm", "sleep")]
        self.file = folder / "config.json"
        self.file.write_text(json.dumps({"credHelpers": dict.fromkeys(names, "trap")}))
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(folder)}
        self.note = folder / "module"

    def task(self, kind: str, **keywords: Any) -> dict[str, Any]:
        options = {"ref": f"{kind}.invalid/a:1", "auth_file": str(self.file), "gather": [], "retries": 0}
        return {"name": kind, INFO: options, "ignore_errors": True, "environment": self.environment, **keywords}


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


def is_gone(pid: int) -> bool:
    return not descendants(pid)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_what_ends_a_module_does_not_end_the_run(ansible: AnsibleRunner, trap: Trap) -> None:
    """A crash, the kernel's answer to too much memory, a task's time limit: the task fails, and the next one runs."""
    after = {"name": "after", CACHE: {"cache_dir": str(trap.file.parent / "cache")}}
    tasks = [trap.task("segv"), trap.task("kill"), trap.task("alarm", timeout=600), after]
    results = ansible.tasks(tasks, vars=OURS, flags=["-vvv"])
    assert not any(started(results[0].stdout).values())
    crashed, killed, late, last = results
    assert [result.failed for result in results] == [True, True, True, False]
    assert (crashed["rc"], killed["rc"]) == (139, 137)
    assert "signal 11 (SIGSEGV)" in crashed["module_stderr"] and "signal 9 (SIGKILL)" in killed["module_stderr"]
    assert re.search("timed out|timeout|time frame", str(late), re.IGNORECASE), late
    assert last["changed"] is False
    wait_for(lambda: is_gone(int(trap.note.read_text())), "the module lives on after its time")


def test_an_interrupted_run_leaves_no_module(ansible: AnsibleRunner, trap: Trap) -> None:
    """Ctrl-C reaches the group of processes that has the terminal."""
    path = trap.file.parent / "playbook.yml"
    play = {"hosts": "localhost", "gather_facts": False, "vars": OURS, "tasks": [trap.task("sleep")]}
    path.write_text(json.dumps([play]))
    process = ansible.start(path, start_new_session=True)
    family: dict[int, str] = {}
    try:
        wait_for(lambda: trap.note.exists() and bool(trap.note.read_text()), "the module did not begin")
        family = descendants(process.pid)
        module = int(trap.note.read_text())
        assert "ansible-playbook" in family[module], "the module is a child of the worker"
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=600)
        wait_for(lambda: is_gone(module), "the module lives on")
    finally:
        kill(family)
        process.communicate()


def hosts(folder: Path, count: int) -> Path:
    path = folder / "hosts.ini"
    lines = [
        f"host{number} ansible_connection=local ansible_python_interpreter={sys.executable}" for number in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_strategies_forks_and_loops(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    publisher = Publisher(registry.host, "in-worker/strategies")
    publisher.publish("1", {"a": "1\n"})
    publisher.publish("2", {"a": "2\n"})
    pull = {
        "ref": publisher.name + ":{{ item }}",
        "insecure": True,
        "dest": "{{ place }}/{{ inventory_hostname }}-{{ item }}",
    }
    tasks = [
        {"name": "pull", PULL: pull, "loop": ["1", "2"]},
        {"name": "unchanged", PULL: {**pull, "resolve_once": True}, "loop": ["1", "2"], "register": "again"},
        {"name": "judge", "ansible.builtin.assert": {"that": ["again is not changed"]}},
    ]
    plays = [
        {"hosts": "all", "gather_facts": False, "strategy": strategy, "tasks": tasks,
         "vars": {"place": str(tmp_path / strategy)}}
        for strategy in ("linear", "free", "host_pinned")
    ]  # fmt: skip
    path = tmp_path / "plays.yml"
    path.write_text(json.dumps(plays))
    done = ansible.playbook(path, "-i", str(hosts(tmp_path, 3)), "--limit", "host*", "--forks", "2", "-vvv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not STARTS.search(done.stdout)
    for play in plays:
        for number in range(3):
            for tag in ("1", "2"):
                assert contents(tmp_path / f"{play['strategy']}/host{number}-{tag}") == {"a": f"{tag}\n"}


def test_ansible_runner(ansible: AnsibleRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWX and execution environments start."""
    import ansible_runner

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("project", "inventory"):
        (tmp_path / "job" / name).mkdir(parents=True)
    tasks = [{"name": "look", CACHE: {"cache_dir": str(tmp_path / "cache")}}]
    # without an entry in the inventory Ansible takes the interpreter that it runs on
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (tmp_path / "job/project/play.yml").write_text(json.dumps([play]))
    run = ansible_runner.run(
        private_data_dir=str(tmp_path / "job"),
        playbook="play.yml",
        inventory="",
        envvars={
            "ANSIBLE_COLLECTIONS_PATH": str(ansible.collections),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        },
        verbosity=3,
        quiet=True,
    )
    output = run.stdout.read()
    assert run.status == "successful", output
    assert started(re.sub(r"\x1b\[[0-9;]*m|\r", "", output)) == {"look": False}
    events = [event["event"] for event in run.events]
    assert "runner_on_ok" in events
