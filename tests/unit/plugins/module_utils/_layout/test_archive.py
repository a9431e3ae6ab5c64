# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image layout in one tar file as a repository: what is written, read, refused and left alone."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.tar_header import tar_header
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidContent,
    InvalidOption,
    InvalidReference,
    LockTimeout,
    NotFound,
    OciError,
    PushFailed,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import archive as archive_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import archive_writer, tar_members
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.archive import ArchiveRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.archive_writer import WritableArchive
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference, parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    EXISTED,
    UPLOADED,
    BlobSource,
    Repository,
    read_blob,
)

LARGE = bytes(range(256)) * 2048


def to(path: Path, **options: Any) -> WritableArchive:
    return WritableArchive(Reference(layout=str(path), is_archive=True), **options)


def at(path: Path) -> ArchiveRepository:
    return ArchiveRepository(Reference(layout=str(path), is_archive=True))


def blob(data: bytes, media_type: str = "application/octet-stream") -> BlobSource:
    return BlobSource(Descriptor(media_type, digest_of(data), len(data)), lambda: io.BytesIO(data))


def manifest_of(content: bytes, **fields: Any) -> Manifest:
    parts = {
        "config": blob(b"{}", media.OCI_EMPTY).descriptor.as_json(),
        "layers": [blob(content).descriptor.as_json()],
    }
    document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, **parts, **fields}
    return parse_manifest(canonical_json(document), "", "the manifest")


def push(repository: Repository, content: bytes, *tags: str, **fields: Any) -> Manifest:
    """Push an artifact of one layer under each tag, or without a tag; its manifest."""
    manifest = manifest_of(content, **fields)
    for source in (blob(b"{}", media.OCI_EMPTY), blob(content)):
        repository.push_blob(source)
    for tag in tags or ("",):
        repository.push_manifest(manifest, tag)
    return manifest


def content_of(repository: Repository, tag: str) -> bytes:
    return b"".join(read_blob(repository, repository.fetch_manifest(tag).layers[0]))


def files_of(path: Path) -> dict[str, bytes]:
    """The files in an archive, as another reader sees them."""
    with tarfile.open(path) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]


Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "", **pax: str) -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.pax_headers = len(data), kind, target, pax
    return info, data


def write_tar(path: Path, *entries: Entry, format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return path


def entries_of(path: Path) -> list[Entry]:
    """The entries of an archive of ours, to be altered."""
    return [entry(name, data) for name, data in files_of(path).items()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out/it.tar"


# -- writing


def test_what_is_pushed_is_found(path: Path) -> None:
    repository: Repository = to(path)
    first, second = push(repository, b"one", "1.0"), push(repository, LARGE, "2.0", "latest")
    for reader in (repository, at(path)):
        assert reader.list_tags() == ["1.0", "2.0", "latest"]
        assert reader.fetch_manifest("1.0") == first
        assert reader.resolve(second.descriptor.digest) == second.descriptor == reader.resolve("")
        assert content_of(reader, "2.0") == LARGE
        assert b"".join(reader.stream_blob(second.layers[0], 300)) == LARGE[300:]
        assert reader.blob_exists(second.layers[0])
        assert not reader.blob_exists(blob(b"other").descriptor)
        reader.close()
    assert os.listdir(path.parent) == ["it.tar"]


def test_a_batch_is_written_once_and_read_back_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    original = WritableArchive._write

    def write(self: WritableArchive, lock: Any) -> None:
        written.append(path.exists())
        original(self, lock)

    monkeypatch.setattr(WritableArchive, "_write", write)
    repository = to(path)
    with repository.batch():
        subject = push(repository, b"one", "1.0")
        with repository.batch():
            referrer = push(repository, b"sbom", subject=subject.descriptor.as_json(), artifactType="example/sbom")
        assert repository.list_tags() == ["1.0"]
        assert [each.digest for each in repository.list_referrers(subject.descriptor.digest)] == [
            referrer.descriptor.digest
        ]
        assert content_of(repository, "1.0") == b"one"
        assert b"".join(repository.stream_blob(subject.layers[0], 1)) == b"ne"
        assert written == []
    assert written == [False]
    assert [each.artifact_type for each in at(path).list_referrers(subject.descriptor.digest)] == ["example/sbom"]


def test_the_same_content_makes_the_same_bytes(path: Path) -> None:
    one, two, three = path, path.with_name("two.tar"), path.with_name("three.tar")
    push(to(one), b"a", "1")
    push(to(one), LARGE, "2")
    push(to(two), LARGE, "2")
    before = os.umask(0o077)
    push(to(two), b"a", "1")
    os.umask(before)
    repository = to(three)
    with repository.batch():
        push(repository, b"a", "1")
        push(repository, LARGE, "2")
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()
    with tarfile.open(one) as tar:
        members = tar.getmembers()
    names = [member.name for member in members]
    assert names[:4] == ["oci-layout", "index.json", "blobs", "blobs/sha256"]
    assert names[4:] == sorted(names[4:]) and len(names) == 4 + 5
    assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in members} == {(0, 0, "", "", 0)}
    assert {each.mode for each in members} == {0o644, 0o755}


def test_the_order_of_pushes_makes_no_difference(path: Path) -> None:
    one, two = path, path.with_name("two.tar")
    subject = push(to(path.with_name("other.tar")), b"subject", "1").descriptor.as_json()
    attached = [b"sbom", b"signature", b"signature of a platform"]
    for place, order in ((one, [0, 1, 2]), (two, [2, 0, 1])):
        repository = to(place)
        with repository.batch():
            push(repository, b"subject", "1")
            for number in order:
                push(repository, attached[number], subject=subject)
    assert one.read_bytes() == two.read_bytes()
    names = [each["digest"] for each in json.loads(files_of(one)["index.json"])["manifests"]]
    assert names == [subject["digest"], *sorted(names[1:])] and len(names) == 4


def test_entries_for_platforms_keep_their_order(path: Path) -> None:
    push(to(path), b"one", "1.0")
    files = files_of(path)
    index = json.loads(files["index.json"])
    listed = [manifest_of(arch.encode()).descriptor.as_json() for arch in ("a", "b", "c", "d")]
    platforms = [{**each, "platform": {"os": "linux", "architecture": arch}} for each, arch in zip(listed, "abcd")]
    changed("index.json", json.dumps({**index, "manifests": platforms}).encode())(path)
    push(to(path), b"two", "2.0")
    found = json.loads(files_of(path)["index.json"])["manifests"]
    assert [each.get("platform", {}).get("architecture") for each in found] == [None, "a", "b", "c", "d"]


def test_an_archive_grows_by_a_new_file(path: Path) -> None:
    first = push(to(path), b"one", "1.0")
    path.chmod(0o640)
    reader = at(path)
    assert reader.list_tags() == ["1.0"]
    before = path.stat()
    second = push(to(path), b"two", "1.0", "2.0")
    assert path.stat().st_ino != before.st_ino and path.stat().st_mode == before.st_mode
    assert content_of(reader, "1.0") == b"one", "who has it open reads on in the old one"
    assert at(path).fetch_manifest("1.0") == second
    assert at(path).fetch_manifest(first.descriptor.digest) == first, "a tag that moves leaves what it had"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_permissions_that_somebody_else_set_are_not_kept(path: Path) -> None:
    push(to(path), b"one", "1.0")
    path.chmod(0o666)
    os.chown(path, 65534, 65534)
    push(to(path), b"two", "2.0")
    status = path.stat()
    assert (status.st_uid, status.st_mode & 0o022) == (0, 0)


def test_what_is_there_is_not_written_again(path: Path) -> None:
    push(to(path), b"one", "1.0")
    before = path.stat()
    repository = to(path)
    assert repository.push_blob(blob(b"one")) == EXISTED
    push(repository, b"one", "1.0")
    with to(path).batch():
        pass
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert repository.push_blob(blob(b"two")) == UPLOADED
    repository.close()
    assert path.stat().st_ino == before.st_ino, "a blob alone is no content"


def test_a_damaged_small_blob_is_replaced(path: Path) -> None:
    manifest = push(to(path), b"one", "1.0")
    path.write_bytes(path.read_bytes().replace(b"one", b"eno"))
    with pytest.raises(DigestMismatch):
        content_of(at(path), "1.0")
    push(to(path), b"one", "1.0")
    assert content_of(at(path), "1.0") == b"one"
    assert at(path).fetch_manifest("1.0") == manifest


def failing(data: bytes, error: Exception) -> BlobSource:
    def fail() -> Any:
        raise error

    return BlobSource(blob(data).descriptor, fail)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (BlobSource(blob(b"right").descriptor, lambda: io.BytesIO(b"wrong")), DigestMismatch),
        (BlobSource(blob(b"right").descriptor, lambda: io.BytesIO(b"righ")), DigestMismatch),
        (BlobSource(blob(b"right").descriptor, lambda: io.BytesIO(b"right!")), DigestMismatch),
        (failing(b"right", FileNotFoundError(2, "No such file")), PushFailed),
    ],
)
def test_a_blob_that_cannot_be_read_leaves_the_old_archive(
    path: Path, source: BlobSource, error: type[OciError]
) -> None:
    push(to(path), b"one", "1.0")
    before = path.read_bytes()
    repository = to(path)
    repository.push_blob(blob(b"{}", media.OCI_EMPTY))
    repository.push_blob(source)
    with pytest.raises(error):
        repository.push_manifest(manifest_of(b"right"), "2.0")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["it.tar"]
    assert repository.list_tags() == ["1.0"], "and nothing of it is in mind"


def test_a_batch_that_fails_writes_nothing(path: Path) -> None:
    repository = to(path)
    with pytest.raises(RuntimeError), repository.batch():
        push(repository, b"one", "1.0")
        raise RuntimeError
    assert os.listdir(path.parent) == []
    with pytest.raises(NotFound):
        repository.list_tags()


def test_what_a_manifest_names_has_to_be_there(path: Path) -> None:
    with pytest.raises(PushFailed, match=r"The archive .*it\.tar cannot take the manifest .* is missing"):
        to(path).push_manifest(manifest_of(b"one"), "1.0")
    with pytest.raises(InvalidReference):
        to(path).push_manifest(manifest_of(b"one"), "no tag")
    assert os.listdir(path.parent) == []


def test_an_archive_is_opened_for_reading_or_writing(path: Path) -> None:
    for call in (lambda: at(path).push_blob(blob(b"x")), lambda: at(path).push_manifest(manifest_of(b"x"))):
        with pytest.raises(StorageError, match="opened for reading"):
            call()
    for reference in (parse_reference("oci-layout:/x"), parse_reference("localhost/x")):
        with pytest.raises(InvalidReference):
            ArchiveRepository(reference)
    with pytest.raises(InvalidReference):
        LayoutRepository(parse_reference("oci-archive:/x.tar"))


# -- writers that are killed, and writers at the same time


def dying_after(writes: int) -> Callable[..., None]:
    """A function that writes so many times, and then ends its process as a kill does."""
    original, left = archive_writer.write_all, writes

    def write(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os._exit(1)
        original(*arguments)

    return write


def test_a_killed_writer_leaves_the_old_archive_and_the_next_one_completes(path: Path) -> None:
    push(to(path), b"one", "1.0")
    before = path.read_bytes()
    (path.parent / "other.tmp").write_bytes(b"")
    writes = 0
    while True:
        if not (pid := os.fork()):
            archive_writer.write_all = dying_after(writes)
            push(to(path), LARGE, "2.0")
            os._exit(0)
        if not os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            break
        assert path.read_bytes() == before
        writes += 1
    assert writes > 10, "it was killed at each write"
    assert content_of(at(path), "2.0") == LARGE and content_of(at(path), "1.0") == b"one"
    assert sorted(os.listdir(path.parent)) == ["it.tar", "other.tmp"], "leftovers are gone, other files are not"


def test_what_a_writer_left_that_was_killed_after_its_last_step_goes_with_the_next_run(path: Path) -> None:
    push(to(path), b"one", "1.0")
    left = [path.parent / f".it.tar{end}" for end in (".lock", "-0123456789abcdef.tmp")]
    others = [path.parent / name for name in (".it.tar.locked", ".other.tar.lock")]
    for each in (*left, *others):
        each.write_bytes(b"")
    before = path.stat().st_ino
    with left[0].open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with to(path).batch():
            pass
        assert left[0].exists(), "somebody holds it"
    with to(path).batch():
        push(to(path.with_name("second.tar")), b"one", "1.0")
    assert sorted(os.listdir(path.parent)) == sorted(["it.tar", "second.tar", *(each.name for each in others)])
    assert path.stat().st_ino == before, "nothing was to be written"


def test_two_writers_at_once_lose_nothing(path: Path) -> None:
    children = []
    for number in range(6):
        if not (pid := os.fork()):
            repository = to(path)
            with repository.batch():
                push(repository, b"%d" % number, f"{number}.0")
                push(repository, LARGE, "shared")
            os._exit(0)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 6
    assert at(path).list_tags() == [*(f"{number}.0" for number in range(6)), "shared"]
    assert [content_of(at(path), f"{number}.0") for number in range(6)] == [b"%d" % number for number in range(6)]
    assert os.listdir(path.parent) == ["it.tar"]


def test_a_writer_waits_for_another_and_readers_do_not(path: Path) -> None:
    push(to(path), b"one", "1.0")
    lock = path.parent / ".it.tar.lock"
    with lock.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert content_of(at(path), "1.0") == b"one"
        with pytest.raises(LockTimeout) as raised:
            push(to(path, lock_timeout=0.0), b"two", "2.0")
        assert raised.value.retryable and "lock" in str(raised.value)
    push(to(path), b"two", "2.0")
    assert not lock.exists()


# -- reading what others wrote


def packed_by_gnu_tar(path: Path) -> Path:
    return write_tar(path, entry("./", kind=tarfile.DIRTYPE), *[entry(f"./{i.name}", d) for i, d in entries_of(path)])


def compressed(path: Path) -> Path:
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def saved_by_docker(path: Path) -> Path:
    """As Docker 25 saves: a layout, and its older description of the images beside it."""
    extra = [
        entry("manifest.json", b"[]"),
        entry("repositories", b"{}"),
        entry("abc/layer.tar", b"", tarfile.SYMTYPE, "x"),
    ]
    return write_tar(path, entry("blobs", kind=tarfile.DIRTYPE), *entries_of(path), *extra)


@pytest.mark.parametrize("alter", [packed_by_gnu_tar, compressed, saved_by_docker])
def test_what_other_tools_write_is_read(path: Path, alter: Callable[[Path], Path]) -> None:
    push(to(path), b"one", "1.0")
    manifest = push(to(path), LARGE, "2.0")
    alter(path)
    reader = at(path)
    assert reader.list_tags() == ["1.0", "2.0"]
    assert reader.fetch_manifest("2.0") == manifest
    assert (content_of(reader, "1.0"), content_of(reader, "2.0")) == (b"one", LARGE)


def test_many_threads_read_at_the_same_time(path: Path) -> None:
    contents = [random.Random(number).randbytes(300_000) for number in range(4)]
    repository = to(path)
    with repository.batch():
        for number, content in enumerate(contents):
            push(repository, content, f"{number}.0")
    reader, found = at(path), {}

    def read(number: int) -> None:
        found[number] = all(content_of(reader, f"{number}.0") == contents[number] for _time in range(10))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


def test_content_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 MiB, only what is asked for is read: headers and documents."""
    push(to(path), bytes(64 << 20), "1.0")
    taken = 0
    original = tar_members.TarReader.feed

    def feed(self: Any, data: Any) -> None:
        nonlocal taken
        taken += len(data)
        original(self, data)

    monkeypatch.setattr(tar_members.TarReader, "feed", feed)
    assert at(path).resolve("1.0").size < 1000
    assert taken <= 512 * (4 + 3 + 2)


def test_there_is_no_archive(path: Path) -> None:
    with pytest.raises(NotFound, match="the file does not exist"):
        at(path).list_tags()
    assert not at(path).blob_exists(blob(b"x").descriptor)
    with pytest.raises(NotFound, match="it is a directory") as raised:
        at(path.parent).list_tags()
    assert "oci-layout:PATH" in str(raised.value)
    os.mkfifo(path)
    with pytest.raises(NotFound, match="it is not a file"):
        at(path).list_tags()
    with pytest.raises(StorageError, match="it is not a file"):
        push(to(path), b"x", "1")
    path.unlink()
    path.write_bytes(b"")
    with pytest.raises(NotFound, match="oci-archive:PATH"):
        LayoutRepository(Reference(layout=str(path))).list_tags()


def with_its_folder(path: Path) -> Path:
    return write_tar(path, *[entry(f"release/{info.name}", data) for info, data in entries_of(path)])


def changed(name: str, data: bytes) -> Callable[[Path], Path]:
    return lambda path: write_tar(path, *[entry(i.name, data if i.name == name else d) for i, d in entries_of(path)])


def and_then(*added: Entry, format: int = tarfile.PAX_FORMAT) -> Callable[[Path], Path]:
    return lambda path: write_tar(path, *entries_of(path), *added, format=format)


def sparse(path: Path) -> Path:
    return write_tar(path, *entries_of(path), entry("blobs/sha256/00", b"1", **{"GNU.sparse.major": "1"}))


def bytes_of(data: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (with_its_folder, "It has one in its folder 'release'"),
        (lambda path: write_tar(path, entry("a.txt", b"a")), "Check that it was written as an OCI archive"),
        (changed("oci-layout", b'{"imageLayoutVersion": "2.0.0"}'), "has version '2.0.0'"),
        (changed("oci-layout", b"{"), "The file oci-layout in "),
        (changed("index.json", b"[]"), "The file index.json in "),
        (changed("index.json", b'{"schemaVersion": 1}'), "is not an image index"),
        (changed("index.json", b" " * 2000), "has more than the 1000 bytes allowed"),
        (and_then(entry("index.json", b"{}")), "has index.json twice"),
        (and_then(entry("./index.json", b"{}")), "has index.json twice"),
        (and_then(entry("blobs/sha256/" + "0" * 64), entry("blobs/sha256/" + "0" * 64)), "twice"),
        (and_then(entry("blobs/sha256/00", kind=tarfile.SYMTYPE, target="/etc/passwd")), "is a symlink, not a file"),
        (and_then(entry("blobs/sha256/00", kind=tarfile.LNKTYPE, target="index.json")), "is a hard link"),
        (and_then(entry("fifo", kind=tarfile.FIFOTYPE)), "cannot be read: its entry 'fifo' is a fifo"),
        (sparse, "it holds a sparse file"),
        (and_then(entry("big", comment="x" * 900), entry("more", comment="x" * 900)), "bytes of extended headers"),
        (and_then(*[entry(f"{number}") for number in range(60)]), "has more than 50 entries"),
        (and_then(entry("a" * 600), format=tarfile.GNU_FORMAT), ""),
        (bytes_of(b""), "is truncated"),
        (bytes_of(b"no archive at all" * 40), "is not an archive"),
        (bytes_of(gzip.compress(b"no archive at all" * 40)), "is not an archive"),
        (bytes_of(gzip.compress(b"x" * 100_000)[:-20]), "truncated"),
        (bytes_of(gzip.compress(bytes(1_000_000))), "expands to more than 50 times its size"),
    ],
)
def test_what_cannot_be_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, alter: Callable[[Path], Path], words: str
) -> None:
    monkeypatch.setattr(archive_module, "MAX_INDEX_SIZE", 1000)
    monkeypatch.setattr(archive_module, "MIN_EXPANSION", 400_000)
    monkeypatch.setattr(tar_members, "MAX_EXTENDED", 1500)
    monkeypatch.setattr(tar_members, "MAX_HEADERS", 50)
    push(to(path), b"one", "1.0")
    alter(path)
    before = path.read_bytes()
    if not words:
        assert at(path).list_tags() == ["1.0"], "what is no part of a layout is passed over"
    else:
        with pytest.raises(InvalidContent) as raised:
            at(path).list_tags()
        assert words in str(raised.value) and str(path) in str(raised.value)
    with pytest.raises(OciError):
        push(to(path), b"two", "2.0")
    assert path.read_bytes() == before, "it is never overwritten"
    assert os.listdir(path.parent) == ["it.tar"]


def test_a_hundred_thousand_other_members_are_passed_over(path: Path) -> None:
    push(to(path), b"one", "1.0")
    members = b"".join(tar_header(f"other/{number}", b"0", 0o644) for number in range(100_000))
    path.write_bytes(members + path.read_bytes())
    reader = at(path)
    assert content_of(reader, "1.0") == b"one"
    assert len(reader.file.members.others) == tar_members.MAX_OTHERS, "what is kept of them is bounded"


def test_an_archive_that_was_cut_short_is_refused_wherever_it_was_cut(path: Path) -> None:
    push(to(path), LARGE[:3000], "1.0")
    whole = path.read_bytes()
    for length in range(0, len(whole) - 512, 256):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidContent, match="truncated"):
            at(path).list_tags()
    path.write_bytes(whole)
    reader = at(path)
    manifest = reader.fetch_manifest("1.0")
    os.truncate(path, 1024)
    with pytest.raises(StorageError, match="cut short"):
        b"".join(reader.stream_blob(manifest.layers[0]))


def test_an_archive_whose_blobs_are_wrong_is_refused(path: Path) -> None:
    manifest = push(to(path), b"one", "1.0")
    layer = manifest.layers[0]
    name = "blobs/" + layer.digest.replace(":", "/")
    changed(name, b"longer")(path)
    with pytest.raises(DigestMismatch, match="has 6 bytes; its descriptor says 3"):
        content_of(at(path), "1.0")
    changed("blobs/" + manifest.descriptor.digest.replace(":", "/"), b"x" * manifest.descriptor.size)(path)
    with pytest.raises(DigestMismatch, match="does not match"):
        at(path).fetch_manifest("1.0")
    write_tar(path, *[each for each in entries_of(path) if each[0].name != name])
    with pytest.raises(NotFound, match="is not in"):
        b"".join(at(path).stream_blob(layer))


# -- what nothing is added to


@pytest.mark.parametrize("alter", [compressed, saved_by_docker])
def test_nothing_is_added_where_something_would_be_lost(path: Path, alter: Callable[[Path], Path]) -> None:
    push(to(path), b"one", "1.0")
    before = alter(path).read_bytes()
    with pytest.raises(StorageError, match="Nothing can be added to"):
        push(to(path), b"two", "2.0")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["it.tar"]


def test_a_link_to_an_archive_is_read_and_not_replaced(path: Path) -> None:
    push(to(path), b"one", "1.0")
    link = path.with_name("link.tar")
    link.symlink_to(path)
    assert content_of(at(link), "1.0") == b"one"
    with pytest.raises(StorageError, match="is a symbolic link") as raised:
        push(to(link), b"two", "2.0")
    assert str(path) in str(raised.value)
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["it.tar.gz", "it.TGZ", "it.tar.zst"])
def test_a_new_archive_is_not_what_a_compressed_name_says(path: Path, name: str) -> None:
    with pytest.raises(InvalidOption, match="archives are written uncompressed"):
        push(to(path.with_name(name)), b"one", "1.0")
    assert os.listdir(path.parent) == []


def test_a_full_disk_leaves_the_old_archive(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(to(path), b"one", "1.0")
    before = path.read_bytes()

    def write(*arguments: Any) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr(archive_writer, "write_all", write)
    with pytest.raises(StorageError, match="No space left"):
        push(to(path), b"two", "2.0")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["it.tar"]


def test_who_waits_for_the_lock_sees_that_its_holder_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_writer, "_PROGRESS", 1000)
    sizes: list[int] = []
    lock = path.parent / ".it.tar.lock"

    def chunks() -> Iterator[bytes]:
        for _number in range(4):
            sizes.append(lock.stat().st_size)
            yield b"x" * 1000

    class Source(io.RawIOBase):
        def __init__(self) -> None:
            self._chunks = chunks()

        def read(self, size: int = -1) -> bytes:
            return next(self._chunks, b"")

    data = b"x" * 4000
    repository = to(path)
    repository.push_blob(BlobSource(blob(data).descriptor, Source))  # type: ignore[arg-type]
    repository.push_blob(blob(b"{}", media.OCI_EMPTY))
    repository.push_manifest(manifest_of(data), "1.0")
    assert sizes == sorted(sizes) and sizes[-1] > sizes[0]
    assert json.loads(files_of(path)["index.json"])["manifests"][0]["annotations"][media.ANNOTATION_REF_NAME] == "1.0"
