# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers in files of a staging directory, in which nobody else may write, while a pull needs them."""

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
    """Layers by digest, in files of the directory whose descriptor is ``stage``; different ones at the same time."""

    def __init__(self, stage: int) -> None:
        self._stage = stage

    def fetch(self, layer: Descriptor, stream: Callable[[int], Iterator[bytes]], what: str) -> None:
        """Write a layer to its file and check it. What an earlier call that failed has left of it is completed.

        :param stream: gives the bytes of the layer from an offset on.
        :param what: names the layer in messages.
        :raises DigestMismatch: when its bytes are not what the descriptor says.
        :raises StorageError: when the file system refuses.
        """
        try:
            descriptor = os.open(_staged_name(layer), _WRITE, 0o600, dir_fd=self._stage)
        except OSError as exc:
            raise storage_error("create", what, exc) from exc
        with os.fdopen(descriptor, "r+b", buffering=0) as handle:
            download(handle, what, layer, stream, what)

    def stream(self, layer: Descriptor) -> Iterator[bytes]:
        """The bytes of a layer that was fetched.

        :raises StorageError: when the file system refuses.
        """
        try:
            with os.fdopen(os.open(_staged_name(layer), _READ, dir_fd=self._stage), "rb", buffering=0) as handle:
                yield from pieces(handle, CHUNK_SIZE)
        except OSError as exc:
            raise self._unreadable(layer, exc) from exc

    def move(self, layer: Descriptor, parent: int, name: bytes) -> None:
        """Make the file of a layer the entry ``name`` of another open directory of the stage.

        :raises OSError: as the file system says.
        """
        os.rename(_staged_name(layer), name, src_dir_fd=self._stage, dst_dir_fd=parent)

    def _unreadable(self, layer: Descriptor, error: OSError) -> StorageError:
        return storage_error("read", f"the staged layer {layer.digest}", error)


def _staged_name(layer: Descriptor) -> str:
    return ".layer-" + layer.digest.replace(":", "-")
