# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands beside each other: run in turn, measured, compared round by round."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parent / "launcher.py"
MIB = 1024 * 1024
OURS, THEIRS, FLOOR = "ours", "theirs", "floor"
# a clock that ticks hundreds of times a second cannot tell less
LEAST = 1e-3


@dataclass(frozen=True)
class Sample:
    """What one run of a command cost: seconds, seconds of all its processes, bytes of the largest of them."""

    wall: float
    cpu: float
    memory: float

    def __sub__(self, other: Sample) -> Sample:
        return Sample(self.wall - other.wall, self.cpu - other.cpu, self.memory - other.memory)


@dataclass(frozen=True)
class Peer:
    """A command to measure. ``argv`` may hold ``{out}``, a folder that is empty at the start of each run.

    What it makes is in ``result``. ``minus`` names the peer whose cost is taken off: for a module, a task that does
    nothing. ``prepare`` runs before each run, and is not measured. ``kind`` says whether it is this collection's, and
    whether it is only there to show what Ansible itself costs.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    minus: str = ""
    prepare: Callable[[], None] | None = None
    result: str = "{out}/x"
    kind: str = THEIRS


class Failed(Exception):
    """A command of a workload ended with an error, or left something else than the others."""


class Launcher:
    """The process that runs the commands, see launcher.py."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self.log = log

    def run(self, argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[Sample, int]:
        assert self._process.stdin and self._process.stdout
        order = {
            "argv": list(argv), "environment": dict(environment), "folder": str(folder), "output": str(self.log)
        }  # fmt: skip
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return Sample(found["wall"], found["user"] + found["system"], found["memory"]), int(found["code"])


@contextmanager
def launcher(log: Path) -> Iterator[Launcher]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(LAUNCHER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Launcher(process, log)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=60)


def alternate(
    peers: Sequence[Peer],
    rounds: int,
    start: Launcher,
    scratch: Path,
    check: Callable[[Peer, Path], str] | None = None,
) -> dict[str, list[Sample]]:
    """Run the peers in turn (A B C A B C …): one round that does not count, then so many that do.

    ``check`` looks, in the first round, at what a peer left in its folder, and returns what is wrong with it.

    :raises Failed: when a command fails.
    """
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for number in range(rounds + 1):
        for index, peer in enumerate(peers):
            out = scratch / f"out{index}"
            empty(out)
            out.mkdir(parents=True, exist_ok=True)
            if peer.prepare:
                peer.prepare()
            argv = [part.replace("{out}", str(out)) for part in peer.argv]
            sample, code = start.run(argv, {**clean_environment(scratch), **peer.environment}, out)
            if code:
                tail = start.log.read_text(errors="replace")[-3000:]
                raise Failed(f"{peer.name} ended with {code}: {' '.join(argv)[:500]}\n{tail}")
            if number == 0 and check:
                problem = check(peer, out)
                if problem:
                    raise Failed(f"{peer.name}: {problem}\n{start.log.read_text(errors='replace')[-1000:]}")
            if number:
                samples[peer.name].append(sample)
            empty(out)
    return samples


def empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def clean_environment(scratch: Path) -> dict[str, str]:
    """What every command gets: no configuration of whoever runs the benchmark, and its temporary files in one place."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        "HELM_EXPERIMENTAL_OCI": "1",
    }


def own_cost(peers: Sequence[Peer], samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[Sample]]:
    """The samples with the cost of what a peer is measured against taken off, round by round."""
    found = {}
    for peer in peers:
        own = list(samples[peer.name])
        if peer.minus:
            own = [mine - theirs for mine, theirs in zip(own, samples[peer.minus])]
        found[peer.name] = own
    return found


def median(samples: Sequence[Sample], what: str) -> float:
    return statistics.median(float(getattr(sample, what)) for sample in samples)


def ratio(mine: Sequence[Sample], theirs: Sequence[Sample], what: str) -> float:
    """The median of the ratios of each round: what disturbs the machine in a round disturbs both."""
    return statistics.median(
        float(getattr(one, what)) / max(float(getattr(other, what)), LEAST) for one, other in zip(mine, theirs)
    )
