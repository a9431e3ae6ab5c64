# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for content that a pull keeps when the registry fails: confirmed before, verified, intact, not too old."""

from __future__ import annotations

import calendar
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._dest import confirmation
from ..._dest.destination import Destination
from ..._dest.drift import MAX_NAMED, Drift
from ..._dest.state import State
from ..._errors import OciError
from ..._files.names import escaped, shown
from ..._oci.options import parse_duration
from ..resolve import Resolved, Target

LAST_GOOD = "last_good"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class LastGood:
    """The permission to keep content. ``max_age`` is in seconds since the registry confirmed it; None is any age."""

    max_age: float | None = None


@dataclass(frozen=True)
class Degradation:
    """The part of the result that describes kept content. ``since`` is in seconds since 1970."""

    since: float
    seconds: int
    reason: str
    message: str

    def as_result(self) -> dict[str, Any]:
        return {
            "degraded_since": time.strftime(TIME_FORMAT, time.gmtime(self.since)),
            "degraded_seconds": self.seconds,
            "degraded_reason": self.reason,
            "degraded_message": self.message,
            # what Ansible says when an "until" was not met
            "msg": self.message,
        }


def parse_last_good(option: Mapping[str, Any] | None) -> LastGood | None:
    """Parse the option ``on_registry_error``; None when no content may be kept.

    :raises InvalidOption: when ``max_age`` is not a duration.
    """
    if option is None:
        return None
    max_age = parse_duration(option["max_age"], "on_registry_error.max_age") if option.get("max_age") else None
    return LastGood(max_age) if option["use"] == LAST_GOOD else None


def held_revision(state: State) -> Resolved:
    """The recorded revision of the reference."""
    return Resolved(str(state.artifact.get("digest", "")), str(state.artifact.get("tag", "")), None)


def fingerprint(target: Target, key: Mapping[str, Any]) -> str:
    """A digest of the reference, the selection and the result that a confirmation is for."""
    text = json.dumps([target.wanted, dict(key)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def note_confirmation(
    destination: Destination, target: Target, key: Mapping[str, Any], moment: float, terms: str = ""
) -> list[str]:
    """Store the time of the registry's confirmation in the control directory; return warnings.

    :param moment: seconds since 1970.
    :param terms: see :func:`..._dest.confirmation.confirm`.
    """
    try:
        confirmation.confirm(destination, fingerprint(target, key), moment, terms)
    except OSError as exc:
        control = shown(destination.control)
        return [
            f"When the registry confirmed {target.reference.name} could not be noted in {control}: {exc.strerror}. "
            "'on_registry_error' may find it older than it is, and 'interval' has no effect."
        ]
    return []


def judge(
    allowed: LastGood,
    destination: Destination,
    state: State,
    drift: Drift | None,
    target: Target,
    *,
    is_forced: bool,
    is_verified: bool,
    error: OciError,
) -> Degradation:
    """Return the degradation when the recorded content may be kept instead of the registry's.

    ``drift`` is None when the record has other options or is of an unfinished run, or files were not compared.

    :raises OciError: ``error`` itself, with the reason why nothing could be kept.
    """
    confirmed = confirmation.last_confirmed(destination, fingerprint(target, state.key))
    since = max(filter(None, (confirmed, placed_at(state))), default=None)
    seconds = max(0, int(time.time() - since)) if since is not None else 0
    problem = ""
    if not state.key:
        problem = "nothing that was pulled before is there"
    elif is_forced:
        problem = "with 'force' the artifact is always fetched"
    elif state.pending:
        problem = "the last run into it did not end"
    elif drift is None or not (confirmed or _is_same_request(state, target)):
        problem = "what is there was pulled for another reference or selection, or with other options"
    elif not is_verified:
        problem = "what is there was not verified under this policy"
    elif drift.content:
        named = ", ".join(map(escaped, drift.content[:MAX_NAMED]))
        problem = f"what is there was altered ({named}), and only the registry has the original"
    elif since is None:
        problem = "the record does not say since when it is there"
    elif allowed.max_age is not None and seconds > allowed.max_age:
        from ..._oci.times import duration_text

        age, limit = duration_text(seconds), duration_text(allowed.max_age)
        problem = f"the registry last confirmed what is there {age} ago, and 'max_age' is {limit}"
    if problem or since is None:
        error.hint = f"{error.hint} 'on_registry_error' has no effect: {problem}.".strip()
        raise error
    return Degradation(since, seconds, error.reason, str(error))


def warning(found: Degradation, target: Target, held: Resolved, resolved: Resolved | None) -> str:
    """The warning about kept content; ``resolved`` is the revision that the registry still returned, if any."""
    from ..._oci.times import duration_text

    newer = ""
    if resolved is not None and resolved.digest != held.digest:
        newer = f"It names {resolved.revision} now, which is not used. "
    return (
        f"{held.revision} of {target.reference.name} is kept, which the registry last confirmed "
        f"{duration_text(found.seconds)} ago: it fails now. {newer}{found.message}"
    )


def _is_same_request(state: State, target: Target) -> bool:
    """True when the record is of the same request, even without a stored confirmation."""
    held = held_revision(state)
    if target.reference.digest:
        return held == target.known
    if target.selector is None:
        return held.tag == target.reference.tag
    return state.request == target.wanted


def placed_at(state: State) -> float | None:
    """Return when the content was last put in place (seconds since 1970); None when the record does not say."""
    try:
        moment = time.strptime(str(state.artifact.get("last_update_time", "")), TIME_FORMAT)
    except ValueError:
        return None
    return float(calendar.timegm(moment))
