# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which destinations may stand side by side in one task, and in which order they are written."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.context import make_context
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.places import (
    Turns,
    check_places,
    place_of,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task


def place(dest: str, kind: str = "extract", ref: str = "r.example.com/a:1") -> Any:
    options = PullOptions(ReferenceOptions(ref=ref), dest, LayerSelector("", kind), Limits(1 << 30, 1000))
    return place_of(make_context(options, Task(CacheOptions())))


def copy(dest: str, ref: str = "r.example.com/a:1") -> Any:
    return place(dest, "copy", ref)


OTHER = "r.example.com/b:1"


@pytest.mark.parametrize(
    "places",
    [
        [place("/srv/a"), place("/srv/b"), place("/srv/ab")],
        [copy("/srv/a.tgz"), copy("/srv/b.tgz")],
        # several charts, and versions of one, in a directory
        [copy("/srv/"), copy("/srv/", OTHER), copy("/srv/", "r.example.com/a:2"), copy("/srv/c.tgz")],
        [copy("/srv/"), copy("/srv/team/", OTHER), copy("/srv/team/x/y.tgz")],
        [],
    ],
)
def test_what_may_stand_side_by_side(places: list[Any]) -> None:
    check_places(places)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([place("/srv/a"), place("/srv/b"), place("/srv/x/../a")], "Items 1 and 3 .* same 'dest' /srv/a"),
        ([copy("/srv/a.tgz"), copy("/srv/a.tgz", OTHER)], "Items 1 and 2 .* same 'dest'"),
        ([copy("/srv/"), copy("/srv/")], "Items 1 and 2 of 'artifacts' copy the same artifact into /srv"),
        ([copy("/srv/"), place("/srv", ref=OTHER)], "Items 1 and 2 .* same 'dest'"),
        ([place("/srv", ref=OTHER), copy("/srv/")], "Items 1 and 2 .* same 'dest'"),
        ([place("/srv/a/b"), place("/srv/a")], "item 1 of 'artifacts', /srv/a/b, lies in that of item 2, /srv/a"),
        ([place("/srv/a"), copy("/srv/a/b.tgz")], "item 2 of 'artifacts', /srv/a/b.tgz, lies in that of item 1"),
        ([place("/"), place("/srv")], "item 2 .* lies in that of item 1, /"),
        ([copy("/srv/"), place("/srv/a")], "Item 2 .* unpacked into /srv/a, within the directory /srv that item 1"),
        ([copy("/srv/a"), copy("/srv/a/b/")], "item 2 .* lies in that of item 1"),
    ],
)
def test_what_would_be_in_the_way(places: list[Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        check_places(places)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for one, two in (("link", "real"), ("link/x", "real/x"), ("real", "link/x")):
        with pytest.raises(InvalidOption):
            check_places([place(str(tmp_path / one)), place(str(tmp_path / two))])


def test_what_may_meet_is_written_in_the_order_of_the_list() -> None:
    places = [copy("/srv/team/x.tgz"), copy("/srv/", OTHER), copy("/srv/team/"), place("/opt/a"), copy("/srv/")]
    turns = Turns(places)
    order: list[int] = []
    started = threading.Barrier(5)

    def work(number: int) -> None:
        started.wait(120)
        try:
            with turns.turn(number):
                order.append(number)
        finally:
            turns.done(number)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, [5, 4, 3, 2, 1]))
    assert [number for number in order if number != 4] == [1, 2, 3, 5] and 4 in order


def test_one_that_fails_gives_up_its_turn() -> None:
    turns = Turns([copy("/srv/"), copy("/srv/", OTHER)])
    turns.done(1)
    with turns.turn(2):
        pass


def test_what_cannot_meet_waits_for_nobody() -> None:
    files = [copy("/srv/c.tgz"), copy("/opt/"), copy("/srv/d/")]
    turns = Turns([place("/srv/a"), place("/srv/b"), *files, place("/srv/e")])
    passed = threading.Event()

    def work() -> None:
        for number in range(6, 0, -1):
            with turns.turn(number):
                pass
        passed.set()

    threading.Thread(target=work, daemon=True).start()
    assert passed.wait(120)
