# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of the week at which changes are permitted: ``Mon-Thu 09:00-16:00 Europe/Berlin``.

Days, times and time zone may be left out, but not both of the first: every day, the whole day, UTC. A range that ends
before it begins goes past midnight, and belongs to the day on which it begins. Times are those of the clocks of the
zone, also on the days when clocks change: an hour that comes twice is in a window twice, one that is left out is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone, tzinfo
from typing import Any, NamedTuple

from .._errors import InvalidOption, MissingDependency
from .refusals import ChangePending, OutsideWindow, PolicyInvalid

_DAY_NAMES = {
    name: number
    for number, names in enumerate(
        [
            ("mon", "monday"),
            ("tue", "tues", "tuesday"),
            ("wed", "wednesday"),
            ("thu", "thur", "thurs", "thursday"),
            ("fri", "friday"),
            ("sat", "saturday"),
            ("sun", "sunday"),
        ]
    )
    for name in names
}
_UTC = ("UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT")
_RANGE = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)\Z", re.ASCII)
_DAY_MINUTES = 24 * 60
MAX_LENGTH = 300
MAX_WINDOWS = 1000
#: What becomes of a change at another time: it is reported and waits, or it is refused.
PENDING, FAIL = "pending", "fail"


class Window(NamedTuple):
    """Ranges of minutes since midnight on some days (0 is Monday) in a time zone; ``text`` is what the policy says."""

    text: str
    days: frozenset[int]
    ranges: tuple[tuple[int, int], ...]
    zone: tzinfo

    def is_open(self, now: float) -> bool:
        """True when ``now`` (seconds since 1970) is in it: from the first minute on, and before the last."""
        moment = datetime.fromtimestamp(now, timezone.utc).astimezone(self.zone)
        minute, today = moment.hour * 60 + moment.minute, moment.weekday()
        for begin, end in self.ranges:
            if today in self.days and begin <= minute < (end if end > begin else _DAY_MINUTES):
                return True
            if end <= begin and (today - 1) % 7 in self.days and minute < end:
                return True
        return False


class Schedule(NamedTuple):
    """When changes are made: in one of the windows ``allow`` (at any time without one), and in none of ``deny``.

    With ``waits``, what can wait is reported as pending at any other time, and is not refused.
    """

    allow: tuple[Window, ...]
    deny: tuple[Window, ...] = ()
    waits: bool = False

    def closed(self, now: float) -> str:
        """Return why no change is made at ``now`` (seconds since 1970), with the time in the zone of the window that
        decides; empty when changes are made."""
        denied = next((window for window in self.deny if window.is_open(now)), None)
        if denied is not None:
            return f"it is {_moment(now, denied.zone)}, and no changes are made {denied.text}"
        if not self.allow or any(window.is_open(now) for window in self.allow):
            return ""
        times = " or ".join(window.text for window in self.allow[:10])
        return f"it is {_moment(now, self.allow[0].zone)}, and changes are made {times}"

    def check(self, now: float, what: str) -> None:
        """Check that changes are made at ``now``; ``what`` begins the message.

        :raises ChangePending: when they are not, and what is to be done waits.
        :raises OutsideWindow: when they are not, and it is refused.
        """
        closed = self.closed(now)
        if closed:
            raise (ChangePending if self.waits else OutsideWindow)(f"{what}: {closed}.", "Run the task in that time.")


def parse_schedule(value: object, what: str = "'window'") -> Schedule:
    """Parse ``window``: a text or a list of them, outside of which changes are refused, or a mapping of ``allow``,
    ``deny`` and ``outside``, by default ``pending``.

    :param what: the option, for messages.
    :raises PolicyInvalid: when it cannot be understood, or permits no change ever.
    :raises MissingDependency: when the host has no data of time zones.
    """
    if not isinstance(value, Mapping):
        return Schedule(_windows(value, what))
    unknown = [str(name) for name in value if name not in ("allow", "deny", "outside")]
    if unknown:
        raise PolicyInvalid(f"{what} has the unknown key {unknown[0][:100]!r}.", "Wanted are allow, deny and outside.")
    outside = value.get("outside") or PENDING
    if outside not in (PENDING, FAIL):
        raise PolicyInvalid(f"{what} has {str(outside)[:100]!r} as 'outside': wanted {PENDING} or {FAIL}.")
    allow, deny = value.get("allow"), value.get("deny")
    # an empty list of times at which changes are made is what a template makes of a wrong variable
    allowed = () if allow is None else _windows(allow, f"'allow' of {what}")
    denied = () if deny in (None, "", [], ()) else _windows(deny, f"'deny' of {what}")
    if not allowed and not denied:
        raise PolicyInvalid(
            f"{what} has neither 'allow' nor 'deny'.", "Give a time in one of them, or leave the window out."
        )
    return Schedule(allowed, denied, outside == PENDING)


def check_schedule(value: Mapping[str, Any], what: str) -> Schedule:
    """Parse ``window`` of something else than a policy, as :func:`parse_schedule` does.

    :raises InvalidOption: when it cannot be understood.
    """
    try:
        return parse_schedule(value, what)
    except PolicyInvalid as exc:
        named = exc.message if what in exc.message else f"{what}: {exc.message}"
        raise InvalidOption(named, exc.hint) from None


def _windows(value: object, what: str) -> tuple[Window, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or len(texts) > MAX_WINDOWS:
        raise PolicyInvalid(
            f"{what} is not a window or a list of at most {MAX_WINDOWS:,} windows.",
            "Write them as texts, as in 'Mon-Thu 09:00-16:00 Europe/Berlin'.",
        )
    if not texts:
        raise PolicyInvalid(f"{what} is an empty list, so that no change is ever permitted.", "Give a time.")
    return tuple(map(parse_window, texts))


def _moment(now: float, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(now, zone)
    return f"{moment:%a %H:%M} ({moment.tzname()})"


def parse_window(text: object) -> Window:
    """Parse a window.

    :raises PolicyInvalid: when it is outside the grammar, or there is no such time zone.
    :raises MissingDependency: when the host has no data of time zones.
    """
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise _not_a_window(text)
    # spaces around commas and hyphens are no separators
    words = re.sub(r"\s*([,-])\s*", r"\1", text.strip()).split()
    days = frozenset(range(7))
    ranges: tuple[tuple[int, int], ...] = ((0, _DAY_MINUTES),)
    has_days = bool(words) and ":" not in words[0]
    if has_days:
        days = _days(words.pop(0), text)
    if words and ":" in words[0]:
        ranges = tuple(_range(part, text) for part in words.pop(0).split(","))
    elif not has_days:
        raise _not_a_window(text)
    if len(words) > 1:
        raise _not_a_window(text)
    return Window(text, days, ranges, _zone(words[0] if words else "UTC", text))


def _days(text: str, window: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, hyphen, last = part.partition("-")
        if first not in _DAY_NAMES or (hyphen and last not in _DAY_NAMES):
            raise _not_a_window(window)
        begin = _DAY_NAMES[first]
        count = (_DAY_NAMES[last] - begin) % 7 if hyphen else 0
        found.update((begin + day) % 7 for day in range(count + 1))
    return frozenset(found)


def _range(text: str, window: str) -> tuple[int, int]:
    match = _RANGE.match(text)
    if not match:
        raise _not_a_window(window)
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise _not_a_window(window)
    if begin == end:
        raise PolicyInvalid(
            f"The window {window!r} begins and ends at the same time, so that it never opens.",
            "Write 00:00-24:00 for a whole day.",
        )
    return begin, end


def _zone(name: str, window: str) -> tzinfo:
    if name in _UTC:
        return timezone.utc
    try:
        from zoneinfo import ZoneInfo
    except ImportError:  # a Python that was built without it
        raise _no_zones(window) from None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, or the name of a folder of zones
        pass
    try:
        ZoneInfo("Europe/London")
    except (KeyError, ValueError, OSError):
        raise _no_zones(window) from None
    raise PolicyInvalid(
        f"The window {window!r} names the time zone {name[:100]!r}, which there is not.",
        "Give a name of the IANA database, such as Europe/Berlin or America/New_York, or UTC.",
    )


def _no_zones(window: str) -> MissingDependency:
    return MissingDependency(
        f"The window {window!r} needs the data of time zones, which this host does not have.",
        "Install the package tzdata of the distribution, or of PyPI into the Python that runs the module, or write the "
        "window in UTC.",
    )


def _not_a_window(text: object) -> PolicyInvalid:
    return PolicyInvalid(
        f"{str(text)[:100]!r} is not a window in which changes are made.",
        "Write days, times and a time zone, as in 'Mon-Thu 09:00-16:00 Europe/Berlin' or 'Sat,Sun 22:00-04:00'.",
    )
