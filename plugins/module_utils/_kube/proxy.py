# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy on the way to a Kubernetes API server, as kubectl and helm find it, and connections through it.

The option comes first, then ``proxy-url`` of the cluster in the kubeconfig, then the environment. The ``kubernetes``
client knows some of these in some releases, and none of them in others: it is told of none.

Source: client-go, ``rest/config.go`` and ``tools/clientcmd/client_config.go``; Go, ``golang.org/x/net/http/httpproxy``.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from typing import Any, Union
from urllib.parse import unquote, urlsplit, urlunsplit

from .._http.proxy import checked_proxy, goes_around

_PORTS = {"http": 80, "https": 443}
# Go has the proxy look names up for either spelling
_AS_GO = {"socks5": "socks5h"}

Authorities = Union[bytes, str, None]


def api_proxy(server: str, option: str, of_cluster: str = "", environ: Mapping[str, str] | None = None) -> str:
    """Return the URL of the proxy to an API server, its credentials included; empty when there is none.

    :param option: the proxy that the caller wants, whatever else says.
    :param of_cluster: ``proxy-url`` of the kubeconfig.
    :raises InvalidOption: when it is not the URL of a proxy; its text is not repeated.
    :raises MissingDependency: when it is a SOCKS proxy and PySocks is not installed.
    """
    if option:
        return _as_go(checked_proxy(option, "The 'proxy'"))
    if of_cluster:
        return _as_go(checked_proxy(of_cluster, "The 'proxy-url' of the kubeconfig"))
    proxy, name = _from_environment(server, os.environ if environ is None else environ)
    return _as_go(checked_proxy(proxy, f"The proxy in the environment's {name}")) if proxy else ""


def without_credentials(proxy: str) -> str:
    """Return the URL of a proxy for messages."""
    parts = urlsplit(proxy)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))


def pool_manager(proxy: str, authorities: Authorities = None, **arguments: Any) -> Any:
    """Return a pool manager of urllib3 for connections through a proxy, or without one when it is empty.

    :param authorities: those that vouch for the API server, as PEM text or a path. As in Go, they vouch for a proxy
        that speaks TLS, too, beside those of the system.
    :param arguments: those of urllib3's own pool managers.
    """
    import urllib3

    if not proxy:
        return urllib3.PoolManager(**arguments)
    parts = urlsplit(proxy)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        bare = without_credentials(proxy)
        return SOCKSProxyManager(bare, username=user or None, password=password or None, **arguments)
    if user or password:
        # urllib3 knows Latin-1 only in its older releases; Go has UTF-8
        credentials = base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode("ascii")
        arguments["proxy_headers"] = {"proxy-authorization": f"Basic {credentials}"}
    if parts.scheme == "https":
        arguments["proxy_ssl_context"] = _context_of_proxy(authorities)
    return urllib3.ProxyManager(without_credentials(proxy), **arguments)


def _as_go(proxy: str) -> str:
    scheme, colon, rest = proxy.partition(":")
    scheme = scheme.lower()
    return f"{_AS_GO.get(scheme, scheme)}{colon}{rest}"


def _from_environment(server: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The proxy and the variable that names it; both are empty when the server is reached without one."""
    parts = urlsplit(server)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    value, name = _first(environ, f"{scheme}_proxy")
    if not value or host == "localhost" or _is_loopback(host):
        return "", ""
    port = parts.port or _PORTS.get(scheme, 0)
    exceptions = _first(environ, "no_proxy")[0].split(",")
    if any(_is_exempt(entry.strip().lower(), host, port) for entry in exceptions):
        return "", ""
    return value, name


def _first(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    # Go reads the upper case first, unlike curl
    for each in (name.upper(), name):
        if environ.get(each):
            return environ[each], each
    return "", ""


def _is_exempt(entry: str, host: str, port: int) -> bool:
    """True when an entry of NO_PROXY means a host. One that begins with a dot means only what is below that name."""
    if not goes_around(host, port, [entry]):
        return False
    name = entry.partition(":")[0]
    above = name[1:] if name.startswith("*.") else name
    return not (above.startswith(".") and host == above.strip("."))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context_of_proxy(authorities: Authorities) -> Any:
    import ssl

    context = ssl.create_default_context()
    if isinstance(authorities, bytes):
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    elif authorities:
        context.load_verify_locations(cafile=authorities)
    return context
