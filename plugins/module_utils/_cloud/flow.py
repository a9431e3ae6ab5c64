# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that all logins to a cloud share: the chain of login methods, files with secrets, tokens, error texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import AuthenticationFailed
from .._files import bounded
from .._secrets.known import note, shortened

# bytes
MAX_TOKEN = 64 * 1024
# seconds; the assumed life of a token without a usable "expires_in"
DEFAULT_SECONDS = 300.0

_TOKEN_LIKE = re.compile(r"[A-Za-z0-9_\-+/=.]{48,}")


class Unavailable(Exception):
    """A login method is not set up on this host; the text says what is missing."""


@dataclass(frozen=True)
class Token:
    """A bearer token and how long it is valid (seconds)."""

    value: str = field(repr=False)
    seconds: float = DEFAULT_SECONDS

    def __post_init__(self) -> None:
        """Register the token as a secret, to be hidden in everything that is shown."""
        note(self.value, opaque=True)


def first_available(flows: Sequence[tuple[str, Callable[[], Token]]], failure: str, hint: str) -> Token:
    """Return the token of the first login method that is set up on this host.

    A method that is set up but fails ends the search: going on would hide a broken identity behind another one.

    :param flows: name and function of each login method, in the order in which they are tried.
    :raises AuthenticationFailed: when no method is set up: ``failure``, what each method is missing, and ``hint``.
    """
    lacks = []
    for name, flow in flows:
        try:
            return flow()
        except Unavailable as exc:
            lacks.append(f"{name}: {exc}")
    raise AuthenticationFailed(f"{failure} ({'; '.join(lacks)}).", hint)


def environment(name: str) -> str:
    """Return an environment variable without surrounding white space, which copying often adds."""
    return os.environ.get(name, "").strip()


def read_identity_file(path: str, holds: str) -> bytes:
    """Return the content of a file with a key, a certificate or a token.

    :param holds: name of the content in messages.
    :raises AuthenticationFailed: when the file cannot be read, is empty or too large.
    """
    try:
        content = bounded.read_file(path, bounded.MAX_CLOUD_FILE)
    except bounded.FileRefused as exc:
        raise AuthenticationFailed(f"{holds} in {bounded.expanded(path)} {exc}.") from None
    if not content.strip():
        raise AuthenticationFailed(f"{holds} in {bounded.expanded(path)} cannot be used: the file is empty.")
    return content


def check_token(value: Any, origin: str) -> str:
    """Return a token, checked to have only characters that headers and forms can carry.

    :param origin: where the token comes from, for messages; they never repeat the token.
    :raises AuthenticationFailed: when it is not such a token.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    token = value.strip() if isinstance(value, str) else ""
    if not (token.isascii() and token.isprintable() and " " not in token and 0 < len(token) <= MAX_TOKEN):
        raise AuthenticationFailed(f"{origin} holds no usable token.")
    return token


def lifetime(document: Mapping[str, Any], name: str = "expires_in") -> float:
    """Return the seconds for which a token is valid; 5 minutes where the field is missing or not a usable number."""
    try:
        seconds = float(document.get(name) or 0)
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    return seconds if 0 < seconds < 1e7 else DEFAULT_SECONDS


def words_of(document: Mapping[str, Any], secrets: Sequence[str] = ()) -> str:
    """Return the reason in an error document, in parentheses and shortened; empty when there is none.

    Understands the formats of OAuth (RFC 6749, section 5.2), Google's APIs, registries (distribution-spec, "Error
    Codes") and Azure's managed identities. Removes ``secrets`` and anything that looks like a token.
    """
    error = document.get("error")
    if isinstance(error, Mapping):
        parts = [error.get("status"), error.get("message")]
    else:
        parts = [error, document.get("error_description") or document.get("message")]
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping):
        parts = [errors[0].get("code"), errors[0].get("message")]
    text = ": ".join(part for part in parts if isinstance(part, str) and part)
    return f" ({redacted(text, secrets)})" if text else ""


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """Return the first line of an external text: printable, at most 300 characters, without secrets."""
    text = shortened(text, 4000)
    for secret in secrets:
        if len(secret) > 3:
            text = text.replace(secret, "…")
    line = (text.strip().splitlines() or [""])[0]
    line = "".join(character if character.isprintable() else " " for character in line)
    return shortened(_TOKEN_LIKE.sub("…", line), 300).strip().rstrip(". ")
