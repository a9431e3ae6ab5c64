# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the files of an artifact's layers into memory: archives of any kind, and single files with a title."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, BinaryIO

from .._archive.decompress import Decompressor, sniff
from .._archive.tar_reader import TarReader
from .._errors import DigestMismatch, LayerError, StorageError
from .._files.bounded import pieces
from .._files.regular_file import open_regular, storage_error
from .._files.tree import FILE
from .._oci.digest import Verifier

# Bytes of all layers as they lie in the registry, bytes of all files, and the number of entries.
MAX_BLOB = 64 << 20
MAX_CONTENT = 128 << 20
MAX_FILES = 20_000
_SNIFFED = 512
_HINT = "Split the artifact, or publish only what is needed."


def read_layers(layers: list[Mapping[str, Any]], what: str) -> dict[str, bytes]:
    """Return the files of an artifact by their paths, which are relative and have no ``.`` or ``..`` in them.

    Links are passed over, as Flux does. A file of a later layer replaces that of an earlier one.

    :param layers: each with ``path`` (of the blob in the cache), ``digest`` and ``title`` (empty for an archive).
    :raises DigestMismatch: when a blob in the cache is not the one that its digest says.
    :raises LayerError: when an archive is damaged, or there is too much in it.
    :raises StorageError: when a blob cannot be read.
    """
    files = _Files(what)
    left = MAX_BLOB
    for layer in layers:
        data = _read_blob(str(layer["path"]), str(layer["digest"]), left, what)
        left -= len(data)
        title = str(layer.get("title") or "")
        if sniff(data[:_SNIFFED]):
            files.unpack(data)
        else:
            files.put(title or "manifests.yaml", data)
    return files.found


def _read_blob(path: str, digest: str, limit: int, what: str) -> bytes:
    """Return a blob of the cache, checked while it is read: others may be able to write to the cache."""
    try:
        with open_regular(path) as stream:
            return _checked(stream, digest, limit, what)
    except FileNotFoundError:
        raise StorageError(
            f"{what}: its layer {digest} is not in the cache any more.", "Run the task again, which fetches it."
        ) from None
    except OSError as exc:
        raise storage_error("read", path, exc) from None


def _checked(stream: BinaryIO, digest: str, limit: int, what: str) -> bytes:
    parts, size = [], 0
    for chunk in pieces(stream):
        size += len(chunk)
        if size > limit:
            raise LayerError(f"The layers of {what} have more than {MAX_BLOB} bytes.", _HINT)
        parts.append(chunk)
    data = b"".join(parts)
    try:
        verifier = Verifier(digest, size, f"The layer of {what} in the cache")
        verifier.update(data)
        verifier.finish()
    except DigestMismatch as exc:
        raise DigestMismatch(exc.message, "Remove it from the cache.") from None
    return data


class _Files:
    """Handles the entries of archives (see :class:`.tar_reader.Handler`)."""

    def __init__(self, what: str) -> None:
        self.found: dict[str, bytes] = {}
        self._what = what
        self._size = self._count = 0
        self._name = ""
        self._content: bytearray | None = None

    def unpack(self, data: bytes) -> None:
        reader = TarReader(self, self._what)
        decompressor = Decompressor(reader.feed, self._what)
        decompressor.write(data)
        decompressor.close()
        reader.close()

    def put(self, name: str, data: bytes) -> None:
        self._take(len(data))
        self.found[self._safe(name)] = data

    def record(self, size: int) -> None:
        self._take(512 + size)

    def trailing(self, count: int) -> None:
        self._take(count)

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        self._count += 1
        if self._count > MAX_FILES:
            raise LayerError(f"{self._what} holds more than {MAX_FILES} entries.", _HINT)
        self._content = None
        if kind == FILE:
            self._name = self._safe(name)
            self._take(size)
            self._content = bytearray()

    def data(self, view: memoryview) -> None:
        if self._content is not None:
            self._content += view

    def finish(self) -> None:
        if self._content is not None:
            self.found[self._name] = bytes(self._content)

    def _take(self, size: int) -> None:
        self._size += size
        if self._size > MAX_CONTENT:
            raise LayerError(f"{self._what} unpacks to more than {MAX_CONTENT} bytes.", _HINT)

    def _safe(self, name: str) -> str:
        clean = posixpath.normpath(name)
        if name.startswith("/") or "\0" in name or "\\" in name or clean.split("/")[0] in ("..", "."):
            raise LayerError(f"{self._what}: the entry {name[:200]!r} does not lie in the artifact.")
        return clean
