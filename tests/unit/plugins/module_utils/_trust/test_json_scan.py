# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values in a JSON text are found where Python's own parser finds them, and what it refuses is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import json_scan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.json_scan import NotJson

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=20) | st.dictionaries(st.text(max_size=5), each, max_size=20),
    max_leaves=20,
)
# what has a meaning in JSON, so that changes are often near to it
MARKS = st.sampled_from([*'{}[],:"\\\n\t 0-.eE+1ftn/u', "true", "null", "\\u00e9", '""', "NaN", "\x00", "\xa0", "é"])


@pytest.fixture(params=["value by value", "many at once"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small texts are read in another way than large ones."""
    if request.param == "many at once":
        monkeypatch.setattr(json_scan, "SMALL_TEXT", 0)


def is_json(text: bytes) -> bool:
    start = json_scan.skip_space(text)
    try:
        return json_scan.skip_space(text, json_scan.skip_value(text, start)) == len(text)
    except NotJson:
        return False


def is_json_for_python(text: bytes) -> bool:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.parametrize("small", [0, 10**9])
@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_python_writes_is_accepted(small: int, value: Any, indent: int | None, escaped: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "SMALL_TEXT", small)
        assert json_scan.skip_value(text, 0) == len(text)
        # what follows is not looked at
        assert json_scan.skip_value(text + b" ]", 0) == len(text)


@pytest.mark.parametrize("small", [0, 10**9])
@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), MARKS), min_size=1, max_size=3))
@example([1, 2], [(2, 1, "")])
def test_what_python_refuses_is_refused(small: int, value: Any, changes: list[tuple[int, int, str]]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for position, removed, added in changes:
        position %= len(text) + 1
        text = text[:position] + added + text[position + removed :]
    raw = text.encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "SMALL_TEXT", small)
        assert is_json(raw) == is_json_for_python(raw), raw


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3), st.lists(VALUES, max_size=3), st.sampled_from([None, 1])
)
def test_where_values_are(mapping: dict[str, Any], listed: list[Any], indent: int | None) -> None:
    text = b"\n" + json.dumps(mapping, indent=indent).encode("ascii") + b"\n"
    members = {name: json_scan.read_value(text, start, end) for name, start, end in json_scan.members(text, 1)}
    assert members == mapping and list(members) == list(mapping)
    text = json.dumps(listed, indent=indent).encode("ascii")
    assert [json_scan.read_value(text, start, end) for start, end in json_scan.elements(text, 0)] == listed


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"[",
        b'"',
        b'"a',
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,]",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1',
        b'{"a":1,}',
        b'{"a":1 "b":2}',
        b"{1:2}",
        b"[1 2]",
        b"[1}",
        b'{"a":1]',
        b"tru",
        b"NaN",
        b"Infinity",
        b"-",
        b"01x"[:2] + b"]",
        b'"\\x"',
        b'"\\u12g4"',
        b'"\x01"',
        b"'a'",
        b"[\xc2\xa01]",
        b'{"a":1,"b"',
        b"1.e",
        b"+1",
    ],
)
@pytest.mark.usefixtures("way")
def test_what_is_no_json(text: bytes) -> None:
    assert not is_json(text) and not is_json_for_python(text)


@pytest.mark.usefixtures("way")
def test_how_deep_it_may_be() -> None:
    most = json_scan.MAX_DEPTH
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = b"[]" if opening == b"[" else b"{}"
        text = opening * (most - 1) + inner + closing * (most - 1)
        assert json_scan.skip_value(text, 0) == len(text)
        with pytest.raises(NotJson, match="more than 10000 levels"):
            json_scan.skip_value(opening * most + inner + closing * most, 0)
    # what is read has Python's own limit
    deep = b"[" * 9_999 + b"]" * 9_999
    with pytest.raises(NotJson):
        json_scan.read_value(deep, 0, len(deep))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [1, 7, 8, 9, 31, 32, 33, 34, 35, 256, 257, 300, 500])
def test_any_number_of_values_and_escapes(count: int) -> None:
    """The expressions repeat their parts a limited number of times."""
    for value in (
        "\n" * count,
        ["\n" * count] * 3,
        [1] * count,
        [[1] * min(count, 40)] * count,
        {str(each): "x" for each in range(count)},
        [{"a": [{"b": ["\\"] * count}]}] * 40,
        {"\n" * count: 1},
    ):
        text = json.dumps(value).encode("ascii")
        assert json_scan.skip_value(text, 0) == len(text)
        assert not is_json(text[:-1]) and not is_json(text + b",")


def test_kinds_of_values() -> None:
    assert json_scan.is_object(b" {", 1) and not json_scan.is_object(b" {", 0) and not json_scan.is_object(b"{", 1)
    assert json_scan.is_list(b" [", 1) and not json_scan.is_list(b" [", 0) and not json_scan.is_list(b"{", 0)
    for function in (json_scan.members, json_scan.elements):
        with pytest.raises(NotJson):
            list(function(b"1", 0))
    assert list(json_scan.members(b"{ }", 0)) == list(json_scan.elements(b"[ ]", 0)) == []
