# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of the layers of a manifest, and the names of their files."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import LayerError
from .._files.names import MAX_NAME, encoded, is_reserved
from .._oci import media, platforms
from .._oci.manifest import Descriptor, Manifest
from .._oci.repository import Repository
from .layer_selector import Limits

MAX_LAYERS = 1000
MAX_INDEX_DEPTH = 3
# entries of an index that are fetched to see whether they are a chart
MAX_CHART_LOOKS = 16
_OF_CHARTS = (media.HELM_LAYER, media.HELM_PROVENANCE)
# bytes
MAX_TITLE = 1024


def choose_manifest(repository: Repository, manifest: Manifest, platform: str, media_type: str) -> Manifest:
    """The manifest with layers of a media type: of an index that holds a Helm chart beside images, the chart when its
    layer is wanted; else see :func:`choose_image`.

    :raises InvalidContent: when the index has none for the platform.
    """
    chart = find_chart(repository, manifest) if media_type in _OF_CHARTS else None
    return chart or choose_image(repository, manifest, platform)


def find_chart(repository: Repository, manifest: Manifest) -> Manifest | None:
    """The manifest of a Helm chart: this one, or the first in this index; None when there is none.

    As Helm does, an entry of an index is known by its artifact type, or else by the type of its config. Only entries
    that say neither what they are nor for which platform are fetched to see, at most 16.
    """
    if not manifest.is_index:
        return manifest if _is_chart(manifest) else None
    entries = manifest.manifests
    for entry in entries:
        if entry.artifact_type == media.HELM_CONFIG:
            return repository.fetch_manifest(entry.digest)
    unknown = [each for each in entries if not each.artifact_type and not each.platform]
    for entry in unknown[:MAX_CHART_LOOKS]:
        found = repository.fetch_manifest(entry.digest)
        if _is_chart(found):
            return found
    return None


def _is_chart(manifest: Manifest) -> bool:
    return manifest.config is not None and manifest.config.media_type == media.HELM_CONFIG


def choose_image(repository: Repository, manifest: Manifest, platform: str) -> Manifest:
    """The manifest with the layers: this one, or the one of an index for ``platform`` (this host's when empty).

    :raises InvalidContent: when the index has none for it.
    """
    top = manifest.descriptor.digest
    for _level in range(MAX_INDEX_DEPTH):
        if not manifest.is_index:
            return manifest
        what = str(repository.reference.at(digest=manifest.descriptor.digest))
        child = platforms.select(manifest.manifests, platform or platforms.host(), what)
        manifest = repository.fetch_manifest(child.digest)
    if manifest.is_index:
        raise LayerError(f"{repository.reference.at(digest=top)} nests indexes more than {MAX_INDEX_DEPTH} deep.")
    return manifest


def layers_of_type(manifest: Manifest, media_type: str, what: str) -> list[Descriptor]:
    """The layers of a media type (of any, when it is empty), in the manifest's order. Media types must be equal, as in
    Flux. An empty layer (image-spec, manifest.md), which stands for no content, is left out unless it has a title or
    its type is asked for.

    :raises LayerError: when there are layers, but none of the type.
    """
    if not media_type:
        return [
            layer
            for layer in manifest.layers
            if layer.media_type != media.OCI_EMPTY or layer.annotations.get(media.ANNOTATION_TITLE)
        ]
    layers = [layer for layer in manifest.layers if layer.media_type == media_type]
    if not layers and manifest.layers:
        found = ", ".join(dict.fromkeys(layer.media_type for layer in manifest.layers[:10]))
        raise LayerError(
            f"{what} has no layer of media type {media_type!r}: it has {found}.",
            "Correct 'media_type' in 'layer_selector', or leave it out.",
        )
    return layers


def check_count(layers: list[Descriptor], what: str) -> list[Descriptor]:
    """Return the layers unchanged.

    :raises LayerError: when they are too many to be pulled.
    """
    if len(layers) > MAX_LAYERS:
        raise LayerError(f"{what} has {len(layers)} layers, more than the {MAX_LAYERS} that are pulled at once.")
    return layers


def check_sizes(layers: Sequence[Descriptor], limits: Limits, what: str) -> None:
    """Check the sizes of layers against the limit, before they are transferred.

    :raises LayerError: when the layers are larger than ``max_size``.
    """
    total = sum(layer.size for layer in layers)
    if total > limits.max_size:
        raise LayerError(
            f"{what} has {total} bytes of layers, more than the 'max_size' of {limits.max_size}.", "Raise 'max_size'."
        )


def file_name(layer: Descriptor, manifest: Manifest, fallback: str) -> str:
    """The file name for the bytes of a layer.

    ``org.opencontainers.image.title`` when it is a plain relative path; for a Helm chart ``<title>-<version>.tgz``
    from the manifest's annotations, as in ``helm pull``; otherwise ``fallback``.

    :raises LayerError: when the title would leave the directory.
    """
    title = layer.annotations.get(media.ANNOTATION_TITLE, "")
    if title:
        return _checked_title(title)
    if layer.media_type in (media.HELM_LAYER, media.HELM_PROVENANCE):
        chart = manifest.annotations.get(media.ANNOTATION_TITLE, "")
        version = manifest.annotations.get(media.ANNOTATION_VERSION, "")
        if chart and version:
            suffix = ".tgz" if layer.media_type == media.HELM_LAYER else ".tgz.prov"
            return _checked_title(f"{chart}-{version}{suffix}")
    return _checked_title(fallback)


def check_directory_title(layer: Descriptor) -> None:
    """Check the title of a layer that is unpacked: nothing, the directory itself, or a plain relative path.

    :raises LayerError: when it is anything else.
    """
    title = layer.annotations.get(media.ANNOTATION_TITLE, "")
    if title not in ("", "."):
        _checked_title(title)


def is_title(text: str) -> bool:
    """Return True for a valid title of a layer: a plain relative path that Linux allows."""
    return (
        text.isprintable()
        and len(encoded(text)) <= MAX_TITLE
        and all(part not in ("", ".", "..") and len(encoded(part)) <= MAX_NAME for part in text.split("/"))
        and not is_reserved(text)
    )


def _checked_title(title: str) -> str:
    if not is_title(title):
        raise LayerError(
            f"A layer's title {title[:200]!r} is not a plain relative path.",
            "With layer_selector.operation=copy and the name of a file in 'dest' its bytes are kept under that name.",
        )
    return title
