# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which credential belongs to a repository.

Sources, the first that knows the registry wins: user name and password given in the options; ``auth_config`` or
``auth_file`` given in the options; ``$REGISTRY_AUTH_FILE``; ``$DOCKER_CONFIG/config.json``; ``~/.docker/config.json``;
``$XDG_RUNTIME_DIR/containers/auth.json``; ``~/.config/containers/auth.json``. Formats: docker's ``config.json``
(docker/cli, cli/config/configfile) and podman's ``auth.json`` (containers-auth.json(5)). A file that is there but
cannot be used is an error, never an anonymous login; so is one that was named and is not there.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import math
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .errors import AuthenticationFailed
from .options import AuthOptions

MAX_FILE_SIZE = 4 * 1024 * 1024
HELPER_TIMEOUT = 60.0
DOCKER_HUB_KEY = "https://index.docker.io/v1/"

_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\Z")
_DOCKER_HUB_HOSTS = ("index.docker.io", "docker.io", "registry-1.docker.io")
_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")
_NOT_FOUND_IN_HELPER = "credentials not found"


@dataclass(frozen=True)
class Credential:
    """What to present: a user name with a password, an identity (refresh) token, or a ready registry token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    # from this moment (time.monotonic) on, ``renew`` gives what takes its place
    valid_until: float = field(default=math.inf, compare=False)
    renew: Callable[[], Credential] | None = field(default=None, repr=False, compare=False)

    @property
    def basic(self) -> str:
        """The value after ``Basic `` in an Authorization header, empty when there is no password."""
        if not self.password:
            return ""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


def find_credential(options: AuthOptions, registry: str, repository: str) -> Credential | None:
    """The credential for ``registry`` (``host[:port]``) and ``repository``, None for an anonymous request.

    :raises AuthenticationFailed: when the options, a file or a helper program cannot be used.
    """
    if options.username or options.password:
        if not (options.username and options.password):
            raise AuthenticationFailed(
                f"Only one of 'username' and 'password' is given for {registry}.", "Give both or neither."
            )
        if ":" in options.username:
            raise AuthenticationFailed(
                f"The 'username' given for {registry} contains a colon, which HTTP does not allow."
            )
        return Credential(username=options.username, password=options.password)
    for origin, document in _documents(options):
        credential = _from_document(document, origin, registry, repository)
        if credential is not None:
            return credential
    return None


def load_auth_config(text: str, origin: str) -> dict[str, Any]:
    """Decode the text of a docker ``config.json``.

    :raises AuthenticationFailed: when it is no JSON object, or has none of the known keys.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # the text is not repeated: it holds passwords
        raise AuthenticationFailed(f"{origin} is not JSON.", "Wanted a docker config.json.") from None
    return _check_document(document, origin)


def _documents(options: AuthOptions) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if options.auth_config is not None:
        yield "auth_config", _check_given(_check_document(options.auth_config, "auth_config"), "auth_config")
    elif options.auth_file:
        yield options.auth_file, _check_given(_read(options.auth_file), options.auth_file)
    else:
        named = os.environ.get("REGISTRY_AUTH_FILE")
        if named:
            yield named, _read(named)
        for path in _default_files():
            if os.path.exists(path):
                yield path, _read(path)


def _default_files() -> list[str]:
    environ, home = os.environ, os.path.expanduser("~")
    candidates = [
        os.path.join(environ["DOCKER_CONFIG"], "config.json") if environ.get("DOCKER_CONFIG") else "",
        os.path.join(home, ".docker", "config.json"),
        os.path.join(environ["XDG_RUNTIME_DIR"], "containers", "auth.json") if environ.get("XDG_RUNTIME_DIR") else "",
        os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "containers", "auth.json"),
    ]
    return [path for path in candidates if path]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_FILE_SIZE + 1)
    except OSError as exc:
        raise AuthenticationFailed(f"The credentials in {path} cannot be read: {exc.strerror}.") from None
    if len(raw) > MAX_FILE_SIZE:
        raise AuthenticationFailed(f"{path} has more than {MAX_FILE_SIZE} bytes.")
    if not raw.strip():
        return {}
    try:
        return load_auth_config(raw.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"{path} is not UTF-8 text.", "Wanted a docker config.json.") from None


def _check_document(document: Any, origin: str) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise AuthenticationFailed(f"{origin} is not a JSON object.", "Wanted a docker config.json.")
    for key, kind in (("auths", Mapping), ("credHelpers", Mapping), ("credsStore", str)):
        if document.get(key) is not None and not isinstance(document[key], kind):
            raise AuthenticationFailed(f"{origin} has a {key!r} of the wrong type.")
    return dict(document)


def _check_given(document: dict[str, Any], origin: str) -> dict[str, Any]:
    """What was given for the very purpose must have a place for credentials, even if an empty one."""
    if not {"auths", "credHelpers", "credsStore"} & set(document):
        raise AuthenticationFailed(
            f"{origin} has none of 'auths', 'credHelpers' and 'credsStore'.",
            'Wanted a docker config.json, such as the decoded .dockerconfigjson of a Kubernetes secret: '
            '{"auths": {"host": {"auth": "…"}}}.',
        )
    return document


def _from_document(
    document: Mapping[str, Any], origin: str, registry: str, repository: str
) -> Credential | None:
    auths = document.get("auths") or {}
    helpers = document.get("credHelpers") or {}
    names = [registry, *_DOCKER_HUB_HOSTS, DOCKER_HUB_KEY] if registry == "docker.io" else [registry]
    for name in names:
        if helpers.get(name):
            return _ask_helper(str(helpers[name]), DOCKER_HUB_KEY if registry == "docker.io" else registry, origin)
    key = _best_key(auths, registry, repository)
    if key is not None:
        credential = _from_entry(auths[key], origin, key)
        if credential is not None:
            return credential
    if document.get("credsStore"):
        return _ask_helper(str(document["credsStore"]), DOCKER_HUB_KEY if registry == "docker.io" else registry, origin)
    return None


def _best_key(auths: Mapping[str, Any], registry: str, repository: str) -> str | None:
    """The key that names the longest part of the path; among equals an exact host before a pattern."""
    best: tuple[int, int, str] | None = None
    for key in auths:
        host, path = _split_key(str(key))
        exact = host == registry
        if not exact and not _host_matches(host, registry):
            continue
        if path and repository != path and not repository.startswith(path + "/"):
            continue
        rank = (len(path), int(exact), str(key))
        if best is None or rank > best:
            best = rank
    return best[2] if best else None


def _split_key(key: str) -> tuple[str, str]:
    rest = key.partition("://")[2] if "://" in key else key
    host, _slash, path = rest.partition("/")
    path = path.strip("/")
    for prefix in ("v1", "v2"):
        if path == prefix or path.startswith(prefix + "/"):
            path = path[len(prefix) :].strip("/")
    host = host.lower()
    return ("docker.io" if host in _DOCKER_HUB_HOSTS else host), path


def _host_matches(pattern: str, registry: str) -> bool:
    """Kubernetes' globs in pull secrets: ``*`` within one label, the same number of labels, the same port."""
    if "*" not in pattern and "?" not in pattern:
        return False
    pattern_host, _colon, pattern_port = pattern.partition(":")
    host, _colon, port = registry.partition(":")
    labels, pattern_labels = host.split("."), pattern_host.split(".")
    return (
        port == pattern_port
        and len(labels) == len(pattern_labels)
        and all(fnmatch.fnmatchcase(label, glob) for label, glob in zip(labels, pattern_labels))
    )


def _from_entry(entry: Any, origin: str, key: str) -> Credential | None:
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
        return None  # docker leaves an empty entry when a credentials store holds the secret
    if not (username and password):
        raise AuthenticationFailed(f"The entry {key!r} of {origin} has only one of user name and password.")
    return Credential(username, password)


def _decode_auth(auth: str, origin: str, key: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise AuthenticationFailed(
            f"The 'auth' of the entry {key!r} of {origin} is not the base64 text of user:password."
        )
    return username, password.rstrip("\0")


def _ask_helper(suffix: str, server: str, origin: str) -> Credential | None:
    """Run ``docker-credential-<suffix> get`` (docker/docker-credential-helpers, client protocol)."""
    if not _HELPER_NAME.match(suffix):
        raise AuthenticationFailed(f"{origin} names an invalid credential helper {suffix[:100]!r}.")
    program = "docker-credential-" + suffix
    try:
        done = subprocess.run(
            [program, "get"],
            input=server.encode("utf-8"),
            capture_output=True,
            timeout=HELPER_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise AuthenticationFailed(
            f"{origin} names the credential helper {program}, which is not in PATH.",
            "Install it on the host that runs the task, or give 'username' and 'password'.",
        ) from None
    except OSError as exc:
        raise AuthenticationFailed(f"The credential helper {program} cannot be run: {exc.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise AuthenticationFailed(
            f"The credential helper {program} did not answer within {HELPER_TIMEOUT:g} s."
        ) from None
    if done.returncode != 0:
        if _NOT_FOUND_IN_HELPER in (done.stdout + done.stderr).decode("utf-8", "replace").lower():
            return None
        # its output is not repeated: it may hold the secret
        raise AuthenticationFailed(
            f"The credential helper {program} failed for {server} with exit code {done.returncode}.",
            f"Run it by hand on the host: echo {server} | {program} get",
        )
    return _from_helper(done.stdout, program)


def _from_helper(output: bytes, program: str) -> Credential | None:
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
    if username == "<token>":
        return Credential(identity_token=secret)
    return Credential(username, secret)
