# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blobs of an image layout, in a directory or in a tar file, as what reads a layout needs them."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Callable, Protocol

from .._files.directory_handles import DirectoryHandles
from .._oci.digest import parse_digest
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor

SMALL_BLOBS = "blobs/sha256"

_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class SmallBlobs:
    """The blobs that may be manifests: size and name (the digest without its algorithm) of each, the smallest first.

    ``read(name, size)`` returns the first bytes of one, none when it cannot be read. ``problem`` says why some are left
    out, and is empty when none are.
    """

    sizes: Sequence[tuple[int, str]] = ()
    problem: str = ""
    read: Callable[[str, int], bytes] = lambda name, size: b""


class Blobs(Protocol):
    """The blobs of one layout. Methods raise InvalidReference for a malformed digest."""

    def path(self, digest: str) -> str:
        """The path of a blob, for messages."""

    def size(self, digest: str) -> int | None:
        """The size in bytes, None when there is no such blob."""

    def has(self, descriptor: Descriptor) -> bool:
        """True when the blob exists with the descriptor's size; its content is not read."""

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob, opened for reading, not checked.

        :raises NotFound: when there is no such blob.
        :raises DigestMismatch: when it has another size.
        """

    def stream(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of the blob from ``offset`` on, not checked; raises as :meth:`open`."""

    def small_blobs(self, limit: int, ends: float) -> AbstractContextManager[SmallBlobs]:
        """The blobs that may be manifests, to be read while the context is open.

        :param limit: the most names that are looked at.
        :param ends: when the listing has to end, as ``time.monotonic()`` counts.
        """


def blob_name(digest: str) -> str:
    """The path of a blob relative to its layout.

    :raises InvalidReference: when the digest is malformed.
    """
    algorithm, encoded_digest = parse_digest(digest)
    return f"blobs/{algorithm}/{encoded_digest}"


def small_sizes(entries: Iterator[tuple[str, Callable[[], int]]], limit: int, ends: float) -> SmallBlobs:
    """Return the small blobs among names with a way to look up the size of each, without a way to read them."""
    found: list[tuple[int, str]] = []
    problem = ""
    for number, (name, size_of) in enumerate(entries):
        if number == limit or time.monotonic() > ends:
            problem = f"It has more than {limit} blobs, or listing them took too long"
            break
        if _HEX.match(name):
            size = size_of()
            if 0 <= size <= MAX_MANIFEST_SIZE:
                found.append((size, name))
    return SmallBlobs(sorted(found), problem)


def small_files(handles: DirectoryHandles, limit: int, ends: float) -> SmallBlobs:
    """Return the small blobs of a layout in an open directory. No link is followed."""

    def size_of(entry: os.DirEntry[str]) -> int:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed meanwhile
            return -1
        return status.st_size if stat.S_ISREG(status.st_mode) else -1

    def read(name: str, size: int) -> bytes:
        try:
            with os.fdopen(handles.open_file(f"{SMALL_BLOBS}/{name}"), "rb") as handle:
                return handle.read(size)
        except OSError:
            return b""

    try:
        with os.scandir(handles.get(SMALL_BLOBS)) as entries:
            found = small_sizes(((entry.name, partial(size_of, entry)) for entry in entries), limit, ends)
    except FileNotFoundError:
        return SmallBlobs()
    except OSError as exc:
        return SmallBlobs(problem=f"Its directory {SMALL_BLOBS} cannot be read ({exc.strerror})")
    return SmallBlobs(found.sizes, found.problem, read)
