# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operations need of a place that holds artifacts; a registry and an OCI image layout both provide it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Callable, Protocol, TypeVar

from .._errors import DigestMismatch, InvalidContent
from .digest import Verifier
from .manifest import Descriptor, Manifest
from .reference import Reference

# What became of a blob that was offered to a repository.
EXISTED = "existed"
MOUNTED = "mounted"
UPLOADED = "uploaded"

# Blobs that are kept in memory (configs, signatures): larger ones are refused.
MAX_SMALL_BLOB = 4 * 1024 * 1024


@dataclass(frozen=True)
class BlobSource:
    """A blob to publish: its descriptor and a way to open its bytes from the start, as often as needed."""

    descriptor: Descriptor
    open: Callable[[], BinaryIO]


T = TypeVar("T")


class Repository(Protocol):
    """One repository of a registry, or one OCI image layout.

    ``identifier`` is a tag or a digest. Every manifest that is returned was checked against its digest; the bytes of
    :meth:`stream_blob` were not, see :func:`read_blob`.
    """

    reference: Reference

    @property
    def served_by(self) -> list[str]:
        """The hosts that answered, in the order of their first answer; none for a layout."""

    @property
    def warnings(self) -> list[str]:
        """What did not work and was made up for: the mirrors that could not be used."""

    @property
    def has_alternatives(self) -> bool:
        """Whether another place could be asked for a blob whose bytes turn out wrong."""

    def distrust(self, descriptor: Descriptor) -> bool:
        """Ask no more where the bytes of a blob came from, which were not its; whether there is another place."""

    def resolve(self, identifier: str) -> Descriptor:
        """The descriptor that a tag or digest stands for now; one HEAD request on a registry.

        :raises NotFound: when there is no such manifest.
        """

    def fetch_manifest(self, identifier: str) -> Manifest:
        """The manifest or index itself; at most ``MAX_MANIFEST_SIZE`` bytes.

        :raises NotFound: when there is no such manifest.
        :raises InvalidContent: when the bytes are no manifest, or of another digest.
        """

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from ``offset`` on, resumed where the connection broke, not checked.

        :raises NotFound: when there is no such blob.
        """

    def blob_exists(self, descriptor: Descriptor) -> bool:
        """Whether the repository holds the blob."""

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        """Make sure that the repository holds the blob; returns EXISTED, MOUNTED or UPLOADED.

        ``mount_from`` names repositories of the same registry that may hold it.

        :raises PushFailed: when it is not taken.
        """

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Store a manifest or index, and point ``tag`` at it when one is given.

        :raises PushFailed: when it is not taken.
        """

    def list_tags(self) -> list[str]:
        """All tags, in no particular order.

        :raises NotFound: when there is no such repository.
        """

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """The manifests whose ``subject`` is this digest, with the given artifact type unless it is empty."""

    def check_attachable(self, subject: str) -> None:
        """Pass when a referrer of this digest would be found, as far as that is known without a further request.

        :raises ReferrersUnsupported: when it would not.
        """

    def close(self) -> None:
        """Give up connections and files."""


def from_each_place(repository: Repository, descriptor: Descriptor, attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` makes of a blob. When the bytes were not the blob's, the next place that has it is asked.

    :param attempt: reads the blob by :meth:`Repository.stream_blob`, from the start each time.
    :raises DigestMismatch: when the bytes of the last place are not the blob's either.
    """
    while True:
        try:
            return attempt()
        except DigestMismatch:
            if not repository.distrust(descriptor):
                raise


def read_blob(repository: Repository, descriptor: Descriptor) -> Iterator[bytes]:
    """The bytes of a blob, checked while they stream.

    Nothing may be made visible before the iterator is exhausted: the digest is known only then.

    :raises DigestMismatch: when size or digest differ from the descriptor's.
    """
    from .pipeline import verified

    verifier = Verifier(
        descriptor.digest, descriptor.size, f"The blob {descriptor.digest} of {repository.reference.name}"
    )
    return verified(repository.stream_blob(descriptor), verifier)


def read_small_blob(repository: Repository, descriptor: Descriptor) -> bytes:
    """A blob that fits into memory, checked.

    :raises InvalidContent: when it is larger than ``MAX_SMALL_BLOB`` bytes.
    """
    if descriptor.size > MAX_SMALL_BLOB:
        raise InvalidContent(
            f"The blob {descriptor.digest} of {repository.reference.name} has {descriptor.size} bytes, "
            f"more than the {MAX_SMALL_BLOB} that are read at once."
        )
    return b"".join(read_blob(repository, descriptor))
