# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for the credential of a repository.

Places, of which the first that has the registry counts: user name and password given in the options; ``auth_config`` or
``auth_file`` given in the options; ``$REGISTRY_AUTH_FILE``; the document in ``$DOCKER_AUTH_CONFIG``;
``$DOCKER_CONFIG/config.json``; ``~/.docker/config.json``; ``$XDG_RUNTIME_DIR/containers/auth.json``, or
``/run/containers/$UID/auth.json``; ``~/.config/containers/auth.json``; ``~/.dockercfg``. A file that exists but
cannot be used is an error, never an anonymous login; so is a missing file that was named explicitly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import AuthenticationFailed
from .._oci.options import AuthOptions
from .credential import Credential
from .docker_config import HelperAnswers, check_document, find_in_document, load_auth_config

__all__ = [
    "check_login",
    "find_credential",
    "load_auth_config",
    "parse_config_file",
    "read_config_file",
]

# podman's file for a user without a login session, such as root (containers-auth.json(5))
_PODMAN_RUN = "/run/containers"


def find_credential(
    options: AuthOptions, registry: str, repository: str, answers: HelperAnswers | None = None
) -> Credential | None:
    """Return the credential for ``registry`` (``host[:port]``) and ``repository``, None for an anonymous request.

    :param answers: cache of credential-helper responses, which is used and filled.
    :raises AuthenticationFailed: when the options, a file or a helper program cannot be used.
    """
    if options.username or options.password:
        return check_login(options.username, options.password, registry)
    for origin, document in _documents(options):
        credential = find_in_document(document, origin, registry, repository, answers)
        if credential is not None:
            return credential
    return None


def check_login(username: str, password: str, registry: str) -> Credential:
    """Return a credential of a user name and a password.

    :raises AuthenticationFailed: when one is missing, or HTTP cannot carry them (RFC 7617, section 2).
    """
    if not (username and password):
        raise AuthenticationFailed(
            f"Only one of 'username' and 'password' is given for {registry}.", "Give both or neither."
        )
    if ":" in username:
        raise AuthenticationFailed(f"The 'username' given for {registry} contains a colon, which HTTP does not allow.")
    try:
        (username + password).encode("utf-8")
    except UnicodeEncodeError:
        raise AuthenticationFailed(
            f"The 'username' or 'password' given for {registry} is not UTF-8 text.", "Check how it is encoded."
        ) from None
    return Credential(username=username, password=password)


def read_config_file(path: str) -> dict[str, Any]:
    """Return the document in a docker ``config.json``; an empty file is an empty document.

    :raises AuthenticationFailed: when the file cannot be read, or is not such a document.
    """
    return parse_config_file(_read_login_file(path), path)


def parse_config_file(raw: bytes, path: str) -> dict[str, Any]:
    """Return the document in the content of a docker ``config.json``.

    :raises AuthenticationFailed: when the content is not such a document.
    """
    if not raw.strip():
        return {}
    try:
        return load_auth_config(raw.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"{path} is not UTF-8 text.", "Wanted a docker config.json.") from None


def _documents(options: AuthOptions) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each document and its name in messages; a source is read only when those before it lack the registry."""
    if options.auth_config is not None:
        yield "auth_config", _check_given(check_document(options.auth_config, "auth_config"), "auth_config")
    elif options.auth_file:
        yield options.auth_file, _check_given(read_config_file(options.auth_file), options.auth_file)
    else:
        for source in _SOURCES_OF_THE_HOST:
            yield from source()


def _named_file() -> Iterator[tuple[str, Mapping[str, Any]]]:
    named = os.environ.get("REGISTRY_AUTH_FILE")
    if named:
        yield named, read_config_file(named)


def _text_in_environment() -> Iterator[tuple[str, Mapping[str, Any]]]:
    given, origin = os.environ.get("DOCKER_AUTH_CONFIG"), "DOCKER_AUTH_CONFIG in the environment"
    if given:
        yield origin, load_auth_config(given, origin)


def _files_of_tools() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in _default_files():
        if os.path.exists(path):
            yield path, read_config_file(path)


def _oldest_file() -> Iterator[tuple[str, Mapping[str, Any]]]:
    path = os.path.join(os.path.expanduser("~"), ".dockercfg")
    if os.path.isabs(path) and os.path.exists(path):
        # the whole file has the content of 'auths' in today's format
        yield path, check_document({"auths": read_config_file(path)}, path)


# In the order of precedence; a new source of documents is a function and its place here.
_SOURCES_OF_THE_HOST = (_named_file, _text_in_environment, _files_of_tools, _oldest_file)


def _default_files() -> list[str]:
    environ, home = os.environ, os.path.expanduser("~")
    candidates = [
        os.path.join(environ["DOCKER_CONFIG"], "config.json") if environ.get("DOCKER_CONFIG") else "",
        os.path.join(home, ".docker", "config.json"),
        os.path.join(environ["XDG_RUNTIME_DIR"], "containers", "auth.json")
        if environ.get("XDG_RUNTIME_DIR")
        else os.path.join(_PODMAN_RUN, str(os.getuid()), "auth.json"),
        os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "containers", "auth.json"),
    ]
    # without a home, '~' would be a directory of that name, wherever the task runs
    return [path for path in candidates if path and (os.path.isabs(home) or not path.startswith(f"{home}/"))]


def _read_login_file(path: str) -> bytes:
    from .._files.bounded import MAX_LOGIN_FILE, FileRefused, read_file

    try:
        return read_file(path, MAX_LOGIN_FILE, wait=False)
    except FileRefused as exc:
        raise AuthenticationFailed(f"The file of credentials {path} {exc}.") from None


def _check_given(document: dict[str, Any], origin: str) -> dict[str, Any]:
    """Check that a document given in the options has a key for credentials, which may be empty.

    :raises AuthenticationFailed: when it has none, since it was probably meant to be another document.
    """
    if not {"auths", "credHelpers", "credsStore"} & set(document):
        raise AuthenticationFailed(
            f"{origin} has none of 'auths', 'credHelpers' and 'credsStore'.",
            "Wanted a docker config.json, such as the decoded .dockerconfigjson of a Kubernetes secret: "
            '{"auths": {"host": {"auth": "…"}}}.',
        )
    return document
