# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What run.py starts within its virtual environment: finds the mutants, tries each, reports."""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.insert(0, str(CHECKOUT / "tests/support"))

from collection_tree import make_tree
from equivalent import Equivalents
from mutants import Mutant, find_mutants
from scope import SCOPE
from trial import CANNOT_TELL, PASSED, TIMED_OUT, TestsFail, Trials, passes_anew, try_with

CODE = "plugins/module_utils"
TESTS = "tests/unit/plugins/module_utils"
EQUIVALENT = HERE / "equivalent.txt"
# Seconds, beyond ten times what its tests take, after which a changed function waits for something that never comes,
# which counts as noticed. A loop that does not end is noticed by the processor time that it takes, see trial.py.
PATIENCE = 45.0


@dataclass
class Report:
    """What came out for one module."""

    module: str
    survivors: list[Mutant]
    listed: set[tuple[str, str, str, str]]
    count: int
    timed_out: int
    seconds: float


def examine(
    module: str, tree: str, known: frozenset[tuple[str, str, str, str]], lines: frozenset[int], quick: bool
) -> Report:
    """Try every mutant of a module in a copy of the collection in ``tree``, except those in ``known``; with ``lines``
    only those that begin there; ``quick`` leaves out the second try of what survives.

    :raises TestsFail: when its tests do not pass as it is.
    """
    started = time.monotonic()
    collection = make_tree(CHECKOUT, Path(tree) / str(os.getpid()))
    target = collection / CODE / module
    tests = [f"{TESTS}/{name}" for name in SCOPE[module]]
    report = Report(module, [], set(), 0, 0, 0.0)
    mutants = []
    for mutant in find_mutants(module, target.read_text(encoding="utf-8")):
        if mutant.key in known:
            report.listed.add(mutant.key)
        elif not lines or mutant.line in lines:
            mutants.append(mutant)
    suspects = []

    def work(trials: Trials) -> None:
        for mutant in mutants:
            outcome = trials.run(mutant.source, mutant.function, PATIENCE)
            report.count += 1
            report.timed_out += outcome == TIMED_OUT
            if outcome in (PASSED, CANNOT_TELL):
                suspects.append((mutant, outcome))
                if quick and outcome == PASSED:
                    print(describe(mutant), file=sys.__stdout__, flush=True)

    try:
        compileall.compile_dir(str(collection / "plugins"), quiet=2)
        try_with(collection, target, tests, work)
        Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)
        for mutant, outcome in suspects:
            is_known = quick and outcome == PASSED
            if is_known or passes_anew(collection, target, mutant.source, tests, 10 * PATIENCE):
                report.survivors.append(mutant)
                if not is_known:
                    print(describe(mutant), file=sys.__stdout__, flush=True)
        report.seconds = time.monotonic() - started
        return report
    finally:
        shutil.rmtree(collection.parents[2], ignore_errors=True)


def describe(mutant: Mutant) -> str:
    return (
        f"\n{mutant.module}:{mutant.line}: no test notices\n"
        f"{mutant.module} {mutant.function}\n- {mutant.before}\n+ {mutant.after}"
    )


def examine_all(
    modules: list[str], jobs: int, known: Equivalents, lines: frozenset[int], quick: bool
) -> Iterator[Report]:
    """The reports, as they come; a process for each module, because the fork server imports nothing of the code."""
    tree = CHECKOUT / ".work/mutation"
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(examine, module, str(tree), known.keys, lines, quick) for module in modules]
        for future in as_completed(futures):
            yield future.result()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/mutation/run.py")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="a module of scope.py, or a part of its name")
    parser.add_argument("--jobs", type=int, default=1, help="modules at a time (default: 1)")
    parser.add_argument("--lines", default="", help="only the changes of these lines, such as 12,40")
    parser.add_argument("--quick", action="store_true", help="do not try again, in a new process, what survives")
    return parser.parse_args()


def main() -> int:
    """Examine what was asked for; returns the exit code."""
    arguments = parse()
    wanted = arguments.modules
    modules = [name for name in SCOPE if not wanted or any(part in name for part in wanted)]
    if not modules:
        print(f"no module of {HERE / 'scope.py'} has a name with {' or '.join(wanted)}")
        return 2
    equivalents = Equivalents.load(EQUIVALENT)
    lines = frozenset(int(number) for number in arguments.lines.split(",") if number)
    survived = 0
    listed: set[tuple[str, str, str, str]] = set()
    os.nice(10)
    try:
        for report in examine_all(modules, arguments.jobs, equivalents, lines, arguments.quick):
            survived += len(report.survivors)
            listed |= report.listed
            print(
                f"{report.module}: {report.count} changes tried in {report.seconds:.0f} s, "
                f"{len(report.survivors)} not noticed, {report.timed_out} noticed by a hang",
                flush=True,
            )
    except TestsFail as exc:
        print(f"The tests do not pass with the code as it is: {exc}")
        return 2
    stale = equivalents.stale(modules, listed)
    for entry in stale:
        print(f"{EQUIVALENT.name}: no such change any more: {' | '.join(entry)}")
    return 1 if survived or stale else 0


if __name__ == "__main__":
    sys.exit(main())
