# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several layers in one tree: later ones win, whiteouts hide what lower ones brought (image-spec, layer.md)."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive.unpack import Unpacker, UnpackLimits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import LayerError

AMPLE = UnpackLimits(max_size=1 << 40, max_files=1 << 20)


def layer(*names: str) -> bytes:
    """An archive: "a/" is a directory, "a -> b" a link, "a => b" a hard link, "a" a file with its name as content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for text in names:
            content = text.encode()
            info = tarfile.TarInfo(text)
            if text.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif " -> " in text:
                info.name, info.linkname = text.split(" -> ")
                info.type = tarfile.SYMTYPE
            elif " => " in text:
                info.name, info.linkname = text.split(" => ")
                info.type = tarfile.LNKTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def unpack(root: Path, *blobs: bytes, whiteouts: bool = True) -> list[str]:
    unpacker = Unpacker(str(root), AMPLE)
    try:
        for number, blob in enumerate(blobs):
            writer = unpacker.layer(f"The layer {number}", whiteouts)
            writer.write(blob)
            writer.close()
        names = sorted(unpacker.tree())
    finally:
        unpacker.abort()
    assert names == sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    return names


LOWER = layer("a/", "a/b", "a/c/", "a/c/d", "e", "l -> e")


@pytest.mark.parametrize(
    ("upper", "wanted"),
    [
        (["f"], ["a", "a/b", "a/c", "a/c/d", "e", "f", "l"]),
        ([".wh.e"], ["a", "a/b", "a/c", "a/c/d", "l"]),
        ([".wh.l"], ["a", "a/b", "a/c", "a/c/d", "e"]),
        ([".wh.a"], ["e", "l"]),
        (["a/.wh.b"], ["a", "a/c", "a/c/d", "e", "l"]),
        (["./a/c/.wh.d"], ["a", "a/b", "a/c", "e", "l"]),
        (["a/.wh..wh..opq"], ["a", "e", "l"]),
        (["a/", "a/.wh..wh..opq", "a/f"], ["a", "a/f", "e", "l"]),
        (["a/", "a/f", "a/.wh..wh..opq"], ["a", "a/f", "e", "l"]),
        (["a/c/f", "a/.wh..wh..opq"], ["a", "a/c", "a/c/f", "e", "l"]),
        ([".wh..wh..opq"], []),
        (["f", ".wh..wh..opq"], ["f"]),
        (["e", ".wh.e"], ["a", "a/b", "a/c", "a/c/d", "e", "l"]),
        ([".wh.e", "e"], ["a", "a/b", "a/c", "a/c/d", "e", "l"]),
        (["a/", ".wh.a"], ["a", "e", "l"]),
        (["a/f", ".wh.a"], ["a", "a/f", "e", "l"]),
        ([".wh.a", "a/f"], ["a", "a/f", "e", "l"]),
        (["a/b", ".wh.a"], ["a", "a/b", "e", "l"]),
        ([".wh.a", "a"], ["a", "e", "l"]),
        (["a", ".wh.a"], ["a", "e", "l"]),
        ([".wh.missing", "missing/.wh.x", "missing/.wh..wh..opq"], ["a", "a/b", "a/c", "a/c/d", "e", "l"]),
        (["e/"], ["a", "a/b", "a/c", "a/c/d", "e", "l"]),
        (["l/", "l/x"], ["a", "a/b", "a/c", "a/c/d", "e", "l", "l/x"]),
        (["a/c -> b"], ["a", "a/b", "a/c", "e", "l"]),
        (["f => a/c/d", ".wh.a"], ["e", "f", "l"]),
        ([".wh..wh.plnk", ".wh..wh.aufs/"], ["a", "a/b", "a/c", "a/c/d", "e", "l"]),
        ([".wh.a/", ".wh.e -> x"], ["l"]),
    ],
)
def test_two_layers(root: Path, upper: list[str], wanted: list[str]) -> None:
    assert unpack(root, LOWER, layer(*upper)) == wanted


def test_later_files_win(root: Path) -> None:
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as archive:
        info = tarfile.TarInfo("a/b")
        info.size, info.mode = 3, 0o755
        archive.addfile(info, io.BytesIO(b"new"))
    unpack(root, LOWER, blob.getvalue())
    assert (root / "a" / "b").read_bytes() == b"new"
    assert os.access(root / "a" / "b", os.X_OK)


def test_whiteouts_in_the_lowest_layer_hide_nothing(root: Path) -> None:
    assert unpack(root, layer("a", ".wh.a", ".wh..wh..opq")) == ["a"]


def test_three_layers(root: Path) -> None:
    assert unpack(root, LOWER, layer(".wh.a", "a/x"), layer("a/.wh.x", "a/b")) == ["a", "a/b", "e", "l"]


def test_without_whiteouts_the_names_are_ordinary(root: Path) -> None:
    names = [".wh..wh..opq", ".wh.a", "a", "a/.wh.b"]
    assert unpack(root, LOWER, layer(".wh.a", "a/.wh.b", ".wh..wh..opq"), whiteouts=False) == sorted(
        {*names, "a/b", "a/c", "a/c/d", "e", "l"}
    )


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..."])
def test_whiteouts_of_no_name(root: Path, name: str) -> None:
    with pytest.raises(LayerError, match="The layer 1 .* is a whiteout of no name"):
        unpack(root, LOWER, layer(name))


@pytest.mark.parametrize("name", ["l/.wh.x", "l/.wh..wh..opq", "e/.wh.x"])
def test_whiteouts_do_not_go_through_links_or_files(root: Path, name: str) -> None:
    with pytest.raises(LayerError, match="The layer 1 .* goes through"):
        unpack(root, layer("a/x", "e", "l -> a"), layer(name))
    assert (root / "a" / "x").exists()


@pytest.mark.parametrize("name", ["../.wh.x", "/.wh.x", "a/../../.wh.x"])
def test_whiteouts_outside_the_root(root: Path, name: str) -> None:
    (root.parent / "x").write_bytes(b"kept")
    with pytest.raises(LayerError):
        unpack(root, LOWER, layer(name))
    assert (root.parent / "x").exists()


def test_a_whiteout_is_no_entry_to_link_to(root: Path) -> None:
    with pytest.raises(LayerError, match="not a file that was unpacked"):
        unpack(root, LOWER, layer(".wh.e", "f => .wh.e"))


def test_a_hidden_file_is_no_entry_to_link_to(root: Path) -> None:
    with pytest.raises(LayerError, match="not a file that was unpacked"):
        unpack(root, LOWER, layer(".wh.e", "f => e"))


def test_many_opaque_whiteouts_cost_little(root: Path) -> None:
    names = [f"a/{number}" for number in range(3000)]
    assert len(unpack(root, LOWER, layer(*names, *["a/.wh..wh..opq", ".wh.a"] * 3000))) == 3003


def test_an_error_names_the_layer_that_a_link_came_with(root: Path) -> None:
    # Harmless by itself, and leading out once the second layer has a link where the first had a directory.
    lower = layer("a/b/", "a/l -> b/../../x")
    assert unpack(root, lower) == ["a", "a/b", "a/l"]
    other = root.parent / "other"
    other.mkdir()
    with pytest.raises(
        LayerError, match="The layer 0 cannot be unpacked: its symbolic link 'a/l' leads to 'b/../../x'"
    ):
        unpack(other, lower, layer("a/b -> .."))
    assert not any(path.is_symlink() for path in other.rglob("*"))


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
ENTRIES = st.lists(
    st.one_of(
        NAMES,
        NAMES.map(lambda name: name + "/"),
        NAMES.map(lambda name: "/".join([*name.split("/")[:-1], ".wh." + name.split("/")[-1]])),
        NAMES.map(lambda name: name + "/.wh..wh..opq"),
        st.just(".wh..wh..opq"),
    ),
    max_size=8,
)


def expected(layers: list[list[str]]) -> set[str] | None:
    """The specification, read naively: hide in the lower tree first, then put the layer's own entries on top."""
    tree: dict[str, bool] = {}
    for names in layers:
        for name in names:
            above, _slash, base = name.rpartition("/")
            if base == ".wh..wh..opq":
                tree = {path: kind for path, kind in tree.items() if above and not path.startswith(above + "/")}
            elif base.startswith(".wh."):
                hidden = f"{above}/{base[4:]}" if above else base[4:]
                tree = {
                    path: kind for path, kind in tree.items() if path != hidden and not path.startswith(hidden + "/")
                }
        for name in names:
            if ".wh." in name:
                continue
            parts = name.rstrip("/").split("/")
            for depth in range(1, len(parts)):
                above = "/".join(parts[:depth])
                if tree.get(above) is False:
                    return None
                tree[above] = True
            path = "/".join(parts)
            if not name.endswith("/") or tree.get(path) is False:
                tree = {other: kind for other, kind in tree.items() if not other.startswith(path + "/")}
            tree[path] = name.endswith("/")
    return set(tree)


@given(layers=st.lists(ENTRIES, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_layers_are_merged_as_the_specification_says(new_root: Callable[[], Path], layers: list[list[str]]) -> None:
    wanted = expected(layers)
    try:
        found = unpack(new_root(), *[layer(*names) for names in layers])
    except LayerError as exc:
        # A file is in the way of a whiteout or, while it is not hidden yet, of an entry.
        assert "goes through" in str(exc)
        return
    assert wanted is not None
    assert set(found) == wanted
