# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that never end, write too much or leave something behind: nothing of them is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hanging import Hanging

from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import run_program as module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.run_program import (
    OutputTooLong,
    Ran,
    run_program,
)


def sh(script: str, text: bytes = b"", *, most: int = 1000, cut_errors: bool = False) -> Ran:
    return run_program(["sh", "-c", script], text, timeout=300, most=most, cut_errors=cut_errors)


def test_what_a_program_says(tmp_path: Path) -> None:
    assert sh("cat; echo why >&2; exit 3", b"given") == (3, b"given", b"why\n")
    assert sh("cat; kill -TERM $$") == (-15, b"", b"")
    done = run_program(["sh", "-c", "pwd; echo $A"], timeout=300, most=1000, cwd=str(tmp_path), env={"A": "b"})
    assert done.output.decode().split() == [str(tmp_path), "b"]
    with (tmp_path / "out").open("wb") as out:
        assert run_program(["echo", "a"], timeout=300, most=1000, stdout=out) == (0, b"", b"")
    assert (tmp_path / "out").read_text() == "a\n"
    with pytest.raises(FileNotFoundError):
        run_program([str(tmp_path / "none")], timeout=300, most=1000)


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_what_takes_too_long_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    hanging = Hanging(tmp_path)
    hanging.set_clock(monkeypatch, module)
    with pytest.raises(subprocess.TimeoutExpired):
        run_program([str(hanging.program)], b"x" * size, timeout=60, most=1000)
    assert hanging.has_left_nothing()


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_output_is_bounded(stream: str) -> None:
    assert len(b"".join(sh(f"head -c 1000 /dev/zero {stream}")[1:])) == 1000
    with pytest.raises(OutputTooLong):
        sh(f"head -c 1001 /dev/zero {stream}")
    with pytest.raises(OutputTooLong):
        sh(f"exec yes {stream}")


def test_the_rest_of_what_is_said_may_be_dropped() -> None:
    done = sh("echo begun; head -c 1000000 /dev/zero >&2; echo done", cut_errors=True)
    assert done == (0, b"begun\ndone\n", bytes(1000))
    with pytest.raises(OutputTooLong):
        sh("exec yes", cut_errors=True)


def test_what_a_program_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path)
    # it holds the output open
    done = sh(f"{hanging.program} & while ! test -e {hanging.program}.child; do sleep 0.01; done; echo done")
    assert done == (0, b"done\n", b"")
    assert hanging.has_left_nothing()
