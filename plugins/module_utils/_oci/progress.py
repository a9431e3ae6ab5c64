# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the transfers of a task are, for whoever waits for long ones.

Whatever moves bytes counts them here. Nothing is said of a transfer that takes less than ``INTERVAL``; of others each
``INTERVAL``, to the listeners: the worker of Ansible that runs the module, a file beside the record of ``dest``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, NamedTuple

# seconds
INTERVAL = 10.0
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Report(NamedTuple):
    """The state of one transfer: bytes that were moved, and that are to be moved in all (0: not known), the bytes per
    second since the last report, and the seconds that the rest takes at that rate (None: not known)."""

    reference: str
    done: int
    total: int
    rate: float
    left: float | None

    def as_result(self) -> dict[str, Any]:
        left = None if self.left is None else round(self.left)
        return {
            "reference": self.reference,
            "bytes": self.done,
            "total_bytes": self.total or None,
            "bytes_per_second": round(self.rate),
            "seconds_left": left,
        }

    def __str__(self) -> str:
        of = f" of {_bytes(self.total)}" if self.total else ""
        left = "" if self.left is None else f", {_time(self.left)} left"
        return f"{self.reference}: {_bytes(self.done)}{of}, {_bytes(self.rate)}/s{left}"


Listener = Callable[[Report], None]


class Progress:
    """The bytes that were moved for one reference; may be shared by threads."""

    def __init__(self, reference: str, total: int, listeners: Iterable[Listener], clock: Callable[[], float]) -> None:
        self.total = total
        self._reference = reference
        self._listeners = listeners
        self._clock = clock
        self._done = self._reported = 0
        self._reported_at = clock()
        self._is_over = False
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes; a negative number takes back what is sent again."""
        with self._lock:
            self._done += count
            now = self._clock()
            seconds = now - self._reported_at
            if seconds < INTERVAL:
                return
            rate = max(0, self._done - self._reported) / seconds
            rest = self.total - self._done
            left = rest / rate if rate and rest >= 0 and self.total else None
            report = Report(self._reference, max(0, self._done), self.total, rate, left)
            self._reported, self._reported_at = self._done, now
            for listener in () if self._is_over else self._listeners:
                listener(report)

    def end(self) -> None:
        """Say nothing any more: when this returns, no listener is at work, and none will be called."""
        with self._lock:
            self._is_over = True


class Transfers:
    """The transfers of this process, which runs one task. ``listeners`` are called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.listeners: list[Listener] = []
        self._clock = clock
        self._current: dict[str, list[Progress]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, name: str, reference: str, total: int, listener: Listener | None = None) -> Iterator[Progress]:
        """Count what is moved for the repository ``name`` within the block as progress of ``reference``.

        :param total: bytes that will be moved; 0 when it is not known.
        :param listener: is called beside ``listeners``.
        """
        listeners = self.listeners if listener is None else [*self.listeners, listener]
        progress = Progress(reference, total, listeners, self._clock)
        with self._lock:
            self._current.setdefault(name, []).append(progress)
        try:
            yield progress
        finally:
            progress.end()
            with self._lock:
                self._current[name].remove(progress)
                if not self._current[name]:
                    del self._current[name]

    def counting(self, name: str, size: int | None) -> Progress:
        """What to count the bytes of one blob of a repository with: the progress of the block that began last for it,
        or of the only one, whose mirror it may be; otherwise one of its own."""
        with self._lock:
            current = self._current.get(name) or []
            if not current and len(self._current) == 1:
                current = next(iter(self._current.values()))
            return current[-1] if current else Progress(name, size or 0, self.listeners, self._clock)


transfers = Transfers()


def _bytes(number: float) -> str:
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{number:.0f} B"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
