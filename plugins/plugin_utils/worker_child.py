# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process that runs a module which is imported already, as a new interpreter would."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import selectors
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import needed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.progress_lines import send_lines

# Of what a module may write to both its outputs; results are bounded to much less by the modules themselves.
MAX_OUTPUT = 256 * 1024 * 1024
# of one message
_MAX_MESSAGE = 64 * 1024
# Seconds for which the pipes of a child that has ended are read on: what it wrote is there already.
_REST = 1.0


class TooMuchOutput(Exception):
    """A module wrote more than MAX_OUTPUT."""


def run_child(
    module: ModuleType,
    arguments: bytes,
    environment: Mapping[str, str],
    folder: str,
    hear: Callable[[Mapping[str, Any]], None],
) -> tuple[int, str, str]:
    """Fork, and run ``module.main`` in the child; returns its exit code, and what it wrote to both its outputs.

    The code of a child that was ended by a signal is that of a shell: 128 and the number of the signal. When this
    process is interrupted, as by the ``timeout`` of a task, the child is killed.

    :param arguments: what Ansible hands to a module, as JSON.
    :param environment: variables that the child has beside those of this process.
    :param folder: the working directory of the child.
    :param hear: is called with what the child says beside its outputs, while it runs: see :func:`say`.
    """
    readers, writers = zip(*(os.pipe() for _each in range(3)))
    child = os.fork()
    if child == 0:
        _be_the_module(module, arguments, environment, folder, readers, writers)
    try:
        for end in writers:
            os.close(end)
        out, err = _Listener(child, readers, hear).listen()
        _pid, status = os.waitpid(child, 0)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if not isinstance(exc, TooMuchOutput):
            raise
        return 1, "", f"The module wrote more than {MAX_OUTPUT} bytes, and was ended.\n"
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        err += f"\nThe module was ended by signal {-code} ({_name(-code)}).\n".encode()
        code = 128 - code
    return code, _text(out), _text(err)


def _name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return "of real time"


_speaking = -1


def say(**message: Any) -> None:
    """In a child: tell the worker something, while the module runs. Does nothing in any other process."""
    if _speaking >= 0:
        with contextlib.suppress(OSError):
            os.write(_speaking, json.dumps(message).encode("ascii") + b"\n")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode("utf-8")


class _Listener:
    """Reads what a child writes, until it has ended and nothing is left.

    A program that the module left behind may hold on to the outputs; it is not waited for where the system can tell
    that the child itself has ended.
    """

    def __init__(self, child: int, readers: Sequence[int], hear: Callable[[Mapping[str, Any]], None]) -> None:
        self._out, self._err, self._messages = readers
        self._found = {reader: io.BytesIO() for reader in readers}
        self._hear = hear
        self._unheard = b""
        self._size = 0
        self._open = set(readers)
        self._handle = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._handle = os.pidfd_open(child)

    def listen(self) -> tuple[bytes, bytes]:
        """What was written to the outputs.

        :raises TooMuchOutput: as soon as it is.
        """
        ends: float | None = None
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in [*self._open, *([self._handle] if self._handle >= 0 else [])]:
                    selector.register(descriptor, selectors.EVENT_READ)
                while self._open:
                    ready = [key.fd for key, _events in selector.select(None if ends is None else 0)]
                    if self._handle in ready:
                        selector.unregister(self._handle)
                        ends = time.monotonic() + _REST
                    elif ends is not None and (not ready or time.monotonic() > ends):
                        break
                    for descriptor in self._open.intersection(ready):
                        if not self._take(descriptor):
                            selector.unregister(descriptor)
                            self._open.discard(descriptor)
        finally:
            for descriptor in [*self._found, *([self._handle] if self._handle >= 0 else [])]:
                os.close(descriptor)
        return self._found[self._out].getvalue(), self._found[self._err].getvalue()

    def _take(self, descriptor: int) -> bool:
        data = os.read(descriptor, 65536)
        if descriptor == self._messages:
            self._listen_to(data)
            return bool(data)
        self._size += len(data)
        if self._size > MAX_OUTPUT:
            raise TooMuchOutput
        self._found[descriptor].write(data)
        return bool(data)

    def _listen_to(self, data: bytes) -> None:
        *lines, rest = (self._unheard + data).split(b"\n")
        self._unheard = rest if len(rest) <= _MAX_MESSAGE else b""
        for line in lines:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    self._hear(message)


def _be_the_module(
    module: ModuleType,
    arguments: bytes,
    environment: Mapping[str, str],
    folder: str,
    readers: Sequence[int],
    writers: Sequence[int],
) -> None:
    """Be the process of a module; never returns."""
    global _speaking
    code = 1
    try:
        for end in readers:
            # here, too, it has to be seen that nobody reads any more
            os.close(end)
        # what is here already is not looked at again by collections of garbage
        gc.freeze()
        before = frozenset(sys.modules)
        out, err, _speaking = writers
        _leave_the_worker(out, err)
        _be_somewhere(environment, folder)
        _be_no_controller()
        _place_arguments(arguments)
        send_lines(say)
        code = _run_main(module)
        # as at the end of an interpreter: threads that are no daemons are waited for
        getattr(threading, "_shutdown", lambda: None)()
        # what the module left to be done at its end, such as its temporary directory
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        say(imported=needed(before))
    except BaseException:
        with contextlib.suppress(BaseException):
            os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _leave_the_worker(out: int, err: int) -> None:
    """Take nothing along that is the worker's: handlers of signals, what it does at its end, its outputs.

    Its other descriptors stay open: objects of the worker that are collected here would close those of the module,
    which would get the same numbers. A program that the module starts does not get them.
    """
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # the worker's time limit is not the module's
    signal.alarm(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    atexit._clear()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    for done in (nothing, out, err):
        os.close(done)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115  # as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115  # as long as the process


def _be_somewhere(environment: Mapping[str, str], folder: str) -> None:
    """Have the environment and the working directory of a module, and nothing that was worked out from others."""
    os.environ.update(environment)
    os.chdir(folder)
    if "PWD" in os.environ and "PWD" not in environment:
        os.environ["PWD"] = folder  # as a shell does
    tempfile.tempdir = None
    time.tzset()


def _be_no_controller() -> None:
    """Have ansible.module_utils collect warnings for the result, as in a module, instead of showing them."""
    from ansible.module_utils.common import warnings

    with contextlib.suppress(ImportError):
        from ansible.module_utils import _internal  # from 2.19 on
        from ansible.module_utils._internal import _traceback

        _internal.is_controller = False
        _internal.import_controller_module = lambda _name, /: None
        _internal.get_controller_serialize_map = dict
        _traceback._is_traceback_enabled = _traceback._is_module_traceback_enabled
    for collected in ("_global_warnings", "_global_deprecations"):
        getattr(warnings, collected).clear()


def _place_arguments(arguments: bytes) -> None:
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = arguments
    basic._ANSIBLE_PROFILE = "legacy"


def _run_main(module: Any) -> int:
    try:
        try:
            module.main()
        except Exception as exc:
            _report(exc)
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return exc.code or 0
        print(exc.code, file=sys.stderr)  # as an interpreter does at its end
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _report(error: Exception) -> None:
    """Make an error that the module did not handle its result, as what Ansible puts around modules does."""
    try:
        from ansible.module_utils._internal._ansiballz._loader import _handle_exception  # from 2.19 on
    except ImportError:
        raise error from None
    _handle_exception(error, "legacy")
