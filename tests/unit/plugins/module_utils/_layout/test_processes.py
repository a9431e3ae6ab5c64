# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One image layout and many processes: none loses what another wrote, and a killed one breaks nothing."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import NotFound, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource, read_blob

pytestmark = pytest.mark.once

FORK = multiprocessing.get_context("fork")


def at(root: Path, **options: Any) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(root)), **options)


def push(repository: LayoutRepository, content: bytes, tag: str) -> Manifest:
    parts = []
    for data in (b"{}", content):
        part = Descriptor(media.OCI_EMPTY, digest_of(data), len(data))
        repository.push_blob(BlobSource(part, lambda data=data: io.BytesIO(data)))
        parts.append(part.as_json())
    raw = canonical_json({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": parts[0], "layers": parts[1:]})
    manifest = parse_manifest(raw, "", "the manifest")
    repository.push_manifest(manifest, tag)
    return manifest


def run_all(works: list[Callable[[], None]]) -> None:
    processes = [FORK.Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def content_of(repository: LayoutRepository, tag: str) -> bytes:
    return b"".join(read_blob(repository, repository.fetch_manifest(tag).layers[0]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "new/layout"


def test_eight_processes_push_five_tags_each_into_a_layout_that_is_not_there_yet(root: Path) -> None:
    def work(number: int) -> None:
        for tag in range(5):
            push(at(root), f"{number}-{tag}".encode(), f"{number}.{tag}")
            push(at(root), b"shared", f"shared-{number}.{tag}")
            push(at(root), f"{number}-{tag}".encode(), "latest")

    run_all([lambda number=number: work(number) for number in range(8)])
    repository = at(root)
    own = [f"{number}.{tag}" for number in range(8) for tag in range(5)]
    assert repository.list_tags() == sorted([*own, *(f"shared-{tag}" for tag in own), "latest"])
    for tag in own:
        assert content_of(repository, tag) == tag.replace(".", "-").encode()
        assert content_of(repository, f"shared-{tag}") == b"shared"
    assert sorted(path.name for path in root.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert len(list((root / "blobs/sha256").iterdir())) == 1 + 41 * 2


def test_readers_see_a_whole_layout_at_any_moment(root: Path) -> None:
    push(at(root), b"first", "first")

    def write() -> None:
        for number in range(60):
            push(at(root), str(number).encode(), "moving")

    def read() -> None:
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert content_of(at(root), "first") == b"first"
            assert set(at(root).list_tags()) <= {"first", "moving"}

    run_all([write, read, read])


def test_a_writer_killed_at_any_moment_leaves_a_readable_layout(root: Path) -> None:
    def work(seed: int, progress: Any) -> None:
        repository, number = at(root), 0
        while True:
            number += 1
            push(repository, f"{seed}-{number}".encode() * 2000, f"{seed}.{number % 3}")
            progress.send_bytes(b".")

    rounds = 25
    for seed in range(rounds):
        progress, far_end = FORK.Pipe(duplex=False)
        process = FORK.Process(target=work, args=(seed, far_end))
        process.start()
        # by what it has done, not by the clock: a busy machine kills no writer that has not begun
        for _push in range(seed % 5):
            progress.recv_bytes()
        time.sleep(random.Random(seed).uniform(0, 0.03))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        progress.close()
        far_end.close()
        try:
            repository = at(root)
            for tag in repository.list_tags():
                assert content_of(repository, tag).startswith(tag.partition(".")[0].encode())
        except NotFound:
            # killed before there was anything
            assert not (root / "index.json").exists()
        push(at(root, lock_timeout=1), b"healed", "healed")
        assert content_of(at(root), "healed") == b"healed"
    json.loads((root / "index.json").read_bytes())
    # the killed writers got somewhere
    assert len(at(root).list_tags()) > 1
    push(at(root), b"last", "last")
    assert sorted(path.name for path in root.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_killed_pushes_leave_no_more_than_one_of_them_would(root: Path) -> None:
    def work() -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x" * 100_000
            # whatever becomes of the test, this one ends, and has written no more
            time.sleep(600)

        at(root).store.add(Descriptor("", digest_of(os.urandom(16)), 1 << 40), chunks())

    for _kill in range(30):
        before = set((root / ".ingest").glob("*.tmp"))
        process = FORK.Process(target=work)
        process.start()
        # what the ones before left is gone by the time that this one writes
        try:
            deadline = time.monotonic() + 120
            while not _is_written_to(root, before):
                assert time.monotonic() < deadline and process.is_alive(), "nothing was written"
                time.sleep(0.005)
        finally:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        assert len(list((root / ".ingest").iterdir())) == 1
    push(at(root), b"content", "1")
    assert not (root / ".ingest").exists()


def _is_written_to(root: Path, before: set[Path]) -> bool:
    """Whether there is one file under way, which has content, is worked on and is none of those from before.

    Those are locked for a moment too: by the one that removes them.
    """
    found = list((root / ".ingest").glob("*.tmp"))
    # what is left of the one before may go at any moment
    with contextlib.suppress(FileNotFoundError):
        if len(found) == 1 and found[0] not in before and found[0].stat().st_size:
            with found[0].open("rb") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
    return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that everybody can reach, unlike tmp_path."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def as_nobody(work: Callable[[], object]) -> str:
    """What the work raises for a user without rights, as class and text; empty when it passes."""
    receiver, sender = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()
            sender.send("")
        except (OciError, AssertionError) as exc:
            sender.send(f"{type(exc).__name__}: {exc}")

    process = FORK.Process(target=run)
    process.start()
    outcome: str = receiver.recv()
    process.join()
    return outcome


def test_a_read_only_layout_is_read_and_refuses_pushes_in_one_sentence(folder: Path) -> None:
    before = os.umask(0o022)
    try:
        manifest = push(at(folder), b"content", "1")
    finally:
        os.umask(before)
    folder.chmod(0o555)

    def read() -> None:
        repository = at(folder)
        assert repository.list_tags() == ["1"]
        assert repository.fetch_manifest("1") == manifest
        assert content_of(repository, "1") == b"content"
        assert repository.list_referrers(manifest.descriptor.digest) == []

    assert as_nobody(read) == ""
    assert as_nobody(lambda: at(folder).push_manifest(manifest, "1")) == "", "nothing to write for what is there"
    refused = as_nobody(lambda: at(folder).push_manifest(manifest, "2"))
    assert refused.startswith(f"StorageError: Cannot create {folder}/.ingest/index.json")
    assert "Permission denied. Run as a user who has access" in refused
    assert at(folder).list_tags() == ["1"]


def test_a_layout_is_not_created_where_nobody_may_write(folder: Path) -> None:
    refused = as_nobody(lambda: push(at(folder / "a/b"), b"x", "1"))
    assert refused.startswith(f"StorageError: Cannot create {folder}/a/b/oci-layout: Permission denied.")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_users_who_share_a_folder_share_the_layout(folder: Path) -> None:
    """The lock is on a file that its owner lets nobody else write."""
    before = os.umask(0o022)
    try:
        push(at(folder), b"one", "1")
    finally:
        os.umask(before)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o777)
    assert as_nobody(lambda: push(at(folder), b"two", "2")) == ""
    assert at(folder).list_tags() == ["1", "2"]
