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
from typing import TYPE_CHECKING, Any, Callable, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_guard = threading.RLock()


class OutOfTime(Exception):
    """A call took longer than it may."""


def thread_pool(width: int) -> ThreadPoolExecutor:
    """A pool of at least one thread, in which code may import modules when it first needs them."""
    from concurrent.futures import ThreadPoolExecutor

    if sys.version_info < (3, 10):
        _serialize_imports()
    return ThreadPoolExecutor(max(1, width))


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
