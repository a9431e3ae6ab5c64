# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the Kubernetes API without the ``kubernetes`` client, where a kubeconfig says plainly what they are.

To import that client takes more time than all else that a run needs which finds nothing to do. A kubeconfig with a
token or a client certificate is read here. Everything else is the client's, which also words the error about a
kubeconfig that is wrong: credential plugins, OpenID, passwords, several files, service accounts of Pods.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from .._files.bounded import expanded
from .._http.pace import pace
from .api import RETRIES, KubeOptions
from .kubeconfig import read_file
from .proxy import api_proxy, pool_manager

_CLUSTER = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
    "disable-compression",
    "extensions",
}
_USER = {
    "token",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "extensions",
}

# the content of a PEM file, or its path
_Pem = Union[bytes, str, None]


class _NotPlain(Exception):
    """The client has to read this kubeconfig."""


@dataclass(frozen=True)
class PlainConnection:
    """A server, a pool manager of urllib3 for it, the headers of each request, and the proxy on the way."""

    server: str
    pool: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    proxy: str = field(default="", repr=False)


@dataclass
class _Settings:
    server: str = ""
    token: str = field(default="", repr=False)
    authorities: _Pem = None
    certificate: _Pem = None
    key: _Pem = field(default=None, repr=False)
    is_verified: bool = True
    server_name: str = ""
    proxy: str = field(default="", repr=False)


def plain_connection(options: KubeOptions) -> PlainConnection | None:
    """Return the connection, None where the ``kubernetes`` client has to make it. Nothing is requested.

    :raises InvalidOption: when the proxy that is set is none.
    :raises MissingDependency: when it is a SOCKS proxy and PySocks is not installed.
    """
    try:
        settings = _settings(options)
        _override(settings, options)
        settings.proxy = api_proxy(settings.server, options.proxy, settings.proxy)
        return _connect(settings)
    # whatever is wrong with a file, a certificate or the shape of the kubeconfig: the client says it
    except (_NotPlain, ImportError, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _settings(options: KubeOptions) -> _Settings:
    if options.host and (options.api_key or options.client_cert):
        return _Settings()
    if isinstance(options.kubeconfig, Mapping):
        return _read(options.kubeconfig, "", options.context)
    path = expanded(options.kubeconfig or os.environ.get("KUBECONFIG") or os.path.join("~", ".kube", "config"))
    if os.pathsep in path:
        raise _NotPlain
    return _read(read_file(path), os.path.abspath(os.path.dirname(path)), options.context)


def _read(document: Mapping[str, Any], folder: str, context_name: str) -> _Settings:
    context = _named(document["contexts"], context_name or document["current-context"])["context"]
    cluster = _named(document["clusters"], context["cluster"])["cluster"]
    user: Mapping[str, Any] = {}
    if context.get("user"):
        user = _named(document["users"], context["user"])["user"]
    if set(cluster) - _CLUSTER or set(user) - _USER:
        raise _NotPlain
    settings = _Settings(server=_text(cluster["server"]).rstrip("/"), token=_text(user.get("token", "")))
    verified = cluster.get("insecure-skip-tls-verify", False)
    if not isinstance(verified, bool):
        raise _NotPlain
    settings.is_verified = not verified
    settings.server_name = _text(cluster.get("tls-server-name", ""))
    settings.proxy = _text(cluster.get("proxy-url", ""))
    settings.authorities = _pem(cluster, "certificate-authority", folder)
    settings.certificate = _pem(user, "client-certificate", folder)
    settings.key = _pem(user, "client-key", folder)
    return settings


def _named(entries: Any, name: str) -> Mapping[str, Any]:
    (found,) = (entry for entry in entries if entry["name"] == name)
    if not isinstance(found, Mapping):
        raise _NotPlain
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _NotPlain
    return value


def _pem(entry: Mapping[str, Any], name: str, folder: str) -> _Pem:
    if f"{name}-data" in entry:
        try:
            return base64.b64decode(_text(entry[f"{name}-data"]), validate=True)
        except binascii.Error:
            raise _NotPlain from None
    if name not in entry:
        return None
    path = _text(entry[name])
    # a path beside a kubeconfig that is not a file is beside nothing
    if not os.path.isabs(path) and not folder:
        raise _NotPlain
    return os.path.normpath(os.path.join(folder, path))


def _override(settings: _Settings, options: KubeOptions) -> None:
    """Put the options in the place of what the kubeconfig says."""
    scheme = settings.server.partition("://")[0]
    settings.server = options.host.rstrip("/") or settings.server
    if scheme and settings.server.partition("://")[0] != scheme:
        raise _NotPlain
    settings.token = options.api_key or settings.token
    settings.authorities = expanded(options.ca_cert) or settings.authorities
    settings.certificate = expanded(options.client_cert) or settings.certificate
    settings.key = expanded(options.client_key) or settings.key
    if options.validate_certs is not None:
        settings.is_verified = options.validate_certs


def _connect(settings: _Settings) -> PlainConnection:
    arguments: dict[str, Any] = {"retries": RETRIES, "maxsize": 5 * (os.cpu_count() or 1)}
    scheme = settings.server.partition("://")[0]
    if scheme == "https":
        context = _context(settings)
        arguments.update(ssl_context=context, cert_reqs=context.verify_mode)
        if settings.server_name:
            arguments["server_hostname"] = settings.server_name
    elif scheme != "http" or settings.authorities or settings.certificate or settings.key:
        raise _NotPlain
    pool = pool_manager(settings.proxy, settings.authorities, **arguments)
    pace(pool)
    headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
    return PlainConnection(settings.server, pool, headers, settings.proxy)


def _context(settings: _Settings) -> Any:
    """A context for TLS, as urllib3 makes it of these files."""
    import ssl

    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if settings.is_verified else ssl.CERT_NONE)
    if not settings.authorities:
        context.load_default_certs()
    elif isinstance(settings.authorities, bytes):
        context.load_verify_locations(cadata=settings.authorities.decode("ascii"))
    else:
        context.load_verify_locations(cafile=settings.authorities)
    certificate, key = settings.certificate, settings.key
    if isinstance(certificate, bytes) and isinstance(key, bytes):
        # OpenSSL takes them from a file alone; nobody else can read it, and it is gone at once
        with tempfile.NamedTemporaryFile(prefix="kube-") as file:
            file.write(certificate + b"\n" + key + b"\n")
            file.flush()
            context.load_cert_chain(file.name, password=_no_password)
    elif isinstance(certificate, str) and isinstance(key, str):
        context.load_cert_chain(certificate, key, password=_no_password)
    elif certificate or key:
        raise _NotPlain
    return context


def _no_password() -> str:
    """Otherwise OpenSSL would ask for it on the terminal."""
    raise _NotPlain
