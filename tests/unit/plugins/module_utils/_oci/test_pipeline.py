# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on chunks beside the thread that brings them."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import DigestMismatch
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import pipeline
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import Verifier, digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.pipeline import (
    BackgroundWorker,
    Chunk,
    verified,
)

PIECE = bytes(256 * 1024)
MANY = 2 * pipeline.START_SIZE // len(PIECE)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


@given(st.lists(st.binary(max_size=40)), st.integers(0, 60), st.integers(1, 30))
def test_everything_comes_in_order(chunks: list[bytes], start: int, batch: int) -> None:
    taken: list[Chunk] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "START_SIZE", start)
        patch.setattr(pipeline, "BATCH_SIZE", batch)
        work = BackgroundWorker(taken.append)
        for chunk in chunks:
            work.put(chunk)
        work.close()
    assert taken == chunks


def test_small_streams_need_no_thread() -> None:
    threads = set()
    work = BackgroundWorker(lambda chunk: threads.add(threading.current_thread()))
    for _chunk in range(pipeline.START_SIZE // len(PIECE) - 1):
        work.put(PIECE)
    work.close()
    assert threads == {threading.current_thread()}


def test_large_streams_are_worked_on_by_one_other_thread() -> None:
    threads = []
    work = BackgroundWorker(lambda chunk: threads.append(threading.current_thread()))
    for _chunk in range(MANY):
        work.put(PIECE)
    work.close()
    assert len(threads) == MANY
    assert len(set(threads) - {threading.current_thread()}) == 1


def test_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    taken = 0
    for chunk in verified(iter([PIECE] * MANY), Verifier(digest_of(PIECE * MANY), None, "It")):
        taken += len(chunk)
    assert taken == MANY * len(PIECE)


def test_what_waits_is_bounded() -> None:
    gate, taken = threading.Event(), 0

    def step(chunk: Chunk) -> None:
        if threading.current_thread() is not threading.main_thread():
            gate.wait(120)

    work = BackgroundWorker(step)

    def put() -> None:
        nonlocal taken
        for _chunk in range(100):
            work.put(PIECE)
            taken += len(PIECE)

    for _chunk in range(pipeline.START_SIZE // len(PIECE) - 1):
        work.put(PIECE)
    putting = threading.Thread(target=put)
    putting.start()
    putting.join(0.3)
    # one batch is worked on, one is being handed over
    assert taken <= (pipeline.MAX_WAITING + 2) * pipeline.BATCH_SIZE
    gate.set()
    putting.join()
    work.close()
    assert taken == 100 * len(PIECE)


def test_an_error_comes_back_and_ends_the_work() -> None:
    calls = 0

    def step(chunk: Chunk) -> None:
        nonlocal calls
        calls += 1
        if calls == MANY // 2 + 1:
            raise ValueError("bad chunk")

    work = BackgroundWorker(step)
    with pytest.raises(ValueError, match="bad chunk"):
        for _chunk in range(10 * MANY):
            work.put(PIECE)
    with pytest.raises(ValueError, match="bad chunk"):
        work.close()
    assert calls == MANY // 2 + 1


def test_to_stop_is_to_drop_what_waits() -> None:
    gate, calls = threading.Event(), 0

    def step(chunk: Chunk) -> None:
        nonlocal calls
        calls += 1
        if threading.current_thread() is not threading.main_thread():
            gate.wait(120)

    work = BackgroundWorker(step)
    for _chunk in range(MANY // 2 + 2):
        work.put(PIECE)
    before = calls
    threading.Timer(0.05, gate.set).start()
    work.stop()
    work.stop()
    assert calls <= before + pipeline.BATCH_SIZE // len(PIECE)


@pytest.mark.parametrize("count", [0, 1, MANY])
def test_the_right_bytes(count: int) -> None:
    digest = digest_of(PIECE * count)
    found = hashlib.sha256()
    for chunk in verified(iter([PIECE] * count), Verifier(digest, len(PIECE) * count, "It")):
        found.update(chunk)
    assert found.hexdigest() == digest[7:]


@pytest.mark.parametrize("count", [1, MANY])
def test_the_wrong_bytes(count: int) -> None:
    taken = 0
    with pytest.raises(DigestMismatch, match="It does not match its digest"):
        for _chunk in verified(iter([PIECE] * count), Verifier(digest_of(b""), len(PIECE) * count, "It")):
            taken += 1
    assert taken == count


def test_too_many_bytes_end_the_stream() -> None:
    taken = 0
    with pytest.raises(DigestMismatch, match="longer than its descriptor says"):
        for _chunk in verified(iter([PIECE] * 100 * MANY), Verifier(digest_of(b""), len(PIECE) * MANY, "It")):
            taken += 1
    assert taken < 3 * MANY


def test_a_reader_that_gives_up() -> None:
    with contextlib.closing(verified(iter([PIECE] * 2 * MANY), Verifier(digest_of(b""), None, "It"))) as chunks:
        for _chunk in range(MANY + 1):
            next(chunks)
