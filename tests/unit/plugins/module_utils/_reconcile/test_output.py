# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of runs: what they show, how large they become, and which task they say has failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile import output
from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.output import Output, open_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "play.log"


def _texts(log: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(log.parent.iterdir())}


def test_the_logs_before_are_kept(log: Path) -> None:
    for number in range(8):
        os.close(open_log(str(log)))
        log.write_text(str(number))
    names = ["play.log", *(f"play.log.{number}" for number in range(1, 6))]
    assert _texts(log) == dict(zip(names, "765432"))
    assert log.stat().st_mode & 0o077 == 0


def test_a_log_that_grows_goes_on_from_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_LOG", 10)
    descriptor = open_log(str(log))
    followed = Output(str(log), show=False)
    for number in range(9):
        os.write(descriptor, f"TASK [{number}] ***\nfatal: [host]\n".encode())
        followed.follow()
    os.write(descriptor, b"end")
    followed.follow()
    followed.close()
    os.close(descriptor)
    texts = _texts(log)
    assert texts.pop("play.log") == "end" and followed.failed_task == "8"
    assert [text[:8] for text in texts.values()] == [f"TASK [{number}]" for number in (8, 7, 6, 5, 4)]
    assert all(path.stat().st_mode & 0o077 == 0 for path in log.parent.iterdir())


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("TASK [a [b] c] ****\nfatal: [host]: FAILED!\n", "a [b] c"),
        ("TASK [a] ***\nfatal: [host]: FAILED!\n...ignoring\nTASK [b] ***\nok: [host]\n", ""),
        ("TASK [a] ***\nRUNNING HANDLER [b] ***\nfailed: [host] (item=1)\nTASK [c] ***\n", "b"),
        ("TASK [a] ***\n" + "x" * 10000 + "fatal: [host]\n", ""),
        ("fatal: [host]\n", ""),
    ],
    ids=["brackets", "ignored", "handler", "a long line", "no task"],
)
@pytest.mark.parametrize("size", [1, 7, 100000])
def test_the_task_that_failed(log: Path, text: str, failed: str, size: int) -> None:
    descriptor = open_log(str(log))
    followed = Output(str(log), show=False)
    for start in range(0, len(text), size):
        os.write(descriptor, text[start : start + size].encode())
        followed.follow()
    followed.close()
    os.close(descriptor)
    assert followed.failed_task == failed
