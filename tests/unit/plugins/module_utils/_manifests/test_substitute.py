# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in manifests: the expressions of drone/envsubst, as Flux's documentation and tests have them."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ManifestsInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.objects import ManifestObject
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.substitute import (
    _match_ends,
    substitute,
    substitute_objects,
)

VARIABLES = {"name": "podinfo", "empty": "", "path": "/usr/local/bin", "host": "a.b.example.com"}
NAMES = st.from_regex(r"[_a-zA-Z][_a-zA-Z0-9]{0,10}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${name}", "podinfo"),
        ("a-${name}-b", "a-podinfo-b"),
        ("${none}", ""),
        ("${none:=x}", "x"),
        ("${none:-x}", "x"),
        ("${none=x}", "x"),
        ("${empty:=x}", "x"),
        ("${empty=x}", ""),
        ("${empty-x}", ""),
        ("${name:=x}", "podinfo"),
        ("${none:=${name}}", "podinfo"),
        ("${none:=a ${other:=b} c}", "a b c"),
        ("${name:+x}", "x"),
        ("${none:+x}", ""),
        ("${#name}", "7"),
        ("${name:3}", "info"),
        ("${name:0:3}", "pod"),
        ("${name:3:2}", "in"),
        ("${name^}", "Podinfo"),
        ("${name^^}", "PODINFO"),
        ("${name,,}", "podinfo"),
        ("${path//\\//-}", "/usr/local/bin"),
        ("${host/example/test}", "a.b.test.com"),
        ("${host//./-}", "a-b-example-com"),
        ("${host/#a./}", "b.example.com"),
        ("${host/%.com/.org}", "a.b.example.org"),
        ("${host#*.}", "b.example.com"),
        ("${host##*.}", "com"),
        ("${host%.*}", "a.b.example"),
        ("${host%%.*}", "a"),
        ("$${name}", "${name}"),
        ("$${name:=${other}}", "${name:=${other}}"),
        ("$name $ $$ 5$", "$name $ $$ 5$"),
        ("{name}", "{name}"),
    ],
)
def test_expressions(text: str, wanted: str) -> None:
    assert substitute(text, VARIABLES) == wanted


@pytest.mark.parametrize("text", ["${", "${name", "${a:=${b}", "${1}", "${}", "${name!}", "${name:x}", "${name//}"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        substitute(text, VARIABLES)


def test_depth_and_size_are_bounded() -> None:
    deep = "${a:=" * 50 + "x" + "}" * 50
    with pytest.raises(ValueError, match="nested"):
        substitute(deep, {})
    with pytest.raises(ValueError, match="characters"):
        substitute("${a}" * 5000, {"a": "x" * 1000})


@given(st.text(alphabet=st.characters(blacklist_characters="$")))
def test_text_without_a_dollar_stays(text: str) -> None:
    assert substitute(text, VARIABLES) == text


@given(NAMES, st.text(max_size=50), st.text(alphabet=st.characters(blacklist_characters="$"), max_size=20))
def test_a_value_is_put_in_as_it_is_and_read_no_more(name: str, value: str, around: str) -> None:
    assert substitute(f"{around}${{{name}}}{around}", {name: value}) == f"{around}{value}{around}"


@given(st.text(alphabet="${}:=-a/#%^ ", max_size=40))
def test_any_text_gives_text_or_is_refused(text: str) -> None:
    try:
        assert isinstance(substitute(text, {"a": "b"}), str)
    except ValueError as exc:
        assert str(exc)


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=12))
def test_patterns_cut_off_what_they_match(pattern: str, value: str) -> None:
    short, long = substitute(f"${{v#{pattern}}}", {"v": value}), substitute(f"${{v##{pattern}}}", {"v": value})
    assert value.endswith(short) and short.endswith(long)


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_patterns_match_as_those_of_file_names_do(pattern: str, value: str) -> None:
    ends = [end for end in range(len(value) + 1) if fnmatch.fnmatchcase(value[:end], pattern)]
    assert list(_match_ends(value, pattern)) == ends


def test_the_time_does_not_grow_with_the_square_of_a_text() -> None:
    many = 200_000
    assert substitute("$a" * many, {}) == "$a" * many
    assert substitute("${a}" * many, {"a": "b"}) == "b" * many
    # seen from each beginning anew, this would take hours
    assert substitute("${a##*c}", {"a": "a" * many}) == "a" * many


def test_what_cannot_be_read_in_a_secret_is_not_repeated() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"key": "pass${word"}}
    with pytest.raises(ManifestsInvalid) as caught:
        substitute_objects([ManifestObject(secret)], {})
    assert "word" not in str(caught.value)


def test_objects_become_typed_and_marks_protect() -> None:
    metadata = {"name": "${name}", "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}}
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "${name}"}, "spec": {"replicas": "${n}"}}
    kept = {**plain, "metadata": metadata}
    found = substitute_objects([ManifestObject(plain), ManifestObject(kept)], {"name": "x", "n": "3"})
    assert found[0].document["metadata"]["name"] == "x" and found[0].document["spec"] == {"replicas": 3}
    assert found[1].document == kept
    with pytest.raises(ManifestsInvalid, match="name of a variable"):
        substitute_objects([], {"a-b": "c"})
    with pytest.raises(ManifestsInvalid, match="after the substitution"):
        substitute_objects([ManifestObject(plain)], {"n": "]: ["})
