# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reference to the backend that serves it: a registry, its mirrors, a layout, with a cache in front or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from .._oci.reference import Reference

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._mirrors.rules import PullSource
    from .._oci.repository import Repository
    from .._registry.client import RegistryClient
    from .clients import Clients


def open_cache(options: CacheOptions) -> ArtifactCache | None:
    """The cache, None when there shall be none.

    :raises InvalidOption: when the directory holds something else.
    """
    if not options.root:
        return None
    from .._cache.artifact_cache import ArtifactCache

    return ArtifactCache(options.root, read_only=options.read_only)


def cache_warnings(cache: ArtifactCache | None) -> list[str]:
    """What a run has to say about the cache that it used."""
    return [] if cache is None else list(cache.warnings)


def open_repository(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    *,
    push: bool = False,
    mirrored: bool = True,
    cache: ArtifactCache | None = None,
    clients: Clients | None = None,
) -> Repository:
    """The backend for a reference: its mirrors, too, unless it is to be written to.

    What a ``cache`` has is taken from there; a layout needs neither.

    A task that writes sets ``mirrored`` to False in check mode as well: what it compares with is the registry's.

    Credentials that were given, or that files have for the registry, win over the provider's. With ``clients`` the
    connections are theirs, and stay open when the repository is closed.

    :raises AuthenticationFailed: when the credentials that were given cannot be used, or the provider gives none.
    :raises InvalidOption: when a mirror cannot stand in for this repository.
    """
    if reference.is_layout:
        from .._layout.repository import LayoutRepository

        return LayoutRepository(reference)

    def connect() -> Repository:
        if mirrored and not push and connection.mirrors:
            from .._mirrors.rules import places

            found = places(reference, connection)
            if len(found) > 1 or not found[0].is_origin:
                from .._mirrors.repository import MirroredRepository

                def open_place(place: PullSource) -> Repository:
                    return _open_registry(place.reference, place.auth(auth), place.connection, clients=clients)

                return MirroredRepository(reference, found, open_place)
        return _open_registry(reference, auth, connection, push=push, clients=clients)

    if cache is None:
        return connect()
    from .._cache.artifact_cache import CachedRepository

    return CachedRepository(reference, cache, connect)


def open_client(registry: str, repository: str, auth: AuthOptions, connection: ConnectionOptions) -> RegistryClient:
    """A client of a registry with the credentials for a repository in it.

    :raises AuthenticationFailed: when those that were given cannot be used, or the provider gives none.
    """
    from .clients import Clients

    return Clients().client(registry, repository, auth, connection)


def _open_registry(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    *,
    push: bool = False,
    clients: Clients | None = None,
) -> Repository:
    from .._registry.repository import RegistryRepository

    open_one = open_client if clients is None else clients.client
    client = open_one(reference.registry, reference.repository, auth, connection)
    return RegistryRepository(reference, client, push=push, shared=clients is not None)
