# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named steps that are timed, go on after a failure, and end in a table."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class StepFailed(Exception):
    """Ends a step as failed; the message says why."""


@dataclass
class Step:
    name: str
    seconds: float
    failure: str | None


@dataclass
class Steps:
    """What ran, how long it took and how it ended."""

    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        failure = None
        try:
            yield
        except subprocess.CalledProcessError as error:
            failure = f"{Path(str(error.cmd[0])).name} exited {error.returncode}"
        except StepFailed as error:
            failure = str(error)
        finally:
            seconds = time.monotonic() - started
            self.done.append(Step(name, seconds, failure))
            print(f"== {name}: {f'FAILED, {failure}' if failure else 'ok'}, {seconds:.1f} s", flush=True)

    def run(self, name: str, *commands: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> None:
        """A step made of commands."""
        with self.step(name):
            for command in commands:
                call(command, cwd=cwd, env=env)

    def check(self, name: str, action: Callable[[], None]) -> None:
        with self.step(name):
            action()

    @property
    def failed(self) -> list[Step]:
        return [step for step in self.done if step.failure]

    def report(self) -> int:
        """Print the table; the exit code."""
        print("\nseconds  part")
        for step in self.done:
            print(f"{step.seconds:7.1f}  {step.name}{f'  FAILED: {step.failure}' if step.failure else ''}")
        total = sum(step.seconds for step in self.done)
        print(f"{total:7.1f}  in all")
        if self.done:
            slowest = max(self.done, key=lambda step: step.seconds)
            print(f"slowest part: {slowest.name} ({slowest.seconds:.1f} s)")
        print(f"FAILED: {', '.join(step.name for step in self.failed)}" if self.failed else "everything passed")
        sys.stdout.flush()
        return 1 if self.failed else 0


def call(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], hide: re.Pattern[str] | None = None
) -> None:
    """Run a command to its end; lines of its output that match `hide` are not shown."""
    sys.stdout.flush()
    words = [str(part) for part in command]
    if hide is None:
        subprocess.run(words, check=True, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL)
        return
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if not hide.match(line):
                print(line, end="", flush=True)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
