# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the user's that are run without a shell, for a limited time, with the end of their output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

# bytes of output that are kept, from its end
MAX_OUTPUT = 4000
# seconds between two looks whether a command has ended that says nothing
_PAUSE = 0.05


class Ended(NamedTuple):
    """How a command ended: ``status`` is 0 for success; ``how`` says it for messages, with the end of the output."""

    status: int
    how: str


def with_path(words: Sequence[str], path: str) -> list[str]:
    """Return the words of a command with a path in the place of each ``%s``."""
    return [word.replace("%s", path) for word in words]


def run_words(
    words: Sequence[str], timeout: float, descriptors: Sequence[int] = (), directory: str | None = None
) -> Ended:
    """Run a command to its end. After ``timeout`` seconds it and what it has started are killed.

    What a command leaves running, as one that starts a service does, is not waited for.

    :param descriptors: open files that the command gets.
    :param directory: where it is run, None for the current directory.
    """
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=directory,
            pass_fds=descriptors,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        return Ended(127, f"cannot be run: {getattr(exc, 'strerror', None) or exc}")
    deadline = time.monotonic() + timeout
    output = b""
    try:
        output = _listen(process, deadline)
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        is_late = process.returncode is None
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    text = output.decode("utf-8", "replace").strip()
    said = f": {text}" if text else ""
    if is_late:
        return Ended(124, f"did not end within {timeout:g} s, and was killed{said}")
    if process.returncode:
        return Ended(process.returncode, f"ended with status {process.returncode}{said}")
    return Ended(0, f"succeeded{said}")


def _listen(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return the end of the output once the process has ended, or the time is up."""
    output = b""
    if process.stdout is None:
        return output
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        is_open = True
        while True:
            has_ended = process.poll() is not None
            if is_open and selector.select(0 if has_ended else _PAUSE):
                chunk = process.stdout.read(65536)
                if chunk:
                    output = (output + chunk)[-MAX_OUTPUT:]
                    if time.monotonic() < deadline:
                        continue
                else:
                    is_open = False
                    selector.unregister(process.stdout)
            elif not is_open and not has_ended:
                time.sleep(_PAUSE)
            if has_ended or time.monotonic() >= deadline:
                return output
