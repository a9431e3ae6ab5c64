# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that touches the network: requests to one registry, with authorization, retries and redirects.

:class:`RegistryClient` is an ``oras.provider.Registry`` whose single door to the network, ``do_request``, is this
collection's: every answer is bounded, every wait has an end, and no credential leaves the registry's origin.
"""

from __future__ import annotations

import json as json_module
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Callable
from urllib.parse import urlsplit

from .._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidReference,
    MissingDependency,
    OciError,
    RegistryError,
)
from .._http.answer import RETRY_STATUS, check_status, wait_asked_for
from .._http.body import BodyBroken, content_length, discard, read_body
from .._http.pauses import Pauses
from .._http.session import explain, may_pass, new_session
from .._http.url import join, origin, shown
from .._login.find import Credential
from .._oci.options import ConnectionOptions
from .._oci.reference import DEFAULT_TAG, Reference, parse_reference
from .auth import MAX_TOKEN_ANSWER, NO_CREDENTIALS, SELDOM_USED_BY_ORAS, RegistryAuth
from .deferred import deferred

try:
    with deferred(*SELDOM_USED_BY_ORAS):
        import oras.container
        import oras.provider
    import requests
    import urllib3

    BaseRegistry: Any = oras.provider.Registry
    BaseContainer: Any = oras.container.Container
    # oras logs warnings to stderr through logging's last resort; a module's output is its JSON alone
    logging.getLogger("oras.logger").addHandler(logging.NullHandler())
except ImportError:
    BaseRegistry = BaseContainer = object

MAX_REDIRECTS = 5
# what an inherited method of oras may load into memory
MAX_INHERITED_ANSWER = 16 * 1024 * 1024
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if BaseRegistry is object:
            raise MissingDependency(
                "Speaking to a registry needs the Python package oras, which is not installed here.",
                "Install it for the Python that runs the module: pip install 'oras>=0.2.43,<0.3'.",
            )
        super().__init__(hostname=api_host(registry), insecure=connection.insecure)
        self.session: Any = new_session(connection)
        self.connection = connection
        self.registry = registry
        self._origin = origin(f"{self.prefix}://{self.hostname}")
        self.session.identified.add(self._origin)
        # whether several artifacts of a task have this client: see _repeat
        self.serves_many = False
        self._has_answered = False
        self._gave_up: ConnectionFailed | None = None
        self.pauses = Pauses(sleep, clock)
        self.auth = RegistryAuth(registry, credential, self._fetch_token)
        self.auth.prefix = self.prefix

    # The seams of oras

    def get_container(self, name: Any) -> Container:
        """oras' way from a name to URLs, strict here, and only for this registry.

        :raises InvalidReference: when the name is outside the grammar or of another registry.
        """
        if isinstance(name, Container):
            return name
        reference = parse_reference(str(name))
        if reference.registry != self.registry:
            raise InvalidReference(f"{reference.name} is not in the registry {self.registry}.")
        return Container(reference if reference.identifier else reference.at(tag=DEFAULT_TAG))

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
        response = self.request(method, url, scope=scope, headers=headers, body=data)
        if not stream:
            # what follows reads the body without a bound
            try:
                response._content = read_body(response, MAX_INHERITED_ANSWER, self.connection.timeout)
            except BodyBroken as exc:
                raise _broken_off(f"{method} {shown(url)}", exc) from None
        return response

    def _not_offered(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Use RegistryRepository: what oras does here checks no digest.")

    # they check no digest, hold blobs in memory, write credentials to disk, or unpack without limits
    pull = push = get_manifest = upload_manifest = download_blob = upload_blob = _not_offered
    put_upload = chunked_upload = get_tags = delete_tag = delete_tags = login = logout = _not_offered

    # What this collection uses

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
        ``retries`` times, after the time that Retry-After asks for, or after a growing, jittered pause; see
        :class:`~._http.pauses.Pauses` for the bound on all pauses of a task together. ``attempts`` are the failures that the
        caller has already seen. A body that is a file is sent again from where it stood. A repeated POST may leave an
        upload open that nobody uses; registries expire those.

        :raises ConnectionFailed: when no answer was had.
        :raises AuthenticationFailed: when the registry asks for credentials that there are not, or refuses them.
        """
        rewind = _rewinder(body)
        return self._repeat(
            f"{method} {shown(url)}",
            lambda: self._send_authorized(method, url, scope, dict(headers or {}), body, rewind),
            attempts,
        )

    def fetch(self, url: str, *, scope: str, headers: Mapping[str, str] | None = None, limit: int) -> tuple[Any, bytes]:
        """GET a document: the answer and, for status 200, its body of at most ``limit`` bytes.

        A body that breaks off is requested again, as part of the same ``retries``.

        :raises RegistryError: when the body is larger.
        :raises ConnectionFailed: when no whole answer was had.
        :raises AuthenticationFailed: as :meth:`request`.
        """
        body = b""

        def send() -> Any:
            nonlocal body
            response = self._send_authorized("GET", url, scope, dict(headers or {}), None, _nothing)
            if response.status_code == 200:
                body = read_body(response, limit, self.connection.timeout)
            return response

        response = self._repeat(f"GET {shown(url)}", send)
        return response, body

    def check_login(self) -> bool:
        """Whether the registry asks for credentials, and takes this client's; False when it asks for none.

        Source: distribution-spec, "Determining Support" (``GET /v2/``), with a token where the answer names a token
        server. First without credentials: what a registry accepts unasked says nothing about them.

        :raises AuthenticationFailed: when the registry or its token server refuses them.
        :raises RegistryError: when the host is no registry.
        :raises ConnectionFailed: when no answer was had.
        """
        url = f"{self.prefix}://{self.hostname}/v2/"
        response = self._repeat(f"GET {shown(url)}", lambda: self._send("GET", url, {}, None, _nothing))
        asks: bool = response.status_code == 401
        if asks:
            discard(response, self.connection.timeout)
            response = self.request("GET", url, scope="")
        if response.status_code == 404:
            response.close()
            raise RegistryError(f"{shown(url)} is not there.", "Check the host: it seems to be no registry.", 404)
        check_status(response, f"Logging in to {self.registry}")
        discard(response, self.connection.timeout)
        return asks

    def _repeat(self, action: str, send: Callable[[], Any], attempts: int = 0) -> Any:
        """Call ``send`` until its answer is no passing failure, or the retries are used up.

        Where one client serves several artifacts, a registry that has never answered, and that one request has given up
        on, is not waited for by the others.
        """
        if self.serves_many and self._gave_up is not None and not self._has_answered:
            raise ConnectionFailed(
                f"{action} was not tried, since the registry did not answer before: {self._gave_up.message}",
                self._gave_up.hint,
                is_lasting=self._gave_up.is_lasting,
            )
        while True:
            wait = None
            is_last = attempts >= self.connection.retries or not self.pauses.allow()
            try:
                response = send()
            except BodyBroken as exc:
                if is_last:
                    raise _broken_off(action, exc) from None
            except requests.exceptions.RequestException as exc:
                if is_last or not may_pass(exc):
                    failure = explain(exc, action, self.connection)
                    if isinstance(failure, ConnectionFailed):
                        self._gave_up = failure
                    raise failure from None
            else:
                self._has_answered = True
                wait = wait_asked_for(response)
                if response.status_code not in RETRY_STATUS or is_last or not self.pauses.allow(wait):
                    return response
                discard(response, self.connection.timeout)
            self.pauses.pause(attempts, wait)
            attempts += 1

    def _send_authorized(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: Any, rewind: Callable[[], None]
    ) -> Any:
        own = origin(url) == self._origin
        renewed = False
        # at most: a password or an old token, a token of another thread, a new token
        for _challenge in range(3):
            authorization = self.auth.header_for(scope) if own else {}
            response = self._send(method, url, {**headers, **authorization}, body, rewind)
            # a challenge counts only when it is the registry's own, not a redirect target's
            if response.status_code != 401 or not own or origin(response.url) != self._origin:
                return response
            challenge = response.headers.get("WWW-Authenticate", "")
            discard(response, self.connection.timeout)
            if renewed:
                break
            renewed = self.auth.answer(challenge, scope, authorization.get("Authorization", ""))
        raise AuthenticationFailed(
            f"The registry {self.registry} refused the token that its token server gave for {scope or 'it'}.",
            NO_CREDENTIALS
            if self.auth.is_anonymous
            else "The account may lack the right to this repository, or there is no such repository.",
        )

    def _send(self, method: str, url: str, headers: dict[str, str], body: Any, rewind: Callable[[], None]) -> Any:
        """One request with its redirects: at most 5, never from https to http, no credential to another origin.

        All of them together have the time that one may take, but for sending a file again.
        """
        end = time.monotonic() + 2 * self.connection.timeout
        for _redirect in range(MAX_REDIRECTS + 1):
            rewind()
            left = end - time.monotonic() if body is None or isinstance(body, bytes) else self.connection.timeout
            if left <= 0:
                raise requests.exceptions.ReadTimeout(f"{method} {shown(url)}: redirects took all the time")
            response = self._send_once(method, url, headers, body, min(left, self.connection.timeout))
            location = response.headers.get("Location", "")
            if response.status_code not in REDIRECT_STATUS or not location:
                return response
            if method not in ("GET", "HEAD") and response.status_code not in (307, 308):
                return response
            discard(response, self.connection.timeout)
            target = join(url, location)
            if origin(url)[0] == "https" and origin(target)[0] != "https":
                raise RegistryError(
                    f"{shown(url)} redirects to {shown(target)}, which is not followed: it would not be encrypted."
                )
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise RegistryError(f"{method} {shown(url)} was redirected more than {MAX_REDIRECTS} times.")

    def _send_once(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, timeout: float | None = None
    ) -> Any:
        timeout = self.connection.timeout if timeout is None else timeout
        try:
            response = self.session.request(
                method,
                url,
                data=body,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(timeout, timeout),
            )
        except (requests.exceptions.RequestException, OciError):
            raise
        except (urllib3.exceptions.HTTPError, ValueError, TypeError) as exc:
            # what requests lets through of urllib3, of the codec for host names, and for half an URL as a proxy
            raise requests.exceptions.InvalidURL(type(exc).__name__) from None
        if method == "HEAD" or content_length(response) == 0:
            response.raw.read(1, decode_content=False)  # finds the end, which gives the connection back to its pool
        return response

    def ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[Any, bytes]:
        """One request beside the registry's own protocol, as to a token server: the answer and its body, of at most
        1 MiB. Passing failures are repeated as in :meth:`request`; redirects are not followed, no authorization is
        added.

        :raises RegistryError: when the body is larger.
        :raises ConnectionFailed: when no answer was had.
        """
        answer = b""

        def send() -> Any:
            nonlocal answer
            response = self._send_once(method, url, headers, body)
            answer = read_body(response, MAX_TOKEN_ANSWER, self.connection.timeout)
            return response

        return self._repeat(f"{method} {shown(url)}", send), answer

    def _fetch_token(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        # the registry\'s own delegate, which is trusted with its password, too
        self.session.identified.add(origin(url))
        response, answer = self.ask(method, url, headers, body)
        return response.status_code, answer


def _rewinder(body: bytes | BinaryIO | None) -> Callable[[], None]:
    """What brings a body back to where it stands now."""
    if body is None or isinstance(body, bytes):
        return _nothing
    stream, start = body, body.tell()

    def rewind() -> None:
        stream.seek(start)

    return rewind


def _nothing() -> None:
    """Bodies in memory need no rewinding."""


def _broken_off(action: str, broken: BodyBroken) -> ConnectionFailed:
    return ConnectionFailed(f"{action} failed: the answer broke off ({broken}).", "Try again, or raise 'retries'.")
