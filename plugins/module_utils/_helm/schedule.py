# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that depends on other work: in order, and side by side where the order allows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Callable, TypeVar

from .._errors import InvalidOption
from .._files.threads import thread_pool

Key = TypeVar("Key")


def check_order(keys: Sequence[Key], needs: Mapping[Key, Collection[Key]]) -> None:
    """See that the work can be done at all. Needs that are not among ``keys`` do not matter here.

    :raises InvalidOption: when some of it waits for itself; the message shows the circle.
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
    """Call for each key, after the calls for what it needs, at most ``width`` of them at once.

    ``call`` takes care of its own failures: an exception from it ends the whole run, after the calls under way.
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
