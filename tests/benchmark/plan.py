# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a workload consists of, and parts that several have."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import data
import measure
from data import MIB
from goals import PING
from measure import Peer
from stage import Stage


@dataclass
class Plan:
    """A workload that is ready to run. ``check`` says what is wrong with what a peer made, if anything is.

    ``requests`` names the peers whose requests to the registry of that name are listed; ``absent`` says of each peer
    that is missing why.
    """

    title: str
    peers: list[Peer]
    base: str
    check: Callable[[Peer, Path], str] | None = None
    requests: Mapping[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def shell(script: str) -> list[str]:
    return ["/bin/bash", "-c", f"set -euo pipefail; {script}"]


def with_tools(stage: Stage, plan: Plan, needed: Mapping[str, Sequence[str]]) -> Plan:
    """The plan without the peers whose tools are not there."""
    for name, tools in needed.items():
        missing = [tool for tool in tools if tool not in stage.tools]
        if missing:
            plan.absent[name] = f"{', '.join(missing)} is not there"
            plan.peers = [peer for peer in plan.peers if peer.name != name]
    return plan


def module(
    stage: Stage, name: str, kind: str, options: Mapping[str, Any], result: Path, *, first: bool = False, **more: Any
) -> Peer:
    """A module beside the other peers; what it makes is removed before each run.

    :param first: of a pull, what the first host of a task runs, and not those after it.
    """
    argv = stage.ansible.payload(kind, options, first=first)
    prepare = partial(shutil.rmtree, result, True)
    return Peer(name, argv, minus=PING, result=str(result), prepare=prepare, kind=measure.OURS, **more)


def source_file(stage: Stage) -> Path:
    """A file to push, of bytes that do not compress."""
    path = stage.folder("source") / "model.bin"
    source = data.Noise(77, stage.scale.push)
    with open(path, "wb") as target:
        for piece in iter(lambda: source.read(MIB), b""):
            target.write(piece)
    return path


def holds(files: int, size: int) -> Callable[[Peer, Path], str]:
    """A check that a peer unpacked so many files, with so many bytes altogether."""

    def check(peer: Peer, out: Path) -> str:
        if peer.kind == measure.FLOOR:
            return ""
        root = Path(peer.result.replace("{out}", str(out)))
        found = [path for path in root.rglob("*") if path.is_file() and ".oci-artifact" not in str(path)]
        total = sum(path.stat().st_size for path in found)
        if (len(found), total) != (files, size):
            return f"{len(found)} files with {total} bytes instead of {files} with {size}"
        return ""

    return check
