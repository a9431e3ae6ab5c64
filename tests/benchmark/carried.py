# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible copies to a host for a task: files and bytes, which are the same on every machine."""

from __future__ import annotations

from pathlib import Path

from goals import GOALS, OURS, PINGS
from report import Outcome
from results import Record
from stage import PULL, Stage
from support.counts import Payload
from workloads_play import pull, small


def record(stage: Stage, name: str, command: str, when: str, versions: str) -> Record:
    """The payloads of a pull that finds nothing new, and of a task that does nothing."""
    options = pull(f"{small(stage)}:v1", stage.folder("dest") / "x")[PULL]
    unchanged = stage.ansible.payload(PULL, options, unchanged=True)
    commands = {PINGS: stage.ansible.ping(), f"{OURS}, unchanged": unchanged}
    payloads = {peer: Payload(Path(argv[1]), argv[0], stage.scratch) for peer, argv in commands.items()}
    found = {peer: {"size": payload.bytes, "files": payload.files} for peer, payload in payloads.items()}
    outcomes = [
        Outcome(goal, found[goal.peer][goal.what] / found[goal.base][goal.what]) for goal in GOALS[name]
    ]  # fmt: skip
    rows = [["What", "Files", "Bytes", "Files ×", "Bytes ×", "Goal"]]
    for peer, counts in found.items():
        ratios = [f"{counts[what] / found[PINGS][what]:.2f}" for what in ("files", "size")]
        goal = "; ".join(each.beside(PINGS) for each in outcomes if each.goal.peer == peer)
        rows.append([peer, str(counts["files"]), str(counts["size"]), *ratios, goal])
    goals = [["Goal", "At most", "Found", ""], *(each.cells() for each in outcomes)]
    about = f"Counted, not timed; × is relative to {PINGS}. {versions}"
    return Record(name, "What a task carries to a host", about, command, when, rows, goals)
