# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the files of an artifact that are encrypted with SOPS, and has them decrypted before anything is built of them.

A file as a whole is decrypted, as its message authentication code is for all of it. What a file says about keys is
hostile: it must not make SOPS send a token to a server that the file names.
Source: getsops/sops, ``stores/stores.go`` for the metadata in each format.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from .._errors import BuildTimedOut, ManifestsInvalid, OciError
from .._helm.manifest_text import documents

# Decrypts a file: its content and its format, one of FORMATS.
Decrypt = Callable[[bytes, str, str], bytes]
# Runs SOPS: content, format, name for messages, options of community.sops by name, and seconds that are left.
SopsCall = Callable[[bytes, str, str, Mapping[str, str], float], bytes]

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
BINARY = "binary"
# Each takes a run of a program.
MAX_ENCRYPTED = 500
_SIGN = b"ENC[AES256_GCM,"
_FLAT_MAC = re.compile(rb"^(sops_mac\s*=|\[sops\]\s*$)", re.MULTILINE)
_FLAT_ADDRESS = re.compile(r"^\S*vault_address\s*=\s*(.*?)\s*$", re.MULTILINE)


def decrypted_below(
    files: Mapping[str, bytes], path: str, what: str, decrypt: Decrypt, *, is_built: bool
) -> dict[str, bytes]:
    """Return the files, those that are encrypted as what they are decrypted to.

    :param path: the directory or file that is applied.
    :param is_built: files elsewhere may be used as well. Those that cannot be decrypted are left out then: they may be
        for other clusters.
    :raises ManifestsInvalid: when a file below ``path`` cannot be decrypted, or there are too many.
    :raises BuildTimedOut: when decrypting a file, wherever it is, or all of them takes too long.
    :raises OciError: when what decrypts is missing, or its keys are not to be had.
    """
    clean = posixpath.normpath(path.lstrip("/") or ".")
    found, count = dict(files), 0
    for name, data in files.items():
        is_below = clean == "." or name == clean or name.startswith(f"{clean}/")
        if not (is_below or is_built) or not is_encrypted(name, data):
            continue
        count += 1
        if count > MAX_ENCRYPTED:
            raise ManifestsInvalid(f"{what} holds more than {MAX_ENCRYPTED} files that are encrypted with SOPS.")
        try:
            found[name] = decrypt(data, format_of(name), f"{name} of {what}")
        except BuildTimedOut:
            # whether it is for this cluster is not known
            raise
        except ManifestsInvalid:
            if is_below:
                raise
            del found[name]
    return found


def format_of(name: str) -> str:
    """Return the format that SOPS takes a file for, by its name."""
    return FORMATS.get(posixpath.splitext(name)[1].lower(), BINARY)


def is_encrypted(name: str, data: bytes) -> bool:
    """True for a file that SOPS has encrypted."""
    if _SIGN not in data or b"sops" not in data:
        return False
    if format_of(name) in ("dotenv", "ini"):
        return _FLAT_MAC.search(data) is not None
    return any(isinstance(each.get("sops"), Mapping) for each in _documents(name, data))


def vault_addresses(name: str, data: bytes) -> set[str]:
    """Return the servers of HashiCorp Vault, or OpenBao, that a file names for its keys."""
    if format_of(name) in ("dotenv", "ini"):
        return set(_FLAT_ADDRESS.findall(data.decode("utf-8", "replace")))
    return {address for each in _documents(name, data) for address in _addresses(each.get("sops"))}


def _addresses(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _addresses(each)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key == "vault_address":
                yield str(value)
            else:
                yield from _addresses(value)


def _documents(name: str, data: bytes) -> list[Mapping[str, Any]]:
    """Return the documents of a file; none where it is of another format than its name says."""
    try:
        text = data.decode("utf-8")
        found = list(documents(text, name)) if format_of(name) == "yaml" else [json.loads(text)]
    except (OciError, ValueError, RecursionError):
        return []
    return [each for each in found if isinstance(each, Mapping)]
