# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the real ansible commands against a copy of the collection, and reads structured results back."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secret_search import SEARCH
from support import quick_start
from support.quick_start import save_parsed

COLLECTION = "cloudnative.artifacts"
TIMEOUT = 1800.0

# what would lead Ansible to another configuration, or the modules to the credentials of whoever runs the tests
_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "IDENTITY_", "IMDS_")
_DROPPED_PREFIXES = ("ANSIBLE_", "OCI_ARTIFACT_", "K8S_AUTH_", *_CLOUDS)
_DROPPED = frozenset(
    {"DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "PYTHONPATH", "KUBECONFIG"}
)


class TaskResult(dict[str, Any]):
    """What a task returned, as a dict; the run it belonged to, as attributes."""

    def __init__(self, line: Mapping[str, Any], run: subprocess.CompletedProcess[str]) -> None:
        super().__init__(line["result"])
        self.task: str = line["task"]
        self.failed: bool = bool(line["state"].get("failed") or self.get("failed"))
        self.skipped: bool = bool(line["state"].get("skipped"))
        self.unreachable: bool = bool(line["state"].get("unreachable"))
        self.rc: int = run.returncode
        self.stdout: str = run.stdout
        self.stderr: str = run.stderr

    @property
    def changed(self) -> bool:
        return bool(self.get("changed"))


class AnsibleRunner:
    """ansible and ansible-playbook on an inventory of localhost, with a home of their own."""

    def __init__(self, collections: Path, home: Path, target_python: str, before: Sequence[str] = ()) -> None:
        """:param before: the words that each command begins with."""
        self._home = home
        self._quick = home.with_name(f"{home.name}-quick-start")
        self._before = before
        self._runs = 0
        self.collections = collections
        self.target_python = target_python
        self._inventory = home / "inventory.ini"
        self._inventory.write_text(
            f"localhost ansible_connection=local ansible_python_interpreter={shlex.quote(target_python)}\n"
        )

    def behind(self, before: Sequence[str], home: Path) -> AnsibleRunner:
        """The same collection, with a home of its own, run by another command."""
        return AnsibleRunner(self.collections, home, self.target_python, before)

    @property
    def collection(self) -> Path:
        """The root of the collection under test."""
        return self.collections / "ansible_collections" / Path(*COLLECTION.split("."))

    def task(
        self,
        module: str,
        /,
        *,
        check: bool = False,
        diff: bool = False,
        become: bool = False,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TaskResult:
        """Run one module in a playbook of its own. A failure is a result too: see `.failed`."""
        task: dict[str, Any] = {"name": module, module: options}
        if become:
            task["become"] = True
        if environment:
            task["environment"] = dict(environment)
        results = self.tasks([task], check=check, diff=diff)
        return results[0]

    def tasks(
        self,
        tasks: Sequence[Mapping[str, Any]],
        *,
        check: bool = False,
        diff: bool = False,
        extra_vars: Mapping[str, Any] | None = None,
        controller_environment: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        **play: Any,
    ) -> list[TaskResult]:
        """Run tasks, written as in YAML, in one play (further keywords are the play's, as `module_defaults`).

        A task that fails without ignore_errors is the last of the list.
        """
        folder = self._new_run()
        playbook = folder / "playbook.yml"
        document = [{"hosts": "localhost", "gather_facts": False, **play, "tasks": list(tasks)}]
        playbook.write_text(json.dumps(document, indent=2, default=str))  # JSON is YAML
        modes = [flag for flag, wanted in (("--check", check), ("--diff", diff)) if wanted]
        results_file = folder / "results.jsonl"
        done = self._run(
            "ansible-playbook",
            *modes,
            *flags,
            str(playbook),
            extra_vars=extra_vars,
            environment=controller_environment,
            results_file=results_file,
        )
        lines = results_file.read_text(encoding="utf-8").splitlines() if results_file.exists() else []
        if not lines and tasks:
            raise AssertionError(f"ansible-playbook exited {done.returncode} without a result\n{_words(done)}")
        return [TaskResult(json.loads(line), done) for line in lines]

    def playbook(
        self,
        path: str | Path,
        *arguments: str,
        extra_vars: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook: a path, or the full name of one in a collection."""
        return self._run("ansible-playbook", str(path), *arguments, extra_vars=extra_vars, environment=environment)

    def start(self, path: str | Path, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
        """Start a playbook and let it run; its output is to be read by the caller."""
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self._inventory), str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._home,
            env=self._environment(None),
            start_new_session=start_new_session,
        )

    def adhoc(
        self, module: str, arguments: str = "", *flags: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `ansible localhost -m module -a arguments`; a name without dots is one of this collection's."""
        name = module if "." in module else f"{COLLECTION}.{module}"
        return self._run("ansible", "localhost", "-m", name, "-a", arguments, *flags, environment=environment)

    def python_with(self, environment: Mapping[str, str]) -> str:
        """An interpreter for a task that has these variables. Unlike the keyword ``environment``, which Ansible puts on
        the command line of a shell, it shows them to nobody.
        """
        path = self._new_run() / "python"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {shlex.quote(self.target_python)} "$@"', ""]))
        path.chmod(0o700)
        return str(path)

    def _new_run(self) -> Path:
        self._runs += 1
        folder = self._home / f"run-{self._runs}"
        folder.mkdir()
        return folder

    def _run(
        self,
        command: str,
        *arguments: str,
        extra_vars: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        results_file: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        full = [*self._before, *self._program(command), "-i", str(self._inventory), *arguments]
        if extra_vars:
            full += ["-e", json.dumps(dict(extra_vars), default=str)]
        done = subprocess.run(
            full,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            cwd=self._home,
            env={**self._environment(results_file), **(environment or {})},
        )
        SEARCH.capture(" ".join([command, *arguments])[:200], _words(done))
        return done

    def _program(self, command: str) -> list[str]:
        """The words that stand for a command of Ansible."""
        if not (self._quick / "parsed").exists():
            save_parsed(self._quick)
        return [sys.executable, quick_start.__file__, str(self._quick), str(Path(sys.executable).parent / command)]

    def environment(self) -> dict[str, str]:
        """What the commands get, for who starts one in a way of their own."""
        return self._environment(None)

    def _environment(self, results_file: Path | None) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_DROPPED_PREFIXES) and name not in _DROPPED
        }
        kept.update(
            HOME=str(self._home),
            # without one, podman's file in /run/containers would be looked for
            XDG_RUNTIME_DIR=str(self._home / "run"),
            LC_ALL="C.UTF-8",
            ANSIBLE_COLLECTIONS_PATH=str(self.collections),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_LOCALHOST_WARNING="false",
            # of what is pulled, in place of the one of whoever runs the tests
            OCI_ARTIFACT_INDEX=str(self._home / "index"),
            ANSIBLE_HOME=str(self._home / ".ansible"),
            ANSIBLE_REMOTE_TEMP=str(self._home / ".ansible/tmp"),
        )
        if results_file:
            kept.update(
                JSON_RESULTS_FILE=str(results_file),
                ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).resolve().parents[1] / "callback_plugins"),
                ANSIBLE_CALLBACKS_ENABLED="json_results",
            )
        return kept


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout}\n{done.stderr}"
