# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in the options of a task, also where none belongs: misspelt options, private keys, URLs with a password.

What is hidden is decided by the place of a value in the argument spec, and by what the value looks like. The values
themselves are not needed for it to be right: a task that is refused shows them no more than one that runs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Ansible's own mark for what an option with no_log held
CONCEALED = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

# options that are a URL without a login; references are refused where they are parsed
_PLACES = ("source", "host", "provider_registry")
# what may be shown of a mirror, whose options Ansible does not know
_SHOWN_OF_MIRROR = ("url", "mode", "validate_certs", "ca_cert", "client_cert")
_MIN_TOKEN = 16
# characters of a secret that is hidden in the middle of words, too
SHORTEST = 6

_KEY = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|AGE-SECRET-KEY-1"
# "-----BEGIN" in base64
_ENCODED = "LS0tLS1CRUdJTi"
_PARAMETER = r"[?&;#][^=&;#\s]*(?:token|secret|passw|pwd|sig|key|auth|cred)[^=&;#\s]*=([^&;#\s]+)"
_DIGEST = r"@sha(?:256|384|512):[0-9a-f]+\Z"


def concealed(params: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Options that may be shown, and the secrets that were in them.

    :param params: the options as they were given, or as Ansible has checked them.
    :param spec: the argument spec, with suboptions.
    """
    found: list[str] = []
    return _Options(spec, found).of(params, spec), [secret for secret in found if secret]


def long_secrets(params: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """The secrets that Ansible can blank out wherever they are: a short one would be a part of other words."""
    return [secret for secret in concealed(params, spec)[1] if len(secret) >= SHORTEST]


def texts_of(shown: Mapping[str, Any]) -> list[str]:
    """The texts and numbers in options that :func:`concealed` has returned, without its marks."""
    return [text for text in _texts(shown) if text != CONCEALED]


def refusal(params: Mapping[str, Any], spec: Mapping[str, Any], above: str = "") -> tuple[str, str] | None:
    """A sentence about the first option that holds a secret although none belongs there, and a hint; None without one.

    The value is not repeated.
    """
    for name, value in params.items():
        option = spec.get(name) or {}
        place = f"{above}{name}"
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping) and option.get("options"):
                refused = refusal(item, option["options"], f"{place}.")
                if refused:
                    return refused
            elif isinstance(item, str) and not option.get("no_log"):
                if _is_key(item) and not (name == "client_cert" and "-----BEGIN CERTIFICATE" in item):
                    hint = "Give the path of a file, or use the option that is for a private key."
                    return f"'{place}' holds a private key.", hint
                if name in _PLACES and _logins(item):
                    return (
                        f"'{place}' carries credentials.",
                        "Give them in 'username' and 'password', or in a docker config, and take them out of there.",
                    )
    return None


def secrets_in(text: str) -> list[str]:
    """Private keys, and the passwords and tokens in URLs, that a text holds."""
    if _is_key(text) or text.lstrip().startswith(_ENCODED):
        # not only as a whole: messages show the beginning of a long text, or one line of it
        return [text, *(line for line in text.split() if len(line) >= _MIN_TOKEN and not line.startswith("-----"))]
    found = _logins(text)
    if "=" in text:
        found += re.findall(_PARAMETER, text, re.IGNORECASE)
    return found


class _Options:
    """Goes through options; the entries of a list may have the options of the task, so those are at hand."""

    def __init__(self, task: Mapping[str, Any], found: list[str]) -> None:
        self._task = task
        self._found = found

    def of(self, params: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        names = {alias: name for name, option in spec.items() for alias in option.get("aliases") or ()}
        shown = {}
        for key, value in params.items():
            name = names.get(key, key)
            option = spec.get(name)
            if str(key).startswith("_ansible_"):
                shown[key] = value
            elif option is None:
                shown[key] = self._nothing_of(value)
            elif option.get("no_log"):
                # the address of a proxy is not a secret: messages name it
                self._found += secrets_in(value) if name == "proxy" and isinstance(value, str) else _texts(value)
                shown[key] = _names_of(value)
            elif name == "mirrors":
                shown[key] = self._mirrors(value)
            else:
                known = option.get("options") or (self._task.get(name) or {}).get("options")
                shown[key] = self._value(value) if known is None else self._suboptions(value, known, option)
        return shown

    def _suboptions(self, value: Any, known: Mapping[str, Any], option: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return self.of(value, known)
        if isinstance(value, (list, tuple)) and option.get("type") == "list":
            return [self._suboptions(item, known, {}) for item in value]
        # JSON text, key=value, or something that is refused: which part of it is a secret cannot be told
        return self._nothing_of(value)

    def _mirrors(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return self._nothing_of(value)
        return {key: self._mirrors_of_registry(entries) for key, entries in value.items()}

    def _mirrors_of_registry(self, entries: Any) -> Any:
        if isinstance(entries, (list, tuple)):
            return [self._mirrors_of_registry(entry) for entry in entries]
        if not isinstance(entries, Mapping):
            return self._value(entries)
        return {
            key: self._value(value) if key in _SHOWN_OF_MIRROR else self._nothing_of(value, is_public=_is_path(value))
            for key, value in entries.items()
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(item) for item in value]
        secrets = secrets_in(value) if isinstance(value, str) else []
        self._found += secrets
        return CONCEALED if secrets else value

    def _nothing_of(self, value: Any, is_public: bool = False) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if not is_public:
            self._found += _texts(value)
        return CONCEALED


def _names_of(value: Any) -> Any:
    """A value of a known option with its keys, such as the hosts in ``auth_config``, and none of its texts."""
    if isinstance(value, Mapping):
        return {key: _names_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_names_of(item) for item in value]
    return value if value is None or isinstance(value, bool) else CONCEALED


def _is_path(value: Any) -> bool:
    """Return whether a value is a path: not a secret, and too common a text to be hidden wherever it appears."""
    return isinstance(value, str) and value.startswith(("/", "~"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "surrogateescape")
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _logins(text: str) -> list[str]:
    """Return the secret before the host in a URL or reference: a password, or a token in place of a user name."""
    found = []
    # a file name and a digest may have an @, too
    for word in re.sub(_DIGEST, "", text).split():
        scheme, separator, rest = word.partition("://")
        if not separator:
            rest = scheme
        authority = rest.partition("/")[0]
        login, at, _host = authority.rpartition("@")
        if not at and "@" in rest and re.search(r":[^/]*[^0-9/]", authority):
            # a password with a slash in it: the text after the colon is not a port
            login = rest.rpartition("@")[0]
        user, colon, password = login.partition(":")
        if colon and password:
            found += [password, login]
        elif separator and len(user) >= _MIN_TOKEN:
            found.append(user)
    return found


def _is_key(text: str) -> bool:
    if text.lstrip().startswith(_ENCODED):
        import base64
        import binascii

        with contextlib.suppress(ValueError, binascii.Error):
            text = base64.b64decode("".join(text.split())[:160]).decode("ascii", "replace")
    return re.search(_KEY, text) is not None
