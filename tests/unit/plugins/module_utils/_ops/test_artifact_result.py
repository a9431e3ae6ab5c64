# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The value ``artifact`` of a manifest, of an index, of some layers, and of nothing but a digest."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Manifest, parse_manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.artifact_result import (
    artifact_identity,
    artifact_result,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import Resolved

REPOSITORY = parse_reference("registry.example/team/app:2.0")
LAYERS = [
    {"mediaType": f"text/{name}", "digest": digest_of(name.encode()), "size": size}
    for name, size in (("a", 3), ("b", 4))
]
CONFIG = {"mediaType": "text/config", "digest": digest_of(b"{}"), "size": 2}


def manifest(**fields: Any) -> Manifest:
    return parse_manifest(json.dumps({"schemaVersion": 2, **fields}).encode(), "", "it")


IMAGE = manifest(mediaType=media.OCI_MANIFEST, config=CONFIG, layers=LAYERS, annotations={"of": "the image"})


def test_an_identity_has_the_tag_in_its_revision_only_where_there_is_one() -> None:
    digest = digest_of(b"")
    assert artifact_identity(REPOSITORY, Resolved(digest, "1.0", None)) == {
        "url": "oci://registry.example/team/app",
        "revision": f"1.0@{digest}",
        "tag": "1.0",
        "digest": digest,
    }
    assert artifact_identity(REPOSITORY, Resolved(digest, "", None))["revision"] == digest


def test_some_layers_of_an_image_of_an_index() -> None:
    index = manifest(mediaType=media.OCI_INDEX, manifests=[IMAGE.descriptor.as_json()], annotations={"of": "the index"})
    resolved = Resolved(index.descriptor.digest, "1.0", index.descriptor)
    assert artifact_result(REPOSITORY, resolved, index, IMAGE, IMAGE.layers[1:]) == {
        **artifact_identity(REPOSITORY, resolved),
        "media_type": media.OCI_INDEX,
        "artifact_type": "text/config",
        "metadata": {"of": "the image"},
        "layer": {"digest": digest_of(b"b"), "media_type": "text/b", "size": 4},
        "size": 4,
    }


def test_all_layers_and_none() -> None:
    resolved = Resolved(IMAGE.descriptor.digest, "", IMAGE.descriptor)
    whole = artifact_result(REPOSITORY, resolved, IMAGE, IMAGE, IMAGE.layers)
    assert (whole["media_type"], whole["size"], whole["layer"]["size"]) == (media.OCI_MANIFEST, 7, 3)
    empty = artifact_result(REPOSITORY, resolved, IMAGE, IMAGE, ())
    assert (empty["size"], "layer" in empty) == (0, False)
