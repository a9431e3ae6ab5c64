# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of every format unpacked: content, modes, links, limits and removed names."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import staged_tree
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.unpack import (
    Unpacker,
    UnpackLimits,
    remove_paths,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._archive.tar_members import (
    Member,
    archive_of,
)

AMPLE = UnpackLimits(max_size=1 << 40, max_files=1 << 20)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def member(
    name: str, content: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> Member:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname, info.size = mode, kind, link, len(content)
    return info, content


def directory(name: str, mode: int = 0o755) -> Member:
    return member(name, mode=mode, kind=tarfile.DIRTYPE)


def symlink(name: str, target: str) -> Member:
    return member(name, mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> Member:
    return member(name, kind=tarfile.LNKTYPE, link=target)


def unpack(
    root: Path, blob: bytes, *, limits: UnpackLimits = AMPLE, cuts: list[int] | None = None, **options: Any
) -> dict[str, TreeEntry]:
    unpacker = Unpacker(str(root), limits, **options)
    try:
        writer = unpacker.layer("The layer x", whiteouts=False)
        bounds = [0, *sorted(cut % (len(blob) + 1) for cut in cuts or []), len(blob)]
        for start, stop in zip(bounds, bounds[1:]):
            writer.write(memoryview(blob)[start:stop])
        writer.close()
        return unpacker.tree()
    finally:
        unpacker.abort()


def on_disk(root: Path) -> dict[str, TreeEntry]:
    """The tree as the file system has it."""
    found = {}
    for path in root.rglob("*"):
        status = path.lstat()
        name = path.relative_to(root).as_posix()
        if stat.S_ISLNK(status.st_mode):
            found[name] = TreeEntry(SYMLINK, 0o777, target=os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = TreeEntry(DIRECTORY, stat.S_IMODE(status.st_mode))
        else:
            content = path.read_bytes()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            found[name] = TreeEntry(FILE, stat.S_IMODE(status.st_mode), len(content), digest)
    return found


@pytest.fixture
def new_root(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Empty directories, for tests with many examples."""
    path = tmp_path / "many"

    def make() -> Path:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    yield make
    shutil.rmtree(path, ignore_errors=True)


PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda part: part not in (".", "..")
)
TREES = st.recursive(
    st.tuples(st.binary(max_size=1500), st.integers(0, 0o777)),
    lambda below: st.dictionaries(PARTS, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def members_of(tree: dict[str, Any], prefix: str = "") -> Iterator[Member]:
    for name, node in tree.items():
        if isinstance(node, dict):
            yield directory(prefix + name)
            yield from members_of(node, f"{prefix}{name}/")
        else:
            yield member(prefix + name, node[0], mode=node[1])


@given(
    tree=TREES, tar_format=st.sampled_from(FORMATS), compressed=st.booleans(), cuts=st.lists(st.integers(0), max_size=9)
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_unpacks_what_tarfile_packs(
    new_root: Callable[[], Path], tree: dict[str, Any], tar_format: int, compressed: bool, cuts: list[int]
) -> None:
    members = [entry for entry in members_of(tree) if tar_format != tarfile.USTAR_FORMAT or len(entry[0].name) < 25]
    blob = archive_of(*members, tar_format=tar_format)
    root = new_root()
    found = unpack(root, gzip.compress(blob) if compressed else blob, cuts=cuts)
    assert found == on_disk(root)
    for info, content in members:
        entry = found[info.name]
        if info.isdir():
            assert entry == TreeEntry(DIRECTORY, 0o755)
        else:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            assert entry == TreeEntry(FILE, info.mode | 0o600, len(content), digest)


@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_it_unpacks_what_gnu_tar_packs(tmp_path: Path, root: Path, tar_format: str) -> None:
    tool = shutil.which("tar")
    if tool is None or b"GNU tar" not in subprocess.run([tool, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("GNU tar is not installed")
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "sub" / "file").write_bytes(b"content" * 1000)
    (source / "sub" / "script").write_bytes(b"#!/bin/sh\n")
    os.chmod(source / "sub" / "script", 0o755)
    os.symlink("../sub/file", source / "sub" / "soft")
    os.link(source / "sub" / "file", source / "sub" / "zhard")
    blob = subprocess.run(
        [tool, "-C", str(source), f"--format={tar_format}", "--sort=name", "-cz", "."], capture_output=True, check=True
    ).stdout
    assert unpack(root, blob) == on_disk(root) == on_disk(source)
    assert (root / "sub" / "zhard").stat().st_nlink == 1


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1 << 20, (3 << 20) + 7])
def test_any_split_gives_the_same(root: Path, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    blob = archive_of(member("a/file", content), member("b", b"b"))
    assert unpack(root, blob, cuts=list(range(0, len(blob), 4099))) == on_disk(root)
    assert (root / "a" / "file").read_bytes() == content


def test_zstd(root: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    blob = zstandard.ZstdCompressor().compress(archive_of(member("file", b"content")))
    assert unpack(root, blob) == on_disk(root)


class TestModes:
    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
    def test_permission_bits_are_kept_whatever_the_umask(self, root: Path, mask: int) -> None:
        blob = archive_of(
            directory("d", 0o7070),
            member("d/open", mode=0o6777),
            member("shut", mode=0),
            member("implicit/file", mode=0o444),
        )
        before = os.umask(mask)
        try:
            found = unpack(root, blob)
        finally:
            os.umask(before)
        assert found == on_disk(root)
        assert {name: entry.mode for name, entry in found.items()} == {
            "d": 0o770,
            "d/open": 0o777,
            "shut": 0o600,
            "implicit": 0o755,
            "implicit/file": 0o644,
        }

    def test_owners_and_times_are_not_applied(self, root: Path) -> None:
        info, content = member("file", b"x")
        info.uid = info.gid = 12345
        info.mtime = 1
        unpack(root, archive_of((info, content)))
        status = (root / "file").stat()
        assert (status.st_uid, status.st_gid) == (os.getuid(), root.stat().st_gid)
        assert status.st_mtime > 1000

    def test_the_mode_of_the_root_is_the_callers(self, root: Path) -> None:
        os.chmod(root, 0o700)
        spellings = (".", "./", ".//", "././", "/", "//", "/.", "/./", "")
        entries = [directory(name, 0o777) for name in spellings]
        found = unpack(root, archive_of(*entries, directory("d/"), *entries, member("a"), member("d/b")))
        assert sorted(found) == ["a", "d", "d/b"]
        assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_names_are_normalised(root: Path) -> None:
    names = ["./a//b/./c", "a/b/./d", "./e/", "f\\g", "..h", "i..", ".../j", " ", "ä\n", "a/b/.wh.k"]
    found = unpack(root, archive_of(*[member(name) for name in names if name != "./e/"], directory("./e/")))
    assert sorted(found) == sorted(
        ["a", "a/b", "a/b/c", "a/b/d", "e", "f\\g", "..h", "i..", "...", ".../j", " ", "ä\n", "a/b/.wh.k"]
    )
    assert found == on_disk(root)


def test_the_limits_of_names(root: Path) -> None:
    deep = "/".join("d" * 128)
    wide = "/".join(["w" * 255] * 15) + "/" + "x" * 255
    found = unpack(root, archive_of(member(deep), member("n" * 255), member("ä" * 127), member(wide)))
    assert found[deep].kind == found["ä" * 127].kind == found[wide].kind == FILE


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("n" * 256, "more than 255 bytes"),
        ("ä" * 128, "more than 255 bytes"),
        ("d/" + "ä" * 128 + "/f", "more than 255 bytes"),
        ("/".join(["w" * 255] * 16) + "/x", "longer than 4096 bytes"),
        ("/".join("d" * 129), "more than 128 directories deep"),
    ],
)
def test_names_beyond_the_limits(root: Path, name: str, match: str) -> None:
    with pytest.raises(LayerError, match=match):
        unpack(root, archive_of(member("d/f"), member("d/g"), member(name)))
    with pytest.raises(LayerError, match=match):
        unpack(root, archive_of(hardlink("h", name)))


@pytest.mark.parametrize("name", ["", ".", "./", "././/", "/", "/.", "//"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_only_a_directory_may_be_the_root(root: Path, name: str, kind: bytes) -> None:
    info, _content = member("", kind=kind, link="a")
    info.name = name
    match = "is a file for some readers" if kind == tarfile.REGTYPE and name.endswith("/") else "has (no|a) name"
    with pytest.raises(LayerError, match=match):
        unpack(root, archive_of(member("a"), (info, b"")))


class TestDuplicates:
    """The later entry wins."""

    @pytest.mark.parametrize(
        "later",
        [member("a", b"new", mode=0o700), directory("a", 0o700), symlink("a", "b"), hardlink("a", "b")],
        ids=["file", "directory", "symlink", "hard link"],
    )
    @pytest.mark.parametrize(
        "former",
        [[member("a", b"old")], [member("a/b/c"), member("a/d")], [symlink("a", "b")], [symlink("a", "gone")]],
        ids=["file", "directory", "symlink", "dangling symlink"],
    )
    def test_of_any_kind(self, root: Path, former: list[Member], later: Member) -> None:
        found = unpack(root, archive_of(member("b", b"kept"), *former, later))
        assert found == on_disk(root)
        assert (root / "b").read_bytes() == b"kept"
        info = later[0]
        if info.isfile():
            assert (root / "a").read_bytes() == b"new"
        elif info.issym():
            assert os.readlink(root / "a") == "b"
        elif info.isdir() and former[0][0].name == "a/b/c":
            assert found["a/b/c"].kind == FILE
        elif info.isdir():
            assert not list((root / "a").iterdir())
        else:
            assert (root / "a").read_bytes() == b"kept"

    def test_a_directory_made_anew_is_written_to_again(self, root: Path) -> None:
        found = unpack(
            root, archive_of(member("a/b/x"), member("a/b"), directory("a/b"), member("a/b/y"), member("a/b/z"))
        )
        assert found == on_disk(root)
        assert sorted(found) == ["a", "a/b", "a/b/y", "a/b/z"]

    def test_a_hard_link_to_itself(self, root: Path) -> None:
        unpack(root, archive_of(member("a", b"kept"), hardlink("./a", "a")))
        assert (root / "a").read_bytes() == b"kept"

    def test_a_hard_link_in_place_of_the_directory_that_held_its_target(self, root: Path) -> None:
        found = unpack(root, archive_of(member("a/b", b"kept"), hardlink("a", "a/b")))
        assert found == on_disk(root)
        assert (root / "a").read_bytes() == b"kept"

    def test_the_last_mode_of_a_directory_counts(self, root: Path) -> None:
        assert unpack(root, archive_of(directory("a", 0o700), directory("a", 0o750)))["a"].mode == 0o750
        assert on_disk(root)["a"].mode == 0o750


class TestHardLinks:
    def test_they_are_independent_copies(self, root: Path) -> None:
        content = os.urandom((2 << 20) + 3)
        found = unpack(root, archive_of(member("d/a", content, mode=0o750), hardlink("b", "d/a"), hardlink("c", "./b")))
        assert found == on_disk(root)
        assert found["b"] == found["c"] == found["d/a"]
        assert len({(root / name).stat().st_ino for name in ("d/a", "b", "c")}) == 3

    def test_they_keep_the_content_of_their_time(self, root: Path) -> None:
        unpack(root, archive_of(member("a", b"old"), hardlink("b", "a"), member("a", b"new")))
        assert (root / "b").read_bytes() == b"old"

    @pytest.mark.parametrize("target", ["missing", "d", "l", "later", "l/a", "a/x", "."])
    def test_their_target_is_a_file_that_is_there(self, root: Path, target: str) -> None:
        blob = archive_of(member("d/a"), member("a"), symlink("l", "d"), hardlink("h", target), member("later"))
        with pytest.raises(LayerError, match="'h' is a hard link to .* not a file that was unpacked before it"):
            unpack(root, blob)

    def test_copies_count(self, root: Path) -> None:
        blob = archive_of(member("a", bytes(600)), hardlink("b", "a"))
        with pytest.raises(LayerError, match="max_size"):
            unpack(root, blob, limits=UnpackLimits(1199, 10))
        assert not (root / "b").exists()


class TestLimits:
    def test_exactly_met(self, root: Path) -> None:
        blob = archive_of(member("a", bytes(600)), directory("d"), member("b", bytes(400)))
        assert len(unpack(root, blob, limits=UnpackLimits(1000, 3))) == 3

    def test_size_is_checked_before_a_byte_is_written(self, root: Path) -> None:
        blob = archive_of(member("a", bytes(1001)))
        with pytest.raises(LayerError, match="more than 1000 bytes .max_size.*Raise the limit"):
            unpack(root, blob[:512], limits=UnpackLimits(1000, 10))
        assert not list(root.iterdir())

    def test_replaced_content_counts(self, root: Path) -> None:
        blob = archive_of(member("a", bytes(600)), member("a", bytes(600)))
        with pytest.raises(LayerError, match="max_size"):
            unpack(root, blob, limits=UnpackLimits(1000, 10))

    def test_entries(self, root: Path) -> None:
        blob = archive_of(*[member("a") for _number in range(11)])
        with pytest.raises(LayerError, match="more than 10 entries .max_files.*Raise the limit"):
            unpack(root, blob, limits=UnpackLimits(1000, 10))

    def test_pax_headers_are_entries(self, root: Path) -> None:
        blob = archive_of(*[member("ä" * 60) for _number in range(6)])
        with pytest.raises(LayerError, match="max_files"):
            unpack(root, blob, limits=UnpackLimits(1000, 10))

    def test_all_layers_count(self, root: Path) -> None:
        unpacker = Unpacker(str(root), UnpackLimits(1000, 10))
        writer = unpacker.layer("The layer x", whiteouts=True)
        writer.write(archive_of(member("x", bytes(600))))
        writer.close()
        writer = unpacker.layer("The layer y", whiteouts=True)
        with pytest.raises(LayerError, match="The layer y .*max_size"):
            writer.write(archive_of(member("y", bytes(600))))
        unpacker.abort()


class TestSystemErrors:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
    @pytest.mark.parametrize("call", ["open", "write", "mkdir", "fchmod", "close"])
    def test_they_are_storage_errors(self, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
        unpacker = Unpacker(str(root), AMPLE)
        writer = unpacker.layer("The layer x", whiteouts=False)

        def fail(*_arguments: Any, **_options: Any) -> None:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(StorageError, match="Cannot unpack the entry 'd/a' of The layer x into ") as caught:
                writer.write(archive_of(member("d/a", b"x")))
        assert os.strerror(code) in str(caught.value)
        unpacker.abort()

    def test_short_writes_are_completed(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
        unpack(root, archive_of(member("a", b"x" * 1050)))
        monkeypatch.undo()
        assert (root / "a").read_bytes() == b"x" * 1050

    def test_a_root_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="Cannot open .*/missing to unpack into it: No such file"):
            Unpacker(str(tmp_path / "missing"), AMPLE)
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="Not a directory"):
            Unpacker(str(tmp_path / "file"), AMPLE)

    def test_descriptors_are_released(self, root: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        unpacker = Unpacker(str(root), AMPLE)
        writer = unpacker.layer("The layer x", whiteouts=False)
        writer.write(archive_of(member("a/b/c", bytes(5000)))[:3000])
        unpacker.abort()
        unpacker.abort()
        assert len(os.listdir("/proc/self/fd")) <= before

    def test_descriptors_are_bounded(self, root: Path) -> None:
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        blob = archive_of(*[member(f"{number}/{number}/f") for number in range(500)], member("/".join("d" * 128)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, before[1]), before[1]))
        try:
            assert unpack(root, blob) == on_disk(root)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


class TestRemovePaths:
    def test_directories_stand_for_all_below(self, root: Path) -> None:
        blob = archive_of(
            member("a/b/c"), member("a/d"), member("a-b"), member("e/f"), symlink("l", "a"), directory("g")
        )
        tree = unpack(root, blob)
        remaining = remove_paths(str(root), tree, {"a", "e/f", "l", "missing", "missing/too"})
        assert sorted(remaining) == ["a-b", "e", "g"]
        assert remaining == on_disk(root)

    def test_nothing(self, root: Path) -> None:
        tree = unpack(root, archive_of(member("a")))
        assert remove_paths(str(root), tree, set()) == tree == on_disk(root)

    def test_links_are_not_followed(self, root: Path, tmp_path: Path) -> None:
        tree = unpack(root, archive_of(member("a/b"), symlink("l", "a")))
        assert sorted(remove_paths(str(root), tree, {"l"})) == ["a", "a/b"]
        assert (root / "a" / "b").exists()

    def test_a_link_that_would_lead_out_of_what_remains(self, root: Path) -> None:
        # b stays inside only while t is a link to a deeper place.
        members = [directory("x/y/z"), symlink("s", "."), symlink("t", "x/y/z"), symlink("b", "s/t/../../w")]
        tree = unpack(root, archive_of(*members))
        with pytest.raises(LayerError, match="its symbolic link 'b' leads to 's/t/../../w', outside"):
            remove_paths(str(root), tree, {"t"})

    def test_system_errors(self, root: Path) -> None:
        tree = unpack(root, archive_of(member("a/b")))
        shutil.rmtree(root / "a")
        with pytest.raises(StorageError, match="Cannot remove the ignored 'a/b'"):
            remove_paths(str(root), tree, {"a"})

    @given(tree=TREES, data=st.data())
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_selection(self, new_root: Callable[[], Path], tree: dict[str, Any], data: st.DataObject) -> None:
        root = new_root()
        found = unpack(root, archive_of(*members_of(tree)))
        excluded = data.draw(st.sets(st.sampled_from(sorted(found))) if found else st.just(set()))
        remaining = remove_paths(str(root), found, excluded)
        assert remaining == on_disk(root)
        kept = {path for path in found if not any(path == out or path.startswith(out + "/") for out in excluded)}
        assert set(remaining) == kept


def test_without_digests_nothing_is_hashed(root: Path) -> None:
    found = unpack(root, archive_of(member("a", b"x"), hardlink("b", "a")), digests=False)
    assert found["a"] == found["b"] == TreeEntry(FILE, 0o644, 1, "")


def test_a_failed_layer_is_not_completed(root: Path) -> None:
    unpacker = Unpacker(str(root), AMPLE)
    writer = unpacker.layer("The layer x", whiteouts=False)
    writer.write(archive_of(member("a", bytes(2000)))[:1000])
    with pytest.raises(LayerError, match="truncated"):
        writer.close()
    with pytest.raises(RuntimeError):
        unpacker.tree()
    unpacker.abort()


def test_an_empty_archive(root: Path) -> None:
    assert unpack(root, archive_of()) == {}
    assert unpack(root, bytes(1024)) == {}


def test_names_that_the_file_system_cannot_tell_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a file system that ignores case: the second name is taken, though the archive has it once.
    monkeypatch.setattr(staged_tree, "encoded", lambda name: name.lower().encode())
    with pytest.raises(StorageError, match="cannot tell upper and lower case apart"):
        unpack(root, archive_of(member("readme"), member("README")))
