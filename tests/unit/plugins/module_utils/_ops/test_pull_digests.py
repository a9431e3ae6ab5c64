# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large artifacts, whose files have no digests in the record after the first pull."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.blob_store import BlobStore
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import layer_reader, staging
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_reader import LayerReader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull_options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.staging import (
    MAX_ALWAYS_HASHED,
    needs_digests,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import MAX_TRANSFERS

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def publish(layout: Path, tag: str, files: dict[str, str]) -> None:
    """Put an artifact with one layer into an OCI image layout, beside what it holds."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    store = layout / "blobs/sha256"
    store.mkdir(parents=True, exist_ok=True)

    def add(data: bytes, media_type: str) -> dict[str, object]:
        (store / digest_of(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    layer = add(target.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    config = add(b"{}", "application/vnd.oci.empty.v1+json")
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    entry = {**add(json.dumps(document).encode(), MANIFEST), "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = layout / "index.json"
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*known, entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


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
    large, missing = [sized(MAX_ALWAYS_HASHED), sized(1)], str(tmp_path / "none")
    assert needs_digests([sized(MAX_ALWAYS_HASHED)], missing, False)
    assert not needs_digests(large, missing, False)
    assert needs_digests(large, missing, True)
    (tmp_path / ".oci-artifact").mkdir()
    assert not needs_digests(large, str(tmp_path), False)
    (tmp_path / "file").touch()
    assert needs_digests(large, str(tmp_path), False)


@pytest.mark.parametrize(
    ("sizes", "wanted"), [([1] * 9, 16), ([1 << 20] * 9, 16), ([4 << 20] * 9, 8), ([1 << 30, 1], 4), ([0], 16)]
)
def test_transfers_at_once(sizes: list[int], wanted: int) -> None:
    assert layer_reader._transfers([sized(size) for size in sizes]) == wanted


def test_artifacts_of_one_task_share_what_is_fetched_at_once() -> None:
    transfers = threading.BoundedSemaphore(MAX_TRANSFERS)
    lock, under_way, most = threading.Lock(), [0], [0]

    def fetch(_layer: Descriptor) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.01)
        with lock:
            under_way[0] -= 1

    def pull_one() -> None:
        layer_reader._fetch_all(fetch, [sized(1) for _layer in range(40)], transfers)

    pulls = [threading.Thread(target=pull_one) for _artifact in range(3)]
    for each in pulls:
        each.start()
    for each in pulls:
        each.join()
    assert most[0] == MAX_TRANSFERS


def test_a_layer_that_is_used_once_is_moved(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path / "stage"))
    once, twice = (Descriptor("a/b", store.add_bytes(data), len(data)) for data in (b"once", b"twice"))
    repository: Any = None
    read = LayerReader(repository, {}, store, {once.digest: 1, twice.digest: 2})
    assert read.move(once, str(tmp_path / "once")) and (tmp_path / "once").read_bytes() == b"once"
    assert not read.move(twice, str(tmp_path / "twice")) and not (tmp_path / "twice").exists()
    assert b"".join(read(twice)) == b"twice"
    with open(tmp_path / "once", "rb") as handle:
        held = LayerReader(repository, {twice.digest: handle}, store, {twice.digest: 1})
        assert not held.move(twice, str(tmp_path / "twice"))
