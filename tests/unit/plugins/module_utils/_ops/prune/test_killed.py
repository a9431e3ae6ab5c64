# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A removal that is killed at any moment: what tags name is whole, and the next run leaves nothing behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.tags import REMOVAL_FILE
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.prune.test_prune import (
    ALL,
    Layout,
    index_of,
)

pytestmark = pytest.mark.once

FORK = multiprocessing.get_context("fork")
KILLS = 20
COUNT = 4
RULE = {"pattern": "^old-", **ALL}


def fill(path: Path) -> Layout:
    layout = Layout(path)
    shared = layout.publish("shared")
    for number in range(COUNT):
        part = layout.publish(f"part {number}")
        layout.publish(f"signature {number}", subject=part)
        layout.push(index_of(part, shared), f"old-{number}")
    layout.push(index_of(shared), "kept")
    return layout


def is_whole(layout: Layout) -> bool:
    """Everything that the tags of a layout lead to is there."""
    for tag in layout.tags():
        index = layout.repository.fetch_manifest(tag)
        parts = [layout.repository.fetch_manifest(each.digest) for each in index.manifests]
        if not all(map(layout.holds, parts)):
            return False
    return True


class Runs:
    """Copies of a layout, in each of which a removal is killed and then run again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.origin = fill(folder / "origin")
        done = self._copy("done")
        done.prune(RULE)
        self.wanted = done.blobs()

    def _copy(self, name: str) -> Layout:
        return Layout(Path(shutil.copytree(self.origin.path, self._folder / name)))

    def killed(self, name: str, kill: Callable[[Any], None], before: Callable[[], None]) -> str:
        """Run a removal, which calls ``before`` in its process, and ``kill`` from here; then run it again. Return what
        the killed one had reached."""
        layout = self._copy(name)

        def work() -> None:
            before()
            layout.prune(RULE)

        process = FORK.Process(target=work)
        process.start()
        kill(process)
        process.join()
        fresh = Layout(layout.path)
        # all tags or none, and never a tag without its content
        assert is_whole(fresh) and len(fresh.tags()) in (1, COUNT + 1)
        reached = "part" if fresh.blobs() != self.wanted else "all"
        if len(fresh.tags()) > 1:
            reached = "nothing"
        fresh.prune(RULE)
        assert fresh.tags() == ["kept"] and fresh.blobs() == self.wanted and is_whole(fresh)
        assert not (fresh.path / REMOVAL_FILE).exists()
        shutil.rmtree(layout.path)
        return reached


def test_a_removal_killed_before_any_of_its_steps_is_completed_by_the_next(tmp_path: Path) -> None:
    """Each rename and each removal of a file is a step."""
    runs = Runs(tmp_path)
    reached: list[str] = []
    while not reached or reached[-1] != "all":
        steps = iter(range(len(reached), -1, -1))

        def before(steps: Iterator[int] = steps) -> None:
            for name in ("replace", "unlink"):
                real = getattr(os, name)

                def step(*arguments: Any, real: Any = real, **options: Any) -> Any:
                    if next(steps, -1) == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*arguments, **options)

                setattr(os, name, step)

        reached.append(runs.killed(f"layout-{len(reached)}", lambda process: None, before))
    # in this order: the list of manifests is the turning point
    assert list(dict.fromkeys(reached)) == ["nothing", "part", "all"]
    assert reached.count("part") > COUNT


def test_a_removal_killed_at_random_is_completed_by_the_next(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for seed in range(KILLS):

        def kill(process: Any, seed: int = seed) -> None:
            time.sleep(random.Random(seed).uniform(0, 0.1))
            process.kill()

        runs.killed(f"layout-{seed}", kill, lambda: None)


@pytest.mark.parametrize("content", [b"", b"{", b'[1, null, "../../etc/passwd"]', b"{}", b"\xff"])
def test_what_is_left_to_remove_may_be_anything(tmp_path: Path, content: bytes) -> None:
    """Whoever may write to the layout may write that file: it removes nothing that a tag leads to."""
    layout = fill(tmp_path / "layout")
    before = layout.blobs()
    (layout.path / REMOVAL_FILE).write_bytes(content)
    assert not layout.prune({"pattern": "^none$", **ALL})["changed"]
    assert layout.blobs() == before and not (layout.path / REMOVAL_FILE).exists()
    (layout.path / REMOVAL_FILE).write_text(json.dumps(sorted(before)))
    layout.prune({"pattern": "^none$", **ALL}, check_mode=True)
    assert (layout.path / REMOVAL_FILE).exists()
    layout.prune({"pattern": "^none$", **ALL})
    assert layout.blobs() == before and is_whole(layout)
