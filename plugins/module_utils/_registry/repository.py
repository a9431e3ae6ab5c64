# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repository of a registry.

Source: distribution-spec v1.1. What is requested after resolution names the digest, every manifest is checked against
it, and a broken download goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable

from .._errors import (
    ConnectionFailed,
    InvalidContent,
    NotFound,
    OciError,
    PushFailed,
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
    parse_manifest,
)
from .._oci.preliminary import answer_or_none
from .._oci.reference import Reference, check_tag, is_tag
from .._oci.single_place import SinglePlace
from .client import RegistryClient, pull_scope, push_scope
from .urls import RepositoryUrls

if TYPE_CHECKING:
    from .._oci.repository import BlobSource, UnhashedBlob
    from .blobs import BlobTransfers
    from .referrers import Referrers

ACCEPT = ", ".join(media.MANIFEST_TYPES + media.INDEX_TYPES)
TAGS_PER_PAGE = 1000
MAX_TAGS = 1_000_000


class RegistryRepository(SinglePlace):
    """Implements :class:`~._oci.repository.WritableRepository` for a registry.

    A ``shared`` client is closed by whoever shares it. ``has_referrers`` is called at most once, before the first
    question for referrers, and returns whether the registry has the API for them; None when that is not known.
    """

    def __init__(
        self,
        reference: Reference,
        client: RegistryClient,
        *,
        push: bool = False,
        shared: bool = False,
        has_referrers: Callable[[], bool | None] = lambda: None,
    ) -> None:
        self.reference = reference.at()
        self._client = client
        self._is_shared = shared
        self._has_referrers = has_referrers
        self._urls = RepositoryUrls(client.api, reference.repository)
        # one scope for the whole run, so that a push needs one token and not two
        self._scope = push_scope(reference.repository) if push else pull_scope(reference.repository)

    @property
    def served_by(self) -> list[str]:
        return [self.reference.registry]

    @property
    def warnings(self) -> list[str]:
        used = self.__dict__.get("_referrers")
        return [] if used is None else list(used.warnings)

    def close(self) -> None:
        if not self._is_shared:
            self._client.session.close()

    # Manifests

    def resolve(self, identifier: str) -> Descriptor:
        """See :meth:`~._oci.repository.Repository.resolve`; where HEAD does not settle it, GET does."""
        known = answer_or_none(lambda: self._head(identifier))
        return known or self.fetch_manifest(identifier).descriptor

    def _head(self, identifier: str, attempts: int = 0) -> Descriptor | None:
        """Return the descriptor from the headers of a HEAD request; None when they are incomplete, or of another one,
        or when the server is in trouble with this question.

        :raises OciError: when the answer is not a success.
        """
        with self._client.request(
            "HEAD", self._manifest_url(identifier), scope=self._scope, headers={"Accept": ACCEPT}, attempts=attempts
        ) as response:
            if response.status_code >= 500:
                return None
            size = content_length(response)
            digest = response.headers.get("Docker-Content-Digest", "")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            check_status(response, f"Resolving {self.named(identifier)}")
        is_known = media_type in media.MANIFEST_TYPES + media.INDEX_TYPES
        if not is_known or not size or not is_digest(digest) or (is_digest(identifier) and digest != identifier):
            return None
        return Descriptor(media_type=media_type, digest=digest, size=size)

    def fetch_manifest(self, identifier: str) -> Manifest:
        what = f"The manifest {self.named(identifier)}"
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
        check_status(response, f"Fetching {self.named(identifier)}")
        claimed = identifier if is_digest(identifier) else response.headers.get("Docker-Content-Digest", "")
        if is_digest(claimed):
            verify_bytes(raw, claimed, None, what)
        manifest = parse_manifest(raw, response.headers.get("Content-Type", ""), what)
        if is_digest(identifier):
            # the name it was asked for, which may be a sha512
            return replace(manifest, descriptor=replace(manifest.descriptor, digest=identifier))
        return manifest

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        if manifest.subject is not None:
            # before anything is stored that would not be found
            self._referrers.check_attachable(manifest.subject.digest)
        has_subject = self.put_manifest(manifest, tag or manifest.descriptor.digest)
        if manifest.subject is not None and not has_subject:
            self._referrers.add(manifest, manifest.subject.digest)

    def put_manifest(self, manifest: Manifest, identifier: str, condition: Mapping[str, str] | None = None) -> bool:
        """Store a manifest under a tag or its digest, on ``condition`` (headers); whether it is listed as a referrer.

        Where the answer is lost, or is no plain yes, the registry is asked what it holds.
        """
        from .blobs import check_pushed

        descriptor = manifest.descriptor
        action = f"Pushing the manifest {self.named(identifier)}"
        try:
            response = self._client.request(
                "PUT",
                self._manifest_url(identifier),
                scope=self._scope,
                headers={"Content-Type": descriptor.media_type, **(condition or {})},
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
                f"The registry stored {self.named(identifier)} as {stored}, not as {descriptor.digest} that was sent.",
                "It altered the manifest: report it to its operator.",
            )
        return bool(response.headers.get("OCI-Subject"))

    def _holds(self, identifier: str, digest: str) -> bool:
        """Return True when the registry says that a tag or digest resolves to ``digest``: it is asked once,
        and by GET where HEAD is refused."""
        try:
            known = answer_or_none(lambda: self._head(identifier, attempts=self._client.connection.retries))
            return (known or self.fetch_manifest(identifier).descriptor).digest == digest
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
        listed = self._referrers.by_api(manifest.subject.digest) or ()
        return any(entry.digest == manifest.descriptor.digest for entry in listed)

    # Blobs

    @cached_property
    def _blobs(self) -> BlobTransfers:
        from .blobs import BlobTransfers

        return BlobTransfers(self._client, self._urls, self.reference, self._scope)

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        return self._blobs.stream(descriptor, offset)

    def blob_views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        return self._blobs.views(descriptor, offset, buffer)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        return self._blobs.exists(descriptor)

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        return self._blobs.push(source, mount_from)

    def push_unhashed(self, blob: UnhashedBlob) -> bool:
        return self._blobs.push_unhashed(blob)

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

    @cached_property
    def _referrers(self) -> Referrers:
        from .referrers import Referrers

        return Referrers(self, self._client, self._urls, self._scope, self._has_referrers())

    def check_attachable(self, subject: str) -> None:
        self._referrers.check_attachable(subject)

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        found = self._referrers.find(digest)
        return [entry for entry in found if not artifact_type or entry.artifact_type == artifact_type]

    def _pages(
        self, url: str, action: str, headers: dict[str, str], *, ahead: bool = False
    ) -> Iterator[dict[str, Any]]:
        from .pages import fetch_pages

        return fetch_pages(self._client, url, self._scope, action, headers, ahead=ahead)

    # Helpers

    def _manifest_url(self, identifier: str) -> str:
        return self._urls.manifest(identifier if is_digest(identifier) else check_tag(identifier))

    def named(self, identifier: str) -> str:
        """Return the reference of a tag or digest, for messages."""
        return str(self.reference.at(digest=identifier) if is_digest(identifier) else self.reference.at(tag=identifier))

    def _no_manifest(self, identifier: str) -> NotFound:
        return NotFound(
            f"There is no {self.named(identifier)} in the registry.",
            "Check host, repository and tag; some registries answer so when the account lacks the right to see it.",
        )
