# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of the week at which changes are permitted: ``Mon-Thu 09:00-16:00 Europe/Berlin``.

Days and time zone may be left out: every day, UTC. A range that ends before it begins goes past midnight, and belongs
to the day on which it begins. Times are those of the clocks of the zone, also on the days when clocks change.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone, tzinfo
from typing import NamedTuple

from .._errors import MissingDependency
from .refusals import PolicyInvalid

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


def parse_window(text: object) -> Window:
    """Parse a window.

    :raises PolicyInvalid: when it is outside the grammar, or there is no such time zone.
    :raises MissingDependency: when the host has no data of time zones.
    """
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise _not_a_window(text)
    # spaces around commas and hyphens are no separators
    words = re.sub(r"\s*([,-])\s*", r"\1", text.strip()).split()
    at = next((number for number, word in enumerate(words) if ":" in word), -1)
    if at not in (0, 1) or len(words) > at + 2:
        raise _not_a_window(text)
    days = _days(words[0], text) if at else frozenset(range(7))
    ranges = tuple(_range(part, text) for part in words[at].split(","))
    return Window(text, days, ranges, _zone(words[at + 1] if len(words) > at + 1 else "UTC", text))


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
        f"The window {window!r} of the policy needs the data of time zones, which this host does not have.",
        "Install the package tzdata of the distribution, or of PyPI into the Python that runs the module, or write the "
        "window in UTC.",
    )


def _not_a_window(text: object) -> PolicyInvalid:
    return PolicyInvalid(
        f"{str(text)[:100]!r} is not a window of a policy.",
        "Write days, times and a time zone, as in 'Mon-Thu 09:00-16:00 Europe/Berlin' or 'Sat,Sun 22:00-04:00'.",
    )
