# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection beside the tools that people would use instead, in one run.

    python tests/benchmark/run.py [--scale small|full] [--only NAME …] [--rounds N] [--write-docs]

Needs what the integration tests need (tests/support/requirements-tests.txt, ansible-core, tests/tools/fetch.py), in the
environment that runs it. Peers run in turn and are compared round by round, so that a busy machine disturbs all of them
alike. What a module costs is its process on the host, minus that of a task that does nothing. A tool that is missing
is left out by name.
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
from contextlib import ExitStack
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / folder) for folder in ("benchmark", "integration", "support")]

from collection_tree import make_tree
from data import SCALES
from measure import alternate, clean_environment, launcher
from payload import Ansible
from plan import Plan
from report import Report
from results import Record, keep, markdown
from stage import Stage, find_tools
from workloads import WORKLOADS

RELEASES = "releases"


def run(name: str, plan: Plan, rounds: int, scale: str, stage: Stage) -> Report:
    samples = alternate(plan.peers, rounds, stage.start, stage.scratch, plan.check)
    notes = [_requests(peer, plan, stage) for peer in plan.requests if any(each.name == peer for each in plan.peers)]
    command = f"python tests/benchmark/run.py --only {name} --scale {scale} --rounds {rounds}"
    return Report(name, plan.title, command, plan.peers, samples, plan.base, plan.goals, notes, plan.absent)


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
        f"({platform.machine()}), Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}."
    )


def run_releases(count: int, scale: str) -> Record:
    """Many Helm releases of one chart, see helm_releases.py."""
    import helm_releases

    others = max(1, count // 5)
    title, when = "Releases of one chart, by role and by module", taken(scale)
    costs = helm_releases.measured(count, others)
    rows, goals = helm_releases.rows(costs), helm_releases.goals(costs)
    print(f"## {title} (releases)\n\n{markdown(rows)}\n\n{markdown(goals)}\n", flush=True)
    command = f"python tests/benchmark/helm_releases.py --releases {count} --others {others}"
    return Record(RELEASES, title, f"{count} releases by the role, {others} by the others.", command, when, rows, goals)


def main() -> int:
    parser = argparse.ArgumentParser(description="The collection beside other tools.")
    parser.add_argument("--scale", choices=sorted(SCALES), default="small")
    parser.add_argument("--only", action="append", choices=[*WORKLOADS, RELEASES], help="a workload; may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="where generated data is kept between runs")
    parser.add_argument("--scratch", type=Path, help="where everything is unpacked to (a memory file system, best)")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="the collection to measure")
    parser.add_argument("--write-docs", action="store_true", help="keep the results in docs")
    arguments = parser.parse_args()
    os.environ.pop("KUBECONFIG", None)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # what makes other data needs other registries
    made_by = hashlib.sha256((CHECKOUT / "tests/benchmark/data.py").read_bytes()).hexdigest()[:12]
    data = arguments.data or cache / "cloudnative-artifacts" / "benchmark" / f"{arguments.scale}-{made_by}"
    data.mkdir(parents=True, exist_ok=True)
    names = arguments.only or [*WORKLOADS, RELEASES]
    records: list[Record] = []
    with ExitStack() as stack:
        where = arguments.scratch or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        scratch = Path(tempfile.mkdtemp(prefix="artifacts-benchmark-", dir=where))
        stack.callback(shutil.rmtree, scratch, True)
        tree = scratch / "tree"
        make_tree(arguments.checkout, tree)
        start = stack.enter_context(launcher(scratch / "command.log"))
        ansible = Ansible(tree, scratch / "ansible")
        stage = Stage(SCALES[arguments.scale], data.resolve(), scratch, find_tools(), ansible, start, stack)
        print(f"{taken(arguments.scale)}\n", flush=True)
        for name in names:
            if name == RELEASES:
                continue
            when = taken(arguments.scale)
            report = run(name, WORKLOADS[name](stage), arguments.rounds, arguments.scale, stage)
            records.append(report.record(when))
            print(f"## {report.title} ({name})\n\n{markdown(report.rows())}\n")
            for outcome in report.outcomes():
                print("- " + ", ".join(outcome.cells()))
            for note in [*report.notes, *(f"left out: {each}" for each in report.absent)]:
                print(f"- {note}")
            print(flush=True)
    if RELEASES in names:
        records.append(run_releases(SCALES[arguments.scale].releases, arguments.scale))
    if arguments.write_docs:
        keep(records, [*WORKLOADS, RELEASES])
    return 0


if __name__ == "__main__":
    sys.exit(main())
