# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the user's: how they end, what is kept of what they say, and that none is waited for for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.command import (
    MAX_OUTPUT,
    run_words,
    with_path,
)


@pytest.mark.parametrize(
    ("words", "status", "how"),
    [
        (["true"], 0, "succeeded"),
        (["sh", "-c", "echo no; echo why >&2; exit 3"], 3, "ended with status 3: no\nwhy"),
        (["/does/not/exist"], 127, "cannot be run: No such file or directory"),
        (["sh", "-c", "kill -TERM $$"], -15, "ended with status -15"),
        # closes its output long before it ends
        (["sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4"], 4, "ended with status 4"),
    ],
    ids=["true", "status", "missing", "signal", "silent"],
)
def test_how_a_command_ends(words: list[str], status: int, how: str) -> None:
    assert run_words(words, 60) == (status, how)


def test_what_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    seconds = 0.5
    # a shell that did not come to that line in time proves nothing
    while not note.exists() and seconds < 300:
        seconds *= 2
        ended = run_words(
            ["sh", "-c", f"echo begun; sleep 600 & echo $! > {note}.new; mv {note}.new {note}; wait"], seconds
        )
    assert ended.status == 124 and f"did not end within {seconds:g} s, and was killed: begun" in ended.how
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = subprocess.run(["ps", "-o", "stat=", "-p", note.read_text().strip()], capture_output=True, check=False)
        if not state.stdout.strip() or state.stdout.startswith(b"Z"):
            break
        time.sleep(0.05)
    assert not state.stdout.strip() or state.stdout.startswith(b"Z")


def test_what_a_command_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    ended = run_words(["sh", "-c", f"sleep 600 & echo $! > {note}; echo started"], 60)
    os.kill(int(note.read_text()), 9)
    assert ended == (0, "succeeded: started")


def test_the_end_of_a_long_output_is_kept() -> None:
    ended = run_words([sys.executable, "-c", "print('x' * 10_000_000); print('end'); raise SystemExit(1)"], 60)
    assert ended.status == 1 and ended.how.endswith("x\nend") and len(ended.how) < MAX_OUTPUT + 100


def test_output_without_end_does_not_fill_the_memory() -> None:
    ended = run_words(["sh", "-c", "yes"], 0.5)
    assert ended.status == 124 and len(ended.how) < MAX_OUTPUT + 100


def test_the_path_in_the_words() -> None:
    assert with_path(["nginx", "-c", "%s/nginx.conf", "100%"], "/a b") == ["nginx", "-c", "/a b/nginx.conf", "100%"]
