# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests to the endpoints of a cloud: token services, the registry's token exchange, metadata servers.

All requests go through :mod:`~._http.client`: bounded bodies, time limits, retries, no redirects.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from .._errors import AuthenticationFailed, ConnectionFailed, RegistryError
from .._http.answer import RETRY_STATUS
from .._http.client import HttpClient
from .._http.url import origin, redacted_url
from .._oci.options import ConnectionOptions
from .._secrets.known import MACHINE_MADE, note
from .flow import Token, Unavailable, check_token, lifetime, words_of

# seconds; metadata servers are on the host or its hypervisor, and where there is none, packets get no answer
METADATA_TIMEOUT = 5.0
PUBLIC_TIMEOUT = 30.0

_FORM = "application/x-www-form-urlencoded"
_SECRETS = ("access_token", "assertion", "client_assertion", "client_secret", "refresh_token", "subject_token")
_SECRET_HEADERS = ("Authorization", "X-IDENTITY-HEADER")

# secret values of a request, which must not appear in messages
Secrets = tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The response of an endpoint. ``document`` is the JSON object in its body, empty when there is none."""

    place: str
    status: int
    headers: Mapping[str, str]
    document: Mapping[str, Any]
    text: bytes
    secrets: Secrets = ()

    def token(self, name: str) -> Token:
        """Return the token in the field ``name``.

        :raises AuthenticationFailed: when the endpoint refused, or its response has no token.
        """
        self.check()
        return Token(check_token(self.document.get(name), f"The answer of {self.place}"), lifetime(self.document))

    def check(self, hint: str = "") -> None:
        """Check that the request succeeded.

        :raises AuthenticationFailed: when the endpoint refused.
        :raises RegistryError: when it still answers with a transient failure after all retries.
        """
        if self.status == 200:
            return
        found = f"{self.place} answered with status {self.status}{words_of(self.document, self.secrets)}."
        if self.status in RETRY_STATUS:
            raise RegistryError(f"The login failed: {found}", "Try later.", self.status)
        raise AuthenticationFailed(f"The login failed: {found}", hint)


class CloudClient:
    """HTTP client for the login to one registry; a context manager."""

    def __init__(
        self, registry: str, connection: ConnectionOptions, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.registry = registry
        self._connection = connection
        self._sleep = sleep
        self._clients: dict[str, HttpClient] = {}

    def __enter__(self) -> CloudClient:
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self._clients.values():
            client.session.close()

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        """POST a form to a token service of the cloud.

        :raises ConnectionFailed: when it was not reached.
        """
        headers = {"Content-Type": _FORM, **(headers or {})}
        return self._ask("public", "POST", url, headers, urlencode(form).encode("ascii"), _secrets_in(form))

    def post_json(self, url: str, document: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """POST a JSON document to a service of the cloud.

        :raises ConnectionFailed: when it was not reached.
        """
        headers = {"Content-Type": "application/json", **headers}
        return self._ask("public", "POST", url, headers, json.dumps(document).encode("ascii"))

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """GET a document from a public endpoint, through the proxy of the task.

        :raises ConnectionFailed: when it was not reached.
        """
        return self._ask("public", "GET", url, headers, None)

    def post_to_registry(self, path: str, form: Mapping[str, str]) -> Answer:
        """POST a form to the registry itself, under the connection options of the task.

        :raises ConnectionFailed: when it was not reached.
        """
        scheme = "http" if self._connection.insecure else "https"
        url, body = f"{scheme}://{self.registry}{path}", urlencode(form).encode("ascii")
        return self._ask("registry", "POST", url, {"Content-Type": _FORM}, body, _secrets_in(form))

    def metadata(self, url: str, headers: Mapping[str, str]) -> Answer:
        """GET from a metadata server, past any proxy.

        :raises Unavailable: when it does not answer.
        """
        try:
            return self._send("metadata", "GET", url, headers, None)
        except ConnectionFailed as exc:
            raise Unavailable(exc.message.rstrip(".")) from None

    def pause(self, attempts: int) -> None:
        """Wait before the next request to a metadata server; longer with the number of attempts so far."""
        self._client("metadata").pauses.pause(attempts)

    @property
    def retries(self) -> int:
        return self._connection.retries

    def _ask(
        self, whom: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None, secrets: Secrets = ()
    ) -> Answer:
        try:
            return self._send(whom, method, url, headers, body, secrets)
        except ConnectionFailed as exc:
            exc.message = f"The login to {self.registry} failed: {exc.message}"
            raise

    def _send(
        self, whom: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None, secrets: Secrets = ()
    ) -> Answer:
        secrets += tuple(value.split(" ")[-1] for name, value in headers.items() if name in _SECRET_HEADERS)
        for secret in secrets:
            note(secret, opaque=len(secret) >= MACHINE_MADE)
        response, text = self._client(whom).ask(method, url, {"Accept": "application/json", **headers}, body)
        return Answer(
            f"{method} {redacted_url(url)}", response.status_code, response.headers, _object(text), text, secrets
        )

    def _client(self, whom: str) -> HttpClient:
        if whom not in self._clients:
            self._clients[whom] = HttpClient(self._options(whom), self._sleep)
        return self._clients[whom]

    def _options(self, whom: str) -> ConnectionOptions:
        """Return the connection options for an endpoint: of the task's TLS options only ``ca_cert`` is kept.

        Endpoints of a cloud have certificates of public authorities, so the task's other TLS options, which are about
        its registry, do not apply to them.
        """
        options = self._connection
        if whom == "registry":
            return options
        options = replace(
            options, insecure=True, validate_certs=True, client_cert="", client_key="", client_key_password=""
        )
        if whom == "metadata":
            # behind a proxy, a metadata server would return the identity of the proxy's host
            return replace(options, proxy="", no_proxy=("*",), timeout=min(options.timeout, METADATA_TIMEOUT))
        return replace(options, timeout=min(options.timeout, PUBLIC_TIMEOUT))


def check_service_url(url: str, named_by: str) -> str:
    """Return the URL of a token service, which gets secrets: https, or plain HTTP on this host.

    :raises AuthenticationFailed: for any other URL.
    """
    scheme, host = _scheme_and_host(url, named_by)
    if scheme == "https" or is_local(host):
        return url
    raise AuthenticationFailed(
        f"{named_by} is {redacted_url(url)!r}, which may not see credentials.", "Wanted an https URL."
    )


def check_metadata_url(url: str, named_by: str) -> str:
    """Return the URL of a metadata server: https, or plain HTTP to this host or a link-local address.

    :raises AuthenticationFailed: for any other URL.
    """
    scheme, host = _scheme_and_host(url, named_by)
    if scheme == "https" or is_local(host, link_local=True):
        return url
    raise AuthenticationFailed(
        f"{named_by} is {redacted_url(url)!r}, which is asked for tokens over plain HTTP.",
        "Wanted an https URL, or a loopback or link-local address.",
    )


def is_local(host: str, *, link_local: bool = False) -> bool:
    """Return True for a loopback address or name, and with ``link_local`` for a link-local address."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or (link_local and address.is_link_local)


def _scheme_and_host(url: str, named_by: str) -> tuple[str, str]:
    try:
        scheme, host, _port = origin(url)
    except RegistryError:
        raise AuthenticationFailed(f"{named_by} is {redacted_url(url)!r}, which is not an http or https URL.") from None
    return scheme, host


def _secrets_in(form: Mapping[str, str]) -> Secrets:
    return tuple(form[name] for name in _SECRETS if name in form)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
