# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes and files of this host as blobs to publish."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Callable, TypeVar

from ..._errors import BuildError
from ..._files.bounded import pieces
from ..._oci.digest import digest_of, digest_of_hash
from ..._oci.manifest import Descriptor
from ..._oci.repository import BlobSource

if TYPE_CHECKING:
    from ..._archive.writer import PackResult

T = TypeVar("T")


class Delivery:
    """How a build reads files and writes archives: for itself, so that they are sent when it is done.

    :class:`~._ops.push.one_pass.OnePass` sends them meanwhile.
    """

    def describe(self, path: str, media_type: str) -> Descriptor:
        """See :func:`describe_file`."""
        return describe_file(path, media_type)

    def archive(self, path: str, pack: Callable[[BinaryIO], PackResult]) -> PackResult:
        """Write an archive to a new file at ``path``; ``pack`` writes it."""
        with open(path, "w+b") as output:
            return pack(output)

    def gather(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """The results of jobs that each make one layer."""
        return [job() for job in jobs]


def blob_of_bytes(data: bytes, media_type: str) -> BlobSource:
    """A blob of bytes in memory."""
    return BlobSource(Descriptor(media_type, digest_of(data), len(data)), lambda: io.BytesIO(data))


def blob_of_file(path: str, descriptor: Descriptor) -> BlobSource:
    """A blob of a file. Opening it fails when the size of the file has changed since it was described."""
    return BlobSource(descriptor, partial(_open_unchanged, path, descriptor.size))


def describe_file(path: str, media_type: str) -> Descriptor:
    """Digest and size of a regular file, read in bounded pieces.

    :raises BuildError: when it cannot be read, or is not a regular file.
    """
    content, size = hashlib.sha256(), 0
    with open_file(path) as stream:
        for chunk in pieces(stream):
            content.update(chunk)
            size += len(chunk)
    return Descriptor(media_type, digest_of_hash(content), size)


def _open_unchanged(path: str, size: int) -> BinaryIO:
    stream = _open_blob(path)
    found = os.fstat(stream.fileno()).st_size
    if found == size:
        return stream
    stream.close()
    raise changed(path, f"it had {size} bytes at first and {found} now")


def changed(path: str, how: str) -> BuildError:
    """The error for a file that is written to while it is published."""
    return BuildError(
        f"{path} changed while it was published: {how}.", "Publish it when nothing writes to it any more."
    )


def open_file(path: str) -> BinaryIO:
    """Open a regular file for reading.

    :raises BuildError: when it cannot be read, or is not a regular file.
    """
    stream = _open_blob(path)
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise BuildError(f"{path} is not a regular file.", "Give a file or a directory in 'path'.")


def _open_blob(path: str) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as exc:
        raise BuildError(f"{path} cannot be read: {exc.strerror}.") from None
