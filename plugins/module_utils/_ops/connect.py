# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening of the repository of a reference: a registry, its mirrors or a layout, with or without a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._oci.reference import Reference

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._layout.archive import ArchiveRepository
    from .._layout.repository import LayoutRepository
    from .._mirrors.rules import PullSource
    from .._oci.repository import Repository
    from .._registry.client import RegistryClient
    from .._registry.repository import RegistryRepository
    from .clients import Clients


def open_cache(options: CacheOptions) -> ArtifactCache | None:
    """Open the cache; None without a cache directory.

    :raises InvalidOption: when the directory is not a cache.
    """
    if not options.root:
        return None
    from .._cache.artifact_cache import ArtifactCache

    return ArtifactCache(options.root, read_only=options.read_only)


def cache_warnings(cache: ArtifactCache | None) -> list[str]:
    """The warnings of a run about its cache."""
    return [] if cache is None else list(cache.warnings)


def open_repository(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    *,
    cache: ArtifactCache | None = None,
    clients: Clients | None = None,
) -> Repository:
    """Open the repository of a reference for reading, with its mirrors.

    Content is read from ``cache`` when it is there; a layout uses neither mirrors nor a cache.

    Given credentials, and those of files, take precedence over the provider's. With ``clients`` their connections are
    used, and stay open when the repository is closed.

    :raises AuthenticationFailed: when the given credentials cannot be used, or the provider returns none.
    :raises InvalidOption: when a mirror's path and the repository's name are not a valid repository.
    """
    if reference.is_layout:
        return open_layout(reference)

    def connect() -> Repository:
        if connection.mirrors:
            from .._mirrors.rules import places

            found = places(reference, connection)
            if len(found) > 1 or not found[0].is_origin:
                from .._mirrors.repository import MirroredRepository

                def open_place(place: PullSource) -> Repository:
                    return open_registry(place.reference, place.auth(auth), place.connection, clients=clients)

                return MirroredRepository(reference, found, open_place)
        return open_registry(reference, auth, connection, clients=clients, cache=cache)

    if cache is None:
        return connect()
    from .._cache.artifact_cache import CachedRepository

    return CachedRepository(reference, cache, connect)


def open_layout(reference: Reference) -> ArchiveRepository | LayoutRepository:
    """Open an image layout; one in an archive is opened for reading.

    :raises InvalidReference: when its path cannot be one.
    """
    if reference.is_archive:
        from .._layout.archive import ArchiveRepository

        return ArchiveRepository(reference)
    from .._layout.repository import LayoutRepository

    return LayoutRepository(reference)


def open_client(registry: str, repository: str, auth: AuthOptions, connection: ConnectionOptions) -> RegistryClient:
    """A client of a registry with the credentials for a repository in it.

    :raises AuthenticationFailed: when the given credentials cannot be used, or the provider returns none.
    """
    from .clients import Clients

    return Clients().client(registry, repository, auth, connection)


def open_registry(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    *,
    push: bool = False,
    clients: Clients | None = None,
    cache: ArtifactCache | None = None,
) -> RegistryRepository:
    """Open the repository of a registry itself, without mirrors.

    :param push: that the registry is asked for the permission to write, too.
    :param cache: where the capabilities of the registry are remembered.
    :raises AuthenticationFailed: as :func:`open_client`.
    """
    from .._registry.repository import RegistryRepository

    open_one = open_client if clients is None else clients.client
    client = open_one(reference.registry, reference.repository, auth, connection)

    def has_referrers() -> bool | None:
        if cache is None:
            return None
        from .capabilities import known_capabilities

        answer = known_capabilities(cache, reference, auth).get("supported", {}).get("referrers")
        return answer if isinstance(answer, bool) else None

    return RegistryRepository(reference, client, push=push, shared=clients is not None, has_referrers=has_referrers)
