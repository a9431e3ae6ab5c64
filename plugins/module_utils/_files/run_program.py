# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program for a limited time, takes a limited part of what it says, and leaves nothing of it running.

The one place for programs whose output is of use. Commands of the user's whose success alone counts, and which may
leave a service behind, are run by :mod:`.._ops.command`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Callable, NamedTuple, Union

# what a program gets as an input or output: a descriptor, a file, or None for the one of this process
Stream = Union[int, IO[Any], None]

_READ_SIZE = 64 * 1024
# seconds between two checks whether the program has ended while another process holds its output open
_POLL_INTERVAL = 0.2
# seconds between two checks whether a program has ended that holds no output open: the first, and the most
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05


class OutputTooLong(Exception):
    """A program wrote more than it may, and was ended."""


class Ran(NamedTuple):
    """How a program ended: its exit code, negative for a signal, and what it wrote to pipes."""

    status: int
    output: bytes
    errors: bytes


def run_program(
    words: Sequence[str],
    text: bytes = b"",
    *,
    timeout: float,
    most: int,
    cut_errors: bool = False,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Ran:
    """Run a program to its end, and return what it wrote to pipes.

    It gets a process group of its own. All processes of the group are killed at the end: when the time is up, when it
    wrote too much, when this process is interrupted, and also what it left behind when it ended by itself.

    :param text: what is sent to its standard input, in place of ``stdin``.
    :param timeout: seconds.
    :param most: bytes, each of standard output and standard error.
    :param cut_errors: what is more on standard error is read and dropped, in place of an error.
    :param prepare: called in the new process before the program.
    :raises OSError: when it cannot be started.
    :raises subprocess.TimeoutExpired: when it took too long.
    :raises OutputTooLong: when it wrote too much.
    """
    deadline = time.monotonic() + timeout
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE if text else stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        cwd=cwd,
        env=env,
        preexec_fn=prepare,
        start_new_session=True,
    )
    with process:
        try:
            output, errors = _converse(process, text, deadline, most, cut_errors)
            pause = _FIRST_PAUSE
            while not _has_ended(process):
                _check_time(process, deadline)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            # the group's number cannot be reused before its leader has been waited for
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return Ran(process.returncode, output, errors)


def _converse(
    process: subprocess.Popen[bytes], text: bytes, deadline: float, most: int, cut_errors: bool
) -> tuple[bytes, bytes]:
    """Send the text; return standard output and error, read until the program has ended or closed them."""
    output, errors = bytearray(), bytearray()
    unsent = memoryview(text)
    with selectors.DefaultSelector() as selector:
        for pipe, taken in ((process.stdin, None), (process.stdout, output), (process.stderr, errors)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_WRITE if taken is None else selectors.EVENT_READ, taken)
        while selector.get_map():
            ready = selector.select(_POLL_INTERVAL)
            for key, _events in ready:
                if key.data is None:
                    unsent = unsent[_send(key.fd, unsent) :]
                    is_done = not unsent
                else:
                    is_done = not _take(key.fd, key.data, most, cut_errors and key.data is errors)
                if is_done:
                    selector.unregister(key.fileobj)
                    if key.data is None and process.stdin is not None:
                        process.stdin.close()
            # a child process of the program may hold the output open
            if not ready and _has_ended(process):
                break
            _check_time(process, deadline)
    return bytes(output), bytes(errors)


def _send(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data[:_READ_SIZE])
    except BrokenPipeError:
        return len(data)  # the program does not read its input


def _take(descriptor: int, taken: bytearray, most: int, is_cut: bool) -> bool:
    """Read the available output; return False at the end of the stream."""
    piece = os.read(descriptor, _READ_SIZE)
    taken += piece
    if len(taken) > most:
        if not is_cut:
            raise OutputTooLong
        del taken[most:]
    return bool(piece)


def _check_time(process: subprocess.Popen[bytes], deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise subprocess.TimeoutExpired(process.args, 0)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
