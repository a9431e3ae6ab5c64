# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a server: sent, repeated after transient failures, redirected within limits, and their answers bounded.

Registries and the token services of clouds are asked through this; what authorizes a request is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Callable

from .._errors import ConnectionFailed, OciError, RegistryError
from .._oci.options import ConnectionOptions
from .answer import RETRY_STATUS, wait_asked_for
from .body import BodyBroken, content_length, discard, read_body
from .pauses import Pauses
from .session import explain, is_transient, new_session
from .url import join, origin, redacted_url

try:
    import requests
    import urllib3
except ImportError:
    # said by new_session, before anything of them is used
    pass

MAX_REDIRECTS = 5
MAX_TOKEN_ANSWER = 1024 * 1024
REDIRECT_STATUS = (301, 302, 303, 307, 308)


class HttpClient:
    """Requests under one set of connection options, with a bound on all pauses together; may be shared by threads."""

    def __init__(
        self,
        connection: ConnectionOptions,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:raises MissingDependency: when the package requests is not installed."""
        self.session: Any = new_session(connection)
        self.connection = connection
        # whether several artifacts of a task have this client: see repeat
        self.serves_many = False
        self._has_answered = False
        self._gave_up: ConnectionFailed | None = None
        self.pauses = Pauses(sleep, clock)

    def repeat(
        self, action: str, send: Callable[[], Any], attempts: int = 0, statuses: Sequence[int] = RETRY_STATUS
    ) -> Any:
        """Call ``send`` until its answer is not a transient failure, or the retries are used up.

        Transient failures (no connection, broken connection, one of ``statuses``) are repeated
        ``retries`` times, after the time that Retry-After asks for, or after a growing, jittered pause; see
        :class:`~._http.pauses.Pauses` for the bound on all pauses of a task together. ``attempts`` are the failures
        that the caller has already seen. Where one client serves several artifacts, a registry that has never answered,
        and that one request has given up on, is not waited for by the others.

        :raises ConnectionFailed: when no answer was had.
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
                    raise broken_off(action, exc) from None
            except requests.exceptions.RequestException as exc:
                if is_last or not is_transient(exc):
                    failure = explain(exc, action, self.connection)
                    if isinstance(failure, ConnectionFailed):
                        self._gave_up = failure
                    raise failure from None
            else:
                self._has_answered = True
                wait = wait_asked_for(response)
                if response.status_code not in statuses or is_last or not self.pauses.allow(wait):
                    return response
                discard(response, self.connection.timeout)
            self.pauses.pause(attempts, wait)
            attempts += 1

    def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Any,
        rewind: Callable[[], None],
        *,
        is_blob: bool = False,
    ) -> Any:
        """One request with its redirects: at most 5, never from https to http, no credential to another origin.

        All of them together have the time that one may take, but for sending a file again. One that gets a blob
        (``is_blob``) is sent without requests where that is possible, see :mod:`._http.direct`.
        """
        end = time.monotonic() + 2 * self.connection.timeout
        for _redirect in range(MAX_REDIRECTS + 1):
            rewind()
            left = end - time.monotonic() if body is None or isinstance(body, bytes) else self.connection.timeout
            if left <= 0:
                raise requests.exceptions.ReadTimeout(f"{method} {redacted_url(url)}: redirects took all the time")
            response = self._send_once(method, url, headers, body, min(left, self.connection.timeout), is_blob=is_blob)
            location = response.headers.get("Location", "")
            if response.status_code not in REDIRECT_STATUS or not location:
                return response
            if method not in ("GET", "HEAD") and response.status_code not in (307, 308):
                return response
            discard(response, self.connection.timeout)
            target = join(url, location)
            if origin(url)[0] == "https" and origin(target)[0] != "https":
                raise RegistryError(
                    f"{redacted_url(url)} redirects to {redacted_url(target)}, which is not followed: "
                    "it would not be encrypted."
                )
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise RegistryError(f"{method} {redacted_url(url)} was redirected more than {MAX_REDIRECTS} times.")

    def _send_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
        timeout: float | None = None,
        *,
        is_blob: bool = False,
    ) -> Any:
        timeout = self.connection.timeout if timeout is None else timeout
        try:
            if is_blob:
                from . import direct

                answer = direct.get(self.session, url, dict(headers), timeout)
                if answer is not None:
                    return answer
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
        1 MiB. Transient failures are repeated as in :meth:`repeat`; redirects are not followed, no authorization is
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

        return self.repeat(f"{method} {redacted_url(url)}", send), answer


def rewinder(body: bytes | BinaryIO | None) -> Callable[[], None]:
    """Return a function that rewinds a body to its present position."""
    if body is None or isinstance(body, bytes):
        return nothing
    stream, start = body, body.tell()

    def rewind() -> None:
        stream.seek(start)

    return rewind


def nothing() -> None:
    """Bodies in memory need no rewinding."""


def broken_off(action: str, broken: BodyBroken) -> ConnectionFailed:
    return ConnectionFailed(f"{action} failed: the answer broke off ({broken}).", "Try again, or raise 'retries'.")
