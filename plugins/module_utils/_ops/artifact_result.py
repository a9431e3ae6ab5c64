# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The value ``artifact`` that modules return: the same for pull, push, sign, verify and info.

``revision`` in it is :attr:`.resolve.Resolved.revision`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .resolve import Resolved

if TYPE_CHECKING:
    from .._oci.manifest import Descriptor, Manifest
    from .._oci.reference import Reference


def artifact_identity(reference: Reference, resolved: Resolved) -> dict[str, Any]:
    """Return the identity of an artifact: ``url``, ``revision``, ``tag`` and ``digest``.

    :param reference: of the repository; a tag or digest in it is ignored.
    """
    return {
        "url": reference.url,
        "revision": resolved.revision,
        "tag": resolved.tag,
        "digest": resolved.digest,
    }


def artifact_result(
    reference: Reference, resolved: Resolved, top: Manifest, image: Manifest, layers: Sequence[Descriptor]
) -> dict[str, Any]:
    """Return the identity and the values from the manifest; ``layer`` only when there are layers.

    :param top: the manifest or index that the tag or digest stands for; ``media_type`` is its.
    :param image: the manifest with the layers: ``top``, or the one of an index that was chosen for a platform.
    :param layers: all or some of the image's layers; ``size`` is the sum of theirs in bytes.
    """
    result = {
        **artifact_identity(reference, resolved),
        "media_type": top.descriptor.media_type,
        "artifact_type": image.effective_artifact_type,
        "metadata": dict(image.annotations),
        "size": sum(layer.size for layer in layers),
    }
    if layers:
        result["layer"] = layer_record(layers[0])
    return result


def layer_record(layer: Descriptor) -> dict[str, Any]:
    """Return the value ``layer``: ``digest``, ``media_type`` and ``size`` in bytes."""
    return {"digest": layer.digest, "media_type": layer.media_type, "size": layer.size}
