# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a pull: what is written is read, and nothing else is believed."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_users import place_without_rights, without_rights

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import (
    PlacedEntry,
    State,
    load_state,
    save_state,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)

NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20).filter(lambda n: n not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
MODES = st.integers(min_value=0, max_value=0o777)
ENTRIES = st.one_of(
    st.builds(TreeEntry, st.just(FILE), MODES, st.integers(min_value=0), st.just("sha256:" + "0" * 64)),
    st.builds(TreeEntry, st.just(DIRECTORY), MODES),
    st.builds(TreeEntry, st.just(SYMLINK), MODES, target=st.text()),
)
PLACED = st.builds(PlacedEntry, ENTRIES, st.integers())


def loaded(control: str) -> State:
    with contextlib.closing(DirectoryHandles.of(control)) as handles:
        return load_state(handles.get(""))


def saved(control: str, state: State) -> None:
    with contextlib.closing(DirectoryHandles.of(control)) as handles:
        save_state(handles.get(""), state)


def encodable(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


@given(st.dictionaries(PATHS.filter(encodable), PLACED), st.dictionaries(PATHS.filter(encodable), ENTRIES))
def test_a_record_comes_back_as_it_was(files: dict[str, PlacedEntry], pending: dict[str, TreeEntry]) -> None:
    with tempfile.TemporaryDirectory() as control:
        state = State({"revision": "1", "ignore": None}, {"metadata": {"é": "x"}}, files, pending, {"policy": "p"}, "r")
        saved(control, state)
        assert loaded(control) == state
        assert os.listdir(control) == ["state"]


def test_a_record_of_another_user_is_damaged(tmp_path: Path) -> None:
    saved(str(tmp_path), State({"revision": "1"}))
    os.chown(tmp_path / "state", 65534, 65534)
    assert loaded(str(tmp_path)) == State(is_damaged=True)


def test_what_a_record_owns() -> None:
    entry = TreeEntry(DIRECTORY, 0o755)
    state = State(files={"placed": PlacedEntry(entry)}, pending={"begun": entry})
    assert [state.owns(path) for path in ("placed", "begun", "other")] == [True, True, False]


GOOD = {
    "format": 1,
    "key": {"a": "b"},
    "artifact": {},
    "files": {"a": [FILE, 420, 1, "d", "", 5]},
    "pending": {},
    "verification": {},
}


@pytest.mark.parametrize(
    "document",
    [
        "garbage",
        "[]",
        "[" * 100_000,
        '{"format": 1}',
        {**GOOD, "format": 0},
        {**GOOD, "format": "2"},
        {**GOOD, "key": 5},
        {**GOOD, "files": []},
        {**GOOD, "files": {"a": []}},
        {**GOOD, "files": {"a": "text"}},
        {**GOOD, "files": {"a": ["device", 420, 1, "", "", 5]}},
        {**GOOD, "files": {"a": [FILE, 0o4755, 1, "", "", 5]}},
        {**GOOD, "files": {"a": [FILE, 0o1000, 1, "", "", 5]}},
        {**GOOD, "files": {"a": [FILE, -1, 1, "", "", 5]}},
        {**GOOD, "files": {"a": [FILE, "420", 1, "", "", 5]}},
        {**GOOD, "files": {"a": [FILE, 420, 1, None, "", 5]}},
        {**GOOD, "files": {"a": [FILE, 420, 1, "", None, 5]}},
        {**GOOD, "files": {"a": [FILE, 420, 1, "", "", None]}},
        *(
            {**GOOD, "files": {path: GOOD["files"]["a"]}}
            for path in ("", "/a", "../a", "a/../b", "a//b", "./a", "a/", "\0")
        ),
        {**GOOD, "pending": {"../a": [FILE, 420, 1, "", ""]}},
    ],
)
def test_a_record_that_cannot_be_understood_is_as_none(tmp_path: Path, document: Any) -> None:
    (tmp_path / "state").write_text(document if isinstance(document, str) else json.dumps(document))
    assert loaded(str(tmp_path)) == State(is_damaged=True)


@pytest.mark.parametrize("rest", [{}, {"key": 5, "standing": {"held": 7}}])
def test_a_record_of_a_later_version_is_told_from_a_damaged_one(tmp_path: Path, rest: dict[str, Any]) -> None:
    (tmp_path / "state").write_text(json.dumps({**GOOD, **rest, "format": 2}))
    assert loaded(str(tmp_path)) == State(is_damaged=True, is_newer=True)


def test_a_good_record_and_none(tmp_path: Path) -> None:
    assert loaded(str(tmp_path)) == State()
    (tmp_path / "state").write_text(json.dumps(GOOD))
    assert loaded(str(tmp_path)).files == {"a": PlacedEntry(TreeEntry(FILE, 420, 1, "d"), 5)}


def test_what_a_record_need_not_have(tmp_path: Path) -> None:
    without = {name: value for name, value in GOOD.items() if name != "verification"}
    for document in (GOOD, without, {**GOOD, "verification": None, "request": None}):
        (tmp_path / "state").write_text(json.dumps(document))
        found = loaded(str(tmp_path))
        assert (found.is_damaged, found.verification, found.request) == (False, {}, "")


def test_nobody_else_reads_a_record(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        saved(str(tmp_path), State({"revision": "1"}))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600


def test_what_is_no_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")
    assert loaded(str(tmp_path)) == State()


def test_a_record_that_may_not_be_read() -> None:
    with place_without_rights() as place:
        (place / "state").write_text("{}")
        (place / "state").chmod(0)
        with without_rights(), pytest.raises(PermissionError):
            loaded(str(place))


def test_nothing_is_left_of_a_record_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(OSError):
        saved(str(tmp_path), State())
    assert os.listdir(tmp_path) == ["state"]
