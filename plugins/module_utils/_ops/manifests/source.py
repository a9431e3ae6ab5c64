# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts with manifests: resolved, verified and fetched into the cache as charts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._oci import media
from ..._oci.manifest import Manifest
from ..charts.files import FilesFetch
from ..resolve import Resolved

# Characters of a version or a time; longer ones are none.
MAX_TEXT = 128


class ManifestsFetch(FilesFetch):
    """The work on one source whose layers hold manifests."""

    def _content(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any], what: str) -> dict[str, Any]:
        content = super()._content(resolved, manifest, verdict, what)
        created = _bounded(manifest.annotations.get(media.ANNOTATION_CREATED))
        return {**content, "version": _version(manifest), "created": created}


def _version(manifest: Manifest) -> str:
    """Return what the artifact says its version is: its annotation, or what Flux notes of the source."""
    annotations = manifest.annotations
    # Flux writes TAG@ALGORITHM:COMMIT
    revision = str(annotations.get(media.ANNOTATION_REVISION) or "").partition("@")[0]
    return _bounded(annotations.get(media.ANNOTATION_VERSION) or revision)


def _bounded(text: object) -> str:
    return text if isinstance(text, str) and len(text) <= MAX_TEXT else ""
