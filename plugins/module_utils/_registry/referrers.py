# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The referrers of the artifacts of one repository: by the API, or by the tags that stand in for it.

Source: distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

from typing import Any, Protocol

from .._errors import (
    AuthenticationFailed,
    InvalidContent,
    NotFound,
    OciError,
    PushFailed,
    ReferrersUnsupported,
    RegistryError,
)
from .._oci import media
from .._oci.digest import fallback_tag
from .._oci.manifest import Descriptor, Manifest, canonical_json, descriptor_from_json, parse_manifest
from .._oci.preliminary import answer_or_none, is_unsettled
from .client import RegistryClient
from .pages import NotJson, fetch_pages
from .urls import RepositoryUrls

MAX_REFERRERS = 10_000
MAX_FALLBACK_WRITES = 5


class Manifests(Protocol):
    """What the fallback tags are read and written with: :class:`~._registry.repository.RegistryRepository`."""

    def fetch_manifest(self, identifier: str) -> Manifest:
        """Return a manifest; see :meth:`~._oci.repository.Repository.fetch_manifest`."""

    def put_manifest(self, manifest: Manifest, identifier: str) -> bool:
        """Store a manifest under a tag or its digest."""

    def list_tags(self) -> list[str]:
        """Return all tags."""

    def named(self, identifier: str) -> str:
        """Return the reference of a tag or digest, for messages."""


class Referrers:
    """The part of :class:`~._registry.repository.RegistryRepository` that lists and adds referrers."""

    def __init__(
        self,
        manifests: Manifests,
        client: RegistryClient,
        urls: RepositoryUrls,
        scope: str,
        known_api: bool | None = None,
    ) -> None:
        """:param known_api: whether there is the API, as far as that is known already."""
        self._manifests = manifests
        self._client = client
        self._urls = urls
        self._scope = scope
        # None as long as it was not asked
        self._has_api: bool | None = known_api
        self._is_known_without_api = known_api is False
        self.warnings: list[str] = []

    def find(self, digest: str) -> list[Descriptor]:
        """See :meth:`~._oci.repository.Repository.list_referrers`."""
        found = None if self._is_known_without_api else self.by_api(digest)
        self._has_api = found is not None
        return self._by_tag(digest) if found is None else found

    def check_attachable(self, subject: str) -> None:
        """See :meth:`~._oci.repository.WritableRepository.check_attachable`; where it is known that there is no
        referrers API, the fallback tag must not be something else."""
        if self._has_api is False:
            self._entries_to_keep(subject)

    def add(self, manifest: Manifest, subject: str) -> None:
        """Keep the index under the fallback tag (distribution-spec, "Referrers Tag Schema").

        The specification has no lock: what was written is read again, and written again when another client was faster.
        """
        own = manifest.as_referrer()
        tag = fallback_tag(subject)
        for writes_left in range(MAX_FALLBACK_WRITES, -1, -1):
            entries = self._entries_to_keep(subject)
            if any(entry.digest == own.digest for entry in entries):
                return
            if writes_left:
                index = {
                    "schemaVersion": 2,
                    "mediaType": media.OCI_INDEX,
                    "manifests": [entry.as_json() for entry in [*entries, own]],
                }
                written = parse_manifest(canonical_json(index), media.OCI_INDEX, f"The index {tag}")
                try:
                    self._manifests.put_manifest(written, tag)
                except PushFailed as exc:
                    found = f"it does not take the tag that stands in for it. {exc.message}"
                    raise self._unsupported(subject, found, retryable=exc.retryable) from None
        if not entries:
            found = f"the tag {tag}, which stands in for it, is not there after it was written."
            raise self._unsupported(subject, found)
        raise PushFailed(
            f"The referrer {own.digest} could not be entered under {self._manifests.named(tag)}: other clients kept "
            "replacing it.",
            retryable=True,
        )

    def by_api(self, digest: str) -> list[Descriptor] | None:
        """Return what the API lists; None when the registry has none, which it may say in several ways."""
        url = self._urls.referrers(digest)
        found: list[Descriptor] = []
        try:
            action = f"Listing the referrers of {self._manifests.named(digest)}"
            for document in fetch_pages(self._client, url, self._scope, action, {"Accept": media.OCI_INDEX}):
                if document.get("mediaType", media.OCI_INDEX) != media.OCI_INDEX or "manifests" not in document:
                    return None
                found += _referrer_descriptors(document, f"The referrers list of {self._manifests.named(digest)}")
                if len(found) > MAX_REFERRERS:
                    raise InvalidContent(f"{self._manifests.named(digest)} has more than {MAX_REFERRERS} referrers.")
        except (AuthenticationFailed, NotFound, NotJson):
            return None
        except RegistryError as exc:
            if is_unsettled(exc):
                return None
            raise
        return found

    def _by_tag(self, digest: str) -> list[Descriptor]:
        """Return what the fallback tag lists; nothing where the registry gives out none, or something else.

        What is not a manifest at all is in ``warnings``: there may be one behind a gateway.
        """
        try:
            index = self._manifests.fetch_manifest(fallback_tag(digest))
        except OciError as exc:
            if not is_unsettled(exc):
                raise
            if isinstance(exc, InvalidContent):
                self.warnings.append(f"The referrers of {self._manifests.named(digest)} are not known. {exc.message}")
            return []
        return list(index.manifests) if _lists_referrers(index, digest) else []

    def _entries_to_keep(self, subject: str) -> list[Descriptor]:
        """Return what the fallback tag lists, before it is written: what cannot be read must not pass for nothing.

        :raises ReferrersUnsupported: when the tag holds something else, or is there and cannot be read.
        """
        tag = fallback_tag(subject)
        try:
            index = self._manifests.fetch_manifest(tag)
        except NotFound:
            return []
        except OciError as exc:
            if not is_unsettled(exc):
                raise
            tags = answer_or_none(self._manifests.list_tags)
            if tags is not None and tag not in tags:
                return []
            found = f"the tag {tag}, which stands in for it, cannot be read. {exc.message}"
            raise self._unsupported(subject, found) from None
        if not _lists_referrers(index, subject):
            raise self._unsupported(subject, f"the tag {tag}, which stands in for it, is something else there.")
        return list(index.manifests)

    def _unsupported(self, subject: str, found: str, *, retryable: bool = False) -> ReferrersUnsupported:
        return ReferrersUnsupported(
            f"Nothing can be attached to {self._manifests.named(subject)}: the registry has no referrers API, and "
            f"{found}",
            "Use a registry with the referrers API, or for signatures format: legacy.",
            retryable=retryable,
        )


def _lists_referrers(index: Manifest, subject: str) -> bool:
    """Return True when the manifest of a fallback tag is an index of referrers; some registries return the subject."""
    return index.is_index and index.descriptor.digest != subject


def _referrer_descriptors(document: dict[str, Any], what: str) -> list[Descriptor]:
    entries = document.get("manifests") or []
    if not isinstance(entries, list):
        raise InvalidContent(f"{what} is malformed: 'manifests' is not a list.")
    return [_referrer(entry, what) for entry in entries[: MAX_REFERRERS + 1]]


def _referrer(entry: Any, what: str) -> Descriptor:
    """One entry of a list of referrers. Annotations that cannot be used are left out: the registry repeats what whoever
    pushed that one referrer wrote, which must not make the others unreadable.

    :raises InvalidContent: when the entry is malformed otherwise.
    """
    try:
        return descriptor_from_json(entry, what)
    except InvalidContent:
        if not isinstance(entry, dict) or "annotations" not in entry:
            raise
        return descriptor_from_json({**entry, "annotations": None}, what)
