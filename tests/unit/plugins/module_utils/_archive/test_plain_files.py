# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are taken in one step are the same, and refused for the same reasons, as those taken step by step."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import unpack as unpack_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.tar_reader import BLOCK, TarReader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.unpack import Unpacker, UnpackLimits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import FILE

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = ("a", "b/c", "b/" + "d" * 98, "é", "slash/", "b/.wh.c", "b/..", "./b/x", "b//y", ".wh..wh..opq", "b/sub/z")


class Recorder:
    """What a reader says of an archive, one call after the other; pieces of content are joined."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.in_one_step = 0

    def record(self, size: int) -> None:
        self.calls.append(("record", size))

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        self.calls.append(("entry", kind, name, size, mode, target))

    def data(self, view: memoryview) -> None:
        if self.calls[-1][0] == "data":
            view = memoryview(b"".join((self.calls.pop()[1], view)))  # type: ignore[arg-type]
        self.calls.append(("data", bytes(view)))

    def finish(self) -> None:
        self.calls.append(("finish",))

    def trailing(self, count: int) -> None:
        self.calls.append(("trailing",))

    def file(self, name: str, size: int, mode: int, content: memoryview) -> None:
        self.in_one_step += 1
        self.record(0)
        self.entry(FILE, name, size, mode, "")
        if size:
            self.data(content)
        self.finish()


def read(data: bytes, cuts: Sequence[int], is_quick: bool) -> tuple[Recorder, str]:
    """What is found in an archive that comes in pieces, and the error that ends it."""
    recorder = Recorder()
    reader = TarReader(recorder, "x", recorder.file if is_quick else None)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    try:
        for start, stop in zip(edges, edges[1:]):
            reader.feed(data[start:stop])
        reader.close()
    except LayerError as exc:
        return recorder, str(exc)
    return recorder, ""


def archive(names: Sequence[str], form: str = "ustar", size: int = 700) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=FORMS[form]) as packed:
        for number, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            entry.size = size * number % 1300
            packed.addfile(entry, io.BytesIO(bytes([65 + number % 26]) * entry.size))
    return target.getvalue()


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=6),
    st.sampled_from(sorted(FORMS)),
    st.lists(st.integers(0, 20_000), max_size=4),
    st.lists(st.tuples(st.integers(0, 8_000), st.integers(0, 255)), max_size=3),
)
@example(["a", "b/c"], "ustar", [], [(156, 0)])
@example(["a", "b/c"], "ustar", [], [(345, 65)])
@example(["a", "b/c"], "ustar", [], [(157, 65)])
@example(["a", "b/c"], "ustar", [], [(0, 0)])
@example(["a", "b/c"], "ustar", [], [(124, 0x80)])
@example(["a", "b/c"], "ustar", [], [(300, 200)])
def test_both_ways_read_the_same(names: list[str], form: str, cuts: list[int], changes: list[tuple[int, int]]) -> None:
    data = bytearray(archive(names, form))
    for position, value in changes:
        data[position % len(data)] = value
    # with the right checksum, what was changed is looked at
    for raw in (bytes(data), with_checksums(data)):
        quick, quick_error = read(raw, cuts, True)
        single, single_error = read(raw, cuts, False)
        assert (quick.calls, quick_error) == (single.calls, single_error)
        assert single.in_one_step == 0


def with_checksums(data: bytearray) -> bytes:
    """The archive with the checksum of every block that has one."""
    fixed = bytearray(data)
    for start in range(0, len(fixed), BLOCK):
        block = fixed[start : start + BLOCK]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
            fixed[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(fixed)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_what_most_writers_make_is_taken_in_one_step(form: str) -> None:
    names = [f"dir/file-{number}" for number in range(20)]
    assert read(archive(names, form), [], True)[0].in_one_step == 20
    # but for those that lie across an edge
    assert read(archive(names, form), [BLOCK + 10, 6_000], True)[0].in_one_step == 18


def test_limits_and_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive([f"dir/{number}" for number in range(9)])
    size = sum(700 * number % 1300 for number in range(9))

    def unpack(limits: UnpackLimits, digests: bool = True) -> dict[str, tuple[int, str, bytes, int]]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        root.mkdir()
        unpacker = Unpacker(str(root), limits, digests)
        try:
            writer = unpacker.layer("The layer x", whiteouts=False)
            writer.write(data)
            writer.close()
            tree, times = unpacker.tree(), unpacker.times()
        finally:
            unpacker.abort()
        assert set(times) == {path for path, entry in tree.items() if entry.kind == FILE}
        assert all((root / path).stat().st_mtime_ns == time for path, time in times.items())
        return {path: (entry.size, entry.digest, (root / path).read_bytes(), entry.mode)
                for path, entry in tree.items() if entry.kind == FILE}  # fmt: skip

    whole = unpack(UnpackLimits(size, 9))
    for limits, words in ((UnpackLimits(size - 1, 9), "max_size"), (UnpackLimits(size, 8), "max_files")):
        with pytest.raises(LayerError, match=words):
            unpack(limits)
    assert {found[1] for found in unpack(UnpackLimits(size, 9), False).values()} == {""}
    write = os.write
    monkeypatch.setattr(unpack_module.os, "write", lambda descriptor, view: write(descriptor, view[:100]))
    assert unpack(UnpackLimits(size, 9)) == whole
