# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/speed.svg: playbooks with a task of this collection beside those that one would write instead."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Protocol

# what users compare, whole playbooks; the guide has all
SHOWN = (
    "play-unchanged-tag", "play-unchanged-digest", "play-remote", "play-files", "play-chart", "play-layer", "play-push",
    "play-release",
)  # fmt: skip
OURS, THEIRS, TEXT, MUTED, PAPER, EDGE = "#1f6feb", "#8b949e", "#1f2328", "#59636e", "#ffffff", "#d1d9e0"
FLOOR = "#cf222e"
DATA_LINE = 140
WIDTH, MARGIN, BARS, LENGTH, BAR, ROW, HEAD = 760, 20, 412, 260, 15, 54, 132
TITLE_LENGTH = 46


Task = tuple[str, float]  # its name and its seconds


class Measured(Protocol):
    """What is drawn of a workload: its name and title, each task with whether it is ours and its seconds, and the
    seconds of a playbook that does nothing (0 when there is none)."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def tasks(self) -> Iterable[tuple[str, bool, float]]: ...

    @property
    def floor(self) -> float: ...


def shown(workloads: Iterable[Measured]) -> list[Measured]:
    """Those of ``SHOWN`` that were measured, in its order."""
    known = {each.name: each for each in workloads}
    return [known[name] for name in SHOWN if name in known]


def picture(workloads: Iterable[Measured]) -> str:
    """The workloads of ``SHOWN`` as SVG, two bars on one scale for each: ours, and the first of the others.

    A line across both marks what the same playbook takes with ``ansible.builtin.ping`` in place of its tasks. The
    picture brings its own paper, so that it can be read on a page of any color.
    """
    drawn = [(each, *_pair(each)) for each in shown(workloads)]
    most = max((seconds for _each, *tasks in drawn for _name, seconds in tasks), default=1.0)
    height = HEAD + ROW * len(drawn) + 52
    parts = [
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{EDGE}"/>',
        _text(MARGIN, 36, "How long a playbook takes, in seconds", 20, weight="bold"),
        _text(WIDTH - MARGIN, 36, "lower is better", 15, weight="bold", color=OURS, anchor="end"),
        _rect(MARGIN, 58, 14, 14, OURS),
        _text(MARGIN + 22, 70, "with tasks of this collection", 14),
        _rect(MARGIN + 250, 58, 14, 14, THEIRS),
        _text(MARGIN + 272, 70, "with the tasks that one would write instead", 14),
        _mark(MARGIN + 7, 84, 18),
        _text(MARGIN + 22, 97, "with ansible.builtin.ping instead: what Ansible itself takes", 14),
    ]
    for number, (each, *tasks) in enumerate(drawn):
        parts += _row(HEAD + ROW * number, each, tasks, most)
    note = "Medians of whole runs of ansible-playbook; see the guide to speed, which has all numbers."
    parts.append(_text(MARGIN, height - 20, note, 12, color=MUTED))
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    label = f'role="img" aria-label="{escape(_spoken(drawn))}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label} font-family="sans-serif">\n{body}\n</svg>\n'


def _row(y: float, workload: Measured, tasks: Iterable[Task], most: float) -> list[str]:
    ours, theirs = tasks
    parts = [
        _text(MARGIN, y + 12, _short(workload.title), 12, weight="bold"),
        _text(MARGIN, y + 29, f"instead of: {theirs[0]}", 12, color=MUTED),
    ]
    for row, ((_name, seconds), color) in enumerate(((ours, OURS), (theirs, THEIRS))):
        top, width = y + row * (BAR + 3), max(1.0, LENGTH * seconds / most)
        weight = "bold" if seconds == min(ours[1], theirs[1]) else "normal"
        parts.append(_rect(BARS, top, width, BAR, color))
        parts.append(_text(WIDTH - MARGIN, top + 12, f"{seconds:.2f} s", 12, weight=weight, anchor="end"))
    if workload.floor:
        parts.append(_mark(BARS + LENGTH * min(workload.floor / most, 1.0), y - 3, 2 * BAR + 9))
    return parts


def _short(title: str) -> str:
    """A title without what all of them begin with."""
    text = title.removeprefix("A playbook ").removeprefix("with ").removeprefix("that ").removeprefix("of ")
    text = text[:1].upper() + text[1:]
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rpartition(" ")[0] + " …"


def embedded(drawing: str) -> str:
    """The drawing as a part of a page in reStructuredText: Ansible's documentation site takes no files but pages.

    Its data is in short lines, which URLs may have: docutils refuses lines of 10,000 characters.
    """
    data = base64.b64encode(drawing.encode("utf-8")).decode("ascii")
    lines = "".join(f"\n   {data[start : start + DATA_LINE]}" for start in range(0, len(data), DATA_LINE))
    alt = 'alt="Bars that compare playbooks with tasks of this collection to others; the tables below have the numbers"'
    return f'.. raw:: html\n\n   <img style="max-width: 100%" {alt} src="data:image/svg+xml;base64,{lines}">\n'


def _pair(workload: Measured) -> tuple[Task, Task]:
    """The first task that is ours, and the first that is not, which is what the tables compare with."""
    chosen = []
    for wanted in (True, False):
        chosen.append(next((name, seconds) for name, is_ours, seconds in workload.tasks if is_ours == wanted))
    return chosen[0], chosen[1]


def _spoken(drawn: Iterable[tuple[Measured, Task, Task]]) -> str:
    """The same for who cannot see it."""
    found = (f"{each.title}: {ours[1]:.2f}, with {theirs[0]} {theirs[1]:.2f}" for each, ours, theirs in drawn)
    return f"Seconds that a playbook takes, lower is better. {'; '.join(found)}."


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="2" fill="{color}"/>'


def _mark(x: float, y: float, height: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:g}" x2="{x:.1f}" y2="{y + height:g}" stroke="{FLOOR}" stroke-width="2"/>'


def _text(
    x: float, y: float, text: str, size: int, *, weight: str = "normal", color: str = TEXT, anchor: str = "start"
) -> str:
    place = f'x="{x:.1f}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
