# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two programs that a run starts: the pull of the project, and ``ansible-playbook`` on it.

Secrets of the configuration are never arguments: variables and options of the pull go through files that only the user
of the run may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import OciError
from .configuration import Configuration
from .output import Output, open_log
from .private_file import write_private

MODULE = "cloudnative.artifacts.oci_artifact_pull"
MAX_RESULT = 64 * 1024 * 1024
# seconds between two looks at a program, and from SIGTERM to SIGKILL
_PAUSE = 0.1
_GRACE = 10.0
# what the run needs of the result of the pull
_KEPT = tuple("changed failed msg reason retryable artifact degraded warnings suspended pending held".split())


class PlayFailed(OciError):
    """The playbook of the project did not succeed, or could not be run."""

    reason = "ReconciliationFailed"
    retryable = True


class Stopped(BaseException):
    """The run was told to end."""


@dataclass
class Control:
    """The hold of a run on its programs: the descriptor of the lock, which they share, and whether to end them.

    Being told to end is noted, and asked for between two looks at a program. An exception raised by a handler of the
    signal could come while a program is being started, which would then go on without anybody to end it.
    """

    lock: int
    told_to_stop: bool = False

    def check(self) -> None:
        """Go on, unless the run was told to end.

        :raises Stopped: when it was.
        """
        if self.told_to_stop:
            raise Stopped


def pull(configuration: Configuration, requested_at: str, control: Control) -> dict[str, Any]:
    """Pull the project and return the result of the module, also when it failed.

    :param requested_at: the token to hand over, empty for none.
    :raises PlayFailed: when the module could not be run.
    :raises Stopped: when the run was told to end.
    """
    options = {**configuration.source, "dest": configuration.dest}
    if requested_at:
        options["requested_at"] = requested_at
    result = os.path.join(configuration.state, "pulled.json")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(result)
    tasks: list[dict[str, Any]] = [
        {"name": "Pull the project", MODULE: _literal(options), "register": "pulled", "ignore_errors": True},
        {
            "name": "Keep the result",
            "ansible.builtin.copy": {
                "content": "{{ dict(wanted | zip(wanted | map('extract', pulled))) | to_json }}",
                "dest": result,
                "mode": "0600",
            },
            "vars": {"wanted": f"{{{{ {list(_KEPT)!r} | select('in', pulled) | list }}}}"},
            "no_log": True,
        },
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    if configuration.python:
        play["vars"] = {"ansible_python_interpreter": configuration.python}
    path = _write(configuration, "pull.yml", [play])
    words = [configuration.ansible_playbook, "-i", "localhost,", path]
    status, _task = _run(configuration, words, configuration.state, "pull.log", control, show=False)
    try:
        with open(result, "rb") as stream:
            found = json.loads(stream.read(MAX_RESULT))
        if not isinstance(found, dict):
            raise ValueError(result)
        return found
    except (OSError, ValueError):
        log = os.path.join(configuration.state, "pull.log")
        raise PlayFailed(f"The pull could not be run: ansible-playbook ended with {status}, see {log}.") from None


def _literal(value: Any) -> Any:
    """The value in a form that Ansible's templates leave as it is."""
    if isinstance(value, Mapping):
        return {key: _literal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_literal(each) for each in value]
    if isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")):
        return value.replace("{", "{{ '{' }}")
    return value


def play(configuration: Configuration, control: Control) -> None:
    """Run the playbook of the project on this host.

    :raises PlayFailed: when it does not succeed.
    :raises Stopped: when the run was told to end.
    """
    words = _play_words(configuration, configuration.dest)
    status, task = _run(configuration, words, configuration.dest, "play.log", control, show=True)
    if status:
        log = os.path.join(configuration.state, "play.log")
        ended = f"did not end within {configuration.timeout:g} s" if status == 124 else f"ended with status {status}"
        where = f" at the task {task!r}" if task else ""
        raise PlayFailed(f"{configuration.playbook} {ended}{where}.", f"Its output is in {log}.")


def check_syntax(configuration: Configuration, project: str) -> int:
    """Have ``ansible-playbook`` look at the syntax of a project that is not placed yet, and return its status.

    It gets the arguments, the variables and the configuration of Ansible that a run of this project gets.

    :raises PlayFailed: when the project has no such playbook, or ``ansible-playbook`` has not ended after the
        ``timeout`` of the configuration.
    """
    words = _play_words(configuration, project, "--syntax-check")
    environment = _environment(configuration, project)
    limit = configuration.timeout
    try:
        # in the process group of this one, which whoever runs it as 'validate' ends when its own time is up
        done = subprocess.run(words, check=False, cwd=project, env=environment, stdin=subprocess.DEVNULL, timeout=limit)
    except subprocess.TimeoutExpired:
        raise PlayFailed(
            f"{words[0]} --syntax-check of {configuration.playbook} did not end within {limit:g} s, and was ended.",
            "Run it by hand, or raise 'timeout'.",
        ) from None
    return done.returncode


def _play_words(configuration: Configuration, project: str, *more: str) -> list[str]:
    playbook = os.path.join(project, configuration.playbook)
    if not os.path.isfile(playbook):
        raise PlayFailed(f"The project has no {configuration.playbook}.", "Name one of its playbooks in 'playbook'.")
    words = [configuration.ansible_playbook, *_inventory(configuration, project), "--connection", "local"]
    if configuration.extra_vars:
        words += ["--extra-vars", f"@{_write(configuration, 'extra_vars.json', dict(configuration.extra_vars))}"]
    return [*words, *configuration.arguments, *more, playbook]


def _inventory(configuration: Configuration, project: str) -> list[str]:
    if not configuration.inventory:
        return ["-i", "localhost,"]
    limit = configuration.limit or f"localhost,127.0.0.1,{os.uname().nodename}"
    return ["-i", os.path.join(project, configuration.inventory), "--limit", limit]


def _environment(configuration: Configuration, project: str) -> dict[str, str]:
    """The variables of a program. A service of systemd has neither a home nor a locale, which Ansible needs."""
    found = {"HOME": pwd.getpwuid(os.geteuid()).pw_dir, "LC_ALL": "C.UTF-8", **os.environ}
    found.update(
        ANSIBLE_COLLECTIONS_PATH=f"{project}/collections:{own_collections()}",
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_LOCALHOST_WARNING="False",
        # what is placed has to stay as it is signed
        PYTHONDONTWRITEBYTECODE="1",
    )
    found.pop("PYTHONPATH", None)
    return {**found, **configuration.environment}


def own_collections() -> str:
    """The directory that holds ``ansible_collections`` with this collection, as ``ANSIBLE_COLLECTIONS_PATH`` names it.

    It is the one of the command that is running, so that several reconciliations of a host share what is installed.
    """
    return os.path.abspath(__file__).rpartition("/ansible_collections/")[0]


def _write(configuration: Configuration, name: str, document: Any) -> str:
    path = os.path.join(configuration.state, name)
    write_private(path, json.dumps(document))
    return path


def _run(
    configuration: Configuration, words: Sequence[str], directory: str, log: str, control: Control, *, show: bool
) -> tuple[int, str]:
    """Run a program to its end. Return its status, 124 when the time was up and 127 when it could not be run, and the
    name of the task that failed.

    Its output goes to a log, with ``show`` also to the journal.
    """
    control.check()
    path = os.path.join(configuration.state, log)
    output = open_log(path)
    try:
        process = subprocess.Popen(
            words,
            cwd=directory,
            env=_environment(configuration, configuration.dest),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(control.lock,),
            start_new_session=True,
        )
    except OSError as exc:
        os.write(output, f"{words[0]} cannot be run: {exc.strerror}\n".encode())
        return 127, ""
    finally:
        os.close(output)
    try:
        return _wait(process, Output(path, show=show), configuration.timeout, control)
    finally:
        if process.poll() is None:
            _end(process)


def _wait(process: subprocess.Popen[bytes], output: Output, timeout: float, control: Control) -> tuple[int, str]:
    deadline = time.monotonic() + timeout
    with contextlib.closing(output):
        while process.poll() is None and time.monotonic() < deadline:
            control.check()
            output.follow()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PAUSE)
        output.follow()
        return (124 if process.returncode is None else process.returncode), output.failed_task


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def first_warning(result: Mapping[str, Any]) -> str:
    """The first warning of a result, for a message."""
    warnings = result.get("warnings") or [""]
    return str(warnings[0])
