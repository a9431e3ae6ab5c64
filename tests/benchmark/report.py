# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured in a run, and whether the goals were met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from goals import Goal
from measure import FLOOR, MIB, OURS, Peer, Sample, median, own_cost, ratio
from results import Record

UNITS = {"wall": "s", "cpu": "s", "memory": "MiB", "size": "bytes", "files": "", "registry": ""}
SHOWN = {
    "wall": "wall", "cpu": "CPU", "memory": "memory", "size": "bytes carried", "files": "files carried",
    "registry": "requests to the registry",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A goal and what was found."""

    goal: Goal
    found: float

    @property
    def is_met(self) -> bool:
        return self.found <= self.goal.limit

    def cells(self) -> list[str]:
        """What is asked, how much it may be, what it is, and whether the goal is met."""
        goal = self.goal
        versus = f" of {goal.base}" if goal.base else ""
        if goal.what in ("wall", "cpu", "memory") and not goal.base:
            versus = " more than a task that does nothing"
        return [f"{goal.peer}, {SHOWN[goal.what]}{versus}", f"≤ {self._number(goal.limit)}", self._number(self.found),
                self.verdict]  # fmt: skip

    @property
    def verdict(self) -> str:
        return "met" if self.is_met else "missed"

    def _number(self, value: float) -> str:
        if self.goal.base:
            return f"{value:.2f} ×"
        if self.goal.what == "memory":
            return f"{value / MIB:.2f} MiB"
        return f"{value:.2f} {UNITS[self.goal.what]}" if UNITS[self.goal.what] else f"{value:g}"

    def beside(self, base: str) -> str:
        """The same in a row of its peer, in a table whose ratios are of ``base``."""
        what, limit, found, verdict = self.cells()
        versus = f" of {self.goal.base}" if self.goal.base and self.goal.base != base else ""
        return f"{SHOWN[self.goal.what]} {limit}{versus}: {found}, {verdict}"


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
    absent: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    own: dict[str, list[Sample]] = field(init=False)

    def __post_init__(self) -> None:
        self.own = own_cost(self.peers, self.samples)
        known = {*self.own, *self.absent, ""}
        unknown = {name for goal in self.goals for name in (goal.peer, goal.base)} - known
        if unknown:
            raise ValueError(f"goals of {self.name} name {', '.join(sorted(unknown))}, which is not in it")

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
        rows = [["What", "Wall s", "CPU s", "Memory MiB", "Wall ×", "CPU ×", "Goal"]]
        outcomes = self.outcomes()
        for peer in self.peers:
            own = self.own[peer.name]
            cells = [f"{median(own, 'wall'):.3f}", f"{median(own, 'cpu'):.3f}", f"{median(own, 'memory') / MIB:.0f}"]
            if self.base in self.own:
                cells += [f"{ratio(own, self.own[self.base], what):.2f}" for what in ("wall", "cpu")]
            else:
                cells += ["", ""]
            cells.append("; ".join(each.beside(self.base) for each in outcomes if each.goal.peer == peer.name))
            rows.append([peer.name + (" ¹" if peer.minus else ""), *cells])
        return rows

    def record(self, taken: str) -> Record:
        """What docs keep of it; ``taken`` says when and on what."""
        rounds = len(next(iter(self.samples.values())))
        goals = [["Goal", "At most", "Found", ""], *(each.cells() for each in self.outcomes())]
        notes = list(self.notes)
        if self.absent:
            notes.append(f"Left out: {', '.join(f'{name} ({why})' for name, why in self.absent.items())}.")
        floor = next((median(self.own[peer.name], "wall") for peer in self.peers if peer.kind == FLOOR), 0.0)
        tasks = [
            (
                peer.name,
                peer.kind == OURS,
                round((floor if peer.minus else 0.0) + median(self.own[peer.name], "wall"), 3),
            )
            for peer in self.peers
            if peer.kind != FLOOR
        ]
        about = " ".join(filter(None, [f"Medians of {rounds}; × is relative to {self.base}.", self.about]))
        return Record(
            self.name, self.title, about, self.command, taken, self.rows(), goals, notes, tasks, round(floor, 3)
        )
