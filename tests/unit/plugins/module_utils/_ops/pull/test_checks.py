# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that judge a revision before and after it is placed, and what becomes of it when they fail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from two_users import NOBODY, give, public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.checks import (
    HealthCheckFailed,
    ValidationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import (
    Health,
    host_options,
    parse_health,
    parse_validate,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def health(command: str, remediation: str = "rollback") -> Health:
    return parse_health({"command": command, "timeout": "20s", "remediation": remediation})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": -1}, "wanted 0 to 100"),
        ({"keep": 101}, "wanted 0 to 100"),
        ({"validate": "true"}, "has to say with %s"),
        ({"validate": "grep '%s"}, "No closing quotation"),
        ({"health": {"command": " ", "timeout": "1s", "remediation": "none"}}, "'health.command' is empty"),
        ({"health": {"command": "true", "timeout": "soon", "remediation": "none"}}, "soon"),
        ({"requested_at": "x" * 201}, "has 201 characters"),
        ({"interval": "often"}, "often"),
        ({"interval": "0"}, "not a duration"),
    ],
    ids=["negative", "too many", "no path", "quote", "empty", "time", "token", "interval", "no interval"],
)
def test_options_that_cannot_be_used(options: dict[str, Any], words: str) -> None:
    params = {
        "keep": None,
        "layout": "in_place",
        "validate": None,
        "health": None,
        "requested_at": None,
        "interval": None,
        **options,
    }
    with pytest.raises(InvalidOption, match=words):
        host_options(params)


def test_new_content_is_looked_at_before_it_is_placed(lab: Lab) -> None:
    lab.dest.mkdir()
    (lab.dest / "foreign").write_text("foreign")
    lab.pull("1", keep=2, validate=parse_validate("test ! -e %s/foreign -a -e %s/dir/b"))
    before = lab.content()
    with pytest.raises(ValidationFailed) as raised:
        lab.pull("2", keep=2, validate=parse_validate("grep -l no-such-word %s/dir/b"), want_diff=True)
    message = str(raised.value)
    assert "the command 'grep' of 'validate' ended with status 1" in message
    assert f"--- {lab.dest}/dir/b\n+++ {lab.dest}/dir/b\n@@ -1 +1 @@\n-two\n" in message
    assert raised.value.details["changes"]["changed"] == ["dir/b"]
    assert [each["after"] for each in raised.value.details["diff"]] == ["owt"]
    assert {name: text for name, text in lab.content().items() if "state" not in name} == {
        name: text for name, text in before.items() if "state" not in name
    }
    # counted against what is in place; not held back
    result = lab.pull("1", keep=2)
    assert result.as_result()["history"][0]["failures"] == 1 and result.reason == "ArtifactUpToDate"
    assert lab.pull("2", keep=2, validate=parse_validate("test %s")).reason == "NewRevision"


def test_a_command_that_alters_what_it_looks_at_is_refused(lab: Lab) -> None:
    lab.pull("1")
    with pytest.raises(ValidationFailed, match="altered the staged content"):
        lab.pull("2", validate=parse_validate("sh -c 'echo more >> $0/a' %s"))
    with pytest.raises(ValidationFailed, match="altered the staged content"):
        lab.pull("2", validate=parse_validate("touch %s/dir/more"))
    # of the same size, and with its time set back
    with pytest.raises(ValidationFailed, match="altered the staged content"):
        lab.pull(
            "2",
            validate=parse_validate(
                f"sh -c 'touch -r $0/a $1; printf eno > $0/a; touch -r $1 $0/a' %s {lab.dest.parent}/time"
            ),
        )
    assert (lab.dest / "a").read_text() == "one" and not (lab.dest / "dir/more").exists()


def test_a_copy_is_looked_at_as_a_file(lab: Lab) -> None:
    dest = str(lab.dest)
    lab.pull("1", dest=dest, operation="copy", validate=parse_validate("test -f %s -a -s %s"))
    with pytest.raises(ValidationFailed):
        lab.pull("2", dest=dest, operation="copy", validate=parse_validate("test -d %s"))


def test_nothing_is_run_where_nothing_is_placed(lab: Lab, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    commands: dict[str, Any] = {
        "validate": parse_validate(f"touch {mark} %s"),
        "health": health(f"touch {mark}"),
    }
    lab.pull("1")
    assert lab.pull("1", **commands).reason == "ArtifactUpToDate"
    assert lab.pull("2", **commands, check_mode=True, want_diff=True).changed
    assert not mark.exists()
    lab.pull("2", **commands)
    assert mark.exists()


def test_where_others_may_write_the_command_gets_an_open_directory() -> None:
    with public_place() as path:
        lab = Lab(path)
        lab.dest.mkdir()
        give(lab.dest, NOBODY)
        seen = path / "seen"
        lab.pull("1", validate=parse_validate(f"sh -c 'echo $0 > {seen}; test -s $0/dir/b' %s"))
        assert seen.read_text().startswith("/proc/self/fd/")
    assert os.path.sep in str(seen)


def test_a_revision_that_does_not_work_is_taken_back_and_held(lab: Lab, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    check = health(f"sh -c 'cat $0/dir/b >> {runs}; grep -q two $0/dir/b' %s")
    (lab.dest).mkdir()
    (lab.dest / "foreign").write_text("foreign")
    assert lab.pull("1", health=check).reason == "NewRevision"
    with pytest.raises(HealthCheckFailed) as raised:
        lab.pull("2", health=check)
    assert "ended with status 1" in str(raised.value) and "The command succeeds there." in str(raised.value)
    assert raised.value.details["rolled_back"] is True
    assert runs.read_text() == "twoowttwo"
    assert (lab.dest / "dir/b").read_text() == "two" and (lab.dest / "foreign").exists()
    (held,) = raised.value.details["held"]
    assert held["digest"] == lab.digest("2") and "ended with status 1" in held["reason"]
    result = lab.pull("2", health=check)
    assert (result.changed, result.reason) == (False, "HeldBack")
    assert lab.pull("1", health=check).reason == "ArtifactUpToDate"


def test_the_first_revision_that_does_not_work_is_removed(lab: Lab) -> None:
    with pytest.raises(HealthCheckFailed, match="had nothing before: what was placed is removed"):
        lab.pull("1", health=health("false"))
    assert os.listdir(lab.dest) == [".oci-artifact"]
    result = lab.pull("1", health=health("false"))
    assert (result.reason, result.artifact) == ("HeldBack", {}) and "Nothing is placed" in result.warnings[0]
    assert lab.pull("2").reason == "NewRevision"


def test_a_revision_may_stay_although_it_does_not_work(lab: Lab) -> None:
    lab.pull("1", keep=2)
    with pytest.raises(HealthCheckFailed, match="It stays in place") as raised:
        lab.pull("2", keep=2, health=health("false", "none"))
    assert raised.value.details["changed"] is True and raised.value.details["held"] == []
    assert (lab.dest / "dir/b").read_text() == "owt"
    # the next run asks again, until it works
    with pytest.raises(HealthCheckFailed):
        lab.pull("2", keep=2, health=health("false", "none"))
    assert lab.pull("2", keep=2, health=health("true", "none")).reason == "ArtifactUpToDate"
    assert not json.loads(lab.record.read_text())["pending"]
    assert lab.pull("2", keep=2, health=health("false", "none")).reason == "ArtifactUpToDate"


def test_a_command_that_hangs_has_failed(lab: Lab) -> None:
    lab.pull("1")
    check = parse_health({"command": "sleep 600", "timeout": "200ms", "remediation": "rollback"})
    with pytest.raises(HealthCheckFailed, match="did not end within 0.2 s"):
        lab.pull("2", health=check)
    assert (lab.dest / "dir/b").read_text() == "two"


def test_what_was_in_place_already_is_not_held_back(lab: Lab) -> None:
    lab.pull("1")
    (lab.dest / "a").unlink()
    with pytest.raises(HealthCheckFailed, match="is as it was") as raised:
        lab.pull("1", health=health("test ! -e %s/a"))
    assert not (lab.dest / "a").exists() and raised.value.details["held"] == []
    assert lab.pull("1", health=health("test -e %s/a")).reason == "DriftCorrected"
