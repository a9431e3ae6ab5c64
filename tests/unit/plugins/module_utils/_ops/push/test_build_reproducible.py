# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One content, one digest: whatever the checkout, the umask, the clock, the order of creation or the Python."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pythons import discover

from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import pack
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import build as build_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, Input, build

# The folder that holds ansible_collections.
TREE = Path(build_module.__file__).parents[7]
# A file's content and whether it may be executed; the target of a link; None for a directory.
Entry = Union[tuple[bytes, bool], str, None]

CONTENT: dict[str, Entry] = {
    "a.yaml": (b"a: 1\n" * 1000, False),
    "bin/run.sh": (b"#!/bin/sh\n", True),
    "bin/again": (b"#!/bin/sh\n", True),
    "empty": None,
    "link": "bin/run.sh",
    "näme ✓": (b"\x00\xff" * 70000, False),
    "Z/" + "long" * 60: (b"", False),
    "a/" * 30 + "deep": (b"x", False),
}


def check_out(root: Path, content: Mapping[str, Entry], seed: int, umask: int) -> None:
    """Write a tree in an order, with times and modes that depend on the seed."""
    chance = random.Random(seed)
    paths = list(content)
    chance.shuffle(paths)
    before = os.umask(umask)
    try:
        for path in paths:
            full, entry = root / path, content[path]
            full.parent.mkdir(parents=True, exist_ok=True)
            if entry is None:
                full.mkdir(exist_ok=True)
            elif isinstance(entry, str):
                full.symlink_to(entry)
            else:
                full.write_bytes(entry[0])
                full.chmod((0o777 if entry[1] else 0o666) & ~umask)
                os.utime(full, (chance.randrange(2**31), chance.randrange(2**31)))
    finally:
        os.umask(before)


def digest_of_tree(root: Path, kind: str) -> str:
    with tempfile.TemporaryDirectory() as workspace:
        return build(BuildOptions([Input(str(root))], type=kind), workspace).manifest.descriptor.digest


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.mark.parametrize("kind", ["flux", "files"])
def test_two_checkouts(kind: str, tmp_path: Path) -> None:
    one, other = tmp_path / "1" / "deploy", tmp_path / "2" / "deploy"
    check_out(one, CONTENT, seed=1, umask=0o022)
    check_out(other, CONTENT, seed=2, umask=0o077)
    (other / "bin/again").unlink()
    os.link(other / "bin/run.sh", other / "bin/again")  # a hard link is a file like any other
    assert digest_of_tree(one, kind) == digest_of_tree(other, kind)


@pytest.mark.parametrize("kind", ["flux", "files"])
def test_order_in_which_the_file_system_lists(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many file systems list by a hash of the name, whatever was made first: so the lists are turned round here."""
    check_out(tmp_path / "deploy", CONTENT, seed=1, umask=0o022)
    scandir = os.scandir

    @contextmanager
    def backwards(folder: int) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    @contextmanager
    def forwards(folder: int) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(folder) as entries:
            yield sorted(entries, key=lambda entry: entry.name)

    digests = []
    for order in (backwards, forwards):
        with monkeypatch.context() as patched:
            patched.setattr(pack.os, "scandir", order)
            digests.append(digest_of_tree(tmp_path / "deploy", kind))
    assert digests[0] == digests[1]


def test_chart_of_two_checkouts(tmp_path: Path) -> None:
    content: dict[str, Entry] = {
        "Chart.yaml": (b"apiVersion: v2\nname: demo\nversion: 0.1.0\n", False),
        "templates/a.yaml": (b"a: 1\n", False),
        "templates/b.yaml": (b"b: 1\n", True),
        "README.md": (b"# Demo\n", False),
    }
    check_out(tmp_path / "one", content, seed=1, umask=0o022)
    check_out(tmp_path / "other", content, seed=2, umask=0o077)
    assert digest_of_tree(tmp_path / "one", "helm") == digest_of_tree(tmp_path / "other", "helm")


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/"), min_size=1, max_size=20)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=2000), st.booleans()), max_size=8)


def without_conflicts(tree: dict[str, tuple[bytes, bool]]) -> dict[str, Entry]:
    """No file where another path needs a directory, and names that the file system takes and nothing excludes."""
    parents = {path[:cut] for path in tree for cut in range(len(path)) if path[cut] == "/"}
    return {
        path: entry
        for path, entry in tree.items()
        if path not in parents and all(len(part.encode()) < 256 and part[0] != "." for part in path.split("/"))
    }


@settings(max_examples=40, deadline=None)
@given(tree=TREES.map(without_conflicts), data=st.data())
def test_any_tree(tree: dict[str, Entry], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "1", "x"), Path(folder, "2", "x")
        for number, root in enumerate((one, other)):
            root.mkdir(parents=True)
            check_out(root, tree, seed=number, umask=(0o002, 0o077)[number])
        digest = digest_of_tree(one, "files")
        assert digest == digest_of_tree(other, "files")
        # and nothing but the same content has it
        if tree:
            path = data.draw(st.sampled_from(sorted(tree)))
            changed = other / path
            what = data.draw(st.sampled_from(["content", "mode", "name"]))
            if what == "content":
                changed.write_bytes(changed.read_bytes() + b"\n")
            elif what == "mode":
                changed.chmod(changed.stat().st_mode ^ 0o100)
            else:
                changed.rename(other / "a name of its own")
            assert digest != digest_of_tree(other, "files")


SCRIPT = f"""
import sys, tempfile, zlib
sys.path.insert(0, {str(TREE)!r})
from {build_module.__name__} import BuildOptions, Input, build
with tempfile.TemporaryDirectory() as workspace:
    built = build(BuildOptions([Input(sys.argv[1])]), workspace)
print(zlib.ZLIB_RUNTIME_VERSION, built.layers[0].diff_id, built.manifest.descriptor.digest)
"""


@pytest.mark.once
def test_every_python_on_this_machine(tmp_path: Path) -> None:
    """What is packed is the same; so is what zlib makes of it, where it is the same zlib."""
    check_out(tmp_path / "x", CONTENT, seed=1, umask=0o022)
    with tempfile.TemporaryDirectory() as workspace:
        here = build(BuildOptions([Input(str(tmp_path / "x"))]), workspace)
    wanted = here.layers[0].diff_id
    seen = []
    for minor, python in sorted(discover().items()):
        if minor < 9:
            continue
        done = subprocess.run(
            # -S: nothing but the standard library is needed to pack a directory
            [str(python.path), "-S", "-c", SCRIPT, str(tmp_path / "x")],
            check=False, capture_output=True, text=True, timeout=120, env={"LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, f"{python}: {done.stderr}"
        version, diff_id, digest = done.stdout.split()
        assert diff_id == wanted, python
        if version == zlib.ZLIB_RUNTIME_VERSION:
            assert digest == here.manifest.descriptor.digest, python
        seen.append(minor)
    assert seen
