# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process costs in things that can be counted: imports, carried bytes, system calls, instructions.

Unlike times, these do not depend on how busy a machine is, so that a test can hold them. How many requests are made is
counted by the registry: ``RegistryServer.requests``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import payload
from support.ansible_runner import COLLECTION, AnsibleRunner

OWN = f"ansible_collections.{COLLECTION}.plugins.module_utils."
# a machine may be very busy, and valgrind is slow
TIMEOUT = 3600.0
# how often these are made depends on who waits for whom, which decides about threads and connections too, on how a
# stream was cut, and on how memory grew
UNSTEADY = frozenset(
    """
    clone clone3 connect getsockopt gettid rseq set_robust_list setsockopt socket
    brk clock_nanosleep epoll_pwait epoll_wait exit_group futex madvise mmap mprotect mremap munmap poll ppoll pselect6
    recvfrom recvmsg restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sched_yield select sendto sendmsg wait4
    """.split()
)
_CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(?P<calls>\d+)\s+(?:\d+\s+)?(?P<name>\w+)$", re.MULTILINE)
_IMPORT = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


# Payloads: what Ansible copies to a host


class Payload(payload.Payload):
    """One of the files that Ansible copies to hosts, and how it is run there."""

    def __init__(self, path: Path, python: str, home: Path) -> None:
        super().__init__(path)
        self.command = [python, str(path)]
        self.environment = clean_environment(home)

    def run(self) -> tuple[dict[str, Any], set[str]]:
        """The result, and the names of all modules that were imported."""
        done = subprocess.run(
            self.command, check=True, capture_output=True, text=True, timeout=TIMEOUT,
            env={**self.environment, "PYTHONPROFILEIMPORTTIME": "1"},
        )  # fmt: skip
        return json.loads(done.stdout), imported(done.stderr)


def payloads_of(
    ansible: AnsibleRunner, folder: Path, tasks: Mapping[str, tuple[str, Mapping[str, Any]]], *, unchanged: bool = False
) -> dict[str, Payload]:
    """The payloads of tasks, each given as its module and options; every task is run once, or twice to get those that
    have nothing to do. Of a task that takes two steps it is the second.

    The home of their processes is ``folder``.
    """
    if unchanged:
        payloads_of(ansible, folder / "before", tasks)
    results = ansible.tasks(
        [
            {"name": name, module: dict(options), "vars": {"ansible_remote_tmp": str(folder / f"remote-{name}")}}
            for name, (module, options) in tasks.items()
        ],
        controller_environment={"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"},
    )
    assert not any(result.failed for result in results), results
    found = {}
    for name in tasks:
        (path,) = (folder / f"remote-{name}").glob("*/AnsiballZ_*.py")
        found[name] = Payload(path, ansible.target_python, folder)
    return found


def imported(errors: str) -> set[str]:
    """The modules that a process imported, from its standard error with ``PYTHONPROFILEIMPORTTIME`` set."""
    return set(_IMPORT.findall(errors))


# Processes


def clean_environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}


def module_command(
    ansible: AnsibleRunner, name: str, folder: Path, options: Mapping[str, Any]
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a module's process, with compiled code and without the Ansible around it."""
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".arguments.json", delete=False) as arguments:
        json.dump({"ANSIBLE_MODULE_ARGS": dict(options)}, arguments)
    module = f"ansible_collections.{COLLECTION}.plugins.modules.{name.rpartition('.')[2]}"
    environment = {**clean_environment(folder), "PYTHONPATH": str(ansible.collections)}
    return [sys.executable, "-m", module, arguments.name], environment


@dataclass(frozen=True)
class Calls:
    """How often a process and its children made each system call."""

    by_name: Mapping[str, int]

    def of(self, *names: str) -> int:
        return sum(self.by_name.get(name, 0) for name in names)

    @property
    def steady(self) -> int:
        """All but those whose number is another in each run."""
        return sum(count for name, count in self.by_name.items() if name not in UNSTEADY)

    def per_item(self, fewer: Calls, items: int) -> dict[str, float]:
        """What each of the ``items`` costs that this process had more to do than ``fewer``, by call, the most first.

        What both do once is in neither; what is less than a twentieth of a call for an item is left out, and so are
        the calls of ``UNSTEADY``.
        """
        more = {
            name: (count - fewer.by_name.get(name, 0)) / items
            for name, count in self.by_name.items()
            if name not in UNSTEADY
        }
        kept = {name: round(count, 2) for name, count in more.items() if count >= 0.05}
        return dict(sorted(kept.items(), key=lambda entry: (-entry[1], entry[0])))


def system_calls(
    strace: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, only: str = ""
) -> tuple[str, Calls]:
    """Run a command below strace; return its standard output, and what it called, with all its children and threads.

    ``only`` is an expression of strace, as ``trace=execve`` or ``trace=%file``, which makes it fast.

    :raises AssertionError: when the command fails, with its words.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        table = Path(scratch, "calls")
        filtered = ["-e", only, "--seccomp-bpf"] if only else []
        done = subprocess.run(
            [strace, "-f", "-qq", "-c", "-o", str(table), *filtered, "--", *command],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
            cwd=folder, env=dict(environment),
        )  # fmt: skip
        assert not done.returncode, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout, Calls(parsed(table.read_text()))


def parsed(table: str) -> dict[str, int]:
    """How often each system call was made, from the table of ``strace -c``."""
    return {match["name"]: int(match["calls"]) for match in _CALL.finditer(table) if match["name"] != "total"}


def instructions(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> int | None:
    """How many instructions of a processor a command takes, in user space; None where nothing can count them.

    ``perf`` counts them where the processor lets it, which few virtual machines do, and valgrind anywhere: 20 times as
    slow. The numbers of two interpreters, or of the two ways to count, are not comparable.
    """
    fixed = {**environment, "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        counted = Path(scratch, "counted")
        ways = {
            "perf": ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(counted), "--"],
            "valgrind": ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={counted}"],
        }
        patterns = {"perf": r"^(\d+),[^,]*,instructions", "valgrind": r"^summary: (\d+)"}
        for name, prefix in ways.items():
            if not shutil.which(name):
                continue
            done = subprocess.run(
                [*prefix, *command], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=TIMEOUT, cwd=folder, env=fixed,
            )  # fmt: skip
            match = re.search(patterns[name], counted.read_text() if counted.exists() else "", re.MULTILINE)
            if match:
                assert not done.returncode, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
                return int(match[1])
    return None
