# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of artifacts that hold values of releases; each artifact is read once per task."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._errors import InvalidOption


@dataclass(frozen=True)
class FetchedFiles:
    """An artifact whose layers are in the cache.

    ``layers`` have ``path`` (of the blob in the cache), ``digest`` and ``title`` each. ``revision`` is ``tag@digest``,
    or the digest alone.
    """

    digest: str
    revision: str
    url: str
    layers: Sequence[Mapping[str, Any]]

    @property
    def origin(self) -> str:
        return f"{self.url} {self.revision}"


class ArtifactFiles:
    """The files of artifacts, by the name of the source."""

    def __init__(self, artifacts: Mapping[str, FetchedFiles]) -> None:
        self._artifacts = artifacts
        self._read: dict[str, dict[str, bytes]] = {}

    def artifact(self, source: str) -> FetchedFiles:
        return self._artifacts[source]

    def file(self, source: str, path: str) -> bytes | None:
        """Return the content of a file in an artifact; None when it has no such file.

        :raises DigestMismatch: when a layer in the cache does not match its digest.
        :raises LayerError: when an archive is damaged, or there is too much in it.
        :raises StorageError: when a layer cannot be read.
        """
        artifact = self._artifacts[source]
        if artifact.digest not in self._read:
            # imported here: most releases have no values in artifacts
            from ..._manifests.content import read_layers

            self._read[artifact.digest] = read_layers(list(artifact.layers), artifact.origin)
        return self._read[artifact.digest].get(path)


def file_path(given: str, what: str) -> str:
    """Return the path of a file in an artifact, without ``.`` in it.

    :param what: what names it, the beginning of a sentence.
    :raises InvalidOption: when it does not lead into the artifact.
    """
    path = posixpath.normpath(given)
    if not given or path.startswith("/") or "\0" in path or path.split("/")[0] in ("..", "."):
        raise InvalidOption(
            f"{what} names the path {given[:200]!r}, which is not one of a file in an artifact.",
            "Wanted is a relative path, such as env/prod.yaml.",
        )
    return path
