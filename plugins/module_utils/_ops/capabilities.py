# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about registries: kept in the cache directory for the other tasks of a run, and used by them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._oci.digest import digest_of

if TYPE_CHECKING:
    from .._cache.artifact_cache import ArtifactCache
    from .._oci.options import AuthOptions
    from .._oci.reference import Reference

# Seconds for which an answer counts: a run, and not a change of the registry.
MAX_AGE = 3600.0
_PART = "capabilities"


def note_key(reference: Reference, auth: AuthOptions) -> str:
    """Return the name of the notes about a repository, as an account sees it, in the form of a digest."""
    return digest_of(f"{_PART}\n{reference.name}\n{auth.provider}\n{auth.username}".encode())


def known_capabilities(cache: ArtifactCache | None, reference: Reference, auth: AuthOptions) -> Mapping[str, Any]:
    """Return ``supported`` and ``unknown`` as an earlier task found them out; empty when none did, or long ago."""
    if cache is None:
        return {}
    found = cache.notes().load(note_key(reference, auth)).get(_PART)
    if not isinstance(found, dict) or not isinstance(found.get("supported"), dict):
        return {}
    asked = found.get("time")
    return found if isinstance(asked, (int, float)) and 0 <= time.time() - asked < MAX_AGE else {}


def keep_capabilities(
    cache: ArtifactCache | None, reference: Reference, auth: AuthOptions, found: Mapping[str, Any]
) -> None:
    """Keep ``supported`` and ``unknown`` for the tasks that follow, where there is a cache that can be written."""
    if cache is not None:
        key = note_key(reference, auth)
        with cache.notes().alone(key):
            cache.notes().update(key, _PART, {**found, "time": time.time()})
