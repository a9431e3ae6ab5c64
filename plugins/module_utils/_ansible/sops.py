# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SOPS by way of the collection community.sops, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import ManifestsInvalid, MissingDependency

MAX_WORDS = 500


def run_sops(data: bytes, kind: str, what: str, options: Mapping[str, str]) -> bytes:
    """Return the content of a file that SOPS has encrypted.

    :param kind: its format: yaml, json, dotenv, ini or binary.
    :param options: those of community.sops by name; keys reach SOPS through its environment.
    :raises ManifestsInvalid: when SOPS refuses it.
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
    try:
        found: bytes = Sops.decrypt(
            None,
            content=data,
            decode_output=False,
            rstrip=False,
            input_type=kind,
            output_type=kind,
            get_option_value=options.get,
        )
    except SopsError as exc:
        raise ManifestsInvalid(
            f"SOPS cannot decrypt {what}: {' '.join(str(exc).split())[:MAX_WORDS]}",
            "Name the key in 'decryption', or in the environment of the task.",
        ) from None
    except OSError as exc:
        raise MissingDependency(
            f"{what} is encrypted, and the program {options.get('sops_binary', 'sops')} cannot be run: "
            f"{exc.strerror or exc}.",
            "Install SOPS on the host that runs the module, or name it in 'sops_binary'.",
        ) from None
    return found
