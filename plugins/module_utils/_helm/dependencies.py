# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warnings about dependencies that ``helm package`` does not give, but other commands of Helm do.

Source: helm 3.22, internal/resolver/resolver.go (HashReq, HashV2Req) and pkg/downloader/manager.go, for locks;
pkg/chartutil/dependencies.go (getAliasDependency) for versions.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import InvalidOption
from .._oci.digest import digest_of
from .._oci.selection import SemVerRange
from .metadata import Metadata, read_lock


def lock_warning(metadata: Metadata, lock: bytes, what: str) -> str:
    """Return the warning of ``helm dependency build`` about a lock file; empty when in sync, or when not known.

    :param what: name of the lock file in messages.
    :raises BuildError: when it is not a lock file; Helm does not load it either.
    """
    found = read_lock(lock, what)
    if found is None or any(_is_named(item.get("repository", "")) for item in metadata.dependency_items):
        return ""
    digest, locked = found
    wanted = metadata.dependencies_json()
    texts = [f"[{wanted},{locked}]"]
    if metadata.text("apiVersion") == "v1":
        texts.append(f'{{"dependencies":{wanted}}}')
    if digest in [digest_of(text.encode("utf-8")) for text in texts]:
        return ""
    return (
        f"{what} is out of sync with the dependencies in {metadata.what}, and 'helm dependency build' will refuse it: "
        "run 'helm dependency update'."
    )


def version_warnings(metadata: Metadata, charts: Iterable[tuple[str, str]]) -> list[str]:
    """Return a warning for each dependency that is in ``charts/`` only in versions other than the wanted one.

    Helm installs such a chart, but does not apply ``condition``, ``alias`` and ``tags`` to it.

    :param charts: name and version of each chart in ``charts/``.
    """
    warnings = []
    present = list(charts)
    for item in metadata.dependency_items:
        name, wanted = item.get("name", ""), item.get("version", "")
        versions = [version for found, version in present if found == name]
        if wanted and versions and not any(_is_compatible(wanted, version) for version in versions):
            warnings.append(
                f"{metadata.what}: the dependency {name[:100]!r} is wanted in version {wanted[:100]!r}, and in the "
                f"directory charts/ it is {', '.join(versions)[:200]}."
            )
    return warnings


def _is_named(repository: str) -> bool:
    """Return True for a repository by its name in Helm's configuration; the lock's digest covers its URL there."""
    return repository.startswith(("@", "alias:"))


def _is_compatible(wanted: str, version: str) -> bool:
    try:
        return SemVerRange(wanted).matches(version)
    except InvalidOption:
        return False
