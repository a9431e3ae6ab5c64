# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses that last as long as others are at work, in place of a time in which they would have to be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

# seconds; it only ends a test that has failed
PATIENCE = 600.0


class Meeting:
    """The clock of several threads: their pauses end when each of them pauses or has finished.

    So what one of them has begun to write is written when another looks again, however busy the machine is. It stands
    for the module ``time`` of the code that pauses.
    """

    def __init__(self, count: int) -> None:
        self._present = count
        self._waiting = 0
        self._turn = 0
        self._changed = threading.Condition()
        self.monotonic = time.monotonic

    def sleep(self, _seconds: float) -> None:
        with self._changed:
            turn = self._turn
            self._waiting += 1
            self._go_on()
            assert self._changed.wait_for(lambda: self._turn != turn, PATIENCE), "the others do not come"

    def attend(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work of one of the threads; return what it returns."""
        try:
            return work(*arguments)
        finally:
            with self._changed:
                self._present -= 1
                self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._waiting >= self._present:
            self._waiting = 0
            self._turn += 1
            self._changed.notify_all()
