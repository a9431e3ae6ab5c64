# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document that docker keeps in ``config.json`` and podman in ``auth.json``: its shape, its keys, its entries.

Sources: docker/cli, cli/config/configfile and cli/config/credentials; containers-auth.json(5); for patterns of hosts
the pull secrets of Kubernetes ("Interpretation of config.json").
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

# What helper programs said, by their name and the server's.
HelperAnswers = dict[tuple[str, str], Optional[Credential]]

_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


def load_auth_config(text: str, origin: str) -> dict[str, Any]:
    """Decode the text of a docker ``config.json``.

    :raises AuthenticationFailed: when it is no JSON object, or a known key has a value of the wrong type.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # the text is not repeated: it holds passwords
        raise AuthenticationFailed(f"{origin} is not JSON.", "Wanted a docker config.json.") from None
    return check_document(document, origin)


def check_document(document: Any, origin: str) -> dict[str, Any]:
    """The document itself.

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
    """What a document knows for ``registry`` (``host[:port]``) and ``repository``.

    A helper that ``credHelpers`` names for the host is asked, and nobody else. Otherwise the entries of ``auths`` that
    fit are tried, the best first; ``credsStore`` is asked as soon as one of them holds no secret, and at the end. What
    is in ``answers`` is not asked again.

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
            # docker leaves an empty entry when the store holds the secret
            credential, store = ask(store), ""
        if credential is not None:
            return credential
    return ask(store) if store else None


def named_helper(document: Mapping[str, Any], registry: str) -> str | None:
    """The helper that ``credHelpers`` names for a host, None when it names none.

    An empty name is one too: docker then keeps the credential in the file, whatever ``credsStore`` says.
    """
    helpers = document.get("credHelpers") or {}
    for name in helper_keys(registry):
        if name in helpers:
            return str(helpers[name] or "")
    return None


def helper_keys(registry: str) -> tuple[str, ...]:
    """The keys of ``credHelpers`` that mean a registry, docker's own first."""
    return (DOCKER_HUB_KEY, *DOCKER_HUB_HOSTS) if registry == DOCKER_HUB else (registry,)


def server_address(registry: str) -> str:
    """How docker calls a registry, in ``auths`` and when it speaks to a helper."""
    return DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


def matching_keys(auths: Mapping[str, Any], registry: str, repository: str) -> list[str]:
    """The keys that fit, the best first: the longest path; of those an exact host before a pattern; of those the key as
    docker writes it before other spellings.
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
    """Host and path of a key such as ``ghcr.io``, ``ghcr.io/org`` or ``https://index.docker.io/v1/``.

    In an URL, ``/v1`` and ``/v2`` at the start of the path name the version of the API and are left out. Without a
    scheme they may be a namespace, and narrow the key, unless they end with a slash or the host is Docker Hub.
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
    """``*`` and ``?`` within one label, the same number of labels, the same port; nothing else is special."""
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
    """The credential in one entry of ``auths``, None when it holds no secret.

    :raises AuthenticationFailed: when it has the wrong shape.
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
    """An entry of ``auths`` with another credential, as docker writes it; what else it holds is kept."""
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
        # Go's decoder, which docker uses, ignores the line breaks that base64(1) makes
        packed = auth.replace("\r", "").replace("\n", "")
        username, colon, password = base64.b64decode(packed, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise AuthenticationFailed(
            f"The 'auth' of the entry {key!r} of {origin} is not the base64 text of user:password."
        )
    return username, password.rstrip("\0")
