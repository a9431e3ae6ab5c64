# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repository of a registry, over oras-py.

Source: distribution-spec v1.1. What is requested after resolution names the digest, every manifest is checked against
it, and a broken download goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from . import media
from .digest import is_digest, verify_bytes
from .errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidContent,
    NotFound,
    OciError,
    PushFailed,
    RegistryError,
)
from .manifest import (
    MAX_MANIFEST_SIZE,
    Descriptor,
    Manifest,
    canonical_json,
    descriptor_from_json,
    load_json_object,
    parse_manifest,
)
from .reference import Reference, is_tag
from .registry_client import Container, RegistryClient, check_status, origin, pull_scope, push_scope, read_body
from .transport import EXISTED, MOUNTED, UPLOADED, BlobSource

CHUNK_SIZE = 256 * 1024
ACCEPT = ", ".join(media.MANIFEST_TYPES + media.INDEX_TYPES)
MAX_TAG_PAGE = 16 * 1024 * 1024
TAGS_PER_PAGE = 1000
MAX_TAGS = 1_000_000
MAX_PAGES = 20_000
MAX_REFERRERS = 10_000
MAX_FALLBACK_WRITES = 5


class RegistryRepository:
    """Implements :class:`~.transport.Repository` for a registry."""

    def __init__(self, reference: Reference, client: RegistryClient, *, push: bool = False) -> None:
        self.reference = reference.at()
        self._client = client
        self._container = Container(self.reference)
        self._base = f"{client.prefix}://"
        # one scope for the whole run, so that a push needs one token and not two
        self._scope = push_scope(reference.repository) if push else pull_scope(reference.repository)

    def close(self) -> None:
        self._client.session.close()

    # Manifests

    def resolve(self, identifier: str) -> Descriptor:
        url = self._base + self._container.manifest_url(identifier)
        response = self._client.request("HEAD", url, scope=self._scope, headers={"Accept": ACCEPT})
        with response:
            digest = response.headers.get("Docker-Content-Digest", "")
            length = response.headers.get("Content-Length", "")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            if response.status_code == 404:
                raise self._no_manifest(identifier)
            known = response.status_code == 200 and is_digest(digest) and length.isdigit() and media_type
            if not known:
                if response.status_code not in (200, 400, 405, 501):
                    check_status(response, f"Resolving {self._named(identifier)}")
                return self.fetch_manifest(identifier).descriptor
        if is_digest(identifier) and digest != identifier:
            raise InvalidContent(f"The registry answered for {digest} when asked for {self._named(identifier)}.")
        return Descriptor(media_type=media_type, digest=digest, size=int(length))

    def fetch_manifest(self, identifier: str) -> Manifest:
        url = self._base + self._container.manifest_url(identifier)
        what = f"The manifest {self._named(identifier)}"
        response = self._client.request("GET", url, scope=self._scope, headers={"Accept": ACCEPT})
        if response.status_code == 404:
            response.close()
            raise self._no_manifest(identifier)
        check_status(response, f"Fetching {self._named(identifier)}")
        raw = self._read_manifest(response, what)
        if is_digest(identifier):
            verify_bytes(raw, identifier, None, what)
        else:
            claimed = response.headers.get("Docker-Content-Digest", "")
            if is_digest(claimed):
                verify_bytes(raw, claimed, None, what)
        return parse_manifest(raw, response.headers.get("Content-Type", ""), what)

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        descriptor = manifest.descriptor
        url = self._base + self._container.manifest_url(tag or descriptor.digest)
        headers = {"Content-Type": descriptor.media_type}
        response = self._client.request("PUT", url, scope=self._scope, headers=headers, body=manifest.raw)
        self._check_pushed(response, f"Pushing the manifest {self._named(tag or descriptor.digest)}")
        with response:
            stored = response.headers.get("Docker-Content-Digest", "")
            if is_digest(stored) and stored.startswith("sha256:") and stored != descriptor.digest:
                raise PushFailed(
                    f"The registry stored {self._named(tag)} as {stored}, not as {descriptor.digest} that was sent.",
                    "It altered the manifest: report it to its operator.",
                )
            knows_subject = bool(response.headers.get("OCI-Subject"))
        if manifest.subject is not None and not knows_subject:
            self._add_to_fallback_tag(manifest, manifest.subject.digest)

    # Blobs

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        position, failures = offset, 0
        while position < descriptor.size or (descriptor.size == 0 and failures == 0):
            before = position
            try:
                for chunk in self._blob_part(descriptor, position, failures):
                    position += len(chunk)
                    yield chunk
                    if position > descriptor.size:
                        return  # the verifier refuses what is too long
                failure = f"ended after {position} of {descriptor.size} bytes"
            except _Broken as exc:
                failure = f"broke off after {position} of {descriptor.size} bytes ({exc})"
            if position >= descriptor.size:
                return
            # progress is no failure: a long transfer over a bad link counts only the attempts that brought nothing
            failures = 1 if position > before else failures + 1
            if failures > self._client.connection.retries:
                raise ConnectionFailed(
                    f"The download of {descriptor.digest} from {self.reference.name} {failure}, "
                    f"{failures} times without progress.",
                    "Try again, or raise 'retries'; with 'cache_dir' the next run goes on from there.",
                )
            self._client.pause(failures - 1)

    def _blob_part(self, descriptor: Descriptor, position: int, failures: int) -> Iterator[bytes]:
        url = self._base + self._container.get_blob_url(descriptor.digest)
        # a closed range: some registries answer an open one with 416
        headers = {"Range": f"bytes={position}-{descriptor.size - 1}"} if position else {}
        response = self._client.request("GET", url, scope=self._scope, headers=headers, attempts=failures)
        if response.status_code == 416 and position:
            response.close()
            response = self._client.request("GET", url, scope=self._scope, attempts=failures)
        with response:
            check_status(response, f"Fetching the blob {descriptor.digest} of {self.reference.name}")
            skip = position
            if response.status_code == 206:
                skip = position - _range_start(response.headers.get("Content-Range", ""), position)
            yield from _skip(_chunks(response), skip)

    def blob_exists(self, descriptor: Descriptor) -> bool:
        url = self._base + self._container.get_blob_url(descriptor.digest)
        response = self._client.request("HEAD", url, scope=self._scope)
        with response:
            if response.status_code == 404:
                return False
            check_status(response, f"Looking for the blob {descriptor.digest} in {self.reference.name}")
            return True

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        descriptor = source.descriptor
        if self.blob_exists(descriptor):
            return EXISTED
        upload = self._base + self._container.upload_blob_url()
        location = ""
        for repository in mount_from:
            location = self._mount(upload, descriptor.digest, repository)
            if not location:
                return MOUNTED
        if not location:
            response = self._client.request("POST", upload, scope=self._scope, headers={"Content-Length": "0"})
            location = self._upload_location(response)
        self._upload(location, source)
        return UPLOADED

    def _mount(self, upload: str, digest: str, repository: str) -> str:
        """Ask for a blob of another repository; empty when it was mounted, else the upload that was opened instead."""
        url = f"{upload}?mount={quote(digest, safe='')}&from={quote(repository, safe='')}"
        scope = f"{self._scope} {pull_scope(repository)}"
        try:
            response = self._client.request("POST", url, scope=scope, headers={"Content-Length": "0"})
        except AuthenticationFailed:
            response = self._client.request("POST", upload, scope=self._scope, headers={"Content-Length": "0"})
        if response.status_code == 201:
            response.close()
            return ""
        return self._upload_location(response)

    def _upload_location(self, response: Any) -> str:
        self._check_pushed(response, f"Opening an upload to {self.reference.name}")
        with response:
            location = response.headers.get("Location", "")
            if not location:
                raise PushFailed(f"The registry opened an upload to {self.reference.name} without saying where.")
            return urljoin(str(response.url), location)

    def _upload(self, location: str, source: BlobSource) -> None:
        descriptor = source.descriptor
        if origin(location)[0] != "https" and self._client.prefix == "https":
            raise PushFailed(f"The registry wants the upload to {self.reference.name} over plain HTTP.")
        # the query is the registry's state and goes back untouched
        url = location + ("&" if urlsplit(location).query else "?") + "digest=" + quote(descriptor.digest, safe="")
        headers = {"Content-Type": media.OCTET_STREAM, "Content-Length": str(descriptor.size)}
        with source.open() as stream:
            body: Any = stream if descriptor.size else b""
            response = self._client.request("PUT", url, scope=self._scope, headers=headers, body=body)
        self._check_pushed(response, f"Uploading {descriptor.digest} to {self.reference.name}")
        response.close()

    # Lists

    def list_tags(self) -> list[str]:
        url = self._base + self._container.tags_url(N=TAGS_PER_PAGE)
        tags: list[str] = []
        for document in self._pages(url, f"Listing the tags of {self.reference.name}", {}):
            names = document.get("tags") or []
            if not isinstance(names, list):
                raise InvalidContent(f"The list of tags of {self.reference.name} is malformed: 'tags' is not a list.")
            tags.extend(name for name in names if is_tag(name))
            if len(tags) > MAX_TAGS:
                raise InvalidContent(f"{self.reference.name} has more than {MAX_TAGS} tags.")
        return tags

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        found = self._referrers_by_api(digest)
        if found is None:
            found = self._referrers_by_tag(digest)
        return [entry for entry in found if not artifact_type or entry.artifact_type == artifact_type]

    def _referrers_by_api(self, digest: str) -> list[Descriptor] | None:
        """None when the registry has no referrers API, which it may say in several ways."""
        url = f"{self._base}{self._container.registry}/v2/{self._container.api_prefix}/referrers/{digest}"
        found: list[Descriptor] = []
        try:
            action = f"Listing the referrers of {self._named(digest)}"
            for document in self._pages(url, action, {"Accept": media.OCI_INDEX}):
                if document.get("mediaType", media.OCI_INDEX) != media.OCI_INDEX or "manifests" not in document:
                    return None
                found += _referrer_descriptors(document, f"The referrers list of {self._named(digest)}")
                if len(found) > MAX_REFERRERS:
                    raise InvalidContent(f"{self._named(digest)} has more than {MAX_REFERRERS} referrers.")
        except (NotFound, _NotJson):
            return None
        except RegistryError as exc:
            if exc.status in (400, 405, 406, 501):
                return None
            raise
        return found

    def _referrers_by_tag(self, digest: str) -> list[Descriptor]:
        try:
            index = self.fetch_manifest(_fallback_tag(digest))
        except NotFound:
            return []
        return list(index.manifests)

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
        for _write in range(MAX_FALLBACK_WRITES):
            entries = self._referrers_by_tag(subject)
            if any(entry.digest == own.digest for entry in entries):
                return
            index = {
                "schemaVersion": 2,
                "mediaType": media.OCI_INDEX,
                "manifests": [entry.as_json() for entry in [*entries, own]],
            }
            self.push_manifest(parse_manifest(canonical_json(index), media.OCI_INDEX, f"The index {tag}"), tag)
        raise PushFailed(
            f"The referrer {own.digest} could not be entered under {self._named(tag)}: other clients kept replacing it."
        )

    def _pages(self, url: str, action: str, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Documents of a paged list, as long as the Link header leads on, within this registry."""
        seen: set[str] = set()
        for _page in range(MAX_PAGES):
            seen.add(url)
            response = self._client.request("GET", url, scope=self._scope, headers=headers)
            check_status(response, action)
            link = response.links.get("next", {}).get("url", "")
            content_type = response.headers.get("Content-Type", "")
            raw = self._read_body(response, action)
            if "json" not in content_type and raw[:1] != b"{":
                raise _NotJson(f"{action} was answered with {content_type[:100]!r} in place of JSON.")
            yield load_json_object(raw, f"The answer to {action[0].lower()}{action[1:]}")
            if not link:
                return
            following = urljoin(url, link)
            if origin(following) != origin(url):
                host = urlsplit(following).hostname
                raise RegistryError(f"{action} leads on to another host, {host!r}: not followed.")
            if following in seen:
                raise RegistryError(f"{action} never ends: the registry repeats a page.")
            url = following
        raise RegistryError(f"{action} takes more than {MAX_PAGES} pages.")

    # Helpers

    def _named(self, identifier: str) -> str:
        return str(self.reference.at(digest=identifier) if is_digest(identifier) else self.reference.at(tag=identifier))

    def _no_manifest(self, identifier: str) -> NotFound:
        return NotFound(
            f"There is no {self._named(identifier)} in the registry.",
            "Check host, repository and tag; some registries answer so when the account lacks the right to see it.",
        )

    def _read_manifest(self, response: Any, what: str) -> bytes:
        try:
            return self._read_body(response, what, MAX_MANIFEST_SIZE)
        except RegistryError:
            raise InvalidContent(
                f"{what} is larger than the {MAX_MANIFEST_SIZE} bytes that a manifest may have.",
                "Check that the host is a registry and that the reference names an artifact.",
            ) from None

    def _read_body(self, response: Any, action: str, limit: int = MAX_TAG_PAGE) -> bytes:
        import requests

        try:
            return read_body(response, limit)
        except requests.exceptions.RequestException:
            raise ConnectionFailed(f"{action}: the connection broke off in the answer.", "Try again.") from None

    def _check_pushed(self, response: Any, action: str) -> None:
        try:
            check_status(response, action)
        except (RegistryError, NotFound) as exc:
            raise PushFailed(exc.message, exc.hint) from None


class _Broken(Exception):
    """The connection broke while a body was read."""


class _NotJson(RegistryError):
    """A page that is no JSON at all, as web servers give for paths they do not know."""


def _chunks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.raw.read(CHUNK_SIZE, decode_content=False)
        except OciError:
            raise
        except Exception as exc:  # urllib3's and http.client's trees have no common root below Exception
            raise _Broken(type(exc).__name__) from None
        if not chunk:
            return
        yield chunk


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if count >= len(chunk):
            count -= len(chunk)
            continue
        yield chunk[count:] if count else chunk
        count = 0


def _range_start(content_range: str, wanted: int) -> int:
    """The first position of a Content-Range, which must not lie behind the one that was asked for."""
    start = content_range.partition("bytes ")[2].partition("-")[0]
    if not start.isdigit() or int(start) > wanted:
        raise _Broken(f"a part that starts at {start[:20]!r} was sent for one that starts at {wanted}")
    return int(start)


def _fallback_tag(digest: str) -> str:
    return digest.replace(":", "-")


def _referrer_descriptors(document: dict[str, Any], what: str) -> list[Descriptor]:
    entries = document.get("manifests") or []
    if not isinstance(entries, list):
        raise InvalidContent(f"{what} is malformed: 'manifests' is not a list.")
    return [descriptor_from_json(entry, what) for entry in entries[: MAX_REFERRERS + 1]]
