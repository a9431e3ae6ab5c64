# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part ``capabilities`` of a look at a repository: what its registry can do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..._oci.preliminary import answer_or_none
from ..._registry.capabilities import NAMES, RANGE, REFERRERS, Capabilities, CapabilityProbe
from ..._registry.repository import RegistryRepository
from ..capabilities import keep_capabilities, known_capabilities
from ..connect import open_client

if TYPE_CHECKING:
    from ..._cache.artifact_cache import ArtifactCache
    from ..._oci.manifest import Descriptor, Manifest
    from ..._oci.options import AuthOptions, ConnectionOptions
    from ..._oci.reference import Reference
    from ..._oci.repository import Repository

# of image layouts, in a directory or a tar file
_OF_LAYOUTS = {name: name in (REFERRERS, RANGE) for name in NAMES}


def find_capabilities(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    cache: ArtifactCache | None,
    manifest: Manifest | None,
) -> dict[str, Any]:
    """Return the modules' value ``capabilities`` of the registry itself, whatever its mirrors can do.

    :param manifest: one of the repository, whose config is mounted and read in part; without one, that of a tag is.
    :raises OciError: when the registry is out of reach or in trouble.
    """
    if reference.is_layout:
        return Capabilities(dict(_OF_LAYOUTS)).as_result()
    known = known_capabilities(cache, reference, auth)
    if known:
        return Capabilities(dict(known["supported"]), dict(known.get("unknown") or {})).as_result()
    client = open_client(reference.registry, reference.repository, auth, connection)
    repository = RegistryRepository(reference, client)
    try:
        blob = answer_or_none(lambda: _small_blob(repository, manifest))
        found = CapabilityProbe(client, reference.repository, blob).ask()
    finally:
        repository.close()
    keep_capabilities(cache, reference, auth, asdict(found))
    return found.as_result()


def _small_blob(repository: Repository, manifest: Manifest | None) -> Descriptor | None:
    """Return the smallest blob of a manifest, of its first platform when it is an index, that has two bytes."""
    if manifest is None:
        tags = repository.list_tags()
        if not tags:
            return None
        manifest = repository.fetch_manifest(tags[0])
    if manifest.manifests:
        manifest = repository.fetch_manifest(manifest.manifests[0].digest)
    parts = [*([manifest.config] if manifest.config else []), *manifest.layers]
    return min((part for part in parts if part.size > 1), key=lambda part: part.size, default=None)
