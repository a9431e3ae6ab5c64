# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reproducible archives: the same bytes for the same content, readable by every tar, safe to unpack again."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from two_users import place_without_rights, without_rights

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import pack
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.pack import (
    Member,
    PackResult,
    pack_file,
    pack_members,
    pack_tree,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.tar_header import pax_record, tar_header
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.unpack import Unpacker, UnpackLimits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)

AMPLE = UnpackLimits(max_size=1 << 40, max_files=1 << 20)


def packed(source: Path, **options: Any) -> tuple[bytes, PackResult]:
    output = io.BytesIO()
    result = pack_tree(str(source), output, **{"excluded": None, **options})
    checked(output.getvalue(), result)
    return output.getvalue(), result


def checked(blob: bytes, result: PackResult) -> None:
    """What the result says is what was written."""
    plain = gzip.decompress(blob)
    assert result.size == len(blob)
    assert result.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert result.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert result.files == sum(entry.kind != DIRECTORY for entry in result.tree.values())
    assert len(plain) % 512 == 0
    assert plain.endswith(bytes(1024))


def unpacked(root: Path, blob: bytes) -> dict[str, TreeEntry]:
    unpacker = Unpacker(str(root), AMPLE)
    try:
        writer = unpacker.layer("The layer x", whiteouts=False)
        writer.write(blob)
        writer.close()
        return unpacker.tree()
    finally:
        unpacker.abort()


def names(blob: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        return archive.getnames()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda part: part not in (".", "..")
)
TREES = st.recursive(
    st.one_of(st.tuples(st.binary(max_size=1500), st.sampled_from([0o644, 0o755])), st.just("link")),
    lambda below: st.dictionaries(PARTS, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def write_tree(root: Path, tree: dict[str, Any], backwards: bool = False, mask: int = 0, when: int = 0) -> None:
    """Create a tree in one order or the other, as another user with another umask would have it."""
    for name in sorted(tree, reverse=backwards):
        node, path = tree[name], root / name
        if isinstance(node, dict):
            path.mkdir()
            write_tree(path, node, backwards, mask, when)
            os.chmod(path, 0o777 & ~mask)
        elif node == "link":
            os.symlink(f"./{sorted(tree)[0]}", path)
        else:
            path.write_bytes(node[0])
            os.chmod(path, node[1] & ~mask)
        os.utime(path, (when, when), follow_symlinks=False)


@given(tree=TREES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_packed_can_be_unpacked(new_root: Callable[[], Path], tree: dict[str, Any]) -> None:
    source, target = new_root(), new_root()
    write_tree(source, tree, mask=0o022)
    blob, result = packed(source)
    assert unpacked(target, blob) == result.tree
    # Packed again, the result is the same.
    assert packed(target) == (blob, result)


@given(tree=TREES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_umask_and_times_do_not_matter(new_root: Callable[[], Path], tree: dict[str, Any]) -> None:
    one, other = new_root(), new_root()
    write_tree(one, tree)
    write_tree(other, tree, backwards=True, mask=0o077, when=1_700_000_000)
    os.chmod(other, 0o700)
    assert packed(one) == packed(other)


@given(tree=TREES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tarfile_reads_it(new_root: Callable[[], Path], tree: dict[str, Any]) -> None:
    source = new_root()
    write_tree(source, tree)
    blob, result = packed(source)
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        members = archive.getmembers()
        assert [info.name for info in members] == sorted(result.tree, key=str.encode)
        for info in members:
            entry = result.tree[info.name]
            assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 0)
            assert info.mode == entry.mode
            assert info.linkname == entry.target
            if info.isfile():
                stream = archive.extractfile(info)
                assert stream is not None
                assert f"sha256:{hashlib.sha256(stream.read()).hexdigest()}" == entry.digest


def test_the_bytes_are_fixed(source: Path) -> None:
    """A change here changes the digest of everything that was ever pushed."""
    (source / "dir").mkdir()
    (source / "dir" / "script").write_bytes(b"#!/bin/sh\n")
    (source / "dir" / "script").chmod(0o700)
    (source / "file").write_bytes(b"content\n" * 100)
    (source / "ä").symlink_to("dir/script")
    (source / ("n" * 120)).write_bytes(b"")
    long = source / ("d" * 80) / ("e" * 60)
    long.mkdir(parents=True)
    (long / "f").write_bytes(b"f")
    blob, result = packed(source)
    assert result.diff_id == "sha256:88916abe3a8b0112ae20722b27b8147afeb0dc6ef6c5d835f8f48c731cd63e9d"
    assert blob[:10] == bytes.fromhex("1f8b08000000000000ff")


def test_the_header_is_that_of_go(source: Path) -> None:
    (source / "file").write_bytes(b"abc")
    plain = gzip.decompress(packed(source)[0])
    header = b"file".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"00000000003\0" + b"00000000000\0"
    header += b"%s" + b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    checksum = sum(header % (b" " * 8))
    assert plain == header % (b"%06o\0 " % checksum) + b"abc".ljust(512, b"\0") + bytes(1024)


@pytest.mark.parametrize(
    ("name", "extended"),
    [
        ("n" * 100, False),
        ("n" * 101, True),
        ("p" * 155 + "/" + "n" * 100, False),
        ("p" * 156 + "/n", True),
        ("p" * 155 + "/" + "n" * 101, True),
        ("p/" + "n" * 100, False),
        ("p" * 60 + "/" + "q" * 60 + "/n", False),
        ("ä", True),
        ("a b\n", False),
    ],
)
@pytest.mark.parametrize("directory", [False, True])
def test_pax_headers_come_only_where_they_are_needed(name: str, extended: bool, directory: bool) -> None:
    header = tar_header(name + "/" * directory, b"5" if directory else b"0", 0o755)
    # The slash of a directory needs a byte as well.
    wanted = extended or (directory and name.endswith("n" * 100))
    assert (len(header) > 512) == wanted
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024))) as archive:
        info = archive.getmembers()[0]
    assert info.name == name
    assert info.isdir() == directory


def test_a_size_that_ustar_cannot_hold() -> None:
    header = tar_header("big", b"0", 0o644, 1 << 33)
    info = tarfile.TarInfo.frombuf(header[-512:], "utf-8", "strict")
    assert (len(header), info.size) == (1536, 0)
    assert b"19 size=8589934592\n" in header
    assert len(tar_header("big", b"0", 0o644, (1 << 33) - 1)) == 512


def test_the_length_of_a_pax_record_counts_itself() -> None:
    for length in (*range(120), *range(980, 1010), *range(9980, 10010)):
        record = pax_record("path", "x" * length)
        assert int(record.partition(b" ")[0]) == len(record)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 262143, 262144, 262145, (3 << 20) + 7])
def test_sizes(source: Path, new_root: Callable[[], Path], size: int) -> None:
    content = os.urandom(size)
    (source / "file").write_bytes(content)
    blob, result = packed(source)
    assert result.tree == {"file": TreeEntry(FILE, 0o644, size, f"sha256:{hashlib.sha256(content).hexdigest()}")}
    root = new_root()
    assert unpacked(root, blob) == result.tree
    assert (root / "file").read_bytes() == content


def test_gnu_tar_reads_it(source: Path, new_root: Callable[[], Path]) -> None:
    tool = shutil.which("tar")
    if tool is None:
        pytest.skip("tar is not installed")
    (source / "ä" / ("n" * 200)).mkdir(parents=True)
    (source / "ä" / ("n" * 200) / "file").write_bytes(b"content")
    (source / "link").symlink_to("ä/" + "n" * 200)
    (source / "caf\udce9").touch()
    root = new_root()
    done = subprocess.run([tool, "-xzC", str(root)], input=packed(source)[0], capture_output=True, check=True)
    assert done.stderr == b""
    assert packed(root) == packed(source)


class TestOptions:
    @pytest.fixture(autouse=True)
    def _files(self, source: Path) -> None:
        for name in ("a/b/c", "a/d", "a-b/e", "f", ".state/x", ".state-not"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(name.encode())

    ALL = [".state", ".state-not", ".state/x", "a", "a-b", "a-b/e", "a/b", "a/b/c", "a/d", "f"]

    def test_the_order_is_that_of_bytes(self, source: Path) -> None:
        assert names(packed(source)[0]) == self.ALL

    def test_excluded_paths(self, source: Path) -> None:
        seen: dict[str, bool] = {}

        def excluded(paths: dict[str, bool]) -> set[str]:
            seen.update(paths)
            return {"a/b", "f", "missing", ".state"}

        assert names(packed(source, excluded=excluded)[0]) == [".state-not", "a", "a-b", "a-b/e", "a/d"]
        assert sorted(seen) == self.ALL
        assert {path for path, is_directory in seen.items() if is_directory} == {".state", "a", "a-b", "a/b"}

    def test_a_prefix(self, source: Path) -> None:
        blob, result = packed(source, prefix="charts/one")
        assert names(blob) == [f"charts/one/{name}" for name in self.ALL] == sorted(result.tree, key=str.encode)

    @pytest.mark.parametrize("prefix", ["..", "/abs", "a/../b", "x" * 256, "."])
    def test_bad_prefixes(self, source: Path, prefix: str) -> None:
        with pytest.raises(BuildError, match="cannot be packed: the name"):
            packed(source, prefix=prefix)


def test_modes_follow_the_execute_bit_of_the_owner(source: Path) -> None:
    for mode in (0o400, 0o500, 0o644, 0o654, 0o711, 0o755, 0o4755, 0o777):
        (source / oct(mode)).touch()
        (source / oct(mode)).chmod(mode)
    modes = {name: entry.mode for name, entry in packed(source)[1].tree.items()}
    assert modes == {oct(mode): 0o755 if mode & 0o100 else 0o644 for mode in (int(name, 8) for name in modes)}


def test_hard_links_are_files_of_their_own(source: Path) -> None:
    (source / "a").write_bytes(b"content")
    os.link(source / "a", source / "b")
    tree = packed(source)[1].tree
    assert tree["a"] == tree["b"]
    assert tree["b"].kind == FILE


class TestSymbolicLinks:
    def test_those_that_stay_inside(self, source: Path) -> None:
        (source / "d").mkdir()
        targets = {"a": "d", "d/b": "../c", "c": "missing/../d/x", "l": "l", "e": "d/../a"}
        for name, target in targets.items():
            (source / name).symlink_to(target)
        tree = packed(source)[1].tree
        assert {name: entry.target for name, entry in tree.items() if entry.kind == SYMLINK} == targets

    @pytest.mark.parametrize("target", ["/etc/passwd", "..", "../source/d", "d/../../x", "up/../x", "up/.."])
    @pytest.mark.parametrize("prefix", ["", "deep/enough/prefix"])
    def test_those_that_lead_out(self, source: Path, target: str, prefix: str) -> None:
        (source / "d").mkdir()
        (source / "d" / "up").symlink_to("..")
        (source / "up").symlink_to("d/up")
        (source / "bad").symlink_to(target)
        with pytest.raises(BuildError, match="source/.* is a symbolic link to .*, outside of ") as caught:
            packed(source, prefix=prefix)
        assert repr(target) in str(caught.value)
        assert "Exclude it" in str(caught.value) or "exclude it" in str(caught.value)

    def test_excluded_ones_do_not_matter(self, source: Path) -> None:
        (source / "bad").symlink_to("/etc")
        assert packed(source, excluded=lambda paths: {"bad"})[1].tree == {}

    def test_directories_behind_links_are_not_entered(self, source: Path) -> None:
        (source / "d").mkdir()
        (source / "d" / "self").symlink_to("../d")
        assert sorted(packed(source)[1].tree) == ["d", "d/self"]


class TestRefused:
    def test_a_fifo(self, source: Path) -> None:
        os.mkfifo(source / "fifo")
        with pytest.raises(BuildError, match="source/fifo is a device, fifo or socket"):
            packed(source)
        assert packed(source, excluded=lambda paths: {"fifo"})[1].tree == {}

    def test_a_socket(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(source)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            with pytest.raises(BuildError, match="socket is a device, fifo or socket"):
                packed(source)

    def test_names_that_are_not_utf_8(self, source: Path) -> None:
        try:
            os.mkdir(os.fsencode(source) + b"/\xff")
        except OSError:
            pytest.skip("this machine's file system takes UTF-8 names only")
        os.symlink(b"\xff", os.fsencode(source) + b"/link")
        archive, result = packed(source)
        assert sorted(result.tree) == ["link", "\udcff"] and result.tree["link"].target == "\udcff"
        with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as members:
            assert [entry.name for entry in members] == ["link", "\udcff"]
            assert members.getmember("link").linkname == "\udcff"
        os.mkfifo(os.fsencode(source) + b"/\xfe")
        with pytest.raises(BuildError, match=r"source/\\xfe is a device"):
            packed(source)
        with pytest.raises(BuildError, match="not UTF-8"):
            pack_members([("\udcff", b"", 0o644)], io.BytesIO())

    def test_trees_that_are_too_deep(self, source: Path) -> None:
        deep = source
        for _level in range(129):
            deep = deep / "d"
        deep.mkdir(parents=True)
        with pytest.raises(BuildError, match="more than 128 directories deep"):
            packed(source)

    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_what_cannot_be_read(self, kind: str) -> None:
        with place_without_rights() as place:
            source = place / "source"
            path = source / "secret"
            source.mkdir()
            path.mkdir() if kind == "directory" else path.touch()
            path.chmod(0)
            with without_rights():
                with pytest.raises(BuildError, match="source/secret cannot be read: Permission denied"):
                    packed(source)
                assert packed(source, excluded=lambda paths: {"secret"})[1].tree == {}

    @pytest.mark.parametrize("call", ["open", "read", "scandir", "readlink"])
    def test_system_errors(self, source: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        (source / "d").mkdir()
        (source / "d" / "file").write_bytes(b"x")
        (source / "d" / "link").symlink_to("file")
        genuine = getattr(os, call)

        def fail(*arguments: Any, **options: Any) -> Any:
            if call == "open" and arguments[0] != b"file":
                return genuine(*arguments, **options)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(BuildError, match="cannot be read: Input/output error"):
            packed(source)

    @pytest.mark.parametrize("missing", ["missing", "file"])
    def test_a_source_that_is_no_directory(self, source: Path, missing: str) -> None:
        (source / "file").touch()
        with pytest.raises(BuildError, match="cannot be read: (No such file|Not a directory)"):
            packed(source / missing)

    @pytest.mark.parametrize("change", [b"", b"shorter", b"x" * 5000])
    def test_files_that_change_while_they_are_read(
        self, source: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
    ) -> None:
        (source / "file").write_bytes(b"y" * 1000)
        read = os.read

        def changing(descriptor: int, size: int) -> bytes:
            (source / "file").write_bytes(change)
            return read(descriptor, size)

        monkeypatch.setattr(os, "read", changing)
        with pytest.raises(BuildError, match="'file' changed while it was packed: it had 1000 bytes"):
            packed(source)

    def test_a_fifo_in_place_of_a_file(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(source / "fifo")
        monkeypatch.setattr(pack, "_kind", lambda entry: FILE)
        with pytest.raises(BuildError, match="fifo is not a file"):
            packed(source)

    def test_a_link_in_place_of_a_file(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (source / "link").symlink_to("/etc/passwd")
        monkeypatch.setattr(pack, "_kind", lambda entry: FILE)
        with pytest.raises(BuildError, match="link cannot be read"):
            packed(source)

    def test_a_full_disk(self, source: Path) -> None:
        class Full(io.BytesIO):
            def write(self, data: Any) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.raises(StorageError, match="Cannot write the archive: No space left on device. Free space"):
            pack_tree(str(source), Full(), excluded=None)


class TestSingleFiles:
    def test_under_another_name(self, source: Path, new_root: Callable[[], Path]) -> None:
        (source / "file").write_bytes(b"content")
        (source / "file").chmod(0o751)
        (source / "link").symlink_to("file")
        output = io.BytesIO()
        result = pack_file(str(source / "link"), output, "etc/app.conf")
        checked(output.getvalue(), result)
        assert names(output.getvalue()) == ["etc/app.conf"]
        assert result.tree["etc/app.conf"].mode == 0o755
        assert unpacked(new_root(), output.getvalue())["etc/app.conf"] == result.tree["etc/app.conf"]

    @pytest.mark.parametrize("name", ["", ".", "..", "/abs", "a/../b"])
    def test_bad_names(self, source: Path, name: str) -> None:
        (source / "file").touch()
        with pytest.raises(BuildError, match="cannot be packed: the name"):
            pack_file(str(source / "file"), io.BytesIO(), name)

    @pytest.mark.parametrize("name", ["missing", "."])
    def test_what_is_no_file(self, source: Path, name: str) -> None:
        with pytest.raises(BuildError, match="cannot be read|is not a file"):
            pack_file(str(source / name), io.BytesIO(), "a")


class TestMembers:
    def test_the_order_given_is_kept(self, source: Path) -> None:
        (source / "values").write_bytes(b"a: 1\n")
        output = io.BytesIO()
        members: list[Member] = [
            ("app/Chart.yaml", b"name: app\n", 0o644),
            ("app/values.yaml", str(source / "values"), 0o600),
            ("app/a.sh", b"", 0o4755),
        ]
        result = pack_members(members, output)
        checked(output.getvalue(), result)
        assert names(output.getvalue()) == [name for name, _content, _mode in members]
        assert [entry.mode for entry in result.tree.values()] == [0o644, 0o600, 0o755]

    def test_names_come_once(self) -> None:
        with pytest.raises(BuildError, match="'a/b' twice"):
            pack_members([("a/b", b"", 0o644), ("./a//b", b"", 0o644)], io.BytesIO())

    @pytest.mark.parametrize("name", ["", "../a", "/a", "\ud800"])
    def test_bad_names(self, name: str) -> None:
        with pytest.raises(BuildError, match="cannot be packed: the name"):
            pack_members([(name, b"", 0o644)], io.BytesIO())


def test_a_locale_without_utf_8(source: Path) -> None:
    (source / "ä").write_bytes(b"x")
    expected = packed(source)[1].digest
    code = (
        "import io, sys\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.pack import pack_tree\n"
        "print(sys.getfilesystemencoding(), pack_tree(sys.argv[1], io.BytesIO(), excluded=None).digest)\n"
    )
    path = pack.__file__
    for _level in range(7):
        path = os.path.dirname(path)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(source)],
        cwd=path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    encoding, digest = done.stdout.split()
    assert encoding != "utf-8"
    assert digest == expected
