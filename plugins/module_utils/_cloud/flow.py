# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ways to log in to a cloud have in common: a chain of them, of which the first that is set up counts."""

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
# seconds; what a token without a usable "expires_in" is trusted for
DEFAULT_SECONDS = 300.0

_TOKEN_LIKE = re.compile(r"[A-Za-z0-9_\-+/=.]{48,}")


class Unavailable(Exception):
    """A way to log in that is not set up on this host; the text says what it lacks."""


@dataclass(frozen=True)
class Token:
    """A bearer token and how long it is valid (seconds)."""

    value: str = field(repr=False)
    seconds: float = DEFAULT_SECONDS

    def __post_init__(self) -> None:
        """Have it hidden in what is shown."""
        note(self.value, opaque=True)


def first_available(flows: Sequence[tuple[str, Callable[[], Token]]], failure: str, hint: str) -> Token:
    """The token of the first way that is set up. One that is set up and fails ends the search: to go on would hide a
    broken identity behind another one.

    :raises AuthenticationFailed: when none is set up: ``failure``, followed by what each way lacks, and ``hint``.
    """
    lacks = []
    for name, flow in flows:
        try:
            return flow()
        except Unavailable as exc:
            lacks.append(f"{name}: {exc}")
    raise AuthenticationFailed(f"{failure} ({'; '.join(lacks)}).", hint)


def environment(name: str) -> str:
    """A variable of the environment without white space around it, which files and forms like to add."""
    return os.environ.get(name, "").strip()


def read_file(path: str, holds: str) -> bytes:
    """Return the content of a file with a key, a certificate or a token; ``holds`` names it in messages.

    :raises AuthenticationFailed: when it cannot be read, is larger or empty.
    """
    try:
        content = bounded.read_file(path, bounded.MAX_CLOUD_FILE)
    except bounded.FileRefused as exc:
        raise AuthenticationFailed(f"{holds} in {os.path.expanduser(path)} {exc}.") from None
    if not content.strip():
        raise AuthenticationFailed(f"{holds} in {os.path.expanduser(path)} cannot be used: the file is empty.")
    return content


def check_token(value: Any, origin: str) -> str:
    """A token that headers and forms can carry.

    :raises AuthenticationFailed: when it is anything else; ``origin`` says where it comes from, never its text.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    token = value.strip() if isinstance(value, str) else ""
    if not (token.isascii() and token.isprintable() and " " not in token and 0 < len(token) <= MAX_TOKEN):
        raise AuthenticationFailed(f"{origin} holds no usable token.")
    return token


def lifetime(document: Mapping[str, Any], name: str = "expires_in") -> float:
    """Seconds that a token is valid, from a number or its text; 5 minutes where that is missing or senseless."""
    try:
        seconds = float(document.get(name) or 0)
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    return seconds if 0 < seconds < 1e7 else DEFAULT_SECONDS


def words_of(document: Mapping[str, Any], secrets: Sequence[str] = ()) -> str:
    """The reason that an error document gives, in parentheses, shortened; empty without one.

    Known are OAuth (RFC 6749, section 5.2), Google's APIs, registries (distribution-spec, "Error Codes") and the
    managed identities of Azure. Neither ``secrets`` nor anything that looks like a token is repeated.
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
    """The first line of a foreign text, printable, of at most 300 characters, without what must not be shown."""
    text = shortened(text, 4000)
    for secret in secrets:
        if len(secret) > 3:
            text = text.replace(secret, "…")
    line = (text.strip().splitlines() or [""])[0]
    line = "".join(character if character.isprintable() else " " for character in line)
    return shortened(_TOKEN_LIKE.sub("…", line), 300).strip().rstrip(". ")
