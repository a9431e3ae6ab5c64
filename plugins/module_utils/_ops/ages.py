# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an artifact was made, as its publisher says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import OciError
from .._oci import media
from .._oci.times import parse_time

if TYPE_CHECKING:
    from .._oci.manifest import Manifest
    from .._oci.repository import Repository


def created_at(repository: Repository, manifest: Manifest) -> float | None:
    """When an artifact was made (seconds since 1970): by the annotation ``org.opencontainers.image.created``, or by the
    config of an image (one request); of an index the same of its first manifest. None where nothing says it.
    """
    found = parse_time(manifest.annotations.get(media.ANNOTATION_CREATED, ""))
    if found is not None:
        return found
    try:
        if manifest.is_index:
            child = next((each for each in manifest.manifests if each.media_type in media.MANIFEST_TYPES), None)
            return None if child is None else created_at(repository, repository.fetch_manifest(child.digest))
        config = manifest.config
        if config is None or config.media_type not in (media.OCI_CONFIG, media.DOCKER_CONFIG):
            return None
        from .._oci.manifest import load_json_object
        from .._oci.repository import read_small_blob

        document = load_json_object(read_small_blob(repository, config), f"The config {config.digest}")
    except OciError as exc:
        if exc.retryable:
            raise
        return None
    return parse_time(str(document.get("created") or ""))
