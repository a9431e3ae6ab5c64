# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, as text and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from measure import MIB, Peer, Sample, median, own_cost, ratio

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

    def as_rst(self) -> str:
        rounds = len(next(iter(self.samples.values())))
        lines = [self.title, "^" * len(self.title), ""]
        lines += [f"Medians of {rounds}; × is relative to {self.base}. To repeat it:", ""]
        lines += [".. code-block:: shell", "", f"   {self.command}", "", *list_table(self.rows()), ""]
        outcomes = self.outcomes()
        if outcomes:
            lines += [*list_table([["Goal", "At most", "Found", ""], *(each.cells() for each in outcomes)]), ""]
        lines += [f"- {note}" for note in self.notes]
        if self.absent:
            lines.append(f"- Left out, because they were not there: {', '.join(self.absent)}.")
        return "\n".join(lines).rstrip() + "\n"


def list_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in reStructuredText; the first row is its header."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {cell}".rstrip())
    return lines


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its header."""
    head, *rest = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rest]]
    return "\n".join(lines)


BAR, GAP, LEFT, WIDTH = 18, 6, 300, 420
OURS, THEIRS, TEXT = "#2a6fdb", "#b8c0cc", "#333333"


def picture(reports: Sequence[Report]) -> str:
    """Bars of the wall time of every peer relative to the base of its workload, as SVG."""
    parts: list[str] = []
    y = 30
    for report in reports:
        if report.base not in report.own:
            continue
        bars = [
            (peer.name, bool(peer.minus), ratio(report.own[peer.name], report.own[report.base], "wall"))
            for peer in report.peers
            if not _is_floor(peer, report.peers)
        ]
        most = max([1.0, *(value for _name, _ours, value in bars)])
        parts.append(_text(10, y, report.title, "bold"))
        y += 12
        for name, is_ours, value in bars:
            width = max(1.0, WIDTH * max(value, 0.0) / most)
            parts.append(_text(10, y + 13, name))
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{OURS if is_ours else THEIRS}"/>'
            )
            parts.append(_text(LEFT + width + 6, y + 13, f"{value:.2f}"))
            y += BAR + GAP
        y += 30
    size = f'width="{LEFT + WIDTH + 80}" height="{y}" viewBox="0 0 {LEFT + WIDTH + 80} {y}"'
    style = f'font-family="sans-serif" font-size="12" fill="{TEXT}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _is_floor(peer: Peer, peers: Sequence[Peer]) -> bool:
    """Whether a peer is only there for its cost to be taken off others'."""
    return any(other.minus == peer.name for other in peers)


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}">{escape(text)}</text>'
