# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/run.sh runs: sets up all it needs in .work/, runs the gates and the tests, says what took how long."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from collection_tree import make_tree
from gates import Gates
from kubernetes_core import place_kubernetes_core
from pythons import CORES, TARGET_MINOR, Core, Python, allowed_cores, discover, gates_core
from steps import StepFailed, Steps, call
from venvs import child_environment, make_debian_venv, make_venv

CHECKOUT = Path(__file__).resolve().parents[2]
SUPPORT = CHECKOUT / "tests/support"
WORK = CHECKOUT / ".work"
REQUIREMENTS = CHECKOUT / "requirements.txt"
FETCH = [sys.executable, str(CHECKOUT / "tests/tools/fetch.py")]
GATES = [sys.executable, __file__, "gates"]
NEWER_MINOR = 11  # of the Python that tests with the marker "newer" need
NO_TESTS = 5  # pytest's exit code when it selected nothing


class Beside:
    """A program that runs beside the steps; what it says is shown when it is waited for."""

    def __init__(self, command: Sequence[str], output: IO[str]) -> None:
        self._output = output
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def wait(self) -> int:
        """Wait for its end, and show what it said."""
        code = self.process.wait()
        self._output.seek(0)
        print(self._output.read(), end="", flush=True)
        return code

    def finish(self) -> None:
        """Wait for its end.

        :raises StepFailed: when it failed.
        """
        if self.wait():
            raise StepFailed("see above")


@contextmanager
def _beside(command: Sequence[str]) -> Iterator[Beside]:
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        program = Beside(command, output)
        try:
            yield program
        finally:
            program.process.terminate()
            program.process.wait()


def _await_tools(fetch: Beside) -> None:
    if fetch.wait() and (os.environ.get("CI") or os.environ.get("REQUIRE_TOOLS")):
        raise StepFailed("a tool is missing, and CI or REQUIRE_TOOLS is set")


@dataclass(frozen=True)
class Arguments:
    what: str
    cores: str
    pytest: list[str]
    module_files: bool = False

    @property
    def gates(self) -> bool:
        return self.what in ("all", "gates")

    @property
    def tests(self) -> list[str]:
        """The kinds of tests that are run."""
        if self.what == "one":
            return ["integration"] if any("tests/integration" in each for each in self.pytest) else ["unit"]
        return ["unit", "integration"] if self.what == "all" else [self.what] if self.what != "gates" else []


class Part(NamedTuple):
    """The tests of a kind that have these markers, with an ansible-core, and modules on a Python."""

    kind: str
    core: Core
    target: Python
    markers: str


def parse(argv: Sequence[str]) -> Arguments:
    if argv[:1] == ["one"]:
        return Arguments("one", "oldest", [_in_checkout(each) for each in argv[1:] if each != "--"])
    own, pytest = list(argv), []
    if "--" in own:
        split = own.index("--")
        own, pytest = own[:split], own[split + 1 :]
    parser = argparse.ArgumentParser(
        prog="tests/run.sh", usage="%(prog)s [what] [--core which] [--module-files] [-- pytest arguments]"
    )
    parser.add_argument("what", nargs="?", default="all", choices=["all", "gates", "unit", "integration", "one"])
    cores = ["both", "oldest", "newest", *CORES]
    listed = f"ansible-core: {', '.join(cores)}"
    parser.add_argument("--core", default="both", choices=cores, metavar="CORE", help=listed)
    parser.add_argument(
        "--module-files",
        action="store_true",
        help="no module runs in Ansible's worker with the oldest ansible-core, also in tests that run once",
    )
    arguments = parser.parse_args(own)
    return Arguments(arguments.what, arguments.core, pytest, arguments.module_files)


def _in_checkout(argument: str) -> str:
    """A test file by its path in the checkout, wherever the command was given."""
    path, colons, case = argument.partition("::")
    full = Path(path).resolve()
    if not path.startswith("-") and full.exists() and full.is_relative_to(CHECKOUT):
        return f"{full.relative_to(CHECKOUT)}{colons}{case}"
    return argument


def export_cache() -> None:
    """Steps with a home of their own still share the caches of whoever runs this."""
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))


class Run:
    """One run, in a folder of its own: two at a time do not meet."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.steps = Steps()
        self.pythons = discover()
        cores = allowed_cores(self.pythons)
        if not cores:
            sys.exit("tests/run.sh needs a Python from 3.10 on, with venv and ensurepip")
        self.gates_core = gates_core(self.pythons, cores)
        named = [core for core in cores if core.release == arguments.cores]
        chosen = {"oldest": cores[:1], "newest": cores[-1:], "both": [cores[0], cores[-1]]}.get(arguments.cores, named)
        if not chosen:
            minors = CORES[arguments.cores]
            sys.exit(f"ansible-core {arguments.cores} needs one of Python 3.{minors}, which is not here")
        self.test_cores = list(dict.fromkeys(chosen)) if arguments.tests else []
        self.scratch = WORK / "runs" / str(os.getpid())

    def go(self) -> int:
        self._say_what_with()
        self.scratch.mkdir(parents=True, exist_ok=True)
        try:
            with ExitStack() as beside:
                # compiling tools takes minutes of a cold run
                fetch = beside.enter_context(_beside(FETCH)) if "integration" in self.arguments.tests else None
                self._set_up_and_run(fetch, beside)
            return self.steps.report()
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _set_up_and_run(self, fetch: Beside | None, beside: ExitStack) -> None:
        with self.steps.step("environments"):
            self._make_venvs()
        if self.steps.failed:
            return
        if not self.arguments.tests:
            self._run_gates()
            return
        # the gates keep one processor busy, unit tests both
        gates = beside.enter_context(_beside(GATES)) if self.arguments.gates else None
        tree = self.scratch / "tests"
        collection = make_tree(CHECKOUT, tree)
        for kind in self.arguments.tests:
            if kind == "integration":
                self._prepare_integration(fetch, gates, tree)
                gates = None
            for part in [part for core in self.test_cores for part in self._parts(kind, core)]:
                self._run_tests(part, tree, collection)

    def _prepare_integration(self, fetch: Beside | None, gates: Beside | None, tree: Path) -> None:
        """What is to be over before tests begin that look at the clock."""
        if gates:
            self.steps.check("gates, begun beside the unit tests (rest of the wait)", gates.finish)
        if fetch:
            self.steps.check("external tools (rest of the wait)", lambda: _await_tools(fetch))
        python = self._venv(self.test_cores[0]) / "bin/python"
        self.steps.check("kubernetes.core", lambda: place_kubernetes_core(tree, python))

    def _say_what_with(self) -> None:
        if self.arguments.gates:
            print(f"gates: {self.gates_core}")
        for core in self.test_cores:
            print(f"tests: {core}, modules on {self._target(core)}")

    def _target(self, core: Core) -> Python:
        """The oldest core serves the oldest target Python; the newest runs modules on its own."""
        oldest = core is self.test_cores[0] and self.arguments.cores != "newest"
        return self.pythons.get(TARGET_MINOR, core.python) if oldest else core.python

    def _venv(self, core: Core) -> Path:
        return WORK / "venvs" / f"tests-{core.release}-3.{core.python.minor}"

    def _target_venv(self, python: Python) -> Path:
        return WORK / "venvs" / f"target-3.{python.minor}"

    def _debian_venv(self) -> Path:
        return WORK / "venvs" / "debian-12"

    def _gates_venv(self) -> Path:
        return WORK / "venvs" / f"gates-{self.gates_core.release}-3.{self.gates_core.python.minor}"

    def _make_venvs(self) -> None:
        with ThreadPoolExecutor(max_workers=2) as pool:
            jobs = []
            if self.arguments.gates:
                files = [SUPPORT / "requirements-gates.txt", CHECKOUT / "docs/requirements.txt", REQUIREMENTS]
                wish = [f"ansible-core~={self.gates_core.release}.0"]
                jobs.append(pool.submit(make_venv, self._gates_venv(), self.gates_core.python, wish, files))
            for core in self.test_cores:
                files = [SUPPORT / "requirements-tests.txt", REQUIREMENTS]
                wish = [f"ansible-core~={core.release}.0"]
                jobs.append(pool.submit(make_venv, self._venv(core), core.python, wish, files))
                target = self._target(core)
                if target is not core.python:
                    files = [SUPPORT / "requirements-target.txt", REQUIREMENTS]
                    jobs.append(pool.submit(make_venv, self._target_venv(target), target, [], files))
            if "integration" in self.arguments.tests:
                jobs.append(pool.submit(make_debian_venv, self._debian_venv(), self.pythons))
            for job in jobs:
                job.result()

    def _run_gates(self) -> None:
        tree = self.scratch / "gates"
        Gates(
            steps=self.steps,
            bin=self._gates_venv() / "bin",
            core=self.gates_core,
            pythons=self.pythons,
            tree=tree,
            collection=make_tree(CHECKOUT, tree),
            home=WORK / "home",
            scratch=self.scratch,
        ).run()

    def _parts(self, kind: str, core: Core) -> list[Part]:
        """What runs with one ansible-core: the markers of the tests, see pyproject.toml, and the Python of modules.

        With the oldest one, what depends on ansible-core runs as on a host with an old Python: the module is a file
        that Ansible copies. All else runs as on a controller, in Ansible's worker, which takes half the time. With the
        newest one, what depends on it runs in the worker.
        """
        too_new = ["not newer"] if core.python.minor < NEWER_MINOR else []
        if core is not self.test_cores[0]:
            return [Part(kind, core, core.python, " and ".join(["not once", *too_new]))]
        target = self._target(core)
        if kind == "unit" or target is core.python or self.arguments.module_files or self.arguments.what == "one":
            return [Part(kind, core, target, " and ".join(too_new))]
        return [
            Part(kind, core, target, " and ".join(["not once", *too_new])),
            Part(kind, core, core.python, " and ".join(["once", *too_new])),
        ]

    def _run_tests(self, part: Part, tree: Path, collection: Path) -> None:
        kind, core, target = part.kind, part.core, part.target
        target_python = self._target_venv(target) / "bin/python" if target is not core.python else None
        environment = child_environment(
            COLLECTIONS_TREE=str(tree),
            HYPOTHESIS_STORAGE_DIRECTORY=str(WORK / "hypothesis"),
        )
        environment.pop("TARGET_PYTHON", None)
        if core is not self.test_cores[0]:
            # the oldest core's run has tried them all; what differs with another Python shows with the first ones
            environment["FEWER_EXAMPLES"] = "4"
        environment["DEBIAN_PYTHON"] = str(self._debian_venv() / "bin/python")
        name = f"{kind} tests, ansible-core {core.release}, Python 3.{core.python.minor}"
        if kind == "integration":
            name += f", modules on 3.{target.minor}" if target_python else ", modules in the worker"
            if target_python:
                environment["TARGET_PYTHON"] = str(target_python)
        command = [self._venv(core) / "bin/python", "-m", "pytest", "-p", "no:cacheprovider", "--durations=5"]
        if self.arguments.what == "one":
            command += self.arguments.pytest
        else:
            # each worker has its own servers; Ansible's start-up is all CPU, servers and sleeps leave some of it
            workers = 3 if kind == "integration" else 2
            command += [f"--numprocesses={workers}", "--dist=worksteal", f"tests/{kind}", *self.arguments.pytest]
        command += ["-m", part.markers]
        with self.steps.step(name):
            try:
                call(command, cwd=collection, env=environment)
            except subprocess.CalledProcessError as error:
                if error.returncode != NO_TESTS or not self.arguments.pytest:
                    raise


if __name__ == "__main__":
    export_cache()
    try:
        sys.exit(Run(parse(sys.argv[1:])).go())
    except KeyboardInterrupt:
        sys.exit(130)
