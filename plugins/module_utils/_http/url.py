# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs that a registry names: compared, joined and shown. They are the peer's input and may be malformed."""

from __future__ import annotations

import functools
from urllib.parse import urljoin, urlsplit

from .._errors import RegistryError
from .._secrets.known import shortened

# a URL is looked at several times while it is requested
_REMEMBERED = 64
MAX_SHOWN = 300
_DEFAULT_PORTS = {"http": 80, "https": 443}


@functools.lru_cache(maxsize=_REMEMBERED)
def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: what decides whether a credential may go along.

    :raises RegistryError: when it is not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        scheme, host, port = "", "", None
    if scheme not in _DEFAULT_PORTS or not host:
        raise RegistryError(f"The registry names the address {redacted_url(url)!r}, which is not an http or https URL.")
    return scheme, host, _DEFAULT_PORTS[scheme] if port is None else port


def join(url: str, location: str) -> str:
    """The URL that a Location or Link header of the answer to ``url`` stands for.

    :raises RegistryError: when it is not an http or https URL.
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        target = location
    origin(target)
    return target


def redacted_url(url: str) -> str:
    """A URL for messages: without user, password, query and fragment, which may hold a signature or a token."""
    place = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = place.partition("//")
    host, slash, path = rest.partition("/")
    place = scheme + separator + host.rpartition("@")[2] + slash + path
    if not place.isprintable():
        place = "".join(character if character.isprintable() else "?" for character in place)
    return shortened(place, MAX_SHOWN)
