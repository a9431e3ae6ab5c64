# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of ``helm --set``; test_helm_values.py has Helm judge the same cases."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ValuesError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.set_values import (
    file_paths,
    set_string,
    set_value,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import SetValue, set_all

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "support"))
from set_cases import BASE, BROKEN, CASES, FILES, TYPED, TYPED_BROKEN


@pytest.mark.parametrize(("path", "text", "wanted"), CASES)
def test_set_value(path: str, text: str, wanted: dict[str, Any]) -> None:
    values = copy.deepcopy(BASE)
    set_value(values, path, text)
    assert {key: value for key, value in values.items() if key not in BASE or value != BASE[key]} == wanted


@pytest.mark.parametrize(("path", "text"), BROKEN)
def test_what_helm_refuses(path: str, text: str) -> None:
    with pytest.raises(ValuesError, match="cannot be set in the values") as caught:
        set_value(copy.deepcopy(BASE), path, text)
    # the text may be a secret
    assert not text or len(text) < 4 or text not in str(caught.value)


def test_texts_stay_texts() -> None:
    values: dict[str, Any] = {}
    set_string(values, "a.number", "12")
    set_string(values, "a.list", "{x,true}")
    set_string(values, "a.literal", r"x,y={1}\n", literal=True)
    assert values == {"a": {"number": "12", "list": ["x", "true"], "literal": r"x,y={1}\n"}}


def test_depth_is_bounded() -> None:
    values: dict[str, Any] = {}
    set_value(values, ".".join("a" * 31), "1")
    with pytest.raises(ValuesError, match="nested more than 30 deep"):
        set_value({}, ".".join("a" * 32), "1")
    # also where a text from the cluster goes on with other assignments
    with pytest.raises(ValuesError, match="nested more than 30 deep"):
        set_value({}, "a", f"x,b{'[0]' * 5000}=1")


@pytest.mark.parametrize(("assignments", "wanted"), TYPED)
def test_assignments_of_each_type(assignments: list[tuple[str, str]], wanted: dict[str, Any]) -> None:
    before = copy.deepcopy(BASE)
    entries = [SetValue(text, kind) for kind, text in assignments]
    values = set_all(BASE, entries, FILES.__getitem__, "the release a/b")
    assert {key: value for key, value in values.items() if key not in BASE or value != BASE[key]} == wanted
    assert before == BASE, "the values that were given are not changed"


@pytest.mark.parametrize(("kind", "text"), TYPED_BROKEN)
def test_assignments_that_helm_refuses(kind: str, text: str) -> None:
    entries = [SetValue("a=1"), SetValue(text, kind)]
    with pytest.raises(ValuesError, match=f"entry 2 of 'set_values' of the release a/b, of the type {kind}") as caught:
        set_all(BASE, entries, FILES.__getitem__, "the release a/b")
    assert "hush" not in str(caught.value) and "hush" not in repr(entries)


def test_the_paths_of_files() -> None:
    assert file_paths("a=one.txt,b[0]={two,three\\,four}") == ["one.txt", "two", "three,four"]
    assert file_paths("a=") == [] == file_paths("a")
