# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go back to a kept release of a ``dest`` with ``layout: releases``: compare all its bytes, and switch to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..._dest.destination import Destination
from ..._dest.diff import diff_of
from ..._dest.drift import MAX_NAMED, Drift
from ..._dest.history import Hold, Kept, hold_on
from ..._dest.plan import Plan
from ..._dest.releases import ReleaseDestination, compare, permissions_of
from ..._dest.state import State, observed
from ..._dest.workplace import Workplace, locked
from ..._errors import DigestMismatch, NotFound
from ..._files.names import CURRENT, RELEASES, escaped, on_disk, shown
from ..pull.context import verdict_of
from ..pull.options import PullResult, listed_changes
from ..pull.replay import standing_after
from .choice import choose
from .options import RollbackOptions, answer_of, hold_after

if TYPE_CHECKING:
    from ..._dest.release_workplace import ReleaseWorkplace


def go_back(options: RollbackOptions, destination: Destination, check_mode: bool, want_diff: bool) -> dict[str, Any]:
    """Have ``current`` lead to the release that the options name; return the module's result.

    :raises OciError: for every failure; what was in place is then in place.
    """
    releases = cast(ReleaseDestination, destination)
    if check_mode:
        return _Step(options, releases, want_diff).run(None)
    with locked(destination) as work:
        return _Step(options, releases, want_diff).run(work)


class _Step:
    """One rollback, under the lock of the destination unless it is check mode."""

    def __init__(self, options: RollbackOptions, destination: ReleaseDestination, want_diff: bool) -> None:
        self._destination = destination
        self._want_diff = want_diff
        self._state = destination.load_state()
        is_ahead = destination.is_ahead(self._state)
        self._target = choose(self._state, options.to, shown(destination.root), is_ahead)
        self._hold: Hold | None = hold_after(options, self._state, self._target)

    def run(self, work: Workplace | None) -> dict[str, Any]:
        target, state, destination = self._target, self._state, self._destination
        destination.permissions = permissions_of(target)
        record, drift = self._compared()
        is_other = state.key != record.key
        standing = standing_after(state.standing, target, self._hold)
        plan = self._plan(record, drift) if is_other else Plan({}, metadata=drift.metadata)
        moved = () if is_other else destination.find_drift(state, False).moved
        result = PullResult(
            changed=bool(is_other or drift.metadata or moved or self._is_held_anew),
            reason="",
            artifact=record.artifact,
            changes=listed_changes(
                added=plan.added,
                changed=[*plan.changed, *moved],
                removed=plan.removed,
                permissions=[*plan.metadata],
            ),
            verification=verdict_of(record.verification),
            diff=self._diff(plan) if self._want_diff else [],
            observed=observed(record.key, record.verification),
            standing=standing,
        )
        if self._want_diff and (is_other or moved):
            result.diff.append(_line(destination, target))
        if work is not None and result.changed:
            cast("ReleaseWorkplace", work).go_back(target, record, drift, state, standing)
        return answer_of(result)

    @property
    def _is_held_anew(self) -> bool:
        return self._hold is not None and hold_on(self._state.standing, self._hold.digest) is None

    def _compared(self) -> tuple[State, Drift]:
        """Return the record of the release, and what differs from it, which is modes and owners alone.

        :raises NotFound: when it is not there any more.
        :raises DigestMismatch: when its content is another.
        """
        target, destination = self._target, self._destination
        where = shown(on_disk(destination.root, f"{RELEASES}/{target.release}"))
        try:
            record = destination.record_of(target, self._state)
        except OSError:
            record = State()
        if record.key != target.key:
            raise NotFound(
                f"This host has no record of what is in {where}, so that it cannot be placed again.",
                f"What is in place stays. Pull {target.revision} from its registry.",
            )
        with destination.opened_release(target.release) as handles:
            drift = destination.drift_of(target, record, handles)
        if drift.content:
            named = ", ".join(map(escaped, drift.content[:MAX_NAMED]))
            raise DigestMismatch(
                f"The release {where} is not what was pulled: altered or missing is {named}.",
                f"What is in place stays. Pull {target.revision} from its registry.",
            )
        return record, drift

    def _plan(self, record: State, drift: Drift) -> Plan:
        plan = compare({path: placed.entry for path, placed in record.files.items()}, self._state)
        plan.metadata.extend(sorted({*drift.metadata} - {*plan.added, *plan.changed, *plan.metadata}))
        return plan

    def _diff(self, plan: Plan) -> list[dict[str, str]]:
        destination = self._destination
        with destination.opened() as held, destination.opened_release(self._target.release) as handles:
            return diff_of(plan, destination.place, held.root, handles)


def _line(destination: ReleaseDestination, target: Kept) -> dict[str, str]:
    return {"prepared": f"{shown(on_disk(destination.root, CURRENT))} leads to {RELEASES}/{target.release}\n"}
