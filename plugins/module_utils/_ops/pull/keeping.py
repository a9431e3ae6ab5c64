# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping of what a pull places, so that it can be placed again without the registry."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..._dest.history import Kept, kept_blobs, now
from ..._dest.kept_blobs import KeptBlobs
from ..._errors import DigestMismatch, NotFound
from ..._files.bounded import pieces
from ..._files.directory_writers import user_name
from ..._oci import media
from ..._oci.digest import Verifier
from ..._oci.manifest import Descriptor, Manifest
from ..._oci.pipeline import verified
from ..._oci.repository import Repository, from_each_place
from ..resolve import Resolved
from .options import PullOptions
from .staged_layers import StagedLayers, staged_name

if TYPE_CHECKING:
    from ..._cache.artifact_cache import CachedRepository


class SeenManifests:
    """The manifests of a repository, with those remembered that were fetched."""

    def __init__(self, repository: Repository) -> None:
        self.reference = repository.reference
        self.seen: dict[str, Manifest] = {}
        self._repository = repository

    def fetch_manifest(self, identifier: str) -> Manifest:
        """As :meth:`~._oci.repository.Repository.fetch_manifest`."""
        manifest = self._repository.fetch_manifest(identifier)
        self.seen[manifest.descriptor.digest] = manifest
        return manifest

    def as_repository(self) -> Repository:
        """Return this object for functions that do nothing but fetch manifests."""
        return cast(Repository, self)


class Keeper:
    """Layers that are read from the kept blobs of a destination, and fetched into them when they are missing.

    What no revision of ``standing`` needs, as an interrupted run leaves it, is removed first.

    :param control: the control directory of the locked destination.
    :param stage: the directory that layers are downloaded to.
    :param cached: the repository, if it has a cache.
    """

    def __init__(
        self,
        control: int,
        stage: int,
        repository: Repository,
        cached: CachedRepository | None,
        standing: Mapping[str, Any],
    ) -> None:
        self._blobs = KeptBlobs(control)
        self._stage = stage
        self._repository = repository
        self._cached = cached
        self._blobs.remove_others(kept_blobs(standing))

    def hold_blob(self, layer: Descriptor) -> BinaryIO:
        """Open a layer, after fetching it when it is missing or damaged.

        :raises DigestMismatch: when its bytes do not match the descriptor.
        :raises OSError: when a file operation fails.
        """
        what = f"The blob {layer.digest} of {self._repository.reference.name}"
        try:
            return self._blobs.open(layer.digest, what)
        except (NotFound, DigestMismatch):
            self._fetch(layer, what)
            return self._blobs.open(layer.digest, what)

    def keep_manifests(self, manifests: Mapping[str, Manifest]) -> None:
        """Store manifests by their digests.

        :raises OSError: when a file operation fails.
        """
        for digest, manifest in manifests.items():
            if not self._blobs.has(digest):
                self._blobs.add(digest, (manifest.raw,))

    def _fetch(self, layer: Descriptor, what: str) -> None:
        held = self._cached.hold_blob(layer) if self._cached is not None else None
        if held is not None:
            with held:
                self._blobs.add(layer.digest, verified(pieces(held), Verifier(layer.digest, layer.size, what)))
            return
        staged = StagedLayers(self._stage)

        def fetch() -> None:
            staged.fetch(layer, lambda offset: self._repository.blob_views(layer, offset), what)

        from_each_place(self._repository, layer, fetch)
        self._blobs.take(layer.digest, staged_name(layer), self._stage)


def kept_revision(
    options: PullOptions,
    key: Mapping[str, Any],
    resolved: Resolved,
    manifests: Mapping[str, Manifest],
    layers: Sequence[Descriptor],
    verification: Mapping[str, Any],
    request: str,
) -> Kept:
    """Return what is remembered of a revision, without its number."""
    permissions = options.permissions
    settings = {
        "mode": permissions.mode,
        "uid": permissions.uid,
        "gid": permissions.gid,
        "unsafe_writes": options.unsafe_writes,
        "max_size": options.limits.max_size,
        "max_files": options.limits.max_files,
    }
    annotations = {name: text for each in manifests.values() for name, text in each.annotations.items()}
    return Kept(
        number=0,
        key=key,
        tag=resolved.tag,
        digest=resolved.digest,
        request=request,
        verification=verification,
        settings=settings,
        blobs=sorted({*manifests, *(layer.digest for layer in layers)}),
        source=annotations.get(media.ANNOTATION_REVISION, "")[:256],
        since=now(),
        by=account(),
    )


def account() -> str:
    """Return the user that runs the task, and who became that user by sudo."""
    name = user_name(os.geteuid())
    person = os.environ.get("SUDO_USER", "")[:256]
    return f"{name} ({person} by sudo)" if person and person != name else name
