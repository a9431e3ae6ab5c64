# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is signed, compared byte for byte with what cosign signed."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference, parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import formats
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.signed_content import (
    docker_reference,
    simple_payload,
    statement_for,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import BUNDLE, LEGACY

from . import vectors


def test_payloads_are_those_of_cosign() -> None:
    """Read from artifacts that cosign itself signed."""
    compared = set()
    for name in ("chart-legacy-a", "chart-legacy-a-annot", "chart-bundle-a", "chart-bundle-a-annot"):
        root = vectors.ROOT / "layouts" / name
        if not root.exists():
            continue
        layout = LayoutRepository(Reference(layout=str(root)))
        digest = layout.resolve("1.0.0").digest
        for entry in json.loads((root / "index.json").read_text())["manifests"]:
            manifest = layout.fetch_manifest(entry["digest"])
            for layer in manifest.layers:
                content = (root / "blobs" / layer.digest.replace(":", "/")).read_bytes()
                if layer.media_type == formats.SIMPLE_SIGNING:
                    claims = json.loads(content)
                    reference = claims["critical"]["identity"]["docker-reference"]
                    assert content == simple_payload(reference, digest, claims["optional"] or {})
                    compared.add(LEGACY)
                elif layer.media_type == formats.BUNDLE_V03:
                    statement = base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"])
                    annotations = json.loads(statement)["subject"][0]["annotations"]
                    assert statement == statement_for(digest, annotations)
                    compared.add(BUNDLE)
    assert compared == {LEGACY, BUNDLE}


@pytest.mark.parametrize(
    ("value", "in_go_json", "in_protojson"),
    [
        ("<a>&b", "\\u003ca\\u003e\\u0026b", "<a>&b"),
        ("\u2028\u2029", "\\u2028\\u2029", "\u2028\u2029"),
        ('"\\/', '\\"\\\\/', '\\"\\\\/'),
        ("\b\f\n\r\t\x01", "\\b\\f\\n\\r\\t\\u0001", "\\b\\f\\n\\r\\t\\u0001"),
        ("\x7f", "\x7f", "\\u007f"),
        ("größer 🎉", "größer 🎉", "größer 🎉"),
    ],
)
def test_escapes_are_those_of_go(value: str, in_go_json: str, in_protojson: str) -> None:
    digest = "sha256:" + "0" * 64
    assert simple_payload("a.example/b", digest, {"k": value}).endswith(f'"optional":{{"k":"{in_go_json}"}}}}'.encode())
    assert f'"annotations":{{"k":"{in_protojson}"}}'.encode() in statement_for(digest, {"k": value})


def test_docker_references() -> None:
    assert docker_reference(parse_reference("ghcr.io/org/app:1")) == "ghcr.io/org/app"
    assert docker_reference(parse_reference("docker.io/nginx")) == "index.docker.io/library/nginx"
    assert docker_reference(parse_reference("127.0.0.1:5000/a/b@sha256:" + "0" * 64)) == "127.0.0.1:5000/a/b"
    for scheme in ("oci-layout", "oci-archive"):
        assert docker_reference(parse_reference(f"{scheme}:/home/somebody/secret")) == "localhost/oci-layout"
