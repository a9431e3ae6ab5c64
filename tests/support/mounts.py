# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real mounts for tests, in a mount namespace that ends with the child process that it was made for."""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from pathlib import Path
from typing import Callable

import pytest

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_NO_NAMESPACE = 77

_libc = ctypes.CDLL(None, use_errno=True)


def in_mount_namespace(work: Callable[[], None]) -> None:
    """Call ``work`` in a child process whose mounts nobody else sees; what it raises fails the test.

    The test is skipped where the kernel gives no such namespace.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            code = _run(work, writer)
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as stream:
        report = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _NO_NAMESPACE:
        pytest.skip("this machine gives the tests no mount namespace of their own")
    assert code == 0, report


def _run(work: Callable[[], None], writer: int) -> int:
    try:
        if _libc.unshare(_CLONE_NEWNS) or _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
            return _NO_NAMESPACE
        work()
        return 0
    except BaseException:
        os.write(writer, traceback.format_exc().encode(errors="replace"))
        return 1
    finally:
        sys.stdout.flush()


def bind(source: Path, target: Path) -> None:
    """Mount a file or directory at the place of another one, as ``mount --bind`` does."""
    if _libc.mount(bytes(source), bytes(target), None, _MS_BIND, None):
        raise OSError(ctypes.get_errno(), f"cannot mount {source} at {target}")
