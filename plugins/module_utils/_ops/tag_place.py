# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening of a repository whose tags are to be moved or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._errors import InvalidOption

if TYPE_CHECKING:
    from .._oci.options import AuthOptions, ConnectionOptions
    from .._oci.reference import Reference
    from .._oci.repository import WritableRepository
    from .._oci.tag_store import TagStore
    from .clients import Clients


class TagPlace(NamedTuple):
    """A repository, and what changes its tags."""

    repository: WritableRepository
    tags: TagStore


def open_tag_place(
    reference: Reference, auth: AuthOptions, connection: ConnectionOptions, clients: Clients, *, check_mode: bool
) -> TagPlace:
    """Open the repository itself: tags are compared with what is there, so that neither mirrors nor a cache are asked.

    :raises AuthenticationFailed: when the given credentials cannot be used, or the provider returns none.
    :raises InvalidOption: for an archive, which is written as a whole.
    """
    if str(reference).startswith("oci-archive:"):
        raise InvalidOption(
            f"The tags of {reference.name} cannot be changed: an archive is written as a whole.",
            "Name a registry or an OCI image layout.",
        )
    if reference.is_layout:
        from .._layout.tags import LayoutTags

        layout = LayoutTags(reference)
        return TagPlace(layout, layout)
    from .._registry.repository import RegistryRepository
    from .._registry.tags import RegistryTags

    client = clients.client(reference.registry, reference.repository, auth, connection)
    repository = RegistryRepository(reference, client, push=not check_mode, shared=True)
    return TagPlace(repository, RegistryTags(repository, client))
