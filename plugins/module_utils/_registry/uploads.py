# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What uploads have in common: where they go, and the bytes of a blob as the body of a request."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

from .._errors import BuildError, OciError, PushFailed
from .._files.threads import stop_if_interrupted
from .._http.url import origin
from .._oci.progress import Progress

if TYPE_CHECKING:
    from .client import RegistryClient

READ_SIZE = 1024 * 1024


class OpenedUpload(NamedTuple):
    """Where an opened upload is filled, and the fewest bytes that the registry takes in one PATCH of it."""

    location: str
    min_patch: int = 0


def naming(location: str, digest: str) -> str:
    """The URL that ends an upload: the query is the registry's state and goes back untouched."""
    place = location.partition("#")[0]
    return place + ("&" if urlsplit(place).query else "?") + "digest=" + quote(digest, safe="")


def check_encrypted(location: str, client: RegistryClient, name: str) -> None:
    """:raises PushFailed: when a registry that is spoken to over https wants an upload over plain HTTP."""
    if origin(location)[0] != "https" and not client.connection.insecure:
        raise PushFailed(f"The registry wants the upload to {name} over plain HTTP.")


def cancel_upload(client: RegistryClient, location: str, scope: str) -> None:
    """Tell the registry to drop what it has of an upload; registries without that let it expire.

    An upload to another place, as an object store, is left alone: what a registry names there is not to be deleted on
    its word.
    """
    if origin(location) != origin(client.api):
        return
    with contextlib.suppress(OciError):
        client.try_once("DELETE", location, scope=scope)


class GrowingBody:
    """The bytes of a blob whose size is not known yet; they go out in chunks (RFC 9112, section 7.1)."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress
        self._position = 0

    def read(self, size: int = READ_SIZE) -> bytes:
        stop_if_interrupted()
        data = self._stream.read(READ_SIZE if size is None or size < 0 else size)
        self._position += len(data)
        self._progress.add(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the start, before the blob is sent again.

        :raises OSError: for any other place; requests looks for the size there.
        """
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a body is sent from its start")
        if self._position:
            self._stream.seek(0)
            self._progress.add(-self._position)
            self._position = 0
        return 0


class SentBody(GrowingBody):
    """The bytes of a blob whose size was announced: never more of them, and fewer are an error."""

    def __init__(self, stream: BinaryIO, size: int, progress: Progress) -> None:
        super().__init__(stream, progress)
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = READ_SIZE) -> bytes:
        """:raises BuildError: when the file has become shorter; the registry would wait for the rest of it."""
        left = self._size - self._position
        data = super().read(min(left, READ_SIZE if size is None or size < 0 else size)) if left else b""
        if left and not data:
            raise BuildError(
                f"A blob of {self._size} bytes ended after {self._position}: its file changed while it was published.",
                "Publish it when nothing writes to it any more.",
            )
        return data
