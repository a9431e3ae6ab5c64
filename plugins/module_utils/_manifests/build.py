# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the objects to apply out of the files of an artifact and the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .objects import (
    KUSTOMIZATIONS,
    ManifestObject,
    below,
    check_objects,
    copied,
    read_objects,
    with_common_metadata,
    with_images,
)


def build_objects(files: Mapping[str, bytes], options: Mapping[str, Any], what: str) -> list[ManifestObject]:
    """Return the objects under ``path``, with what the options make of them. The order of the steps is Flux's.

    :raises ManifestsInvalid: when the manifests cannot be used.
    :raises MissingDependency: when kustomize is needed and missing.
    """
    chosen = below(files, str(options["path"] or ""), what)
    if any(name in chosen for name in KUSTOMIZATIONS):
        from .kustomize import kustomize_build

        items = kustomize_build(files, str(options["path"] or ""), options, what)
    else:
        items = copied(read_objects(chosen, what))
    items = check_objects(items, what)
    if options["patches"]:
        from .patches import patch_objects

        items = patch_objects(items, options["patches"])
    with_images(items, options["images"] or ())
    common = options["common_metadata"] or {}
    with_common_metadata(items, common.get("labels") or {}, common.get("annotations") or {})
    if options["substitute"] is not None:
        from .substitute import substitute_objects

        items = check_objects(substitute_objects(items, options["substitute"]), what)
    return items
