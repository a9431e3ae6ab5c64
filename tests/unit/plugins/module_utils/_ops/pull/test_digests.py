# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large artifacts, whose files have no digests in the record after the first pull."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import layer_reader, staging
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.layer_reader import LayerReader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.staged_layers import StagedLayers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.staging import (
    MAX_ALWAYS_HASHED,
    needs_digests,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import MAX_TRANSFERS
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import (
    digest_of,
    publish,
)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PullOptions:
    monkeypatch.setattr(staging, "MAX_ALWAYS_HASHED", 0)
    layout = tmp_path / "layout"
    publish(layout, "1", {"a": "one", "dir/b": "two"})
    publish(layout, "2", {"a": "one", "dir/b": "owt"})
    reference = ReferenceOptions(ref=f"oci-layout:{layout}:1")
    return PullOptions(reference, str(tmp_path / "dest"), LayerSelector(), Limits(1 << 20, 100))


def digests(options: PullOptions) -> dict[str, str]:
    record = json.loads(Path(options.dest, ".oci-artifact/state").read_text())
    return {name: entry[3] for name, entry in record["files"].items() if entry[0] == "file"}


def touch(options: PullOptions, name: str) -> None:
    os.utime(Path(options.dest, name), (1, 1))


KNOWN = {"a": digest_of(b"one"), "dir/b": digest_of(b"two")}


def test_the_first_pull_takes_none_and_the_next_is_unchanged(options: PullOptions) -> None:
    assert pull(options).changed
    assert digests(options) == {"a": "", "dir/b": ""}
    result = pull(options)
    assert (result.changed, result.reason) == (False, "ArtifactUpToDate")
    assert Path(options.dest, "dir/b").read_text() == "two"


def test_small_artifacts_have_them(options: PullOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MAX_ALWAYS_HASHED", MAX_ALWAYS_HASHED)
    pull(options)
    assert digests(options) == KNOWN


def test_a_file_with_another_time_is_compared_with_the_artifact(options: PullOptions) -> None:
    pull(options)
    touch(options, "a")
    assert not pull(options).changed
    assert digests(options) == KNOWN
    touch(options, "a")
    assert not pull(options).changed


def test_a_file_with_another_content_is_put_right(options: PullOptions) -> None:
    pull(options)
    Path(options.dest, "a").write_text("eno")
    result = pull(options)
    assert result.changed and result.changes["changed"] == ["a"], result
    assert Path(options.dest, "a").read_text() == "one"
    assert digests(options) == KNOWN


def test_contents_are_compared_when_that_is_asked_for(options: PullOptions) -> None:
    pull(options)
    path = Path(options.dest, "a")
    status = path.stat()
    path.write_text("eno")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not pull(options).changed
    strict = options._replace(check_content=True)
    result = pull(strict)
    assert result.changed and result.changes["changed"] == ["a"], result
    assert digests(options) == KNOWN
    assert not pull(strict).changed


def test_an_update_leaves_equal_files_alone(options: PullOptions) -> None:
    pull(options)
    before = Path(options.dest, "a").stat()
    newer = options._replace(reference=ReferenceOptions(ref=options.reference.ref.replace(":1", ":2")))
    result = pull(newer)
    assert result.changes["changed"] == ["dir/b"], result
    assert Path(options.dest, "dir/b").read_text() == "owt"
    after = Path(options.dest, "a").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_equal_files_of_others_are_found(options: PullOptions) -> None:
    Path(options.dest).mkdir()
    Path(options.dest, "a").write_text("one")
    result = pull(options)
    assert sorted(result.changes["added"]) == ["dir", "dir/b"], result
    assert digests(options) == KNOWN


def sized(size: int) -> Descriptor:
    return Descriptor("a/b", digest_of(b""), size)


def test_when_digests_are_needed(tmp_path: Path) -> None:
    large, missing = [sized(MAX_ALWAYS_HASHED), sized(1)], DirectoryHandles(-1)
    there = DirectoryHandles.of(str(tmp_path))
    assert needs_digests([sized(MAX_ALWAYS_HASHED)], missing, False)
    assert not needs_digests(large, missing, False)
    assert needs_digests(large, missing, True)
    (tmp_path / ".oci-artifact").mkdir()
    assert not needs_digests(large, there, False)
    (tmp_path / "file").touch()
    assert needs_digests(large, there, False)


@pytest.mark.parametrize(
    ("sizes", "wanted"), [([1] * 9, 16), ([1 << 20] * 9, 16), ([4 << 20] * 9, 8), ([1 << 30, 1], 4), ([0], 16)]
)
def test_transfers_at_once(sizes: list[int], wanted: int) -> None:
    assert layer_reader._transfers([sized(size) for size in sizes]) == wanted


def test_artifacts_of_one_task_share_what_is_fetched_at_once() -> None:
    transfers = threading.BoundedSemaphore(MAX_TRANSFERS)
    lock, under_way, most = threading.Lock(), [0], [0]
    # as many as may be under way meet here: fewer would wait in vain
    meeting, is_over = threading.Barrier(MAX_TRANSFERS), threading.Event()

    def fetch(_layer: Descriptor) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        if not is_over.is_set():
            meeting.wait(120)
            is_over.set()
        with lock:
            under_way[0] -= 1

    def pull_one() -> None:
        layer_reader._fetch_layers(fetch, [sized(1) for _layer in range(40)], transfers)

    pulls = [threading.Thread(target=pull_one) for _artifact in range(3)]
    for each in pulls:
        each.start()
    for each in pulls:
        each.join()
    assert most[0] == MAX_TRANSFERS


def test_a_layer_that_is_used_once_is_moved(tmp_path: Path) -> None:
    stage = os.open(tmp_path, os.O_RDONLY)
    store = StagedLayers(stage)
    once, twice = (Descriptor("a/b", digest_of(data), len(data)) for data in (b"once", b"twice"))
    for layer, data in ((once, b"once"), (twice, b"twice")):
        store.fetch(layer, lambda offset, data=data: iter([data[offset:]]), "the layer")  # type: ignore[misc]
    repository: Any = None
    read = LayerReader(repository, {}, store, {once.digest: 1, twice.digest: 2})
    assert read.move(once, stage, b"once") and (tmp_path / "once").read_bytes() == b"once"
    assert not read.move(twice, stage, b"twice") and not (tmp_path / "twice").exists()
    assert b"".join(read(twice)) == b"twice"
    with open(tmp_path / "once", "rb") as handle:
        held = LayerReader(repository, {twice.digest: handle}, store, {twice.digest: 1})
        assert not held.move(twice, stage, b"twice")
    os.close(stage)
