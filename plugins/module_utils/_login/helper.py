# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credential helpers: programs named ``docker-credential-<suffix>`` that store or create credentials.

A helper gets a verb as its only argument and its input on standard input. Source: docker/docker-credential-helpers,
packages client and credentials; "Credential helper protocol" in docker's manual.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

from .._errors import AuthenticationFailed
from .._files.run_program import OutputTooLong, run_program
from .credential import Credential

# seconds for one call of a helper; some of them call a cloud service
HELPER_TIMEOUT = 60.0
# bytes each of standard output and standard error
MAX_OUTPUT = 1024 * 1024
# the user name under which a helper keeps an identity token (docker/cli, native_store.go)
TOKEN_USER = "<token>"

_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\Z")
_NOT_FOUND = b"credentials not found"


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
            status, output, errors = run_program(
                [self.program, verb], text.encode("utf-8"), timeout=HELPER_TIMEOUT, most=MAX_OUTPUT
            )
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
        except OutputTooLong:
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
