# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that touches the network: requests to one registry, with authorization, retries and redirects.

:class:`RegistryClient` is an ``oras.provider.Registry`` whose single door to the network, ``do_request``, is this
collection's: every answer is bounded, every wait has an end, and no credential leaves the registry's origin.
"""

from __future__ import annotations

import email.utils
import json as json_module
import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Callable, cast
from urllib.parse import urljoin, urlsplit

from .credentials import Credential
from .errors import AuthenticationFailed, ConnectionFailed, MissingDependency, NotFound, RegistryError
from .http_session import explain, new_session
from .options import ConnectionOptions
from .reference import Reference
from .registry_auth import MAX_TOKEN_ANSWER, RegistryAuth

try:
    import oras.container
    import oras.provider
    import requests

    BaseRegistry: Any = oras.provider.Registry
    BaseContainer: Any = oras.container.Container
    # oras logs warnings to stderr through logging's last resort; a module's output is its JSON alone
    logging.getLogger("oras.logger").addHandler(logging.NullHandler())
except ImportError:
    BaseRegistry = BaseContainer = object

MAX_ERROR_ANSWER = 64 * 1024
MAX_REDIRECTS = 5
# seconds; a registry that asks for more in Retry-After is not waited for
MAX_RETRY_WAIT = 60.0
FIRST_RETRY_WAIT = 0.5
RETRY_STATUS = (408, 425, 429, 500, 502, 503, 504)
REDIRECT_STATUS = (301, 302, 303, 307, 308)
DOCKER_HUB_API = "registry-1.docker.io"

_REPOSITORY_IN_PATH = re.compile(r"/v2/(.+?)/(?:manifests|blobs|tags|referrers)/")


class Container(BaseContainer):
    """oras' URL builder over a reference that was already parsed strictly."""

    def __init__(self, reference: Reference) -> None:
        self.registry = api_host(reference.registry)
        self.namespace, _slash, self.repository = reference.repository.rpartition("/")
        self.tag, self.digest = reference.tag, reference.digest


def api_host(registry: str) -> str:
    """The host that serves the API of a registry; Docker Hub's differs from its name."""
    return DOCKER_HUB_API if registry == "docker.io" else registry


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: what decides whether a credential may go along."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"


class RegistryClient(BaseRegistry):
    """Requests to one registry; may be shared by threads."""

    def __init__(
        self,
        registry: str,
        connection: ConnectionOptions,
        credential: Credential | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if BaseRegistry is object:
            raise MissingDependency(
                "Speaking to a registry needs the Python package oras, which is not installed here.",
                "Install it for the Python that runs the module: pip install 'oras>=0.2.43,<0.3'.",
            )
        super().__init__(hostname=api_host(registry), insecure=connection.insecure)
        session = new_session(connection)
        session.cookies.set_policy(self.session.cookies.get_policy())
        self.session = session
        self.connection = connection
        self.registry = registry
        self._origin = origin(f"{self.prefix}://{self.hostname}")
        self._sleep = sleep
        self._proxies = {"http": connection.proxy, "https": connection.proxy} if connection.proxy else None
        self.auth = RegistryAuth(registry, credential, self._fetch_token)
        self.auth.prefix = self.prefix

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> Any:
        """oras' door to the network, kept so that what is inherited goes through :meth:`request`."""
        if json is not None:
            data = json_module.dumps(json).encode("utf-8")
        match = _REPOSITORY_IN_PATH.match(urlsplit(url).path)
        repository = match[1] if match else ""
        scope = push_scope(repository) if method in ("POST", "PUT", "PATCH", "DELETE") else pull_scope(repository)
        return self.request(method, url, scope=scope, headers=headers, body=data)

    def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        attempts: int = 0,
    ) -> Any:
        """Send a request and return the streaming ``requests.Response``, whatever its status.

        Passing failures (no connection, broken connection, status 408, 425, 429, 500, 502, 503, 504) are repeated
        ``retries`` times, after the time that Retry-After asks for, or after a growing, jittered pause. ``attempts`` are
        the failures that the caller has already seen. A body that is a file is sent again from where it stood.

        :raises ConnectionFailed: when no answer was had.
        :raises AuthenticationFailed: when the registry asks for credentials that there are not, or refuses them.
        """
        start = body.tell() if body is not None and not isinstance(body, bytes) else 0
        while True:
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
            try:
                response = self._send_authorized(method, url, scope, dict(headers or {}), body, start)
            except requests.exceptions.RequestException as exc:
                if not _may_pass(exc) or attempts >= self.connection.retries:
                    raise explain(exc, f"{method} {_shown(url)}", self.connection) from None
                self.pause(attempts)
            else:
                if response.status_code not in RETRY_STATUS or attempts >= self.connection.retries:
                    return response
                wait = retry_after(response.headers.get("Retry-After", ""))
                if wait is not None and wait > MAX_RETRY_WAIT:
                    return response
                response.close()
                self.pause(attempts, wait)
            attempts += 1

    def pause(self, attempts: int, wait: float | None = None) -> None:
        """Wait before the next attempt: as long as the registry asked, else 0.5 s doubled each time, less a random part."""
        if wait is None:
            wait = min(MAX_RETRY_WAIT, FIRST_RETRY_WAIT * 2**attempts) * random.uniform(0.5, 1.0)
        self._sleep(wait)

    def _send_authorized(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: Any, start: int
    ) -> Any:
        own = origin(url) == self._origin
        for _challenge in range(3):
            authorization = self.auth.header_for(scope) if own else {}
            response = self._send(method, url, {**headers, **authorization}, body, start)
            if response.status_code != 401 or not own or origin(response.url) != self._origin:
                return response
            header = response.headers.get("WWW-Authenticate", "")
            response.close()
            self.auth.answer(header, scope, authorization.get("Authorization", ""))
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
        raise AuthenticationFailed(
            f"The registry {self.registry} refused the token that its token server gave for {scope}.",
            "The account may lack the right to this repository.",
        )

    def _send(self, method: str, url: str, headers: dict[str, str], body: Any, start: int) -> Any:
        """One request with its redirects: at most 5, never from https to http, no credential to another origin."""
        for _redirect in range(MAX_REDIRECTS + 1):
            response = self.session.request(
                method,
                url,
                data=body,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(self.connection.timeout, self.connection.timeout),
                proxies=self._proxies,
            )
            location = response.headers.get("Location", "")
            if response.status_code not in REDIRECT_STATUS or not location:
                return response
            if method not in ("GET", "HEAD") and response.status_code not in (307, 308):
                return response
            response.close()
            target = urljoin(url, location)
            self._check_redirect(url, target)
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            if body is not None and not isinstance(body, bytes):
                body.seek(start)
            url = target
        raise RegistryError(f"{method} {_shown(url)} was redirected more than {MAX_REDIRECTS} times.")

    def _check_redirect(self, url: str, target: str) -> None:
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme != "https"):
            raise RegistryError(
                f"{_shown(url)} redirects to {_shown(target)}, which is not followed: the connection would not be encrypted."
            )

    def _fetch_token(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        for attempt in range(self.connection.retries + 1):
            last = attempt == self.connection.retries
            try:
                response = self.session.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    stream=True,
                    allow_redirects=False,
                    timeout=(self.connection.timeout, self.connection.timeout),
                    proxies=self._proxies,
                )
                answer = read_body(response, MAX_TOKEN_ANSWER)
            except requests.exceptions.RequestException as exc:
                if last or not _may_pass(exc):
                    raise explain(exc, f"{method} {_shown(url)}", self.connection) from None
                self.pause(attempt)
                continue
            if response.status_code not in RETRY_STATUS or last:
                return response.status_code, answer
            self.pause(attempt, retry_after(response.headers.get("Retry-After", "")))
        raise ConnectionFailed(f"{method} {_shown(url)} failed.")


def read_body(response: Any, limit: int) -> bytes:
    """The body of an answer, up to ``limit`` bytes; the connection goes back to its pool.

    :raises RegistryError: when there is more.
    """
    with response:
        try:
            data = response.raw.read(limit + 1, decode_content=True)
        except Exception as exc:  # urllib3's and http.client's trees have no common root below Exception
            raise requests.exceptions.ConnectionError(exc) from None
    if len(data) > limit:
        raise RegistryError(f"{response.request.method} {_shown(response.url)} answered with more than {limit} bytes.")
    return cast(bytes, data)


def check_status(response: Any, action: str, error: type[RegistryError] | None = None) -> None:
    """Pass a success through; turn any other status into an error that repeats the registry's own words.

    :raises NotFound: for 404.
    :raises AuthenticationFailed: for 401 and 403.
    :raises RegistryError: for any other.
    """
    status = response.status_code
    if status in (200, 201, 202, 204, 206):
        return
    said = _registry_words(response)
    found = f"{action} was answered with status {status}{said}."
    if status == 404:
        raise NotFound(found, "Check the repository and the tag or digest.")
    if status in (401, 403):
        raise AuthenticationFailed(found, "The account may lack the right to this repository.")
    if status == 429:
        raise RegistryError(found, "The registry limits the rate of requests: try later, or log in.", status)
    if status == 400 and urlsplit(response.url).scheme == "http":
        raise RegistryError(found, "If the registry speaks TLS on this port, set insecure: false.", status)
    hint = "The registry seems to be in trouble: try later." if status >= 500 else ""
    raise (error or RegistryError)(found, hint, status)


def _registry_words(response: Any) -> str:
    """The ``errors`` of the distribution specification ("Error Codes"), shortened and printable."""
    try:
        document = json_module.loads(read_body(response, MAX_ERROR_ANSWER))
        errors = [entry for entry in document["errors"][:3] if isinstance(entry, dict)]
        words = [" ".join(str(entry.get(key, "")) for key in ("code", "message")).strip() for entry in errors]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RegistryError):
        return ""
    except requests.exceptions.RequestException:
        return ""
    text = "; ".join(word for word in words if word)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return f" ({printable[:300]})" if printable else ""


def retry_after(header: str) -> float | None:
    """Seconds to wait, from either form of Retry-After (RFC 9110, section 10.2.3); None when there is none."""
    header = header.strip()
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (TypeError, ValueError, IndexError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _may_pass(error: Exception) -> bool:
    lasting = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidHeader,
    )
    return not isinstance(error, lasting)


def _shown(url: str) -> str:
    """A URL for messages: without its query, which may hold a signature or a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:300]
