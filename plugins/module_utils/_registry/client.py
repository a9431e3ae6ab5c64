# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to one registry, with authorization, retries and redirects.

Every answer is bounded, every wait has an end, and no credential leaves the registry's origin.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Callable

from .._errors import AuthenticationFailed, RegistryError
from .._http.answer import RETRY_STATUS, WAIT_STATUS, check_status
from .._http.body import discard, read_body
from .._http.client import MAX_REDIRECTS, REDIRECT_STATUS, HttpClient, nothing, rewinder
from .._http.url import join, origin, redacted_url
from .._login.credential import Credential
from .._oci.options import ConnectionOptions
from .auth import NO_CREDENTIALS, RegistryAuth
from .urls import api_url


def pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"


class RegistryClient:
    """Requests to one registry, whose URLs begin with ``api``; may be shared by threads."""

    def __init__(
        self,
        registry: str,
        connection: ConnectionOptions,
        credential: Credential | None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:raises MissingDependency: when the package requests is not installed, or too old."""
        self.http = HttpClient(connection, sleep, clock)
        self.session: Any = self.http.session
        self.connection = connection
        self.registry = registry
        self.api = api_url(registry, not connection.insecure)
        self._origin = origin(self.api)
        self.http.session.identified.add(self._origin)
        self.auth = RegistryAuth(registry, credential, self._fetch_token, is_encrypted=not connection.insecure)

    def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        attempts: int = 0,
        is_blob: bool = False,
    ) -> Any:
        """Send a request and return the streaming ``requests.Response``, whatever its status; for a blob that is asked
        for (``is_blob``) it may be a :class:`~._http.direct.DirectAnswer`.

        Passing failures are repeated, see :meth:`~._http.client.HttpClient.repeat`, which takes ``attempts``. A body
        that is a file is sent again from where it stood. A repeated POST may leave an upload open that nobody uses;
        registries expire those. HEAD is a preliminary question: a server that is in trouble with it is not asked again,
        but for what the caller wants.

        :raises ConnectionFailed: when no answer was had.
        :raises AuthenticationFailed: when the registry asks for credentials that there are not, or refuses them.
        """
        rewind = rewinder(body)
        return self.http.repeat(
            f"{method} {redacted_url(url)}",
            lambda: self._send_authorized(method, url, scope, dict(headers or {}), body, rewind, is_blob=is_blob),
            attempts,
            WAIT_STATUS if method == "HEAD" else RETRY_STATUS,
        )

    def try_once(self, method: str, url: str, *, scope: str) -> None:
        """Send one request whose answer does not matter. A refusal says nothing about the credentials: deleting may
        take a right that the task does not need.

        :raises OciError: when there is no answer.
        """
        headers = self.auth.header_for(scope) if origin(url) == self._origin else {}
        action = f"{method} {redacted_url(url)}"
        response = self.http.repeat(
            action, lambda: self.http.send(method, url, headers, None, nothing), self.connection.retries
        )
        discard(response, self.connection.timeout)

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
            response = self._send_authorized("GET", url, scope, dict(headers or {}), None, nothing)
            if response.status_code == 200:
                body = read_body(response, limit, self.connection.timeout)
            return response

        response = self.http.repeat(f"GET {redacted_url(url)}", send)
        return response, body

    def check_login(self) -> bool:
        """Return True when the registry asks for credentials and takes this client's; False when it asks for none.

        Source: distribution-spec, "Determining Support" (``GET /v2/``), with a token where the answer names a token
        server. First without credentials: what a registry accepts unasked says nothing about them.

        :raises AuthenticationFailed: when the registry or its token server refuses them.
        :raises RegistryError: when the host is no registry.
        :raises ConnectionFailed: when no answer was had.
        """
        url = self.api
        response = self.http.repeat(f"GET {redacted_url(url)}", lambda: self.http.send("GET", url, {}, None, nothing))
        asks: bool = response.status_code == 401
        if asks:
            discard(response, self.connection.timeout)
            response = self.request("GET", url, scope="")
        if response.status_code == 404:
            response.close()
            raise RegistryError(
                f"{redacted_url(url)} is not there.", "Check the host: it seems to be no registry.", 404
            )
        check_status(response, f"Logging in to {self.registry}")
        discard(response, self.connection.timeout)
        return asks

    def _send_authorized(
        self,
        method: str,
        url: str,
        scope: str,
        headers: dict[str, str],
        body: Any,
        rewind: Callable[[], None],
        *,
        is_blob: bool = False,
    ) -> Any:
        own = origin(url) == self._origin
        renewed = False
        # at most: a password or an old token, a token of another thread, a new token
        for _challenge in range(3):
            authorization = self.auth.header_for(scope) if own else {}
            response = self.http.send(method, url, {**headers, **authorization}, body, rewind, is_blob=is_blob)
            # a challenge counts only when it is the registry's own, not a redirect target's
            if response.status_code != 401 or not own or origin(response.url) != self._origin:
                if authorization:
                    self.auth.note_accepted(scope)
                return response
            challenge = response.headers.get("WWW-Authenticate", "")
            discard(response, self.connection.timeout)
            if renewed:
                break
            sent, is_preliminary = authorization.get("Authorization", ""), method == "HEAD"
            renewed = self.auth.answer(challenge, scope, sent, is_preliminary=is_preliminary)
        raise AuthenticationFailed(
            f"The registry {self.registry} refused the token that its token server gave for {scope or 'it'}.",
            NO_CREDENTIALS
            if self.auth.is_anonymous
            else "The account may lack the right to this repository, or there is no such repository.",
        )

    def _fetch_token(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """One request to the token server, with redirects within its origin (docker's and curl's clients follow them).

        :raises AuthenticationFailed: when it leads a request with credentials to another origin.
        """
        # the registry's own delegate, which is trusted with its password, too
        self.http.session.identified.add(origin(url))
        carries_secret = body is not None or "Authorization" in headers
        for _redirect in range(MAX_REDIRECTS + 1):
            response, answer = self._ask_for_token(method, url, headers, body)
            location = response.headers.get("Location", "")
            if response.status_code not in REDIRECT_STATUS or not location:
                return response.status_code, answer
            target = join(url, location)
            is_elsewhere = origin(target) != origin(url)
            if is_elsewhere and (carries_secret or origin(target)[0] != "https"):
                raise AuthenticationFailed(
                    f"The token server of the registry {self.registry} redirects from {redacted_url(url)} to "
                    f"{redacted_url(target)}, which may not see credentials.",
                    "Ask its operator to name the right address in the challenge of the registry.",
                )
            url = target
        raise AuthenticationFailed(
            f"The token server at {redacted_url(url)} redirects more than {MAX_REDIRECTS} times."
        )

    def _ask_for_token(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[Any, bytes]:
        try:
            return self.http.ask(method, url, headers, body)
        except RegistryError as exc:
            # else it would pass for an answer of the registry
            raise AuthenticationFailed(f"The token server of {self.registry} cannot be used: {exc.message}") from None
