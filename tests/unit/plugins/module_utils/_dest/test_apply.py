# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of single placements; every failure and kill on the way is in test_plan_properties.py."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import apply as apply_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import make_plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.workplace import locked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles

from .test_plan_properties import EACH_KIND, EACH_OTHER_KIND, Node, flat, snapshot, wanted_snapshot, write

NOBODY = 65534


class Place:
    """A dest, and what is pulled into it with which modes and owners."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "dest"
        self.root.mkdir()

    def destination(self, permissions: Permissions) -> Destination:
        return Destination(str(self.root), permissions)

    def pull(self, node: Mapping[str, Node], permissions: Permissions = Permissions()) -> None:  # noqa: B008
        destination = self.destination(permissions)
        with locked(destination) as work:
            content = Path(destination.control, "stage/content")
            content.mkdir()
            write(node, str(content))
            state = destination.load_state()
            staged = DirectoryHandles(os.open("content", os.O_RDONLY, dir_fd=work.stage))
            with contextlib.closing(staged), destination.opened() as held:
                plan = make_plan(held.root, str(self.root), flat(node), state, permissions)
                work.apply(plan, staged, state, {"revision": str(node)}, {}, {})

    def repair(self, permissions: Permissions) -> list[str]:
        """Set modes and owners right; what differed."""
        destination = self.destination(permissions)
        with locked(destination) as work:
            state = destination.load_state()
            drift = destination.find_drift(state, False)
            work.set_permissions(drift.metadata, state)
        return drift.metadata

    def status(self, path: str) -> tuple[int, int, int]:
        found = os.lstat(self.root / path)
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before, descriptors = os.umask(0o022), len(os.listdir("/proc/self/fd"))
    yield Place(tmp_path)
    os.umask(before)
    # fewer when the garbage of another test was collected meanwhile
    assert len(os.listdir("/proc/self/fd")) <= descriptors, "nothing stays open"


def test_every_kind_of_entry_takes_the_place_of_every_other(place: Place) -> None:
    revisions: list[dict[str, Node]] = [EACH_KIND, EACH_OTHER_KIND, EACH_KIND, {}]
    for node in revisions:
        place.pull(node)
        wanted = wanted_snapshot(node, str(place.folder))
        assert {path: entry[:3] for path, entry in snapshot(str(place.root)).items()} == {
            path: entry[:3] for path, entry in wanted.items()
        }
        destination = place.destination(Permissions())
        assert destination.find_drift(destination.load_state(), check_content=False).is_empty, "times are on record"


@pytest.mark.parametrize("is_whole", [False, True])
def test_what_is_in_a_directory_is_set_before_it_is_closed(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    set_mode, order, modes = apply_module.set_mode, [], []

    def watched(descriptor: int, mode: int) -> None:
        order.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), place.root))
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        set_mode(descriptor, mode)

    monkeypatch.setattr(apply_module, "set_mode", watched)
    if not is_whole:
        monkeypatch.setattr(apply_module, "is_alike", lambda _one, _other: False)
    place.pull({"a": {"b": {"c": "text"}}})
    # what comes with its directory is set before, where nobody else may enter
    wanted = ["a"] if is_whole else ["a/b", "a"]
    assert order == wanted and set(modes) == {0o700}, "nobody else may enter before"
    assert place.status("a/b")[2] == 0o750 and place.status("a/b/c")[2] == 0o640
    order.clear()
    place.repair(Permissions("0700"))
    assert order == ["a/b/c", "a/b", "a"]


@pytest.mark.parametrize(
    ("permissions", "owner"),
    [
        (Permissions(uid=NOBODY), (NOBODY, 0)),
        (Permissions(gid=NOBODY), (0, NOBODY)),
        (Permissions(uid=NOBODY, gid=NOBODY), (NOBODY, NOBODY)),
    ],
)
def test_owners_of_what_is_new_and_of_what_is_there(
    place: Place, permissions: Permissions, owner: tuple[int, int]
) -> None:
    node: dict[str, Node] = {"dir": {"file": "text"}, "file": "text", "link": "-> file"}
    modes = {"dir": 0o750, "dir/file": 0o640, "file": 0o640, "link": 0o777}
    place.pull(node, permissions)
    assert {path: place.status(path) for path in modes} == {path: (*owner, mode) for path, mode in modes.items()}
    assert os.readlink(place.root / "link") == "file"
    assert place.repair(permissions) == []
    assert place.repair(Permissions(uid=0, gid=0)) == sorted(modes)
    assert {path: place.status(path) for path in modes} == {path: (0, 0, mode) for path, mode in modes.items()}
    assert place.repair(permissions) == sorted(modes)
    assert {path: place.status(path) for path in modes} == {path: (*owner, mode) for path, mode in modes.items()}
    assert os.readlink(place.root / "link") == "file"


def test_modes_of_what_is_new_and_of_what_is_there(place: Place) -> None:
    place.pull({"dir": {"file": "text"}}, Permissions("0604"))
    assert [place.status(path)[2] for path in ("dir", "dir/file")] == [0o705, 0o604]
    place.repair(Permissions("u=rwX,go="))
    assert [place.status(path)[2] for path in ("dir", "dir/file")] == [0o700, 0o600]


def test_modes_and_owners_that_were_set_are_taken_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.pull({"a": {"b": "text"}, "c": "text", "l": "-> c"})
    before = {path: place.status(path) for path in ("a", "a/b", "c", "l")}
    set_mode, calls = apply_module.set_mode, []

    def fail_once(descriptor: int, mode: int) -> None:
        calls.append(mode)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        set_mode(descriptor, mode)

    monkeypatch.setattr(apply_module, "set_mode", fail_once)
    with pytest.raises(StorageError, match="Input/output error"):
        place.repair(Permissions("0600", NOBODY, NOBODY))
    assert {path: place.status(path) for path in before} == before
    assert os.readlink(place.root / "l") == "c"


@pytest.mark.parametrize("how", ["content", "second name", "kind", "link"])
def test_what_was_put_in_its_place_meanwhile_gets_no_mode_and_no_owner(place: Place, how: str) -> None:
    """After drift was found, and before it is set right."""
    place.pull({"dir": {}, "file": "text", "link": "-> file"})
    destination = place.destination(Permissions("0600", NOBODY, NOBODY))
    name = {"kind": "dir", "link": "link"}.get(how, "file")
    path = place.root / name
    with locked(destination) as work:
        state = destination.load_state()
        assert name in destination.find_drift(state, False).metadata
        if how == "content":
            path.write_text("text of another length")
        elif how == "second name":
            os.link(path, place.root / "second")
        else:
            path.rmdir() if how == "kind" else path.unlink()
            path.symlink_to("elsewhere") if how == "link" else path.write_text("")
        status = path.lstat()
        with pytest.raises(StorageError):
            work.set_permissions([name], state)
    after = path.lstat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (status.st_uid, status.st_gid, status.st_mode)


def test_what_is_begun_is_on_record_until_it_is_ended_or_taken_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.pull({"a": "one"})
    record = place.root / ".oci-artifact/state"
    rename, seen = os.rename, []

    def fails_from_the_second_on(*arguments: Any, **options: Any) -> None:
        seen.append(set(json.loads(record.read_text())["pending"]))
        if len(seen) > 1:
            raise OSError(5, "Input/output error")
        rename(*arguments, **options)

    monkeypatch.setattr(os, "rename", fails_from_the_second_on)
    with pytest.raises(StorageError, match="Input/output error"):
        place.pull({"a": "two", "b": "new"})
    assert seen[0] == {"a", "b"}
    monkeypatch.undo()
    assert set(place.destination(Permissions()).load_state().pending) == {"a", "b"}, "'a' could not be put back"
    place.pull({"a": "one", "b": "new"})
    assert place.destination(Permissions()).load_state().pending == {}


def test_what_is_altered_while_it_is_placed_is_drift(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time on record is that of what was placed, and not of what is there by then."""
    set_mode = apply_module.set_mode

    def alter(descriptor: int, mode: int) -> None:
        (place.root / "dir/file").write_text("txet")
        os.utime(place.root / "dir/file", ns=(10**18, 10**18))
        set_mode(descriptor, mode)

    monkeypatch.setattr(apply_module, "set_mode", alter)
    place.pull({"dir": {"file": "text"}})
    destination = place.destination(Permissions())
    assert destination.find_drift(destination.load_state(), check_content=False).content == ["dir/file"]


def test_a_file_has_its_name_at_every_moment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens it gets the old or the new one; also where a later step fails, and the old one comes back."""
    place.pull({"a": "one"})
    rename, unlink, there, removed = os.rename, os.unlink, [], []

    def watched_rename(*arguments: Any, **options: Any) -> None:
        there.append((place.root / "a").read_text())
        if len(there) == 2:
            raise OSError(5, "Input/output error")
        rename(*arguments, **options)

    def watched_unlink(path: Any, **options: Any) -> None:
        removed.append(os.fsencode(path))
        unlink(path, **options)

    monkeypatch.setattr(os, "rename", watched_rename)
    monkeypatch.setattr(os, "unlink", watched_unlink)
    with pytest.raises(StorageError, match="Input/output error"):
        place.pull({"a": "two", "b": "new"})
    assert there == ["one", "two", "two"] and b"a" not in removed
    assert (place.root / "a").read_text() == "one" and not (place.root / "b").exists()
    assert place.destination(Permissions()).load_state().pending == {}


def test_a_directory_that_was_replaced_comes_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.pull({"a": {"b": "one"}})
    rename, calls = os.rename, []

    def fails_once(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 4:
            raise OSError(5, "Input/output error")
        rename(*arguments, **options)

    monkeypatch.setattr(os, "rename", fails_once)
    # set aside: a/b and a; placed: a; fails: c
    with pytest.raises(StorageError, match="Input/output error"):
        place.pull({"a": "two", "c": "new"})
    assert (place.root / "a/b").read_text() == "one" and not (place.root / "c").exists()
    assert place.destination(Permissions()).load_state().pending == {}


def test_directories_that_were_made_go_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, calls = os.rename, []

    def fails_once(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(*arguments, **options)

    monkeypatch.setattr(os, "rename", fails_once)
    with pytest.raises(StorageError, match="Input/output error"):
        place.pull({"a": {"b": {"c": "one"}}, "z": "two"})
    assert not (place.root / "a").exists() and not (place.root / "z").exists()


def test_an_owner_that_is_not_asked_for_stays(place: Place) -> None:
    place.pull({"a": "text"})
    os.chown(place.root / "a", 54321, 54322)
    place.repair(Permissions(uid=NOBODY))
    assert place.status("a")[:2] == (NOBODY, 54322)
    place.repair(Permissions(gid=NOBODY))
    assert place.status("a")[:2] == (NOBODY, NOBODY)


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_is_not_ours_any_more_is_not_taken_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """The new file has another inode, or the one that became free."""
    place.pull({"a": "text", "c": "text"})
    set_mode, calls = apply_module.set_mode, []

    def swap_and_fail(descriptor: int, mode: int) -> None:
        calls.append(mode)
        if len(calls) == 2:
            (place.root / "c").rename(place.root / "theirs") if is_kept else (place.root / "c").unlink()
            (place.root / "c").write_text("foreign")
            (place.root / "c").chmod(0o604)
            raise OSError(5, "Input/output error")
        set_mode(descriptor, mode)

    monkeypatch.setattr(apply_module, "set_mode", swap_and_fail)
    with pytest.raises(StorageError, match="Input/output error"):
        place.repair(Permissions("0600", NOBODY, NOBODY))
    assert place.status("c") == (0, 0, 0o604) and place.status("a") == (0, 0, 0o640)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_directory_is_taken_back_unless_another_has_its_name(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    """New entries change its time, and leave it the directory that it was."""
    place.pull({"a": {}, "b": {}})
    set_mode, done = apply_module.set_mode, []

    def meddle_and_fail(descriptor: int, mode: int) -> None:
        if done:
            first = Path(done[0])
            if is_replaced:
                first.rename(place.root / "theirs")
                first.mkdir()
                first.chmod(0o711)
            else:
                (first / "new").touch()
            raise OSError(5, "Input/output error")
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        set_mode(descriptor, mode)

    monkeypatch.setattr(apply_module, "set_mode", meddle_and_fail)
    before = place.status("a")[2]
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="Input/output error"):
        # undoing sets modes, too, and is not to fail
        patch.setattr(apply_module.Placement, "_restore", _with_set_mode(apply_module.Placement._restore, set_mode))
        place.repair(Permissions("0700"))
    first = os.path.basename(done[0])
    assert before != 0o700 and place.status(first)[2] == (0o711 if is_replaced else before)


def _with_set_mode(restore: Any, set_mode: Any) -> Any:
    def restored(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(apply_module, "set_mode", set_mode)
            restore(*arguments)

    return restored


@pytest.mark.parametrize("is_altered", [False, True])
def test_a_file_without_a_digest_on_record(place: Place, is_altered: bool) -> None:
    """Its time says that it is the one on record; of what the artifact has a digest, the digest says it."""
    place.pull({"a": "text"})
    destination = place.destination(Permissions("0600"))
    time = 10**18
    with locked(destination) as work:
        os.utime(place.root / "a", ns=(time, time))
        placed = destination.load_state().files["a"]
        state = destination.load_state()._replace(
            files={"a": placed._replace(entry=placed.entry._replace(digest=""), mtime=time)}
        )
        if is_altered:
            with destination.opened() as held, contextlib.closing(DirectoryHandles.of(work.stage)) as staged:
                plan = make_plan(held.root, str(place.root), {"a": placed.entry}, state, destination.permissions)
                assert plan.metadata == ["a"]
                (place.root / "a").write_text("txet")
                os.utime(place.root / "a", ns=(time, time))
                with pytest.raises(StorageError):
                    work.apply(plan, staged, state, {"revision": "1"}, {}, {})
        else:
            work.set_permissions(["a"], state)
    assert place.status("a")[2] == (0o640 if is_altered else 0o600)
