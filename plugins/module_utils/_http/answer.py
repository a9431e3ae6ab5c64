# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of a registry's answer: its status, its error messages, and the time to wait before a retry."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any
from urllib.parse import urlsplit

from .._errors import AccessDenied, AuthenticationFailed, NotFound, RegistryError
from .._secrets.known import shortened
from .body import BodyBroken, end_after, read_body

MAX_ERROR_ANSWER = 64 * 1024
# seconds; the words of a refusal are a help, not worth a long wait
ERROR_ANSWER_TIMEOUT = 10.0
RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
# of them, those that ask for time, and do not say that the server is in trouble
WAIT_STATUS = (408, 425, 429)

_SUCCESS = (200, 201, 202, 204, 206)
_FULL = {
    413: "The registry, or a proxy before it, takes no more than it has a limit for: raise the limit, or the quota.",
    507: "The registry has no room left, or the quota is used up: remove what nobody needs, or raise it.",
}
_WRONG_PORT = "If the registry speaks TLS on this port, set insecure: false."


def check_status(response: Any, action: str) -> None:
    """Pass a success through; turn any other status into an error that repeats the registry's own words.

    :raises NotFound: for 404.
    :raises AuthenticationFailed: for 401, and as AccessDenied for 403.
    :raises RegistryError: for any other.
    """
    status = response.status_code
    if status in _SUCCESS:
        return
    found = f"{action} was answered with status {status}{_registry_words(response)}."
    if status == 404:
        raise NotFound(found, "Check the repository and the tag or digest.")
    if status in (401, 403):
        denied = AccessDenied if status == 403 else AuthenticationFailed
        raise denied(found, "The account may lack the right to this repository.")
    raise RegistryError(found, _hint(response), status)


def wait_asked_for(response: Any) -> float | None:
    """Return the seconds to wait that an answer with a transient failure asks for; None if it does not say."""
    return retry_after(response.headers.get("Retry-After", ""), response.headers.get("Date", ""))


def retry_after(header: str, date: str = "") -> float | None:
    """Seconds to wait, from either form of Retry-After (RFC 9110, section 10.2.3); None when there is none.

    A moment is read by the clock that it was written by, which is that of the answer's ``date``; by this host's only
    when the answer has none.
    """
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:9])
    moment = _moment(header)
    if moment is None:
        return None
    now = _moment(date)
    return max(0.0, moment - (time.time() if now is None else now))


def _moment(header: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _hint(response: Any) -> str:
    status = response.status_code
    if status == 400 and urlsplit(response.url).scheme == "http":
        return _WRONG_PORT
    if status == 407:
        return "The proxy asks for credentials: give them in 'proxy', as in http://user:password@host:port."
    if status in _FULL:
        return _FULL[status]
    if status != 429 and status < 500:
        return ""
    asked = wait_asked_for(response)
    later = f"try again in {asked:.0f} s" if asked else "try later"
    if status == 429:
        return f"The registry limits the rate of requests: {later}, or log in."
    return f"The registry seems to be in trouble: {later}."


def _registry_words(response: Any) -> str:
    """The ``errors`` of the distribution specification ("Error Codes"), shortened and printable."""
    try:
        end_after(response, ERROR_ANSWER_TIMEOUT)
        document = json.loads(read_body(response, MAX_ERROR_ANSWER, ERROR_ANSWER_TIMEOUT))
        errors = [entry for entry in document["errors"][:3] if isinstance(entry, dict)]
        texts = [[shortened(str(entry.get(key, "")), 300) for key in ("code", "message")] for entry in errors]
        words = [" ".join(text).strip() for text in texts]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RegistryError, BodyBroken):
        return ""
    text = "; ".join(word for word in words if word)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return f" ({shortened(printable, 300)})" if printable else ""
