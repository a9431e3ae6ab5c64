# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results that docs keep: the last of each workload, as data, as tables, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = CHECKOUT / "docs/docsite/rst/guide_speed.rst"
PICTURE = CHECKOUT / "docs/speed.svg"
DATA = CHECKOUT / "docs/speed.json"
BEGIN, END = ".. results: written by tests/benchmark/run.py", ".. end of results"


@dataclass(frozen=True)
class Record:
    """What one workload cost: tables whose first row is their header, and a bar (name, whether it is ours, ratio) for
    each peer."""

    name: str
    title: str
    about: str
    command: str
    taken: str
    rows: Sequence[Sequence[str]]
    goals: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    bars: Sequence[tuple[str, bool, float]] = ()

    def as_rst(self) -> str:
        lines = [self.title, "^" * len(self.title), "", f"{self.about} {self.taken} To repeat it:", ""]
        lines += [".. code-block:: shell", "", f"   {self.command}", "", *list_table(self.rows), ""]
        if len(self.goals) > 1:
            lines += [*list_table(self.goals), ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def keep(records: Iterable[Record], order: Sequence[str]) -> None:
    """Put results into docs, each in place of the last one of its workload."""
    known = {each["name"]: Record(**each) for each in json.loads(DATA.read_text())} if DATA.exists() else {}
    known.update({record.name: record for record in records})
    kept = [known[name] for name in order if name in known]
    DATA.write_text(json.dumps([asdict(record) for record in kept], indent=1, ensure_ascii=False) + "\n")
    before, _begin, rest = GUIDE.read_text().partition(BEGIN)
    _old, _end, after = rest.partition(END)
    GUIDE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(record.as_rst() for record in kept) + f"\n{END}{after}")
    PICTURE.write_text(picture(kept))


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


def picture(records: Sequence[Record]) -> str:
    """Bars of the wall time of every peer relative to the base of its workload, as SVG."""
    parts: list[str] = []
    y = 30
    for record in records:
        if not record.bars:
            continue
        most = max([1.0, *(value for _name, _ours, value in record.bars)])
        parts.append(_text(10, y, record.title, "bold"))
        y += 12
        for name, is_ours, value in record.bars:
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


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}">{escape(text)}</text>'
