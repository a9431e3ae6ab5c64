# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artifacts that a task copies into one repository have in common is sent once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from .graph import Part

# Artifacts that are remembered with their manifests, for other tags of the same digest: how many, and bytes together.
MAX_ARTIFACTS = 64
MAX_BYTES = 8 * 1024 * 1024


class Sent:
    """The blobs and artifacts that were sent to one repository. Thread-safe.

    :param transfers: bounds the blobs that are sent at the same time.
    """

    def __init__(self, transfers: AbstractContextManager[object] | None = None) -> None:
        self._transfers = nullcontext() if transfers is None else transfers
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._blobs: set[str] = set()
        self._artifacts: OrderedDict[str, Sequence[Part]] = OrderedDict()

    @contextmanager
    def turn(self, digest: str) -> Iterator[None]:
        """Make other threads wait that send the same blob or artifact."""
        with self._guard:
            turn = self._turns.setdefault(digest, threading.Lock())
        with turn:
            yield

    def blob(self, digest: str, send: Callable[[], str]) -> str:
        """Return the outcome of ``send``; empty, without a call, for a blob that was sent before."""
        with self.turn(digest):
            if digest in self._blobs:
                return ""
            with self._transfers:
                outcome = send()
            self._blobs.add(digest)
            return outcome

    def parts_of(self, digest: str) -> Sequence[Part]:
        """The parts of an artifact that is there in full; none where that is not known (any more)."""
        with self._guard:
            return self._artifacts.get(digest, ())

    def note(self, digest: str, parts: Sequence[Part]) -> None:
        """Remember that an artifact is there in full."""
        with self._guard:
            self._artifacts[digest] = parts
            sizes = [sum(len(part.manifest.raw) for part in each) for each in self._artifacts.values()]
            while len(self._artifacts) > MAX_ARTIFACTS or sum(sizes) > MAX_BYTES:
                self._artifacts.popitem(last=False)
                sizes.pop(0)
