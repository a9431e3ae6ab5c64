# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pauses of one task before it asks a registry again: growing, jittered, as the registry wishes, and bounded."""

from __future__ import annotations

import random
import threading
import time
from typing import Callable

# All in seconds. A registry that asks for more than MAX_PAUSE in Retry-After is not waited for.
FIRST_PAUSE = 0.5
MAX_PAUSE = 60.0
# for all requests of a task together, however many 'retries' allows
MAX_TOTAL = 300.0


class Pauses:
    """Shared by the threads of a task; ``total`` is for how long (seconds) at least one of them paused so far."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = 0.0
        self._sleep = sleep
        self._clock = clock
        self._until = 0.0
        self._lock = threading.Lock()

    def allow(self, asked: float | None = None) -> bool:
        """Return whether one more pause of ``asked`` seconds (the registry's Retry-After) fits in and makes sense."""
        left = MAX_TOTAL - self.total
        return left > 0 and (asked is None or asked <= min(MAX_PAUSE, left))

    def pause(self, attempts: int, asked: float | None = None, *, counts: bool = True) -> None:
        """Wait before the attempt that follows on ``attempts`` earlier repetitions.

        Without Retry-After for 0.5 s, doubled each time up to a minute, less a random part of up to a half.
        With it, never for less than it asks: a random part is added of up to a quarter of it, or of what the pause
        would be without it. So the hosts of a fleet that were turned away at one moment do not come back at one moment.

        A pause that does not ``counts`` leaves the total alone: one that follows on progress.
        """
        growing = min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(attempts, 10))
        if asked is None:
            seconds = growing * random.uniform(0.5, 1.0)
        else:
            seconds = asked + max(growing, asked / 4) * random.uniform(0.0, 1.0)
        if counts:
            seconds = self._count(seconds, asked or 0.0)
        self._sleep(seconds)

    def _count(self, seconds: float, least: float) -> float:
        with self._lock:
            now = self._clock()
            seconds = max(least, min(seconds, MAX_TOTAL - self.total))
            # pauses of several threads overlap
            self.total += max(0.0, now + seconds - max(now, self._until))
            self._until = max(self._until, now + seconds)
        return seconds
