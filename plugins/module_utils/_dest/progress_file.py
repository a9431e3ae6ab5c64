# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file beside the record of ``dest`` that says how far a pull is; there is none for short ones.

Its writer is named by number, start and boot, so that what a killed run left behind is known as such.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from .._files.directory_handles import open_file_at
from .._files.users import belongs_to_us

FILE_NAME = "progress"
MAX_SIZE = 64 * 1024
# Seconds after which a file counts as left behind where the system cannot tell whether its writer is alive.
MAX_AGE = 120.0
_NEW = FILE_NAME + ".new"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_progress(control: int, document: Mapping[str, Any]) -> None:
    """Replace the file in an open control directory. A pull does not fail for it: errors are ignored."""
    writer = {"pid": os.getpid(), "started": _start_of(os.getpid()), "boot": _boot(), "time": time.time()}
    with contextlib.suppress(OSError):
        _unlink(_NEW, control)
        descriptor = os.open(_NEW, _CREATE, 0o600, dir_fd=control)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(json.dumps({**document, "writer": writer}))
        os.replace(_NEW, FILE_NAME, src_dir_fd=control, dst_dir_fd=control)


def remove_progress(control: int) -> None:
    """Remove the file, also that of a killed run. To be called under the lock of ``dest``."""
    for name in (_NEW, FILE_NAME):
        _unlink(name, control)


def load_progress(control: int) -> dict[str, Any]:
    """What a running pull says in an open control directory; empty when there is none, or it has said nothing yet.

    ``updated`` is when it did (seconds since 1970).
    """
    try:
        with os.fdopen(open_file_at(os.fsencode(FILE_NAME), control), "rb") as stream:
            if not belongs_to_us(os.fstat(stream.fileno())):
                return {}
            document = json.loads(stream.read(MAX_SIZE))
        writer = document.pop("writer")
        is_alive = _is_alive(int(writer["pid"]), str(writer["started"]), str(writer["boot"]), float(writer["time"]))
        return {**document, "updated": float(writer["time"])} if is_alive else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _is_alive(pid: int, started: str, boot: str, written: float) -> bool:
    if not started or not _start_of(os.getpid()):
        return 0 <= time.time() - written <= MAX_AGE
    return boot == _boot() and started == _start_of(pid)


def _start_of(pid: int) -> str:
    """When a process was started, in the system's own unit; empty when there is none, or no way to know."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            # the name before it may hold anything (proc(5))
            return stream.read(4096).rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError, ValueError):
        return ""


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read(64).strip()
    except OSError:
        return ""


def _unlink(name: str, control: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=control)
