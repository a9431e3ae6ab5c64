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

# Assignments as (type, text); the types of FILES are paths in a folder.
FILES = {"one.txt": "first\nline\n", "two,three": "a=b,{c}\n"}
TYPED: list[tuple[list[tuple[str, str]], dict[str, Any]]] = [
    ([("string", "new=1,other={1,true}")], {"new": "1", "other": ["1", "true"]}),
    ([("string", "new=null")], {"new": "null"}),
    ([("raw", "list[+1]=x")], {"list": [1, "x", [1, 2]]}),
    ([("json", 'new={"a": [1, null, 1.5, "x,y"]}')], {"new": {"a": [1, None, 1.5, "x,y"]}}),
    ([("json", 'new=1, other= "b",third=')], {"new": 1, " other": "b", "third": None}),
    ([("json", "new=,other=true")], {"new": None, "other": True}),
    ([("json", "new=1 other=2")], {"new": 1, "other": 2}),
    ([("json", 'map.b={"d":1}')], {"map": {"a": 1, "b": {"d": 1}}}),
    ([("json", 'list[1]={"y":[]}')], {"list": [1, {"y": []}, [1, 2]]}),
    ([("json", "list[4]=")], {"list": [1, {"x": 1}, [1, 2], None, None]}),
    ([("json", "new=12345678901234567890")], {"new": 1.2345678901234567e19}),
    ([("json", "new=-0.5e2")], {"new": -50}),
    ([("json", r'new="\u00e4\ud83d\ude00"')], {"new": "ä😀"}),
    ([("literal", r"new=a,b={c}\d[0]")], {"new": r"a,b={c}\d[0]"}),
    ([("literal", "new=")], {"new": ""}),
    (
        [("literal", "map.a=1=2"), ("literal", "list[0]=x,y")],
        {"map": {"a": "1=2", "b": {"c": 2}}, "list": ["x,y", {"x": 1}, [1, 2]]},
    ),
    ([("literal", r"with\.dot=1")], {"with\\": {"dot": "1"}}),
    ([("literal", "a,b=1")], {"a,b": "1"}),
    ([("file", "new=one.txt")], {"new": "first\nline\n"}),
    ([("file", r"new=two\,three,other={one.txt}")], {"new": "a=b,{c}\n", "other": ["first\nline\n"]}),
    # one type after another, whatever the order
    ([("literal", "new=literal"), ("file", "new=one.txt"), ("raw", "new=1")], {"new": "literal"}),
    ([("file", "new=one.txt"), ("string", "new=2"), ("raw", "new=1"), ("json", "new=0")], {"new": "first\nline\n"}),
    ([("string", "new=2"), ("raw", "new=1"), ("json", "new=0")], {"new": "2"}),
    ([("raw", "new=1"), ("json", "new=0")], {"new": 1}),
    ([("raw", "new=1"), ("raw", "new=2")], {"new": 2}),
]
# Helm 4 alone takes it
WHOLE = ([("json", ' {"map": {"b": {"d": 1}}, "text": null} ')], {"map": {"a": 1, "b": {"c": 2, "d": 1}}, "text": None})
TYPED.append(WHOLE)

TYPED_BROKEN: list[tuple[str, str]] = [
    ("raw", "hush"),
    ("raw", "new=hush,text.hush=1"),
    ("json", "new=hush"),
    ("json", 'new="hush'),
    ("json", "new={'hush': 1}"),
    ("json", '{"hush": }'),
    ("json", '{"hush": 1} x'),
    ("json", "new=NaN"),
    ("json", "new=1e999"),
    ("json", "new=[1,]"),
    ("json", "new=01"),
    ("json", 'new="\t"'),
    ("string", "text.below=hush"),
    ("file", "new=one.txt,hush"),
    ("literal", "hush"),
    ("literal", "list[0]hush=1"),
]
