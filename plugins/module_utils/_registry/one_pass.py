# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upload that is named when its bytes are sent, so that nobody has to read them before.

As Docker and go-containerregistry send all blobs: POST opens the upload, one PATCH without a Content-Range carries the
bytes, PUT names their digest (distribution-spec, "Pushing a blob in chunks"). The registry compares the digest with
what it received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._errors import ConnectionFailed, RegistryError, TlsFailed
from .._http.answer import RETRY_STATUS, wait_asked_for
from .._http.body import discard
from .._http.url import join
from .._oci import media
from .._oci.progress import transfers
from .uploads import GrowingBody, SentBody, cancel_upload, check_encrypted, naming

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor
    from .._oci.repository import UnhashedBlob
    from .client import RegistryClient
    from .uploads import OpenedUpload

_TAKEN = (200, 201, 202, 204)


class OnePassUpload:
    """One opened upload. ``is_refused`` becomes True when the registry does not take a blob in this way."""

    def __init__(self, client: RegistryClient, name: str, scope: str, opened: OpenedUpload) -> None:
        self._client = client
        self._name = name
        self._scope = scope
        self._location = opened.location
        self._min_patch = opened.min_patch
        self.is_refused = False

    def send(self, blob: UnhashedBlob, has_arrived: Callable[[Descriptor], bool]) -> bool:
        """Send the blob once; False when it has to be sent in another way, since this one is refused or broke off.

        What was begun in vain is cancelled, also when an error is raised.

        :param has_arrived: asks the registry for a blob, where its answer leaves that open.
        :raises BuildError: when the blob changes, or cannot be read or made.
        :raises AuthenticationFailed: when the registry refuses the credentials.
        """
        is_stored = False
        try:
            check_encrypted(self._location, self._client, self._name)
            is_stored = self._patch(blob) and self._put(blob.finish(), has_arrived)
        finally:
            if not is_stored:
                cancel_upload(self._client, self._location, self._scope)
        return is_stored

    def _patch(self, blob: UnhashedBlob) -> bool:
        size = blob.size
        if size is not None and size < self._min_patch:
            return False
        headers = {"Content-Type": media.OCTET_STREAM}
        if size is not None:
            headers["Content-Length"] = str(size)
        with blob.open() as stream:
            progress = transfers.counting(self._name, size)
            body = GrowingBody(stream, progress) if size is None else SentBody(stream, size, progress)
            response = self._request("PATCH", self._location, headers, body)
        if response is None:
            return False
        if response.status_code not in _TAKEN:
            # whatever its reason: if it holds for the blob, it is said again where the blob is sent otherwise
            self.is_refused = response.status_code not in RETRY_STATUS
            return False
        location = response.headers.get("Location", "")
        if location:
            try:
                self._location = join(response.url, location)
            except RegistryError:
                self.is_refused = True
                return False
            check_encrypted(self._location, self._client, self._name)
        return True

    def _put(self, descriptor: Descriptor, has_arrived: Callable[[Descriptor], bool]) -> bool:
        headers = {"Content-Type": media.OCTET_STREAM, "Content-Length": "0"}
        response = self._request("PUT", naming(self._location, descriptor.digest), headers, b"")
        if response is not None and response.status_code == 201:
            return True
        if response is None or response.status_code in (*_TAKEN, *RETRY_STATUS):
            # the answer was lost, or is no plain yes
            return has_arrived(descriptor)
        return False

    def _request(self, method: str, url: str, headers: dict[str, str], body: Any) -> Any:
        """Send one request and return its answer; None when the connection failed. Passing trouble is waited out, as
        long as the registry asks: what comes next is another upload."""
        pauses, wait = self._client.http.pauses, None
        try:
            # not repeated as it is: the state of an upload is unknown after a failure
            response = self._client.request(
                method, url, scope=self._scope, headers=headers, body=body, attempts=self._client.connection.retries
            )
        except TlsFailed:
            raise
        except ConnectionFailed:
            response = None
        else:
            wait = wait_asked_for(response)
            discard(response, self._client.connection.timeout)
        if (response is None or response.status_code in RETRY_STATUS) and pauses.allow(wait):
            pauses.pause(0, wait)
        return response
