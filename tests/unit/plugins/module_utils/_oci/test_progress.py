# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When something is said of a transfer, what, and to whom."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.progress import Report, Transfers

MIB = 1024 * 1024


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> list[Report]:
    return []


@pytest.fixture
def transfers(clock: Clock, said: list[Report]) -> Transfers:
    found = Transfers(clock)
    found.listeners.append(said.append)
    return found


def test_a_short_transfer_says_nothing(transfers: Transfers, clock: Clock, said: list[Report]) -> None:
    with transfers.of("r/a", "r/a:1", 10 * MIB):
        for _second in range(9):
            clock.now += 1
            transfers.counting("r/a", MIB).add(MIB)
    assert said == []


def test_a_long_one_says_it_each_ten_seconds(transfers: Transfers, clock: Clock, said: list[Report]) -> None:
    with transfers.of("r/a", "r/a:1", 100 * MIB):
        for _second in range(25):
            clock.now += 1
            # several blobs of one reference count together
            transfers.counting("r/a", MIB).add(MIB // 2)
            transfers.counting("r/a", MIB).add(MIB // 2)
    assert [report.done for report in said] == [9.5 * MIB, 19.5 * MIB]
    assert said[1] == Report("r/a:1", 19 * MIB + MIB // 2, 100 * MIB, MIB, 80.5)
    assert str(said[1]) == "r/a:1: 19.5 MiB of 100.0 MiB, 1.0 MiB/s, 1 min 20 s left"
    assert said[1].as_result() == {
        "reference": "r/a:1",
        "bytes": 20447232,
        "total_bytes": 104857600,
        "bytes_per_second": MIB,
        "seconds_left": 80,
    }


def test_what_nobody_announced(transfers: Transfers, clock: Clock, said: list[Report]) -> None:
    """A cache that is filled: each blob is a transfer of its own."""
    progress = transfers.counting("r/a", 5000)
    for _chunk in range(4):
        clock.now += 6
        progress.add(1000)
    assert [str(report) for report in said] == [
        "r/a: 2.0 KiB of 4.9 KiB, 167 B/s, 18 s left",
        "r/a: 3.9 KiB of 4.9 KiB, 167 B/s, 6 s left",
    ]


def test_sizes_that_are_not_known_and_bytes_that_are_sent_again(
    transfers: Transfers, clock: Clock, said: list[Report]
) -> None:
    progress = transfers.counting("r/a", None)
    progress.add(MIB)
    progress.add(-MIB)
    clock.now += 4000
    progress.add(0)
    assert str(said[0]) == "r/a: 0 B, 0 B/s"
    with transfers.of("r/b", "r/b:1", 8 * 1024 * MIB) as progress:
        clock.now += 10
        progress.add(MIB)
    assert str(said[1]).endswith("of 8.0 GiB, 102.4 KiB/s, 22 h 45 min left")


def test_a_mirror_counts_for_what_it_mirrors(transfers: Transfers, clock: Clock, said: list[Report]) -> None:
    with transfers.of("r/a", "r/a:1", MIB):
        with transfers.of("r/b", "r/b:1", MIB):
            several = transfers.counting("mirror/a", 1)
        only = transfers.counting("mirror/a", 1)
        clock.now += 10
        only.add(1)
    several.add(1)
    assert [report.reference for report in said] == ["r/a:1", "mirror/a"]


def test_nothing_is_said_when_it_is_over(transfers: Transfers, clock: Clock, said: list[Report]) -> None:
    """Not even by a thread that counts late: the directory that a listener writes to may be another's by then."""
    mine: list[Report] = []
    with transfers.of("r/a", "r/a:1", MIB, mine.append), transfers.of("r/a", "r/a:2", MIB):
        late = transfers.counting("r/a", MIB)
    other = transfers.counting("r/a", MIB)
    clock.now += 100
    late.add(1)
    assert (said, mine) == ([], [])
    other.add(1)
    assert [report.reference for report in said] == ["r/a"] and mine == []


def test_the_end_waits_for_a_listener(transfers: Transfers, clock: Clock) -> None:
    entered, leave = threading.Event(), threading.Event()
    ended: list[bool] = []

    def listen(report: Report) -> None:
        entered.set()
        leave.wait(120)
        ended.append(True)

    with transfers.of("r/a", "r/a:1", MIB, listen) as progress:
        clock.now += 10
        adding = threading.Thread(target=progress.add, args=(1,))
        adding.start()
        assert entered.wait(120)
        leave.set()
    assert ended == [True]
    adding.join()
