# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP session that every request goes through: TLS, proxies, time limits, no surprises.

Built on ``requests``. Redirects are not followed here, see :meth:`~._http.client.HttpClient.send`;
``~/.netrc`` is never read, because requests would put its credentials in place of the registry's.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from .._errors import ConnectionFailed, OciError
from .._oci.options import ConnectionOptions
from .._packages import require
from .pace import PacedConnection, TooSlow, pace
from .proxy import check_proxy, proxy_for
from .tls import breaks_off, explain_tls, suspicion, tls_context
from .url import origin, redacted_url

try:
    import requests
    import requests.adapters
    from urllib3 import poolmanager

    HTTPAdapter: Any = requests.adapters.HTTPAdapter
    BaseSession: Any = requests.Session
    # urllib3 1.26, which has no such key for its pools and refuses it
    _IS_OLD_URLLIB3 = "key_blocksize" not in poolmanager.PoolKey._fields
except ImportError:
    HTTPAdapter = BaseSession = object

if HTTPAdapter is not object:
    LASTING: tuple[type[Exception], ...] = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )

POOL_SIZE = 16
# urllib3 hands file objects to the socket in pieces of this size (bytes)
SEND_BLOCK_SIZE = 1024 * 1024
USER_AGENT = "cloudnative.artifacts/0.1"

# the place, among a session's adapters, of the one that presents the client certificate; no URL starts so
_IDENTIFIED = "identified:"


class RegistryAdapter(HTTPAdapter):
    """An adapter that uses exactly the given TLS context, in place of the bundle that requests would add."""

    def __init__(self, options: ConnectionOptions, context: ssl.SSLContext | None = None) -> None:
        self._options = options
        self._context = _fit(context)
        super().__init__(pool_connections=POOL_SIZE, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **self._pool_options(), **kwargs)
        pace(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        kwargs.update(self._pool_options())
        if proxy.lower().startswith("https:") and proxy not in self.proxy_manager:
            # a proxy is not the registry: it does not see the registry's client certificate
            context = tls_context(self._options, client_certificate=False)
            kwargs["proxy_ssl_context"] = context
            # for plain HTTP the connection to the proxy is the only one; for https, that of the registry is set already
            kwargs.setdefault("ssl_context", context)
        manager = super().proxy_manager_for(proxy, **kwargs)
        pace(manager)
        return manager

    def _pool_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if _IS_OLD_URLLIB3 else {"blocksize": SEND_BLOCK_SIZE}
        if self._context is not None:
            options["ssl_context"] = self._context
        return options

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return what requests 2.32 and later open a connection with; earlier ones use the pool manager."""
        parts = urlsplit(request.url)
        host = {"scheme": parts.scheme.lower(), "host": parts.hostname or "", "port": parts.port}
        return host, {"ssl_context": self._context} if self._context is not None else {}

    def add_headers(self, request: Any, **kwargs: Any) -> None:
        """Name an IPv6 host in brackets: through a tunnel, urllib3 1.26 doubles them."""
        host = urlsplit(request.url).netloc.rpartition("@")[2]
        if host.startswith("["):
            request.headers["Host"] = host

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the connection to the context."""

    def direct_pool(self, url: str) -> Any:
        """Return the pool of the connections that requests without a proxy are sent over, for whoever sends them
        without this adapter; None when that is of another kind than the one that is known.
        """
        scheme, host, port = origin(url)
        pool = self.poolmanager.connection_from_host(host, port, scheme)
        is_known = issubclass(pool.ConnectionCls, PacedConnection) and hasattr(pool, "_get_conn")
        return pool if is_known and hasattr(pool, "_put_conn") else None


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
        self._lock = threading.Lock()
        super().__init__(options)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._make_context()
        return super().send(request, *args, **kwargs)

    def direct_pool(self, url: str) -> Any:
        self._make_context()
        return super().direct_pool(url)

    def _make_context(self) -> None:
        with self._lock:
            if self._context is None:
                self._context = _fit(tls_context(self._options, client_certificate=False))
                self.init_poolmanager(POOL_SIZE, POOL_SIZE)


class RegistrySession(BaseSession):
    """A ``requests.Session`` that takes nothing from its surroundings but the proxies of the environment.

    The client certificate is presented to the places in ``identified`` (as :func:`~._http.url.origin` gives them) and
    to no other, wherever a registry may redirect to.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__()
        self.identified: set[tuple[str, str, int]] = set()
        self.options = options
        self.trust_env = False
        self.auth = _no_netrc
        # a registry that sees its cookies come back may take the client for a browser (Harbor)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "identity"
        self.mount("http://", RegistryAdapter(options))
        if options.insecure:
            self.mount("https://", LateTlsAdapter(options))
        else:
            self.mount("https://", RegistryAdapter(options, tls_context(options, client_certificate=False)))
        if options.client_cert or options.client_key:
            self.mount(_IDENTIFIED, RegistryAdapter(options, tls_context(options)))

    def get_adapter(self, url: str) -> Any:
        if _IDENTIFIED in self.adapters and url[:6].lower() == "https:" and origin(url) in self.identified:
            return self.adapters[_IDENTIFIED]
        return super().get_adapter(url)

    def merge_environment_settings(self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        """Return the settings of a request: the proxy by this collection's rule, not by that of requests."""
        proxy = proxy_for(url, self.options)
        proxies = {urlsplit(url).scheme: proxy} if proxy else {}
        return {"proxies": proxies, "stream": stream, "verify": True, "cert": None}

    def get_redirect_target(self, resp: Any) -> None:
        """Return None: even if it does not follow a redirect, requests looks at the target and reads the whole body."""


def new_session(options: ConnectionOptions) -> Any:
    """A :class:`RegistrySession`, or one for the places beside a registry.

    :raises MissingDependency: when ``requests`` is not installed, or ``PySocks`` for a SOCKS proxy.
    :raises InvalidOption: when a certificate, a key or the proxy cannot be used.
    """
    require("requests", "Speaking to a registry")
    check_proxy(options)
    return RegistrySession(options)


def is_transient(error: Exception) -> bool:
    """Return whether a failure of requests is transient, so that repeating makes sense."""
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLError) or isinstance(error, requests.exceptions.SSLError):
        return breaks_off(inner)
    if isinstance(error, requests.exceptions.ProxyError):
        return not re.search(r"\b4\d\d\b", _cause(error))  # such as 407, after which a password is not sent again
    if "SOCKS" in str(inner):
        return "authentication" not in str(inner) and "not allowed" not in str(inner)
    return not isinstance(error, LASTING)


def explain(error: Exception, action: str, options: ConnectionOptions) -> OciError:
    """Turn an error of requests into one of this collection.

    ``action`` is what was being done, as in ``GET https://…``.
    """
    proxy = _proxy_of(error, options)
    inner = _innermost(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return _explain_proxy(error, inner, action, proxy, options)
    if proxy:
        action += f" through the proxy {redacted_url(proxy)}"
    if isinstance(inner, ssl.SSLError) or isinstance(error, requests.exceptions.SSLError):
        return explain_tls(inner, action, _tls_peer(error, proxy), options)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return ConnectionFailed(
            f"{action} got no connection within {options.timeout:g} s.",
            "Check the host's name and port, proxies and the network between, or raise 'timeout'.",
        )
    if isinstance(error, requests.exceptions.Timeout):
        slow = _too_slow(error)
        found = f"no complete answer within {options.timeout:g} s ({slow})" if slow else ""
        return ConnectionFailed(
            f"{action} got {found or f'no answer within {options.timeout:g} s'}.",
            "Check the host and the network between, or raise 'timeout'.",
        )
    if isinstance(error, LASTING):
        # its text is not repeated: it may hold the URL of a proxy with its password, or a header
        return ConnectionFailed(
            f"{action} is not possible ({type(error).__name__}).",
            "Check the host's name and 'proxy'.",
            is_lasting=True,
        )
    hint = "Check the host's name and port, and that the registry runs."
    if proxy.startswith("socks"):
        hint = "Check 'proxy' and the environment, and that the proxy lets this host through."
    elif isinstance(inner, (ConnectionResetError, BrokenPipeError)) and " https:" in action:
        hint += f" {suspicion(options)}"
    return ConnectionFailed(f"{action} failed: {_cause(error)}.", hint, is_lasting=not is_transient(error))


def _tls_peer(error: Any, proxy: str) -> str:
    if not proxy.lower().startswith("https:"):
        return "the server"
    if urlsplit(error.request.url).scheme == "http":
        return "the proxy"
    # urllib3 1.26 does not tell whose handshake it was
    return "the server or the proxy" if _IS_OLD_URLLIB3 else "the server"


def _explain_proxy(
    error: Exception, inner: BaseException, action: str, proxy: str, options: ConnectionOptions
) -> OciError:
    action += f" failed at the proxy {redacted_url(proxy)}"
    if isinstance(inner, ssl.SSLError):
        return explain_tls(inner, action.replace(" failed at the", " through the"), "the proxy", options)
    found, hint = _cause(error), "Check 'proxy' and the environment."
    if re.search(r"\b407\b", found):
        hint = "It wants a user name and a password, as in http://user:password@host:port."
        if "@" in proxy:
            hint = "It did not accept the user name and password that are given with it."
    elif re.search(r"\b40[0-9]\b", found):
        hint = "It does not let requests to this host through: ask its operator, or name the host in 'no_proxy'."
    return ConnectionFailed(f"{action}: {found}.", hint, is_lasting=not is_transient(error))


def _proxy_of(error: Any, options: ConnectionOptions) -> str:
    """The proxy that the failed request went through."""
    try:
        return proxy_for(error.request.url, options)
    except (AttributeError, OciError):
        return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the innermost last."""
    inner: Any = error
    while isinstance(inner, BaseException):
        yield inner
        following = getattr(inner, "reason", None)
        if not isinstance(following, BaseException):
            following = inner.__cause__ or (inner.args[0] if inner.args else None)
        if not isinstance(following, BaseException):
            following = next((each for each in inner.args if isinstance(each, BaseException)), None)
        inner = following


def _too_slow(error: BaseException) -> TooSlow | None:
    """Return the error of :mod:`.pace`, if that was the cause; urllib3 1.26 does not name it as its own cause."""
    found = (each for link in _chain(error) for each in (link, link.__context__) if isinstance(each, TooSlow))
    return next(found, None)


def _innermost(error: BaseException) -> BaseException:
    return list(_chain(error))[-1]


def _cause(error: BaseException) -> str:
    """The innermost reason, without object addresses and URLs (whose queries may hold signatures)."""
    inner = _innermost(error)
    if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, ssl.SSLError):
        return inner.strerror
    text = str(inner.args[-1] if inner.args else inner)
    text = text.rpartition(">: ")[2] or text
    return (text.partition("(Caused by")[0].strip() or type(inner).__name__)[:200]


def _no_netrc(request: Any) -> Any:
    return request
