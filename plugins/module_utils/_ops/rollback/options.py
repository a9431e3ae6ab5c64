# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a rollback, what is held back by it, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._dest.history import Hold, Kept, hold_on, kept_revisions, now
from ..._dest.state import State
from ..pull.keeping import account
from ..pull.options import UP_TO_DATE, PullResult

ROLLED_BACK, RELEASED, SUSPENDED, RESUMED = "rolled_back", "released", "suspended", "resumed"
STATES = (ROLLED_BACK, RELEASED, SUSPENDED, RESUMED)
REASONS = {ROLLED_BACK: "RolledBack", RELEASED: "Released", SUSPENDED: "Suspended", RESUMED: "Resumed"}


@dataclass(frozen=True)
class RollbackOptions:
    """The options of the module. ``to`` is empty for the previous revision, or for all holds; ``who`` for the user that
    runs the task."""

    dest: str
    state: str = ROLLED_BACK
    to: str = ""
    hold: bool = True
    reason: str = ""
    who: str = ""


def one_line(text: str) -> str:
    """Return a text for messages in one line: line breaks and characters that are not printed become spaces."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def answer_of(result: PullResult) -> dict[str, Any]:
    """Return the module's result for a revision that is in place now, or would be."""
    result.reason = REASONS[ROLLED_BACK] if result.changed else UP_TO_DATE
    answer = result.as_result()
    # of pulls alone
    del answer["degraded"], answer["served_by"]
    return answer


def hold_after(options: RollbackOptions, state: State, target: Kept) -> Hold | None:
    """Return the hold on the revision that is left, None when nothing more is to be held."""
    if not options.hold:
        return None
    artifact = state.artifact
    left = (str(artifact.get("digest") or ""), str(artifact.get("revision") or ""), str(artifact.get("url") or ""))
    request = state.request
    if state.key == target.key:
        newest = kept_revisions(state.standing)[-1]
        if newest.number <= target.number:
            return None
        left, request = (newest.digest, newest.revision, str(newest.key["url"])), newest.request
    # the digest that is placed again is not held back with another of its tags
    if left[0] in ("", target.digest) or hold_on(state.standing, left[0]) is not None:
        return None
    return Hold(*left, request, options.reason, options.who or account(), now())
