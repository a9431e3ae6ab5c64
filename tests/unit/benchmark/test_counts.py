# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helpers that count what processes cost, and the comparison with bounds."""

from __future__ import annotations

import pytest
from bounds import BOUNDS, exceeded
from support.counts import Calls, imported, parsed

TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 83.13    0.114119        1426        80        40 wait4
  2.69    0.003687           2      1380       597 openat
  0.10    0.000001           0        12           pread64
------ ----------- ----------- --------- --------- ----------------
100.00    0.137279          31      4397       914 total
"""


def test_the_table_of_strace() -> None:
    assert parsed(TABLE) == {"wait4": 80, "openat": 1380, "pread64": 12}


def test_calls_for_each_item() -> None:
    few, many = Calls({"openat": 110, "futex": 3, "mkdir": 9}), Calls({"openat": 310, "futex": 900, "mkdir": 10})
    assert many.per_item(few, 100) == {"openat": 2.0}
    assert (few.steady, few.of("openat", "mkdir", "rename")) == (119, 119)


def test_modules_that_were_imported() -> None:
    head = "import time: self [us] | cumulative | imported package\n"
    assert imported(f"{head}import time:        10 |         10 |   encodings.utf_8\n") == {"encodings.utf_8"}


def test_what_costs_more_than_it_may() -> None:
    bounds = {"a": 2, "b": 1.5}
    assert exceeded({"a": 2, "b": 1.5}, bounds) == []
    assert exceeded({"a": 3, "b": 1.5}, bounds) == ["a: 3, at most 2 (tests/integration/bounds.py)"]
    with pytest.raises(KeyError):
        exceeded({"unknown": 1}, bounds)
    assert all(bound >= 0 for bound in BOUNDS.values())
