# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided about single entries; whole trees are in test_plan_properties.py."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import (
    MAX_NAMED,
    Plan,
    make_plan,
    with_parents,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import PlacedEntry, State
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)

FOLDER, LINK = TreeEntry(DIRECTORY, 0o755), TreeEntry(SYMLINK, 0o777, target="x")


def file(text: str) -> TreeEntry:
    return TreeEntry(FILE, 0o644, len(text), f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = State()

    def plan(self, tree: dict[str, TreeEntry], **options: Any) -> Plan:
        with contextlib.closing(DirectoryHandles.of(str(self.root))) as handles:
            return make_plan(handles, str(self.root), tree, self.state, Permissions(), **options)

    def refused(self, tree: dict[str, TreeEntry], **options: Any) -> str:
        with pytest.raises(StorageError) as caught:
            self.plan(tree, **options)
        return caught.value.message

    def own(self, **entries: TreeEntry) -> None:
        """Have on record what is there."""
        files = {
            path: PlacedEntry(entry, os.lstat(self.root / path).st_mtime_ns if entry.kind == FILE else 0)
            for path, entry in entries.items()
        }
        self.state = State(key={"revision": "1"}, files=files)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "dest").mkdir()
    return Place(tmp_path / "dest")


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def test_directories_that_an_archive_leaves_out() -> None:
    closed = TreeEntry(DIRECTORY, 0o700)
    tree = {"a/b/c/d": file("x"), "a/b": closed, "e/f": file("y"), "e": closed, "g": file("z")}
    assert with_parents(tree) == {**tree, "a": FOLDER, "a/b/c": FOLDER}


def test_without_options_nothing_foreign_is_replaced_and_times_are_trusted(place: Place) -> None:
    write(place.root / "a", "foreign")
    assert "no earlier pull" in place.refused({"a": file("ours")})
    assert place.plan({"a": file("ours")}, force=True).changed == ["a"]
    place.own(a=file("content"))
    assert place.plan({"a": file("content")}).is_empty, "its size and time are those of the record"
    assert place.plan({"a": file("content")}, trust_times=False).changed == ["a"]


def test_a_record_without_digests_is_compared_with_the_artifact(place: Place) -> None:
    write(place.root / "a", "content")
    place.own(a=TreeEntry(FILE, 0o644, 7, ""))
    assert place.plan({"a": file("content")}).is_empty
    assert place.plan({"a": file("tnetnoc")}).changed == ["a"]
    assert place.plan({"a": TreeEntry(FILE, 0o644, 7, "")}).changed == ["a"], "nothing says that it is the same"


@pytest.mark.parametrize(("count", "more"), [(MAX_NAMED, ""), (MAX_NAMED + 1, " and 1 more"), (9, " and 4 more")])
def test_what_is_in_the_way_is_named(place: Place, count: int, more: str) -> None:
    names = [f"f{number}" for number in range(count)]
    for name in names:
        write(place.root / name, "foreign")
    assert place.refused(dict.fromkeys(names, file("ours"))).endswith(f": {', '.join(names[:MAX_NAMED])}{more}.")


@pytest.mark.parametrize(
    ("entry", "force", "replaced"),
    [
        (file("ours"), False, False),
        (file("ours"), True, True),
        (FOLDER, True, False),
        (LINK, False, False),
        (LINK, True, True),
    ],
)
def test_a_foreign_link_is_replaced_by_force_but_not_by_a_directory(
    place: Place, entry: TreeEntry, force: bool, replaced: bool
) -> None:
    (place.root / "a").symlink_to("elsewhere")
    if replaced:
        assert place.plan({"a": entry}, force=force).changed == ["a"]
    else:
        assert "no earlier pull" in place.refused({"a": entry}, force=force)


def test_a_foreign_file_is_replaced_by_a_directory_with_force(place: Place) -> None:
    write(place.root / "a", "foreign")
    assert "no earlier pull" in place.refused({"a": FOLDER})
    plan = place.plan({"a": FOLDER, "a/b": file("ours")}, force=True)
    assert (plan.changed, plan.added) == (["a"], ["a/b"])


def test_a_link_that_leads_where_it_should_is_left_alone(place: Place) -> None:
    (place.root / "a").symlink_to("x")
    assert place.plan({"a": LINK}).is_empty
    place.own(a=LINK)
    assert place.plan({"a": LINK._replace(target="y")}).changed == ["a"]


@pytest.mark.parametrize("kind", ["size", "directory"])
def test_the_time_of_the_record_alone_makes_no_file_the_same(place: Place, kind: str) -> None:
    path = place.root / "a"
    write(path, "content")
    if kind == "directory":
        path.unlink()
        path.mkdir()
    size = path.stat().st_size
    entry = file("content")._replace(size=size if kind == "directory" else size + 1)
    os.utime(path, ns=(10**18, 10**18))
    place.state = State(key={"revision": "1"}, files={"a": PlacedEntry(entry, 10**18)})
    assert place.plan({"a": entry}).changed == ["a"]


def test_a_file_of_another_time_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place.root / "a", "content")
    place.own(a=file("content"))
    os.utime(place.root / "a", ns=(1, 1))
    assert place.plan({"a": file("content")}).is_empty
    write(place.root / "a", "tnetnoc")
    os.utime(place.root / "a", ns=(1, 1))
    assert place.plan({"a": file("content")}).changed == ["a"]

    def fail(_handles: DirectoryHandles, path: str) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(DirectoryHandles, "open_file", fail)
    place.state = State()
    assert "no earlier pull" in place.refused({"a": file("tnetnoc")}), "what cannot be read is not known to be the same"


def test_what_is_removed(place: Place) -> None:
    """What is gone already hides nothing else, and what took the place of a directory is not ours."""
    for name in ("a", "d"):
        write(place.root / name, "text")
    files = {"a": file("text"), "b": file("text"), "c": FOLDER, "d": FOLDER}
    place.state = State(key={"revision": "1"}, files={name: PlacedEntry(entry) for name, entry in files.items()})
    assert place.plan({}).removed == ["a"]
    place.state = place.state._replace(pending={"d": file("text")})
    assert place.plan({}).removed == ["d", "a"], "a run that was killed may have put it there"


def test_a_foreign_directory_is_not_replaced_although_it_is_empty(place: Place) -> None:
    (place.root / "a").mkdir()
    assert "no earlier pull" in place.refused({"a": file("ours")}, force=True)


def test_what_was_put_in_the_place_of_ours_goes_with_its_directory(place: Place) -> None:
    (place.root / "a/b").mkdir(parents=True)
    place.state = State(
        key={"revision": "1"}, files={"a": PlacedEntry(FOLDER), "a/b": PlacedEntry(file("was a file once"))}
    )
    assert place.plan({"a": file("ours")}).removed == ["a/b"]
    assert place.plan({"a": FOLDER}).removed == [], "but not otherwise"


@pytest.mark.parametrize("foreign", ["", "a/x", "a/sub/x"])
def test_a_directory_is_replaced_when_all_in_it_is_ours(place: Place, foreign: str) -> None:
    (place.root / "a/sub").mkdir(parents=True)
    write(place.root / "a/sub/file", "text")
    place.own(**{"a": FOLDER, "a/sub": FOLDER, "a/sub/file": file("text")})
    if foreign:
        write(place.root / foreign, "foreign")
        assert "no earlier pull" in place.refused({"a": file("ours")}, force=True)
    else:
        plan = place.plan({"a": file("ours")})
        assert (plan.changed, plan.removed) == (["a"], ["a/sub/file", "a/sub"])


def test_only_mode_and_owner_are_set_of_what_has_one_name(place: Place) -> None:
    for name in ("a", "b"):
        write(place.root / name, "text")
        (place.root / name).chmod(0o600)
    os.link(place.root / "b", place.root.with_name("second"))
    (place.root / "c").mkdir(mode=0o700)
    (place.root / "d").mkdir(mode=0o700)
    place.own(a=file("text"), b=file("text"), c=FOLDER)
    tree = {"a": file("text"), "b": file("text"), "c": FOLDER, "d": FOLDER}
    plan = place.plan(tree)
    assert (plan.metadata, plan.changed, plan.added) == (["a", "c"], ["b"], [])
    assert "d" not in plan.tree, "a directory that was there before is used as it is"


def test_a_directory_that_is_not_there_hides_none_of_its_name(place: Place) -> None:
    (place.root / "d").mkdir()
    write(place.root / "d/a", "foreign")
    tree = {"a": FOLDER, "a/b": file("ours"), "d": FOLDER, "d/a": file("ours")}
    assert place.refused(tree).endswith(": d/a.")
    assert place.plan(tree, force=True).added == ["a", "a/b"]


def test_what_cannot_be_looked_at_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.root / "foreign").touch()
    for number, is_error in (
        (errno.ENOENT, False),
        (errno.ENOTDIR, False),
        (errno.ELOOP, False),
        (errno.EIO, True),
        (errno.EACCES, True),
    ):

        def fail(_handles: DirectoryHandles, path: str, number: int = number) -> Any:
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(DirectoryHandles, "lstat", fail)
        if is_error:
            assert os.strerror(number) in place.refused({"a": file("ours")})
        else:
            assert place.plan({"a": file("ours")}).added == ["a"]
    monkeypatch.undo()
    (place.root / "a").mkdir()
    monkeypatch.setattr(DirectoryHandles, "names", fail)
    assert os.strerror(errno.EACCES) in place.refused({})
    place.own(a=FOLDER)
    assert os.strerror(errno.EACCES) in place.refused({})


def test_an_empty_directory_has_nothing_to_look_at(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    lstat = DirectoryHandles.lstat

    def watched(handles: DirectoryHandles, path: str) -> os.stat_result:
        looked_at.append(path)
        return lstat(handles, path)

    monkeypatch.setattr(DirectoryHandles, "lstat", watched)
    (place.root / ".oci-artifact").mkdir()
    tree = {"a": file("ours"), "b": FOLDER, "b/c": file("ours")}
    assert place.plan(tree).added == ["a", "b", "b/c"] and looked_at == []
    # any other name may be one of the artifact's on a file system that ignores the case
    (place.root / "A").touch()
    assert place.plan(tree).added == ["a", "b", "b/c"] and looked_at == ["a", "b"]
    place.root = place.root / "missing"
    with contextlib.closing(DirectoryHandles(-1)) as handles:
        assert make_plan(handles, str(place.root), tree, State(), Permissions()).added == ["a", "b", "b/c"]
