# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/speed.svg: a task of this collection beside the task that one would write instead."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Protocol

# a few workloads that differ, the losses among them; the guide has all
SHOWN = ("unchanged-tag", "files", "layer", "gzip", "layers-far", "charts", "push")
OURS, THEIRS, TEXT, MUTED, PAPER, EDGE = "#1f6feb", "#8b949e", "#1f2328", "#59636e", "#ffffff", "#d1d9e0"
DATA_LINE = 140
WIDTH, MARGIN, BARS, LENGTH, BAR, ROW, HEAD = 760, 20, 362, 330, 15, 54, 104


Task = tuple[str, float]  # its name and its seconds


class Measured(Protocol):
    """What is drawn of a workload: its name and title, and each task with whether it is ours and its seconds."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def tasks(self) -> Iterable[tuple[str, bool, float]]: ...


def picture(workloads: Iterable[Measured]) -> str:
    """The workloads of ``SHOWN`` as SVG, two bars on one scale for each: ours, and the first of the others.

    The picture brings its own paper, so that it can be read on a page of any color.
    """
    known = {each.name: each for each in workloads}
    pairs = [(known[name].title, *_pair(known[name])) for name in SHOWN if name in known]
    most = max((seconds for _title, *tasks in pairs for _name, seconds in tasks), default=1.0)
    height = HEAD + ROW * len(pairs) + 52
    parts = [
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{EDGE}"/>',
        _text(MARGIN, 36, "How long a task takes, in seconds", 20, weight="bold"),
        _text(WIDTH - MARGIN, 36, "lower is better", 15, weight="bold", color=OURS, anchor="end"),
        _rect(MARGIN, 58, 14, 14, OURS),
        _text(MARGIN + 22, 70, "a task of this collection", 14),
        _rect(MARGIN + 230, 58, 14, 14, THEIRS),
        _text(MARGIN + 252, 70, "the task that one would write instead: a shell command", 14),
    ]
    for number, (title, ours, theirs) in enumerate(pairs):
        y = HEAD + ROW * number
        parts.append(_text(MARGIN, y + 12, title, 12, weight="bold"))
        parts.append(_text(MARGIN, y + 29, f"instead of: {theirs[0]}", 12, color=MUTED))
        for row, ((_name, seconds), color) in enumerate(((ours, OURS), (theirs, THEIRS))):
            top, width = y + row * (BAR + 3), max(1.0, LENGTH * seconds / most)
            weight = "bold" if seconds == min(ours[1], theirs[1]) else "normal"
            parts.append(_rect(BARS, top, width, BAR, color))
            parts.append(_text(BARS + width + 6, top + 12, f"{seconds:.1f} s", 12, weight=weight))
    note = "Medians. A task is what any task of Ansible costs, and what was measured on top; see the guide to speed."
    parts.append(_text(MARGIN, height - 20, note, 12, color=MUTED))
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    label = f'role="img" aria-label="{escape(_spoken(pairs))}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label} font-family="sans-serif">\n{body}\n</svg>\n'


def embedded(drawing: str) -> str:
    """The drawing as a part of a page in reStructuredText: Ansible's documentation site takes no files but pages.

    Its data is in short lines, which URLs may have: docutils refuses lines of 10,000 characters.
    """
    data = base64.b64encode(drawing.encode("utf-8")).decode("ascii")
    lines = "".join(f"\n   {data[start : start + DATA_LINE]}" for start in range(0, len(data), DATA_LINE))
    alt = 'alt="Bars that compare tasks of this collection with shell commands; the tables below have the numbers"'
    return f'.. raw:: html\n\n   <img style="max-width: 100%" {alt} src="data:image/svg+xml;base64,{lines}">\n'


def _pair(workload: Measured) -> tuple[Task, Task]:
    """The first task that is ours, and the first that is not, which is what the tables compare with."""
    chosen = []
    for wanted in (True, False):
        chosen.append(next((name, seconds) for name, is_ours, seconds in workload.tasks if is_ours == wanted))
    return chosen[0], chosen[1]


def _spoken(pairs: Iterable[tuple[str, Task, Task]]) -> str:
    """The same for who cannot see it."""
    found = (f"{title}: {ours[1]:.1f}, with {theirs[0]} {theirs[1]:.1f}" for title, ours, theirs in pairs)
    return f"Seconds that a task takes, lower is better. {'; '.join(found)}."


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" rx="2" fill="{color}"/>'


def _text(
    x: float, y: float, text: str, size: int, *, weight: str = "normal", color: str = TEXT, anchor: str = "start"
) -> str:
    place = f'x="{x:.1f}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
