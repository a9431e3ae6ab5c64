# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening of the repository that a task writes to. What only reads does without the code that writes archives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._errors import StorageError
from .._oci.options import AuthOptions, ConnectionOptions
from .._oci.reference import Reference
from .connect import open_layout, open_registry

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._oci.repository import Repository, WritableRepository
    from .clients import Clients


def open_to_write(
    reference: Reference,
    auth: AuthOptions,
    connection: ConnectionOptions,
    *,
    check_mode: bool,
    cache: ArtifactCache | None = None,
    clients: Clients | None = None,
) -> WritableRepository:
    """Open the repository of a reference, without its mirrors: what is compared is what would be replaced.

    With ``check_mode`` it is opened for reading alone, and not to be written to. Raises as
    :func:`~.connect.open_repository`.
    """
    if reference.is_archive and not check_mode:
        from .._layout.archive_writer import WritableArchive

        return WritableArchive(reference)
    if reference.is_layout:
        return open_layout(reference)

    def connect() -> WritableRepository:
        return open_registry(reference, auth, connection, push=not check_mode, clients=clients, cache=cache)

    if cache is None:
        return connect()
    from .._cache.writable import WritableCachedRepository

    return WritableCachedRepository(reference, cache, connect)


def check_writable(repository: Repository) -> None:
    """Check in check mode what the first write to a layout or an archive would come upon; of a registry nothing.

    :raises StorageError: when what is there cannot be added to.
    """
    reference = repository.reference
    if not reference.is_layout:
        return
    from .._layout.archive import ArchiveRepository

    found = open_layout(reference)
    place = found.root
    if isinstance(found, ArchiveRepository):
        from .._layout.archive_writer import check_archive

        try:
            check_archive(found.file)
        finally:
            found.close()
        place = os.path.dirname(place)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise StorageError(f"Cannot write to {reference.name}: {place} is not a directory.", "Check the path.")
