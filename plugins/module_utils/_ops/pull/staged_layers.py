# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers as files in the private staging directory of a pull."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Callable

from ..._errors import StorageError
from ..._files.bounded import pieces
from ..._files.regular_file import storage_error
from ..._layout.blob_store import CHUNK_SIZE, download
from ..._oci.manifest import Descriptor

_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class StagedLayers:
    """Layers by digest, in files of the directory with the descriptor ``stage``; safe for concurrent layers."""

    def __init__(self, stage: int) -> None:
        self._stage = stage

    def fetch(self, layer: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> None:
        """Download a layer to its file and check it; a partial file of a failed call is resumed.

        :param stream: returns the bytes of the layer from an offset on.
        :param what: names the layer in messages.
        :raises DigestMismatch: when its bytes do not match the descriptor.
        :raises StorageError: when a file operation fails.
        """
        try:
            descriptor = os.open(staged_name(layer), _WRITE, 0o600, dir_fd=self._stage)
        except OSError as exc:
            raise storage_error("create", what, exc) from exc
        with os.fdopen(descriptor, "r+b", buffering=0) as handle:
            download(handle, what, layer, stream, what)

    def stream(self, layer: Descriptor) -> Iterator[bytes]:
        """The bytes of a downloaded layer.

        :raises StorageError: when a file operation fails.
        """
        try:
            with os.fdopen(os.open(staged_name(layer), _READ, dir_fd=self._stage), "rb", buffering=0) as handle:
                yield from pieces(handle, CHUNK_SIZE)
        except OSError as exc:
            raise self._unreadable(layer, exc) from exc

    def move(self, layer: Descriptor, parent: int, name: bytes) -> None:
        """Move the file of a layer to the entry ``name`` of another open directory of the stage.

        :raises OSError: when the rename fails.
        """
        os.rename(staged_name(layer), name, src_dir_fd=self._stage, dst_dir_fd=parent)

    def _unreadable(self, layer: Descriptor, error: OSError) -> StorageError:
        return storage_error("read", f"the staged layer {layer.digest}", error)


def staged_name(layer: Descriptor) -> str:
    """Return the name of a layer's file in the stage."""
    return ".layer-" + layer.digest.replace(":", "-")
