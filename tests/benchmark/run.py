# Copyright: (c) 2026, the cloudnative.artifacts authors
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
from report import Report, list_table, markdown, picture
from stage import Stage, find_tools
from workloads import WORKLOADS

GUIDE = CHECKOUT / "docs/docsite/rst/guide_speed.rst"
PICTURE = CHECKOUT / "docs/speed.svg"
BEGIN, END = ".. results: written by tests/benchmark/run.py", ".. end of results"
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


def machine() -> str:
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d', time.gmtime())}"
    )


def run_releases(count: int) -> str:
    """Many Helm releases of one chart, see helm_releases.py; the results as reStructuredText."""
    import helm_releases

    title = "Releases of one chart, by role and by module"
    costs = helm_releases.measured(count, max(1, count // 5))
    rows, goals = helm_releases.rows(costs), helm_releases.goals(costs)
    print(f"## {title} (releases)\n\n{markdown(rows)}\n\n{markdown(goals)}\n", flush=True)
    command = f"python tests/benchmark/helm_releases.py --releases {count} --others {max(1, count // 5)}"
    lines = [title, "^" * len(title), "", "To repeat it:", "", ".. code-block:: shell", "", f"   {command}", ""]
    return "\n".join([*lines, *list_table(rows), "", *list_table(goals)]) + "\n"


def write_docs(parts: list[str], reports: list[Report], scale: str) -> None:
    """Put the results into the guide, in place of the last ones."""
    text = GUIDE.read_text()
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    head = f"Taken with ``--scale {scale}`` on {machine()}.\n"
    GUIDE.write_text(f"{before}{BEGIN}\n\n" + "\n".join([head, *filter(None, parts)]) + f"\n{END}{after}")
    PICTURE.write_text(picture(reports))


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
    reports: list[Report] = []
    with ExitStack() as stack:
        where = arguments.scratch or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        scratch = Path(tempfile.mkdtemp(prefix="artifacts-benchmark-", dir=where))
        stack.callback(shutil.rmtree, scratch, True)
        tree = scratch / "tree"
        make_tree(arguments.checkout, tree)
        start = stack.enter_context(launcher(scratch / "command.log"))
        ansible = Ansible(tree, scratch / "ansible")
        stage = Stage(SCALES[arguments.scale], data.resolve(), scratch, find_tools(), ansible, start, stack)
        print(f"{arguments.scale}: {machine()}\n", flush=True)
        for name in names:
            if name == RELEASES:
                continue
            report = run(name, WORKLOADS[name](stage), arguments.rounds, arguments.scale, stage)
            reports.append(report)
            print(f"## {report.title} ({name})\n\n{markdown(report.rows())}\n")
            for outcome in report.outcomes():
                print("- " + ", ".join(outcome.cells()))
            for note in [*report.notes, *(f"left out: {each}" for each in report.absent)]:
                print(f"- {note}")
            print(flush=True)
    releases = run_releases(SCALES[arguments.scale].releases) if RELEASES in names else ""
    if arguments.write_docs:
        write_docs([*(report.as_rst() for report in reports), releases], reports, arguments.scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
