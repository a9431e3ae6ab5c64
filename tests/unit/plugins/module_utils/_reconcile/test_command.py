# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command oci-reconcile: where it may be called, who hears of what went wrong, and requests during a run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import syslog
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile import run
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.programs import own_collections

if TYPE_CHECKING:
    from .conftest import Room

TEMPLATE = Path(__file__).resolve().parents[5] / "roles/reconcile/templates/oci-reconcile.j2"


def test_nothing_of_the_working_directory_is_run(tmp_path: Path) -> None:
    """Root may call it anywhere, also where everybody may write."""
    environment = jinja2.Environment(keep_trailing_newline=True)
    environment.filters["quote"] = shlex.quote
    template = environment.from_string(TEMPLATE.read_text())
    command, anywhere = tmp_path / "oci-reconcile", tmp_path / "anywhere"
    command.write_text(template.render(reconcile_collections=own_collections(), reconcile_python=sys.executable))
    anywhere.mkdir()
    for name in ("argparse", "json", "runpy", "ansible_collections"):
        (anywhere / f"{name}.py").write_text("open('taken', 'w')\n")
    (tmp_path / "no 'configuration'").mkdir()
    words = ["sh", str(command), "--config", str(tmp_path / "no 'configuration'"), "status"]
    done = subprocess.run(words, check=False, cwd=anywhere, capture_output=True, text=True, timeout=600)
    assert not (anywhere / "taken").exists()
    assert (done.returncode, done.stdout.split()) == (0, ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"]), done


def test_a_request_during_a_run_begins_another(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[float] = []

    def play(configuration: Any, _control: Any) -> None:
        played.append(configuration.timeout)
        if len(played) == 1:
            room.configure(timeout="2h")
            assert room.run("request", "host", "--token", "meanwhile") == 0

    monkeypatch.setattr(run, "play", play)
    assert room.run() == 0
    # with the configuration as it is then
    assert played == [3600.0, 7200.0] and room.status()["last_handled_reconcile_at"] == "meanwhile"
    assert room.run() == 0
    assert len(played) == 3


def test_a_run_that_cannot_begin_is_in_the_system_log(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[Any, ...]] = []
    monkeypatch.setattr(syslog, "syslog", lambda *words: said.append(words))
    room.configure(playbook="../site.yml")
    # of systemd it is in the journal
    assert room.run() == 2 and said == []
    monkeypatch.delenv("JOURNAL_STREAM")
    assert room.run("suspend", "host") == 2 and said == []
    assert room.run() == 2
    ((priority, message),) = said
    assert priority == syslog.LOG_WARNING and "'playbook' is to be a path inside the project" in message


def test_a_project_that_ends_what_it_is_a_part_of(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "play", lambda *_: shutil.rmtree(room.state))
    assert room.run() == 0
    assert not room.state.exists()
