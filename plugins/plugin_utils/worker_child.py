# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A child process that runs a module which is imported already, as a new interpreter would."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def run_child(module: ModuleType, arguments: bytes, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Fork, and run ``module.main`` in the child; returns its exit code, and what it wrote to both its outputs.

    :param arguments: what Ansible hands to a module, as JSON.
    :param environment: variables that the child has beside those of this process.
    """
    pipes = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_module(module, arguments, environment, pipes[0][1], pipes[1][1])
    for _reading, writing in pipes:
        os.close(writing)
    try:
        out, err = _read_all(pipes[0][0], pipes[1][0])
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        err += f"\nThe module was ended by signal {-code} ({signal.Signals(-code).name}).\n".encode()
    return code, _text(out), _text(err)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode("utf-8")


def _read_all(*readers: int) -> list[bytes]:
    found = {reader: io.BytesIO() for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _events in selector.select():
                data = os.read(key.fd, 65536)
                found[key.fd].write(data)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [found[reader].getvalue() for reader in readers]


def _be_the_module(module: ModuleType, arguments: bytes, environment: Mapping[str, str], out: int, err: int) -> None:
    """Be the process of a module; never returns."""
    code = 1
    try:
        _leave_the_worker(out, err)
        os.environ.update(environment)
        _be_no_controller()
        _place_arguments(arguments)
        code = _run_main(module)
        # what the module left to be done at its end, such as its temporary directory
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
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


def _be_no_controller() -> None:
    """Have ansible.module_utils collect warnings for the result, as in a module, instead of showing them."""
    from ansible.module_utils.common import warnings

    with contextlib.suppress(ImportError):
        from ansible.module_utils import _internal  # from 2.19 on

        _internal.is_controller = False
    for collected in ("_global_warnings", "_global_deprecations"):
        getattr(warnings, collected).clear()


def _place_arguments(arguments: bytes) -> None:
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = arguments
    basic._ANSIBLE_PROFILE = "legacy"


def _run_main(module: Any) -> int:
    try:
        module.main()
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
