# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One answer made of several."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidOption,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.many import (
    Item,
    ItemsFailed,
    check_parallel,
    numbered,
    run_items,
)

REASONS = ("New", "Kept", "UpToDate")


def item(number: int, reason: str = "UpToDate", **result: Any) -> Item:
    return Item({"ref": f"r/{number}"}, lambda: {"changed": reason == "New", "reason": reason, **result})


def failing(error: OciError) -> Item:
    def run() -> dict[str, Any]:
        raise error

    return Item({"ref": "r/bad"}, run)


@pytest.mark.parametrize("parallel", [1, 3])
def test_results_in_the_order_of_the_list(parallel: int) -> None:
    first, second = item(1, warnings=["w", "v"], served_by=["b"]), item(2, "New", served_by=["a", "b"])
    items = [first, second, item(3, warnings=["w"])]
    answer = run_items(items, parallel, REASONS)
    assert answer["changed"] and answer["reason"] == "New"
    assert [each["item"]["ref"] for each in answer["results"]] == ["r/1", "r/2", "r/3"]
    assert [each["changed"] for each in answer["results"]] == [False, True, False]
    assert (answer["warnings"], answer["served_by"]) == (["w", "v"], ["b", "a"])
    assert "diff" not in answer


def test_an_empty_list() -> None:
    answer = run_items([], 4, REASONS)
    assert answer == {"changed": False, "results": [], "served_by": [], "warnings": [], "reason": "UpToDate"}


@pytest.mark.parametrize("parallel", [1, 4])
def test_some_fail(parallel: int) -> None:
    refused = AuthenticationFailed("Refused.", "Log in.", {"verification": {"verified": False}})
    with pytest.raises(ItemsFailed) as caught:
        run_items([item(1, "New"), failing(refused), item(3), failing(OciError("Later."))], parallel, REASONS)
    error = caught.value
    assert str(error) == "2 of 4 artifacts failed, the first is item 2: Refused. Log in."
    assert error.reason == "AuthenticationFailed" and error.details["changed"] is True
    one, two, three, four = error.details["results"]
    assert one["changed"] and not three["changed"] and four["msg"] == "Later."
    assert two == {
        "item": {"ref": "r/bad"},
        "changed": False,
        "failed": True,
        "msg": "Refused. Log in.",
        "reason": "AuthenticationFailed",
        "retryable": False,
        "verification": {"verified": False},
    }


@pytest.mark.parametrize(
    ("errors", "retryable"),
    [
        ([ConnectionFailed("x")], True),
        ([ConnectionFailed("x"), RegistryError("x", status=503)], True),
        ([ConnectionFailed("x"), InvalidOption("x")], False),
        ([InvalidOption("x")], False),
    ],
)
def test_a_task_may_be_repeated_when_all_that_failed_may(errors: list[OciError], retryable: bool) -> None:
    with pytest.raises(ItemsFailed) as caught:
        run_items([item(1), *map(failing, errors)], 1, REASONS)
    assert caught.value.retryable is retryable
    results = caught.value.details["results"]
    assert [each.get("retryable") for each in results] == [None, *(each.retryable for each in errors)]


@pytest.mark.parametrize("parallel", [1, 4])
def test_an_exception_that_nobody_foresaw_is_one_items_failure(parallel: int) -> None:
    def run() -> dict[str, Any]:
        raise TypeError("hush-hush")

    with pytest.raises(ItemsFailed) as caught:
        run_items([item(1, "New"), Item({"ref": "r/odd"}, run), item(3)], parallel, REASONS)
    error = caught.value
    assert error.reason == "InternalError" and error.details["changed"] is True and "hush" not in str(error)
    one, two, three = error.details["results"]
    assert one["changed"] and not three.get("failed")
    assert (two["failed"], two["changed"], two["reason"]) == (True, False, "InternalError")
    assert "an unexpected TypeError (" in two["msg"] and "hush" not in two["msg"]


def test_they_run_side_by_side() -> None:
    meeting = threading.Barrier(3)
    items = [Item({}, lambda: {"changed": bool(meeting.wait(120)), "reason": "New"}) for _number in range(3)]
    assert len(run_items(items, 3, REASONS)["results"]) == 3


def test_differences_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MAX_DIFF", 10)
    diffs = [[{"before_header": "/x", "after_header": f"/{name}", "before": "", "after": "12345"}] for name in "abc"]
    diff = run_items([item(number, diff=diff) for number, diff in enumerate(diffs)], 2, REASONS)["diff"]
    assert [each["after"] for each in diff] == ["12345", "12345", "(differs)\n"]
    assert diff[2]["after_header"] == "/c"


def test_options() -> None:
    assert check_parallel(32) == 32
    for value in (0, 33):
        with pytest.raises(InvalidOption, match="'parallel' is"):
            check_parallel(value)

    def refuse() -> None:
        raise InvalidOption("'x' is odd.")

    with pytest.raises(InvalidOption, match="Item 7 of 'artifacts': 'x' is odd."):
        numbered(7, refuse)
