# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SOPS by way of the collection community.sops, where that is installed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import BuildTimedOut, ManifestsInvalid, MissingDependency
from .._files.parent_death import die_with_parent
from .._files.run_program import OutputTooLong, run_program

MAX_WORDS = 500
# seconds for one file, and bytes that it may be decrypted to; SOPS may ask services of clouds for keys
SECONDS = 60.0
MAX_DECRYPTED = 64 << 20


class _Programs:
    """What community.sops wants of an AnsibleModule: it runs programs, here until a common deadline."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def run_command(
        self,
        command: Sequence[str],
        environ_update: Mapping[str, str] | None = None,
        data: bytes | None = None,
        cwd: str | None = None,
        **_more: Any,
    ) -> tuple[int, bytes, bytes]:
        """Return the exit code, the output and the errors of a program.

        :raises subprocess.TimeoutExpired: as :func:`run_program`; so does OutputTooLong.
        """
        return run_program(
            command,
            data or b"",
            timeout=self._deadline - time.monotonic(),
            most=MAX_DECRYPTED,
            cut_errors=True,
            cwd=cwd,
            env={**os.environ, **(environ_update or {})},
            prepare=die_with_parent,
        )

    def debug(self, _text: str) -> None:
        """Say nothing: it may quote what was decrypted."""

    warn = debug


def run_sops(data: bytes, kind: str, what: str, options: Mapping[str, str], seconds: float = SECONDS) -> bytes:
    """Return the content of a file that SOPS has encrypted.

    :param kind: its format: yaml, json, dotenv, ini or binary.
    :param options: those of community.sops by name; keys reach SOPS through its environment.
    :param seconds: how long it may take, at most 60.
    :raises ManifestsInvalid: when SOPS refuses it.
    :raises BuildTimedOut: when SOPS has not ended by then. It is ended, with what it started.
    :raises MissingDependency: when the collection or the program is missing.
    """
    try:
        # not at the top of the file: what is imported there has to be on the controller
        from ansible_collections.community.sops.plugins.module_utils.sops import Sops, SopsError
    except ImportError:
        raise MissingDependency(
            f"{what} is encrypted with SOPS, and the collection community.sops is not on the controller.",
            "Install it with: ansible-galaxy collection install community.sops",
        ) from None
    seconds = min(seconds, SECONDS)
    try:
        found: bytes = Sops.decrypt(
            None,
            content=data,
            decode_output=False,
            rstrip=False,
            input_type=kind,
            output_type=kind,
            get_option_value=options.get,
            module=_Programs(seconds),
        )
    except SopsError as exc:
        raise ManifestsInvalid(
            f"SOPS cannot decrypt {what}: {' '.join(str(exc).split())[:MAX_WORDS]}",
            "Name the key in 'decryption', or in the environment of the task.",
        ) from None
    except subprocess.TimeoutExpired:
        raise BuildTimedOut(
            f"SOPS has not decrypted {what} after {seconds:.3g} s, and was ended.",
            "Decrypt it by hand on the host: the service that holds the key may not answer, or something asks for a "
            "passphrase.",
        ) from None
    except OutputTooLong:
        raise ManifestsInvalid(f"SOPS makes more than {MAX_DECRYPTED} bytes of {what}.") from None
    except OSError as exc:
        raise MissingDependency(
            f"{what} is encrypted, and the program {options.get('sops_binary', 'sops')} cannot be run: "
            f"{exc.strerror or exc}.",
            "Install SOPS on the host that runs the module, or name it in 'sops_binary'.",
        ) from None
    return found
