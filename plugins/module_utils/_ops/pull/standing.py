# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls that do nothing because the record says so, and the token that says that one was asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..._dest.history import Hold, current_revision, hold_on, holds, now
from ..._dest.state import State
from ..._errors import OciError
from ..._files.names import shown
from ..resolve import Resolved
from .context import PullContext
from .options import HELD_BACK, PullResult
from .said import warning


def held_back(pull: PullContext, state: State, resolved: Resolved) -> PullResult | None:
    """Return the result for a resolved digest that is held back; None when it is not.

    What an interrupted run has left is put right first, if the revision in ``dest`` is kept.

    :raises OciError: when it cannot be.
    """
    hold = hold_on(state.standing, resolved.digest)
    return None if hold is None else _passed_over(pull, state, hold)


def held_without_registry(pull: PullContext, state: State, error: OciError) -> PullResult | None:
    """Return the result when the registry is out of reach and the last revision that it had for this very request is
    held back; None otherwise."""
    found = [hold for hold in holds(state.standing) if hold.request == pull.target.wanted]
    if not found or not state.key:
        return None
    from .last_good import Degradation, placed_at

    result = _passed_over(pull, state, found[-1])
    since = placed_at(state) or time.time()
    result.degradation = Degradation(since, max(0, int(time.time() - since)), error.reason, str(error))
    pull.warn_once(f"Whether {pull.target.reference.name} has a newer revision could not be asked: {error.message}")
    return result


def _passed_over(pull: PullContext, state: State, hold: Hold) -> PullResult:
    if pull.guard is not None and state.artifact.get("url") == hold.url:
        # what is kept instead may be denied by now
        pull.guard.check_in_place(state.artifact, state.parts)
    pull.warn_once(warning(hold, state))
    # what a layout keeps are whole releases, so that there is none to be made of parts
    if not state.pending or pull.check_mode or pull.destination.layout:
        return pull.unchanged(state, HELD_BACK, pull.recorded_verification(state))
    going = state.standing.get("going")
    current = current_revision({**state.standing, "current": going} if going else state.standing)
    if current is None:
        pull.warn_once(
            f"A run into {shown(pull.destination.root)} did not end, and what was there before is not kept: it holds "
            "parts of two revisions until one that is not held back is pulled."
        )
        return pull.unchanged(state, HELD_BACK, {})
    from .replay import replay

    result = replay(pull.destination, pull.name, current, pull.task)
    result.reason, result.warnings = HELD_BACK, [*pull.warnings, *result.warnings]
    return result


def restore_interrupted(pull: PullContext, error: OciError) -> None:
    """After a failed health check that began where an earlier run had ended: place what the record has, if it is kept.

    What that run had replaced is gone, so that undoing the steps of this one does not suffice.
    """
    from .checks import HealthCheckFailed, command_again, place_of_content

    current = current_revision(pull.load_state().standing)
    if not isinstance(error, HealthCheckFailed) or current is None:
        return
    from .replay import replay

    replay(pull.destination, pull.name, current, pull.task)
    place = place_of_content(pull)
    error.hint = f"{place} holds {current.revision} again, and that revision is held back. {command_again(pull)}"


def note_request(pull: PullContext) -> Mapping[str, Any]:
    """Record that ``requested_at`` was handled; return what is remembered then.

    :raises StorageError: when it cannot be recorded.
    """
    from ..._dest.workplace import locked

    with locked(pull.destination) as work:
        state = pull.load_state()
        if pull.is_requested(state):
            note = {"token": pull.options.requested_at, "handled": now()}
            state = state._replace(standing={**state.standing, "requested_at": note})
            work.record_standing(state, state.standing)
    return state.standing
