# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts with manifests: resolved, verified and fetched into the cache as charts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import LayerError
from ..._manifests.content import MAX_BLOB
from ..._oci import media
from ..._oci.manifest import Descriptor, Manifest
from ..artifact_result import layer_record
from ..charts.sources import SourceFetch
from ..layer_selector import LayerSelector
from ..placement import placement_of, title_of
from ..resolve import Resolved

# Characters of a version or a time; longer ones are none.
MAX_TEXT = 128


class ManifestsFetch(SourceFetch):
    """The work on one source whose layers hold manifests: those that a pull would place."""

    media_type = ""

    def _content(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any], what: str) -> dict[str, Any]:
        placed = placement_of(manifest, LayerSelector(), what)
        size = sum(layer.size for layer in placed.layers)
        if size > MAX_BLOB:
            raise LayerError(
                f"The layers of {what} have {size} bytes: manifests may have {MAX_BLOB}.",
                "Split the artifact, or publish only what is to be applied.",
            )
        if self._guard is not None:
            self._guard.check_chart(resolved, manifest, verdict)
        self.warnings += placed.warnings
        layers = [self._layer_in_cache(layer) for layer in placed.layers]
        created = _bounded(manifest.annotations.get(media.ANNOTATION_CREATED))
        return {"layers": layers, "version": _version(manifest), "created": created}

    def _layer_in_cache(self, layer: Descriptor) -> dict[str, Any]:
        return {**layer_record(layer), "path": self._fetch(layer), "title": title_of(layer)}


def _version(manifest: Manifest) -> str:
    """Return what the artifact says its version is: its annotation, or what Flux notes of the source."""
    annotations = manifest.annotations
    # Flux writes TAG@ALGORITHM:COMMIT
    revision = str(annotations.get(media.ANNOTATION_REVISION) or "").partition("@")[0]
    return _bounded(annotations.get(media.ANNOTATION_VERSION) or revision)


def _bounded(text: object) -> str:
    return text if isinstance(text, str) and len(text) <= MAX_TEXT else ""
