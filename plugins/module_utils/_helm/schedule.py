# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs jobs that depend on each other: in order, and in parallel where the order allows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Callable, TypeVar

from .._errors import InvalidOption
from .._files.threads import thread_pool

Key = TypeVar("Key")


def check_order(keys: Sequence[Key], needs: Mapping[Key, Collection[Key]]) -> None:
    """Check that the dependencies have no cycle. Dependencies that are not among ``keys`` are ignored.

    :raises InvalidOption: when there is a cycle; the message shows it.
    """
    known, done = set(keys), set()
    for start in keys:
        path: list[Key] = []
        # no recursion: a chain may be as long as the list
        stack: list[tuple[Key, bool]] = [(start, False)]
        while stack:
            key, is_left = stack.pop()
            if is_left:
                path.pop()
                done.add(key)
                continue
            if key in done:
                continue
            if key in path:
                circle = [*path[path.index(key) :], key]
                raise InvalidOption(
                    f"'depends_on' goes round in a circle: {' needs '.join(map(str, circle[:20]))}.",
                    "Remove one of these dependencies.",
                )
            path.append(key)
            stack.append((key, True))
            stack += [(need, False) for need in needs.get(key, ()) if need in known]


def run_in_order(
    keys: Sequence[Key],
    needs: Mapping[Key, Collection[Key]],
    call: Callable[[Key], None],
    width: int,
) -> None:
    """Run ``call`` for each key after its dependencies, at most ``width`` calls at the same time.

    ``call`` should handle its own errors: an exception ends the whole run, after the running calls have ended.
    """
    known = set(keys)
    waiting = {key: {need for need in needs.get(key, ()) if need in known} for key in keys}
    with thread_pool(min(width, len(keys))) as pool:
        running: dict[Future[None], Key] = {}
        while waiting or running:
            for key in [key for key, open_needs in waiting.items() if not open_needs]:
                del waiting[key]
                running[pool.submit(call, key)] = key
            ended, _rest = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                key = running.pop(future)
                future.result()
                for open_needs in waiting.values():
                    open_needs.discard(key)
