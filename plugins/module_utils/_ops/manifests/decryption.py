# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decrypts files of an artifact with the keys that a set names, as ``decryption`` of Flux's Kustomization does."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from typing import Any

from ..._errors import BuildTimedOut, ManifestsInvalid
from ..._kube.rest import KubeRest
from ..._manifests.sops import SopsCall, vault_addresses

AGE_SUFFIX = ".agekey"
# seconds for all files of a set; one file has a limit of its own
MAX_SECONDS = 900.0


class Decryption:
    """Decrypts the files of one set. Keys of a Secret are read once, when the first encrypted file is met."""

    def __init__(self, api: KubeRest, namespace: str, options: Mapping[str, Any], sops: SopsCall) -> None:
        self._api = api
        self._namespace = namespace
        self._options = options
        self._sops = sops
        self._given: dict[str, str] | None = None
        self._deadline = 0.0

    def __call__(self, data: bytes, kind: str, what: str) -> bytes:
        """Return the content of an encrypted file.

        :raises ManifestsInvalid: when it cannot be decrypted, or names a server that was not agreed upon.
        :raises BuildTimedOut: when this, or all files together, take too long.
        :raises OciError: when SOPS is missing, or the Secret with the keys.
        """
        foreign = vault_addresses(what.partition(" of ")[0], data) - {os.environ.get("VAULT_ADDR", "")}
        if foreign:
            raise ManifestsInvalid(
                f"{what} has its key in the Vault {min(foreign)[:200]!r}, which is not that of VAULT_ADDR.",
                "Set VAULT_ADDR for the task: SOPS sends its token there.",
            )
        if self._given is None:
            self._given = self._keys()
            self._deadline = time.monotonic() + MAX_SECONDS
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise BuildTimedOut(
                f"The files of {what.partition(' of ')[2]} have not been decrypted after {MAX_SECONDS:g} s.",
                "Put fewer encrypted files into the artifact, or see why the service that holds the keys is slow.",
            )
        return self._sops(data, kind, what, self._given, left)

    def _keys(self) -> dict[str, str]:
        """Return the options of community.sops."""
        given = {name: str(self._options[name]) for name in ("age_keyfile", "sops_binary") if self._options.get(name)}
        name = self._options.get("secret_ref")
        if name:
            given["age_key"] = self._age_keys(str(name))
        return given

    def _age_keys(self, name: str) -> str:
        what = f"Secret {self._namespace}/{name} of 'decryption'"
        found = self._api.find(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        if found is None:
            raise ManifestsInvalid(f"The {what} is not in the cluster.", "Create it, or correct 'secret_ref'.")
        data = found.get("data")
        values = data if isinstance(data, Mapping) else {}
        try:
            keys = [
                base64.b64decode(str(values[key]), validate=True).decode("ascii").strip()
                for key in sorted(values)
                if key.endswith(AGE_SUFFIX)
            ]
        except ValueError:
            raise ManifestsInvalid(f"The {what} has a key that is not text.") from None
        if not keys:
            raise ManifestsInvalid(
                f"The {what} has no key whose name ends with {AGE_SUFFIX}.",
                "Keys of clouds are taken from the environment of the task.",
            )
        return "\n".join(keys)
