# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results that docs keep: the last of each workload, as data, as tables, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from picture import embedded, picture, shown

CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = CHECKOUT / "docs/docsite/rst/guide_speed.rst"
PICTURE = CHECKOUT / "docs/speed.svg"
DATA = CHECKOUT / "docs/speed.json"
BEGIN, END = ".. results: written by tests/benchmark/run.py", ".. end of results"
PICTURE_BEGIN, PICTURE_END = ".. picture: written by tests/benchmark/run.py", ".. end of picture"


@dataclass(frozen=True)
class Record:
    """What one workload cost: tables whose first row is their header, each peer as a task of Ansible (name, whether it
    is ours, seconds), and the seconds of tasks that do nothing."""

    name: str
    title: str
    about: str
    command: str
    taken: str
    rows: Sequence[Sequence[str]]
    goals: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    tasks: Sequence[tuple[str, bool, float]] = ()
    floor: float = 0.0

    def as_rst(self) -> str:
        lines = [self.title, "^" * len(self.title), "", f"{self.about} {self.taken} To repeat it:", ""]
        lines += [".. code-block:: shell", "", f"   {self.command}", "", *list_table(self.rows), ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def keep(records: Iterable[Record], order: Sequence[str]) -> None:
    """Put results into docs, each in place of the last one of its workload."""
    known = {each["name"]: Record(**each) for each in json.loads(DATA.read_text())} if DATA.exists() else {}
    known.update({record.name: record for record in records})
    kept = [known[name] for name in order if name in known]
    DATA.write_text(json.dumps([asdict(record) for record in kept], indent=1, ensure_ascii=False) + "\n")
    page = GUIDE.read_text()
    if shown(kept):
        drawing = picture(kept)
        PICTURE.write_text(drawing)
        page = between(page, PICTURE_BEGIN, embedded(drawing), PICTURE_END)
    parts = [goals_as_rst(kept), *(record.as_rst() for record in kept)]
    GUIDE.write_text(between(page, BEGIN, "\n".join(parts), END))


def goals_as_rst(records: Iterable[Record]) -> str:
    """The goals of all workloads in one table, each with what was found, and with the option that measures it alone."""
    rows = goal_rows(records)
    rows[1:] = [[*row[:-1], f"``{row[-1]}``"] for row in rows[1:]]
    met = sum(row[4] == "met" for row in rows)
    lines = ["Goals", "^^^^^", "", f"{met} of {len(rows) - 1} are met.", "", *list_table(rows)]
    return "\n".join(lines) + "\n"


def goal_rows(records: Iterable[Record]) -> list[list[str]]:
    """The goals of all workloads; the first row is the header."""
    rows = [["Workload", "Goal", "At most", "Found", "", "Measured by run.py with"]]
    for record in records:
        rows += [[record.title, *goal, f"--only {record.name}"] for goal in record.goals[1:]]
    return rows


def between(page: str, begin: str, text: str, end: str) -> str:
    """The page with this text between two of its lines; as it is where the first one is missing."""
    before, found, rest = page.partition(begin)
    _old, _end, after = rest.partition(end)
    return f"{before}{begin}\n\n{text}\n{end}{after}" if found else page


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
