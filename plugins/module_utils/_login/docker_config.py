# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The format of docker's ``config.json`` and podman's ``auth.json``: document, keys and entries.

Sources: docker/cli, cli/config/configfile and cli/config/credentials; containers-auth.json(5); for host patterns, the
pull secrets of Kubernetes ("Interpretation of config.json").
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from collections.abc import Mapping
from typing import Any, Optional

from .._errors import AuthenticationFailed
from .._oci.reference import DOCKER_HUB, DOCKER_HUB_HOSTS
from .credential import Credential

DOCKER_HUB_KEY = "https://index.docker.io/v1/"

# Cache of credential-helper responses, by helper and server.
HelperAnswers = dict[tuple[str, str], Optional[Credential]]

_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


def load_auth_config(text: str, origin: str) -> dict[str, Any]:
    """Decode the text of a docker ``config.json``.

    :raises AuthenticationFailed: when it is not a JSON object, or a known key has a value of the wrong type.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # the text is left out of the message: it holds passwords
        raise AuthenticationFailed(f"{origin} is not JSON.", "Wanted a docker config.json.") from None
    return check_document(document, origin)


def check_document(document: Any, origin: str) -> dict[str, Any]:
    """Return the document after checking the types of its known keys.

    :raises AuthenticationFailed: as :func:`load_auth_config`.
    """
    if not isinstance(document, Mapping):
        raise AuthenticationFailed(f"{origin} is not a JSON object.", "Wanted a docker config.json.")
    for key, kind in (("auths", Mapping), ("credHelpers", Mapping), ("credsStore", str)):
        if document.get(key) is not None and not isinstance(document[key], kind):
            raise AuthenticationFailed(f"{origin} has a {key!r} of the wrong type.")
    return dict(document)


def find_in_document(
    document: Mapping[str, Any], origin: str, registry: str, repository: str, answers: HelperAnswers | None = None
) -> Credential | None:
    """Return the credential of a document for ``registry`` (``host[:port]``) and ``repository``, None without one.

    When ``credHelpers`` names a helper for the host, only that helper is used. Otherwise the matching entries of
    ``auths`` are tried, the best match first; ``credsStore`` is used when one of them holds no secret, and last.

    :param answers: cache of credential-helper responses, which is used and filled.

    :raises AuthenticationFailed: when an entry has the wrong shape, or a helper cannot be used.
    """

    def ask(program: str) -> Credential | None:
        key = (program, server_address(registry))
        if answers is None or key not in answers:
            from .helper import CredentialHelper

            answer = CredentialHelper(program, origin).get(key[1])
            if answers is None:
                return answer
            answers[key] = answer
        return answers[key]

    helper = named_helper(document, registry)
    if helper:
        return ask(helper)
    store = str(document.get("credsStore") or "") if helper is None else ""
    auths = document.get("auths") or {}
    for key in matching_keys(auths, registry, repository):
        credential = decode_entry(auths[key], origin, key)
        if credential is None and store:
            # docker writes an empty entry when the store holds the secret
            credential, store = ask(store), ""
        if credential is not None:
            return credential
    return ask(store) if store else None


def named_helper(document: Mapping[str, Any], registry: str) -> str | None:
    """Return the helper that ``credHelpers`` names for a host, None when there is no entry.

    The name may be empty: docker then keeps the credential in the file, whatever ``credsStore`` says.
    """
    helpers = document.get("credHelpers") or {}
    for name in helper_keys(registry):
        if name in helpers:
            return str(helpers[name] or "")
    return None


def helper_keys(registry: str) -> tuple[str, ...]:
    """Return the keys of ``credHelpers`` for a registry, docker's own spelling first."""
    return (DOCKER_HUB_KEY, *DOCKER_HUB_HOSTS) if registry == DOCKER_HUB else (registry,)


def server_address(registry: str) -> str:
    """Return docker's name for a registry, which it uses in ``auths`` and in calls of helpers."""
    return DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


def matching_keys(auths: Mapping[str, Any], registry: str, repository: str) -> list[str]:
    """Return the keys that match a repository, the best match first.

    A longer path comes first; with equal paths an exact host before a pattern, then docker's own spelling of the key.
    """
    ranked = []
    for key in map(str, auths):
        host, path = split_key(key)
        is_exact = host == registry
        if not is_exact and not host_matches(host, registry):
            continue
        if path and repository != path and not repository.startswith(path + "/"):
            continue
        is_dockers = key == (f"{host}/{path}" if path else server_address(host))
        ranked.append((len(path), is_exact, is_dockers, key))
    return [key for _length, _is_exact, _is_dockers, key in sorted(ranked, reverse=True)]


def split_key(key: str) -> tuple[str, str]:
    """Return host and path of a key such as ``ghcr.io``, ``ghcr.io/org`` or ``https://index.docker.io/v1/``.

    In a URL, ``/v1`` and ``/v2`` at the start of the path are the version of the API and are left out. Without a scheme
    they may be a namespace and are kept, unless they end with a slash or the host is Docker Hub.
    """
    _scheme, is_url, rest = key.rpartition("://")
    host, _slash, path = rest.partition("/")
    host = host.lower()
    if host in DOCKER_HUB_HOSTS:
        host = DOCKER_HUB
    first, _slash, remainder = path.partition("/")
    if first in ("v1", "v2") and (is_url or path in ("v1/", "v2/") or host == DOCKER_HUB):
        path = remainder
    return host, path.strip("/")


def host_matches(pattern: str, registry: str) -> bool:
    """Return True when a host matches a pattern: the same number of labels, and the same port.

    ``*`` and ``?`` match within one label; no other character is special.
    """
    if "*" not in pattern and "?" not in pattern:
        return False
    pattern_host, _colon, pattern_port = pattern.partition(":")
    host, _colon, port = registry.partition(":")
    labels, pattern_labels = host.split("."), pattern_host.replace("[", "[[]").split(".")
    return (
        port == pattern_port
        and len(labels) == len(pattern_labels)
        and all(fnmatch.fnmatchcase(label, glob) for label, glob in zip(labels, pattern_labels))
    )


def decode_entry(entry: Any, origin: str, key: str) -> Credential | None:
    """Return the credential in one entry of ``auths``, None when it holds no secret.

    :raises AuthenticationFailed: when the entry is malformed.
    """
    if not isinstance(entry, Mapping):
        raise AuthenticationFailed(f"The entry {key!r} of {origin} is not an object.")
    fields = {name: entry.get(name) or "" for name in _FIELDS}
    if not all(isinstance(value, str) for value in fields.values()):
        raise AuthenticationFailed(f"The entry {key!r} of {origin} has a field that is not a string.")
    token = fields["registrytoken"]
    if not (token.isascii() and token.isprintable()):
        raise AuthenticationFailed(f"The entry {key!r} of {origin} has a 'registrytoken' that no header can carry.")
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        username, password = _decode_auth(fields["auth"], origin, key)
    if fields["identitytoken"] or fields["registrytoken"]:
        return Credential(username, password, fields["identitytoken"], fields["registrytoken"])
    if not username and not password:
        return None
    if not (username and password):
        raise AuthenticationFailed(f"The entry {key!r} of {origin} has only one of user name and password.")
    return Credential(username, password)


def encode_entry(entry: Any, credential: Credential) -> dict[str, Any]:
    """Return an entry of ``auths`` with its credential replaced, as docker writes it; other fields are kept."""
    kept = entry.items() if isinstance(entry, Mapping) else ()
    encoded: dict[str, Any] = {name: value for name, value in kept if name not in _FIELDS}
    if credential.username:
        text = f"{credential.username}:{credential.password}"
        encoded["auth"] = base64.b64encode(text.encode("utf-8")).decode("ascii")
    if credential.identity_token:
        encoded["identitytoken"] = credential.identity_token
    return encoded


def _decode_auth(auth: str, origin: str, key: str) -> tuple[str, str]:
    try:
        # Go's decoder, which docker uses, ignores line breaks, as in the output of base64(1)
        packed = auth.replace("\r", "").replace("\n", "")
        username, colon, password = base64.b64decode(packed, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise AuthenticationFailed(
            f"The 'auth' of the entry {key!r} of {origin} is not the base64 text of user:password."
        )
    return username, password.rstrip("\0")
