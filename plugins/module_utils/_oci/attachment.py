# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachment of one document to an artifact: a manifest with the artifact as its subject, and the document as a layer.

Source: image-spec, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import media
from .digest import digest_of
from .manifest import Descriptor, canonical_json, parse_manifest
from .repository import BlobSource

if TYPE_CHECKING:
    from .repository import WritableRepository


def attach(
    repository: WritableRepository,
    artifact: Descriptor,
    content: bytes,
    *,
    artifact_type: str,
    media_type: str,
    annotations: Mapping[str, str],
) -> str:
    """Push a document that refers to an artifact; return the digest of its manifest.

    :param artifact: what it is attached to.
    :param content: the document, and ``media_type`` its type.
    :param annotations: those of the manifest.
    :raises PushFailed: when the registry refuses it, or can list no referrers.
    """
    layer = Descriptor(media_type, digest_of(content), len(content))
    config = Descriptor(media.OCI_EMPTY, digest_of(media.EMPTY_JSON), len(media.EMPTY_JSON))
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config.as_json(),
        "layers": [layer.as_json()],
        "subject": Descriptor(artifact.media_type, artifact.digest, artifact.size).as_json(),
        "annotations": dict(annotations),
    }
    manifest = parse_manifest(canonical_json(document), media.OCI_MANIFEST, f"The attachment to {artifact.digest}")
    repository.push_blob(BlobSource(config, lambda: io.BytesIO(media.EMPTY_JSON)))
    repository.push_blob(BlobSource(layer, lambda: io.BytesIO(content)))
    repository.push_manifest(manifest)
    return manifest.descriptor.digest
