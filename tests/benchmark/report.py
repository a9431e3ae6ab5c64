# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured in a run, and whether the goals were met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from measure import MIB, Peer, Sample, median, own_cost, ratio
from results import Record

UNITS = {"wall": "s", "cpu": "s", "memory": "MiB"}
SHOWN = {"wall": "wall", "cpu": "CPU", "memory": "memory"}


@dataclass(frozen=True)
class Goal:
    """What a workload is to cost at most: ``limit`` times what ``base`` costs; seconds or bytes without a base."""

    peer: str
    what: str
    limit: float
    base: str = ""


@dataclass(frozen=True)
class Outcome:
    """A goal and what was found."""

    goal: Goal
    found: float

    @property
    def is_met(self) -> bool:
        return self.found <= self.goal.limit

    def cells(self) -> list[str]:
        goal = self.goal
        unit, scale = (" ×", 1.0) if goal.base else (f" {UNITS[goal.what]}", MIB if goal.what == "memory" else 1.0)
        versus = f" of {goal.base}" if goal.base else " more than a task that does nothing"
        return [
            f"{goal.peer}, {SHOWN[goal.what]}{versus}",
            f"≤ {goal.limit / scale:.2f}{unit}",
            f"{self.found / scale:.2f}{unit}",
            "met" if self.is_met else "missed",
        ]


@dataclass
class Report:
    """One workload that was run."""

    name: str
    title: str
    command: str
    peers: Sequence[Peer]
    samples: Mapping[str, Sequence[Sample]]
    base: str
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    absent: Sequence[str] = ()
    own: dict[str, list[Sample]] = field(init=False)

    def __post_init__(self) -> None:
        self.own = own_cost(self.peers, self.samples)

    def outcomes(self) -> list[Outcome]:
        found = []
        for goal in self.goals:
            # a peer that is missing has no say
            if goal.peer in self.own and (not goal.base or goal.base in self.own):
                mine = self.own[goal.peer]
                value = ratio(mine, self.own[goal.base], goal.what) if goal.base else median(mine, goal.what)
                found.append(Outcome(goal, value))
        return found

    def rows(self) -> list[list[str]]:
        rows = [["What", "Wall s", "CPU s", "Memory MiB", "Wall ×", "CPU ×"]]
        for peer in self.peers:
            own = self.own[peer.name]
            cells = [f"{median(own, 'wall'):.3f}", f"{median(own, 'cpu'):.3f}", f"{median(own, 'memory') / MIB:.0f}"]
            if self.base in self.own:
                cells += [f"{ratio(own, self.own[self.base], what):.2f}" for what in ("wall", "cpu")]
            else:
                cells += ["", ""]
            rows.append([peer.name + (" ¹" if peer.minus else ""), *cells])
        return rows

    def record(self, taken: str) -> Record:
        """What docs keep of it; ``taken`` says when and on what."""
        rounds = len(next(iter(self.samples.values())))
        goals = [["Goal", "At most", "Found", ""], *(each.cells() for each in self.outcomes())]
        notes = list(self.notes)
        if self.absent:
            notes.append(f"Left out, because they were not there: {', '.join(self.absent)}.")
        floor = next((median(self.own[peer.minus], "wall") for peer in self.peers if peer.minus in self.own), 0.0)
        tasks = [
            (peer.name, bool(peer.minus), round(floor + median(self.own[peer.name], "wall"), 3))
            for peer in self.peers
            if not _is_floor(peer, self.peers)
        ]
        about = f"Medians of {rounds}; × is relative to {self.base}."
        return Record(self.name, self.title, about, self.command, taken, self.rows(), goals, notes, tasks)


def _is_floor(peer: Peer, peers: Sequence[Peer]) -> bool:
    """Whether a peer is only there for its cost to be taken off others'."""
    return any(other.minus == peer.name for other in peers)
