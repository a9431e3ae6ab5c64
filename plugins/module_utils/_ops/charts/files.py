# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts whose files are read: resolved, verified and fetched into the cache as charts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..._errors import LayerError
from ..._oci import media
from ..._oci.manifest import Descriptor, Manifest
from ..artifact_result import layer_record
from ..layer_selector import LayerSelector
from ..placement import placement_of, title_of
from .sources import SourceFetch

if TYPE_CHECKING:
    from ..resolve import Resolved


class FilesFetch(SourceFetch):
    """The work on one source whose layers hold files: those layers that a pull would place."""

    media_type = ""

    def _content(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any], what: str) -> dict[str, Any]:
        # imported here: most sources are charts
        from ..._manifests.content import MAX_BLOB

        placed = placement_of(manifest, LayerSelector(), what)
        size = sum(layer.size for layer in placed.layers)
        if size > MAX_BLOB:
            raise LayerError(
                f"The layers of {what} have {size} bytes: they may have {MAX_BLOB}.",
                "Split the artifact, or publish only what is needed.",
            )
        if self._guard is not None:
            self._guard.check_chart(resolved, manifest, verdict)
        self.warnings += placed.warnings
        return {"layers": [self._layer_in_cache(layer) for layer in placed.layers]}

    def _layer_in_cache(self, layer: Descriptor) -> dict[str, Any]:
        return {**layer_record(layer), "path": self._fetch(layer), "title": title_of(layer)}


class ChartOrFilesFetch(FilesFetch):
    """The work on one source that is a chart or holds values files, whichever its layers show."""

    media_type = media.HELM_LAYER

    def _content(self, resolved: Resolved, manifest: Manifest, verdict: Mapping[str, Any], what: str) -> dict[str, Any]:
        is_chart = any(layer.media_type == media.HELM_LAYER for layer in manifest.layers)
        # that of a chart is in the class at the base
        of_kind = SourceFetch if is_chart else FilesFetch
        return of_kind._content(self, resolved, manifest, verdict, what)
