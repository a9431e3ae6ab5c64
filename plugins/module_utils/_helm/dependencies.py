# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``helm package`` passes over in silence about dependencies, and other commands of Helm do not.

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
    """What ``helm dependency build`` would say about a lock file, empty when it is in sync or that cannot be told.

    :param what: names the lock file.
    :raises BuildError: when it is no lock file, which Helm does not load either.
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
    """A warning for each dependency that is in ``charts/`` in versions that are not wanted: Helm installs them all the
    same, but neither ``condition`` nor ``alias`` nor ``tags`` apply.

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
    """Whether this is a name from the configuration of helm: the lock is over the URL that it has there."""
    return repository.startswith(("@", "alias:"))


def _is_compatible(wanted: str, version: str) -> bool:
    try:
        return SemVerRange(wanted).matches(version)
    except InvalidOption:
        return False
