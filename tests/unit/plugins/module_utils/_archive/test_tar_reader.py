# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tar parser beside Python's tarfile and GNU tar, and on archives that no tool would write."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.tar_reader import (
    HARDLINK,
    MAX_RECORD,
    TarReader,
    has_header_checksum,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import encoded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import DIRECTORY, FILE, SYMLINK

END = bytes(1024)
GNU, V7 = b"ustar  \0", bytes(8)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class Recorder:
    """Remembers entries as (kind, name, mode, target, content)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, int, str, bytes]] = []
        self.records: list[int] = []
        self.after = 0
        self._open: tuple[str, str, int, str] | None = None
        self._size = 0
        self._content = b""

    def record(self, size: int) -> None:
        self.records.append(size)

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        assert self._open is None
        if kind == FILE:
            self._open, self._size, self._content = (kind, name, mode, target), size, b""
        else:
            assert size == 0
            self.entries.append((kind, name, mode, target, b""))

    def data(self, view: memoryview) -> None:
        assert self._open is not None
        assert len(view) > 0
        self._content += view

    def finish(self) -> None:
        assert self._open is not None
        assert len(self._content) == self._size
        self.entries.append((*self._open, self._content))
        self._open = None

    def trailing(self, count: int) -> None:
        self.after += count


def read(archive: bytes, cuts: list[int] | None = None) -> Recorder:
    recorder = Recorder()
    reader = TarReader(recorder, "The layer x")
    bounds = [0, *sorted(cut % (len(archive) + 1) for cut in cuts or []), len(archive)]
    for start, stop in zip(bounds, bounds[1:]):
        reader.feed(memoryview(archive)[start:stop])
    reader.close()
    return recorder


def field(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def block(
    name: bytes = b"a",
    flag: bytes = b"0",
    size: int | bytes = 0,
    *,
    mode: bytes = b"0000644\0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """One header, its checksum right and everything else as asked for."""
    raw = size if isinstance(size, bytes) else field(size, 12)
    header = name.ljust(100, b"\0") + mode + field(0, 8) * 2 + raw + field(0, 12) + b" " * 8 + flag
    header += link.ljust(100, b"\0") + magic + bytes(80) + prefix.ljust(155, b"\0")
    header = header.ljust(512 - len(tail), b"\0") + tail
    assert len(header) == 512
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: bytes, flag: bytes = b"x") -> bytes:
    body = b"".join(records)
    return block(b"PaxHeaders/a", flag, len(body)) + padded(body)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def gnu_long(name: bytes, flag: bytes = b"L") -> bytes:
    return block(b"././@LongLink", flag, len(name) + 1, magic=b"ustar  \0") + padded(name + b"\0")


def refused(archive: bytes, match: str) -> None:
    with pytest.raises(LayerError, match=match) as caught:
        read(archive)
    assert str(caught.value).startswith("The layer x ")


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@given(
    members=st.lists(st.tuples(NAMES, st.sampled_from("fdsh"), st.binary(max_size=1500), NAMES), max_size=8),
    tar_format=st.sampled_from(FORMATS),
    cuts=st.lists(st.integers(0), max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_it_reads_what_tarfile_writes(
    members: list[tuple[str, str, bytes, str]], tar_format: int, cuts: list[int]
) -> None:
    stream = io.BytesIO()
    wanted = []
    types = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}
    kinds = {"f": FILE, "d": DIRECTORY, "s": SYMLINK, "h": HARDLINK}
    with tarfile.open(fileobj=stream, mode="w", format=tar_format) as archive:
        for number, (name, kind, content, target) in enumerate(members):
            info = tarfile.TarInfo(name)
            info.type, info.mode = types[kind], number
            info.linkname = target if kind in "sh" else ""
            info.size = len(content) if kind == "f" else 0
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:
                continue  # ustar cannot hold it
            slash = "/" if kind == "d" else ""
            body = content if kind == "f" else b""
            wanted.append((kinds[kind], name + slash, number, info.linkname, body))
    assert read(stream.getvalue(), cuts).entries == wanted


def test_byte_by_byte() -> None:
    archive = pax(record(b"path", b"b" * 300)) + block(size=700) + padded(b"x" * 700) + block(b"d/", b"5") + END
    whole = read(archive)
    assert read(archive, list(range(len(archive)))).entries == whole.entries
    assert [entry[:2] for entry in whole.entries] == [(FILE, "b" * 300), (DIRECTORY, "d/")]


def gnu_tar(tmp_path: Path, *options: str) -> bytes:
    tool = shutil.which("tar")
    if tool is None or b"GNU tar" not in subprocess.run([tool, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("GNU tar is not installed")
    done = subprocess.run([tool, "-C", str(tmp_path), "-c", *options, "."], capture_output=True, check=True)
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"content" * 100)
    (tmp_path / "d" / "empty").write_bytes(b"")
    os.link(tmp_path / "d" / "file", tmp_path / "d" / "hard")
    os.symlink("file", tmp_path / "d" / "soft")
    os.chmod(tmp_path / "d" / "file", 0o750)
    return tmp_path


@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_it_reads_what_gnu_tar_writes(tree: Path, tar_format: str) -> None:
    entries = {entry[1]: entry for entry in read(gnu_tar(tree, f"--format={tar_format}", "--sort=name")).entries}
    assert sorted(entries) == ["./", "./d/", "./d/empty", "./d/file", "./d/hard", "./d/soft"]
    assert entries["./d/"][0] == DIRECTORY
    assert entries["./d/empty"][4] == b""
    assert entries["./d/file"] == (FILE, "./d/file", 0o750, "", b"content" * 100)
    assert entries["./d/hard"][0] == HARDLINK
    assert entries["./d/hard"][3] == "./d/file"
    assert entries["./d/soft"][0] == SYMLINK
    assert entries["./d/soft"][3] == "file"


@pytest.mark.parametrize("tar_format", ["gnu", "pax"])
def test_long_names_of_gnu_tar(tmp_path: Path, tar_format: str) -> None:
    long = "ä" * 120
    (tmp_path / long).mkdir()
    (tmp_path / long / ("b" * 250)).write_bytes(b"content")
    os.symlink(f"{long}/{'b' * 250}", tmp_path / "soft")
    entries = {entry[1]: entry for entry in read(gnu_tar(tmp_path, f"--format={tar_format}")).entries}
    assert entries[f"./{long}/{'b' * 250}"][4] == b"content"
    assert entries["./soft"][3] == f"{long}/{'b' * 250}"


@pytest.mark.parametrize("tar_format", ["oldgnu", "gnu", "pax"])
@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_sparse_files_are_refused(tmp_path: Path, tar_format: str, version: str) -> None:
    with open(tmp_path / "holes", "wb") as stream:
        stream.truncate(8 << 20)
        stream.seek(4 << 20)
        stream.write(b"data")
    refused(gnu_tar(tmp_path, f"--format={tar_format}", "--sparse", f"--sparse-version={version}"), "sparse file")


def test_a_label_of_gnu_tar_is_refused(tree: Path) -> None:
    refused(gnu_tar(tree, "--label=a volume"), "'a volume' is a volume label")


def test_an_incremental_archive_of_gnu_tar(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    snapshot = tmp_path_factory.mktemp("snapshot") / "file"
    archive = gnu_tar(tree / "d", "--format=gnu", f"--listed-incremental={snapshot}", "--no-recursion", "file")
    assert any(archive[at + 345] for at in range(0, len(archive), 512))
    refused(archive, "unsupported type 'D'")  # the directory; its files are read


def test_the_times_of_an_incremental_gnu_archive_are_no_prefix() -> None:
    for times in (field(1234567, 12) * 2, field(1234567, 12), b"\x80" + bytes(10) + b"\1", b"\xff" * 24):
        assert read(block(b"name", magic=GNU, prefix=times) + END).entries[0][1] == "name"


def test_prefixes() -> None:
    assert read(block(b"name", prefix=b"a/b") + END).entries[0][1] == "a/b/name"
    star = block(b"name", prefix=b"a".ljust(131, b"\0") + field(1, 12) + field(2, 12), tail=b"tar\0")
    assert read(star + END).entries[0][1] == "a/name"


def test_a_name_that_fills_its_field() -> None:
    assert read(block(b"n" * 100, prefix=b"p" * 155) + END).entries[0][1] == "p" * 155 + "/" + "n" * 100


@pytest.mark.parametrize("flag", [b"0", b"\0", b"7"])
def test_files(flag: bytes) -> None:
    assert read(block(flag=flag, size=3) + padded(b"abc") + END).entries == [(FILE, "a", 0o644, "", b"abc")]


def test_a_slash_makes_a_directory() -> None:
    assert read(block(b"a/", b"\0", magic=V7) + END).entries[0][0] == DIRECTORY
    refused(block(b"a/", b"\0", 3) + padded(b"abc") + END, "content of a file")


class TestTwoReadings:
    """What Go's archive/tar, Python's tarfile, GNU tar and libarchive were seen to read differently."""

    @pytest.mark.parametrize(
        ("magic", "prefix"),
        [
            (GNU, b"some/dir"),
            (GNU, b"17"),
            (GNU, "ä".encode()),
            (GNU, field(5, 12) + b"some/dir"),
            (V7, b"some/dir"),
            (b"ustar \0\0", b"some/dir"),
            (b"USTAR\0" + b"00", b"some/dir"),
        ],
    )
    def test_text_where_only_ustar_has_a_prefix(self, magic: bytes, prefix: bytes) -> None:
        refused(block(b"name.txt", magic=magic, prefix=prefix) + END, "'name.txt' has text that is a part of the name")
        # another name is there, and all take that
        named = gnu_long(b"b") + block(b"name.txt", magic=magic, prefix=prefix)
        assert read(named + END).entries[0][1] == "b"

    def test_a_prefix_of_star_that_goes_on_in_the_times(self) -> None:
        refused(block(b"name", prefix=b"p" * 143, tail=b"tar\0") + END, "a part of the name for some readers")

    @pytest.mark.parametrize(
        "entry",
        [
            block(b"a/", b"0"),
            block(b"a/", b"0", magic=GNU),
            block(b"a/", b"0", magic=V7),
            block(b"a/", b"7"),
            block(b"", b"0", prefix=b"d"),
            pax(record(b"path", b"d/")) + block(b"a", b"0"),
            pax(record(b"path", b"d/")) + block(b"a", b"\0"),
            pax(record(b"path", b"d")) + block(b"a/", b"\0"),
            gnu_long(b"d") + block(b"a/", b"\0", 3, magic=GNU) + padded(b"abc"),
        ],
    )
    def test_files_that_are_directories(self, entry: bytes) -> None:
        refused(entry + END, "is a file for some readers and a directory for others")

    def test_a_long_name_is_what_tells_a_file(self) -> None:
        # as writers cut the name field at whatever byte is the hundredth
        archive = pax(record(b"path", b"d")) + block(b"a/", b"0", 3) + padded(b"abc") + END
        assert read(archive).entries == [(FILE, "d", 0o644, "", b"abc")]

    def test_headers_that_are_files_for_some(self) -> None:
        refused(block(b"label", b"V", magic=GNU) + END, "volume label")
        refused(block(b"label", b"V", 512, magic=GNU) + block(b"hidden") + END, "volume label")
        refused(pax(record(b"path", b"b"), flag=b"X") + block() + END, "extended header of Solaris")

    @pytest.mark.parametrize("key", [b"path", b"linkpath", b"size"])
    def test_empty_values(self, key: bytes) -> None:
        refused(pax(record(key, b"")) + block(flag=b"2", link=b"b") + END, f"empty '{key.decode()}'")

    @pytest.mark.parametrize("header", [pax(record(b"path", b"b")), gnu_long(b"b"), gnu_long(b"b", b"K")])
    def test_a_global_header_between_a_header_and_its_entry(self, header: bytes) -> None:
        refused(header + pax(record(b"comment", b"c"), flag=b"g") + block() + END, "followed by one for all entries")

    @pytest.mark.parametrize("flag", [b"1", b"2", b"5"])
    def test_sizes_of_what_has_no_data(self, flag: bytes) -> None:
        refused(pax(record(b"size", b"512")) + block(flag=flag, link=b"b") + END, "and has a size")
        assert len(read(pax(record(b"size", b"0")) + block(flag=flag, link=b"b") + END).entries) == 1

    def test_hard_links_with_data(self) -> None:
        for flag in (b"x", b"g"):
            header = pax(record(b"comment", b"c"), flag=flag)
            refused(block() + header + block(b"b", b"1", 512, link=b"a") + END, "a hard link, and has a size")

    @pytest.mark.parametrize("raw", [b"\x0000000001000", b"\0    0001000", b" \x000000000007", b"\0\x000000001000"])
    def test_numbers_behind_a_nul(self, raw: bytes) -> None:
        refused(block(size=raw) + END, "not a number")

    @pytest.mark.parametrize("at", [108, 116, 136])
    def test_damage_in_numbers_that_are_of_no_use(self, at: int) -> None:
        header = bytearray(block(b"b"))
        header[at : at + 8] = b"damaged\0"
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        refused(block() + bytes(header) + END, "not a number")

    def test_owners_and_times_that_are_not_plain(self) -> None:
        header = bytearray(block())
        header[108:116] = b"\x80" + (1 << 40).to_bytes(7, "big")
        header[116:124] = b"   123 \0"
        header[136:148] = b"\xff" * 12
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        assert len(read(bytes(header) + END).entries) == 1

    def test_a_long_name_that_goes_on_in_its_padding(self) -> None:
        longer = block(b"././@LongLink", b"L", 3, magic=GNU) + padded(b"evil")
        refused(longer + block() + END, "of another length")
        exact = block(b"././@LongLink", b"L", 3, magic=GNU) + padded(b"evi")
        assert read(exact + block() + END).entries[0][1] == "evi"

    @pytest.mark.parametrize("key", [b"SCHILY.realsize", b"SUN.holesdata"])
    def test_sparse_files_of_other_tools(self, key: bytes) -> None:
        refused(pax(record(key, b"1")) + block() + END, "sparse")

    def test_a_nul_in_a_key(self) -> None:
        refused(pax(record(b"path\0x", b"b")) + block() + END, "damaged pax header")

    def test_a_lone_block_of_zeros(self) -> None:
        for cuts in ([], [700], [1024], [1100]):
            with pytest.raises(LayerError, match="a block of zeros ends it for some readers, and more follows"):
                read(block() + bytes(512) + block(b"hidden") + END, cuts)
        assert len(read(block() + bytes(512)).entries) == 1
        assert len(read(block() + END + block(b"hidden") + END).entries) == 1


@pytest.mark.parametrize("flag", [b"1", b"2", b"5"])
def test_links_and_directories_have_no_data(flag: bytes) -> None:
    archive = block(b"a", flag, 1000, link=b"b") + block(b"c") + END
    assert [entry[1] for entry in read(archive).entries] == ["a", "c"]


@pytest.mark.parametrize(
    ("flag", "match"),
    [
        (b"3", "character device"),
        (b"4", "block device"),
        (b"6", "fifo"),
        (b"S", "sparse file"),
        (b"M", "unsupported type 'M'"),
        (b"D", "unsupported type"),
        (b"N", "unsupported type"),
        (b"A", "unsupported type"),
        (b"8", "unsupported type"),
        (b"\xff", "unsupported type"),
    ],
)
def test_other_types_are_refused_by_name(flag: bytes, match: str) -> None:
    refused(block(b"dev/thing", flag) + END, "'dev/thing' is .*" + match)


@pytest.mark.parametrize(
    "raw", [b"00000000003\0", b"          3\0", b"3\0" + b" " * 10, b"3" + b" " * 11, b"000000000003"]
)
def test_numbers_as_old_tools_wrote_them(raw: bytes) -> None:
    assert read(block(size=raw) + padded(b"abc") + END).entries[0][4] == b"abc"


def test_sizes_in_base_256() -> None:
    assert read(block(size=b"\x80" + (3).to_bytes(11, "big")) + padded(b"abc") + END).entries[0][4] == b"abc"
    refused(block(size=b"\xff" * 12) + END, "negative or absurd")
    refused(block(size=b"\x80" + (1 << 63).to_bytes(11, "big")) + END, "negative or absurd")
    refused(block(size=b"\x81" + bytes(11)) + END, "negative or absurd")


@pytest.mark.parametrize("digits", [b"-0000000003", b"0x000000003", b"+0000000003", b"1_000000003", b"00000000009"])
def test_numbers_that_are_none(digits: bytes) -> None:
    refused(block(size=digits + b"\0") + END, "not a number")


def test_a_blank_number_is_zero() -> None:
    assert read(block(size=bytes(12), mode=b"       \0") + END).entries == [(FILE, "a", 0, "", b"")]


def test_signed_checksums() -> None:
    header = bytearray(block("ä".encode() * 3))
    signed = sum(byte - 256 if byte > 127 else byte for byte in header[:148] + b" " * 8 + header[156:])
    header[148:156] = b"%06o\0 " % signed
    assert has_header_checksum(bytes(header))
    assert read(bytes(header) + END).entries[0][1] == "äää"


@given(st.binary(min_size=512, max_size=512))
@settings(max_examples=100, deadline=None)
def test_the_checksum_is_the_plain_sum(data: bytes) -> None:
    total = sum(data[:148]) + 8 * 32 + sum(data[156:])
    assert has_header_checksum(data[:148] + b"%06o\0 " % total + data[156:])
    assert not has_header_checksum(data[:148] + b"%06o\0 " % (total + 65521) + data[156:])
    assert not has_header_checksum(data[:148] + b"        " + data[156:])


class TestExtendedHeaders:
    def test_pax(self) -> None:
        header = pax(record(b"path", "ä/b".encode()), record(b"mtime", b"1.5"), record(b"size", b"3"))
        assert read(header + block() + padded(b"abc") + END).entries == [(FILE, "ä/b", 0o644, "", b"abc")]

    def test_they_belong_to_one_entry(self) -> None:
        archive = pax(record(b"path", b"b"), record(b"linkpath", b"c")) + block(flag=b"2", link=b"x") + block() + END
        assert [(entry[1], entry[3]) for entry in read(archive).entries] == [("b", "c"), ("a", "")]

    def test_global_ones_make_no_file(self) -> None:
        # As "git archive" begins.
        archive = pax(record(b"comment", b"c0ffee" * 7), flag=b"g") + block() + END
        recorder = read(archive)
        assert [entry[1] for entry in recorder.entries] == ["a"]
        assert len(recorder.records) == 2

    def test_gnu(self) -> None:
        archive = gnu_long(b"b" * 300) + gnu_long(b"c" * 200, b"K") + block(flag=b"2") + END
        assert read(archive).entries == [(SYMLINK, "b" * 300, 0o644, "c" * 200, b"")]

    @pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K"])
    def test_huge_ones(self, flag: bytes) -> None:
        refused(block(flag=flag, size=MAX_RECORD + 1) + END, "more than 1048576")
        refused(block(flag=flag, size=1 << 32) + END, "more than 1048576")

    def test_the_largest(self) -> None:
        header = pax(record(b"comment", b"c" * (MAX_RECORD - 17)))
        assert read(header + block() + END).entries[0][1] == "a"

    @pytest.mark.parametrize(
        "body",
        [
            b"x",
            b"5",
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a=bc",
            b"0 a=b\n",
            b"-6 a=b\n",
            b" 6 a=b\n",
            b"6 =bc\n",
            b"6 abc\n",
            b"6 a=b\n\0",
            b"99999999999999999999 a=b\n",
            b"+6 a=b\n",
            b"1_6 a=bcdefghij\n",
            "٦ a=b\n".encode(),
        ],
    )
    def test_damaged_pax(self, body: bytes) -> None:
        refused(pax(body) + block() + END, "damaged pax header")

    @pytest.mark.parametrize("digits", [b"-1", b"abc", b"1e3", b"0x10", b"1" * 30, "٣".encode(), b" 3"])
    def test_sizes_that_are_none(self, digits: bytes) -> None:
        refused(pax(record(b"size", digits)) + block() + END, "not a number")

    def test_an_absurd_size(self) -> None:
        refused(pax(record(b"size", b"9" * 20)) + block() + END, "absurd")

    @pytest.mark.parametrize("key", [b"path", b"linkpath", b"size"])
    def test_what_may_not_hold_for_all_entries(self, key: bytes) -> None:
        refused(pax(record(key, b"1"), flag=b"g") + block() + END, "for all its entries")

    @pytest.mark.parametrize(
        "headers",
        [
            pax(record(b"path", b"b")) + pax(record(b"path", b"c")),
            pax(record(b"mtime", b"1")) + pax(record(b"mtime", b"2")),
            pax(record(b"path", b"b"), record(b"path", b"c")),
            pax(record(b"path", b"b")) + gnu_long(b"c"),
            gnu_long(b"b") + gnu_long(b"c"),
            gnu_long(b"b", b"K") + pax(record(b"linkpath", b"c")),
        ],
    )
    def test_contradictions(self, headers: bytes) -> None:
        refused(headers + block(flag=b"2", link=b"x") + END, "rule each other out")

    def test_nothing_follows(self) -> None:
        refused(pax(record(b"path", b"b")) + END, "belongs to no entry")
        refused(gnu_long(b"b") + END, "belongs to no entry")
        refused(pax(record(b"mtime", b"1")), "truncated")

    def test_an_empty_long_name(self) -> None:
        refused(gnu_long(b"") + block() + END, "empty long name")

    def test_sparse_files_of_pax(self) -> None:
        refused(pax(record(b"GNU.sparse.major", b"1")) + block() + END, "sparse")


@pytest.mark.parametrize("name", [b"\xff", b"a/\xe4b", b"\xed\xa0\x80", "ä".encode() + b"\xc3"])
def test_names_that_are_not_utf_8_keep_their_bytes(name: bytes) -> None:
    headers = (block(name), pax(record(b"path", name)) + block(), gnu_long(name) + block())
    names = [read(header + END).entries[0][1] for header in headers]
    assert [encoded(found) for found in names] == [name] * 3
    (link,) = read(block(b"a", b"2", link=name) + END).entries
    assert encoded(link[3]) == name


def test_nul_bytes_in_long_names() -> None:
    refused(pax(record(b"path", b"a\0b")) + block() + END, "NUL")
    refused(gnu_long(b"a\0b") + block() + END, "NUL")


class TestTheEnd:
    def test_an_empty_archive(self) -> None:
        assert read(END).entries == []

    def test_padding_is_counted(self) -> None:
        recorder = read(block() + END + bytes(9000))
        assert recorder.after == 9512
        assert len(recorder.entries) == 1

    def test_what_follows_is_ignored(self) -> None:
        assert len(read(block() + END + block(b"hidden") + END).entries) == 1

    def test_it_may_be_missing(self) -> None:
        assert len(read(block(size=3) + padded(b"abc")).entries) == 1

    def test_truncation_inside_an_entry(self) -> None:
        archive = pax(record(b"path", b"b" * 600)) + block(size=700) + padded(b"x" * 700)
        for length in range(1, len(archive)):
            with pytest.raises(LayerError):
                read(archive[:length])

    def test_a_damaged_header(self) -> None:
        damaged = bytearray(block() + block() + END)
        damaged[512 + 10] ^= 1
        refused(bytes(damaged), "damaged .wrong checksum")


@pytest.mark.parametrize("content", [b"", b"x", b"apiVersion: v1\nkind: Pod\n", b"y" * 511, b"y" * 512, b"y" * 5000])
def test_what_is_no_archive(content: bytes) -> None:
    refused(content, "is not an archive: .*layer_selector.operation=copy to keep the bytes")


@given(position=st.integers(0), mask=st.integers(1, 255), length=st.integers(0))
@settings(max_examples=300, deadline=None)
def test_flipped_bits_and_truncation_raise_nothing_else(position: int, mask: int, length: int) -> None:
    archive = bytearray(
        pax(record(b"path", b"b" * 200), record(b"size", b"600"))
        + block(size=600)
        + padded(b"x" * 600)
        + gnu_long(b"c" * 200)
        + block(b"l", b"2", link=b"a")
        + block(b"h", b"1", link=b"a")
        + block(b"d/", b"5")
        + END
    )
    archive[position % len(archive)] ^= mask
    try:
        read(bytes(archive[: len(archive) - length % 600]))
    except LayerError as exc:
        assert str(exc).startswith("The layer x ")


@given(position=st.integers(0), value=st.integers(0, 255), second=st.integers(0), other=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_headers_with_a_right_checksum_and_wrong_fields(position: int, value: int, second: int, other: int) -> None:
    header = bytearray(block(b"name", b"0", 5, link=b"target", prefix=b"prefix"))
    header[position % 512] = value
    header[second % 512] = other
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    try:
        read(bytes(header) + padded(b"abcde") + END)
    except LayerError as exc:
        assert str(exc).startswith("The layer x ")
