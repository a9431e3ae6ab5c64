# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credential helpers: programs named ``docker-credential-<suffix>`` that store or create credentials.

A helper gets a verb as its only argument and its input on standard input. Source: docker/docker-credential-helpers,
packages client and credentials; "Credential helper protocol" in docker's manual.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

from .._errors import AuthenticationFailed
from .credential import Credential

# seconds for one call of a helper; some of them call a cloud service
HELPER_TIMEOUT = 60.0
# bytes each of standard output and standard error
MAX_OUTPUT = 1024 * 1024
# the user name under which a helper keeps an identity token (docker/cli, native_store.go)
TOKEN_USER = "<token>"

_READ_SIZE = 64 * 1024
# seconds between two checks whether the helper has ended while another process holds its output open
_POLL_INTERVAL = 0.2
_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\Z")
_NOT_FOUND = b"credentials not found"


class _OutputTooLong(Exception):
    """The output of a helper is larger than ``MAX_OUTPUT``."""


@dataclass(frozen=True)
class CredentialHelper:
    """One helper program. ``origin`` is the file that names it, for messages.

    Each call ends after 60 seconds and leaves no process of the helper behind. Messages never repeat its output, which
    may contain the secret.
    """

    suffix: str
    origin: str

    @property
    def program(self) -> str:
        return "docker-credential-" + self.suffix

    def get(self, server: str) -> Credential | None:
        """Return the credential for ``server`` (``host[:port]``, or docker's URL for Docker Hub), None without one.

        :raises AuthenticationFailed: when the program cannot be run, fails, or violates the protocol.
        """
        status, output = self._call("get", server)
        return None if status == 1 else _read_answer(output, self.program)

    def store(self, server: str, credential: Credential) -> None:
        """Store a credential for ``server``, replacing any other.

        :raises AuthenticationFailed: as :meth:`get`.
        """
        username, secret = credential.username, credential.password
        if credential.identity_token:
            username, secret = TOKEN_USER, credential.identity_token
        status, _output = self._call(
            "store", json.dumps({"ServerURL": server, "Username": username, "Secret": secret}), server
        )
        if status:
            raise self._failed("store", server, status)

    def erase(self, server: str) -> None:
        """Erase the credential for ``server``; not an error when there is none.

        :raises AuthenticationFailed: as :meth:`get`.
        """
        self._call("erase", server)

    def _call(self, verb: str, text: str, server: str = "") -> tuple[int, bytes]:
        """Return 0 and the standard output, or 1 when the helper reports that it has no such credential.

        :raises AuthenticationFailed: when the helper cannot be run, takes too long or fails otherwise.
        """
        if not _SUFFIX.match(self.suffix):
            raise AuthenticationFailed(f"{self.origin} names an invalid credential helper {self.suffix[:100]!r}.")
        try:
            status, output, errors = _run([self.program, verb], text.encode("utf-8"), HELPER_TIMEOUT)
        except FileNotFoundError:
            raise AuthenticationFailed(
                f"{self.origin} names the credential helper {self.program}, which is not in PATH.",
                "Install it on the host that runs the task, or give 'username' and 'password'.",
            ) from None
        except OSError as exc:
            raise AuthenticationFailed(f"The credential helper {self.program} cannot be run: {exc.strerror}.") from None
        except subprocess.TimeoutExpired:
            raise AuthenticationFailed(
                f"The credential helper {self.program} did not answer within {HELPER_TIMEOUT:g} s.",
                "It was ended. It may have been waiting for a passphrase or for a desktop session.",
            ) from None
        except _OutputTooLong:
            raise AuthenticationFailed(
                f"The credential helper {self.program} wrote more than {MAX_OUTPUT} bytes."
            ) from None
        if status and _NOT_FOUND in (output + b"\n" + errors).lower():
            return 1, b""
        if status:
            raise self._failed(verb, server or text, status)
        return 0, output

    def _failed(self, verb: str, server: str, status: int) -> AuthenticationFailed:
        by_hand = f"Run it by hand on the host: echo {server} | {self.program} get"
        return AuthenticationFailed(
            f"The credential helper {self.program} failed to {verb} the credential for {server} "
            f"with exit code {status}.",
            by_hand if verb == "get" else "",
        )


def _read_answer(output: bytes, program: str) -> Credential | None:
    try:
        answer = json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
        if not (isinstance(username, str) and isinstance(secret, str)):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AuthenticationFailed(
            f"The credential helper {program} answered something other than {{Username, Secret}}."
        ) from None
    if not secret and not username:
        return None
    if not (secret and username):
        raise AuthenticationFailed(f"The credential helper {program} answered with only one of user name and secret.")
    if username == TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username, secret)


def _run(command: list[str], text: bytes, timeout: float) -> tuple[int, bytes, bytes]:
    """Run a program; return its exit code, standard output and standard error.

    It gets its own process group, and all processes of the group are killed at the end.
    """
    deadline = time.monotonic() + timeout
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
    with process:
        try:
            output, errors = _converse(process, text, deadline)
            while not _has_ended(process):
                _check_time(process, deadline)
                time.sleep(0.002)
        finally:
            # the group's number cannot be reused before its leader has been waited for
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output, errors


def _converse(process: subprocess.Popen[bytes], text: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Send the text; return standard output and error, read until the program has ended or closed them."""
    if not (process.stdin and process.stdout and process.stderr):
        raise AssertionError("unreachable")
    taken = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    unsent = memoryview(text)
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(_POLL_INTERVAL)
            for key, _events in ready:
                if key.fileobj is process.stdin:
                    unsent = unsent[_send(key.fd, unsent) :]
                    is_done = not unsent
                else:
                    is_done = not _take(key.fd, taken[key.fd])
                if is_done:
                    selector.unregister(key.fileobj)
                    if key.fileobj is process.stdin:
                        process.stdin.close()
            # a child process of the helper may hold the output open
            if not ready and _has_ended(process):
                break
            _check_time(process, deadline)
    output, errors = taken.values()
    return bytes(output), bytes(errors)


def _send(descriptor: int, data: memoryview) -> int:
    try:
        return os.write(descriptor, data[:_READ_SIZE])
    except BrokenPipeError:
        return len(data)  # the helper does not read its input


def _take(descriptor: int, taken: bytearray) -> bool:
    """Read the available output; return False at the end of the stream."""
    piece = os.read(descriptor, _READ_SIZE)
    taken += piece
    if len(taken) > MAX_OUTPUT:
        raise _OutputTooLong
    return bool(piece)


def _check_time(process: subprocess.Popen[bytes], deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise subprocess.TimeoutExpired(process.args, 0)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
