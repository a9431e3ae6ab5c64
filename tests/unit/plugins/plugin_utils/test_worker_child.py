# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child that runs a module: whatever becomes of it, the process that started it goes on and knows why."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import worker_child
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child, say

ARGUMENTS = b'{"ANSIBLE_MODULE_ARGS": {}}'


def run(
    main: Callable[[], Any], folder: Path = Path("/"), environment: Mapping[str, str] | None = None
) -> tuple[int, str, str, list[Mapping[str, Any]]]:
    module, heard = ModuleType("module"), list[Mapping[str, Any]]()
    module.main = main  # type: ignore[attr-defined]
    open_before, children_before = set(os.listdir("/proc/self/fd")), children()
    found = run_child(module, ARGUMENTS, environment or {}, str(folder), heard.append)
    # what another test left open may be closed meanwhile
    assert set(os.listdir("/proc/self/fd")) <= open_before
    assert children() <= children_before, "one is left to be waited for"
    return (*found, heard)


def children() -> set[int]:
    """The processes that this one started and has not waited for; another test may have left one that goes on."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                found.add(int(status.parent.name))
    return found


def ends_with(code: Any) -> Callable[[], None]:
    def main() -> None:
        print("said")
        sys.exit(code)

    return main


def fail() -> None:
    raise KeyError("unforeseen")


def kill(number: int) -> Callable[[], None]:
    def main() -> None:
        print("said", flush=True)
        # neither a core file beside the tests nor the stack that pytest prints
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), number)
        time.sleep(60)

    return main


def eat_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[0], resource.RLIM_INFINITY))
    # beside what other tests have taken in this process, such as for threads
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, resource.RLIM_INFINITY))
    held = []
    while True:
        held.append(bytearray(2**26))


@pytest.mark.parametrize(
    ("main", "code", "out", "err"),
    [
        (lambda: print("said"), 0, "said\n", ""),
        (ends_with(0), 0, "said\n", ""),
        (ends_with(None), 0, "said\n", ""),
        (ends_with(7), 7, "said\n", ""),
        (ends_with("odd"), 1, "said\n", "odd\n"),
        (lambda: os._exit(3), 3, "", ""),
        (kill(signal.SIGKILL), 137, "said\n", "signal 9 (SIGKILL)"),
        (kill(signal.SIGSEGV), 139, "said\n", "signal 11 (SIGSEGV)"),
        (kill(signal.SIGRTMIN + 3), 128 + signal.SIGRTMIN + 3, "said\n", "(of real time)"),
        (kill(signal.SIGTERM), 143, "said\n", "signal 15 (SIGTERM)"),
        (kill(signal.SIGINT), 1, "said\n", "KeyboardInterrupt"),
        (kill(signal.SIGALRM), 142, "said\n", "signal 14 (SIGALRM)"),
        (lambda: os.write(1, b"a\xff\xc3"), 0, "a??", ""),
        (lambda: print("ü\udc80"), 0, "ü?\n", ""),
    ],
)
def test_how_it_ended(main: Callable[[], Any], code: int, out: str, err: str) -> None:
    found_code, found_out, found_err, _heard = run(main)
    assert (found_code, found_out) == (code, out)
    assert err in found_err and bool(err) == bool(found_err)


@pytest.mark.parametrize("main", [fail, eat_memory])
def test_what_a_module_did_not_foresee_is_said_as_ansible_says_it(main: Callable[[], None]) -> None:
    """From ansible-core 2.19 on as a result, before as a traceback: as around a module that is a process of its own."""
    code, out, err, _heard = run(main)
    assert code == 1
    assert ("KeyError" if main is fail else "MemoryError") in out + err or json.loads(out)["failed"] is True


def test_more_output_than_the_worker_would_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        while True:
            os.write(1, b"x" * 65536)

    monkeypatch.setattr(worker_child, "MAX_OUTPUT", 2**20)
    code, out, err, _heard = run(main)
    assert (code, out) == (1, "") and "1048576 bytes" in err
    assert run(lambda: print("y" * (2**20 - 1)))[:2] == (0, "y" * (2**20 - 1) + "\n")


def test_a_program_that_is_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    """It has the outputs of the module, as a daemon that a credential helper starts."""

    def main() -> None:
        left = subprocess.Popen(["sleep", "600"])
        (tmp_path / "left").write_text(str(left.pid))
        print("said")

    assert run(main)[:3] == (0, "said\n", "")
    left = int((tmp_path / "left").read_text())
    assert b"sleep" in Path(f"/proc/{left}/cmdline").read_bytes()  # it has not ended meanwhile
    os.kill(left, signal.SIGKILL)


def test_an_interruption_of_the_worker_ends_the_child(tmp_path: Path) -> None:
    """This is what the keyword timeout does, and what Ctrl-C does where it reaches the worker alone."""

    class TimedOut(BaseException):
        pass

    def main() -> None:
        (tmp_path / "child").write_text(str(os.getpid()))
        say(ready=True)
        time.sleep(600)

    def interrupt(_number: int, _frame: Any) -> None:
        raise TimedOut

    module = ModuleType("module")
    module.main = main  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(TimedOut):
            # not by the child, which may have begun before its worker looks after it
            run_child(module, ARGUMENTS, {}, "/", lambda _message: signal.setitimer(signal.ITIMER_REAL, 0.01))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not Path(f"/proc/{(tmp_path / 'child').read_text()}").exists()


def test_an_interruption_right_after_the_start_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, before, close = os.getpid(), children(), os.close
    open_before = set(os.listdir("/proc/self/fd"))

    def interrupted(descriptor: int) -> None:
        close(descriptor)
        if os.getpid() == worker:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "close", interrupted)
    module = ModuleType("module")
    module.main = lambda: time.sleep(600)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        run_child(module, ARGUMENTS, {}, "/", lambda _message: None)
    assert children() <= before
    # those of the pipes, which end with the worker
    for descriptor in set(os.listdir("/proc/self/fd")) - open_before:
        with contextlib.suppress(OSError):
            close(int(descriptor))


def test_a_module_whose_worker_is_gone_does_not_wait_for_it(tmp_path: Path) -> None:
    def main() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        try:
            os.write(1, b"x" * 2**20)
        finally:
            (tmp_path / "end").touch()

    worker = os.fork()
    if worker == 0:
        module = ModuleType("module")
        module.main = main  # type: ignore[attr-defined]
        run_child(module, ARGUMENTS, {}, "/", lambda _message: None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while not (tmp_path / "end").exists():
        assert time.monotonic() < deadline, "it waits for somebody who reads"
        time.sleep(0.05)


def test_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/elsewhere")
    monkeypatch.setenv("TZ", "UTC")
    tempfile.gettempdir()

    def main() -> None:
        umask = os.umask(0)
        shown = [
            os.getcwd(),
            os.environ["PWD"],
            os.environ["OWN"],
            tempfile.gettempdir(),
            time.strftime("%H", time.localtime(0)),
        ]
        print(json.dumps([*shown, umask, sys.stdin.read()]))
        os.environ["LEFT"] = "x"

    folder = tmp_path / "folder"
    folder.mkdir()
    before, umask = os.getcwd(), os.umask(0o027)
    try:
        _code, out, err, _heard = run(main, folder, {"OWN": "ü", "TMPDIR": str(tmp_path), "TZ": "XYZ-5"})
    finally:
        os.umask(umask)
    assert err == ""
    assert json.loads(out) == [str(folder), str(folder), "ü", str(tmp_path), "05", 0o027, ""]
    assert (os.getcwd(), "LEFT" in os.environ, "OWN" in os.environ) == (before, False, False)
    assert run(lambda: None, tmp_path / "none")[0] == 1


def test_nothing_of_the_worker_runs_in_it() -> None:
    noted: list[str] = []
    atexit.register(noted.append, "end of the worker")
    thresholds = gc.get_threshold()

    def main() -> None:
        atexit.register(print, "end of the module")
        print(gc.isenabled(), gc.get_threshold() == thresholds, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)

    before = signal.signal(signal.SIGTERM, lambda *_arguments: None)
    try:
        assert run(main)[1] == "True True True\nend of the module\n"
    finally:
        signal.signal(signal.SIGTERM, before)
        atexit.unregister(noted.append)
    assert gc.get_freeze_count() == 0


def test_threads_of_the_module_come_to_their_end() -> None:
    def late() -> None:
        time.sleep(0.3)
        print("late")

    def main() -> None:
        threading.Thread(target=late).start()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        sys.exit(3)

    assert run(main)[:3] == (3, "late\n", "")


def test_it_is_no_controller_for_the_code_of_modules() -> None:
    """Warnings and deprecations are collected for the result, and arguments come from where a module looks for them."""
    from ansible.module_utils.basic import AnsibleModule

    def main() -> None:
        module = AnsibleModule(argument_spec={"name": {"type": "str"}})
        module.warn("a warning")
        module.deprecate("a deprecation", version="9.0.0", collection_name="cloudnative.artifacts")
        module.exit_json(name=module.params["name"])

    module = ModuleType("module")
    module.main = main  # type: ignore[attr-defined]
    code, out, err = run_child(module, b'{"ANSIBLE_MODULE_ARGS": {"name": "x"}}', {}, "/", lambda _message: None)
    result = json.loads(out)
    assert (code, err, result["name"]) == (0, "", "x")
    assert "a warning" in str(result["warnings"]) and "a deprecation" in str(result["deprecations"])


def test_what_it_says_is_heard_while_it_runs() -> None:
    heard: list[int] = []
    module = ModuleType("module")

    def main() -> None:
        for number in range(3):
            say(number=number, text="ü")
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(600)

    class Enough(Exception):
        pass

    def enough(_number: int, _frame: Any) -> None:
        if len(heard) == 3:
            raise Enough
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    module.main = main  # type: ignore[attr-defined]
    before = {number: signal.signal(number, enough) for number in (signal.SIGUSR1, signal.SIGALRM)}
    try:
        with pytest.raises(Enough):
            run_child(module, ARGUMENTS, {}, "/", lambda message: heard.append(message["number"]))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == [0, 1, 2]
    say(number=3)  # nobody listens here


def test_what_is_no_message_is_not_heard() -> None:
    def main() -> None:
        for line in (b"[]\n", b"{\n", b"\xff\n", b"x" * 200_000 + b"\n"):
            os.write(worker_child._speaking, line)
        say(text="after")

    assert run(main)[3][0] == {"text": "after"}


def test_imports_are_told() -> None:
    name = "ansible_collections.cloudnative.artifacts.plugins.module_utils._cloud.jwt"
    sys.modules.pop(name, None)

    def main() -> None:
        __import__(name)

    assert {"imported": ["_cloud.jwt"]}.items() <= run(main)[3][-1].items() or "_cloud.jwt" in run(main)[3][-1][
        "imported"
    ]
    assert run(lambda: None)[3] == [{"imported": []}]
    assert name not in sys.modules


def test_children_of_other_tests_do_not_matter_and_those_left_here_are_seen() -> None:
    other = subprocess.Popen(["sleep", "600"])
    try:
        assert other.pid in children()
        assert run(lambda: print("said"))[:2] == (0, "said\n")
    finally:
        other.kill()
        other.wait()
    assert other.pid not in children()
