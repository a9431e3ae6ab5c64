# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import (
    age_seconds,
    duration_text,
    parse_time,
    time_text,
)

NOON = 1767268800.0  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-01T12:00:00Z", NOON),
        ("2026-01-01t12:00:00.123456789z", NOON),
        ("2026-01-01 14:30:00+02:30", NOON),
        ("2026-01-01T07:00:00-05:00", NOON),
        ("1990-01-01T00:00:00Z", 631152000.0),
        ("1989-12-31T23:59:59Z", None),
        ("1970-01-01T00:00:01Z", None),
        ("2026-01-01T12:05:00Z", NOON + 300),
        ("2026-01-01T12:05:01Z", None),
        ("2026-02-30T12:00:00Z", None),
        ("2026-01-01T12:00:00", None),
        ("2026-01-01T12:00:00Z\n", None),
        ("2026-01-01T12:00:00+24:00", None),
        ("2026-01-01T12:00:00." + "0" * 40 + "Z", None),
        ("\u0662026-01-01T12:00:00Z", None),
        ("", None),
    ],
)
def test_times(text: str, wanted: float | None) -> None:
    assert parse_time(text, NOON) == wanted


def test_the_clock_says_what_is_in_the_future() -> None:
    now = float(int(time.time()))
    assert parse_time(time_text(now)) == now
    assert parse_time(time_text(now + 3600)) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1d", 86400),
        ("2w", 1209600),
        (" 3d ", 259200),
        ("36h", 129600),
        ("1m30s", 90),
        ("12", 12),
        ("11574d", 999993600),
    ],
)
def test_ages(text: str, wanted: float) -> None:
    assert age_seconds(text) == wanted


@pytest.mark.parametrize("text", ["0d", "0w", "11575d", "99999w", "-1d", "1.5d", "d", "1d2h", "soon", ""])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"not a duration: .* 36h, 30d or 4w\.$"):
        age_seconds(text)


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1min"),
        (61, "1min 1s"),
        (3599, "59min 59s"),
        (86399, "23h 59min"),
        (86400, "1d"),
        (90061, "1d 1h"),
        (86401, "1d 1s"),
    ],
)
def test_durations(seconds: float, wanted: str) -> None:
    assert duration_text(seconds) == wanted
