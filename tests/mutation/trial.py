# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs unit tests on changed code without starting Python, or importing anything, for each change.

pytest collects the tests once. Then each change is tried in a fork of that process, in which the changed functions get
their new code, and the tests run that call one of them, the quickest first. What survives is tried once more, with the
changed file on the disk, a new process and all tests of the module: a function that is called while modules are
imported, or for a fixture that several tests share, is not seen to be called by each of them.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import hypothesis
import pytest

# the first counterexample will do, and each run tries the same ones
hypothesis.settings.register_profile(
    "mutation",
    database=None,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

PASSED, FAILED, TIMED_OUT, CANNOT_TELL = "passed", "failed", "timed out", "cannot tell"
_PASSED, _FAILED, _CANNOT_TELL = 0, 1, 9
_OUTCOMES = {_PASSED: PASSED, _CANNOT_TELL: CANNOT_TELL}
_LEAST_CPU, _MORE_TIME, _MEMORY = 5, 10, 4 << 30
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")


class TestsFail(Exception):
    """The tests do not pass with the code unchanged."""


class Trials:
    """A pytest plugin: instead of running the tests once, it lets ``work`` try changes of ``target`` with them."""

    def __init__(self, collection: Path, target: Path, work: Callable[[Trials], None]) -> None:
        self._module = ".".join(target.with_suffix("").relative_to(collection.parents[2]).parts)
        self._target = os.path.realpath(target)
        # a module knows its file by the path that it was found on
        self._files: dict[str, bool] = {}
        self._original = _functions(compile(target.read_text(encoding="utf-8"), self._target, "exec"))
        self._work = work
        self._items: list[Any] = []
        self._failed = False
        self._loaded: list[FunctionType] = []
        self._noticed: dict[str, int] = {}
        self._calls: dict[str, set[str]] = {}
        self._seconds: dict[str, float] = {}
        # of those seconds, on a busy machine, the tests themselves had the processor for a part
        self._cpu_share = 1.0

    def pytest_runtestloop(self, session: Any) -> bool:
        if session.testsfailed:
            raise TestsFail("they cannot be collected")
        self._items = session.items
        importlib.import_module(self._module)
        self._loaded = [
            each for each in gc.get_objects() if isinstance(each, FunctionType) and self._is_target(each.__code__)
        ]
        self._look()
        # else each child copies the memory of all objects as it looks through them for garbage
        gc.disable()
        gc.freeze()
        self._work(self)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._failed = self._failed or report.failed
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def run(self, source: str, function: str, timeout: float) -> str:
        """How the tests of ``function`` end with the changed source."""
        name = _outer(function, self._original)
        items = [item for item in self._items if name in self._calls.get(item.nodeid, ())]
        # first what is quick and what has noticed another change
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0) / (1 + self._noticed.get(item.nodeid, 0)))
        expected = sum(self._seconds.get(item.nodeid, 0.0) for item in items)
        readable, writable = os.pipe()
        outcome = self._fork(lambda: self._run_changed(source, items, writable), timeout, expected)
        os.close(writable)
        with open(readable, "rb") as stream:
            noticed = stream.read().decode("utf-8") if outcome == FAILED else ""
        if noticed:
            self._noticed[noticed] = self._noticed.get(noticed, 0) + 1
        return outcome

    def _run_changed(self, source: str, items: Sequence[Any], writable: int) -> int:
        if not self._replace(source):
            return _CANNOT_TELL
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                os.write(writable, item.nodeid.encode("utf-8"))
                return _FAILED
        return _PASSED

    def _replace(self, source: str) -> bool:
        """Give the functions of the file the code that they have in ``source``; False when that is not possible."""
        changed = _functions(compile(source, self._target, "exec"))
        different = {name for name, code in self._original.items() if changed.get(name) != code}
        if not different:
            return self._replace_defaults(_defaults(source))
        found = set()
        for each in self._loaded:
            name = each.__qualname__
            if name in different and each.__code__.co_firstlineno == self._original[name].co_firstlineno:
                try:
                    each.__code__ = changed[name]
                except (KeyError, ValueError):
                    return False
                found.add(name)
        return found == different

    def _replace_defaults(self, changed: dict[str, dict[str, Any]]) -> bool:
        """The same for the values that parameters have when they are not given."""
        found = False
        for each in self._loaded:
            values = changed.get(each.__qualname__, {})
            names = each.__code__.co_varnames[: each.__code__.co_argcount][-len(each.__defaults__ or ()) :]
            positional = tuple(values.get(name, old) for name, old in zip(names, each.__defaults__ or ()))
            by_name = {name: values.get(name, old) for name, old in (each.__kwdefaults__ or {}).items()}
            if (positional, by_name) != (each.__defaults__ or (), each.__kwdefaults__ or {}):
                each.__defaults__, each.__kwdefaults__ = positional or None, by_name or None
                found = True
        return found

    def _is_target(self, code: CodeType) -> bool:
        name = code.co_filename
        if name not in self._files:
            self._files[name] = os.path.realpath(name) == self._target
        return self._files[name]

    def _look(self) -> None:
        """Run all tests once, and note which functions each calls.

        :raises TestsFail: when one does not pass.
        """
        readable, writable = os.pipe()
        with open(readable, "rb") as stream:
            process = os.fork()
            if process == 0:
                self._end_with(lambda: self._observe(writable))
            os.close(writable)
            data = stream.read()
        _process, status = os.waitpid(process, 0)
        if os.waitstatus_to_exitcode(status) != _PASSED:
            raise TestsFail("one fails")
        calls, self._seconds, cpu = json.loads(data)
        self._cpu_share = min(1.0, cpu / max(sum(self._seconds.values()), 0.001))
        self._calls = {nodeid: set(names) for nodeid, names in calls.items()}

    def _observe(self, writable: int) -> int:
        calls: dict[str, list[str]] = {}
        called: set[str] = set()

        def note(code: CodeType, _offset: int) -> object:
            if not self._is_target(code):
                return sys.monitoring.DISABLE
            called.add(code.co_qualname)
            return None

        events = sys.monitoring.events
        sys.monitoring.use_tool_id(sys.monitoring.PROFILER_ID, "mutation")
        for event in (events.PY_START, events.PY_RESUME):
            sys.monitoring.register_callback(sys.monitoring.PROFILER_ID, event, note)
        sys.monitoring.set_events(sys.monitoring.PROFILER_ID, events.PY_START | events.PY_RESUME)
        for number, item in enumerate(self._items):
            called.clear()
            following = self._items[number + 1] if number + 1 < len(self._items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return _FAILED
            calls[item.nodeid] = sorted({_outer(name, self._original) for name in called})
        with open(writable, "wb") as stream:
            stream.write(json.dumps([calls, self._seconds, time.process_time()]).encode("utf-8"))
        return _PASSED

    def _fork(self, run: Callable[[], int], timeout: float, expected: float) -> str:
        sys.stdout.flush()
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            os.setpgid(0, 0)
            # what does not end shall not take the machine's time or memory, however busy it is
            seconds = int(_LEAST_CPU + _MORE_TIME * expected * self._cpu_share)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            self._end_with(run)
        # on a busy machine all tests together may take longer than one of them would wait
        timeout += _MORE_TIME * expected
        pause = 0.001
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return _OUTCOMES.get(os.waitstatus_to_exitcode(status), FAILED)
            if time.monotonic() - started > timeout:
                # the child leads a group of its own
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return TIMED_OUT
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    @staticmethod
    def _end_with(run: Callable[[], int]) -> None:
        code = _FAILED
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            code = run()
        finally:
            os._exit(code)


def try_with(collection: Path, target: Path, tests: Sequence[str], work: Callable[[Trials], None]) -> None:
    """Collect ``tests`` (paths in the collection) and let ``work`` try changes of the file ``target``.

    :raises TestsFail: when the tests do not pass with the code unchanged.
    """
    os.chdir(collection)
    failures: list[BaseException] = []

    def guarded(trials: Trials) -> None:
        try:
            work(trials)
        except BaseException as exc:
            failures.append(exc)
            raise

    with open(os.devnull, "w") as nowhere:
        said, sys.stdout = sys.stdout, nowhere
        try:
            trials = Trials(collection, target, guarded)
            code = pytest.main([*PYTEST, "-s", "--hypothesis-profile=mutation", *tests], [trials])
        finally:
            sys.stdout = said
    if failures:
        raise failures[0]
    if code:
        raise TestsFail(f"pytest says {code}")


def passes_anew(collection: Path, target: Path, source: str, tests: Sequence[str], timeout: float) -> bool:
    """Whether all tests pass in a new process with the changed source on the disk."""
    original = target.read_text(encoding="utf-8")
    target.write_text(source, encoding="utf-8")
    try:
        # a file that is changed twice within a second would be taken for its compiled predecessor
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", *PYTEST, *tests]
        done = subprocess.run(
            command, cwd=collection, env=environment, capture_output=True, check=False, timeout=timeout
        )
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        target.write_text(original, encoding="utf-8")


def _functions(code: CodeType, prefix: str = "") -> dict[str, CodeType]:
    """The functions of a module and the methods of its classes, by their dotted names; not what is within functions."""
    found: dict[str, CodeType] = {}
    for each in code.co_consts:
        if isinstance(each, CodeType) and not each.co_name.startswith("<"):
            name = f"{prefix}{each.co_name}"
            # CO_NEWLOCALS with CO_OPTIMIZED is a function; a class body is neither
            if each.co_flags & 0x1:
                found[name] = each
            else:
                found.update(_functions(each, f"{name}."))
    return found


def _defaults(source: str) -> dict[str, dict[str, Any]]:
    """The default values of parameters that are constants, by the dotted name of the function, and the name."""
    found: dict[str, dict[str, Any]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.ClassDef):
                visit(each, f"{prefix}{each.name}.")
            elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = each.args
                named = [*given.posonlyargs, *given.args]
                pairs = [*zip(named[len(named) - len(given.defaults) :], given.defaults)]
                pairs += [pair for pair in zip(given.kwonlyargs, given.kw_defaults) if pair[1] is not None]
                constants = {name.arg: value.value for name, value in pairs if isinstance(value, ast.Constant)}
                found[f"{prefix}{each.name}"] = constants

    visit(ast.parse(source), "")
    return found


def _outer(name: str, known: dict[str, CodeType]) -> str:
    """The function of the module, or the method, that a function is in."""
    parts = name.split(".<locals>", 1)[0].split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in known:
            return ".".join(parts[:length])
    return name
