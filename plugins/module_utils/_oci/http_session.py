# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP session that every request goes through: TLS, proxies, time limits, no surprises.

Built on ``requests`` (a dependency of ``oras``). Redirects are not followed here, see ``registry.py``; ``~/.netrc`` is never
read, because requests would put its credentials in place of the registry's.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from .errors import ConnectionFailed, InvalidOption, MissingDependency, OciError, TlsFailed
from .options import ConnectionOptions

try:
    import requests
    import requests.adapters

    HTTPAdapter: Any = requests.adapters.HTTPAdapter
except ImportError:
    HTTPAdapter = object

POOL_SIZE = 16
# urllib3 hands file objects to the socket in pieces of this size (bytes)
SEND_BLOCK_SIZE = 1024 * 1024
USER_AGENT = "cloudnative.artifacts/0.1"

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "wrong version number")


class TlsAdapter(HTTPAdapter):
    """An adapter that uses exactly the given TLS context, in place of the bundle that requests would add."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=POOL_SIZE, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        kwargs["blocksize"] = SEND_BLOCK_SIZE
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        super().init_poolmanager(connections, maxsize, block, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if self._context is not None:
            kwargs["ssl_context"] = self._context
        return super().proxy_manager_for(proxy, **kwargs)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        parts = urlsplit(request.url)
        host = {"scheme": parts.scheme.lower(), "host": parts.hostname or "", "port": parts.port}
        return host, {"ssl_context": self._context} if self._context is not None else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection to the context."""


def new_session(options: ConnectionOptions) -> Any:
    """A ``requests.Session`` for one registry.

    :raises MissingDependency: when ``requests`` is not installed.
    :raises InvalidOption: when a certificate or a key cannot be used.
    """
    if HTTPAdapter is object:
        raise MissingDependency(
            "Speaking to a registry needs the Python package requests, which is not installed here.",
            "Install the package oras, which brings it: pip install 'oras>=0.2.43,<0.3'.",
        )
    session = requests.Session()
    session.auth = _no_netrc
    session.headers["User-Agent"] = USER_AGENT
    session.headers["Accept-Encoding"] = "identity"
    adapter = TlsAdapter(None if options.insecure else tls_context(options))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    """A context that trusts the system's authorities and ``ca_cert``, and presents ``client_cert``.

    :raises InvalidOption: when a certificate or a key cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle and os.path.isfile(bundle):
        context.load_verify_locations(cafile=bundle)
    elif not context.cert_store_stats()["x509_ca"]:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    if options.ca_cert:
        _load_ca(context, options.ca_cert)
    if options.client_cert or options.client_key:
        _load_client_certificate(context, options.client_cert, options.client_key)
    if not options.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def explain(error: Exception, action: str, options: ConnectionOptions) -> OciError:
    """Turn an error of requests into one of this collection; ``action`` is what was being done, as in ``GET https://…``."""
    if isinstance(error, requests.exceptions.SSLError):
        return _explain_tls(error, action)
    if isinstance(error, requests.exceptions.Timeout):
        return ConnectionFailed(
            f"{action} got no answer within {options.timeout:g} s.",
            "Check the host and the network between, or raise 'timeout'.",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectionFailed(f"{action} failed at the proxy: {_cause(error)}.", "Check 'proxy' and the environment.")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return ConnectionFailed(f"{action} is not possible: {_cause(error)}.", "")
    return ConnectionFailed(
        f"{action} failed: {_cause(error)}.", "Check the host's name and port, and that the registry runs."
    )


def _explain_tls(error: Exception, action: str) -> OciError:
    text = str(error)
    if any(mark in text for mark in _NOT_TLS):
        return TlsFailed(
            f"{action} failed: the server does not speak TLS on this port.",
            "If the registry speaks plain HTTP, set insecure: true.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return TlsFailed(
            f"{action} failed: the server's certificate is not trusted ({_cause(error)}).",
            "Give the authority that signed it in 'ca_cert'.",
        )
    return TlsFailed(f"{action} failed in the TLS handshake: {_cause(error)}.", "Check 'client_cert' and 'client_key'.")


def _cause(error: BaseException) -> str:
    """The innermost reason, without object addresses and URLs (whose queries may hold signatures)."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.__cause__ or (error.args[0] if error.args and isinstance(error.args[0], BaseException) else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return error.strerror
    text = str(error.args[-1] if error.args else error)
    text = text.rpartition(">: ")[2] or text
    return (text.partition("(Caused by")[0].strip() or type(error).__name__)[:200]


def _load_ca(context: ssl.SSLContext, ca_cert: str) -> None:
    try:
        if "-----BEGIN" in ca_cert:
            context.load_verify_locations(cadata=ca_cert)
        elif os.path.isdir(ca_cert):
            context.load_verify_locations(capath=ca_cert)
        else:
            context.load_verify_locations(cafile=ca_cert)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            f"The certificate authority in 'ca_cert' cannot be used: {_reason(exc)}.",
            "Wanted a PEM file, a directory of hashed PEM files, or PEM text.",
        ) from None


def _load_client_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    if not certificate or not key:
        given, missing = ("client_cert", "client_key") if certificate else ("client_key", "client_cert")
        raise InvalidOption(f"'{given}' is given without '{missing}'.", "Give both or neither.")
    with _as_file(certificate) as certificate_path, _as_file(key) as key_path:
        try:
            # the callable keeps OpenSSL from asking for a passphrase on the terminal
            context.load_cert_chain(certificate_path, key_path, password=lambda: "")
        except (OSError, ValueError) as exc:
            raise InvalidOption(
                f"The client certificate in 'client_cert' and 'client_key' cannot be used: {_reason(exc)}.",
                "Wanted a PEM certificate and its unencrypted PEM key.",
            ) from None


@contextlib.contextmanager
def _as_file(path_or_pem: str) -> Iterator[str]:
    """A path for OpenSSL, which reads keys from files only; text is in a file of mode 0600 for as long as it is read."""
    if "-----BEGIN" not in path_or_pem:
        yield path_or_pem
        return
    descriptor, path = tempfile.mkstemp(prefix="oci-artifact-")
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(path_or_pem)
        yield path
    finally:
        os.unlink(path)


def _reason(error: Exception) -> str:
    return cast(str, getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error))


def _no_netrc(request: Any) -> Any:
    return request
