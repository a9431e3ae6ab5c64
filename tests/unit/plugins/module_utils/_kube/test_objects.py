# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two states of an object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.lease import is_gone, my_identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import (
    comparable,
    differences,
    merge_patch,
    without,
)

KEYS = st.text("ab/~", min_size=1, max_size=2)
# null in an object is what a merge patch cannot say
SCALARS = st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
VALUES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def patched(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert patched(before, merge_patch(before, after)) == after
    assert merge_patch(before, before) == {}
    assert bool(list(differences(before, after))) == bool(merge_patch(before, after))


@given(OBJECTS, OBJECTS)
def test_without_what_differs_they_are_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = list(differences(before, after))
    for pointer in reversed(found):
        before, after = without(before, [pointer]), without(after, [pointer])
    assert before == after


def test_pointers() -> None:
    before = {"a": {"b/c": 1, "d~e": [1, 2]}, "f": [1]}
    after = {"a": {"b/c": 2, "d~e": [1, 3]}, "f": [1, 2], "g": None}
    assert list(differences(before, after)) == ["/a/b~1c", "/a/d~0e/1", "/f", "/g"]
    assert without(before, ["/a/b~1c", "/f/0", "/nowhere/at/all", "/f/x", "/a/d~0e/9"]) == {
        "a": {"d~e": [1, 2]},
        "f": [],
    }


def test_what_the_server_keeps_is_not_compared() -> None:
    live = {
        "kind": "ConfigMap",
        "status": {"x": 1},
        "metadata": {"name": "a", "uid": "1", "resourceVersion": "2", "managedFields": [], "labels": {"a": "b"}},
    }
    assert comparable(live) == {"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"a": "b"}}}
    assert "uid" in live["metadata"]  # type: ignore[operator]


def test_holders_of_leases() -> None:
    mine = my_identity()
    host, place, pid, start, chance = mine.split("/")
    assert place and pid and start and chance
    assert not is_gone(mine)
    assert is_gone(f"{host}/{place}/{pid}/1/{chance}"), "a process number that is in use again"
    assert is_gone(f"{host}/{place}/999999999/1/{chance}")
    assert not is_gone(f"{host}/elsewhere/999999999/1/{chance}"), "a process of another host"
    for other in ("", "somebody", "a/b/c", f"{host}//999999999/1/x"):
        assert not is_gone(other)


@pytest.mark.parametrize("pointer", ["", "no-pointer", "/"])
def test_pointers_that_name_nothing(pointer: str) -> None:
    assert without({"a": 1}, [pointer]) == {"a": 1}
