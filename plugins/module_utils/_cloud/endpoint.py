# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the endpoints of a cloud: token services, the registry's own exchange, metadata servers.

They go through :mod:`~._http.client` like every request: bounded bodies, time limits, retries, no redirects.
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
from .._http.url import origin, shown
from .._oci.options import ConnectionOptions
from .._secrets.known import MACHINE_MADE, note
from .flow import Token, Unavailable, check_token, lifetime, words_of

# seconds; metadata servers are on the host or its hypervisor, and packets to a host that has none get lost
METADATA_TIMEOUT = 5.0
PUBLIC_TIMEOUT = 30.0

_FORM = "application/x-www-form-urlencoded"
_SECRETS = ("access_token", "assertion", "client_assertion", "client_secret", "refresh_token", "subject_token")
_SECRET_HEADERS = ("Authorization", "X-IDENTITY-HEADER")

# values of a request that no message may repeat
Secrets = tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered: ``document`` is the JSON object in it, empty when there is none."""

    place: str
    status: int
    headers: Mapping[str, str]
    document: Mapping[str, Any]
    text: bytes
    secrets: Secrets = ()

    def token(self, name: str) -> Token:
        """The token under ``name``.

        :raises AuthenticationFailed: when the endpoint refused, or answered without one.
        """
        self.check()
        return Token(check_token(self.document.get(name), f"The answer of {self.place}"), lifetime(self.document))

    def check(self, hint: str = "") -> None:
        """Pass a success through.

        :raises AuthenticationFailed: when the endpoint refused.
        :raises RegistryError: when it is in trouble, after all retries.
        """
        if self.status == 200:
            return
        found = f"{self.place} answered with status {self.status}{words_of(self.document, self.secrets)}."
        if self.status in RETRY_STATUS:
            raise RegistryError(f"The login failed: {found}", "Try later.", self.status)
        raise AuthenticationFailed(f"The login failed: {found}", hint)


class CloudClient:
    """Requests for the login to one registry. Use as a context manager."""

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
        """GET a document of the internet.

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
        """Wait before asking a metadata server again, the longer the more attempts there were."""
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
            raise type(exc)(f"The login to {self.registry} failed: {exc.message}", exc.hint) from None

    def _send(
        self, whom: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None, secrets: Secrets = ()
    ) -> Answer:
        secrets += tuple(value.split(" ")[-1] for name, value in headers.items() if name in _SECRET_HEADERS)
        for secret in secrets:
            note(secret, opaque=len(secret) >= MACHINE_MADE)
        response, text = self._client(whom).ask(method, url, {"Accept": "application/json", **headers}, body)
        return Answer(f"{method} {shown(url)}", response.status_code, response.headers, _object(text), text, secrets)

    def _client(self, whom: str) -> HttpClient:
        if whom not in self._clients:
            self._clients[whom] = HttpClient(self._options(whom), self._sleep)
        return self._clients[whom]

    def _options(self, whom: str) -> ConnectionOptions:
        """A cloud's own endpoints show certificates of public authorities: what a task says of its registry's does not
        hold for them, but for an authority that it adds.
        """
        options = self._connection
        if whom == "registry":
            return options
        options = replace(
            options, insecure=True, validate_certs=True, client_cert="", client_key="", client_key_password=""
        )
        if whom == "metadata":
            # through a proxy a metadata server would be asked by another host, for that host's identity
            return replace(options, proxy="", no_proxy=("*",), timeout=min(options.timeout, METADATA_TIMEOUT))
        return replace(options, timeout=min(options.timeout, PUBLIC_TIMEOUT))


def check_service_url(url: str, named_by: str) -> str:
    """The URL of a token service: https, or plain HTTP on this host.

    :raises AuthenticationFailed: when it is anything else, since it is sent secrets.
    """
    scheme, host = _scheme_and_host(url, named_by)
    if scheme == "https" or is_local(host):
        return url
    raise AuthenticationFailed(f"{named_by} is {shown(url)!r}, which may not see credentials.", "Wanted an https URL.")


def check_metadata_url(url: str, named_by: str) -> str:
    """The URL of a server for identities: https, or plain HTTP to this host or a link-local address.

    :raises AuthenticationFailed: when it is anything else.
    """
    scheme, host = _scheme_and_host(url, named_by)
    if scheme == "https" or is_local(host, link_local=True):
        return url
    raise AuthenticationFailed(
        f"{named_by} is {shown(url)!r}, which is asked for tokens over plain HTTP.",
        "Wanted an https URL, or a loopback or link-local address.",
    )


def is_local(host: str, *, link_local: bool = False) -> bool:
    """Whether a host is this one, or, with ``link_local``, one whose packets no router forwards."""
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
        raise AuthenticationFailed(f"{named_by} is {shown(url)!r}, which is no URL of http or https.") from None
    return scheme, host


def _secrets_in(form: Mapping[str, str]) -> Secrets:
    return tuple(form[name] for name in _SECRETS if name in form)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
