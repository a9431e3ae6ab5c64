# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that map a repository to its mirrors, and that decide which host may receive the credentials of a task.

Semantics: mirrors are used in the given order and before the registry, as by containerd (hosts.toml) and
containers-registries.conf(5); the part of the name that the rule is for is replaced by the mirror's path, as
``prefix`` and ``location`` of the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Callable

from .._errors import InvalidOption, InvalidReference
from .._oci.options import AuthOptions, ConnectionOptions, Mirror, MirrorRule
from .._oci.reference import Reference, parse_reference

MODES = REPLACE, FALLBACK = "replace", "fallback"
MAX_MIRRORS = 16
# how often a request is repeated after a transient failure when there is another source
RETRIES_BEFORE_NEXT = 1

_TEXTS = ("ca_cert", "client_cert", "client_key", "client_key_password")
_KEYS = ("url", "mode", "validate_certs", *_TEXTS)
_DEFAULT_PORTS = {"https": "443", "http": "80"}


@dataclass(frozen=True)
class PullSource:
    """A source of a repository: the registry itself, or a mirror.

    With ``takes_login`` the credentials that a task gives for the registry may be sent there.
    """

    reference: Reference
    connection: ConnectionOptions
    is_origin: bool
    takes_login: bool

    def auth(self, given: AuthOptions) -> AuthOptions:
        """The credentials of the task that may be used here: for a mirror, only those stored under its own host."""
        if self.takes_login:
            return given
        return AuthOptions(auth_file=given.auth_file, auth_config=given.auth_config)


def parse_mirrors(
    option: Mapping[str, Any] | None, expand: Callable[[Any], str] = lambda value: str(value or "")
) -> tuple[MirrorRule, ...]:
    """The rules of the option ``mirrors``; ``expand`` is applied to certificates and keys, which may be paths.

    :raises InvalidOption: when it is malformed. A URL with a user name is not repeated in the message.
    """
    rules: dict[tuple[str, str], MirrorRule] = {}
    for key, value in (option or {}).items():
        registry, path = _parse_key(str(key))
        entries = value if isinstance(value, list) else [value]
        if value is None or len(entries) > MAX_MIRRORS:
            raise InvalidOption(f"'mirrors' has no list of at most {MAX_MIRRORS} mirrors for {str(key)[:200]!r}.")
        rule = MirrorRule(registry, path, tuple(_parse_mirror(entry, str(key), expand) for entry in entries))
        if (registry, path) in rules:
            raise InvalidOption(f"'mirrors' names {registry}{'/' + path if path else ''} twice.")
        rules[registry, path] = rule
    return tuple(rules.values())


def places(reference: Reference, connection: ConnectionOptions) -> list[PullSource]:
    """The sources of a repository in the order of use: mirrors, then the registry unless a mirror replaces it.

    Of several matching rules, only the one with the longest path is used.

    :raises InvalidOption: when a mirror's path and the rest of the name are not a valid repository.
    """
    own = replace(connection, mirrors=())
    origin = PullSource(reference.at(), own, is_origin=True, takes_login=True)
    fitting = [rule for rule in connection.mirrors if _is_for(rule, reference)]
    if not fitting:
        return [origin]
    rule = max(fitting, key=lambda each: len(each.path))
    found = [_place(mirror, rule, reference, own) for mirror in rule.mirrors]
    if not any(mirror.replaces for mirror in rule.mirrors):
        found.append(origin)
    retries = min(own.retries, RETRIES_BEFORE_NEXT)
    hasty = [replace(place, connection=replace(place.connection, retries=retries)) for place in found[:-1]]
    return [*hasty, found[-1]]


def secrets_of_mirrors(option: Any) -> list[str]:
    """The secret values in the option ``mirrors``, even if the option is invalid."""
    found = []
    for value in option.values() if isinstance(option, Mapping) else ():
        for entry in value if isinstance(value, list) else [value]:
            url = entry.get("url") if isinstance(entry, Mapping) else entry
            login = str(url or "").partition("://")[2].rpartition("@")[0]
            found += [login, login.partition(":")[2]]
            if isinstance(entry, Mapping):
                found += [str(entry.get(name) or "") for name in ("client_key_password", "client_key")]
    # a path is not secret, and too common to be masked wherever it appears
    return [text for text in found if text and not text.startswith(("/", "~"))]


def _is_for(rule: MirrorRule, reference: Reference) -> bool:
    if rule.registry != reference.registry:
        return False
    return not rule.path or reference.repository == rule.path or reference.repository.startswith(rule.path + "/")


def _place(mirror: Mirror, rule: MirrorRule, reference: Reference, own: ConnectionOptions) -> PullSource:
    rest = reference.repository[len(rule.path) :].lstrip("/")
    path = "/".join(part for part in (mirror.path, rest) if part)
    try:
        there = parse_reference(f"{mirror.host}/{path}")
    except InvalidReference as exc:
        raise InvalidOption(f"The mirror {mirror.host} of {reference.name} cannot be asked: {exc.message}") from None
    insecure = own.insecure if mirror.insecure is None else mirror.insecure
    validate_certs = own.validate_certs if mirror.validate_certs is None else mirror.validate_certs
    # another path of the same registry is the same server
    is_same_peer = there.registry == reference.registry and insecure == own.insecure
    connection = replace(own, insecure=insecure, validate_certs=validate_certs, ca_cert=mirror.ca_cert or own.ca_cert)
    if mirror.client_cert or mirror.client_key or not is_same_peer:
        connection = replace(
            connection,
            client_cert=mirror.client_cert,
            client_key=mirror.client_key,
            client_key_password=mirror.client_key_password,
        )
    return PullSource(there, connection, is_origin=False, takes_login=is_same_peer)


def _parse_key(key: str) -> tuple[str, str]:
    host, _slash, path = key.partition("/")
    path = path.strip("/")
    try:
        # the added name makes a valid repository even when the path is empty
        reference = parse_reference(f"{host}/{path or 'any'}/any")
    except InvalidReference as exc:
        raise InvalidOption(
            f"'mirrors' has the key {key[:200]!r}, which is not a registry: {exc.message}",
            "Wanted a host, as in docker.io or registry.example.com:5000, and a path behind it at most.",
        ) from None
    if reference.tag or reference.digest:
        raise InvalidOption(f"'mirrors' has the key {key[:200]!r}, which has a tag or a digest.")
    return reference.registry, reference.repository[: -len("/any")] if path else ""


def _parse_mirror(entry: Any, key: str, expand: Callable[[Any], str]) -> Mirror:
    fields = {"url": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping) or not isinstance(fields.get("url"), str):
        raise InvalidOption(f"A mirror of {key} in 'mirrors' has no 'url'.", "Write it as {url: https://host/path}.")
    unknown = next((str(name) for name in fields if name not in _KEYS), None)
    if unknown is not None:
        raise InvalidOption(f"A mirror of {key} has {unknown[:100]!r}, which is none of {', '.join(_KEYS)}.")
    if not all(isinstance(fields[name], (str, type(None))) for name in _TEXTS if name in fields):
        raise InvalidOption(f"A mirror of {key} has something other than text in one of {', '.join(_TEXTS)}.")
    mode = FALLBACK if fields.get("mode") is None else fields["mode"]
    if mode not in MODES:
        raise InvalidOption(f"A mirror of {key} has the mode {str(mode)[:100]!r}: wanted {' or '.join(MODES)}.")
    host, path, insecure = _parse_url(fields["url"], key)
    return Mirror(
        host=host,
        path=path,
        replaces=mode == REPLACE,
        insecure=insecure,
        validate_certs=_flag(fields.get("validate_certs"), key),
        ca_cert=expand(fields.get("ca_cert")),
        client_cert=expand(fields.get("client_cert")),
        client_key=expand(fields.get("client_key")),
        client_key_password=str(fields.get("client_key_password") or ""),
    )


def _parse_url(url: str, key: str) -> tuple[str, str, bool | None]:
    """The host, the path, and True for plain HTTP, False for HTTPS, None when the URL has no scheme."""
    wanted = "Wanted https://host/path, http://host/path for plain HTTP, or host/path."
    scheme, separator, rest = url.strip().partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("oci", scheme)
    host, _slash, path = rest.partition("/")
    if "@" in rest:
        # the text is not repeated: it may be a password
        raise InvalidOption(
            f"The URL of a mirror of {key} carries a user name or a digest.",
            "Credentials of a mirror are looked up in 'auth_file', 'auth_config' and the docker config, by its host.",
        )
    if scheme not in ("oci", *_DEFAULT_PORTS):
        raise InvalidOption(f"The URL of a mirror of {key} has the scheme {scheme[:50]!r}.", wanted)
    if scheme in _DEFAULT_PORTS and host and not ("." in host or ":" in host or host == "localhost"):
        host = f"{host}:{_DEFAULT_PORTS[scheme]}"
    path = path.strip("/")
    # the root of the API, as it is written for containerd
    path = path[3:] if path.startswith("v2/") else "" if path == "v2" else path
    try:
        reference = parse_reference(f"{host}/{path or 'any'}/any")
    except InvalidReference as exc:
        raise InvalidOption(f"The URL of a mirror of {key} cannot be used: {exc.message}", wanted) from None
    if reference.tag:
        raise InvalidOption(f"The URL of a mirror of {key} carries a tag.", wanted)
    return reference.registry, path, {"http": True, "https": False}.get(scheme)


def _flag(value: Any, key: str) -> bool | None:
    words = {"true": True, "yes": True, "false": False, "no": False, "none": None, "": None}
    text = str(value).lower()
    if text not in words:
        raise InvalidOption(f"'validate_certs' of a mirror of {key} is neither true nor false.")
    return words[text]
