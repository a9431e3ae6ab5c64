# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a host that reconciles itself: what each outcome does to the status, and who may see what."""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile import programs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.configuration import load_configuration
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.programs import own_collections
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.run import TIME_FORMAT, is_due
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.status import is_running, save_status

if TYPE_CHECKING:
    from .conftest import Room

SUCCEEDED = ("True", "ReconciliationSucceeded")


def test_a_new_revision_is_run(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    assert room.run() == 0
    assert room.configured() == "one" and room.conditions() == {"Ready": SUCCEEDED}
    status = room.status()
    assert status["last_applied_revision"] == status["last_attempted_revision"] == "stable@one"
    assert [each["reason"] for each in status["events"]] == ["NewArtifact", "ReconciliationSucceeded"]
    said = capfd.readouterr().out
    assert "<5>Normal NewArtifact: Pulled stable@one of oci://registry.example.com/hosts\n" in said
    assert "TASK [Configure]" in said
    room.offer("two")
    assert room.run() == 0
    assert room.configured() == "two" and room.status()["last_applied_revision"] == "stable@two"


def test_secrets_are_in_files_of_the_user_alone(room: Room) -> None:
    assert room.run() == 0
    assert "a-secret" not in (room.folder / "arguments").read_text()
    assert "a-secret" not in (room.folder / "environment").read_text()
    assert {path.stat().st_mode & 0o077 for path in room.state.iterdir() if path.is_file()} == {0}
    # what looks like a template of Ansible stays what it is
    task = json.loads((room.folder / "pull.yml").read_text())[0]["tasks"][0]
    assert task["cloudnative.artifacts.oci_artifact_pull"]["password"] == "a-pass{{ '{' }}{{ '{' }}word"


def test_a_revision_that_waits_for_its_time_is_no_failure_where_one_is_in_place(room: Room) -> None:
    pending = {"reason": "NewRevisionPending", "changed": False, "pending": {"why": "it is Sat 11:59"}}
    # nothing was ever placed: there is nothing to run
    room.offer("one", **pending, artifact={})
    assert room.run() == 1
    assert room.conditions() == {"Ready": ("False", "NewRevisionPending")}
    assert not (room.folder / "configured").exists()
    room.offer("one")
    assert room.run() == 0
    room.offer("one", **pending)
    assert room.run() == 0
    assert room.configured() == "one" and room.conditions() == {"Ready": SUCCEEDED}
    said = [each for each in room.status()["events"] if each["reason"] == "NewRevisionPending"]
    assert [each["type"] for each in said] == ["Warning", "Normal"] and said[1]["message"] == "it is Sat 11:59"
    # of what the module returns, the play hands this on
    (keep,) = (task for task in json.loads((room.folder / "pull.yml").read_text())[0]["tasks"] if "vars" in task)
    assert "'pending'" in keep["vars"]["wanted"]


def test_what_cannot_help_itself_is_stalled(room: Room) -> None:
    assert room.run() == 0
    refused = {"failed": True, "msg": "nobody signed it", "reason": "VerificationError", "retryable": False}
    room.offer("two", **refused)
    assert room.run() == 1
    told = ("True", "VerificationError")
    assert room.conditions() == {"Ready": ("False", "VerificationError"), "FetchFailed": told, "Stalled": told}
    assert room.configured() == "one" and room.status()["failures"] == 1
    room.offer("two", failed=True, msg="no route", reason="ConnectionFailed", retryable=True)
    assert room.run() == 1
    assert set(room.conditions()) == {"Ready", "FetchFailed"} and room.status()["failures"] == 2
    room.offer("two")
    assert room.run() == 0
    assert room.conditions() == {"Ready": SUCCEEDED} and room.status()["failures"] == 0


def test_the_last_good_project_is_run_when_the_registry_is_away(room: Room) -> None:
    room.run()
    (room.folder / "configured").write_text("drifted")
    room.offer("one", changed=False, degraded=True, reason="LastGoodKept", warnings=["The registry is away."])
    assert room.run() == 0
    assert room.configured() == "one"
    assert room.conditions() == {"Ready": SUCCEEDED, "FetchFailed": ("True", "LastGoodKept")}


def test_a_failed_play_names_its_task_and_nothing_more(room: Room) -> None:
    room.put("broken")
    assert room.run() == 1
    status = room.status()
    message = status["conditions"][0]["message"]
    assert room.conditions() == {"Ready": ("False", "ReconciliationFailed")}
    assert "site.yml ended with status 2 at the task 'Configure'" in message
    assert status["last_attempted_revision"] == "stable@one" and status["last_applied_revision"] == ""
    assert "a-secret" not in json.dumps(status)


def test_a_project_without_the_playbook(room: Room) -> None:
    room.configure(playbook="other.yml")
    assert room.run() == 1
    assert "The project has no other.yml" in room.status()["conditions"][0]["message"]


def test_a_play_that_takes_too_long_is_ended(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that an hour passes by at each look, once the play has begun: the pull takes as long as it takes."""
    room.put("hang")
    room.configure(timeout="1h")
    ahead, real = 0.0, time.monotonic

    def clock() -> float:
        nonlocal ahead
        ahead += 3600.0 if (room.folder / "configured").exists() else 0.0
        return real() + ahead

    monkeypatch.setattr(programs, "time", SimpleNamespace(monotonic=clock))
    assert room.run() == 1
    assert "did not end within 3600 s" in room.status()["conditions"][0]["message"]


def test_only_if_changed(room: Room) -> None:
    room.configure(only_if_changed=True)
    room.run()
    (room.folder / "configured").write_text("drifted")
    room.offer("one", changed=False)
    assert room.run() == 0 and room.configured() == "drifted"
    room.run("request", "host", "--token", "1")
    assert room.run() == 0 and room.configured() == "one"
    assert room.status()["last_handled_reconcile_at"] == "1"
    assert (
        json.loads((room.folder / "pull.yml").read_text())[0]["tasks"][0]["cloudnative.artifacts.oci_artifact_pull"][
            "requested_at"
        ]
        == "1"
    )
    (room.folder / "configured").write_text("drifted")
    assert room.run() == 0 and room.configured() == "drifted"


def test_suspended(room: Room) -> None:
    room.run("suspend", "host", "--reason", "an incident")
    assert room.run() == 0
    assert not (room.folder / "arguments").exists() and room.status()["suspended"] is True
    assert "an incident" in room.status()["events"][0]["message"]
    room.run("resume", "host")
    assert room.run() == 0 and room.status()["suspended"] is False
    room.configure(suspend=True)
    assert room.run() == 0 and room.status()["suspended"] is True
    room.configure()
    room.offer("one", changed=False, reason="Suspended", suspended={"who": "op", "reason": "x", "since": ""})
    (room.folder / "configured").write_text("drifted")
    assert room.run() == 0 and room.configured() == "drifted"
    assert room.status()["suspended"] is True and room.conditions() == {"Ready": SUCCEEDED}


def test_one_run_at_a_time(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    with open(room.state / "project.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert room.run() == 0
    assert "AlreadyRunning" in capfd.readouterr().out
    assert not (room.folder / "arguments").exists() and room.status() == {}


def test_a_run_that_is_told_to_stop(room: Room) -> None:
    room.put("hang")
    process = room.start("run", "host")
    _wait(lambda: (room.status().get("running") or {}).get("step", "").startswith("run "))
    assert room.conditions()["Reconciling"] == ("True", "Progressing")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert room.conditions() == {"Ready": ("False", "Interrupted")}
    # what it has killed holds the lock until it is dead
    _wait(lambda: not is_running(room.dest))
    (room.folder / "hang").unlink()
    assert room.run() == 0 and room.conditions() == {"Ready": SUCCEEDED}


@pytest.mark.parametrize("step", ["pull.yml", "site.yml"])
def test_a_run_that_is_told_to_stop_while_it_starts_a_program(
    room: Room, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    room.put("hang_in_pull" if step == "pull.yml" else "hang")
    started: list[int] = []

    class Started(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, words: Sequence[str], **more: Any) -> None:
            super().__init__(words, **more)
            started.append(self.pid)
            if words[-1].endswith(step):
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Started)
    try:
        assert room.run() == 1
        assert room.conditions() == {"Ready": ("False", "Interrupted")}
        # a program that goes on would hold the lock
        _wait(lambda: not is_running(room.dest))
    finally:
        for group in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def test_a_run_that_is_told_to_stop_when_all_is_done(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(dest: str, status: Mapping[str, Any]) -> None:
        if not status["running"]:
            signal.raise_signal(signal.SIGTERM)
        save_status(dest, status)

    monkeypatch.setattr(
        "ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.run.save_status", save
    )
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert room.run() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert room.conditions() == {"Ready": SUCCEEDED}


def test_what_failed_is_due_sooner(room: Room) -> None:
    room.configure(interval="10h", retry_interval="2m")
    configuration = load_configuration("host", str(room.folder / "etc"))
    room.put("broken")
    room.run()
    last = calendar.timegm(time.strptime(room.status()["last_run_at"], TIME_FORMAT))
    assert [minute for minute in range(5) if is_due(configuration, last + 60 * minute)] == [2, 3, 4]
    assert is_due(configuration, last - 60)


def test_when_a_run_is_due(room: Room) -> None:
    room.configure(interval="10m", jitter="5m")
    configuration = load_configuration("host", str(room.folder / "etc"))
    assert is_due(configuration, time.time())
    room.run()
    # by the whole seconds of the run: what the clock said before may be a second earlier
    start = calendar.timegm(time.strptime(room.status()["last_run_at"], TIME_FORMAT))
    minutes = [minute for minute in range(31) if is_due(configuration, start + 60 * minute)]
    # at one moment of each interval, and from then on until it has run
    assert minutes and minutes == list(range(minutes[0], 31)) and minutes[0] <= 10
    assert is_due(configuration, start - 86400)
    room.run("request", "host")
    assert is_due(configuration, start)


def test_what_others_have_written_is_no_status(room: Room) -> None:
    room.run()
    path = room.state / "project.status.json"
    path.chmod(0o666)
    assert room.status() == {}
    path.write_text("{}")
    path.chmod(0o600)
    assert room.status() == {}
    assert room.run() == 0 and room.conditions() == {"Ready": SUCCEEDED}
    elsewhere = room.folder / "elsewhere"
    elsewhere.write_text("kept")
    path.unlink()
    path.symlink_to(elsewhere)
    assert room.run() in (1, 2) or not path.is_symlink()
    assert elsewhere.read_text() == "kept"


def test_where_others_may_write_nothing_is_run(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (room.folder / "etc/host.json", room.folder / "etc", room.state):
        mode = path.stat().st_mode
        path.chmod(0o777)
        assert room.run() == 2
        assert "may be written to by everybody" in capfd.readouterr().err
        path.chmod(mode)
    assert not (room.folder / "arguments").exists()


def test_the_syntax_is_checked_as_the_project_is_run(room: Room) -> None:
    room.configure(inventory="hosts.ini", limit="me", arguments=["--vault-password-file", "/etc/vault"])
    staged = room.folder / "staged"
    staged.mkdir()
    (staged / "site.yml").touch()
    assert room.run("check", "host", str(staged)) == 0
    assert (room.folder / "checked").read_text() == f"{staged}\n"
    words = (room.folder / "arguments").read_text().splitlines()
    assert words[:4] == ["-i", f"{staged}/hosts.ini", "--limit", "me"]
    assert words[-4:] == ["--vault-password-file", "/etc/vault", "--syntax-check", f"{staged}/site.yml"]
    environment = (room.folder / "environment").read_text()
    assert f"ANSIBLE_COLLECTIONS_PATH={staged}/collections:{own_collections()}\n" in environment
    assert (Path(own_collections()) / "ansible_collections/cloudnative/artifacts/plugins").is_dir()
    (staged / "site.yml").unlink()
    assert room.run("check", "host", str(staged)) == 2


def test_a_check_of_the_syntax_has_a_time_limit(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    room.configure(timeout="1s")
    room.put("hang_in_check")
    (room.folder / "site.yml").write_text("[]")
    assert room.run("check", "host", str(room.folder)) == 2
    assert "--syntax-check of site.yml did not end within 1 s, and was ended. Run it by hand" in capfd.readouterr().err


def test_configurations_that_cannot_be_used(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    refused: list[dict[str, Any]] = [
        {"playbook": "../site.yml"},
        {"interval": "soon"},
        {"retry_interval": "soon"},
        {"state": "relative"},
        {"unknown": 1},
        {"source": {"ref": "registry.example.com/hosts:stable", "layout": "releases"}},
    ]
    for fields in refused:
        room.configure(**fields)
        assert room.run() == 2, fields
    assert room.run("run", "../etc/passwd") == 2
    assert capfd.readouterr().err.count("oci-reconcile: ") == 7
    room.configure()
    (room.folder / "etc/second.json").write_text("{")
    assert room.run("status") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].split()[0] == "host" and "never run" in lines[1]
    assert lines[2].split()[:4] == ["second", "-", "False", "False"] and "cannot be used" in lines[2]


def test_who_may_not_look_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(_path: str) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refuse)
    assert room.run("status") == 2
    assert "Run it as root" in capfd.readouterr().err


def test_the_status_for_people(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    assert room.run("status") == 0
    assert "never run" in capfd.readouterr().out
    room.put("broken")
    room.run()
    capfd.readouterr()
    room.run("status")
    heading, line = capfd.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"]
    assert line.split()[:4] == ["host", "-", "False", "False"]
    room.run("status", "host")
    text = capfd.readouterr().out
    assert "Last Attempted Revision:    stable@one" in text and "URL:" in text
    assert "  Warning  ReconciliationFailed" in text
    room.run("status", "host", "-o", "json")
    assert json.loads(capfd.readouterr().out) == room.status()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
