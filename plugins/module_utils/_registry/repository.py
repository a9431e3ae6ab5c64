# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repository of a registry.

Source: distribution-spec v1.1. What is requested after resolution names the digest, every manifest is checked against
it, and a broken download goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidContent,
    NotFound,
    OciError,
    PushFailed,
    ReferrersUnsupported,
    RegistryError,
)
from .._http.answer import RETRY_STATUS, check_status
from .._http.body import content_length, discard
from .._oci import media
from .._oci.digest import is_digest, parse_digest, verify_bytes
from .._oci.manifest import (
    MAX_MANIFEST_SIZE,
    Descriptor,
    Manifest,
    canonical_json,
    descriptor_from_json,
    parse_manifest,
)
from .._oci.preliminary import answer_or_none, is_unsettled
from .._oci.reference import Reference, check_tag, is_tag
from .._oci.single_place import SinglePlace
from .client import RegistryClient, pull_scope, push_scope
from .urls import RepositoryUrls

if TYPE_CHECKING:
    from .._oci.repository import BlobSource
    from .blobs import BlobTransfers

ACCEPT = ", ".join(media.MANIFEST_TYPES + media.INDEX_TYPES)
TAGS_PER_PAGE = 1000
MAX_TAGS = 1_000_000
MAX_REFERRERS = 10_000
MAX_FALLBACK_WRITES = 5


class RegistryRepository(SinglePlace):
    """Implements :class:`~._oci.repository.Repository` for a registry.

    A ``shared`` client is closed by whoever shares it.
    """

    def __init__(
        self, reference: Reference, client: RegistryClient, *, push: bool = False, shared: bool = False
    ) -> None:
        self.reference = reference.at()
        self._client = client
        self._is_shared = shared
        self._urls = RepositoryUrls(client.api, reference.repository)
        # None as long as it was not asked
        self._has_referrers_api: bool | None = None
        # one scope for the whole run, so that a push needs one token and not two
        self._scope = push_scope(reference.repository) if push else pull_scope(reference.repository)

    @property
    def served_by(self) -> list[str]:
        return [self.reference.registry]

    def close(self) -> None:
        if not self._is_shared:
            self._client.session.close()

    # Manifests

    def resolve(self, identifier: str) -> Descriptor:
        """See :meth:`~._oci.repository.Repository.resolve`; where HEAD does not settle it, GET does."""
        known = answer_or_none(lambda: self._head(identifier))
        return known or self.fetch_manifest(identifier).descriptor

    def _head(self, identifier: str) -> Descriptor | None:
        """Return the descriptor from the headers of a HEAD request; None when they are incomplete, or of another one.

        :raises OciError: when the answer is not a success.
        """
        with self._client.request(
            "HEAD", self._manifest_url(identifier), scope=self._scope, headers={"Accept": ACCEPT}
        ) as response:
            size = content_length(response)
            digest = response.headers.get("Docker-Content-Digest", "")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            check_status(response, f"Resolving {self._named(identifier)}")
        is_known = media_type in media.MANIFEST_TYPES + media.INDEX_TYPES
        if not is_known or not size or not is_digest(digest) or (is_digest(identifier) and digest != identifier):
            return None
        return Descriptor(media_type=media_type, digest=digest, size=size)

    def fetch_manifest(self, identifier: str) -> Manifest:
        what = f"The manifest {self._named(identifier)}"
        url = self._manifest_url(identifier)
        try:
            response, raw = self._client.fetch(
                url, scope=self._scope, headers={"Accept": ACCEPT}, limit=MAX_MANIFEST_SIZE
            )
        except RegistryError as exc:
            if exc.status:
                raise  # the token server's trouble, not an answer to this request
            raise InvalidContent(
                f"{what} cannot be read: {exc.message}",
                "Check that the host is a registry and that the reference names an artifact.",
            ) from None
        if response.status_code == 404:
            response.close()
            raise self._no_manifest(identifier)
        check_status(response, f"Fetching {self._named(identifier)}")
        claimed = identifier if is_digest(identifier) else response.headers.get("Docker-Content-Digest", "")
        if is_digest(claimed):
            verify_bytes(raw, claimed, None, what)
        manifest = parse_manifest(raw, response.headers.get("Content-Type", ""), what)
        if is_digest(identifier):
            # the name it was asked for, which may be a sha512
            return replace(manifest, descriptor=replace(manifest.descriptor, digest=identifier))
        return manifest

    def check_attachable(self, subject: str) -> None:
        """See :meth:`~._oci.repository.Repository.check_attachable`; where it is known that there is no referrers API,
        the fallback tag must not be something else."""
        if self._has_referrers_api is False:
            self._entries_to_keep(subject)

    def _entries_to_keep(self, subject: str) -> list[Descriptor]:
        """Return what the fallback tag lists, before it is written: what cannot be read must not pass for nothing.

        :raises ReferrersUnsupported: when the tag holds something else, or is there and cannot be read.
        """
        tag = _fallback_tag(subject)
        try:
            index = self.fetch_manifest(tag)
        except NotFound:
            return []
        except OciError as exc:
            if not is_unsettled(exc):
                raise
            tags = answer_or_none(self.list_tags)
            if tags is not None and tag not in tags:
                return []
            found = f"the tag {tag}, which stands in for it, cannot be read. {exc.message}"
            raise self._unsupported(subject, found) from None
        if not _lists_referrers(index, subject):
            raise self._unsupported(subject, f"the tag {tag}, which stands in for it, is something else there.")
        return list(index.manifests)

    def _unsupported(self, subject: str, found: str) -> ReferrersUnsupported:
        return ReferrersUnsupported(
            f"Nothing can be attached to {self._named(subject)}: the registry has no referrers API, and {found}",
            "Use a registry with the referrers API, or for signatures format: legacy.",
        )

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        if manifest.subject is not None:
            # before anything is stored that would not be found
            self.check_attachable(manifest.subject.digest)
        has_subject = self._put_manifest(manifest, tag or manifest.descriptor.digest)
        if manifest.subject is not None and not has_subject:
            self._add_to_fallback_tag(manifest, manifest.subject.digest)

    def _put_manifest(self, manifest: Manifest, identifier: str) -> bool:
        """Store a manifest under a tag or its digest; whether the registry lists it as a referrer of its subject.

        Where the answer is lost, or is no plain yes, the registry is asked what it holds.
        """
        from .blobs import check_pushed

        descriptor = manifest.descriptor
        action = f"Pushing the manifest {self._named(identifier)}"
        try:
            response = self._client.request(
                "PUT",
                self._manifest_url(identifier),
                scope=self._scope,
                headers={"Content-Type": descriptor.media_type},
                body=manifest.raw,
            )
        except ConnectionFailed as exc:
            if exc.is_lasting or not self._holds(identifier, descriptor.digest):
                exc.hint = f"{exc.hint} Whether the registry took the manifest is not known: run the task again."
                raise
            return self._is_referrer(manifest)
        status = response.status_code
        # what a gateway says in the registry's place, and what is no plain yes
        is_doubtful = status in RETRY_STATUS or (status < 300 and status != 201)
        if is_doubtful and self._holds(identifier, descriptor.digest):
            response.close()
            return self._is_referrer(manifest)
        check_pushed(response, action)
        discard(response, self._client.connection.timeout)
        if is_doubtful:
            raise PushFailed(
                f"{action} was answered with status {status}, but it is not there now.",
                "Check that the host is a registry, and what stands between it and this host.",
            )
        stored = response.headers.get("Docker-Content-Digest", "")
        same_algorithm = is_digest(stored) and parse_digest(stored)[0] == parse_digest(descriptor.digest)[0]
        if same_algorithm and stored != descriptor.digest and not self._reads_back(manifest, identifier):
            raise PushFailed(
                f"The registry stored {self._named(identifier)} as {stored}, not as {descriptor.digest} that was sent.",
                "It altered the manifest: report it to its operator.",
            )
        return bool(response.headers.get("OCI-Subject"))

    def _holds(self, identifier: str, digest: str) -> bool:
        """Return True when the registry, asked once, says that a tag or digest resolves to ``digest``."""
        try:
            with self._client.request(
                "HEAD",
                self._manifest_url(identifier),
                scope=self._scope,
                headers={"Accept": ACCEPT},
                attempts=self._client.connection.retries,
            ) as response:
                held: str = response.headers.get("Docker-Content-Digest", "")
                return bool(response.status_code == 200 and held == digest)
        except OciError:
            return False

    def _reads_back(self, manifest: Manifest, identifier: str) -> bool:
        """Return True when the registry returns the bytes that were sent, whatever its headers say."""
        response, raw = self._client.fetch(
            self._manifest_url(identifier), scope=self._scope, headers={"Accept": ACCEPT}, limit=MAX_MANIFEST_SIZE
        )
        response.close()
        return raw == manifest.raw

    def _is_referrer(self, manifest: Manifest) -> bool:
        if manifest.subject is None:
            return False
        listed = self._referrers_by_api(manifest.subject.digest) or ()
        return any(entry.digest == manifest.descriptor.digest for entry in listed)

    # Blobs

    @cached_property
    def _blobs(self) -> BlobTransfers:
        from .blobs import BlobTransfers

        return BlobTransfers(self._client, self._urls, self.reference, self._scope)

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        return self._blobs.stream(descriptor, offset)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._blobs.exists(descriptor)

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        return self._blobs.push(source, mount_from)

    # Lists

    def list_tags(self) -> list[str]:
        url = self._urls.tags(TAGS_PER_PAGE)
        tags: dict[str, None] = {}  # pages may overlap when tags come and go meanwhile
        for document in self._pages(url, f"Listing the tags of {self.reference.name}", {}, ahead=True):
            names = document.get("tags") or []
            if not isinstance(names, list):
                raise InvalidContent(f"The list of tags of {self.reference.name} is malformed: 'tags' is not a list.")
            tags.update(dict.fromkeys(name for name in names if is_tag(name)))
            if len(tags) > MAX_TAGS:
                raise InvalidContent(f"{self.reference.name} has more than {MAX_TAGS} tags.")
        return list(tags)

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        found = self._referrers_by_api(digest)
        self._has_referrers_api = found is not None
        if found is None:
            found = self._referrers_by_tag(digest)
        return [entry for entry in found if not artifact_type or entry.artifact_type == artifact_type]

    def _referrers_by_api(self, digest: str) -> list[Descriptor] | None:
        """None when the registry has no referrers API, which it may say in several ways."""
        from .pages import NotJson

        url = self._urls.referrers(digest)
        found: list[Descriptor] = []
        try:
            action = f"Listing the referrers of {self._named(digest)}"
            for document in self._pages(url, action, {"Accept": media.OCI_INDEX}):
                if document.get("mediaType", media.OCI_INDEX) != media.OCI_INDEX or "manifests" not in document:
                    return None
                found += _referrer_descriptors(document, f"The referrers list of {self._named(digest)}")
                if len(found) > MAX_REFERRERS:
                    raise InvalidContent(f"{self._named(digest)} has more than {MAX_REFERRERS} referrers.")
        except (AuthenticationFailed, NotFound, NotJson):
            return None
        except RegistryError as exc:
            if is_unsettled(exc):
                return None
            raise
        return found

    def _referrers_by_tag(self, digest: str) -> list[Descriptor]:
        index = answer_or_none(lambda: self.fetch_manifest(_fallback_tag(digest)))
        return list(index.manifests) if index is not None and _lists_referrers(index, digest) else []

    def _add_to_fallback_tag(self, manifest: Manifest, subject: str) -> None:
        """Keep the index under the fallback tag (distribution-spec, "Referrers Tag Schema").

        The specification has no lock: what was written is read again, and written again when another client was faster.
        """
        own = Descriptor(
            media_type=manifest.descriptor.media_type,
            digest=manifest.descriptor.digest,
            size=manifest.descriptor.size,
            artifact_type=manifest.effective_artifact_type,
            annotations=manifest.annotations,
        )
        tag = _fallback_tag(subject)
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
                    self._put_manifest(written, tag)
                except PushFailed as exc:
                    raise self._unsupported(
                        subject, f"it does not take the tag that stands in for it. {exc.message}"
                    ) from None
        if not entries:
            found = f"the tag {tag}, which stands in for it, is not there after it was written."
            raise self._unsupported(subject, found)
        raise PushFailed(
            f"The referrer {own.digest} could not be entered under {self._named(tag)}: other clients kept replacing it."
        )

    def _pages(
        self, url: str, action: str, headers: dict[str, str], *, ahead: bool = False
    ) -> Iterator[dict[str, Any]]:
        from .pages import fetch_pages

        return fetch_pages(self._client, url, self._scope, action, headers, ahead=ahead)

    # Helpers

    def _manifest_url(self, identifier: str) -> str:
        return self._urls.manifest(identifier if is_digest(identifier) else check_tag(identifier))

    def _named(self, identifier: str) -> str:
        return str(self.reference.at(digest=identifier) if is_digest(identifier) else self.reference.at(tag=identifier))

    def _no_manifest(self, identifier: str) -> NotFound:
        return NotFound(
            f"There is no {self._named(identifier)} in the registry.",
            "Check host, repository and tag; some registries answer so when the account lacks the right to see it.",
        )


def _fallback_tag(digest: str) -> str:
    """distribution-spec, "Referrers Tag Schema": at most 64 characters of the digest, so a sha512 is cut."""
    algorithm, encoded = parse_digest(digest)
    return f"{algorithm}-{encoded[:64]}"


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
