# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools of threads: what an interruption, as by Ctrl-C, makes of their work."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.threads import (
    stop_if_interrupted,
    thread_pool,
)

# seconds; far more than any of it takes
LIMIT = 60


class Work:
    """Work that goes on until it is stopped; ``release`` ends it otherwise."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.ended: list[str] = []

    def run(self) -> None:
        self.begun.set()
        try:
            while not self.release.wait(0.01):
                stop_if_interrupted()
        except KeyboardInterrupt:
            self.ended.append("stopped")
            raise
        self.ended.append("done")

    def run_in_another_pool(self) -> None:
        with thread_pool(1) as pool:
            pool.submit(self.run).result()


@pytest.fixture
def work() -> Work:
    made = Work()
    # a pool that does not stop its work fails the test, and is not waited for without end
    timer = threading.Timer(LIMIT, made.release.set)
    timer.daemon = True
    timer.start()
    return made


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("start", [lambda work: work.run, lambda work: work.run_in_another_pool])
def test_an_interruption_ends_what_has_begun_and_leaves_the_rest(
    work: Work, kind: type[BaseException], start: Callable[[Work], Callable[[], None]]
) -> None:
    with pytest.raises(kind), thread_pool(1) as pool:
        begun = pool.submit(start(work))
        waiting = pool.submit(work.ended.append, "late")
        assert work.begun.wait(LIMIT)
        raise kind
    assert work.ended == ["stopped"]
    assert waiting.cancelled() and isinstance(begun.exception(), KeyboardInterrupt)


def test_an_error_waits_for_what_has_begun(work: Work) -> None:
    with pytest.raises(ValueError, match="wrong"), thread_pool(1) as pool:
        pool.submit(work.run)
        following = pool.submit(work.ended.append, "after")
        assert work.begun.wait(LIMIT)
        work.release.set()
        raise ValueError("wrong")
    assert work.ended == ["done", "after"] and following.done()


def test_no_other_pool_is_interrupted(work: Work) -> None:
    with pytest.raises(KeyboardInterrupt), thread_pool(1):
        raise KeyboardInterrupt
    work.release.set()
    with thread_pool(1) as pool:
        pool.submit(work.run).result()
    stop_if_interrupted()
    assert work.ended == ["done"]
