# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that says how far a pull is: written safely, known when it was left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import progress_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.progress_file import (
    load_progress,
    remove_progress,
    write_progress,
)

SAID: dict[str, Any] = {"reference": "r/a:1", "bytes": 5}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_what_was_written_is_read(control: int, tmp_path: Path) -> None:
    assert load_progress(control) == {}
    write_progress(control, {"reference": "r/a:1", "bytes": 1})
    write_progress(control, SAID)
    found = load_progress(control)
    assert found.pop("updated") > 1e9 and found == SAID
    assert [path.name for path in tmp_path.iterdir()] == ["progress"]
    assert (tmp_path / "progress").stat().st_mode & 0o777 == 0o600
    remove_progress(control)
    remove_progress(control)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_place_is_not_followed(control: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    for name in ("progress", "progress.new"):
        (tmp_path / name).symlink_to(other)
    assert load_progress(control) == {}
    write_progress(control, SAID)
    assert other.read_text() == "precious" and not (tmp_path / "progress").is_symlink()


def test_a_file_system_that_refuses(control: int, tmp_path: Path) -> None:
    (tmp_path / "progress.new").mkdir()
    write_progress(control, SAID)
    assert load_progress(control) == {}


def _rewrite(folder: Path, **writer: Any) -> None:
    document = json.loads((folder / "progress").read_text())
    document["writer"].update(writer)
    (folder / "progress").write_text(json.dumps(document))


def test_what_a_killed_run_left(control: int, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_progress(control, SAID)
    _rewrite(tmp_path, pid=child.pid, started=progress_file._start_of(child.pid))
    assert load_progress(control)
    child.communicate(b"\n")
    assert load_progress(control) == {}


@pytest.mark.parametrize("writer", [{"boot": "another"}, {"started": "1"}, {"pid": "x"}, {"started": None}])
def test_another_process_of_that_number(control: int, tmp_path: Path, writer: dict[str, Any]) -> None:
    write_progress(control, SAID)
    _rewrite(tmp_path, **writer)
    assert load_progress(control) == {}


def test_without_proc_its_age_decides(control: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "_start_of", lambda pid: "")
    write_progress(control, SAID)
    assert load_progress(control)
    _rewrite(tmp_path, time=json.loads((tmp_path / "progress").read_text())["writer"]["time"] - 121)
    assert load_progress(control) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"writer": 1}', '{"writer": {"pid": 1}}', "[" * 100_000])
def test_what_is_garbled_counts_as_none(control: int, tmp_path: Path, text: str) -> None:
    (tmp_path / "progress").write_text(text)
    assert load_progress(control) == {}


def test_a_file_that_others_may_write_to_counts_as_none(control: int, tmp_path: Path) -> None:
    write_progress(control, SAID)
    (tmp_path / "progress").chmod(0o622)
    assert load_progress(control) == {}
