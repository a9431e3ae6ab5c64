# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers decompressed as they arrive: every format, every split, every library, nothing unbounded."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import subprocess
import sys
import tarfile
import tracemalloc
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils import _packages
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import decompress
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.decompress import Decompressor, sniff
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError, MissingDependency

TEXT = b"".join(b"line %d of a file that compresses well\n" % number for number in range(2000))
MEBIBYTE = 1 << 20


def installed(*names: str) -> dict[str, Any]:
    found = {}
    for name in names:
        with contextlib.suppress(ImportError):
            found[name] = importlib.import_module(name)
    return found


# all of them are requirements of the tests: what they disagree on would not be seen without one
GZIP_LIBRARIES = {name: importlib.import_module(name) for name in ("zlib", "isal.isal_zlib", "zlib_ng.zlib_ng")}
ZSTD_LIBRARIES = installed("compression.zstd", "zstandard", "backports.zstd")
ZSTANDARD = importlib.import_module("zstandard")


def decompressed(blob: bytes, cuts: list[int] | None = None, pieces: list[int] | None = None) -> bytes:
    found = bytearray()

    def sink(data: bytes | memoryview) -> None:
        found.extend(data)
        if pieces is not None:
            pieces.append(len(data))

    decompressor = Decompressor(sink, "The layer x")
    bounds = [0, *sorted(cut % (len(blob) + 1) for cut in cuts or []), len(blob)]
    for start, stop in zip(bounds, bounds[1:]):
        decompressor.write(memoryview(blob)[start:stop])
    decompressor.close()
    return bytes(found)


def tar_of(name: str, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tar_format) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def only(monkeypatch: pytest.MonkeyPatch, modules: dict[str, Any]) -> None:
    """Make these the only libraries installed."""

    def import_module(name: str) -> Any:
        if name in modules:
            return modules[name]
        if any(each.startswith(f"{name}.") for each in modules):
            return SimpleNamespace()
        raise ImportError(name)

    for place in (decompress, _packages):
        monkeypatch.setattr(place, "importlib", SimpleNamespace(import_module=import_module))


@pytest.fixture(params=list(GZIP_LIBRARIES))
def gunzip(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {request.param: GZIP_LIBRARIES[request.param]})


@pytest.fixture(params=list(ZSTD_LIBRARIES))
def unzstd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {request.param: ZSTD_LIBRARIES[request.param]})


def zstd_frame(
    *blocks: tuple[int, bytes, int], flags: int = 0, header: bytes = b"\x58", checksum: bytes = b"", last: bool = True
) -> bytes:
    """A frame of blocks given as (type, bytes, size field); the window is 2 MiB."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([flags]) + header
    for number, (kind, body, size) in enumerate(blocks, 1):
        fields = size << 3 | kind << 1 | (last and number == len(blocks))
        frame += fields.to_bytes(3, "little") + body
    return frame + checksum


def raw_block(data: bytes) -> tuple[int, bytes, int]:
    return 0, data, len(data)


def skippable(data: bytes) -> bytes:
    return b"\x5a\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        (gzip.compress(b"", mtime=0), "gzip"),
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (skippable(b""), "zstd"),
        (tar_of("a"), "tar"),
        (tar_of("a", tarfile.GNU_FORMAT), "tar"),
        (tar_of("a")[:300], "tar"),
        (bytes(1024), "tar"),
        (bytes(100), ""),
        (b"", ""),
        (b"apiVersion: v1\n" * 100, ""),
        (b"BZh91AY&SY", ""),
    ],
)
def test_formats_are_told_from_the_first_bytes(first: bytes, wanted: str) -> None:
    assert sniff(first) == wanted


@pytest.mark.parametrize("blob", [b"", b"\x1f", b"a", b"abc", b"apiVersion: v1\n", tar_of("a")])
def test_what_is_not_compressed_passes_unchanged(blob: bytes) -> None:
    assert decompressed(blob) == blob
    assert decompressed(blob, list(range(len(blob)))) == blob


@pytest.mark.usefixtures("gunzip")
class TestGzip:
    @given(
        parts=st.lists(st.one_of(st.binary(max_size=2000), st.just(TEXT)), min_size=1, max_size=4),
        padding=st.integers(0, 3),
        cuts=st.lists(st.integers(0), max_size=20),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_members_in_any_split(self, parts: list[bytes], padding: int, cuts: list[int]) -> None:
        blob = bytes(padding * 100).join(gzip.compress(part) for part in parts) + bytes(padding)
        assert decompressed(blob, cuts) == b"".join(parts)

    def test_byte_by_byte(self) -> None:
        blob = gzip.compress(TEXT[:500]) + gzip.compress(b"") + gzip.compress(TEXT[500:900])
        assert decompressed(blob, list(range(len(blob)))) == TEXT[:900]

    def test_a_header_with_every_field(self) -> None:
        body = gzip.compress(TEXT)[10:]
        header = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\x00abc" + b"name\0" + b"comment\0"
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
        assert decompressed(header + body) == TEXT

    def test_truncation_anywhere(self) -> None:
        blob = gzip.compress(TEXT[:3000])
        for length in range(2, len(blob)):
            with pytest.raises(LayerError, match="truncated"):
                decompressed(blob[:length])

    def test_truncation_in_a_later_member(self) -> None:
        blob = gzip.compress(b"one")
        for length in range(1, len(blob)):
            with pytest.raises(LayerError, match="truncated"):
                decompressed(blob + blob[:length])

    @pytest.mark.parametrize("position", [-8, -4, -1])
    def test_wrong_checksum_or_length(self, position: int) -> None:
        blob = bytearray(gzip.compress(TEXT))
        blob[position] ^= 1
        with pytest.raises(LayerError, match="damaged"):
            decompressed(bytes(blob))

    @pytest.mark.parametrize("garbage", [b"x", b"\0\0x", TEXT, b"PK\x03\x04"])
    def test_garbage_after_the_end(self, garbage: bytes) -> None:
        with pytest.raises(LayerError, match="after the end"):
            decompressed(gzip.compress(TEXT) + garbage)

    def test_garbage_that_begins_like_a_member(self) -> None:
        with pytest.raises(LayerError):
            decompressed(gzip.compress(TEXT) + b"\x1f\x8c" + bytes(20))

    def test_a_bomb_comes_in_bounded_pieces(self) -> None:
        blob = gzip.compress(bytes(64 * MEBIBYTE), 9)
        pieces: list[int] = []
        decompressor = Decompressor(lambda data: pieces.append(len(data)), "The layer x")
        tracemalloc.start()
        try:
            decompressor.write(blob)
            decompressor.close()
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sum(pieces) == 64 * MEBIBYTE
        assert max(pieces) <= MEBIBYTE
        assert peak < 16 * MEBIBYTE

    def test_the_sink_may_stop_a_bomb(self) -> None:
        blob = gzip.compress(bytes(64 * MEBIBYTE), 9)
        seen = []

        def sink(data: bytes | memoryview) -> None:
            seen.append(len(data))
            raise LayerError("enough")

        with pytest.raises(LayerError, match="enough"):
            Decompressor(sink, "The layer x").write(blob)
        assert len(seen) == 1

    def test_output_that_fills_the_last_piece_exactly(self) -> None:
        for size in (MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 2 * MEBIBYTE):
            assert len(decompressed(gzip.compress(bytes(size)))) == size

    def test_a_hundred_thousand_members(self) -> None:
        assert decompressed(gzip.compress(b"a") * 100_000) == b"a" * 100_000

    @given(position=st.integers(0), mask=st.integers(1, 255))
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_flipped_bits_raise_nothing_else(self, position: int, mask: int) -> None:
        blob = bytearray(gzip.compress(TEXT) + gzip.compress(TEXT))
        blob[position % len(blob)] ^= mask
        try:
            decompressed(bytes(blob))
        except LayerError as exc:
            assert str(exc).startswith("The layer x ")


def gzip_member(flags: int, fields: bytes = b"", method: int = 8, checksum: int | None = None) -> bytes:
    """A member of b"content"; ``checksum`` is that of the header, when it is not the right one."""
    header = b"\x1f\x8b" + bytes([method, flags]) + bytes(6) + fields
    if flags & 2:
        header += (zlib.crc32(header) & 0xFFFF if checksum is None else checksum).to_bytes(2, "little")
    return header + gzip.compress(b"content")[10:]


HEADERS_REFUSED = [
    *((gzip_member(1 << bit), "reserved flags") for bit in (5, 6, 7)),
    (gzip_member(0xFF, b"\1\0an\0c\0"), "reserved flags"),
    *((gzip_member(0, method=method), "unknown method") for method in (0, 7, 9, 255)),
    (gzip_member(2, checksum=0), "header has another checksum"),
    (gzip_member(8, b"n" * (129 << 10) + b"\0"), "a header of more than"),
]
HEADERS_ACCEPTED = [
    gzip_member(0),
    gzip_member(1),
    gzip_member(2),
    gzip_member(4, b"\0\0"),
    gzip_member(4, b"\x03\0a\0c"),
    gzip_member(4, b"\xff\xff" + b"\0" * 65535),
    gzip_member(8, b"name\0"),
    gzip_member(8, b"\0"),
    gzip_member(8, b"n" * 70000 + b"\0"),
    gzip_member(16, b"comment\0"),
    gzip_member(31, b"\x02\0\0\0name\0comment\0"),
]


@pytest.mark.usefixtures("gunzip")
class TestHeadersOfGzip:
    @pytest.mark.parametrize(("member", "match"), HEADERS_REFUSED)
    def test_what_is_refused(self, member: bytes, match: str) -> None:
        for blob in (member, gzip_member(0) + member, gzip_member(0) + bytes(10) + member):
            for cuts in ([], [3], [4], [11], [len(blob) - 3], list(range(0, len(blob), max(1, len(blob) // 40)))):
                with pytest.raises(LayerError, match=match):
                    decompressed(blob, cuts)

    @pytest.mark.parametrize("member", HEADERS_ACCEPTED)
    def test_what_is_accepted(self, member: bytes) -> None:
        blob = member + bytes(3) + member
        for cuts in ([], [11], [12], [len(member) - 1], list(range(0, len(blob), max(1, len(blob) // 200)))):
            assert decompressed(blob, cuts) == b"content" * 2

    @pytest.mark.parametrize("member", HEADERS_ACCEPTED)
    def test_one_that_is_cut_short(self, member: bytes) -> None:
        for length in {*range(2, min(len(member), 40)), len(member) // 2, len(member) - 1}:
            with pytest.raises(LayerError, match="truncated"):
                decompressed(member[:length])


@given(
    parts=st.lists(st.one_of(st.binary(max_size=300), st.just(TEXT[:3000])), min_size=1, max_size=3),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3),
    cut=st.integers(0),
    ending=st.sampled_from([b"", b"\0", b"x", b"\x1f", b"\x1f\x8b"]),
)
@settings(max_examples=300, deadline=None)
def test_all_libraries_give_one_answer(
    parts: list[bytes], changes: list[tuple[int, int]], cut: int, ending: bytes
) -> None:
    blob = bytearray(b"".join(gzip.compress(part) for part in parts) + ending)
    for position, value in changes:
        # the first four bytes tell the format; changes among the next ones are the likeliest to matter
        blob[2 + position % (len(blob) - 2)] = value
    answers = set()
    for module in GZIP_LIBRARIES.values():
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(decompress, "_fast_zlib", lambda module=module: module)
            try:
                answers.add(decompressed(bytes(blob), [cut]))
            except LayerError:
                answers.add(b"refused")
    assert len(answers) == 1


@pytest.mark.usefixtures("unzstd")
class TestZstd:
    def compressed(self, data: bytes, **options: Any) -> bytes:
        result: bytes = ZSTANDARD.ZstdCompressor(**options).compress(data)
        return result

    @given(
        parts=st.lists(st.one_of(st.binary(max_size=2000), st.just(TEXT)), min_size=1, max_size=4),
        checksum=st.booleans(),
        sized=st.booleans(),
        cuts=st.lists(st.integers(0), max_size=20),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_frames_in_any_split(self, parts: list[bytes], checksum: bool, sized: bool, cuts: list[int]) -> None:
        frames = [self.compressed(part, write_checksum=checksum, write_content_size=sized) for part in parts]
        blob = skippable(b"user data") + skippable(b"").join(frames) + skippable(bytes(1000))
        assert decompressed(blob, cuts) == b"".join(parts)

    def test_byte_by_byte(self) -> None:
        blob = self.compressed(TEXT, write_checksum=True) * 2
        assert decompressed(blob, list(range(len(blob)))) == TEXT * 2

    @pytest.mark.parametrize("level", [1, 3, 19])
    def test_levels(self, level: int) -> None:
        data = TEXT * 50
        assert decompressed(self.compressed(data, level=level)) == data

    def test_every_size_field(self) -> None:
        for size in (0, 1, 255, 256, 257, 65791, 65792, 65793):
            assert len(decompressed(self.compressed(bytes(size)))) == size

    def test_raw_blocks(self) -> None:
        blob = zstd_frame(raw_block(b"abc"), raw_block(b""), raw_block(b"defg"))
        assert decompressed(blob, list(range(len(blob)))) == b"abcdefg"

    def test_truncation_anywhere(self) -> None:
        blob = self.compressed(TEXT[:5000], write_checksum=True)
        for length in range(4, len(blob)):
            with pytest.raises(LayerError, match="truncated"):
                decompressed(blob[:length])

    def test_truncation_in_a_later_frame(self) -> None:
        blob = self.compressed(b"one")
        for length in range(1, len(blob)):
            with pytest.raises(LayerError, match="truncated"):
                decompressed(blob + blob[:length])
        with pytest.raises(LayerError, match="truncated"):
            decompressed(blob + skippable(b"abc")[:-1])

    def test_wrong_checksum(self) -> None:
        blob = bytearray(self.compressed(TEXT, write_checksum=True))
        blob[-1] ^= 1
        with pytest.raises(LayerError, match="damaged"):
            decompressed(bytes(blob))

    def test_garbage_after_the_end(self) -> None:
        with pytest.raises(LayerError, match="after the end"):
            decompressed(self.compressed(TEXT) + b"garbage")

    def test_a_reserved_block(self) -> None:
        with pytest.raises(LayerError, match="reserved type"):
            decompressed(zstd_frame((3, b"", 0)))

    def test_a_dictionary(self) -> None:
        with pytest.raises(LayerError, match="damaged"):
            decompressed(zstd_frame((1, b"a", 10), flags=3, header=b"\x58" + b"\x01\x02\x03\x04"))

    @pytest.mark.parametrize(
        ("flags", "header"),
        [
            (0, b"\x90"),  # 2^28 bytes of window
            (0, b"\xff"),
            (0, b"\x89"),  # an eighth more than 2^27
            (0xE0, (1 << 40).to_bytes(8, "little")),  # the window is all of the content
        ],
    )
    def test_a_window_that_takes_too_much_memory(self, flags: int, header: bytes) -> None:
        with pytest.raises(LayerError, match="memory"):
            decompressed(zstd_frame((1, b"a", 10), flags=flags, header=header))

    def test_the_largest_window(self) -> None:
        assert decompressed(zstd_frame((1, b"a", 10), header=b"\x88")) == b"a" * 10

    def test_a_bomb_comes_in_bounded_pieces(self) -> None:
        blob = zstd_frame(*[(1, b"\0", 128 << 10)] * 512)
        assert len(blob) < 3000
        pieces: list[int] = []
        assert len(decompressed(blob, pieces=pieces)) == 64 * MEBIBYTE
        assert max(pieces) <= MEBIBYTE

    def test_one_block_too_large(self) -> None:
        with pytest.raises(LayerError, match="damaged"):
            decompressed(zstd_frame((1, b"\0", 256 << 10)))

    @given(position=st.integers(0), mask=st.integers(1, 255))
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_flipped_bits_raise_nothing_else(self, position: int, mask: int) -> None:
        blob = bytearray(self.compressed(TEXT) + self.compressed(TEXT, write_checksum=True))
        blob[position % len(blob)] ^= mask
        try:
            decompressed(bytes(blob))
        except LayerError as exc:
            assert str(exc).startswith("The layer x ")


def test_no_zstd_package_is_said_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {})
    with pytest.raises(MissingDependency, match="pip install 'zstandard>=0.21'"):
        decompressed(zstd_frame(raw_block(b"abc")))
    assert decompressed(gzip.compress(TEXT)) == TEXT


def test_zstd_packages_are_imported_when_needed_only() -> None:
    code = (
        "import sys\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import decompress\n"
        "d = decompress.Decompressor(lambda data: None, 'x'); d.write(b'plain text'); d.close()\n"
        "print([name for name in ('zstandard', 'backports.zstd', 'compression.zstd', 'isal', 'zlib_ng', 'tarfile')"
        " if name in sys.modules])\n"
    )
    path = decompress.__file__
    for _level in range(7):
        path = path.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
