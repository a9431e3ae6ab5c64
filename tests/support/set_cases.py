# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths and texts for ``helm --set`` on top of some values: what changes, and what is refused."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {"map": {"a": 1, "b": {"c": 2}}, "list": [1, {"x": 1}, [1, 2]], "text": "old", "number": 1}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("new", "value", {"new": "value"}),
    ("text", "new", {"text": "new"}),
    ("map.a", "2", {"map": {"a": 2, "b": {"c": 2}}}),
    ("map.b.d", "x", {"map": {"a": 1, "b": {"c": 2, "d": "x"}}}),
    ("map", "flat", {"map": "flat"}),
    ("deep.er.still", "1", {"deep": {"er": {"still": 1}}}),
    ("new", "true", {"new": True}),
    ("new", "False", {"new": False}),
    ("new", "null", {"new": None}),
    ("new", "NULL", {"new": None}),
    ("new", "yes", {"new": "yes"}),
    ("new", "0", {"new": 0}),
    ("new", "007", {"new": "007"}),
    ("new", "+7", {"new": 7}),
    ("new", "-7", {"new": -7}),
    ("new", "1.5", {"new": "1.5"}),
    ("new", "1e3", {"new": "1e3"}),
    ("new", "0x10", {"new": "0x10"}),
    ("new", "9223372036854775807", {"new": 9223372036854775807}),
    ("new", "9223372036854775808", {"new": "9223372036854775808"}),
    ("new", "1_000", {"new": "1_000"}),
    ("new", " 1", {"new": " 1"}),
    ("new", "", {"new": ""}),
    ("new", "a=b", {"new": "a=b"}),
    ("new", "a.b[0]", {"new": "a.b[0]"}),
    ("new", "{a,1,true}", {"new": ["a", 1, True]}),
    ("new", "{}", {"new": [""]}),
    ("new", "{a,b},other=1", {"new": ["a", "b"], "other": 1}),
    ("new", "a,other=b", {"new": "a", "other": "b"}),
    ("new", r"a\,b", {"new": "a,b"}),
    ("new", r"a\\b", {"new": r"a\b"}),
    (r"with\.dot", "1", {"with.dot": 1}),
    (r"map.with\.dot", "1", {"map": {"a": 1, "b": {"c": 2}, "with.dot": 1}}),
    (r"with\=sign", "1", {"with=sign": 1}),
    ("list[0]", "2", {"list": [2, {"x": 1}, [1, 2]]}),
    ("list[4]", "2", {"list": [1, {"x": 1}, [1, 2], None, 2]}),
    ("list[1].y", "2", {"list": [1, {"x": 1, "y": 2}, [1, 2]]}),
    ("list[2][0]", "9", {"list": [1, {"x": 1}, [9, 2]]}),
    ("list[3].z[1].q", "9", {"list": [1, {"x": 1}, [1, 2], {"z": [None, {"q": 9}]}]}),
    ("fresh[0].a", "{1,2}", {"fresh": [{"a": [1, 2]}]}),
    ("fresh[1][1]", "x", {"fresh": [None, [None, "x"]]}),
    ("ümlaut", "ß", {"ümlaut": "ß"}),
]

BROKEN: list[tuple[str, str]] = [
    ("new", "a,other"),
    ("new", "{a,b"),
    ("text.below", "1"),
    ("text[0]", "1"),
    ("map[0]", "1"),
    ("list.key", "1"),
    ("list[x]", "1"),
    ("list[-1]", "1"),
    ("list[65537]", "1"),
    ("list[0]x", "1"),
    ("list[0][0]", "1"),
    ("list[0", "1"),
    ("a..", "1"),
    ("new", "a,b,c"),
]
