# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts of a few small files, written into an OCI image layout without the code under test."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def publish(layout: Path, tag: str, files: dict[str, str]) -> None:
    """Put an artifact with one layer into an OCI image layout, beside what it holds."""
    publish_layer(layout, tag, packed(files))


def packed(files: Mapping[str, str], links: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """A layer with files, and after them hard links, each with its target."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
        for name, linked in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.LNKTYPE, linked
            archive.addfile(entry)
    return target.getvalue()


def publish_layer(
    layout: Path, tag: str, data: bytes, media_type: str = "application/vnd.oci.image.layer.v1.tar"
) -> None:
    """Put an artifact with this layer into an OCI image layout, beside what it holds."""
    publish_layers(layout, tag, [data], media_type)


def publish_layers(
    layout: Path,
    tag: str,
    layers: Sequence[bytes],
    media_type: str = "application/vnd.oci.image.layer.v1.tar",
    config_type: str = "application/vnd.oci.empty.v1+json",
) -> None:
    """Put an artifact with these layers into an OCI image layout, beside what it holds."""
    store = layout / "blobs/sha256"
    store.mkdir(parents=True, exist_ok=True)

    def add(data: bytes, media_type: str) -> dict[str, object]:
        (store / digest_of(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    entries = [add(data, media_type) for data in layers]
    config = add(b"{}", config_type)
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": entries}
    entry = {**add(json.dumps(document).encode(), MANIFEST), "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = layout / "index.json"
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*known, entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
