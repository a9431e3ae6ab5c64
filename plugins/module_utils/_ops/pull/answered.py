# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the registry answered, noted beside the record: so that it is not asked again within ``interval``, and so that
``on_registry_error`` knows how old the answer is. The token ``requested_at`` is noted here as well."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..._dest.confirmation import last_confirmed
from ..._dest.state import State
from ..interval import is_recent, terms_of, time_text
from ..resolve import Resolved
from .context import PullContext
from .last_good import fingerprint, held_revision, note_confirmation
from .options import UP_TO_DATE, PullResult


def recently(pull: PullContext, state: State) -> PullResult | None:
    """Return the result for a request that the registry answered less than ``interval`` ago, without asking it; None
    when it has to be asked.

    It is asked whatever the time is where its answer may be needed: with ``force`` or a new ``requested_at``, for
    another reference, selection or policy, and when something has to be placed, set right, kept or verified.

    :raises OciError: when the policy denies what the answer was.
    """
    if pull.options.force or pull.is_requested(state):
        return None
    for known, is_held in _possible(pull, state):
        since = last_confirmed(pull.destination, fingerprint(pull.target, pull.key(known)), _terms(pull))
        if since is None or not is_recent(since, pull.options.interval):
            continue
        if pull.guard is not None:
            pull.guard.check_resolved(known)
        result = _held(pull, state, known) if is_held else _in_place(pull, state, known)
        if result is not None:
            result.confirmed_at = time_text(since)
        return result
    return None


def note(pull: PullContext, result: PullResult, resolved: Resolved | None) -> PullResult:
    """Return the result of a pull, after noting what is to be remembered of it, except in check mode.

    :param resolved: what the reference stands for; None where that was known without a request.
    """
    options, target, moment = pull.options, pull.target, time.time()
    is_asked = resolved is not None and (target.known is None or target.asks_for_tag)
    if options.interval and is_asked:
        result.confirmed_at = time_text(moment)
    if pull.check_mode:
        return result
    # a tag that has moved is to be seen by the next run, too
    counts = options.interval and is_asked and not (target.asks_for_tag and pull.warnings)
    if resolved is not None and (options.last_good is not None or counts):
        terms = _terms(pull) if counts else ""
        result.warnings += note_confirmation(pull.destination, target, pull.key(resolved), moment, terms)
    token = options.requested_at
    if token and result.standing.get("requested_at", {}).get("token") != token:
        from .standing import note_request

        result.standing = note_request(pull)
    return result


def _possible(pull: PullContext, state: State) -> Iterator[tuple[Resolved, bool]]:
    """The revisions that the answer may have been: the one in place, and those that are held back."""
    yield held_revision(state), False
    if state.standing.get("held"):
        from ..._dest.history import holds

        for hold in holds(state.standing):
            if hold.request == pull.target.wanted:
                yield Resolved(hold.digest, hold.revision.rpartition("@")[0], None), True


def _in_place(pull: PullContext, state: State, known: Resolved) -> PullResult | None:
    if not pull.may_be_in_place(state) or not pull.is_in_place(state, known):
        return None
    return pull.unchanged(state, UP_TO_DATE, pull.recorded_verification(state))


def _held(pull: PullContext, state: State, known: Resolved) -> PullResult | None:
    from .standing import held_back

    return held_back(pull, state, known)


def _terms(pull: PullContext) -> str:
    policy = pull.options.policy
    return terms_of(pull.policy, "" if policy is None else policy.fingerprint, pull.target.tag_moved)
