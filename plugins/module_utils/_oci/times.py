# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and ages: as annotations have them, as users write them, and as messages show them."""

from __future__ import annotations

import calendar
import re
import time

from .._errors import InvalidOption
from .options import MAX_DURATION, parse_duration

# What may tell the age of an artifact: a log or authority that confirmed a signature, this host, the publisher.
SIGNATURE, FIRST_SEEN, CREATED = "signature", "first_seen", "created"
AGE_SOURCES = (SIGNATURE, FIRST_SEEN, CREATED)
# not what the publisher says
DEFAULT_AGE_SOURCES = (SIGNATURE, FIRST_SEEN)
# Earlier times are no times: reproducible builds write 1970 or 1980, the first years of Unix and of FAT.
_FIRST_TIME = calendar.timegm((1990, 1, 1, 0, 0, 0))
# Seconds that clocks may differ.
_SKEW = 300.0
_SECONDS = {"d": 86400, "w": 7 * 86400}
_DAYS = re.compile(r"(\d{1,5})([dw])\Z", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))\Z", re.ASCII
)


def parse_time(text: str, now: float | None = None) -> float | None:
    """Seconds since 1970 from an RFC 3339 time; None for other text, and for times that stand for none: before 1990, as
    reproducible builds write, and in the future.

    :param now: the time, if it is not that of the clock.
    """
    match = _TIME.match(text) if len(text) < 60 else None
    if match is None:
        return None
    try:
        seconds = float(calendar.timegm(time.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S")))
    except ValueError:
        return None
    if match[3]:
        offset = int(match[4]) * 3600 + int(match[5]) * 60
        seconds += -offset if match[3] == "+" else offset
    latest = (time.time() if now is None else now) + _SKEW
    return seconds if _FIRST_TIME <= seconds <= latest else None


def time_text(seconds: float) -> str:
    """A time as RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def age_seconds(text: str) -> float:
    """Seconds from a whole number of days or weeks (``30d``, ``4w``), or from what
    :func:`~._oci.options.parse_duration` reads.

    :raises InvalidOption: when the text is neither, or not positive.
    """
    match = _DAYS.match(str(text).strip())
    seconds = float(int(match[1]) * _SECONDS[match[2]]) if match else 0.0
    if 0 < seconds < MAX_DURATION:
        return seconds
    try:
        return parse_duration(text)
    except InvalidOption:
        raise InvalidOption(
            f"{str(text)[:100]!r} is not a duration: wanted a positive number of seconds or a text such as 36h, 30d or "
            "4w."
        ) from None


def duration_text(seconds: float) -> str:
    """A duration for readers, as in ``1d 2h``: its two largest units."""
    rest, words = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2]) or "0s"
