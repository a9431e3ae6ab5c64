# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that others have filled are removed to any depth, and nothing else is."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mounts import bind, in_mount_namespace

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.deep_tree import remove_deep_tree_at

DEPTH = 3000


@contextmanager
def opened(path: Path) -> Iterator[int]:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)


def nest(top: Path, depth: int) -> None:
    """Make directories in each other, deeper than any path could name."""
    directory = os.open(top, os.O_RDONLY)
    for _level in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        os.mkdir("in", dir_fd=directory)
        below = os.open("in", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)


def test_whatever_is_in_it_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    other, top = tmp_path / "other", tmp_path / "top"
    for path in (other, top / "a/b", top / "locked/in"):
        path.mkdir(parents=True)
    (other / "kept").write_text("kept")
    nest(top / "a/b", DEPTH)
    for name in ("link", "a/link", "a/b/link"):
        (top / name).symlink_to(other)
    os.mkfifo(top / "a/pipe")
    os.link(other / "kept", top / "a/hard")
    (top / "locked").chmod(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with opened(tmp_path) as parent:
            assert remove_deep_tree_at(b"top", parent) and remove_deep_tree_at(b"top", parent)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir(tmp_path) == ["other"] and (other / "kept").read_text() == "kept"


def test_what_is_mounted_in_it_is_left_alone(tmp_path: Path) -> None:
    def work() -> None:
        data = tmp_path / "data"
        for place in ("top/at", "top/deep/at", "mounted", "data/sub"):
            (tmp_path / place).mkdir(parents=True)
        (tmp_path / "top/deep/gone").write_text("")
        (data / "kept").write_text("kept")
        for place in ("top/at", "top/deep/at", "mounted"):
            bind(data, tmp_path / place)
        with opened(tmp_path) as parent:
            assert not remove_deep_tree_at(b"top", parent) and not remove_deep_tree_at(b"mounted", parent)
        assert sorted(os.listdir(data)) == ["kept", "sub"] and os.listdir(tmp_path / "top/deep") == ["at"]

    in_mount_namespace(work)
