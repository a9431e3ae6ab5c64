# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URLs of a registry and of a repository in it.

Source: distribution-spec v1.1, "Endpoints".
"""

from __future__ import annotations

DOCKER_HUB_API = "registry-1.docker.io"


def api_url(registry: str, is_encrypted: bool) -> str:
    """The base of all URLs of a registry, as in ``https://ghcr.io/v2/``; Docker Hub has another host there."""
    host = DOCKER_HUB_API if registry == "docker.io" else registry
    return f"{'https' if is_encrypted else 'http'}://{host}/v2/"


class RepositoryUrls:
    """The URLs of one repository.

    Names, tags and digests go into them as they are: a :class:`~._oci.reference.Reference` was checked when it was
    parsed, and tags and digests from elsewhere are checked by the caller.
    """

    def __init__(self, api: str, repository: str) -> None:
        """``api`` is what :func:`api_url` returns."""
        self._base = f"{api}{repository}/"

    def manifest(self, identifier: str) -> str:
        """The manifest of a tag or a digest."""
        return f"{self._base}manifests/{identifier}"

    def blob(self, digest: str) -> str:
        return f"{self._base}blobs/{digest}"

    def uploads(self) -> str:
        """Return the URL at which the upload of a blob is opened."""
        return f"{self._base}blobs/uploads/"

    def tags(self, per_page: int) -> str:
        return f"{self._base}tags/list?n={per_page}"

    def referrers(self, digest: str) -> str:
        return f"{self._base}referrers/{digest}"
