# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs on disk: whole or not there, whoever writes, whatever breaks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import itertools
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidReference,
    NotFound,
    OciError,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import shared_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.regular_file import storage_error
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file, write_all
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import (
    blob_store,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import (
    leftovers as store_leftovers,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.blob_store import CHUNK_SIZE, BlobStore
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor

FORK = multiprocessing.get_context("fork")
DATA = bytes(range(256)) * 40


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", "sha256:" + hashlib.sha256(data).hexdigest(), len(data))


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def partial_of(root: Path, descriptor: Descriptor) -> Path:
    return root / ".ingest" / (descriptor.digest.replace(":", "-") + ".partial")


class Source:
    """A place to download from that remembers where it was asked to begin, and may break or lie."""

    def __init__(self, data: bytes, *, breaks_at: int | None = None, step: int = 1000) -> None:
        self.data = data
        self.breaks_at = breaks_at
        self.step = step
        self.offsets: list[int] = []
        self.closed = False

    def __call__(self, offset: int) -> Iterator[bytes]:
        self.offsets.append(offset)
        end = len(self.data) if self.breaks_at is None else self.breaks_at
        try:
            for start in range(offset, end, self.step):
                yield self.data[start : min(start + self.step, end)]
            if self.breaks_at is not None:
                raise ConnectionFailed("The connection broke.")
        finally:
            self.closed = True


def in_child(work: Callable[[], object]) -> tuple[str, str]:
    """Run the work in a process of its own; the class and text of what it raised, or two empty texts."""
    receiver, sender = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            work()
            sender.send(("", ""))
        except BaseException as exc:
            sender.send((type(exc).__name__, str(exc)))

    process = FORK.Process(target=run)
    process.start()
    outcome: tuple[str, str] = receiver.recv()
    process.join()
    return outcome


def in_children(works: Iterable[Callable[[], None]]) -> None:
    processes = [FORK.Process(target=work) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0] * len(processes)


@pytest.fixture
def unprivileged() -> Iterator[tuple[Path, Callable[[Callable[[], object]], tuple[str, str]]]]:
    """A directory that others may read, and a way to run work as somebody who is not root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)

    def run(work: Callable[[], object]) -> tuple[str, str]:
        def dropped() -> None:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()

        return in_child(dropped)

    yield folder, run
    os.chmod(folder, 0o755)
    shutil.rmtree(folder)


# -- storing and reading


def test_a_blob_is_kept_under_its_digest(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    assert not store.has(found)
    assert store.size(found.digest) is None
    assert store.add(found, [DATA[:100], DATA[100:]]) is True
    assert files_in(tmp_path) == [f"blobs/sha256/{found.digest[7:]}"]
    assert (tmp_path / "blobs/sha256" / found.digest[7:]).read_bytes() == DATA
    assert store.path(found.digest) == str(tmp_path / "blobs/sha256" / found.digest[7:])
    assert store.has(found)
    assert store.size(found.digest) == len(DATA)
    with store.open(found) as handle:
        assert handle.read() == DATA


def test_nothing_but_blobs_stays_in_the_store(tmp_path: Path) -> None:
    BlobStore(str(tmp_path)).add(descriptor_of(DATA), [DATA])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_both_algorithms(tmp_path: Path, algorithm: str) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"
    assert BlobStore(str(tmp_path)).add(Descriptor("", digest, len(DATA)), [DATA])
    assert files_in(tmp_path) == [f"blobs/{algorithm}/{digest.partition(':')[2]}"]


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o007, 0o660, 0o770)])
@pytest.mark.parametrize("way", ["add", "fetch"])
def test_modes_follow_the_umask(tmp_path: Path, umask: int, file_mode: int, folder_mode: int, way: str) -> None:
    store, found = BlobStore(str(tmp_path / "store")), descriptor_of(DATA)
    before = os.umask(umask)
    try:
        if way == "add":
            store.add(found, [DATA])
        else:
            store.fetch(found, Source(DATA), "it")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(store.path(found.digest)).st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "store/blobs/sha256").stat().st_mode) == folder_mode


def test_a_blob_that_is_there_is_not_touched(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    store.add(found, [DATA])
    before = os.stat(store.path(found.digest))
    assert store.add(found, iter(pytest.fail, None)) is False
    after = os.stat(store.path(found.digest))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_reader_keeps_its_blob_while_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    store.add(found, [DATA])
    with store.open(found) as handle:
        os.unlink(store.path(found.digest))
        Path(store.path(found.digest)).write_bytes(b"short")
        assert store.add(found, [DATA]) is True
        assert handle.read() == DATA
    assert Path(store.path(found.digest)).read_bytes() == DATA


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x", b"x" + DATA[1:], b""])
def test_wrong_bytes_never_get_the_name(tmp_path: Path, wrong: bytes) -> None:
    with pytest.raises(
        DigestMismatch, match=r"The chart .* than its descriptor says|The chart does not match its digest"
    ):
        BlobStore(str(tmp_path)).add(descriptor_of(DATA), [wrong], "The chart")
    assert files_in(tmp_path) == []
    assert not (tmp_path / ".ingest").exists()


def test_what_the_source_raises_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="broke"):
        BlobStore(str(tmp_path)).add(descriptor_of(DATA), Source(DATA, breaks_at=2000)(0))
    assert files_in(tmp_path) == []


@settings(max_examples=50, deadline=None)
@given(size=st.sampled_from([0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE]), cut=st.floats(0, 1.1))
def test_streams_begin_anywhere(size: int, cut: float) -> None:
    data = (DATA * (size // len(DATA) + 1))[:size]
    offset = int(size * cut)
    with tempfile.TemporaryDirectory() as root:
        store, found = BlobStore(root), descriptor_of(data)
        store.add(found, [data])
        chunks = list(store.stream(found, offset))
    assert b"".join(chunks) == data[offset:]
    assert all(0 < len(chunk) <= CHUNK_SIZE for chunk in chunks)


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    for read in (store.open, lambda it: list(store.stream(it))):
        with pytest.raises(NotFound) as caught:
            read(found)
        assert found.digest in caught.value.message
        assert str(tmp_path) in caught.value.message


def test_a_blob_of_another_size_is_not_read(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    store.add(found, [DATA])
    os.truncate(store.path(found.digest), 10)
    assert not store.has(found)
    with pytest.raises(DigestMismatch, match="has 10 bytes; its descriptor says 10240"):
        store.open(found)


@pytest.mark.parametrize("is_layout", [True, False])
@pytest.mark.parametrize("kind", ["fifo", "directory", "link to a device", "dangling link"])
def test_what_is_no_file_is_no_blob(tmp_path: Path, kind: str, is_layout: bool) -> None:
    store, found = BlobStore(str(tmp_path), is_layout=is_layout), descriptor_of(b"")
    path = Path(store.path(found.digest))
    path.parent.mkdir(parents=True)
    make: dict[str, Callable[[], Any]] = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "link to a device": lambda: path.symlink_to("/dev/zero"),
        "dangling link": lambda: path.symlink_to("nowhere"),
    }
    make[kind]()
    assert not store.has(found)
    assert store.verified_path(found) is None
    with pytest.raises(NotFound):
        store.open(found)


# -- digests from elsewhere

HOSTILE = [
    "",
    "sha256:",
    "sha256:/etc/passwd",
    "sha256:../../etc/passwd",
    "../x:" + "a" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 64 + "\n",
    "sha256:" + "a" * 63 + "\0",
    "sha256:" + "a" * 63 + "٣",
    "md5:" + "a" * 32,
    "sha512:" + "a" * 64,
]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(), st.text().map("sha256:".__add__)))
def test_no_path_is_made_of_a_hostile_digest(digest: str) -> None:
    store, found = BlobStore("/nonexistent/store"), Descriptor("", digest, 1)
    for use in (
        lambda: store.path(digest),
        lambda: store.size(digest),
        lambda: store.has(found),
        lambda: store.open(found),
        lambda: list(store.stream(found)),
        lambda: store.verified_path(found),
        lambda: store.add(found, [b"x"]),
        lambda: store.fetch(found, Source(b"x"), "it"),
    ):
        with pytest.raises(InvalidReference):
            use()
    assert not os.path.exists("/nonexistent")


# -- checking what is there


def test_a_sound_blob_is_verified(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    assert store.verified_path(found) is None
    store.add(found, [DATA])
    assert store.verified_path(found) == store.path(found.digest)


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", b"x" + DATA[1:]])
def test_a_damaged_blob_is_removed_and_fetched_again(tmp_path: Path, damage: bytes) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    store.add(found, [DATA])
    Path(store.path(found.digest)).write_bytes(damage)
    assert store.verified_path(found) is None
    assert files_in(tmp_path) == []
    source = Source(DATA)
    assert Path(store.fetch(found, source, "it")).read_bytes() == DATA
    assert source.offsets == [0]


def test_a_blob_that_was_replaced_while_it_was_hashed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    store.add(found, [DATA])
    path = Path(store.path(found.digest))
    path.write_bytes(b"x" + DATA[1:])
    hash_file = blob_store._hash_file

    def hash_while_another_heals(*arguments: Any) -> None:
        hash_file(*arguments)
        (tmp_path / "good").write_bytes(DATA)
        os.replace(tmp_path / "good", path)

    monkeypatch.setattr(blob_store, "_hash_file", hash_while_another_heals)
    assert store.verified_path(found) is None
    assert path.read_bytes() == DATA


# -- fetching


def test_a_blob_is_fetched_once(tmp_path: Path) -> None:
    store, found, source = BlobStore(str(tmp_path)), descriptor_of(DATA), Source(DATA)
    for _run in range(2):
        assert store.fetch(found, source, "it") == store.path(found.digest)
    assert source.offsets == [0]
    assert Path(store.path(found.digest)).read_bytes() == DATA
    assert not (tmp_path / ".ingest").exists()


def test_an_empty_blob_is_fetched(tmp_path: Path) -> None:
    store, found = BlobStore(str(tmp_path)), descriptor_of(b"")
    assert Path(store.fetch(found, Source(b""), "it")).read_bytes() == b""
    assert not (tmp_path / ".ingest").exists()


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, len(DATA) - 1), max_size=4, unique=True).map(sorted))
def test_a_broken_download_goes_on_where_it_broke(cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, found, source = Path(folder), descriptor_of(DATA), Source(DATA)
        for cut in cuts:
            source.breaks_at = cut
            with pytest.raises(ConnectionFailed):
                BlobStore(folder).fetch(found, source, "it")
            assert partial_of(root, found).read_bytes() == DATA[:cut]
            assert not BlobStore(folder).has(found)
        source.breaks_at = None
        assert Path(BlobStore(folder).fetch(found, source, "it")).read_bytes() == DATA
        assert source.offsets == [0, *cuts]
        assert files_in(root) == [f"blobs/sha256/{found.digest[7:]}"]


def test_a_connection_that_gave_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed):
        BlobStore(str(tmp_path)).fetch(descriptor_of(DATA), Source(DATA, breaks_at=0), "it")
    assert files_in(tmp_path) == []


def plant(root: Path, descriptor: Descriptor, data: bytes) -> Path:
    path = partial_of(root, descriptor)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("poison", [b"x" * 500, b"x" * len(DATA), DATA + b"x", DATA * 3])
def test_a_poisoned_partial_is_thrown_away(tmp_path: Path, poison: bytes) -> None:
    store, found, source = BlobStore(str(tmp_path)), descriptor_of(DATA), Source(DATA)
    plant(tmp_path, found, poison)
    assert Path(store.fetch(found, source, "it")).read_bytes() == DATA
    assert source.offsets == ([500, 0] if len(poison) == 500 else [0])


def test_a_complete_partial_needs_no_request(tmp_path: Path) -> None:
    store, found, source = BlobStore(str(tmp_path)), descriptor_of(DATA), Source(DATA)
    plant(tmp_path, found, DATA)
    assert Path(store.fetch(found, source, "it")).read_bytes() == DATA
    assert source.offsets == []


def test_a_wrong_source_is_asked_twice_at_most(tmp_path: Path) -> None:
    found, source = descriptor_of(DATA), Source(b"x" * len(DATA))
    plant(tmp_path, found, DATA[:500])
    with pytest.raises(DigestMismatch, match="^The chart does not match its digest"):
        BlobStore(str(tmp_path)).fetch(found, source, "The chart")
    assert source.offsets == [500, 0]
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("wrong", [b"x" * len(DATA), DATA[:-1], DATA + b"x", b""])
def test_wrong_content_is_refused_and_leaves_nothing(tmp_path: Path, wrong: bytes) -> None:
    source = Source(wrong)
    with pytest.raises(DigestMismatch) as caught:
        BlobStore(str(tmp_path)).fetch(descriptor_of(DATA), source, "it")
    assert source.offsets == [0]
    # whoever keeps the error, and with it the frames it came through, does not keep the connection
    assert source.closed, caught
    assert files_in(tmp_path) == []


def test_a_partial_never_outgrows_the_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, sizes = descriptor_of(DATA), []
    empty = blob_store._empty

    def look_and_empty(handle: Any) -> None:
        sizes.append(os.fstat(handle.fileno()).st_size)
        empty(handle)

    monkeypatch.setattr(blob_store, "_empty", look_and_empty)

    def endless(_offset: int) -> Iterator[bytes]:
        while True:
            yield b"x" * 4096
            sizes.append(partial_of(tmp_path, found).stat().st_size)
            assert len(sizes) < 100

    with pytest.raises(DigestMismatch, match="longer than its descriptor says"):
        BlobStore(str(tmp_path)).fetch(found, endless, "it")
    assert sizes == [4096, 8192, 8192]


# -- several at once


def slow_source(log: Path, pause: float = 0.02) -> Callable[[int], Iterator[bytes]]:
    def stream(offset: int) -> Iterator[bytes]:
        with open(log, "a") as handle:
            handle.write(f"{offset}\n")
        for start in range(offset, len(DATA), 1024):
            time.sleep(pause)
            yield DATA[start : start + 1024]

    return stream


def test_processes_that_want_one_blob_download_it_once(tmp_path: Path) -> None:
    root, log, found = tmp_path / "store", tmp_path / "log", descriptor_of(DATA)

    def work() -> None:
        assert Path(BlobStore(str(root)).fetch(found, slow_source(log), "it")).read_bytes() == DATA

    in_children([work] * 4)
    assert log.read_text() == "0\n"
    assert files_in(root) == [f"blobs/sha256/{found.digest[7:]}"]
    assert not (root / ".ingest").exists()


def test_threads_that_want_one_blob_download_it_once(tmp_path: Path) -> None:
    store, log, found = BlobStore(str(tmp_path / "store")), tmp_path / "log", descriptor_of(DATA)
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda: paths.append(store.fetch(found, slow_source(log), "it"))) for _n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [store.path(found.digest)] * 4
    assert log.read_text() == "0\n"


def test_who_waited_for_a_killed_download_goes_on_behind_it(tmp_path: Path) -> None:
    root, log, found = tmp_path / "store", tmp_path / "log", descriptor_of(DATA)

    def stalling(offset: int) -> Iterator[bytes]:
        yield from itertools.islice(slow_source(log, 0)(offset), 1)
        # however late it is killed, it has not come to its end
        time.sleep(600)

    process = FORK.Process(target=lambda: BlobStore(str(root)).fetch(found, stalling, "it"))
    process.start()
    while not (partial_of(root, found).exists() and partial_of(root, found).stat().st_size):
        time.sleep(0.01)
    killer = threading.Timer(0.3, lambda: os.kill(process.pid or 0, signal.SIGKILL))
    killer.start()
    assert Path(BlobStore(str(root)).fetch(found, slow_source(log, 0), "it")).read_bytes() == DATA
    process.join()
    assert process.exitcode == -signal.SIGKILL
    first, second = map(int, log.read_text().split())
    assert first == 0
    assert second > 0
    assert second % 1024 == 0


def test_who_waits_gives_up_on_a_download_that_stalls(tmp_path: Path) -> None:
    found = descriptor_of(DATA)
    lock = plant(tmp_path, found, b"")
    with open(lock) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="Waited 0.3 seconds") as caught:
            BlobStore(str(tmp_path), lock_timeout=0.3).fetch(found, Source(DATA), "it")
    assert str(lock) in caught.value.message


def test_who_waits_is_patient_with_a_download_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece comes after most of the time that is allowed for one, by a clock that only the pieces move."""
    found, clock = descriptor_of(DATA), [0.0]
    wanted, pieces, waits = threading.Semaphore(0), threading.Semaphore(0), [0]

    def source(offset: int) -> Iterator[bytes]:
        assert offset == 0, "one of them downloads it"
        for start in range(0, len(DATA), 1024):
            wanted.release()
            pieces.acquire()
            yield DATA[start : start + 1024]

    def written() -> int:
        try:
            return partial_of(tmp_path, found).stat().st_size
        except FileNotFoundError:
            # the whole blob, which is in its place by now
            return len(DATA)

    def pause(_seconds: float) -> None:
        size = written()
        clock[0] += 0.4
        waits[0] += 1
        pieces.release()
        # until the piece is written, or the last one is and the blob is in its place
        while written() == size < len(DATA):
            threading.Event().wait(0.005)

    monkeypatch.setattr(shared_file, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=pause))
    first = threading.Thread(target=lambda: BlobStore(str(tmp_path)).fetch(found, source, "it"))
    first.start()
    wanted.acquire()
    path = BlobStore(str(tmp_path), lock_timeout=0.5).fetch(found, source, "it")
    first.join()
    assert Path(path).read_bytes() == DATA and waits[0] > 2, "it waited several times as long as it may for one piece"


def test_a_lock_is_for_the_file_that_has_the_name_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, order, waiting = tmp_path / "lock", [], threading.Event()

    def pause(_seconds: float) -> None:
        waiting.set()
        time.sleep(0.005)

    with locked_file(str(path), 600) as first:
        monkeypatch.setattr(shared_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))

        def wait() -> None:
            with locked_file(str(path), 600) as second:
                order.append(os.fstat(second.fileno()).st_ino == path.stat().st_ino)

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        path.rename(tmp_path / "moved")
        path.touch()
        assert order == []
        assert os.fstat(first.fileno()).st_ino != path.stat().st_ino
    thread.join()
    assert order == [True]


def test_a_folder_that_another_writer_removes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir, left = os.mkdir, [3]

    def make_and_lose(path: bytes, *arguments: Any, **options: Any) -> None:
        mkdir(path, *arguments, **options)
        if left[0] and path == b".ingest":
            left[0] -= 1
            os.rmdir(path, dir_fd=options["dir_fd"])

    monkeypatch.setattr(os, "mkdir", make_and_lose)
    store, found = BlobStore(str(tmp_path)), descriptor_of(DATA)
    assert store.add(found, [DATA])
    os.unlink(store.path(found.digest))
    left[0] = 3
    assert store.fetch(found, Source(DATA), "it")
    assert left == [0]


def test_a_write_that_takes_only_a_part_is_continued() -> None:
    class Small(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:100])

    handle = Small()
    write_all(handle, DATA, "it")
    assert handle.getvalue() == DATA


def test_many_writers_at_once(tmp_path: Path) -> None:
    blobs = [os.urandom(3000) for _n in range(10)]

    def work() -> None:
        store = BlobStore(str(tmp_path))
        for data in blobs * 3:
            store.add(descriptor_of(data), [data[:1500], data[1500:]])
            assert store.verified_path(descriptor_of(data))

    in_children([work] * 8)
    assert files_in(tmp_path) == sorted(f"blobs/sha256/{descriptor_of(data).digest[7:]}" for data in blobs)
    assert not (tmp_path / ".ingest").exists()


@pytest.mark.parametrize("moment", range(8))
def test_a_killed_writer_leaves_no_half_blob(tmp_path: Path, moment: int) -> None:
    def work() -> None:
        store = BlobStore(str(tmp_path))
        while True:
            data = os.urandom(200_000)
            store.add(descriptor_of(data), [data[start : start + 1000] for start in range(0, len(data), 1000)])

    process = FORK.Process(target=work)
    process.start()
    time.sleep(0.05 + moment * 0.013)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    for path in (tmp_path / "blobs/sha256").glob("*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    BlobStore(str(tmp_path)).add(descriptor_of(DATA), [DATA])
    assert not (tmp_path / ".ingest").exists()


# -- what is left behind


def test_leftovers_go_when_nobody_works_on_them(tmp_path: Path) -> None:
    ingest = tmp_path / ".ingest"
    ingest.mkdir()
    for name, age in [("old.tmp", 7200), ("new.tmp", 60), ("held.tmp", 7200), ("old.partial", 8 * 86400)]:
        (ingest / name).write_bytes(b"x")
        os.utime(ingest / name, times=(time.time() - age,) * 2)
    for name in ("young.partial", "notes.txt"):
        (ingest / name).write_bytes(b"x")
        os.utime(ingest / name, times=(time.time() - 7200,) * 2)
    os.mkfifo(ingest / "pipe.tmp")
    with open(ingest / "held.tmp") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        BlobStore(str(tmp_path)).add(descriptor_of(DATA), [DATA])
        assert sorted(path.name for path in ingest.iterdir()) == [
            "held.tmp",
            "notes.txt",
            "pipe.tmp",
            "young.partial",
        ]


def test_partial_downloads_that_stay_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = tmp_path / ".ingest"
    ingest.mkdir()
    now = time.time()
    for number in range(30):
        path = ingest / f"{number:02}.partial"
        path.write_bytes(b"x" * 1000)
        os.utime(path, times=(now - number,) * 2)
    with open(ingest / "29.partial") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        BlobStore(str(tmp_path)).add(descriptor_of(DATA), [DATA])
        assert sorted(path.stem for path in ingest.iterdir()) == [f"{number:02}" for number in [*range(16), 29]]
    # the newest one stays, whatever its size
    monkeypatch.setattr(store_leftovers, "MAX_PARTIAL_BYTES", 2500)
    BlobStore(str(tmp_path)).sweep()
    assert sorted(path.stem for path in ingest.iterdir()) == ["00", "01"]
    monkeypatch.setattr(store_leftovers, "MAX_PARTIAL_BYTES", 10)
    BlobStore(str(tmp_path)).sweep()
    assert [path.stem for path in ingest.iterdir()] == ["00"]


def test_a_file_that_is_worked_on_is_no_leftover(tmp_path: Path) -> None:
    found = descriptor_of(DATA)

    def chunks() -> Iterator[bytes]:
        yield DATA[:5000]
        BlobStore(str(tmp_path)).sweep()
        yield DATA[5000:]

    assert BlobStore(str(tmp_path)).add(found, chunks())
    assert BlobStore(str(tmp_path)).verified_path(found)
    os.unlink(BlobStore(str(tmp_path)).path(found.digest))
    assert BlobStore(str(tmp_path)).fetch(found, lambda _offset: chunks(), "it")


def test_the_partial_that_is_asked_for_is_resumed_whatever_its_age(tmp_path: Path) -> None:
    found, source = descriptor_of(DATA), Source(DATA)
    os.utime(plant(tmp_path, found, DATA[:3000]), times=(0, 0))
    BlobStore(str(tmp_path)).fetch(found, source, "it")
    assert source.offsets == [3000]


# -- what the file system refuses


@pytest.mark.parametrize("way", ["add", "fetch"])
def test_a_write_that_fails_is_one_sentence_and_leaves_nothing(tmp_path: Path, way: str) -> None:
    data = os.urandom(100_000)
    found = descriptor_of(data)

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        store = BlobStore(str(tmp_path))
        if way == "add":
            store.add(found, Source(data)(0))
        else:
            store.fetch(found, Source(data), "it")

    kind, text = in_child(work)
    assert kind == "StorageError", text
    assert text.startswith(f"Cannot write {tmp_path}/.ingest/")
    assert "File too large. A limit on the size of files" in text
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "Free space"), (errno.EROFS, "read-only"), (errno.EACCES, "become"), (errno.EDQUOT, "quota")],
)
def test_a_refusal_says_what_to_do(number: int, hint: str) -> None:
    error = storage_error("write", "/srv/oci/x", OSError(number, os.strerror(number)))
    assert error.message == f"Cannot write /srv/oci/x: {os.strerror(number)}."
    assert hint in error.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_not_kept_full_by_a_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write_until_full(handle: Any, data: bytes, path: str) -> None:
        if handle.tell() >= 3000:
            raise storage_error("write", path, OSError(number, os.strerror(number)))
        write_all(handle, data, path)

    monkeypatch.setattr(blob_store, "write_all", write_until_full)
    source = Source(DATA)
    with pytest.raises(StorageError, match=os.strerror(number)):
        BlobStore(str(tmp_path)).fetch(descriptor_of(DATA), source, "it")
    assert source.closed
    assert files_in(tmp_path) == []


Unprivileged = tuple[Path, Callable[[Callable[[], object]], tuple[str, str]]]


def test_a_directory_that_may_not_be_written(unprivileged: Unprivileged) -> None:
    root, run = unprivileged
    root.chmod(0o555)
    for work in (
        lambda: BlobStore(str(root)).add(descriptor_of(DATA), [DATA]),
        lambda: BlobStore(str(root)).fetch(descriptor_of(DATA), Source(DATA), "it"),
    ):
        kind, text = run(work)
        assert kind == "StorageError"
        assert text.startswith(f"Cannot create {root}/.ingest")
        assert "Permission denied" in text


def test_a_read_only_store_is_read(unprivileged: Unprivileged) -> None:
    root, run = unprivileged
    found = descriptor_of(DATA)
    BlobStore(str(root)).add(found, [DATA])
    root.chmod(0o555)

    def work() -> None:
        store = BlobStore(str(root))
        assert store.has(found)
        assert store.verified_path(found)
        assert Path(store.fetch(found, Source(b""), "it")).read_bytes() == DATA

    assert run(work) == ("", "")


def test_a_blob_that_may_not_be_read(unprivileged: Unprivileged) -> None:
    root, run = unprivileged
    found = descriptor_of(DATA)
    BlobStore(str(root)).add(found, [DATA])
    path = BlobStore(str(root)).path(found.digest)
    os.chmod(path, 0)
    assert run(lambda: BlobStore(str(root)).open(found).close()) == (
        "StorageError",
        f"Cannot read {path}: Permission denied. Run as a user who has access (become), or choose another place.",
    )


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = BlobStore(str(tmp_path / "file"))
    assert not store.has(descriptor_of(DATA))
    with pytest.raises(OciError, match=f"Cannot create {tmp_path}/file/.ingest"):
        store.add(descriptor_of(DATA), [DATA])
