# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the Kubernetes API that sends and returns plain JSON, for any resource, and can list metadata alone.

Where a kubeconfig is not plain, the ``kubernetes`` client makes the connection. Its models are not used, because they
cost more time than the requests. Source of the protocol: Kubernetes, reference/using-api/api-concepts.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from .._errors import (
    AuthenticationFailed,
    ClusterError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidContent,
    InvalidOption,
    NamespaceTerminating,
    NotFound,
    ObjectNotFound,
    OciError,
    TlsFailed,
)
from .._http.body import BodyBroken, read_plain
from .._secrets.known import note
from .api import RETRIES, KubeOptions, client_proxy, make_client
from .kubeconfig import impersonated_user
from .plain_config import plain_connection
from .proxy import without_credentials

# The name of this collection in ``managedFields``.
MANAGER = "cloudnative.artifacts"

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

PAGE_SIZE = 500
MAX_PAGES = 1000
# a page of 500 objects' metadata; one object has at most 1.5 MiB
MAX_ANSWER = 32 * 1024 * 1024
MAX_WORDS = 500

# k8s.io/api/core/v1, NamespaceTerminatingCause
TERMINATING = "NamespaceTerminating"

_DRY_RUN: Mapping[bool, Mapping[str, str]] = {False: {}, True: {"dryRun": "All"}}

# Statuses with which a server asks the client to retry.
_PASSING = (429, 503)
MAX_ATTEMPTS = 4
MAX_PAUSE = 10.0


class KubeRest:
    """A client of one API server, safe to share between threads.

    Besides the errors in its docstring, every method raises Forbidden (403), AuthenticationFailed (401),
    ConnectionFailed or TlsFailed when the server is not reached, NamespaceTerminating when something is created in a
    namespace that is being deleted, and ClusterError for any other refusal.
    """

    def __init__(self, options: KubeOptions) -> None:
        """Open a client.

        :raises OciError: when the ``kubernetes`` package is not installed, or there is no usable configuration.
        """
        self._plain = plain_connection(options)
        if self._plain is not None:
            self._pool, proxy = self._plain.pool, self._plain.proxy
        else:
            client = make_client(options)
            self._configuration = client.configuration
            self._pool, proxy = client.rest_client.pool_manager, client_proxy(options, self.server)
        self._through = f" through the proxy {without_credentials(proxy)}" if proxy else ""
        self._timeout = options.timeout
        self._user = ""
        if self._plain is None and not (options.host and (options.api_key or options.client_cert)):
            # one that is plain has none
            self._user = impersonated_user(options.kubeconfig, options.context)
        self._sent = [0]

    def acting_as(self, user: str) -> KubeRest:
        """Return a client of the same server whose requests are made as another user; this one when ``user`` is empty.

        The account of this one needs the verb ``impersonate`` on that user. Its requests are counted here, too. Source:
        Kubernetes, reference/access-authn-authz/authentication, "User impersonation".
        """
        if not user:
            return self
        other = copy.copy(self)
        other._user = user
        return other

    @property
    def requests(self) -> int:
        """Return the number of requests that were sent."""
        return self._sent[0]

    @property
    def server(self) -> str:
        """Return the URL of the API server."""
        return str(self._configuration.host) if self._plain is None else self._plain.server

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return an object.

        :raises NotFound: when it does not exist.
        """
        return self._request("GET", path, query, None, JSON, JSON)

    def find(self, path: str) -> dict[str, Any] | None:
        """Return an object, None when it does not exist."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def list_metadata(self, path: str, selector: str) -> Iterator[dict[str, Any]]:
        """Yield the ``metadata`` of all objects that match a label selector, without fetching their content.

        Pages have up to 500 objects.

        :raises InvalidContent: when there are more than ``MAX_PAGES`` pages.
        """
        query = {"labelSelector": selector, "limit": str(PAGE_SIZE)}
        for _page in range(MAX_PAGES):
            answer = self._request("GET", path, query, None, JSON, METADATA_LIST)
            items = answer.get("items")
            for item in items if isinstance(items, list) else []:
                metadata = item.get("metadata") if isinstance(item, Mapping) else None
                if isinstance(metadata, dict):
                    yield metadata
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = str(token)
        raise InvalidContent(f"The Kubernetes API lists {path} in more than {MAX_PAGES} pages.")

    def create(
        self, path: str, document: Mapping[str, Any], manager: str = MANAGER, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Create an object in a collection; return it, with ``dry_run`` the one that would be created.

        :raises Conflict: when an object of this name exists.
        """
        query = {"fieldManager": manager, **_DRY_RUN[dry_run]}
        return self._request("POST", path, query, document, JSON, JSON)

    def replace(self, path: str, document: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Replace an object, if its ``resourceVersion`` is still the one in ``document``.

        Return it, with ``dry_run`` the one that would result.

        :raises Conflict: when it was changed since it was read.
        :raises NotFound: when it does not exist.
        """
        return self._request("PUT", path, {"fieldManager": MANAGER, **_DRY_RUN[dry_run]}, document, JSON, JSON)

    def merge(self, path: str, changes: Mapping[str, Any], manager: str = MANAGER) -> dict[str, Any]:
        """Change fields of an object with a merge patch (RFC 7386); None removes a field.

        :raises NotFound: when it does not exist.
        """
        return self._request("PATCH", path, {"fieldManager": manager}, changes, MERGE_PATCH, JSON)

    def patch(
        self, path: str, operations: Sequence[Mapping[str, Any]], resource_version: str, manager: str = MANAGER
    ) -> dict[str, Any]:
        """Change fields of an object with a JSON patch (RFC 6902), if it still has this resource version.

        :raises Conflict: when it was changed since.
        :raises NotFound: when it does not exist.
        """
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}
        return self._request("PATCH", path, {"fieldManager": manager}, [*operations, guard], JSON_PATCH, JSON)

    def apply(
        self, path: str, document: Mapping[str, Any], manager: str, *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """Apply an object on the server; return the resulting object, with ``dry_run`` the one that would result.

        :raises Conflict: when another manager owns a field and ``force`` is false.
        """
        query = {"fieldManager": manager, "force": str(force).lower(), **_DRY_RUN[dry_run]}
        return self._request("PATCH", path, query, document, APPLY_PATCH, JSON)

    def delete(self, path: str, resource_version: str = "", uid: str = "", *, dry_run: bool = False) -> None:
        """Delete an object, if it still has this resource version and UID; not an error when it does not exist.

        What it owns is deleted after it.

        :raises Conflict: when it was changed, or is another object of that name.
        """
        wanted = {"resourceVersion": resource_version, "uid": uid}
        # without this, the Pods of a Job would stay and run on
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        preconditions = {name: value for name, value in wanted.items() if value}
        if preconditions:
            body["preconditions"] = preconditions
        if dry_run:
            # beside a body, the API server does not read the query
            body["dryRun"] = ["All"]
        try:
            self._request("DELETE", path, None, body, JSON, JSON)
        except NotFound:
            return

    def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Any:
        """Send the request of another client of this host; return the answer of urllib3, whose body is not read yet.

        It has the credentials and the user of this client, and no time limit for the answer: the caller ends it.

        :param target: path and query, as they are sent.
        :raises ConnectionFailed: when the server is not reached.
        """
        import urllib3
        import urllib3.exceptions

        what = f"{method} {target.partition('?')[0]}"
        self._sent[0] += 1
        try:
            return self._pool.request(
                method,
                self.server.rstrip("/") + target,
                body=body,
                headers={**headers, **self._credentials(what)},
                timeout=urllib3.Timeout(connect=self._timeout, read=None),
                # what may have been done is not sent again
                retries=urllib3.Retry(RETRIES, redirect=0, status=0, allowed_methods=("GET", "HEAD")),
                preload_content=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as exc:
            raise self._no_connection(what, exc) from None

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | Sequence[Any] | None,
        content_type: str,
        accept: str,
    ) -> dict[str, Any]:
        url = self.server.rstrip("/") + quote(path) + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode("utf-8")
        what = f"{method} {path}"
        pause = 1.0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            status, raw, wait = self._send(method, url, data, content_type, accept, what)
            if status not in _PASSING or attempt == MAX_ATTEMPTS:
                break
            time.sleep(min(wait or pause, MAX_PAUSE))
            pause *= 2
        if 200 <= status < 300:
            return _parse(raw, what)
        raise _refusal(what, status, raw)

    def _send(
        self, method: str, url: str, data: bytes | None, content_type: str, accept: str, what: str
    ) -> tuple[int, bytes, float]:
        import urllib3
        import urllib3.exceptions

        headers = {"Accept": accept, "User-Agent": "cloudnative.artifacts", **self._credentials(what)}
        if data is not None:
            headers["Content-Type"] = content_type
        self._sent[0] += 1
        failure: OciError
        try:
            response = self._pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=self._timeout, read=self._timeout),
                preload_content=False,
                redirect=False,
            )
            try:
                raw = read_plain(response, MAX_ANSWER + 1, self._timeout)
            finally:
                response.release_conn()
            return response.status, raw, _seconds(response.headers.get("Retry-After"))
        except (urllib3.exceptions.HTTPError, BodyBroken) as exc:
            failure = self._no_connection(what, exc)
        except ValueError as exc:
            failure = InvalidOption(f"The Kubernetes API at {self.server[:200]} cannot be used: {exc}.")
        raise failure

    def _credentials(self, what: str) -> dict[str, str]:
        """Return the headers with the credentials and the user; the client renews expired tokens."""
        headers = self._headers_of_client(what) if self._plain is None else dict(self._plain.headers)
        for value in headers.values():
            note(str(value).rpartition(" ")[2], opaque=True)
        return {**headers, "Impersonate-User": self._user} if self._user else headers

    def _headers_of_client(self, what: str) -> dict[str, str]:
        try:
            settings = self._configuration.auth_settings().values()
        except OciError:
            raise
        except Exception as exc:  # a credential plugin of the kubeconfig may fail in any way
            raise AuthenticationFailed(
                f"There are no credentials for the Kubernetes API ({what}): {str(exc)[:MAX_WORDS]}."
            ) from None
        return {each["key"]: each["value"] for each in settings if each.get("in") == "header" and each.get("value")}

    def _no_connection(self, what: str, exc: Exception) -> ConnectionFailed:
        import urllib3.exceptions

        cause = getattr(exc, "reason", None) or exc
        where = f"the Kubernetes API at {self.server[:200]}{self._through[:200]}"
        if isinstance(cause, urllib3.exceptions.SSLError):
            return TlsFailed(
                f"No TLS connection to {where} ({what}): {str(cause)[:MAX_WORDS]}.",
                "Give the API server's certificate authority in 'ca_cert' or in the kubeconfig.",
            )
        return ConnectionFailed(
            f"Cannot reach {where} ({what}): {str(cause)[:MAX_WORDS]}.",
            "Check that the cluster is up and that this host can reach it.",
        )


def _parse(raw: bytes, what: str) -> dict[str, Any]:
    if len(raw) > MAX_ANSWER:
        raise InvalidContent(f"The Kubernetes API answered {what} with more than {MAX_ANSWER} bytes.")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidContent(f"The answer to {what} is not JSON.", "Is the address that of a Kubernetes API server?")
    return document


def _refusal(what: str, status: int, raw: bytes) -> OciError:
    words = _words(raw)
    if status == 404:
        return ObjectNotFound(f"The Kubernetes API found nothing for {what}: {words}.")
    if status == 401:
        return AuthenticationFailed(
            f"The Kubernetes API did not accept the credentials ({what}).", "A token may have expired."
        )
    if status == 403 and "cannot impersonate" in words:
        return Forbidden(
            f"The Kubernetes API does not allow {what} as another user: {words}.",
            "Allow this account the verb 'impersonate' on the service account, or leave 'service_account' out.",
            status,
        )
    if status == 403 and _is_terminating(raw):
        return NamespaceTerminating(
            f"The Kubernetes API did not do {what}, since the namespace is being deleted: {words}.",
            "Run the task again once the namespace is gone.",
            status,
        )
    if status == 403:
        return Forbidden(
            f"The Kubernetes API does not allow {what}: {words}.",
            "Allow it with a Role or ClusterRole; kubectl auth can-i --list shows what is allowed.",
            status,
        )
    if status in (409, 412):
        return Conflict(f"The Kubernetes API did not do {what}: {words}.", status=status)
    return ClusterError(f"The Kubernetes API answered {status} to {what}: {words}.", status=status)


def _words(raw: bytes) -> str:
    """Return the message of a Status object."""
    try:
        message = json.loads(raw[:MAX_ANSWER])["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = None
    return " ".join(message.split())[:MAX_WORDS].rstrip(".") if isinstance(message, str) else "it gave no reason"


def _is_terminating(raw: bytes) -> bool:
    """True for a refusal by the admission plugin NamespaceLifecycle; it has the status of one by RBAC."""
    try:
        causes = json.loads(raw[:MAX_ANSWER])["details"]["causes"]
        return any(cause.get("reason") == TERMINATING for cause in causes)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 6 else 0.0
