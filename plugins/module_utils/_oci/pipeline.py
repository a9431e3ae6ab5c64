# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processing of a stream of bytes in a background thread: hashing, decompression, system calls and zlib's checksums
release the interpreter lock, so that they run in parallel with the download.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Callable, Union

from .digest import Verifier

if TYPE_CHECKING:
    import queue
    import threading

Chunk = Union[bytes, memoryview]

# Bytes that are processed by the caller before a thread is started: for less, a thread costs more than it gains.
START_SIZE = 4 << 20
# Bytes in a batch, and how many batches may be queued: together they bound the memory that a stream takes.
BATCH_SIZE = 2 << 20
MAX_WAITING = 2


class BackgroundWorker:
    """Calls ``step`` with one chunk after the other, in order, in a thread of its own once there are many.

    A chunk must not change after it was put. An exception of ``step`` is raised by a later :meth:`put` or by
    :meth:`close`, and ``step`` is not called again. The caller must call :meth:`close` or :meth:`stop` at the end.
    """

    def __init__(self, step: Callable[[Chunk], object]) -> None:
        self._step = step
        self._size = 0
        self._batch: list[Chunk] = []
        self._batch_size = 0
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[list[Chunk] | None] | None = None
        self._error: BaseException | None = None
        self._is_stopped = False

    def put(self, chunk: Chunk) -> None:
        """Queue the next chunk; wait while the queue is full."""
        size = len(chunk)
        if self._queue is None:
            self._size += size
            if self._size < START_SIZE or not self._start():
                self._step(chunk)
                return
        self._batch.append(chunk)
        self._batch_size += size
        if self._batch_size >= BATCH_SIZE:
            self._hand_over()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until all chunks are processed."""
        self._hand_over()
        self._join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Discard the queued chunks. May be called at any time, and more than once."""
        self._is_stopped = True
        self._join()

    def _start(self) -> bool:
        import queue

        from .._files.threads import new_thread

        waiting: queue.Queue[list[Chunk] | None] = queue.Queue(MAX_WAITING)
        thread = new_thread(self._run, waiting)
        try:
            thread.start()
        except RuntimeError:
            # the system allows no more threads: the chunks are processed in the calling thread
            return False
        self._queue, self._thread = waiting, thread
        return True

    def _hand_over(self) -> None:
        if self._queue is not None and self._batch:
            self._queue.put(self._batch)
        self._batch, self._batch_size = [], 0

    def _join(self) -> None:
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self, waiting: queue.Queue[list[Chunk] | None]) -> None:
        while True:
            batch = waiting.get()
            if batch is None:
                return
            # after an error the queue is still emptied, so that put() does not block
            if self._error is None and not self._is_stopped:
                try:
                    for chunk in batch:
                        self._step(chunk)
                except BaseException as exc:
                    self._error = exc


def verified(chunks: Iterator[bytes], verifier: Verifier) -> Generator[bytes, None, None]:
    """The chunks, hashed in a background thread; they are verified only once the iterator is exhausted.

    :raises DigestMismatch: when they do not match the verifier's digest or size.
    """
    hashing = BackgroundWorker(verifier.update)
    try:
        for chunk in chunks:
            hashing.put(chunk)
            yield chunk
        hashing.close()
    finally:
        hashing.stop()
    verifier.finish()
