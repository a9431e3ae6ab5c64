# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values: read, merged, known by a digest."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ValuesError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import (
    PathValue,
    ambiguous_texts,
    canonical,
    compose,
    merge,
    read_values,
    values_digest,
)

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2)
KEYS = st.text("abc", min_size=1, max_size=1)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=3)
# ten times ten times ten values, and so on, of few characters
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + last] * 10)}]\n" for last, name in zip("abcdefg", "bcdefgh")
)


@pytest.mark.parametrize(
    ("base", "over", "wanted"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": {"z": 1}}}, {"a": {"y": {"q": 2}}}, {"a": {"x": 1, "y": {"z": 1, "q": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": "flat"}, {"a": "flat"}),
        ({"a": "flat"}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
    ],
)
def test_merge(base: dict[str, Any], over: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = copy.deepcopy([base, over])
    assert merge(base, over) == wanted
    assert [base, over] == before


@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_merge_properties(one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]) -> None:
    assert merge(one, {}) == one == merge({}, one) == merge(one, one)
    assert merge(merge(one, two), two) == merge(one, two)
    assert set(merge(one, two)) == set(one) | set(two)
    assert compose({}, [one, two], three) == merge(merge(one, two), three)


# What ChartValuesFromReferences of fluxcd/pkg/chartutil makes of the same sources.
@pytest.mark.parametrize(
    ("sources", "inline", "wanted"),
    [
        ([{"a": 1}, {"a": 2, "b": 1}], {"b": 3}, {"a": 2, "b": 3}),
        ([PathValue("a.b", "x")], {}, {"a": {"b": "x"}}),
        # below a top-level key the path wins over the inline value, a top-level key yields to it
        ([PathValue("a.b", "path")], {"a": {"b": "inline", "c": 1}}, {"a": {"b": "path", "c": 1}}),
        ([PathValue("a", "path")], {"a": "inline"}, {"a": "inline"}),
        # a mapping that came from an earlier source is not shared with the inline values
        ([{"a": {"b": "map"}}, PathValue("a.b", "path")], {"a": {"b": "inline"}}, {"a": {"b": "inline"}}),
        ([PathValue("a.b", "path"), {"a": {"b": "later"}}], {}, {"a": {"b": "later"}}),
        ([PathValue("a", "1"), PathValue("b", "'1'"), PathValue("c", '"true"')], {}, {"a": 1, "b": "1", "c": "true"}),
        ([PathValue("a", "x,y=1"), PathValue("b", "x,y=2", literal=True)], {}, {"a": "x", "y": 1, "b": "x,y=2"}),
        ([PathValue("list[1]", "b")], {"list": ["a"]}, {"list": ["a"]}),
    ],
)
def test_compose(sources: list[Any], inline: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = copy.deepcopy([sources, inline])
    base = {"base": {"kept": True}}
    assert compose(base, sources, inline) == {**base, **wanted}
    assert [sources, inline] == before and base == {"base": {"kept": True}}


@given(MAPPINGS)
def test_the_digest_is_of_the_meaning(values: dict[str, Any]) -> None:
    document = canonical(values, "a test")
    turned = json.loads(json.dumps(values), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert canonical(turned, "a test") == document
    assert json.loads(document) == values
    assert read_values(document, "a test") == values
    assert values_digest(canonical({**values, "z": 1}, "")) != values_digest(canonical({**values, "z": 2}, ""))


def test_spellings_of_one_value() -> None:
    assert canonical({"a": 1.0, "b": 1e3, "c": 0.5}, "") == b'{"a":1,"b":1000,"c":0.5}'
    assert canonical({1: {True: "x"}}, "") == b'{"1":{"true":"x"}}'
    # what floating point cannot tell apart is left alone
    assert canonical({"a": float(1 << 60)}, "") == b'{"a":1.152921504606847e+18}'


@pytest.mark.parametrize("values", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {("a",): 1}])
def test_values_that_json_cannot_say(values: dict[str, Any]) -> None:
    with pytest.raises(ValuesError, match="The values of the release x cannot be handed to Helm"):
        canonical(values, "the release x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [b", "the file is not YAML: line 2"),
        ("- a\n", "the file is not a mapping"),
        ("text", "the file is not a mapping"),
        ("a: .inf\n", "holds the number .inf"),
        ("a: !!binary aGk=\n", "binary data is not supported"),
        ("a: &a [*a]\n", "contains itself"),
        ("[" * 200, "nested more than"),
        (BOMB, "unfolds to more than"),
    ],
)
def test_documents_that_are_no_values(text: str, words: str) -> None:
    with pytest.raises(ValuesError, match=words):
        read_values(text.encode(), "the file")


def test_documents() -> None:
    assert read_values(b"", "the file") == read_values(b"# nothing\n", "the file") == {}
    # as Helm reads it: of two keys the last one, of two documents the first one
    assert read_values(b"a: 1\na: 2\n---\nb: 3\n", "the file") == {"a": 2}
    with pytest.raises(ValuesError, match="more than the 16777216"):
        read_values(b"#" * (16 * 1024 * 1024 + 1), "the file")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_canonical_values_are_json_with_characters_of_yaml(text: str) -> None:
    document = canonical({text: [text]}, "the release").decode("utf-8")
    assert json.loads(document) == {text: [text]}
    # go.yaml.in/yaml/v2, readerc.go, without what it takes for the end of a line or for a mark
    for number in map(ord, document):
        assert 0x20 <= number < 0x7F or 0xA0 < number < 0xFFFE or number > 0xFFFF
        assert number not in (0x2028, 0x2029, 0xFEFF)


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(
        ValuesError, match=r"values of the release cannot .*: a\.b\[1\]\.c has half of a surrogate"
    ) as caught:
        canonical({"a": {"b": [1, {"c": "hush\udcff"}]}}, "the release")
    assert "hush" not in str(caught.value)
    with pytest.raises(ValuesError, match="a key has half of a surrogate"):
        canonical({"\ud800": "x"}, "the release")


def test_texts_that_helm_would_read_otherwise() -> None:
    values = {
        "a": ["1e3", {"b": "y"}],
        "0o644": "0o644",
        "none": "~",
        "empty": "",
        "time": "12:30:45",
        "n": 1,
        "t": "a\nb",
    }
    assert ambiguous_texts(values) == ["a[0]", "a[1].b", "0o644", "none"]
    assert ambiguous_texts({"long": "1" * 1000, "odd": "\ud800"}) == []


def test_a_new_artifact_is_another_digest() -> None:
    one, two = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    assert len({values_digest(b"{}"), values_digest(b"{}", [one]), values_digest(b"{}", [two])}) == 3
    assert values_digest(b"{}", [one, two]) == values_digest(b"{}", [two, one, two])
