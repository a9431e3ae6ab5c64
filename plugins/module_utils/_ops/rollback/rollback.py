# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go back to a revision that a host has kept, and what operators say about a ``dest``: hold, release, suspend, resume.

Nothing here asks a registry.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..._dest.destination import Destination
from ..._dest.history import (
    MAX_TEXT,
    hold_on,
    holds,
    kept_revisions,
    listed,
    now,
    with_hold,
    without_holds,
)
from ..._dest.places import as_recorded, destinations_at
from ..._dest.state import State
from ..._dest.workplace import locked
from ..._errors import DigestMismatch, InvalidOption, NotFound, StorageError
from ..._files.bounded import expanded
from ..._files.names import native, shown
from ..._oci.options import CacheOptions
from ..pull.keeping import account
from ..pull.options import LEFT_OUT, PLACEMENT, UP_TO_DATE
from ..pull.replay import replay, standing_after
from ..task import Task
from .choice import PREVIOUS, choose
from .options import (
    REASONS,
    RELEASED,
    RESUMED,
    ROLLED_BACK,
    RollbackOptions,
    answer_of,
    hold_after,
    one_line,
)


def rollback(options: RollbackOptions, *, check_mode: bool = False, want_diff: bool = False) -> dict[str, Any]:
    """Do what ``state`` says; return the module's result.

    :raises OciError: for every failure; ``dest`` and its record are then unchanged.
    """
    for name, text in (("reason", options.reason), ("who", options.who)):
        if len(text) > MAX_TEXT:
            raise InvalidOption(f"'{name}' has {len(text)} characters: wanted at most {MAX_TEXT}.")
    options = replace(options, reason=one_line(options.reason), who=one_line(options.who))
    if options.state == RELEASED and options.to == PREVIOUS:
        raise InvalidOption(
            "'to' is 'previous' with state: released, which is about what is held back.",
            "Name it by its tag, digest or revision, or leave 'to' out to release everything.",
        )
    if not options.dest:
        raise InvalidOption("'dest' is empty.", "Give the directory or file that was pulled to.")
    destination, name = _destination(options)
    if options.state == ROLLED_BACK and destination.layout:
        from .releases import go_back

        return go_back(options, destination, check_mode, want_diff)
    if options.state == ROLLED_BACK:
        return _go_back(options, destination, name, check_mode, want_diff)
    return _say(options, destination, check_mode)


def _destination(options: RollbackOptions) -> tuple[Destination, str]:
    """Return the one that the options are about, and the name of the file for a copy to a file.

    :raises StorageError: when there is none, or more than one.
    """
    path = os.path.abspath(native(expanded(options.dest)))
    found = [(each, each.load_state()) for each in destinations_at(path)]
    placed = [(each, state) for each, state in found if state.key or state.standing or state.pending]
    if options.state == ROLLED_BACK:
        kept = [(each, state) for each, state in placed if kept_revisions(state.standing)]
        placed = kept or placed
    if len(placed) > 1:
        raise StorageError(
            f"{shown(path)} holds {len(placed)} artifacts that were copied into it, each with a record of its own.",
            "Give the file in 'dest' that one of them was copied to, and pull it to that file.",
        )
    if not placed:
        damaged = " that can be understood" if any(state.is_damaged for _each, state in found) else ""
        raise StorageError(
            f"There is no record{damaged} of a pull to {shown(path)}.",
            "Run the task as the user that pulls, and give the 'dest' of the pull.",
        )
    destination = as_recorded(*placed[0])
    return destination, os.path.basename(path) if destination.is_parent else ""


def _go_back(
    options: RollbackOptions, destination: Destination, name: str, check_mode: bool, want_diff: bool
) -> dict[str, Any]:
    state = destination.load_state()
    target = choose(state, options.to, shown(os.path.join(destination.root, name) if name else destination.root))
    hold = hold_after(options, state, target)
    with Task(CacheOptions()) as task:
        try:
            result = replay(destination, name, target, task, hold, check_mode=check_mode, want_diff=want_diff)
        except (NotFound, DigestMismatch) as exc:
            exc.hint = (
                f"{shown(destination.root)} is as it was. What this host has kept of {target.revision} was damaged: "
                "pull it from its registry."
            )
            raise
    if check_mode:
        result.standing = standing_after(state.standing, target, hold)
    elif hold is not None and hold_on(result.standing, hold.digest) is None:
        # the revision was in place already
        result.standing = with_hold(result.standing, hold)
        _record(destination, result.standing)
        result.changed = True
    result.changed = result.changed or hold is not None
    return answer_of(result)


def _say(options: RollbackOptions, destination: Destination, check_mode: bool) -> dict[str, Any]:
    """Release, suspend or resume."""
    state = destination.load_state()
    after = _said(options, state)
    changed = dict(after) != dict(state.standing)
    if changed and not check_mode:
        with locked(destination) as work:
            # another run may have changed it while this one waited
            state = destination.load_state()
            after = _said(options, state)
            work.record_standing(state, after)
    return {
        "changed": changed,
        "reason": REASONS[options.state] if changed else UP_TO_DATE,
        "artifact": {key: value for key, value in state.artifact.items() if key not in (LEFT_OUT, PLACEMENT)},
        **listed(after),
    }


def _said(options: RollbackOptions, state: State) -> Mapping[str, Any]:
    standing = state.standing
    if options.state == RELEASED:
        return without_holds(standing, _released(options, state))
    if options.state == RESUMED:
        return {name: value for name, value in standing.items() if name != "suspended"}
    note = standing.get("suspended") or {}
    said = {"who": options.who or account(), "reason": options.reason}
    # said again with the same words, it stays as old as it is
    same = note and note.get("reason") == said["reason"] and note.get("who") == said["who"]
    return standing if same else {**standing, "suspended": {**said, "since": now()}}


def _released(options: RollbackOptions, state: State) -> list[str]:
    """Return the digests that are released: all, or those that ``to`` names by digest, revision, tag or number."""
    held = holds(state.standing)
    if not options.to:
        return [hold.digest for hold in held]
    numbers = {str(kept.number): kept.digest for kept in kept_revisions(state.standing)}
    return [
        hold.digest
        for hold in held
        if options.to in (hold.digest, hold.revision, hold.revision.partition("@")[0])
        or numbers.get(options.to) == hold.digest
    ]


def _record(destination: Destination, standing: Mapping[str, Any]) -> None:
    with locked(destination) as work:
        work.record_standing(destination.load_state(), standing)
