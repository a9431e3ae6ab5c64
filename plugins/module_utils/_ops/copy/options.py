# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..._oci.options import AuthOptions, CacheOptions, ConnectionOptions
from ..._oci.reference import Reference
from ..resolve import ReferenceOptions

if TYPE_CHECKING:
    from ..._policy.rules import Policy
    from ..._trust.policy import VerifyPolicy

Access = tuple[AuthOptions, ConnectionOptions]
# values of "prune"
NO_PRUNE, REPORT, PRUNE = "false", "report", "true"


@dataclass(frozen=True)
class CopyOptions:
    """The options of a copy. ``to_auth`` and ``to_connection`` are for the registry that is written to, see
    :func:`access_to`; of a copy that belongs to another one, ``to_access`` says all of that. ``policy`` None means that
    the task itself asks for no signatures, ``rules`` None that it has no policy file. A tag that is a version is moved
    only with ``force``.

    ``platforms`` are those of which the manifests are copied, ``differential`` says what the other side of a layout or
    archive has, and ``include`` what is copied beside a chart: see :mod:`.platforms`, :mod:`.differential` and
    :mod:`.include`.

    ``limit`` is the number of tags that the selection picks, 0 for all; None for the one artifact that a pull would
    take. ``prune`` is for tags of the target that the selection does not have: NO_PRUNE, REPORT or PRUNE.
    """

    reference: ReferenceOptions
    to: str
    policy: VerifyPolicy | None = None
    force: bool = False
    platforms: Sequence[str] = ()
    differential: Sequence[str] = ()
    include: Sequence[str] = ()
    auth: AuthOptions = field(default_factory=AuthOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    to_auth: AuthOptions | None = None
    to_connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    to_access: Access | None = None
    cache: CacheOptions = field(default_factory=CacheOptions)
    limit: int | None = None
    prune: str = NO_PRUNE
    rules: Policy | None = None


def access_to(place: Reference, source: Reference, options: CopyOptions) -> Access:
    """Return the credentials and the connection for the registry that is written to."""
    if options.to_access is not None:
        return options.to_access
    access = options.auth, options.to_connection
    if place.is_layout or place.registry != source.registry:
        access = access_elsewhere(access)
    return options.to_auth or access[0], access[1]


def access_elsewhere(access: Access) -> Access:
    """Return what counts of credentials and a connection for another registry than the one they were given for.

    A user name, a password and a client certificate are for one registry: another one never gets them. Files and cloud
    providers know by themselves which registry each of their credentials is for.
    """
    auth, connection = access
    return (
        replace(auth, username="", password="", provider_registry=""),
        replace(connection, client_cert="", client_key="", client_key_password=""),
    )
