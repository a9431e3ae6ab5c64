# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull several artifacts in one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..._oci.options import CacheOptions
from ..many import Item, numbered, run_items
from ..task import Task
from .context import PullContext, make_context
from .decide import run
from .options import (
    DRIFT_CORRECTED,
    HELD_BACK,
    LAST_GOOD_KEPT,
    NEW_REVISION,
    NEW_REVISION_PENDING,
    SUSPENDED,
    UP_TO_DATE,
    PullOptions,
)
from .places import Turns, check_places, place_of

_REASONS = (NEW_REVISION, DRIFT_CORRECTED, NEW_REVISION_PENDING, HELD_BACK, LAST_GOOD_KEPT, SUSPENDED, UP_TO_DATE)


def pull_many(
    items: Sequence[tuple[PullOptions, Mapping[str, Any]]],
    cache: CacheOptions,
    parallel: int,
    *,
    check_mode: bool = False,
    want_diff: bool = False,
    task: Task | None = None,
) -> dict[str, Any]:
    """Pull several artifacts, each with its label in the result; return the module's result.

    :param task: one that has the artifacts; a new one by default.
    :raises OciError: when the options of one cannot be used, or two conflict, before any request.
    :raises ItemsFailed: when some failed, after all were tried; the others are in place.
    """
    with task or Task(cache) as task:
        pulls = []
        for number, (options, _label) in enumerate(items):
            make = partial(make_context, options, task.of(number), check_mode=check_mode, want_diff=want_diff)
            one = numbered(number + 1, make)
            task.expect(one.target, options.auth, options.connection)
            pulls.append(one)
        places = [place_of(one) for one in pulls]
        check_places(places)
        turns = Turns(places)

        def work(number: int, one: PullContext) -> dict[str, Any]:
            try:
                return run(one, turns.turn(number)).as_result()
            finally:
                turns.done(number)

        work_items = [
            Item(label, partial(work, number, one))
            for number, (one, (_options, label)) in enumerate(zip(pulls, items), 1)
        ]
        answer = run_items(work_items, parallel, _REASONS)
        answer["degraded"] = any(result["degraded"] for result in answer["results"])
        return answer
