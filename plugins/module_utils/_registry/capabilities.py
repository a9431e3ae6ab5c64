# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry can do with one repository, found out by requests that leave nothing behind.

Source: distribution-spec v1.1. What does not exist is asked to be deleted; an upload is opened, gets one byte and is
cancelled; a blob is mounted from the repository that has it. An answer that does not settle a question leaves it open,
with the reason: a login may lack the right, or the repository may be empty.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import quote

from .._errors import AuthenticationFailed, CatalogRefused, CatalogUnsupported, NotFound, OciError, RegistryError
from .._http.answer import check_status
from .._http.body import discard
from .._http.url import join, origin
from .._oci import media
from .._oci.manifest import Descriptor
from .._oci.preliminary import is_unsettled
from .._oci.reference import is_tag
from .catalog import list_repositories
from .client import RegistryClient, pull_scope, push_scope
from .pages import fetch_pages
from .urls import RepositoryUrls

REFERRERS, MOUNT, CHUNKED_UPLOAD, RANGE = "referrers", "mount", "chunked_upload", "range"
DELETE, DELETE_TAG, CATALOG, TAG_PAGING = "delete", "delete_tag", "catalog", "tag_paging"
NAMES = (REFERRERS, MOUNT, CHUNKED_UPLOAD, RANGE, DELETE, DELETE_TAG, CATALOG, TAG_PAGING)

# no content has this digest
_NO_DIGEST = "sha256:" + "0" * 64
_NO_REPOSITORY = "The repository does not exist, or this account may not see it."
_NO_CONTENT = "The repository has no artifact with a blob to try it with."
# what a registry answers for what it does not do, beside 404
_UNSUPPORTED = (400, 405, 406, 415, 501)


@dataclass
class Capabilities:
    """``supported`` has True or False for each name that is settled, ``unknown`` the reason for each other one."""

    supported: dict[str, bool] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        """The modules' value ``capabilities``: None for what is not known."""
        return {**{name: self.supported.get(name) for name in NAMES}, "unknown": dict(self.unknown)}


class CapabilityProbe:
    """Asks a registry about one repository.

    :param blob: a small blob that the repository has, to be mounted and read in part; None when none is known.
    """

    def __init__(self, client: RegistryClient, repository: str, blob: Descriptor | None) -> None:
        self._client = client
        self._repository = repository
        self._urls = RepositoryUrls(client.api, repository)
        self._blob = blob

    def ask(self) -> Capabilities:
        """Ask about everything, each once.

        :raises OciError: when the registry is out of reach or in trouble.
        """
        found = Capabilities()
        self._settle(found, REFERRERS, self._has_referrers)
        self._settle(found, TAG_PAGING, self._pages_tags)
        self._settle(found, RANGE, self._reads_ranges)
        self._settle(found, MOUNT, self._mounts)
        self._settle(found, CHUNKED_UPLOAD, self._uploads_chunks)
        self._settle(found, DELETE, lambda: self._deletes(_NO_DIGEST))
        self._settle(found, DELETE_TAG, lambda: self._deletes(f"never-there-{secrets.token_hex(16)}"))
        self._settle(found, CATALOG, self._has_catalog)
        return found

    @staticmethod
    def _settle(found: Capabilities, name: str, question: Callable[[], bool]) -> None:
        try:
            found.supported[name] = question()
        except _Open as exc:
            found.unknown[name] = str(exc)
        except OciError as exc:
            if not is_unsettled(exc):
                raise
            found.unknown[name] = exc.message

    def _has_referrers(self) -> bool:
        """A list for a digest that is not there: an empty one where there is the API, 404 where there is not."""
        url = self._urls.referrers(_NO_DIGEST)
        headers = {"Accept": media.OCI_INDEX}
        try:
            pages = fetch_pages(
                self._client, url, pull_scope(self._repository), "Looking for the referrers API", headers
            )
            return "manifests" in next(pages)
        except (NotFound, RegistryError) as exc:
            return _is_not_refused(exc)

    def _pages_tags(self) -> bool:
        document, more = self._first_tags()
        tags = [name for name in document.get("tags") or () if is_tag(name)]
        if len(tags) > 1:
            return False
        if not more:
            raise _Open("At most one tag came, and no link to another page: there may be no more.")
        return True

    def _first_tags(self) -> tuple[Mapping[str, Any], bool]:
        """The first page of a list of one tag a page, and whether there is another page."""
        pages = fetch_pages(self._client, self._urls.tags(1), pull_scope(self._repository), "Listing one tag", {})
        first = next(pages)
        try:
            return first, next(pages, None) is not None
        except OciError:
            return first, False

    def _reads_ranges(self) -> bool:
        if self._blob is None or self._blob.size < 2:
            raise _Open(_NO_CONTENT)
        response = self._request("GET", self._urls.blob(self._blob.digest), pull_scope, {"Range": "bytes=1-1"})
        status = response.status_code
        if status >= 300 and status != 416:
            check_status(response, "Reading a part of a blob")
        response.close()
        return bool(status == 206)

    def _mounts(self) -> bool:
        if self._blob is None:
            raise _Open(_NO_CONTENT)
        query = f"?mount={quote(self._blob.digest, safe='')}&from={quote(self._repository, safe='')}"
        response = self._request("POST", self._urls.uploads() + query, push_scope)
        location = self._location(response, "Mounting a blob")
        if response.status_code == 202 and location:
            self._cancel(location)
        return bool(response.status_code == 201)

    def _uploads_chunks(self) -> bool:
        response = self._request("POST", self._urls.uploads(), push_scope)
        location = self._location(response, "Opening an upload")
        if not location:
            raise _Open("The registry opened an upload without saying where.")
        try:
            headers = {"Content-Type": media.OCTET_STREAM, "Content-Range": "0-0", "Content-Length": "1"}
            answer = self._request("PATCH", location, push_scope, headers, b"x")
            status = answer.status_code
            location = self._location(answer, "Uploading one byte", fails=False) or location
            return bool(200 <= status < 300)
        finally:
            self._cancel(location)

    def _deletes(self, identifier: str) -> bool:
        response = self._request("DELETE", self._urls.manifest(identifier), lambda name: f"{push_scope(name)},delete")
        try:
            check_status(response, "Deleting what is not there")
        except NotFound as exc:
            if "NAME_UNKNOWN" in exc.message:
                raise _Open(_NO_REPOSITORY) from None
            if "UNKNOWN" not in exc.message and "NOT_FOUND" not in exc.message:
                # no word of the registry's own: nothing may be listening there
                raise
            return True
        except RegistryError as exc:
            return _is_not_refused(exc)
        response.close()
        return True

    def _has_catalog(self) -> bool:
        try:
            next(list_repositories(self._client), None)
        except CatalogUnsupported:
            return False
        except CatalogRefused as exc:
            raise _Open(exc.message) from None
        return True

    def _request(
        self,
        method: str,
        url: str,
        scope: Callable[[str], str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Any:
        return self._client.request(method, url, scope=scope(self._repository), headers=headers, body=body)

    def _location(self, response: Any, action: str, *, fails: bool = True) -> str:
        """Return where an answer leads to, within the registry; empty when it does not, or failed and may."""
        if fails:
            check_status(response, action)
        location = response.headers.get("Location", "")
        discard(response, self._client.connection.timeout)
        place = join(response.url, location) if location else ""
        return place if place and origin(place) == origin(response.url) else ""

    def _cancel(self, location: str) -> None:
        """Give an upload up. A registry that refuses that forgets it by itself."""
        with contextlib.suppress(OciError):
            self._request("DELETE", location, push_scope).close()


class _Open(Exception):
    """Why a question stays open."""


def _is_not_refused(error: OciError) -> bool:
    """Return False for an answer that says that there is no such thing.

    :raises OciError: the error itself, when it says something else.
    """
    if "NAME_UNKNOWN" in error.message:
        raise _Open(_NO_REPOSITORY)
    status = error.status if isinstance(error, RegistryError) else 404
    # 0: what is no list of referrers, and no JSON
    if isinstance(error, AuthenticationFailed) or status not in (404, 0, *_UNSUPPORTED):
        raise error
    return False
