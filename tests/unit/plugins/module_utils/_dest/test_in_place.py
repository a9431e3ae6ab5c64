# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in ``dest`` that are mount points, as a container has them: which cannot be replaced, only written."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mounts import bind, in_mount_namespace

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import in_place
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullResult
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish

OLD, NEW = {"a": "one", "dir/b": "a longer old text", "z": "z"}, {"a": "eno", "dir/b": "new", "z": "y"}


class Mounted(Lab):
    """A destination with the old revision, in which the file dir/b is a mount of a file elsewhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        publish(self.layout, "old", OLD)
        publish(self.layout, "new", NEW)
        publish(self.layout, "without", {"a": "eno"})
        self.outside = folder / "outside"
        self.outside.write_text(OLD["dir/b"])
        self.outside.chmod(0o600)

    def mount(self) -> None:
        self.pull("old")
        bind(self.outside, self.dest / "dir/b")

    def unsafe(self, tag: str = "new", **options: Any) -> PullResult:
        return self.pull(tag, unsafe_writes=True, **options)

    def texts(self) -> dict[str, str]:
        return {name: (self.dest / name).read_text() for name in OLD}

    def refused(self, tag: str = "new", **options: Any) -> str:
        """Why a pull fails; it changes nothing."""
        before, inode = self.texts(), self.outside.stat().st_ino
        with pytest.raises(StorageError) as failure:
            self.pull(tag, **options)
        assert self.texts() == before and self.outside.stat().st_ino == inode
        assert not json.loads(self.record.read_text())["pending"]
        return str(failure.value)


@contextlib.contextmanager
def nothing_left_open() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@pytest.fixture
def lab(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


def test_a_mount_point_is_named_and_nothing_changes(lab: Mounted) -> None:
    def work() -> None:
        lab.mount()
        said = lab.refused()
        assert f"{lab.dest}/dir/b" in said and "unsafe_writes: true" in said

    in_mount_namespace(work)


@pytest.mark.parametrize("tag", ["new", "old"])
def test_it_is_written_in_place_when_the_task_permits_it(lab: Mounted, tag: str) -> None:
    def work() -> None:
        lab.mount()
        if tag == "old":
            lab.outside.write_text("altered by somebody")
        inode = lab.outside.stat().st_ino
        with nothing_left_open():
            result = lab.unsafe(tag)
        assert result.changed and "dir/b" in result.changes["changed"]
        assert lab.texts() == (NEW if tag == "new" else OLD)
        status = lab.outside.stat()
        assert lab.outside.read_text() == lab.texts()["dir/b"] and status.st_ino == inode
        assert stat.S_IMODE(status.st_mode) == 0o644
        assert not lab.unsafe(tag).changed and not lab.pull(tag, check_content=True).changed
        # what can be replaced is replaced, not written
        before = os.stat(lab.dest / "a").st_ino
        with open(lab.dest / "a", "w") as stream:
            stream.write("altered")
        assert lab.unsafe(tag).changed and os.stat(lab.dest / "a").st_ino != before

    in_mount_namespace(work)


def test_one_file_that_is_copied(lab: Mounted) -> None:
    def work() -> None:
        target = lab.dest / "app.conf"
        lab.pull("old", operation="copy", dest=str(target))
        lab.outside.write_bytes(target.read_bytes())
        bind(lab.outside, target)
        with pytest.raises(StorageError, match="app.conf") as failure:
            lab.pull("new", operation="copy", dest=str(target))
        assert "unsafe_writes: true" in str(failure.value)
        result = lab.unsafe("new", operation="copy", dest=str(target))
        assert result.changed and lab.outside.read_bytes() == target.read_bytes() != b""
        assert not lab.unsafe("new", operation="copy", dest=str(target)).changed

    lab.dest.mkdir()
    in_mount_namespace(work)


def test_it_gets_mode_and_owner(lab: Mounted) -> None:
    def work() -> None:
        lab.mount()
        assert lab.unsafe(permissions=Permissions("0640", 0, 12)).changed
        status = lab.outside.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, 12)
        assert not lab.unsafe(permissions=Permissions("0640", 0, 12)).changed

    in_mount_namespace(work)


def test_a_later_step_that_fails_takes_it_back(lab: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def failing(source: Any, target: Any, **places: Any) -> None:
        if source == target == b"z":
            raise OSError(28, "No space left on device")
        rename(source, target, **places)

    def work() -> None:
        lab.mount()
        monkeypatch.setattr(os, "rename", failing)
        with nothing_left_open():
            said = lab.refused(unsafe_writes=True, permissions=Permissions("", 0, 12))
        assert f"{lab.dest}/z" in said and "No space left" in said
        status = lab.outside.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o600, 0)

    in_mount_namespace(work)


def test_a_run_that_is_killed_is_put_right_by_the_next(lab: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        lab.mount()
        child = os.fork()
        if not child:
            monkeypatch.setattr(os, "ftruncate", lambda *_arguments: os._exit(9))
            # the copy that is kept for the way back is not what is interrupted
            monkeypatch.setattr(in_place, "copy_aside", lambda *_arguments: None)
            lab.unsafe()
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert lab.outside.read_text() == "newonger old text"
        assert lab.unsafe().changed and lab.texts() == NEW
        assert not (lab.dest / ".oci-artifact/stage").exists()

    in_mount_namespace(work)


def test_what_cannot_be_written_in_place_is_said(lab: Mounted) -> None:
    def work() -> None:
        lab.mount()
        for options in ({}, {"unsafe_writes": True}):
            said = lab.refused("without", **options)
            assert f"{lab.dest}/dir/b" in said and "unmount it" in said and "unsafe_writes" not in said

    in_mount_namespace(work)


def test_a_mounted_directory_is_named(lab: Mounted) -> None:
    def work() -> None:
        lab.pull("old")
        volume = lab.layout.parent / "volume"
        volume.mkdir()
        (volume / "b").write_text(OLD["dir/b"])
        bind(volume, lab.dest / "dir")
        said = lab.refused(force=True)
        assert f"{lab.dest}/dir/b" in said and "Its directory is a mount point" in said

    in_mount_namespace(work)


def test_only_a_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        os.close(in_place.open_for_update(b"file", parent))
        for name in (b"link", b"fifo"):
            with nothing_left_open(), pytest.raises(OSError):
                in_place.open_for_update(name, parent)
    finally:
        os.close(parent)
