# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One tag of a layout and many processes: one of those that expect the same wins, and a killed one breaks nothing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import TagMoved
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.tags import LayoutTags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.options import TagOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.record import RecordOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.tag import tag
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
    source_of,
)

pytestmark = pytest.mark.once

FORK = multiprocessing.get_context("fork")
RUNNERS = 8
LOST = 3


def at(root: Path) -> LayoutTags:
    return LayoutTags(parse_reference(f"oci-layout:{root}"))


def move(root: Path, digest: str, **options: Any) -> dict[str, Any]:
    return tag(TagOptions(ReferenceOptions(ref=f"oci-layout:{root}@{digest}"), ["prod"], **options))


@pytest.fixture
def digests(tmp_path: Path) -> list[str]:
    """Artifacts of the layout; the tag prod is at the first."""
    repository = at(tmp_path / "layout")
    repository.push_blob(source_of(b"{}"))
    manifests = [manifest_of(annotations={"n": str(number)}) for number in range(RUNNERS + 1)]
    for manifest in manifests:
        repository.push_manifest(manifest)
    repository.push_manifest(manifests[0], "prod")
    repository.push_manifest(manifests[0], "kept")
    return [manifest.descriptor.digest for manifest in manifests]


def test_of_those_that_expect_the_same_one_wins(tmp_path: Path, digests: list[str]) -> None:
    root, start = tmp_path / "layout", FORK.Barrier(RUNNERS)

    def work(digest: str) -> None:
        start.wait(600)
        try:
            move(root, digest, expect={"prod": digests[0]})
        except TagMoved:
            sys.exit(LOST)

    processes = [FORK.Process(target=work, args=(digest,)) for digest in digests[1:]]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    codes = [process.exitcode for process in processes]
    assert sorted(codes) == [0, *[LOST] * (RUNNERS - 1)]
    assert at(root).resolve("prod").digest == digests[1:][codes.index(0)]
    assert at(root).list_tags() == ["kept", "prod"]


def test_a_task_killed_at_any_moment_leaves_the_tag_where_it_was_or_is_to_be(
    tmp_path: Path, digests: list[str]
) -> None:
    root = tmp_path / "layout"
    one, two = digests[1:3]

    def work(progress: Any) -> None:
        while True:
            for digest in (one, two):
                move(root, digest, record=RecordOptions("killed", "run"))
                progress.send_bytes(b".")

    for seed in range(50):
        progress, far_end = FORK.Pipe(duplex=False)
        process = FORK.Process(target=work, args=(far_end,))
        process.start()
        # by what it has done, not by the clock: a busy machine kills no task that has not begun
        for _move in range(seed % 3):
            progress.recv_bytes()
        time.sleep(random.Random(seed).uniform(0, 0.02))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        progress.close()
        far_end.close()
        repository = at(root)
        assert repository.list_tags() == ["kept", "prod"]
        assert repository.fetch_manifest("prod").descriptor.digest in digests[:3]
        assert repository.resolve("kept").digest == digests[0]
        assert move(root, digests[0])["after"] == {"prod": digests[0]}
        assert at(root).resolve("prod").digest == digests[0]
