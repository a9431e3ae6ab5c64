# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reproducible tar+gzip archives, written in one pass with every digest on the way.

The headers are those of :mod:`~._archive.tar_header`, with two zero blocks at the end.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from .._errors import BuildError
from .._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry
from .._oci.digest import digest_of_hash
from .tar_header import tar_header
from .tar_reader import BLOCK
from .tree_fs import disk_error

# No name, no time, no flags, the operating system unknown (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# Part of the format of this collection's artifacts: another level would change their digests.
_LEVEL = 6
_BATCH = 256 << 10


@dataclass(frozen=True)
class PackResult:
    """The archive that was written.

    ``digest`` and ``size`` (bytes) are those of the compressed bytes, ``diff_id`` is the digest of the uncompressed
    ones (image-spec, config.md, "Layer DiffID"). ``files`` counts files and symbolic links. ``tree`` has the
    entries under their names in the archive, as unpacking returns them, but for directories that have no entry.
    """

    digest: str
    size: int
    diff_id: str
    files: int
    tree: dict[str, TreeEntry]


class ArchiveWriter:
    """Writes entries in the order given. ``output`` needs no more than ``write``; it is not closed."""

    def __init__(self, output: BinaryIO) -> None:
        """:raises StorageError: when the output cannot be written."""
        self._output = output
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._crc = self._plain_size = self._packed_size = 0
        self._batch: list[bytes] = []
        self._batch_size = 0
        self._tree: dict[str, TreeEntry] = {}
        self._write(_GZIP_HEADER)

    def directory(self, path: str) -> None:
        """Add a directory, "" for the root itself."""
        self._put(tar_header(f"{path or '.'}/", b"5", 0o755))
        if path:
            self._add(path, TreeEntry(DIRECTORY, 0o755))

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._put(tar_header(path, b"2", 0o777, target=target))
        self._add(path, TreeEntry(SYMLINK, 0o777, target=target))

    def file(self, path: str, mode: int, size: int, pieces: Iterable[bytes]) -> None:
        """Add a file.

        :raises BuildError: when the pieces do not make up ``size`` bytes: it changes while it is read.
        """
        self._put(tar_header(path, b"0", mode, size))
        content = hashlib.sha256()
        count = 0
        for piece in pieces:
            count += len(piece)
            if count > size:
                break
            content.update(piece)
            self._put(piece)
        if count != size:
            found = f"more than {size}" if count > size else str(count)
            raise BuildError(
                f"{path!r} changed while it was packed: it had {size} bytes at first and {found} in the end.",
                "Pack it when nothing writes to it any more.",
            )
        self._put(bytes(-size % BLOCK))
        self._add(path, TreeEntry(FILE, mode, size, digest_of_hash(content)))

    def close(self) -> PackResult:
        """Write the end of the archive."""
        self._put(bytes(2 * BLOCK))
        self._flush()
        self._write(self._deflate.flush())
        self._write(self._crc.to_bytes(4, "little") + (self._plain_size & 0xFFFFFFFF).to_bytes(4, "little"))
        return PackResult(
            digest=digest_of_hash(self._packed),
            size=self._packed_size,
            diff_id=digest_of_hash(self._plain),
            files=sum(entry.kind != DIRECTORY for entry in self._tree.values()),
            tree=self._tree,
        )

    def _add(self, path: str, entry: TreeEntry) -> None:
        if path in self._tree:
            raise BuildError(f"The archive would hold {path!r} twice.")
        self._tree[path] = entry

    def _put(self, data: bytes) -> None:
        self._batch.append(data)
        self._batch_size += len(data)
        if self._batch_size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._batch)
        self._batch, self._batch_size = [], 0
        self._plain.update(data)
        self._plain_size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        self._write(self._deflate.compress(data))

    def _write(self, data: bytes) -> None:
        if not data:
            return
        self._packed.update(data)
        self._packed_size += len(data)
        try:
            self._output.write(data)
        except OSError as exc:
            raise disk_error("write the archive", exc) from None
