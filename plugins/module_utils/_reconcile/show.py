# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status as text: a line for each host as ``flux get`` has it, and what ``kubectl describe`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .status import READY, condition

_EMPTY = "-"


def listing(found: Sequence[Mapping[str, Any]]) -> str:
    """A table with name, revision, suspended, ready and message of each status."""
    rows = [("NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE")]
    for status in found:
        ready = condition(status, READY)
        message = _line(ready.get("message", "never run"))
        revision = status["last_applied_revision"] or _EMPTY
        rows.append((status["name"], revision, str(status["suspended"]), ready.get("status", "Unknown"), message))
    return _table(rows)


def description(status: Mapping[str, Any], dest: str) -> str:
    """All of a status, for people."""
    artifact = status["artifact"]
    rows = [
        ("Name:", status["name"]),
        ("URL:", artifact.get("url")),
        ("Path:", dest),
        ("Suspended:", str(status["suspended"])),
        ("Artifact Revision:", artifact.get("revision")),
        ("Last Attempted Revision:", status["last_attempted_revision"]),
        ("Last Applied Revision:", status["last_applied_revision"]),
        ("Last Handled Reconcile At:", status["last_handled_reconcile_at"]),
        ("Last Run:", status["last_run_at"]),
        ("Last Success:", status["last_success_at"]),
        ("Failures:", str(status["failures"])),
    ]
    conditions = [("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE")]
    for each in status["conditions"]:
        texts = (each["type"], each["status"], each["reason"], each["last_transition_time"], _line(each["message"]))
        conditions.append(texts)
    events = [("TYPE", "REASON", "TIME", "COUNT", "MESSAGE")]
    for each in reversed(status["events"]):
        events.append((each["type"], each["reason"], each["time"], str(each["count"]), _line(each["message"])))
    shown = [_table([(name, str(value or _EMPTY)) for name, value in rows])]
    for title, table in (("Conditions:", conditions), ("Events:", events)):
        shown += [title, *("  " + line for line in (_table(table) if len(table) > 1 else "none").splitlines())]
    return "\n".join(shown)


def _line(text: str) -> str:
    """The text in one line without what could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines)
