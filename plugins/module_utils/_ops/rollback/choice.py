# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kept revision that a rollback goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..._dest.history import Kept, current_revision, hold_on, kept_revisions
from ..._dest.state import State
from ..._errors import InvalidOption, OciError

PREVIOUS = "previous"


class NotKept(OciError):
    """A revision that this host has not kept."""

    reason = "RevisionNotKept"


class HeldBack(OciError):
    """A revision that is held back on this host."""

    reason = "HeldBack"


def choose(state: State, to: str, dest: str, is_ahead: bool = False) -> Kept:
    """Return the kept revision that ``to`` names: a tag, a digest, a revision, a number, or the previous one.

    The previous one is what the newest revision that a pull has placed had replaced, whatever was rolled back since: to
    go to it twice is to go to it once. After a pull that was killed it is what the record has.

    :param dest: for messages.
    :param is_ahead: a pull was killed when its revision was in place and not on record.
    :raises NotKept: when it is not kept.
    :raises HeldBack: when it is held back.
    :raises InvalidOption: when ``to`` names two.
    """
    kept = kept_revisions(state.standing)
    found = _previous(state, kept, is_ahead) if to in ("", PREVIOUS) else _named(kept, to)
    if found is None:
        listed = ", ".join(f"{each.number} ({each.revision})" for each in reversed(kept)) or "none"
        wanted = f"no revision {to[:200]!r}" if to not in ("", PREVIOUS) else "no previous revision that may be used"
        raise NotKept(
            f"This host has kept {wanted} of {dest}. It has kept: {listed}.",
            "Pulls with 'keep' keep revisions: 2 are the one in place and the one before it.",
        )
    hold = hold_on(state.standing, found.digest)
    if hold is not None:
        raise HeldBack(
            f"{found.revision} is held back in {dest} since {hold.since} by {hold.who}"
            f"{f': {hold.reason}' if hold.reason else ''}.",
            "Release it first, with state: released.",
        )
    return found


def _named(kept: Sequence[Kept], to: str) -> Kept | None:
    """Return the newest revision of that name."""
    named = [each for each in kept if to in (each.tag, each.digest, each.revision)]
    numbered = [each for each in kept if str(each.number) == to]
    if named and numbered and named[-1] != numbered[0]:
        raise InvalidOption(
            f"'to' is {to!r}, which is the tag of {named[-1].revision} and the number of {numbered[0].revision}.",
            "Give the digest.",
        )
    found = named or numbered
    return found[-1] if found else None


def _previous(state: State, kept: Sequence[Kept], is_ahead: bool) -> Kept | None:
    going = state.standing.get("going")
    if state.pending or is_ahead:
        # what a run that was killed led to: an earlier revision, or away from the one on record
        known: Mapping[int, Kept] = {each.number: each for each in kept}
        return known.get(going) if going else current_revision(state.standing)
    usable = [each for each in kept if hold_on(state.standing, each.digest) is None]
    newest = kept[-1] if kept else None
    if newest is None:
        return None
    if current_revision(state.standing) is None:
        # what is in place was pulled without 'keep'
        return next((each for each in reversed(usable) if each.key != state.key), None)
    before = next((each for each in usable if each.number == newest.after), None)
    return before or next((each for each in reversed(usable) if each.number < newest.number), None)
