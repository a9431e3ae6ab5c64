# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs of a cache: held while they are used, dated by it, and safe among users who share the directory."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache import store as cache_store
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.store import CacheStore, checked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor

FORK = multiprocessing.get_context("fork")
DATA = bytes(range(256)) * 40


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", "sha256:" + hashlib.sha256(data).hexdigest(), len(data))


FOUND = descriptor_of(DATA)


def source(offset: int) -> Iterator[bytes]:
    yield DATA[offset:]


def nothing(_offset: int) -> Iterator[bytes]:
    raise AssertionError("what is there is not fetched")


@pytest.fixture
def store(tmp_path: Path) -> CacheStore:
    return CacheStore(str(tmp_path / "cache"))


def may_be_removed(path: str) -> bool:
    with open(path, "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_blob_is_held_from_the_moment_it_is_there(store: CacheStore) -> None:
    assert store.hold(FOUND) is None
    path = store.path(FOUND.digest)
    for stream in (source, nothing):
        with store.fetch_held(FOUND, stream, "it") as held:
            assert held.read() == DATA
            assert not may_be_removed(path)
        assert may_be_removed(path)
    with store.fetch_held(FOUND, nothing, "it") as one, store.fetch_held(FOUND, nothing, "it") as two:
        assert one.read() == two.read() == DATA


def test_what_holds_a_blob_may_die(store: CacheStore) -> None:
    store.add(FOUND, [DATA])
    ready, tell = FORK.Pipe(duplex=False)

    def work() -> None:
        _held = store.hold(FOUND)
        tell.send(True)
        time.sleep(60)

    process = FORK.Process(target=work)
    process.start()
    ready.recv()
    assert not may_be_removed(store.path(FOUND.digest))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert may_be_removed(store.path(FOUND.digest))


def test_a_removed_blob_is_readable_to_whoever_has_it(store: CacheStore) -> None:
    store.add(FOUND, [DATA])
    held = store.hold(FOUND)
    assert held is not None
    with held:
        os.unlink(store.path(FOUND.digest))
        assert b"".join(checked(held, FOUND)) == b"".join(checked(held, FOUND)) == DATA


def test_use_is_noted(store: CacheStore, tmp_path: Path) -> None:
    store.add(FOUND, [DATA])
    path = store.path(FOUND.digest)
    os.utime(path, (0, 0))
    for reader, noted in ((CacheStore(str(tmp_path / "cache"), read_only=True), False), (store, True)):
        held = reader.hold(FOUND)
        assert held is not None
        held.close()
        assert (os.stat(path).st_mtime > time.time() - 60) == noted


@pytest.mark.parametrize("damage", [b"", DATA[:-1], b"\0" * len(DATA), DATA + b"x"], ids=len)
def test_a_damaged_blob_counts_as_absent(store: CacheStore, tmp_path: Path, damage: bytes) -> None:
    store.add(FOUND, [DATA])
    path = Path(store.path(FOUND.digest))
    path.write_bytes(damage)
    assert CacheStore(str(tmp_path / "cache"), read_only=True).hold(FOUND) is None
    assert path.exists(), "who only reads leaves it"
    assert store.hold(FOUND) is None
    assert not path.exists()
    with store.fetch_held(FOUND, source, "it") as held:
        assert held.read() == DATA


def test_what_changes_after_it_was_hashed_is_noticed(store: CacheStore) -> None:
    """Somebody who shares the directory may write into a file at any time."""
    store.add(FOUND, [DATA])
    held = store.hold(FOUND)
    assert held is not None
    Path(store.path(FOUND.digest)).write_bytes(b"\0" * len(DATA))
    with held, pytest.raises(DigestMismatch, match="in the cache"):
        for _chunk in checked(held, FOUND):
            pass


def test_a_lock_that_is_never_given_up_is_not_waited_for(store: CacheStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_store, "LOCK_TIMEOUT", 0.05)
    store.add(FOUND, [DATA])
    with open(store.path(FOUND.digest), "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        held = store.hold(FOUND)
        assert held is not None
        with held:
            assert held.read() == DATA


def test_what_is_removed_before_it_can_be_held_is_fetched_again(
    store: CacheStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, removals = store.fetch, 2

    def fetch_and_lose(*arguments: Any) -> str:
        nonlocal removals
        path = fetch(*arguments)
        removals -= 1
        if removals >= 0:
            os.unlink(path)
        return path

    monkeypatch.setattr(store, "fetch", fetch_and_lose)
    with store.fetch_held(FOUND, source, "it") as held:
        assert held.read() == DATA
    os.unlink(store.path(FOUND.digest))
    removals = 1000
    with pytest.raises(StorageError, match="as often as it was fetched"):
        store.fetch_held(FOUND, source, "it")


def test_what_the_source_raises_passes_through(store: CacheStore) -> None:
    def broken(_offset: int) -> Iterator[bytes]:
        yield DATA[:100]
        raise ConnectionFailed("The connection broke.")

    with pytest.raises(ConnectionFailed):
        store.fetch_held(FOUND, broken, "it")
    offsets = []

    def rest(offset: int) -> Iterator[bytes]:
        offsets.append(offset)
        yield DATA[offset:]

    with store.fetch_held(FOUND, rest, "it") as held:
        assert held.read() == DATA
    assert offsets == [100]


def test_small_blobs_are_read_at_once(store: CacheStore) -> None:
    assert store.read(FOUND.digest, 10**6) is None
    store.add(FOUND, [DATA])
    assert store.read(FOUND.digest, len(DATA)) == DATA
    assert store.read(FOUND.digest, len(DATA) - 1) is None
    Path(store.path(FOUND.digest)).write_bytes(b"x")
    assert store.read(FOUND.digest, 10**6) is None
    assert not store.has(FOUND)


@pytest.mark.parametrize(("mode", "folders", "files"), [(0o2770, 0o2770, 0o660), (0o775, 0o775, 0o664)])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_shared_directory_says_what_rights_its_content_has(
    tmp_path: Path, mode: int, folders: int, files: int, umask: int
) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(mode)
    before = os.umask(umask)
    try:
        store = CacheStore(str(root))
        store.fetch_held(FOUND, source, "it").close()
        store.add(descriptor_of(b"other"), [b"other"])
        store.replace_file("index.json", b"{}")
    finally:
        os.umask(before)
    for path in (root / "blobs", root / "blobs/sha256", root / ".ingest"):
        assert stat.S_IMODE(path.stat().st_mode) == folders, path
    for path in (Path(store.path(FOUND.digest)), Path(store.path(descriptor_of(b"other").digest)), root / "index.json"):
        assert stat.S_IMODE(path.stat().st_mode) == files, path


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_any_other_follows_the_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(0o755)
    before = os.umask(umask)
    try:
        store = CacheStore(str(root))
        store.add(FOUND, [DATA])
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(store.path(FOUND.digest)).st_mode) == 0o666 & ~umask
    assert [path.name for path in root.iterdir()] == ["blobs"]


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "dangling link", "fifo"])
def test_nothing_is_written_through_what_others_put_in_the_way(store: CacheStore, tmp_path: Path, kind: str) -> None:
    """Who shares the directory may not have a file elsewhere overwritten by whoever downloads."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    trap = tmp_path / "cache/.ingest" / (FOUND.digest.replace(":", "-") + ".partial")
    trap.parent.mkdir(parents=True)
    if kind == "symbolic link":
        trap.symlink_to(victim)
    elif kind == "dangling link":
        trap.symlink_to(tmp_path / "made")
    elif kind == "hard link":
        os.link(victim, trap)
    else:
        os.mkfifo(trap)
    with store.fetch_held(FOUND, source, "it") as held:
        assert held.read() == DATA
    assert victim.read_text() == "precious" and not (tmp_path / "made").exists()
    assert not Path(store.path(FOUND.digest)).is_symlink()
