# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule by which the layers of an artifact are placed: what the artifact is decides, and the option ``layers``.

=========  ==================================================  =======================  ==================
content    how it is known                                     layers with ``auto``     default exclusions
=========  ==================================================  =======================  ==================
chart      Helm's config, or an untitled chart layer           the chart                none
flux       Flux's layer type, or Flux's config without titles  the first                Flux's
files      titles (``oras push``)                              all with a title         none
image      the config of a container image                     all, as one tree         none
archive    anything else                                       the first                none
none       no layers, or only the empty one                    refused; none with all   none
=========  ==================================================  =======================  ==================

Sources: oras-go, ``content/file`` (titles, unpacking); Flux's source-controller, ``selectLayer``; image-spec,
manifest.md, "Guidelines for Artifact Usage" (the empty layer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .._errors import LayerError
from .._oci import media
from .._oci.manifest import Descriptor, Manifest
from .layer_selector import ALL, COPY, FIRST, LayerSelector
from .layers import check_count, layers_of_type

CHART = "chart"
FLUX = "flux"
FILES = "files"
IMAGE = "image"
ARCHIVE = "archive"
NONE = "none"
TITLED = "titled"

# values of "exclusions"
BY_DEFAULT = "default"
BY_PATTERNS = "patterns"
NOTHING = "none"

_OF_IMAGES = (media.OCI_CONFIG, media.DOCKER_CONFIG)
_OF_CHARTS = (media.HELM_LAYER, media.HELM_PROVENANCE)


class Placement(NamedTuple):
    """The layers that are placed, and by which rule: ``content`` is the kind of artifact, ``rule`` is ``first``,
    ``all`` or ``titled``. ``warnings`` name layers that are not placed although nobody chose among them."""

    layers: list[Descriptor]
    content: str
    rule: str
    warnings: Sequence[str] = ()

    @property
    def is_one_tree(self) -> bool:
        """True when layers are combined as container runtimes and `oras pull` do."""
        return self.rule != FIRST

    def as_result(self, exclusions: str = "") -> dict[str, str]:
        """Return the module's value ``placement``; without ``exclusions`` when they are not known."""
        result = {"content": self.content, "layers": self.rule}
        if exclusions:
            result["exclusions"] = exclusions
        return result


def placement_of(manifest: Manifest, selector: LayerSelector, what: str, *, is_to_file: bool = False) -> Placement:
    """Return the layers of an artifact to place.

    :param what: names the artifact in messages.
    :param is_to_file: the bytes of one layer become one file.
    :raises LayerError: when no layer matches, or there is no content (not with ``layers: all``).
    """
    layers = layers_of_type(manifest, selector.media_type, what)
    content = content_of(manifest, layers)
    if content == NONE:
        if selector.layers != ALL:
            raise _no_content(manifest, what)
        return Placement([], NONE, ALL, (f"{what} has no content, so that nothing of it is placed.",))
    if selector.layers == FIRST:
        return Placement(layers[:1], content, FIRST)
    if selector.layers == ALL:
        return Placement(check_count(layers, what), content, ALL)
    if content == FILES:
        return _titled_files(manifest, layers, selector, what, is_to_file)
    if content == IMAGE and selector.operation != COPY:
        return Placement(check_count(layers, what), content, ALL)
    charts = [layer for layer in layers if content == CHART and layer.media_type == media.HELM_LAYER]
    return Placement((charts or layers)[:1], content, FIRST)


def content_of(manifest: Manifest, layers: Sequence[Descriptor]) -> str:
    """Return the kind of an artifact: ``chart``, ``flux``, ``files``, ``image``, ``archive`` or ``none``.

    :param layers: those of its layers that are looked at, without empty ones.
    """
    if not layers:
        return NONE
    kind, first = manifest.effective_artifact_type, layers[0]
    config = manifest.config.media_type if manifest.config else ""
    has_titles = any(title_of(layer) for layer in layers)
    if any(layer.media_type in _OF_CHARTS for layer in layers) and (
        media.HELM_CONFIG in (kind, config) or (not has_titles and first.media_type in _OF_CHARTS)
    ):
        return CHART
    # Flux itself looks at nothing but the first layer
    if first.media_type == media.FLUX_LAYER or (not has_titles and media.FLUX_CONFIG in (kind, config)):
        return FLUX
    if has_titles:
        return FILES
    return IMAGE if config in _OF_IMAGES else ARCHIVE


def title_of(layer: Descriptor) -> str:
    """Return the title that a layer has, empty without one."""
    return layer.annotations.get(media.ANNOTATION_TITLE, "")


def _titled_files(
    manifest: Manifest, layers: list[Descriptor], selector: LayerSelector, what: str, is_to_file: bool
) -> Placement:
    titled = [layer for layer in layers if title_of(layer)]
    if not selector.media_type and manifest.config is not None and title_of(manifest.config):
        titled.append(manifest.config)
    warnings = []
    if is_to_file and len(titled) > 1:
        warnings.append(
            f"{what} has {len(titled)} files, and 'dest' is one: only {title_of(titled[0])[:200]!r} is placed. Give a "
            f"directory in 'dest', choose with layer_selector.media_type, or say layers: first."
        )
        return Placement(titled[:1], FILES, FIRST, tuple(warnings))
    untitled = [layer for layer in layers if not title_of(layer)]
    if untitled:
        named = ", ".join(dict.fromkeys(layer.media_type[:200] for layer in untitled[:5]))
        warnings.append(
            f"{what} has {len(untitled)} layers without a title ({named}) beside those with one, and they are not "
            f"placed, as with 'oras pull'. With layers: all they are unpacked."
        )
    return Placement(check_count(titled, what), FILES, TITLED, tuple(warnings))


def _no_content(manifest: Manifest, what: str) -> LayerError:
    found = (
        "its manifest has no layers" if not manifest.layers else f"its only layer is the empty one ({media.OCI_EMPTY})"
    )
    return LayerError(
        f"{what} has no content: {found}.",
        "What it says may be in its annotations or its config, which oci_artifact_info shows. With layers: all a pull "
        "of it places nothing and succeeds.",
    )
