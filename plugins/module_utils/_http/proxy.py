# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy of a request: that of the option, or of the environment as curl and Go read it; and the exceptions.

An entry of ``no_proxy`` is a host name, which stands for the hosts below it too (a leading ``.`` or ``*.`` changes
nothing), an IP address, a network in CIDR notation, or ``*`` for all; a name or an address may carry a port and then
counts for that port alone. Names are not looked up: a network matches only addresses that are written as such.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping, Sequence
from typing import Union
from urllib.parse import unquote, urlsplit

from .._errors import InvalidOption
from .._oci.options import ConnectionOptions
from .._packages import require
from .._secrets.known import note
from .url import origin

SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_ANY = "*"

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def proxy_for(url: str, options: ConnectionOptions, environ: Mapping[str, str] | None = None) -> str:
    """The URL of the proxy for a request, its credentials included; empty when it goes straight.

    With the option ``proxy`` the environment counts for nothing; without it, the option ``no_proxy`` still takes the
    place of the environment's.

    :raises InvalidOption: when it is not the URL of a proxy; its text is not repeated.
    :raises MissingDependency: when it is a SOCKS proxy and PySocks is not installed.
    """
    environ = os.environ if environ is None else environ
    scheme, host, port = origin(url)
    proxy, named, exceptions = options.proxy, "The 'proxy'", options.no_proxy
    if not proxy:
        proxy, name = _from_environment(scheme, environ)
        named = f"The proxy in the environment's {name}"
        if exceptions is None:
            exceptions = tuple(_either_case("no_proxy", environ)[0].replace(",", " ").split())
    if not proxy or goes_around(host, port, exceptions or ()):
        return ""
    return checked_proxy(proxy, named)


def check_proxy(options: ConnectionOptions) -> None:
    """Find out before any request whether the options ``proxy`` and ``no_proxy`` can be used.

    :raises InvalidOption: when they cannot.
    :raises MissingDependency: when PySocks is wanted and not installed.
    """
    if options.proxy:
        checked_proxy(options.proxy, "The 'proxy'")
    for entry in options.no_proxy or ():
        name, port = _split(entry)
        if (port is not None and not 0 < port < 65536) or ("/" in name and _network(name) is None):
            raise InvalidOption(
                f"'no_proxy' has the entry {entry[:100]!r}, which is not a host, an address or a network.",
                "Wanted entries such as example.com, example.com:5000, 10.0.0.0/8, [::1]:5000 or *.",
            )


def goes_around(host: str, port: int, exceptions: Sequence[str]) -> bool:
    """Return whether a request to a host is exempt from the proxy. ``host`` is without brackets and in lower case."""
    return any(_matches(entry, host.rstrip("."), port) for entry in exceptions)


def _matches(entry: str, host: str, port: int) -> bool:
    name, wanted = _split(entry)
    if wanted not in (None, port):
        return False
    if name == _ANY:
        return True
    address = _address(host)
    if "/" in name:
        network = _network(name)
        return network is not None and address is not None and address in network
    named = _address(name)
    if named is not None or address is not None:
        return named == address
    name = name[1:] if name.startswith("*.") else name
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith("." + name))


def _split(entry: str) -> tuple[str, int | None]:
    """Name and port of an entry; the port is 0 if the text is not a port."""
    entry = entry.strip().lower()
    if entry.startswith("["):
        name, _bracket, rest = entry[1:].partition("]")
        return (name, None) if not rest else (name, _port(rest[1:]) if rest[0] == ":" else 0)
    name, colon, rest = entry.partition(":")
    # several colons are an IPv6 address
    return (name, _port(rest)) if colon and ":" not in rest else (entry, None)


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _from_environment(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """A proxy and the name of the variable that has it; of one name, the lower case wins, as with curl."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        value, found = _either_case(name, environ)
        if value:
            return value, found
    return "", ""


def _either_case(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    for each in (name, name.upper()):
        value = environ.get(each, "").strip()
        if value:
            return value, each
    return "", ""


def checked_proxy(proxy: str, named: str) -> str:
    """The URL of a proxy, completed; its password is kept out of results and messages from then on.

    :param named: what has the URL, for messages.
    :raises InvalidOption: when it is not the URL of a proxy; its text is not repeated.
    :raises MissingDependency: when it is a SOCKS proxy and PySocks is not installed.
    """
    proxy = proxy if "://" in proxy else "http://" + proxy
    try:
        parts = urlsplit(proxy)
        scheme, is_usable = parts.scheme.lower(), bool(parts.hostname) and parts.port != 0
    except ValueError:
        scheme, is_usable = "", False
    if not is_usable or scheme not in SCHEMES:
        # it is not repeated: it may hold a password
        raise InvalidOption(
            f"{named} is not the URL of a proxy.",
            "Wanted http://[user:password@]host:port, or https, or socks5h; special characters of a password are "
            "written as %XX.",
        )
    if parts.password:
        password = unquote(parts.password)
        note(password)
        note(base64.b64encode(f"{unquote(parts.username or '')}:{password}".encode()).decode("ascii"), opaque=True)
    if scheme.startswith("socks"):
        require("PySocks", f"{named} is a SOCKS proxy, which")
    return proxy
