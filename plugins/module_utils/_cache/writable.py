# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository that is read by way of a cache, and written to. What only reads does without it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Callable, cast

from .._oci.manifest import Manifest
from .._oci.reference import Reference
from .._oci.repository import BlobSource, UnhashedBlob, WritableRepository
from .artifact_cache import ArtifactCache, CachedRepository


class WritableCachedRepository(CachedRepository):
    """Implements :class:`~._oci.repository.WritableRepository`: writes go to the registry, and past the cache."""

    def __init__(
        self, reference: Reference, cache: ArtifactCache, open_repository: Callable[[], WritableRepository]
    ) -> None:
        super().__init__(reference, cache, open_repository)

    @property
    def _registry(self) -> WritableRepository:
        return cast(WritableRepository, super()._registry)

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        return self._registry.push_blob(source, mount_from)

    def push_unhashed(self, blob: UnhashedBlob) -> bool:
        return self._registry.push_unhashed(blob)

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        self._registry.push_manifest(manifest, tag)

    def batch(self) -> AbstractContextManager[object]:
        return nullcontext()

    def check_attachable(self, subject: str) -> None:
        self._registry.check_attachable(subject)
