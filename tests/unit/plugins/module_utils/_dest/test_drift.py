# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as altered, and what of it only has another mode or owner."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.drift import (
    Drift,
    find_drift,
    is_placed_file,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import Plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import PlacedEntry, State
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)

DIGEST = f"sha256:{hashlib.sha256(b'text').hexdigest()}"
OTHER = f"sha256:{hashlib.sha256(b'txet').hexdigest()}"
TIME = 10**18


class Place:
    """A file, a directory and a link as a pull of root has placed them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {
            "dir": PlacedEntry(TreeEntry(DIRECTORY, 0o750)),
            "file": PlacedEntry(TreeEntry(FILE, 0o640, 4, DIGEST), TIME),
            "link": PlacedEntry(TreeEntry(SYMLINK, 0o777, target="file")),
        }
        (root / "dir").mkdir(mode=0o750)
        self.write("text", TIME)
        (root / "file").chmod(0o640)
        (root / "link").symlink_to("file")

    def write(self, text: str, time: int) -> None:
        (self.root / "file").write_text(text)
        os.utime(self.root / "file", ns=(time, time))

    def drift(self, check_content: bool = False, **wanted: Any) -> Drift:
        with contextlib.closing(DirectoryHandles.of(str(self.root))) as handles:
            return find_drift(handles, State(files=self.files), Permissions(**wanted), check_content)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "metadata"),
    [
        ({}, []),
        ({"uid": 0, "gid": 0}, []),
        ({"uid": 1}, ["dir", "file", "link"]),
        ({"gid": 1}, ["dir", "file", "link"]),
        ({"uid": 0, "gid": 1}, ["dir", "file", "link"]),
        ({"mode": "0640"}, []),
        ({"mode": "0600"}, ["dir", "file"]),
        ({"mode": "u=rwX,g=rX,o="}, []),
    ],
)
def test_modes_and_owners(place: Place, wanted: dict[str, Any], metadata: list[str]) -> None:
    drift = place.drift(**wanted)
    assert drift == Drift([], metadata) and drift.is_empty is not bool(metadata)
    (place.root / "dir").chmod(0o700)
    (place.root / "file").chmod(0o600)
    if not wanted:
        assert place.drift() == Drift([], ["dir", "file"])


def test_a_mode_that_another_name_would_get_too(place: Place) -> None:
    """Such a file is placed anew."""
    os.link(place.root / "file", place.root / "second")
    assert place.drift() == Drift([], [])
    assert place.drift(mode="0600") == Drift(["file"], ["dir"])


@pytest.mark.parametrize("digest", [DIGEST, ""])
@pytest.mark.parametrize(
    ("text", "time", "check_content", "known", "unknown"),
    [
        ("text", TIME, False, True, True),
        ("text", TIME + 1, False, True, False),
        ("text", TIME, True, True, False),
        ("txet", TIME, False, True, True),
        ("txet", TIME, True, False, False),
        ("txet", TIME + 1, False, False, False),
        ("longer", TIME, False, False, False),
    ],
)
def test_contents(
    place: Place, digest: str, text: str, time: int, check_content: bool, known: bool, unknown: bool
) -> None:
    """``known`` and ``unknown`` say whether the file counts as intact with its digest on record, and without."""
    place.files["file"] = PlacedEntry(TreeEntry(FILE, 0o640, 4, digest), TIME)
    place.write(text, time)
    assert place.drift(check_content).content == ([] if (known if digest else unknown) else ["file"])


@pytest.mark.parametrize("name", ["dir", "file", "link"])
@pytest.mark.parametrize("kind", ["nothing", "dir", "file", "link", "pipe"])
def test_another_kind_of_entry(place: Place, name: str, kind: str) -> None:
    path = place.root / name
    path.rmdir() if name == "dir" else path.unlink()
    if kind == "dir":
        path.mkdir(mode=0o750)
    elif kind == "file":
        path.write_text("text")
    elif kind == "link":
        path.symlink_to("elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    # the link leads elsewhere
    same = name == kind and kind != "link"
    assert place.drift().content == ([] if same else [name])


def test_a_directory_of_the_size_and_time_of_a_file(place: Place) -> None:
    (place.root / "file").unlink()
    (place.root / "file").mkdir()
    os.utime(place.root / "file", ns=(TIME, TIME))
    place.files["file"] = PlacedEntry(TreeEntry(FILE, 0o640, (place.root / "file").stat().st_size, DIGEST), TIME)
    assert place.drift().content == ["file"]


@pytest.mark.parametrize(
    ("text", "time", "digest", "same"),
    [
        ("text", TIME, "", True),
        ("txet", TIME, DIGEST, True),
        ("longer", TIME, "", False),
        ("text", TIME + 1, DIGEST, True),
        ("text", TIME + 1, OTHER, False),
        ("text", TIME + 1, "", False),
    ],
)
def test_an_open_file_is_the_one_on_record(place: Place, text: str, time: int, digest: str, same: bool) -> None:
    place.write(text, time)
    with (place.root / "file").open("rb") as stream:
        assert is_placed_file(stream.fileno(), PlacedEntry(TreeEntry(FILE, 0o640, 4, digest), TIME)) is same
        os.fstat(stream.fileno())
    with contextlib.closing(DirectoryHandles.of(str(place.root))) as handles:
        status = os.fstat(handles.get(""))
        entry = TreeEntry(FILE, 0o640, status.st_size, "")
        assert not is_placed_file(handles.get(""), PlacedEntry(entry, status.st_mtime_ns)), "a directory"


@pytest.mark.parametrize("field", ["added", "changed", "removed", "metadata"])
def test_a_plan_that_does_anything_is_not_empty(field: str) -> None:
    assert Plan({}).is_empty
    options: dict[str, Any] = {field: ["x"]}
    assert not Plan({}, **options).is_empty
