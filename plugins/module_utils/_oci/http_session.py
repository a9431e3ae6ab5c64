# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP session that every request goes through: TLS, proxies, time limits, no surprises.

Built on ``requests`` (a dependency of ``oras``). Redirects are not followed here, see ``registry_client.py``;
``~/.netrc`` is never read, because requests would put its credentials in place of the registry's.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import tempfile
import threading
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

from .errors import ConnectionFailed, InvalidOption, MissingDependency, OciError, TlsFailed
from .options import ConnectionOptions

try:
    import requests
    import requests.adapters
    from urllib3 import poolmanager

    HTTPAdapter: Any = requests.adapters.HTTPAdapter
    # urllib3 1.26, which has no such key for its pools and refuses it
    _IS_OLD_URLLIB3 = "key_blocksize" not in poolmanager.PoolKey._fields
except ImportError:
    HTTPAdapter = object

if HTTPAdapter is not object:
    LASTING: tuple[type[Exception], ...] = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")

POOL_SIZE = 16
# urllib3 hands file objects to the socket in pieces of this size (bytes)
SEND_BLOCK_SIZE = 1024 * 1024
USER_AGENT = "cloudnative.artifacts/0.1"

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "wrong version number")


class RegistryAdapter(HTTPAdapter):
    """An adapter that uses exactly the given TLS context, in place of the bundle that requests would add."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = _fit(context)
        super().__init__(pool_connections=POOL_SIZE, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **self._pool_options(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        kwargs.update(self._pool_options())
        # SOCKS proxies know no TLS of their own, and refuse the argument
        if self._context is not None and proxy.lower().startswith("https:") and not _IS_OLD_URLLIB3:
            kwargs["proxy_ssl_context"] = self._context
        return super().proxy_manager_for(proxy, **kwargs)

    def _pool_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if _IS_OLD_URLLIB3 else {"blocksize": SEND_BLOCK_SIZE}
        if self._context is not None:
            options["ssl_context"] = self._context
        return options

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """What requests 2.32 and later open a connection with; earlier ones ask the pool manager, set up alike."""
        parts = urlsplit(request.url)
        host = {"scheme": parts.scheme.lower(), "host": parts.hostname or "", "port": parts.port}
        return host, {"ssl_context": self._context} if self._context is not None else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection to the context."""


def _fit(context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """urllib3 1.26 hides an IP address from the context, which then refuses to connect; where the context does not
    compare the host's name with the certificate, it does so itself.
    """
    if context is not None and _IS_OLD_URLLIB3:
        context.check_hostname = False
    return context


class LateTlsAdapter(RegistryAdapter):
    """For a registry over plain HTTP, which may still redirect to https: the context is made when that happens."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        super().__init__()

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._context is None:
                self._context = _fit(tls_context(self._options))
                self.init_poolmanager(POOL_SIZE, POOL_SIZE)
        return super().send(request, *args, **kwargs)


def new_session(options: ConnectionOptions) -> Any:
    """A ``requests.Session`` for one registry.

    :raises MissingDependency: when ``requests`` is not installed.
    :raises InvalidOption: when a certificate, a key or the proxy cannot be used.
    """
    if HTTPAdapter is object:
        raise MissingDependency(
            "Speaking to a registry needs the Python package requests, which is not installed here.",
            "Install the package oras, which brings it: pip install 'oras>=0.2.43,<0.3'.",
        )
    _check_proxy(options.proxy)
    session: Any = requests.Session()
    # even where it does not follow a redirect, requests looks at the target and reads the whole body
    session.get_redirect_target = _no_redirects
    session.auth = _no_netrc
    # a registry that sees its cookies come back may take the client for a browser (Harbor)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = USER_AGENT
    session.headers["Accept-Encoding"] = "identity"
    session.mount("http://", RegistryAdapter())
    session.mount("https://", LateTlsAdapter(options) if options.insecure else RegistryAdapter(tls_context(options)))
    return session


def _check_proxy(proxy: str) -> None:
    try:
        parts = urlsplit(proxy if "://" in proxy else "http://" + proxy)
        is_usable = bool(parts.hostname) and parts.port != 0 and parts.scheme.lower() in _PROXY_SCHEMES
    except ValueError:
        is_usable = False
    if proxy and not is_usable:
        # it is not repeated: it may hold a password
        raise InvalidOption("The 'proxy' is no URL of a proxy.", "Wanted http://[user:password@]host:port, or socks5h.")


def tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    """A context that trusts the system's authorities and ``ca_cert``, and presents ``client_cert``.

    The system's are OpenSSL's (``SSL_CERT_FILE``, ``SSL_CERT_DIR``) with those of ``REQUESTS_CA_BUNDLE`` or
    ``CURL_CA_BUNDLE``; certifi's where there are none.

    :raises InvalidOption: when a certificate or a key cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(name):
            _load_ca(context, os.environ[name], f"the environment's {name}")
            break
    else:
        if not _system_has_authorities():
            _load_certifi(context)
    if options.ca_cert:
        _load_ca(context, options.ca_cert, "'ca_cert'")
    if options.client_cert or options.client_key:
        _load_client_certificate(context, options.client_cert, options.client_key)
    if not options.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def may_pass(error: Exception) -> bool:
    """Whether a failure of requests may go away by itself, so that repeating is worth a try."""
    if isinstance(error, requests.exceptions.SSLError):
        return "EOF" in str(error)  # broken off in the handshake
    if isinstance(error, requests.exceptions.ProxyError):
        return not re.search(r"\b4\d\d\b", _cause(error))  # such as 407, after which a password is not sent again
    return not isinstance(error, LASTING)


def explain(error: Exception, action: str, options: ConnectionOptions) -> OciError:
    """Turn an error of requests into one of this collection.

    ``action`` is what was being done, as in ``GET https://…``.
    """
    if isinstance(error, requests.exceptions.SSLError):
        return _explain_tls(error, action)
    if isinstance(error, requests.exceptions.Timeout):
        return ConnectionFailed(
            f"{action} got no answer within {options.timeout:g} s.",
            "Check the host and the network between, or raise 'timeout'.",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectionFailed(
            f"{action} failed at the proxy: {_cause(error)}.",
            "Check 'proxy' and the environment.",
            is_lasting=not may_pass(error),
        )
    if isinstance(error, LASTING):
        # its text is not repeated: it may hold the URL of a proxy with its password, or a header
        return ConnectionFailed(
            f"{action} is not possible ({type(error).__name__}).",
            "Check the host's name and 'proxy'; a SOCKS proxy needs the Python package PySocks.",
            is_lasting=True,
        )
    return ConnectionFailed(
        f"{action} failed: {_cause(error)}.", "Check the host's name and port, and that the registry runs."
    )


def _explain_tls(error: Exception, action: str) -> OciError:
    text = str(error)
    if any(mark in text for mark in _NOT_TLS):
        found = f"{action} failed: the server does not speak TLS on this port."
        return TlsFailed(found, "If the registry speaks plain HTTP, set insecure: true.", is_lasting=True)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        found = f"{action} failed: the server's certificate is not trusted ({_cause(error)})."
        return TlsFailed(found, "Give the authority that signed it in 'ca_cert'.", is_lasting=True)
    return TlsFailed(
        f"{action} failed in the TLS handshake: {_cause(error)}.",
        "Check 'client_cert' and 'client_key'.",
        is_lasting=not may_pass(error),
    )


def _cause(error: BaseException) -> str:
    """The innermost reason, without object addresses and URLs (whose queries may hold signatures)."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = error.__cause__ or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return error.strerror
    text = str(error.args[-1] if error.args else error)
    text = text.rpartition(">: ")[2] or text
    return (text.partition("(Caused by")[0].strip() or type(error).__name__)[:200]


def _system_has_authorities() -> bool:
    # the context's own count leaves out directories, which OpenSSL reads only when it meets a certificate
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    try:
        return bool(paths.capath and os.listdir(paths.capath))
    except OSError:
        return False


def _load_certifi(context: ssl.SSLContext) -> None:
    with contextlib.suppress(ImportError, OSError):
        import certifi

        context.load_verify_locations(cafile=certifi.where())


def _load_ca(context: ssl.SSLContext, ca_cert: str, origin: str) -> None:
    try:
        if "-----BEGIN" in ca_cert:
            context.load_verify_locations(cadata=ca_cert)
        elif os.path.isdir(ca_cert):
            context.load_verify_locations(capath=ca_cert)
        else:
            context.load_verify_locations(cafile=ca_cert)
    except (OSError, ValueError) as exc:
        raise InvalidOption(
            f"The certificate authority in {origin} cannot be used: {_reason(exc)}.",
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
    """A path for OpenSSL, which reads keys from files only; text is in a file of mode 0600 while it is read."""
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


def _no_redirects(response: Any) -> None:
    """See ``registry_client.py``."""


def _no_netrc(request: Any) -> Any:
    return request
