# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files that are replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.replaced_file import replace_file


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_a_file_is_made_and_replaced(folder: int, tmp_path: Path) -> None:
    replace_file(folder, "status", b"one")
    replace_file(folder, "status", b"two")
    assert os.listdir(tmp_path) == ["status"] and (tmp_path / "status").read_bytes() == b"two"
    assert (tmp_path / "status").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_is_in_nobodys_way(folder: int, tmp_path: Path) -> None:
    (tmp_path / "status.new").write_text("half")
    replace_file(folder, "status", b"one")
    assert os.listdir(tmp_path) == ["status"] and (tmp_path / "status").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["status", "status.new"])
def test_no_link_is_followed(folder: int, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / name).symlink_to("elsewhere")
    replace_file(folder, "status", b"one")
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert not (tmp_path / "status").is_symlink() and (tmp_path / "status").read_bytes() == b"one"


def test_the_old_file_is_kept_when_writing_fails(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError("no space")

    replace_file(folder, "status", b"one", mode=0o644)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="no space"):
        replace_file(folder, "status", b"two", unfinished=".mine")
    assert os.listdir(tmp_path) == ["status"] and (tmp_path / "status").read_bytes() == b"one"
