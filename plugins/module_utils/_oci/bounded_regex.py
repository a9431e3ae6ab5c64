# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular-expression matching with a limit on CPU time.

Go's expressions need linear time, Python's need exponential time when expression and text are chosen badly, and here
the texts come from registries. CPython's ``re`` looks at signals while it matches, so in the main thread a timer of
the process's CPU time ends it. Ansible uses SIGALRM for its own timeouts; this is SIGVTALRM, so neither disturbs the
other. Python runs signal handlers in the main thread only: elsewhere a child process matches, under the same timer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, TypeVar

from .._errors import InvalidSelection
from .go_regex import Groups, compile_template, to_python

_Result = TypeVar("_Result")

MAX_PATTERN_LENGTH = 1000
#: Seconds of CPU time that one expression may need for all texts together; 100,000 tags usually need a tenth of one.
CPU_SECONDS = 2.0

_CHILD = """
import json, re, signal, sys
job = json.load(sys.stdin)
signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGVTALRM])
signal.setitimer(signal.ITIMER_VIRTUAL, job["seconds"])
search = re.compile(job["pattern"], re.ASCII).search
json.dump([(m[0],) + m.groups() if m else None for m in map(search, job["texts"])], sys.stdout)
"""
# the child is bounded by its CPU time; this is for a machine that gives it none
_CHILD_TIMEOUT = 60.0


class _NoTimer(Exception):
    """This thread cannot be interrupted."""


class _CpuLimitReached(Exception):
    """The limit on CPU time was reached."""


class BoundedRegex:
    """A compiled expression that ends: unanchored search, Go's spellings, ASCII classes.

    ``where`` is the option it came from, for messages.

    :raises InvalidSelection: when the expression does not parse or is longer than 1,000 characters.
    """

    def __init__(self, pattern: str, where: str, seconds: float = CPU_SECONDS) -> None:
        self.pattern = pattern
        self._where = where
        self._seconds = seconds
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise InvalidSelection(
                f"The regular expression in {where} is longer than {MAX_PATTERN_LENGTH} characters.",
                "Shorten it, or say the rest with a version range.",
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._regex = re.compile(to_python(pattern), re.ASCII)
        except (re.error, OverflowError, RecursionError, ValueError) as exc:
            raise InvalidSelection(
                f"The regular expression {pattern[:200]!r} in {where} does not parse: {exc}.",
                "Characters such as ( [ * + ? . stand for themselves only behind a backslash.",
            ) from None

    def search_all(self, texts: Sequence[str]) -> list[tuple[str, Groups]]:
        """The texts in which the expression is found, each with the text of its groups.

        :raises InvalidSelection: when that takes more CPU time than the limit.
        """
        try:
            return _within(self._seconds, lambda: self._search_here(texts))
        except _NoTimer:
            found = self._search_in_child(texts)
            return [(text, tuple(groups)) for text, groups in zip(texts, found) if groups is not None]
        except _CpuLimitReached:
            raise self._did_not_finish() from None

    def extract_all(self, texts: Sequence[str], template: str) -> list[tuple[str, str]]:
        """The matching texts, each with its value: Go's ``Expand`` of the template, or the whole text without one."""
        found = self.search_all(texts)
        if not template:
            return [(text, text) for text, _groups in found]
        expand = compile_template(template, self._regex.groupindex)
        return [(text, expand(groups)) for text, groups in found]

    def _search_here(self, texts: Sequence[str]) -> list[tuple[str, Groups]]:
        search = self._regex.search
        return [(text, (match[0], *match.groups())) for text in texts if (match := search(text))]

    def _did_not_finish(self) -> InvalidSelection:
        return InvalidSelection(
            f"The regular expression {self.pattern[:200]!r} in {self._where} did not finish: matching the repository's "
            f"tags took more than {self._seconds:g} seconds of CPU time.",
            "Repetitions inside repetitions, as in (a+)+, cause this: write it without them.",
        )

    def _search_in_child(self, texts: Sequence[str]) -> list[list[str | None] | None]:
        job = json.dumps({"pattern": self._regex.pattern, "seconds": self._seconds, "texts": list(texts)})
        try:
            child = subprocess.run(
                [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD],
                input=job.encode("ascii"),
                capture_output=True,
                timeout=_CHILD_TIMEOUT + 10 * self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._did_not_finish() from None
        except (OSError, ValueError) as exc:
            raise self._not_started(str(exc)) from exc
        if child.returncode == -signal.SIGVTALRM:
            raise self._did_not_finish()
        if child.returncode:
            raise self._not_started(child.stderr.decode("utf-8", "replace").strip()[-300:])
        found: list[list[str | None] | None] = json.loads(child.stdout)
        return found

    def _not_started(self, problem: str) -> InvalidSelection:
        return InvalidSelection(
            f"The regular expression {self.pattern[:200]!r} in {self._where} was not matched: outside the main thread "
            f"it needs a process of its own, and {sys.executable!r} failed: {problem}."
        )


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return the result of ``work``; interrupt it with _CpuLimitReached after ``seconds`` of CPU time of this process.

    The previous signal handler and timer are restored afterwards.

    :raises _NoTimer: before the work, when this is not the main thread, or a handler is set that Python cannot restore.
    """
    armed = True

    def expire(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise _CpuLimitReached

    previous_handler: Any = signal.getsignal(signal.SIGVTALRM)
    if previous_handler is None:
        raise _NoTimer
    try:
        signal.signal(signal.SIGVTALRM, expire)
    except ValueError:
        raise _NoTimer from None
    previous_delay, previous_interval = signal.getitimer(signal.ITIMER_VIRTUAL)
    started = os.times().user
    try:
        try:
            # the timer repeats: an exception raised inside a destructor or a callback is swallowed by Python
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.1)
            return work()
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous_handler)
        if previous_delay:
            used = os.times().user - started
            signal.setitimer(signal.ITIMER_VIRTUAL, max(previous_delay - used, 1e-6), previous_interval)
