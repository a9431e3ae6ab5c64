# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls and rollbacks with releases that are killed before each of their changes: ``current`` leads to a whole release
at any moment, nothing foreign is touched, and the next run leaves nothing behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import parse_health
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.rollback import test_killed
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.rollback.test_killed import (
    killed_at,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.rollback.test_releases import (
    FILES,
    Root,
)

pytestmark = pytest.mark.once

CHANGES = ("mkdir", "rename", "replace", "unlink", "rmdir", "symlink")
FOREIGN = {"releases/20141119223359/f": "foreign", "releases/000001-x-00000000/f": "foreign", "shared/log": "log"}


class Host(Root):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, text in FOREIGN.items():
            (self.dest / name).parent.mkdir(parents=True, exist_ok=True)
            (self.dest / name).write_text(text)

    def is_whole(self) -> str:
        """Return the tag that ``current`` leads to: all of it, with no mark of what is unfinished; empty for none."""
        for name, text in FOREIGN.items():
            assert (self.dest / name).read_text() == text
        top = self.dest / "current"
        if not top.is_symlink():
            return ""
        tag = os.readlink(top).split("-")[1]
        found = {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}
        assert found == FILES[tag]
        return tag

    def is_clean(self, tag: str) -> None:
        """The record and ``current`` say the same, and there is nothing but what the record keeps."""
        assert self.is_whole() == tag
        control = self.dest / ".oci-artifact"
        record = json.loads((control / "state").read_text())
        kept = {each["release"] for each in record["standing"]["history"]}
        foreign = {name.split("/")[1] for name in FOREIGN if name.startswith("releases")}
        assert {*self.releases} == {*kept, *foreign} and len(kept) <= 2
        assert record["artifact"]["tag"] == tag and record["pending"] == {}
        assert {*os.listdir(control)} <= {"lock", "state", "state.new", "releases"}
        aside = control / "releases"
        assert {*(os.listdir(aside) if aside.exists() else ())} <= kept


def test_a_kill_before_any_change_leaves_a_whole_release_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_killed, "CALLS", CHANGES)
    host = Host(tmp_path)
    healthy = parse_health({"command": "test -f %s/a", "timeout": "60s", "remediation": "rollback"})

    def pull(tag: str, **options: Any) -> Callable[[], Any]:
        return lambda: host.pull(tag, **options)

    def back(tag: str) -> Callable[[], Any]:
        return lambda: host.back(to=f"{tag}@{host.digest(tag)}", hold=False)

    # the first of all, further ones, the last of which lets a former one go, and one back
    runs = [("", "1", pull("1")), ("1", "2", pull("2")), ("2", "3", pull("3", health=healthy)), ("3", "2", back("2"))]
    kills = 0
    for before, after, work in runs:
        number = 0
        while True:
            number += 1
            calls = killed_at(number, work)
            if calls:
                assert calls < number, "the number of changes is not that of the run before"
                break
            kills += 1
            assert host.is_whole() in (before, after)
            if number % 3 == 0 and before:
                # the next run of another kind, which wants what was there before
                host.pull(before)
                host.is_clean(before)
            elif number % 3 == 1 and before:
                work()
                host.is_clean(after)
                host.pull(before)
            # otherwise the next one is killed, too
        host.is_clean(after)
    assert kills > 60


def test_going_back_after_a_killed_pull_is_to_what_was_there_before(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.pull("1")
    host.pull("2")
    killing = parse_health({"command": "sh -c 'kill -9 $PPID'", "timeout": "60s", "remediation": "rollback"})
    assert not killed_at(0, lambda: host.pull("3", health=killing))
    assert host.is_whole() == "3"
    foreseen = host.back(check_mode=True)
    result = host.back()
    assert foreseen["artifact"]["tag"] == result["artifact"]["tag"] == "2"
    assert foreseen["changes"]["changed"] == result["changes"]["changed"] == ["current"]
    assert (result["reason"], result["held"]) == ("RolledBack", [])
    host.is_clean("2")
    # then it is on record again, and the one before it is the first
    assert host.back()["artifact"]["tag"] == "1"
