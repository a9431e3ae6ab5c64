# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that a process has started, as Linux knows them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path


def is_of_another_worker(pid: int, command: str) -> bool:
    """Whether a process is of another worker of pytest than this one: its command line names a temporary folder of that
    one, or it was started by it. So is what ended before that could be told.

    Tests that run at the same time have the same login, which some give to ``ansible`` as an argument, as users do, and
    which Ansible gives to a shell.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return False
    if set(re.findall(r"/popen-(gw\d+)/", command)) - {worker}:
        return True
    while pid not in (0, 1, os.getpid()):
        try:
            above = parent(pid)
        except OSError:
            return True
        if above == os.getppid():  # which has started all workers
            return True
        pid = above
    return False


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all living processes below one, itself included."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(folder.name)] = int(fields[1])
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    commands[int(folder.name)] = command.decode(errors="replace")
    found = {pid} & set(commands)
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return {each: commands[each] for each in found}
        found |= more


def parent(pid: int) -> int:
    """The process that started one."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[1])


def kill_family(pid: int) -> None:
    """End a process and all below it at once, whatever session and group they are in.

    They are halted first, so that none of them starts another one in the meantime.
    """
    halted: set[int] = set()
    while more := descendants(pid).keys() - halted:
        for each in more:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        halted |= more
    kill(halted)


def kill(pids: Iterable[int]) -> None:
    """End processes of the test at once; those that are gone are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
