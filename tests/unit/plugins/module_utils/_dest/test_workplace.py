# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is recorded of a placement, and what is raised when one cannot be carried out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import workplace as workplace_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import Plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import State
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.workplace import locked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import FILE, TreeEntry

EMPTY = TreeEntry(FILE, 0o644, 0, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


class Place:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.destination = Destination(str(root), Permissions())
        self.stage = Path(self.destination.control, "stage")
        self.record = Path(self.destination.control, "state")

    def apply(self, plan: Plan, **recorded: Any) -> Exception | None:
        """Place empty files; what that raises while the destination is locked."""
        with locked(self.destination) as work, contextlib.closing(DirectoryHandles.of(work.stage)) as content:
            for path in plan.added:
                (self.stage / path).touch()
            try:
                work.apply(plan, content, self.destination.load_state(), {"revision": "1"}, {"tag": "1"}, **recorded)
            except Exception as exc:
                return exc
        return None


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "dest")


def adding(*names: str) -> Plan:
    return Plan(dict.fromkeys(names, EMPTY), added=list(names))


def test_what_is_recorded(place: Place) -> None:
    assert place.apply(adding("a")) is None
    state = place.destination.load_state()
    assert (state.key, state.artifact, list(state.files)) == ({"revision": "1"}, {"tag": "1"}, ["a"])
    assert (state.pending, state.verification, state.request) == ({}, {}, "")
    assert place.apply(adding("b"), verification={"policy": "p"}, request="asked") is None
    state = place.destination.load_state()
    assert (state.verification, state.request) == ({"policy": "p"}, "asked")


def test_a_verification_is_recorded_of_what_is_there(place: Place) -> None:
    place.apply(adding("a"))
    state = place.destination.load_state()
    with locked(place.destination) as work:
        work.record_verification(state, {"policy": "p"})
        assert place.destination.load_state() == state._replace(verification={"policy": "p"})
        # a directory where the new record is to be written
        place.record.with_name("state.new").mkdir()
        with pytest.raises(StorageError):
            work.record_verification(state, {"policy": "other"})


def test_a_step_that_fails_leaves_everything_as_it_was(place: Place) -> None:
    place.apply(adding("a"))
    before = place.record.read_bytes()
    # the first step, and one in the middle
    assert isinstance(place.apply(adding("b", ".backup")), StorageError)
    (place.root / "c").mkdir()
    assert isinstance(place.apply(adding("b", "c")), StorageError)
    assert place.record.read_bytes() == before
    assert sorted(os.listdir(place.root)) == [".oci-artifact", "a", "c"]


def test_whatever_else_stops_it_comes_through(place: Place) -> None:
    assert isinstance(place.apply(Plan({}, metadata=["not in the tree"])), KeyError)
    assert not place.record.exists() and place.destination.load_state() == State()


def test_what_the_system_refuses_while_it_is_locked_is_an_error_about_dest(place: Place) -> None:
    for raised, seen in ((OSError(28, "No space left on device"), StorageError), (KeyError("x"), KeyError)):
        with pytest.raises(seen), locked(place.destination):
            raise raised


def test_a_directory_that_goes_again_and_again_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_arguments: object, **_options: object) -> int:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(workplace_module, "open_trusted", gone)
    with pytest.raises(StorageError, match="No such file"), locked(place.destination):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(Destination, "open_control", lambda _destination, _root: -1)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError, match="No such file"), locked(place.destination):
        pass
    assert len(os.listdir("/proc/self/fd")) <= before
    monkeypatch.undo()
    # once is not again and again
    open_control, missed = Destination.open_control, []

    def missed_once(destination: Destination, root: int) -> int:
        missed.append(root)
        return -1 if len(missed) == 1 else open_control(destination, root)

    monkeypatch.setattr(Destination, "open_control", missed_once)
    assert place.apply(adding("a")) is None
    monkeypatch.undo()
    place.record.unlink()
    place.record.parent.chmod(0o770)
    with pytest.raises(StorageError, match="may be written to by others"), locked(place.destination):
        pass
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("name", ["open_trusted", "locked_at"])
def test_a_directory_that_goes_once_is_made_anew(place: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whether it goes before it is opened, or before it is locked: nothing is done without the lock."""
    function, calls = getattr(workplace_module, name), []

    def gone_once(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise FileNotFoundError(2, "No such file or directory")
        return function(*arguments, **options)

    monkeypatch.setattr(workplace_module, name, gone_once)
    assert place.apply(adding("a")) is None and len(calls) == 2


def test_while_it_is_locked_it_is_the_same_directory_whatever_its_name_stands_for(place: Place) -> None:
    place.apply(adding("a"))
    state = place.destination.load_state()
    with locked(place.destination):
        place.root.rename(place.root.with_name("renamed"))
        place.root.mkdir()
        assert place.destination.load_state() == state
        with place.destination.opened() as held:
            assert b"a" in held.root.names("")
    assert place.destination.load_state() == State(), "and it is looked at anew afterwards"


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_control_directory_that_is_replaced_before_it_is_locked_is_not_used(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_made_anew: bool
) -> None:
    """As another run does, which fails and removes what it had made, while this one waits."""
    place.apply(adding("a"))
    locked_at, aside, calls = workplace_module.locked_at, place.root / "aside", []

    @contextlib.contextmanager
    def late(*arguments: Any) -> Iterator[None]:
        calls.append(arguments)
        if len(calls) == 1:
            place.record.parent.rename(aside)
            if is_made_anew:
                place.record.parent.mkdir(mode=0o700)
        with locked_at(*arguments):
            yield

    monkeypatch.setattr(workplace_module, "locked_at", late)
    before = (aside.with_name(".oci-artifact") / "state").read_bytes()
    assert place.apply(adding("b")) is None and len(calls) == 2
    assert (aside / "state").read_bytes() == before
    assert list(place.destination.load_state().files) == ["b"]


def test_a_stage_that_cannot_be_made_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    remove, calls, before = workplace_module.remove_tree_at, [], len(os.listdir("/proc/self/fd"))

    def fail_once(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        remove(*arguments)

    monkeypatch.setattr(workplace_module, "remove_tree_at", fail_once)
    with pytest.raises(StorageError, match="Input/output error"), locked(place.destination):
        pass
    assert len(os.listdir("/proc/self/fd")) <= before and not place.root.exists()
