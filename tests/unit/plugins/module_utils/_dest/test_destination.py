# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory that is written to: locks, control directories, what is left after a refusal."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import destination as destination_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import make_plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import State, save_state
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.workplace import (
    Workplace,
    locked,
    remove_abandoned_stage,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import CONTROL_NAME, is_reserved
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import FILE, TreeEntry

EMPTY = TreeEntry(FILE, 0o644, 0, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def at(path: Path) -> Destination:
    return Destination(str(path), Permissions())


def staging(destination: Destination) -> Path:
    return Path(destination.control, "stage")


def put(destination: Destination, work: Workplace, state: State, tree: dict[str, TreeEntry]) -> None:
    """Place a tree whose entries lie in the stage."""
    content = DirectoryHandles.of(work.stage)
    with contextlib.closing(content), destination.opened() as held:
        plan = make_plan(held.root, destination.root, tree, state, destination.permissions)
        work.apply(plan, content, state, {"revision": "1"}, {}, {})


def place(destination: Destination, *names: str) -> None:
    with locked(destination) as work:
        for name in names:
            (staging(destination) / name).touch()
        put(destination, work, destination.load_state(), dict.fromkeys(names, EMPTY))


def test_a_directory_may_be_others_but_not_one_that_a_file_lies_in(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for call in (Destination.load_state, lambda destination: place(destination, "a")):
        call(at(tmp_path))
        with pytest.raises(StorageError, match="may be written to by everybody"):
            call(Destination(str(tmp_path), Permissions(), is_parent=True))


def test_a_control_directory_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        place(at(tmp_path), "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / CONTROL_NAME).stat().st_mode) == 0o700
    (tmp_path / CONTROL_NAME).chmod(0o755)
    place(at(tmp_path), "a")
    assert stat.S_IMODE((tmp_path / CONTROL_NAME).stat().st_mode) == 0o700


def test_a_dest_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, words in (("file", "is not a directory"), ("x" * 300, "File name too long")):
        with pytest.raises(StorageError, match=words):
            at(tmp_path / name).load_state()
        with pytest.raises(StorageError, match=words), locked(at(tmp_path / name)):
            pass


def test_a_control_directory_that_is_swapped_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(at(tmp_path), "a")
    looks = iter([True, False])
    monkeypatch.setattr(destination_module, "belongs_to_us", lambda _status: next(looks))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError, match="for the record of this pull"):
        at(tmp_path).load_state()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/above/x", "/above/x"), (b"/above/x", "/above/x"), ("x", "/dest"), (b"x", "/dest"), (7, "/dest")],
)
def test_what_the_system_refused_is_named(name: object, shown: str) -> None:
    error = at(Path("/dest")).refused(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name))
    assert error.message == f"Cannot write to {shown}: {os.strerror(errno.ENOSPC)}."


def test_the_entry_that_a_step_was_about_is_named() -> None:
    dest = at(Path("/dest"))
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), b"x", None, b"y")
    assert dest.refused(error, "dir/x").message.startswith("Cannot write to /dest/dir/x: ")
    assert dest.refused(error, "dir/\udce9").message.startswith("Cannot write to /dest/dir/\\xe9: ")
    assert dest.refused(OSError(errno.ENOSPC, "", "/above"), "dir/x").message.startswith("Cannot write to /above: ")


def test_a_record_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(at(tmp_path), "a")

    def fail(_control: int) -> State:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(destination_module, "load_state", fail)
    with pytest.raises(StorageError, match=f"{CONTROL_NAME}/state: {os.strerror(errno.EIO)}"):
        at(tmp_path).load_state()


def test_a_second_run_waits_and_gives_up(tmp_path: Path) -> None:
    with locked(at(tmp_path)), pytest.raises(StorageError, match="another process"), locked(at(tmp_path), wait=0.05):
        pass


def test_what_was_made_goes_when_nothing_was_placed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(at(tmp_path / "new/dest")) as work:
        assert stat.S_IMODE((tmp_path / "new/dest" / CONTROL_NAME).stat().st_mode) == 0o700
        assert not os.listdir(work.stage)
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_one_makes_a_directory_while_another_removes_it(tmp_path: Path) -> None:
    """Copies into one directory, each with a record of its own, of which one fails."""

    def fail(root: Path) -> None:
        with contextlib.suppress(RuntimeError), locked(Destination(str(root), Permissions(), ".a")):
            raise RuntimeError

    with ThreadPoolExecutor(2) as pool:
        for number in range(200):
            root = tmp_path / str(number) / "dest"
            failing = pool.submit(fail, root)
            place(Destination(str(root), Permissions(), ".b"), "file")
            failing.result()
            assert sorted(os.listdir(root)) == [".b", "file"]


def test_a_first_placement_that_fails_leaves_nothing(tmp_path: Path) -> None:
    destination = at(tmp_path / "dest")
    with pytest.raises(StorageError, match="No such file"), locked(destination) as work:
        (staging(destination) / "a").touch()
        put(destination, work, State(), {"a": EMPTY, "b": EMPTY})
    assert os.listdir(tmp_path) == []


def test_what_was_there_stays_when_nothing_was_placed(tmp_path: Path) -> None:
    control = tmp_path / CONTROL_NAME
    control.mkdir(mode=0o755)
    (control / "somebody's").touch()
    with pytest.raises(RuntimeError), locked(at(tmp_path)):
        raise RuntimeError
    assert os.listdir(control) == ["somebody's"]


def test_leftovers_of_a_killed_run_go_whatever_their_modes(tmp_path: Path) -> None:
    place(at(tmp_path), "a")
    folder = tmp_path / CONTROL_NAME / "stage/content/closed"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    folder.chmod(0)
    with locked(at(tmp_path)) as work:
        assert os.listdir(staging(at(tmp_path))) == os.listdir(work.stage) == []
    assert sorted(os.listdir(tmp_path / CONTROL_NAME)) == ["lock", "state"]


def test_leftovers_go_unless_a_run_is_at_work(tmp_path: Path) -> None:
    place(at(tmp_path), "a")
    control, stage = tmp_path / CONTROL_NAME, tmp_path / CONTROL_NAME / "stage"
    assert not at(tmp_path).has_leftovers()
    with locked(at(tmp_path)):
        assert at(tmp_path).has_leftovers()
        (stage / "content").touch()
        remove_abandoned_stage(at(tmp_path))
        assert os.listdir(stage) == ["content"]
    stage.mkdir()
    assert at(tmp_path).has_leftovers()
    remove_abandoned_stage(at(tmp_path))
    assert sorted(os.listdir(control)) == ["lock", "state"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_control_directory_that_is_none(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    dest = tmp_path / "dest"
    dest.mkdir()
    control = dest / CONTROL_NAME
    control.touch() if kind == "file" else control.symlink_to(outside if kind == "link" else tmp_path / "none")
    with pytest.raises(StorageError, match="is not a directory"), locked(at(dest)):
        pass
    assert os.listdir(outside) == [] and os.listdir(dest) == [CONTROL_NAME]


def test_dest_may_be_a_link_of_ours_even_to_a_directory_that_is_to_be_made(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place(at(tmp_path / "link"), "a")
    assert (tmp_path / "real/a").exists()
    (tmp_path / "dangling").symlink_to("none")
    assert at(tmp_path / "dangling").load_state() == State()
    place(at(tmp_path / "dangling"), "a")
    assert (tmp_path / "none/a").exists()


def test_an_entry_that_somebody_adds_meanwhile_is_not_lost(tmp_path: Path) -> None:
    """A directory that was to go empty is kept when it no longer is, and everything is taken back."""
    destination = at(tmp_path)
    with locked(destination) as work:
        (staging(destination) / "d").mkdir()
        (staging(destination) / "d/old").touch()
        put(destination, work, State(), {"d/old": EMPTY})
    state = destination.load_state()
    with pytest.raises(StorageError, match="not empty"), locked(destination) as work:
        with destination.opened() as held:
            plan = make_plan(held.root, destination.root, {}, state, destination.permissions)
        (tmp_path / "d/mine").touch()
        with contextlib.closing(DirectoryHandles.of(work.stage)) as content:
            work.apply(plan, content, state, {"revision": "2"}, {}, {})
    assert sorted(os.listdir(tmp_path / "d")) == ["mine", "old"]
    assert destination.load_state() == state


def test_two_kills_in_a_row_are_both_remembered(tmp_path: Path) -> None:
    (tmp_path / CONTROL_NAME).mkdir()
    with contextlib.closing(DirectoryHandles.of(str(tmp_path / CONTROL_NAME))) as control:
        save_state(control.get(""), State(pending={"first": EMPTY}))
    destination = at(tmp_path)
    child = os.fork()
    if not child:
        # whatever happens, the child must never go on with the tests
        try:
            with locked(destination) as work:
                (staging(destination) / "second").touch()
                # the first step after the plan is recorded
                os.rename = lambda *_arguments, **_options: os._exit(9)
                put(destination, work, destination.load_state(), {"second": EMPTY})
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert set(destination.load_state().pending) == {"first", "second"}


@pytest.mark.parametrize(
    "path", [".oci-artifact", "a/.oci-artifact/state", ".oci-artifact.12/x", ".x.oci-artifact/state"]
)
def test_reserved_names(path: str) -> None:
    assert is_reserved(path)


@pytest.mark.parametrize("path", ["oci-artifact", "a.oci-artifact", ".oci", "a/b", "..."])
def test_names_that_are_not_reserved(path: str) -> None:
    assert not is_reserved(path)
