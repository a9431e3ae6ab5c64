# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of a store of artifacts, which registries, mirrors, caches and OCI image layouts implement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Callable, Protocol, TypeVar

from .._errors import DigestMismatch, InvalidContent
from .digest import Verifier
from .manifest import Descriptor, Manifest
from .reference import Reference

# Results of push_blob.
EXISTED = "existed"
MOUNTED = "mounted"
UPLOADED = "uploaded"

# The largest blob, in bytes, that is read into memory (configs, signatures).
MAX_SMALL_BLOB = 4 * 1024 * 1024


@dataclass(frozen=True)
class BlobSource:
    """A blob to publish: its descriptor and a way to open its bytes from the start, as often as needed."""

    descriptor: Descriptor
    open: Callable[[], BinaryIO]


class UnhashedBlob(Protocol):
    """A blob to publish whose digest is not known yet: it is computed while the blob is sent."""

    @property
    def size(self) -> int | None:
        """Bytes; None while the blob is still being made."""

    def open(self) -> BinaryIO:
        """The bytes from the start, as often as needed. Reading waits for what is still being made."""

    def finish(self) -> Descriptor:
        """Digest and size, once all of it was hashed.

        :raises BuildError: when it cannot be read, or changed meanwhile.
        """


T = TypeVar("T")


class Repository(Protocol):
    """One repository of a registry, or one OCI image layout, for reading.

    ``identifier`` is a tag or a digest. Every manifest that is returned was checked against its digest; the bytes of
    :meth:`stream_blob` were not, see :func:`read_blob`.
    """

    reference: Reference

    @property
    def served_by(self) -> list[str]:
        """The hosts that answered, in the order of their first answer; none for a layout."""

    @property
    def warnings(self) -> list[str]:
        """Warnings about failures that were worked around, such as a mirror that could not be used."""

    @property
    def has_alternatives(self) -> bool:
        """True when a blob could be read from another source after a digest mismatch."""

    def distrust(self, descriptor: Descriptor) -> bool:
        """Stop using the source of a blob that did not match its digest; True when there is another source."""

    def resolve(self, identifier: str) -> Descriptor:
        """The descriptor that a tag or digest resolves to now; one HEAD request on a registry.

        :raises NotFound: when there is no such manifest.
        """

    def fetch_manifest(self, identifier: str) -> Manifest:
        """The manifest or index itself; at most ``MAX_MANIFEST_SIZE`` bytes.

        :raises NotFound: when there is no such manifest.
        :raises InvalidContent: when the bytes are not a manifest, or do not match the digest.
        """

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from ``offset`` on, resumed after a lost connection, not checked.

        :raises NotFound: when there is no such blob.
        """

    def blob_views(self, descriptor: Descriptor, offset: int = 0, buffer: memoryview | None = None) -> Iterator[bytes]:
        """As :meth:`stream_blob`, for a caller that is done with a chunk when it asks for the next one: the chunks of a
        blob that is smaller than :data:`~._oci.pipeline.START_SIZE` may be views of one buffer, and those of any blob
        views of ``buffer`` when one is given.
        """

    def blob_exists(self, descriptor: Descriptor) -> bool:
        """True when the repository holds the blob."""

    def list_tags(self) -> list[str]:
        """All tags, in no particular order.

        :raises NotFound: when there is no such repository.
        """

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """The manifests whose ``subject`` is this digest, with the given artifact type unless it is empty."""

    def close(self) -> None:
        """Close connections and files."""


class WritableRepository(Repository, Protocol):
    """A :class:`Repository` that can be written to, too."""

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """Make sure that the repository holds the blob; returns EXISTED, MOUNTED or UPLOADED.

        ``mount_from`` names repositories of the same registry that may hold it.

        :raises PushFailed: when the registry refuses it.
        """

    def push_unhashed(self, blob: UnhashedBlob) -> bool:
        """Store a blob while its digest is computed; False when this repository does not take it so, or a connection
        failed: :meth:`push_blob` is the way then.

        It is sent even if the repository holds it.

        :raises PushFailed: when the registry opens no upload.
        """

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Store a manifest or index, and point ``tag`` at it when one is given.

        :raises PushFailed: when the registry refuses it.
        """

    def batch(self) -> AbstractContextManager[object]:
        """A context for several pushes that belong together, and for the reading that leads to them. Blocks may nest.

        An archive, which is written as a whole, is locked meanwhile, written once at the end of the block, and left as
        it was when the block raises. Elsewhere each push counts by itself.
        """

    def check_attachable(self, subject: str) -> None:
        """Pass when a referrer of this digest would be found, as far as that is known without a further request.

        :raises ReferrersUnsupported: when it would not.
        """


def from_each_place(repository: Repository, descriptor: Descriptor, attempt: Callable[[], T]) -> T:
    """Return the result of ``attempt``, repeated with the next source of a blob after a digest mismatch.

    :param attempt: reads the blob by :meth:`Repository.stream_blob`, from the start each time.
    :raises DigestMismatch: when the last source's bytes do not match either.
    """
    while True:
        try:
            return attempt()
        except DigestMismatch:
            if not repository.distrust(descriptor):
                raise


def read_blob(repository: Repository, descriptor: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob, checked while they stream.

    The result must not be published before the iterator is exhausted: the digest is checked only then.

    :raises DigestMismatch: when size or digest differ from the descriptor's.
    """
    from .pipeline import verified

    verifier = Verifier(
        descriptor.digest, descriptor.size, f"The blob {descriptor.digest} of {repository.reference.name}"
    )
    return verified(repository.stream_blob(descriptor), verifier)


def read_small_blob(repository: Repository, descriptor: Descriptor) -> bytes:
    """The bytes of a small blob, checked.

    :raises InvalidContent: when it is larger than ``MAX_SMALL_BLOB`` bytes.
    """
    if descriptor.size > MAX_SMALL_BLOB:
        raise InvalidContent(
            f"The blob {descriptor.digest} of {repository.reference.name} has {descriptor.size} bytes, "
            f"more than the {MAX_SMALL_BLOB} that are read at once."
        )
    return b"".join(read_blob(repository, descriptor))
