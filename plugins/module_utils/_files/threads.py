# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that import what they need: the one place where threads are made.

Ansible hands modules over as a zip archive. Before Python 3.10 an import from one shows other threads modules that are
only half executed (``zipimporter`` has no ``exec_module``, so nothing marks them as being imported). There, all imports
of the process happen one after the other from the first thread on.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_guard = threading.RLock()
# ``pool``: the one that the thread works for
_mine = threading.local()


class OutOfTime(Exception):
    """A call took longer than it may."""


class _Pool:
    """Whether the work of a pool is in vain; ``outer`` is the one whose work it does a part of."""

    def __init__(self, outer: _Pool | None) -> None:
        self.outer = outer
        self.is_interrupted = False


@contextmanager
def thread_pool(width: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of at least one thread, in which code may import modules when it first needs them.

    At the end of the block its work is waited for. When the block is interrupted, as by Ctrl-C, what has not begun is
    left, and what has begun ends where it calls :func:`stop_if_interrupted`.
    """
    from concurrent.futures import ThreadPoolExecutor

    if sys.version_info < (3, 10):
        _serialize_imports()
    state = _Pool(getattr(_mine, "pool", None))
    pool = ThreadPoolExecutor(max(1, width), initializer=setattr, initargs=(_mine, "pool", state))
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        state.is_interrupted = True
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=True)


def stop_if_interrupted() -> None:
    """End the work of this thread when that of its pool is in vain; to be called by what may take long.

    :raises KeyboardInterrupt: in a thread of a pool that was interrupted.
    """
    pool: _Pool | None = getattr(_mine, "pool", None)
    while pool is not None:
        if pool.is_interrupted:
            raise KeyboardInterrupt
        pool = pool.outer


def new_thread(target: Callable[..., object], *arguments: Any) -> threading.Thread:
    """A thread that is not started yet, and that the process does not wait for at its end."""
    if sys.version_info < (3, 10):
        _serialize_imports()
    return threading.Thread(target=target, args=arguments, daemon=True)


def run_within(seconds: float, call: Callable[[], T], when_late: Callable[[], object] | None = None) -> T:
    """The result of a call that cannot be told to stop, run in a thread. What it raises is raised here.

    A thread that is left behind calls ``when_late`` when it is done, to clean up; it ends with the process at the
    latest.

    :raises OutOfTime: when it takes more than ``seconds``.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    turn = threading.Lock()
    is_late = False

    def run() -> None:
        try:
            result = [call()]
        except BaseException as exc:
            errors.append(exc)
            result = []
        with turn:
            results.extend(result)
            must_clean_up = is_late
        if must_clean_up and when_late is not None:
            when_late()

    worker = new_thread(run)
    worker.start()
    worker.join(seconds)
    with turn:
        is_late = not (results or errors)
    if is_late:
        raise OutOfTime
    if errors:
        raise errors[0]
    return results[0]


def _serialize_imports() -> None:
    with _guard:
        original = builtins.__import__
        if getattr(original, "is_serialized", False):
            return

        def serialized(*args: Any, **kwargs: Any) -> Any:
            with _guard:
                return original(*args, **kwargs)

        serialized.is_serialized = True  # type: ignore[attr-defined]
        builtins.__import__ = serialized
