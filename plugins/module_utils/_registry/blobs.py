# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs of one repository of a registry: downloads that go on where they broke off, uploads, mounts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from .._errors import AuthenticationFailed, ConnectionFailed, NotFound, PushFailed, RegistryError, TlsFailed
from .._files.threads import stop_if_interrupted
from .._http.answer import RETRY_STATUS, check_status, wait_asked_for
from .._http.body import CHUNK_SIZE, MAX_ROOM, BodyBroken, content_length, discard, is_encoded, raw_chunks, unpacked
from .._http.url import join
from .._oci import media
from .._oci.manifest import Descriptor
from .._oci.pipeline import START_SIZE
from .._oci.preliminary import answer_or_none
from .._oci.progress import transfers
from .._oci.reference import Reference
from .._oci.repository import EXISTED, MOUNTED, UPLOADED, BlobSource, UnhashedBlob
from .client import RegistryClient, pull_scope
from .uploads import OpenedUpload, SentBody, cancel_upload, check_encrypted, naming
from .urls import RepositoryUrls

# an attempt that brought less than this (bytes) before it broke off counts as one without progress
MIN_PROGRESS = CHUNK_SIZE


class BlobTransfers:
    """The part of :class:`~._registry.repository.RegistryRepository` that moves blobs; may be shared by threads."""

    def __init__(self, client: RegistryClient, urls: RepositoryUrls, reference: Reference, scope: str) -> None:
        self._client = client
        self._urls = urls
        self._repository, self._name = reference.repository, reference.name
        self._scope = scope
        # those that no stream uses; the methods of a list are atomic
        self._buffers: list[memoryview] = []
        # True once the registry has refused a blob that came by PATCH
        self._refuses_patch = False

    def stream(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """See :meth:`~._oci.repository.Repository.stream_blob`."""
        return self._stream(descriptor, offset, None)

    def views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        """See :meth:`~._oci.repository.Repository.blob_views`."""
        if buffer is not None or descriptor.size >= START_SIZE:
            # without a buffer, they are hashed in another thread while the next ones are read
            yield from self._stream(descriptor, offset, buffer)
            return
        size = min(MAX_ROOM, max(1, descriptor.size))
        buffer = self._buffers.pop() if self._buffers else memoryview(b"")
        if len(buffer) < size:
            buffer = memoryview(bytearray(size))
        try:
            yield from self._stream(descriptor, offset, buffer)
        finally:
            self._buffers.append(buffer)

    def _stream(self, descriptor: Descriptor, offset: int, buffer: memoryview | None) -> Iterator[bytes]:
        position, failures = offset, 0
        progress = transfers.counting(self._name, descriptor.size - offset)
        while position < descriptor.size or (descriptor.size == 0 and failures == 0):
            before = position
            try:
                for chunk in self._part(descriptor, position, failures, buffer):
                    stop_if_interrupted()
                    position += len(chunk)
                    progress.add(len(chunk))
                    if position > descriptor.size:
                        yield bytes(chunk)
                        return  # the verifier refuses what is too long
                    yield chunk
                failure = f"ended after {position} of {descriptor.size} bytes"
            except BodyBroken as exc:
                failure = f"broke off after {position} of {descriptor.size} bytes ({exc})"
            if position >= descriptor.size:
                return
            # progress is no failure: over a bad link only the attempts count that brought nothing to speak of
            has_progress = position - before >= MIN_PROGRESS
            failures = 1 if has_progress else failures + 1
            if failures > self._client.connection.retries or not (has_progress or self._client.http.pauses.allow()):
                raise ConnectionFailed(
                    f"The download of {descriptor.digest} from {self._name} {failure}, "
                    f"{failures} times without progress.",
                    "Try again, or raise 'retries'; with 'cache_dir' the next run goes on from there.",
                )
            self._client.http.pauses.pause(failures - 1, counts=not has_progress)

    def _part(self, descriptor: Descriptor, position: int, failures: int, buffer: memoryview | None) -> Iterator[bytes]:
        # a closed range: some registries answer an open one with 416
        headers = {"Range": f"bytes={position}-{descriptor.size - 1}"} if position else {}
        response = self._get(descriptor, headers, failures)
        if position and (response.status_code == 416 or (response.status_code == 206 and _is_packed(response, None))):
            # no part to be had, or one of a compressed form: all of it, from the start
            discard(response, self._client.connection.timeout)
            response = self._get(descriptor, {}, failures)
        with response:
            check_status(response, f"Fetching the blob {descriptor.digest} of {self._name}")
            if _is_page(response, descriptor.size):
                raise BodyBroken("a web page came in its place")
            skip = position
            if response.status_code == 206:
                skip = position - _range_start(response.headers.get("Content-Range", ""), position)
            chunks = raw_chunks(response, self._client.connection.timeout, buffer)
            yield from _skip(unpacked(chunks) if _is_packed(response, descriptor.size) else chunks, skip)

    def _get(self, descriptor: Descriptor, headers: dict[str, str], attempts: int) -> Any:
        url = self._urls.blob(descriptor.digest)
        return self._client.request("GET", url, scope=self._scope, headers=headers, attempts=attempts, is_blob=True)

    def exists(self, descriptor: Descriptor) -> bool:
        """See :meth:`~._oci.repository.Repository.blob_exists`; False also where the registry does not say."""
        return bool(answer_or_none(lambda: self._head(descriptor)))

    def _head(self, descriptor: Descriptor) -> bool:
        url = self._urls.blob(descriptor.digest)
        with self._client.request("HEAD", url, scope=self._scope) as response:
            if response.status_code >= 500:
                return False
            check_status(response, f"Looking for the blob {descriptor.digest} in {self._name}")
            # a page of a gateway has another size
            return content_length(response) in (None, descriptor.size)

    def _has_arrived(self, descriptor: Descriptor) -> bool:
        """Return True when the registry has a blob, by GET where HEAD does not say so."""
        if self.exists(descriptor):
            return True
        response = answer_or_none(lambda: self._get(descriptor, {}, 0))
        if response is None:
            return False
        with response:
            return bool(response.status_code == 200)

    def push(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """See :meth:`~._oci.repository.WritableRepository.push_blob`."""
        descriptor = source.descriptor
        if self.exists(descriptor):
            return EXISTED
        location = ""
        for repository in mount_from:
            if repository != self._repository:
                is_mounted, location = self._mount(descriptor.digest, repository)
                if is_mounted:
                    return MOUNTED
        self._upload(source, location)
        return UPLOADED

    def push_unhashed(self, blob: UnhashedBlob) -> bool:
        """See :meth:`~._oci.repository.WritableRepository.push_unhashed`."""
        if self._refuses_patch:
            return False
        from .one_pass import OnePassUpload

        upload = OnePassUpload(self._client, self._name, self._scope, self._open_upload())
        is_stored = upload.send(blob, self._has_arrived)
        self._refuses_patch = self._refuses_patch or upload.is_refused
        return is_stored

    def _mount(self, digest: str, repository: str) -> tuple[bool, str]:
        """Ask for a blob of another repository: whether it was mounted, and if not, the upload that may have been
        opened instead. A refusal is no error: the blob is uploaded then.
        """
        url = self._urls.uploads()
        url += f"?mount={quote(digest, safe='')}&from={quote(repository, safe='')}"
        scope = f"{self._scope} {pull_scope(repository)}"
        try:
            response = self._client.request("POST", url, scope=scope)
        except AuthenticationFailed:
            return False, ""
        status, location = response.status_code, response.headers.get("Location", "")
        discard(response, self._client.connection.timeout)
        return status == 201, join(response.url, location) if status == 202 and location else ""

    def _open_upload(self) -> OpenedUpload:
        response = self._client.request("POST", self._urls.uploads(), scope=self._scope)
        check_pushed(response, f"Opening an upload to {self._name}")
        location = response.headers.get("Location", "")
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        discard(response, self._client.connection.timeout)
        if not location:
            raise PushFailed(f"The registry opened an upload to {self._name} without saying where.")
        min_patch = int(least) if least.isascii() and least.isdigit() and len(least) < 19 else 0
        return OpenedUpload(join(response.url, location), min_patch)

    def _upload(self, source: BlobSource, location: str) -> None:
        """Send the blob in one request. After a passing failure the state of an upload is unknown: another one is
        opened, unless the blob has arrived after all.
        """
        failures, retries = 0, self._client.connection.retries
        while True:
            wait = None
            try:
                location = location or self._open_upload().location
                with self._cancelling(location):
                    response = self._put(source, location)
            except TlsFailed:
                raise
            except ConnectionFailed:
                if failures >= retries or not self._client.http.pauses.allow():
                    raise
            else:
                wait = wait_asked_for(response)
                is_final = response.status_code not in RETRY_STATUS or failures >= retries
                if is_final or not self._client.http.pauses.allow(wait):
                    with self._cancelling(location):
                        self._finish_upload(source, response)
                    return
                discard(response, self._client.connection.timeout)
            self._client.http.pauses.pause(failures, wait)
            failures, location = failures + 1, ""
            if self.exists(source.descriptor):
                return

    @contextlib.contextmanager
    def _cancelling(self, location: str) -> Iterator[None]:
        """Cancel an upload that is refused, or whose source fails. When the connection is lost, it may be whole."""
        try:
            yield
        except ConnectionFailed:
            raise
        except Exception:
            cancel_upload(self._client, location, self._scope)
            raise

    def _finish_upload(self, source: BlobSource, response: Any) -> None:
        action = f"Uploading {source.descriptor.digest} to {self._name}"
        check_pushed(response, action)
        discard(response, self._client.connection.timeout)
        # what is no plain yes (a proxy's page, say) has to be seen
        if response.status_code != 201 and not self._has_arrived(source.descriptor):
            raise PushFailed(
                f"{action} was answered with status {response.status_code}, but the blob is not there now.",
                "Check that the host is a registry, and what stands between it and this host.",
            )

    def _put(self, source: BlobSource, location: str) -> Any:
        descriptor = source.descriptor
        check_encrypted(location, self._client, self._name)
        headers = {"Content-Type": media.OCTET_STREAM, "Content-Length": str(descriptor.size)}
        with source.open() as stream:
            progress = transfers.counting(self._name, descriptor.size)
            body: Any = SentBody(stream, descriptor.size, progress) if descriptor.size else b""
            # not repeated as it is, see _upload
            attempts = self._client.connection.retries
            url = naming(location, descriptor.digest)
            return self._client.request("PUT", url, scope=self._scope, headers=headers, body=body, attempts=attempts)


def check_pushed(response: Any, action: str) -> None:
    """Like :func:`~._http.answer.check_status`, for requests that write.

    :raises PushFailed: for any status that is neither a success nor about the right to write.
    :raises AuthenticationFailed: for 401 and 403.
    """
    try:
        check_status(response, action)
    except (RegistryError, NotFound) as exc:
        raise PushFailed(exc.message, exc.hint, retryable=exc.retryable) from None


def _is_packed(response: Any, size: int | None) -> bool:
    """Return True when the body is compressed for the transport.

    It is not when it has the blob's own size: some stores keep a ``.tar.gz`` with a Content-Encoding that describes the
    blob itself.
    """
    return is_encoded(response) and (size is None or content_length(response) != size)


def _is_page(response: Any, size: int) -> bool:
    """Return True when a gateway or a portal answers in place of the registry.

    Taken for the start of the blob, its page would spoil what follows.
    """
    is_html = response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"
    return is_html and response.status_code == 200 and content_length(response) != size


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
    if not (start.isascii() and start.isdigit() and len(start) < 19) or int(start) > wanted:
        raise BodyBroken(f"a part that starts at {start[:20]!r} was sent for one that starts at {wanted}")
    return int(start)
