# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When changes are made: lists of times that permit them and that do not, in time zones whose clocks change."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import parse_time
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.refusals import (
    ChangePending,
    OutsideWindow,
    PolicyInvalid,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.window import (
    check_schedule,
    parse_schedule,
    parse_window,
)


def at(text: str) -> float:
    moment = parse_time(text, 4e9)
    assert moment is not None
    return moment


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        # the night on which clocks in Berlin go forward: 02:30 is left out, and 01:59 is followed by 03:00
        ("Sun 01:30-03:30 Europe/Berlin", "2026-03-29T00:29:59Z", False),
        ("Sun 01:30-03:30 Europe/Berlin", "2026-03-29T00:30:00Z", True),
        ("Sun 01:30-03:30 Europe/Berlin", "2026-03-29T01:29:59Z", True),
        ("Sun 01:30-03:30 Europe/Berlin", "2026-03-29T01:30:00Z", False),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", False),
        # and back: 02:30 comes twice
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", True),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", True),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T02:00:00Z", False),
        # over midnight, when clocks change in the night: the range belongs to Saturday
        ("Sat 22:00-04:00 Europe/Berlin", "2026-10-25T02:59:59Z", True),
        ("Sat 22:00-04:00 Europe/Berlin", "2026-10-25T03:00:00Z", False),
        ("Sat 22:00-04:00 Europe/Berlin", "2026-10-26T01:00:00Z", False),
        # days alone are whole days, in the zone
        ("Sat,Sun", "2026-11-28T00:00:00Z", True),
        ("Sat,Sun", "2026-11-30T00:00:00Z", False),
        ("Sat-Sun Asia/Tokyo", "2026-11-27T15:00:00Z", True),
        ("Sat-Sun Asia/Tokyo", "2026-11-29T15:00:00Z", False),
        ("Fri-Mon 23:00-01:00 Asia/Kolkata", "2026-11-30T19:29:00Z", True),
        ("Fri-Mon 23:00-01:00 Asia/Kolkata", "2026-11-30T19:30:00Z", False),
    ],
)
def test_windows_follow_the_clocks_of_their_zone(window: str, moment: str, is_open: bool) -> None:
    assert parse_window(window).is_open(at(moment)) is is_open


@pytest.mark.parametrize(
    "text",
    ["", " ", "Europe/Berlin", "09:00", "Mon 9-16", "Mon UTC UTC", "Mon Tue", "24:00-01:00", "08:00-24:30", 5, None],
)
def test_what_is_no_window(text: object) -> None:
    with pytest.raises(PolicyInvalid):
        parse_window(text)


@pytest.mark.parametrize(
    ("window", "moment", "closed"),
    [
        ({"allow": ["Mon-Thu 09:00-16:00"]}, "2026-11-25T10:00:00Z", ""),
        (
            {"allow": ["Mon-Thu 09:00-16:00 Europe/Berlin", "Sat"]},
            "2026-11-25T15:00:00Z",
            "it is Wed 16:00 (CET), and changes are made Mon-Thu 09:00-16:00 Europe/Berlin or Sat",
        ),
        ({"allow": "Mon-Thu 09:00-16:00 Europe/Berlin"}, "2026-11-25T14:59:00Z", ""),
        ({"deny": ["Fri 12:00-24:00", "Sat,Sun"]}, "2026-11-27T11:59:00Z", ""),
        (
            {"deny": ["Fri 12:00-24:00", "Sat,Sun"]},
            "2026-11-28T11:59:00Z",
            "it is Sat 11:59 (UTC), and no changes are made Sat,Sun",
        ),
        # what is denied counts more than what is permitted
        ({"allow": ["09:00-16:00"], "deny": ["Wed 10:00-11:00"]}, "2026-11-25T09:59:00Z", ""),
        (
            {"allow": ["09:00-16:00"], "deny": ["Wed 10:00-11:00"]},
            "2026-11-25T10:00:00Z",
            "it is Wed 10:00 (UTC), and no changes are made Wed 10:00-11:00",
        ),
        ({"allow": ["Mon 09:00-16:00"], "deny": []}, "2026-11-23T10:00:00Z", ""),
    ],
)
def test_schedules(window: Any, moment: str, closed: str) -> None:
    assert parse_schedule(window).closed(at(moment)) == closed


def test_a_mapping_has_changes_wait_and_a_text_refuses_them() -> None:
    now = at("2026-11-25T10:00:00Z")
    for window, error in (
        ("Mon", OutsideWindow),
        (["Mon"], OutsideWindow),
        ({"allow": ["Mon"]}, ChangePending),
        ({"allow": ["Mon"], "outside": "pending"}, ChangePending),
        ({"allow": ["Mon"], "outside": "fail"}, OutsideWindow),
    ):
        with pytest.raises(OutsideWindow, match="The release a/b is not changed: it is Wed 10:00") as caught:
            parse_schedule(window).check(now, "The release a/b is not changed")
        assert isinstance(caught.value, error) and isinstance(caught.value, ChangePending) == (error is ChangePending)
    parse_schedule({"deny": ["Mon"]}).check(now, "nothing")


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({}, "neither 'allow' nor 'deny'"),
        ({"deny": []}, "neither 'allow' nor 'deny'"),
        ({"allow": [], "deny": ["Sat"]}, "an empty list"),
        ({"allow": ["Mon"], "deny": False}, "is not a window or a list of at most"),
        ({"allow": ["Mon"], "deny": {}}, "is not a window or a list of at most"),
        ({"allow": ["Mon"], "except": ["Sat"]}, "unknown key 'except'"),
        ({"allow": ["Mon"], "outside": "ignore"}, "wanted pending or fail"),
        ({"allow": {"Mon": "09:00"}}, "not a window or a list"),
        ({"allow": [5]}, "not a window"),
        (5, "not a window or a list"),
        ({"deny": ["Mon 09:00-10:00 Europe/Atlantis"]}, "time zone"),
    ],
)
def test_schedules_that_cannot_be_used(window: Any, said: str) -> None:
    with pytest.raises(PolicyInvalid, match=said):
        parse_schedule(window)
    if isinstance(window, dict):
        with pytest.raises(InvalidOption, match="release a/b.*" + said) as caught:
            check_schedule(window, "'window' of the release a/b")
        assert caught.value.reason == InvalidOption.reason
