# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in order."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.schedule import check_order, run_in_order

# who may need only what has a lower number makes no circle
GRAPHS = st.integers(0, 12).flatmap(
    lambda size: st.tuples(*(st.sets(st.integers(0, max(number - 1, 0)), max_size=3) for number in range(size)))
)


@given(GRAPHS, st.integers(1, 4), st.randoms())
def test_needs_come_first(graph: tuple[set[int], ...], width: int, random: st.DataObject) -> None:
    keys = list(range(len(graph)))
    needs = {key: need - {key} | {99} for key, need in enumerate(graph)}
    random.shuffle(keys)  # type: ignore[attr-defined]
    check_order(keys, needs)
    done: list[int] = []
    lock = threading.Lock()

    def call(key: int) -> None:
        with lock:
            assert needs[key] - {99} <= set(done)
        with lock:
            done.append(key)

    run_in_order(keys, needs, call, width)
    assert sorted(done) == sorted(keys)


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"a": {"a"}}, "a needs a"),
        ({"a": {"b"}, "b": {"a"}}, "a needs b needs a"),
        ({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, "b needs c needs d needs b"),
    ],
)
def test_circles(needs: dict[str, set[str]], circle: str) -> None:
    with pytest.raises(InvalidOption, match=f"in a circle: {circle}"):
        check_order(list("abcd"), needs)


def test_a_long_chain_is_no_recursion() -> None:
    keys = list(range(5000))
    check_order(keys[::-1], {key: [key - 1] for key in keys})


def test_no_more_than_so_many_at_once_and_as_many_as_may() -> None:
    busy, most = 0, 0
    lock = threading.Lock()
    # three calls at a time meet here: fewer would wait in vain
    meeting = threading.Barrier(3)

    def call(_key: int) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        meeting.wait(120)
        with lock:
            busy -= 1

    run_in_order(list(range(9)), {}, call, 3)
    assert most == 3


def test_an_exception_ends_the_run() -> None:
    seen: list[int] = []

    def call(key: int) -> None:
        seen.append(key)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        run_in_order([1, 2], {2: [1]}, call, 1)
    assert seen == [1]
