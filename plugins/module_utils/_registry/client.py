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
    InvalidReference,
    MissingDependency,
    RegistryError,
)
from .._http.answer import check_status
from .._http.body import BodyBroken, discard, read_body
from .._http.client import MAX_REDIRECTS, REDIRECT_STATUS, HttpClient, broken_off, nothing, rewinder
from .._http.url import join, origin, shown
from .._login.credential import Credential
from .._oci.options import ConnectionOptions
from .._oci.reference import DEFAULT_TAG, Reference, parse_reference
from .auth import NO_CREDENTIALS, SELDOM_USED_BY_ORAS, RegistryAuth
from .deferred import deferred

try:
    with deferred(*SELDOM_USED_BY_ORAS):
        import oras.container
        import oras.provider

    BaseRegistry: Any = oras.provider.Registry
    BaseContainer: Any = oras.container.Container
    # oras logs warnings to stderr through logging's last resort; a module's output is its JSON alone
    logging.getLogger("oras.logger").addHandler(logging.NullHandler())
except ImportError:
    BaseRegistry = BaseContainer = object

# what an inherited method of oras may load into memory
MAX_INHERITED_ANSWER = 16 * 1024 * 1024
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
        self.http = HttpClient(connection, sleep, clock)
        # what is inherited from oras has a session and uses it for nothing
        self.session: Any = self.http.session
        self.connection = connection
        self.registry = registry
        self._origin = origin(f"{self.prefix}://{self.hostname}")
        self.http.session.identified.add(self._origin)
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
                raise broken_off(f"{method} {shown(url)}", exc) from None
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

        Passing failures are repeated, see :meth:`~._http.client.HttpClient.repeat`, which takes ``attempts``. A body
        that is a file is sent again from where it stood. A repeated POST may leave an upload open that nobody uses;
        registries expire those.

        :raises ConnectionFailed: when no answer was had.
        :raises AuthenticationFailed: when the registry asks for credentials that there are not, or refuses them.
        """
        rewind = rewinder(body)
        return self.http.repeat(
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
            response = self._send_authorized("GET", url, scope, dict(headers or {}), None, nothing)
            if response.status_code == 200:
                body = read_body(response, limit, self.connection.timeout)
            return response

        response = self.http.repeat(f"GET {shown(url)}", send)
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
        response = self.http.repeat(f"GET {shown(url)}", lambda: self.http.send("GET", url, {}, None, nothing))
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

    def _send_authorized(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: Any, rewind: Callable[[], None]
    ) -> Any:
        own = origin(url) == self._origin
        renewed = False
        # at most: a password or an old token, a token of another thread, a new token
        for _challenge in range(3):
            authorization = self.auth.header_for(scope) if own else {}
            response = self.http.send(method, url, {**headers, **authorization}, body, rewind)
            # a challenge counts only when it is the registry's own, not a redirect target's
            if response.status_code != 401 or not own or origin(response.url) != self._origin:
                return response
            challenge = response.headers.get("WWW-Authenticate", "")
            discard(response, self.connection.timeout)
            if renewed:
                break
            # a refusal of HEAD alone is not final, see preliminary.py
            is_final = method != "HEAD"
            renewed = self.auth.answer(challenge, scope, authorization.get("Authorization", ""), is_final=is_final)
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
            response, answer = self.http.ask(method, url, headers, body)
            location = response.headers.get("Location", "")
            if response.status_code not in REDIRECT_STATUS or not location:
                return response.status_code, answer
            target = join(url, location)
            is_elsewhere = origin(target) != origin(url)
            if is_elsewhere and (carries_secret or origin(target)[0] != "https"):
                raise AuthenticationFailed(
                    f"The token server of the registry {self.registry} redirects from {shown(url)} to {shown(target)}, "
                    "which may not see credentials.",
                    "Ask its operator to name the right address in the challenge of the registry.",
                )
            url = target
        raise RegistryError(f"The token server at {shown(url)} redirects more than {MAX_REDIRECTS} times.")
