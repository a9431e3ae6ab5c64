# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed at any moment: the status is true afterwards, and the next run completes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.status import is_running, load_status

if TYPE_CHECKING:
    from .conftest import Room

KILLS = 50


def test_fifty_kills(room: Room) -> None:
    room.put("slow")
    generator = random.Random(20261129)
    steps = set()
    for turn in range(KILLS):
        version = f"version {turn}"
        room.offer(version)
        process = room.start("run", "host", start_new_session=True)
        # in each step in turn, and in between at moments that the machine chooses
        wanted = ("pull", "run", "")[turn % 3]
        _reach(room, process, wanted, generator.random() * 0.06)
        is_whole = turn % 2 == 0
        _kill(process, whole=is_whole)
        steps.add((load_status(room.dest).get("running") or {}).get("step", "")[:4])
        # what it has started goes on, holds the lock, and is the run that the status speaks of
        _until(lambda: not is_running(room.dest))
        _check(room)
        assert room.run() == 0
        assert room.configured() == version
        status = room.status()
        assert room.conditions() == {"Ready": ("True", "ReconciliationSucceeded")}
        assert status["last_applied_revision"] == f"stable@{version}" and not status["running"]
    assert {"pull", "run "} <= steps
    assert not list(room.state.glob("*.new"))


def _check(room: Room) -> None:
    """No run is going on: the status says none, and says of a revision only that it is applied if it is."""
    status = room.status()
    if not status:
        return
    conditions = room.conditions()
    assert "Reconciling" not in conditions and not status["running"], status
    if conditions.get("Ready", ("", ""))[0] == "True":
        assert status["last_applied_revision"] == f"stable@{room.configured()}"
    elif conditions:
        assert conditions["Ready"] == ("False", "Interrupted")
    json.loads((room.state / "project.status.json").read_text())


def _reach(room: Room, process: subprocess.Popen[str], step: str, more: float) -> None:
    def is_there() -> bool:
        running = load_status(room.dest).get("running") or {}
        return process.poll() is not None or (running.get("step") or "").startswith(step)

    if step:
        _until(is_there)
    time.sleep(more)


def _kill(process: subprocess.Popen[str], *, whole: bool) -> None:
    """Kill the run alone, as happens under cron, or with all that it has started, as systemd does."""
    below = _below(process.pid) if whole else []
    for pid in [process.pid, *below]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    _until(lambda: not any(map(_is_alive, below)))


def _below(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_below(int(child))]
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
