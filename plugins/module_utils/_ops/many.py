# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several artifacts in one task: in parallel, each with its own result, combined into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, TypeVar

from .._errors import InvalidOption, OciError

MAX_PARALLEL = 32
# Characters of all diffs together.
MAX_DIFF = 4 * 1024 * 1024

Options = TypeVar("Options")
Result = TypeVar("Result")
Work = TypeVar("Work")


class ItemsFailed(OciError):
    """Some of several artifacts failed; the reason is that of the first. Retryable when all failures are: otherwise
    the same task fails again."""

    def __init__(self, message: str, first: OciError, details: Mapping[str, Any], *, retryable: bool) -> None:
        super().__init__(message, first.hint, details)
        self.reason = first.reason
        self.retryable = retryable


@dataclass(frozen=True)
class Item:
    """One artifact of the list: ``label`` identifies it, without secrets; ``run`` returns the module's result for a
    single artifact."""

    label: Mapping[str, Any]
    run: Callable[[], dict[str, Any]]


def about(what: str, call: Callable[[], Result]) -> Result:
    """Return the result of ``call``; its errors begin with what they are about: an option, or a part of one.

    :raises OciError: those of ``call``.
    """
    try:
        return call()
    except OciError as exc:
        exc.message = f"{what}: {exc.message}"
        raise


def numbered(number: int, call: Callable[[], Result], option: str = "artifacts") -> Result:
    """Return the result of ``call``; its errors name the item of the list that is the option.

    :raises OciError: those of ``call``.
    """
    return about(f"Item {number} of {option!r}", call)


def check_parallel(value: int) -> int:
    """Return the option ``parallel``, checked.

    :raises InvalidOption: when it is out of bounds.
    """
    if not 1 <= value <= MAX_PARALLEL:
        raise InvalidOption(f"'parallel' is {value}: wanted 1 to {MAX_PARALLEL}.")
    return value


def run_each(
    items: Sequence[tuple[Options, Mapping[str, Any]]],
    make: Callable[[Options], Work],
    run: Callable[[Work], dict[str, Any]],
    parallel: int,
    reasons: Sequence[str],
) -> dict[str, Any]:
    """Check the options of all items, then run them; return the module's result. Each has its label beside its options.

    :param make: checks the options of an item, without a request, and returns what ``run`` takes.
    :param reasons: as :func:`run_items` takes them.
    :raises OciError: those of ``make``, with the number of the item.
    :raises ItemsFailed: when some failed, after all were run.
    """
    made = [numbered(number, partial(make, options)) for number, (options, _label) in enumerate(items, 1)]
    work = [Item(label, partial(run, one)) for one, (_options, label) in zip(made, items)]
    return run_items(work, parallel, reasons)


def run_items(items: Sequence[Item], parallel: int, reasons: Sequence[str]) -> dict[str, Any]:
    """Run all items, ``parallel`` of them at a time, and combine their results in the order of the list.

    :param reasons: of a success, by precedence: the result's is the first that an item has, otherwise the last.
    :raises ItemsFailed: when some failed, after all were run. Its details have the combined result.
    """
    failures: dict[int, OciError] = {}

    def work(number: int) -> dict[str, Any]:
        try:
            return items[number - 1].run()
        except Exception as exc:  # any error: the results of the others must not be lost
            from .._unexpected import as_error

            error = failures[number] = as_error(exc, "The work on it")
            return {"changed": False, **error.as_failure()}

    numbers = range(1, len(items) + 1)
    if min(parallel, len(items)) <= 1:
        found = [work(number) for number in numbers]
    else:
        from .._files.threads import thread_pool

        with thread_pool(min(parallel, len(items))) as pool:
            found = list(pool.map(work, numbers))
    answer = _together(items, found)
    if failures:
        raise _failed(items, failures, answer)
    given = {result["reason"] for result in found}
    answer["reason"] = next((reason for reason in reasons if reason in given), reasons[-1])
    return answer


def _together(items: Sequence[Item], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    warnings: dict[str, None] = {}
    served: dict[str, None] = {}
    diff: list[dict[str, str]] = []
    size = 0
    results = []
    for item, result in zip(items, found):
        warnings.update(dict.fromkeys(result.pop("warnings", ())))
        served.update(dict.fromkeys(result.get("served_by", ())))
        own = result.pop("diff", [])
        size += sum(len(each.get("before", "")) + len(each.get("after", "")) for each in own)
        diff += own if size <= MAX_DIFF else _left_out(own)
        results.append({"item": dict(item.label), **result})
    answer = {
        "changed": any(result["changed"] for result in found),
        "results": results,
        "served_by": list(served),
        "warnings": list(warnings),
    }
    return {**answer, "diff": diff} if diff else answer


def _left_out(diff: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The text in place of diffs that are too long together."""
    headers = [each.get("after_header") or each.get("before_header") or "" for each in diff]
    return [{"before_header": name, "after_header": name, "before": "", "after": "(differs)\n"} for name in headers]


def _failed(items: Sequence[Item], failures: Mapping[int, OciError], answer: dict[str, Any]) -> ItemsFailed:
    number = min(failures)
    first = failures[number]
    if len(items) == 1:
        count = "The only artifact failed"
    else:
        count = f"{len(failures)} of {len(items)} artifacts failed, the first is item {number}"
    retryable = all(error.retryable for error in failures.values())
    return ItemsFailed(f"{count}: {first.message}", first, answer, retryable=retryable)
