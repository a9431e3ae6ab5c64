# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Revisions placed one after another among foreign and altered files, with every failure and every kill on the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import apply as placing_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import destination as destination_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import state as state_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import workplace as workplace_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.plan import make_plan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.workplace import locked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import descriptors as descriptors_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import CONTROL_NAME
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    TreeEntry,
)

pytestmark = pytest.mark.once

# A tree as tests write it: a directory is a dict, a file its content, a link its target after an arrow.
Node = Union[str, dict[str, Any]]
# What is on disk: path -> kind, content or target, mode, time (of files).
Snapshot = dict[str, tuple[str, str, int, int]]
Action = tuple[str, str]

NAMES = ("a", "b", "é", "bad\udcff")
CONTENTS = ("", "one", "two", "a longer text", "-> a", "-> b/a")
PATHS = st.lists(st.sampled_from((*NAMES, "x")), min_size=1, max_size=3).map("/".join)
NAME = st.sampled_from(NAMES)
NODES = st.recursive(st.sampled_from(CONTENTS), lambda inner: st.dictionaries(NAME, inner, max_size=3), max_leaves=4)
TREES = st.dictionaries(NAME, NODES, max_size=4)
# What somebody else does in dest. On a path of the artifact it is an alteration, on another one it makes it foreign.
ACTIONS = st.lists(st.tuples(st.sampled_from(("write", "mkdir", "remove", "link", "chmod")), PATHS), max_size=4)
# between these two every kind of entry takes the place of every other, and some come and go
EACH_KIND: dict[str, Node] = {"a": {"a": "one", "b": {}}, "b": "one", "é": "-> a", "c": "-> b", "d": "", "e": {}}
EACH_OTHER_KIND: dict[str, Node] = {"a": "two", "b": {"a": "two"}, "é": {"b": ""}, "c": "three", "e": "-> b"}
RUNS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
FEW_RUNS = settings(RUNS, max_examples=12)


def flat(node: Mapping[str, Node], above: str = "") -> dict[str, TreeEntry]:
    tree = {}
    for name, item in node.items():
        path = above + name
        if isinstance(item, dict):
            tree[path] = TreeEntry(DIRECTORY, 0o750)
            tree.update(flat(item, path + "/"))
        elif item.startswith("-> "):
            tree[path] = TreeEntry(SYMLINK, 0o777, target=item[3:])
        else:
            data = item.encode()
            tree[path] = TreeEntry(FILE, 0o640, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    return tree


def write(node: Mapping[str, Node], folder: str) -> None:
    for name, item in node.items():
        path = os.path.join(folder, name)
        if isinstance(item, dict):
            os.mkdir(path)
            write(item, path)
        elif item.startswith("-> "):
            os.symlink(item[3:], path)
        else:
            with open(path, "w") as stream:
                stream.write(item)


def snapshot(root: str) -> Snapshot:
    found: Snapshot = {}
    for folder, directories, files in os.walk(root):
        if folder == root and CONTROL_NAME in directories:
            directories.remove(CONTROL_NAME)
        for name in directories + files:
            full = os.path.join(folder, name)
            status = os.lstat(full)
            mode = stat.S_IMODE(status.st_mode)
            path = os.path.relpath(full, root)
            if stat.S_ISLNK(status.st_mode):
                found[path] = (SYMLINK, os.readlink(full), 0o777, 0)
            elif stat.S_ISDIR(status.st_mode):
                found[path] = (DIRECTORY, "", mode, 0)
            else:
                found[path] = (FILE, Path(full).read_text(), mode, status.st_mtime_ns)
    return found


def control(root: str) -> dict[str, bytes]:
    """What is in the control directory, the lock apart."""
    folder = os.path.join(root, CONTROL_NAME)
    if not os.path.isdir(folder):
        return {}
    return {name: Path(folder, name).read_bytes() for name in os.listdir(folder) if name != "lock"}


def pull(root: str, node: Mapping[str, Node], *, force: bool = False) -> None:
    destination = Destination(root, Permissions())
    with locked(destination) as work:
        content = os.path.join(destination.control, "stage/content")
        os.mkdir(content)
        write(node, content)
        state = destination.load_state()
        staged = DirectoryHandles(os.open("content", os.O_RDONLY, dir_fd=work.stage))
        with contextlib.closing(staged), destination.opened() as held:
            plan = make_plan(
                held.root, root, flat(node), state, destination.permissions, force=force, trust_times=False
            )
            work.apply(plan, staged, state, {"revision": str(node)}, {}, {})


def owned(root: str) -> dict[str, set[str]]:
    """Paths that the record calls ours, with the kinds that we may have put there."""
    state = Destination(root, Permissions()).load_state()
    kinds = {path: {entry.kind} for path, entry in state.pending.items()}
    for path, placed in state.files.items():
        kinds.setdefault(path, set()).add(placed.entry.kind)
    return kinds


def act(root: str, outside: str, actions: list[Action]) -> None:
    for what, path in actions:
        full = os.path.join(root, path)
        parent = os.path.dirname(full)
        if os.path.realpath(parent) != parent:
            continue
        with contextlib.suppress(OSError):
            if what == "mkdir":
                os.makedirs(full)
            elif what == "write":
                os.makedirs(parent, exist_ok=True)
                if os.path.islink(full):
                    os.unlink(full)
                with open(full, "w") as stream:
                    stream.write("foreign " + path.replace("\udcff", "?"))
            elif what == "link":
                os.makedirs(parent, exist_ok=True)
                if os.path.lexists(full):
                    remove(full)
                os.symlink(outside, full)
            elif what == "remove":
                remove(full)
            elif what == "chmod" and not os.path.islink(full):
                os.chmod(full, 0o711)


def remove(full: str) -> None:
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)
    else:
        os.unlink(full)


def above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def in_the_way(
    before: Snapshot, ours: Mapping[str, set[str]], tree: Mapping[str, TreeEntry], contents: Snapshot
) -> bool:
    for path, (kind, content, _mode, _time) in before.items():
        if path in ours or any(before[parent][0] == SYMLINK for parent in above(path)):
            continue
        if any(parent in tree and tree[parent].kind != DIRECTORY for parent in above(path)):
            return True
        if path in tree and (kind != tree[path].kind or content != contents[path][1]):
            return True
    return False


def expected(before: Snapshot, ours: Mapping[str, set[str]], wanted: Snapshot) -> Snapshot:
    """The new tree and everything that is not ours, with the directories that hold it."""
    after: Snapshot = {}
    for path, found in before.items():
        # of what stands under a name of ours only what is of our kind counts as ours: the rest was put in its place
        removable = any((found[0] == DIRECTORY) == (kind == DIRECTORY) for kind in ours.get(path, ()))
        if not removable and path not in wanted:
            after[path] = found
            after.update((parent, before[parent]) for parent in above(path) if parent not in wanted)
    for path, entry in wanted.items():
        # a directory that was there before any pull keeps its mode
        foreign_directory = entry[0] == DIRECTORY and path in before and path not in ours
        after[path] = before[path] if foreign_directory else entry
    return after


def wanted_snapshot(node: Mapping[str, Node], where: str) -> Snapshot:
    folder = os.path.join(where, "wanted")
    os.mkdir(folder)
    write(node, folder)
    modes = {path: entry.mode for path, entry in flat(node).items()}
    found = snapshot(folder)
    shutil.rmtree(folder)
    return {path: (kind, content, modes[path], 0) for path, (kind, content, _mode, _time) in found.items()}


def timeless(found: Snapshot, wanted: Snapshot) -> Snapshot:
    """Without the times of what the artifact brings; those of all else have to be what they were."""
    return {path: (*entry[:3], 0) if path in wanted else entry for path, entry in found.items()}


class Place:
    """A dest, and a directory outside that links in it lead to."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.root = os.path.join(folder, "dest")
        self.outside = os.path.join(folder, "outside")
        write({"outside": {"a": "not yours", "b": {"a": "nor this"}}}, folder)
        os.mkdir(self.root)

    def check(self, before: Snapshot, ours: Mapping[str, set[str]], node: Mapping[str, Node]) -> None:
        wanted = wanted_snapshot(node, self.folder)
        assert timeless(snapshot(self.root), wanted) == timeless(expected(before, ours, wanted), wanted)
        self.check_outside()
        assert list(control(self.root)) == ["state"]

    def check_outside(self) -> None:
        found = snapshot(self.outside)
        assert {path: entry[1] for path, entry in found.items()} == {"a": "not yours", "b": "", "b/a": "nor this"}
        assert sorted(os.listdir(self.folder)) == ["dest", "outside"]


@pytest.fixture(autouse=True)
def fixed_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@contextlib.contextmanager
def new_place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="placement-") as folder:
        yield Place(os.path.realpath(folder))


@RUNS
@given(st.lists(st.tuples(ACTIONS, TREES), min_size=1, max_size=5))
@example([([], {"a": {"b": "one"}}), ([("mkdir", "a/x")], {"a": "two"})])
@example([([], {"a": {"b": "one"}}), ([("link", "a/x")], {"a": "two"})])
@example([([], {"a": "one"}), ([("remove", "a"), ("mkdir", "a")], {})])
@example([([], EACH_KIND), ([], EACH_OTHER_KIND), ([], EACH_KIND), ([], {})])
def test_dest_is_the_new_tree_and_what_is_foreign(revisions: list[tuple[list[Action], dict[str, Node]]]) -> None:
    with new_place() as place:
        for actions, node in revisions:
            act(place.root, place.outside, actions)
            before, ours, records = snapshot(place.root), owned(place.root), control(place.root)
            wanted = wanted_snapshot(node, place.folder)
            try:
                pull(place.root, node)
            except StorageError as exc:
                event("in the way")
                assert "no earlier pull" in exc.message
                assert in_the_way(before, ours, flat(node), wanted)
                assert (snapshot(place.root), control(place.root)) == (before, records)
                place.check_outside()
                continue
            assert not in_the_way(before, ours, flat(node), wanted)
            place.check(before, ours, node)
            destination = Destination(place.root, Permissions())
            state = destination.load_state()
            assert destination.find_drift(state, check_content=True).is_empty
            assert destination.find_drift(state, check_content=False).is_empty


MUTATING = frozenset("mkdir rename replace link symlink unlink rmdir chmod chown fchmod fchown open".split())


class CountingOs:
    """The module os, with something done before the n-th call that changes the file system."""

    def __init__(self, number: int, strike: Any) -> None:
        self.left = number
        self._strike = strike

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        return self._counted(value) if name in MUTATING else value

    def _counted(self, call: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self._strike()
            return call(*arguments, **options)

        return counted


@contextlib.contextmanager
def struck(number: int, strike: Any) -> Iterator[CountingOs]:
    fake = CountingOs(number, strike)
    modules: list[Any] = [destination_module, descriptors_module, placing_module, state_module, workplace_module]
    for module in modules:
        module.os = fake
    try:
        yield fake
    finally:
        for module in modules:
            module.os = os


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def prepared(place: Place, first: dict[str, Node], actions: list[Action], second: dict[str, Node]) -> None:
    """Bring dest to the state before the second pull; give the example up where that would be refused."""
    pull(place.root, first)
    act(place.root, place.outside, actions)
    tree = flat(second)
    assume(not in_the_way(snapshot(place.root), owned(place.root), tree, wanted_snapshot(second, place.folder)))


def reset(place: Place, template: str) -> None:
    shutil.rmtree(place.root)
    shutil.copytree(template, place.root, symlinks=True)


@FEW_RUNS
@given(TREES, ACTIONS, TREES)
@example(EACH_KIND, [("write", "x"), ("chmod", "a")], EACH_OTHER_KIND)
@example(EACH_OTHER_KIND, [("link", "b"), ("write", "b/x")], EACH_KIND)
@example(EACH_KIND, [("chmod", "a"), ("chmod", "b")], EACH_KIND)
def test_a_failure_of_any_step_leaves_dest_as_it_was(
    first: dict[str, Node], actions: list[Action], second: dict[str, Node]
) -> None:
    with new_place() as place, tempfile.TemporaryDirectory() as spare:
        prepared(place, first, actions, second)
        template = os.path.join(spare, "template")
        shutil.copytree(place.root, template, symlinks=True)
        before, records = snapshot(place.root), control(place.root)
        number = 0
        while True:
            number += 1
            with struck(number, disk_full) as calls:
                try:
                    pull(place.root, second)
                except StorageError as exc:
                    assert os.strerror(errno.ENOSPC) in exc.message
                    assert (snapshot(place.root), control(place.root)) == (before, records), number
                    continue
            # the fault hit a step that has another way (no hard link), or came after the last one
            reset(place, template)
            if calls.left > 0:
                break
        place.check_outside()


@pytest.mark.once
@FEW_RUNS
@given(TREES, ACTIONS, TREES, TREES)
@example(EACH_KIND, [("write", "x")], EACH_OTHER_KIND, {})
@example(EACH_OTHER_KIND, [("link", "b")], EACH_KIND, {"a": "two"})
@example({"a": {"a": {"a": "", "b": ""}}}, [], {"a": "-> a"}, {})
def test_a_kill_at_any_step_is_healed_by_the_next_run(
    first: dict[str, Node], actions: list[Action], second: dict[str, Node], third: dict[str, Node]
) -> None:
    with new_place() as place, tempfile.TemporaryDirectory() as spare:
        prepared(place, first, actions, second)
        template = os.path.join(spare, "template")
        shutil.copytree(place.root, template, symlinks=True)
        before, ours = snapshot(place.root), owned(place.root)
        wanted = wanted_snapshot(second, place.folder)
        foreign = {path: entry for path, entry in before.items() if path not in ours and path not in wanted}
        for number in range(1, 1000):
            child = os.fork()
            if not child:
                # whatever happens, the child must never go on with the tests
                try:
                    with struck(number, lambda: os._exit(9)):
                        pull(place.root, second)
                    os._exit(0)
                finally:
                    os._exit(1)
            done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert done in (0, 9)
            halfway, known = snapshot(place.root), owned(place.root)
            assert foreign.items() <= halfway.items()
            if number % 2:
                pull(place.root, second)
                place.check(before, ours, second)
            else:
                try:
                    pull(place.root, third)
                except StorageError:
                    assert in_the_way(halfway, known, flat(third), wanted_snapshot(third, place.folder))
                    assert snapshot(place.root) == halfway
                else:
                    place.check(halfway, known, third)
            reset(place, template)
            if done == 0:
                return
        raise AssertionError("the pull never ended")
