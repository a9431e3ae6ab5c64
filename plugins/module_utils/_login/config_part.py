# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of a docker ``config.json`` for some registries, for a host that must not see the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .docker_config import decode_entry, encode_entry, host_matches, named_helper, server_address, split_key
from .helper import CredentialHelper


def part_for(document: Mapping[str, Any], origin: str, registries: Iterable[str]) -> dict[str, Any]:
    """Return a document with ``auths`` for ``registries`` (``host[:port]``), which another host can use to log in.

    Credential helpers and stores run here, because the programs and their secrets are on this machine; their answers
    become entries. The result is empty when the document has none of the registries.

    :raises AuthenticationFailed: when an entry has the wrong shape, or a helper cannot be used.
    """
    auths: dict[str, Any] = {}
    for registry in registries:
        helper = named_helper(document, registry)
        if helper:
            auths.update(_ask(helper, origin, registry))
            continue
        own = _entries(document.get("auths") or {}, origin, registry)
        store = str(document.get("credsStore") or "") if helper is None else ""
        # an entry for the whole host takes precedence over the store
        if store and all(path for _host, path in map(split_key, own)):
            auths.update(_ask(store, origin, registry))
        auths.update(own)
    return {"auths": auths} if auths else {}


def _entries(auths: Mapping[str, Any], origin: str, registry: str) -> dict[str, Any]:
    found = {}
    for key, entry in auths.items():
        host, _path = split_key(str(key))
        if (host == registry or host_matches(host, registry)) and decode_entry(entry, origin, str(key)) is not None:
            found[str(key)] = entry
    return found


def _ask(helper: str, origin: str, registry: str) -> dict[str, Any]:
    server = server_address(registry)
    credential = CredentialHelper(helper, origin).get(server)
    return {server: encode_entry({}, credential)} if credential else {}
