# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection beside the tools that people would use instead, in one run.

    python tests/benchmark/run.py [--scale small|full] [--only NAME …] [--rounds N] [--write-docs]
    python tests/benchmark/run.py --render

Needs what the integration tests need (tests/support/requirements-tests.txt, ansible-core, tests/tools/fetch.py), in the
environment that runs it. Peers run in turn and are compared round by round, so that a busy machine disturbs all of them
alike. Workloads called play-… measure whole runs of ansible-playbook; for the others, what a module costs is its
process on the host, minus that of a task that does nothing. A tool that is missing is left out by name. ``--render``
measures nothing: it writes the guide's tables and the picture from docs/speed.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / folder) for folder in ("benchmark", "integration", "support")]

import carried
from collection_tree import make_tree
from data import SCALES
from goals import GOALS
from kubernetes_core import place_kubernetes_core
from measure import alternate, clean_environment, launcher
from payload import Ansible
from plan import Plan
from report import Report
from results import Record, goal_rows, keep, markdown
from stage import Stage, find_tools
from versions import named, versions
from workloads import WORKLOADS

RELEASES, PAYLOAD = "releases", "payload"
# in the order of the guide
NAMES = [
    *(name for name in WORKLOADS if name.startswith("play-")),
    PAYLOAD,
    *(name for name in WORKLOADS if not name.startswith("play-")),
    RELEASES,
]


def command_of(name: str, scale: str, rounds: int) -> str:
    return f"python tests/benchmark/run.py --only {name} --scale {scale} --rounds {rounds}"


def run(name: str, plan: Plan, rounds: int, scale: str, stage: Stage, known: dict[str, str]) -> Report:
    samples = alternate(plan.peers, rounds, stage.start, stage.scratch, plan.check)
    names = [peer.name for peer in plan.peers]
    notes = [_requests(peer, plan, stage) for peer in plan.requests if peer in names]
    return Report(
        name, plan.title, command_of(name, scale, rounds), plan.peers, samples, plan.base, GOALS.get(name, ()), notes,
        plan.absent, named(names, known),
    )  # fmt: skip


def _requests(name: str, plan: Plan, stage: Stage) -> str:
    """Run a peer once more, and say what it asked of the registry."""
    peer = next(each for each in plan.peers if each.name == name)
    registry = stage.registry(plan.requests[name])
    mark = registry.mark()
    out = stage.folder("once")
    argv = [part.replace("{out}", str(out)) for part in peer.argv]
    stage.start.run(argv, {**clean_environment(stage.scratch), **peer.environment}, out)
    found = registry.requests(mark)
    sent = sum(each.method in ("PATCH", "PUT") and "/blobs/" in each.path for each in found)
    kinds = ", ".join(f"{each.method} {'blob' if '/blobs/' in each.path else 'manifest'}" for each in found[:10])
    return f"{name}: {len(found)} requests{f' ({kinds})' if kinds else ''}, {sent} blobs sent."


def taken(scale: str) -> str:
    """When, and on what, results were taken."""
    return (
        f"Taken {time.strftime('%Y-%m-%d', time.gmtime())} with ``--scale {scale}`` on {os.cpu_count()} processors "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}."
    )


def run_releases(count: int, scale: str, known: dict[str, str]) -> Record:
    """Many Helm releases of one chart, see helm_releases.py."""
    import helm_releases

    others = max(1, count // 10)
    when = taken(scale)
    costs = helm_releases.measured(count, others)
    about = f"{count} releases by the role, {others} by the others. {named(['kubernetes.core'], known)}"
    command = f"python tests/benchmark/helm_releases.py --releases {count} --others {others}"
    title, goals = "Releases of one chart, by role and by module", helm_releases.goal_rows(costs)
    return Record(RELEASES, title, about, command, when, helm_releases.rows(costs), goals)


def records(names: list[str], rounds: int, scale: str, stage: Stage, known: dict[str, str]) -> Iterator[Record]:
    """Measure workloads, one after the other."""
    for name in names:
        when = taken(scale)
        if name == RELEASES:
            yield run_releases(SCALES[scale].releases, scale, known)
        elif name == PAYLOAD:
            yield carried.record(stage, PAYLOAD, command_of(name, scale, rounds), when, named([], known))
        else:
            # servers of a workload end with it
            with ExitStack() as stack:
                plan = WORKLOADS[name](stage.with_stack(stack))
                yield run(name, plan, rounds, scale, stage, known).record(when)


def show(record: Record) -> None:
    print(f"## {record.title} ({record.name})\n\n{record.about}\n\n{markdown(record.rows)}\n")
    for line in [*(", ".join(goal) for goal in record.goals[1:]), *record.notes]:
        print(f"- {line}")
    print(flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="The collection beside other tools.")
    parser.add_argument("--scale", choices=sorted(SCALES), default="small")
    parser.add_argument("--only", action="append", choices=NAMES, help="a workload; may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="where generated data is kept between runs")
    parser.add_argument("--scratch", type=Path, help="where everything is unpacked to (a memory file system, best)")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="the collection to measure")
    parser.add_argument("--write-docs", action="store_true", help="keep the results in docs, after each workload")
    parser.add_argument("--render", action="store_true", help="write the guide from the results that are kept")
    arguments = parser.parse_args()
    if arguments.render:
        keep([], NAMES)
        return 0
    os.environ.pop("KUBECONFIG", None)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # what makes other data needs other registries
    made_by = hashlib.sha256((CHECKOUT / "tests/benchmark/data.py").read_bytes()).hexdigest()[:12]
    data = arguments.data or cache / "cloudnative-artifacts" / "benchmark" / f"{arguments.scale}-{made_by}"
    data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        where = arguments.scratch or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        scratch = Path(tempfile.mkdtemp(prefix="artifacts-benchmark-", dir=where))
        stack.callback(shutil.rmtree, scratch, True)
        tree = scratch / "tree"
        make_tree(arguments.checkout, tree)
        place_kubernetes_core(tree)
        start = stack.enter_context(launcher(scratch / "command.log"))
        ansible = Ansible(tree, scratch / "ansible")
        stage = Stage(SCALES[arguments.scale], data.resolve(), scratch, find_tools(), ansible, start, stack)
        known = versions(stage.tools, tree)
        print(f"{taken(arguments.scale)}\n", flush=True)
        measured: list[Record] = []
        names = [name for name in NAMES if name in (arguments.only or NAMES)]
        for record in records(names, arguments.rounds, arguments.scale, stage, known):
            show(record)
            measured.append(record)
            if arguments.write_docs:
                keep([record], NAMES)
        print(markdown(goal_rows(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
