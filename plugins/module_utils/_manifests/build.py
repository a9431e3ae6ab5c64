# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the objects to apply out of the files of an artifact and the options."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .images import with_images
from .objects import (
    KUSTOMIZATIONS,
    ManifestObject,
    below,
    check_objects,
    check_places,
    copied,
    is_manifest,
    read_objects,
    with_common_metadata,
)

if TYPE_CHECKING:
    from .sops import Decrypt


def build_objects(
    files: Mapping[str, bytes], options: Mapping[str, Any], what: str, decrypt: Decrypt | None = None
) -> list[ManifestObject]:
    """Return the objects under ``path``, with what the options make of them. The order of the steps is Flux's.

    :param decrypt: decrypts a file; None where encrypted ones are refused.
    :raises ManifestsInvalid: when the manifests cannot be used.
    :raises MissingDependency: when kustomize, or what decrypts, is needed and missing.
    """
    path = str(options["path"] or "")
    chosen = below(files, path, what)
    files = {**files, **_kustomization_above(chosen, path)}
    chosen = below(files, path, what)
    is_built = any(name in chosen for name in KUSTOMIZATIONS)
    if decrypt is not None:
        from .sops import decrypted_below

        files = decrypted_below(files, path, what, decrypt, is_built=is_built)
        chosen = below(files, path, what)
    if is_built:
        from .kustomize import kustomize_build

        items = kustomize_build(files, path, options, what, is_quiet=decrypt is not None)
    else:
        items = copied(read_objects(chosen, what))
    items = check_objects(items, what)
    if options["patches"]:
        from .kustomize_yaml import as_json
        from .patches import patch_objects

        items = patch_objects(items, options["patches"])
        for item in items:
            item.document = as_json(item.document)
    with_images(items, options["images"] or ())
    if options["substitute"] is not None:
        from .substitute import substitute_objects

        items = check_objects(substitute_objects(items, options["substitute"]), what)
    # as in Flux, after the substitution: no variable is put into these
    common = options["common_metadata"] or {}
    with_common_metadata(items, common.get("labels") or {}, common.get("annotations") or {})
    # last: patches and variables make names, too
    check_places(items, what)
    return items


def _kustomization_above(chosen: Mapping[str, bytes], path: str) -> dict[str, bytes]:
    """Return a kustomization for a directory that has none, while directories below it do; nothing in any other case.

    As in Flux, those are built, and what is in them and in directories below them is not read by itself. Source:
    fluxcd/pkg, ``kustomize/kustomize_generator.go``, ``generateKustomization``.
    """
    built = {posixpath.dirname(name) for name in chosen if posixpath.basename(name) in KUSTOMIZATIONS}
    if not built or "" in built:
        return {}
    resources = set()
    for name in chosen:
        parts = name.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        directory = next((each for each in above if each in built), "")
        if directory or is_manifest(name):
            resources.add(directory or name)
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"./{each}" for each in sorted(resources)],
    }
    own = posixpath.normpath(posixpath.join(path.lstrip("/"), KUSTOMIZATIONS[0]))
    return {own: json.dumps(document).encode("utf-8")}
