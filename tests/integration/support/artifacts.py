# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts made and published by hand, without the code under test: tar archives, manifests, plain HTTP requests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.cncf.flux.content.v1.tar+gzip"
CONFIG = "application/vnd.cncf.flux.config.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
TITLE = "org.opencontainers.image.title"

# Content of a file; or a whole tar entry, for everything else.
Entry = Union[str, bytes, tarfile.TarInfo]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar(files: Mapping[str, Entry]) -> bytes:
    """An archive with the entries in the order given; a name that ends in a slash is a directory."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content, io.BytesIO(b"\0" * content.size))
                continue
            entry = tarfile.TarInfo(name.rstrip("/"))
            data = content.encode() if isinstance(content, str) else content
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()


def special(kind: bytes, target: str = "", mode: int = 0o644, size: int = 0) -> tarfile.TarInfo:
    """A tar entry of another kind than a plain file."""
    entry = tarfile.TarInfo()
    entry.type, entry.linkname, entry.mode, entry.size = kind, target, mode, size
    return entry


def tgz(files: Mapping[str, Entry]) -> bytes:
    return gzip.compress(tar(files), mtime=0)


@dataclass
class Blob:
    """Bytes with what a descriptor says of them; ``claims`` are fields of the descriptor that lie."""

    data: bytes
    media_type: str = LAYER
    annotations: dict[str, str] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)

    @property
    def descriptor(self) -> dict[str, Any]:
        descriptor: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": digest_of(self.data),
            "size": len(self.data),
        }
        if self.annotations:
            descriptor["annotations"] = self.annotations
        return {**descriptor, **self.claims}


def manifest_of(layers: Iterable[Blob], config: Blob, **fields: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor,
        "layers": [layer.descriptor for layer in layers],
        **fields,
    }
    return json.dumps(document).encode()


class Publisher:
    """Puts artifacts into one repository of a registry."""

    def __init__(self, registry: str, repository: str) -> None:
        self.name = f"{registry}/{repository}"
        self.url = f"oci://{self.name}"
        self._api = f"http://{registry}/v2/{repository}"

    def publish(
        self, tag: str, content: Mapping[str, Entry] | Iterable[Blob], *, config: Blob | None = None, **fields: Any
    ) -> str:
        """Push files as one layer, or layers as they are; returns the digest of the manifest."""
        layers = [Blob(tgz(content))] if isinstance(content, Mapping) else list(content)
        config = config or Blob(b"{}", CONFIG)
        for blob in [config, *layers]:
            self._push_blob(blob.data)
        return self.put_manifest(tag, manifest_of(layers, config, **fields))

    def put_manifest(self, tag: str, raw: bytes, media_type: str = MANIFEST) -> str:
        self._request("PUT", f"{self._api}/manifests/{tag}", raw, media_type)
        return digest_of(raw)

    def publish_index(self, tag: str, manifests: Mapping[str, str]) -> str:
        """Push an index of manifests that are there already: platform -> digest."""
        entries = []
        for platform, digest in manifests.items():
            names = dict(zip(("os", "architecture", "variant"), platform.split("/")))
            request = urllib.request.Request(f"{self._api}/manifests/{digest}", headers={"Accept": MANIFEST})
            with urllib.request.urlopen(request, timeout=30) as response:
                size = len(response.read())
            entries.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": names})
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.put_manifest(tag, json.dumps(document).encode(), INDEX)

    def _push_blob(self, data: bytes) -> None:
        location = self._request("POST", f"{self._api}/blobs/uploads/", b"")
        joiner = "&" if "?" in location else "?"
        self._request("PUT", f"{location}{joiner}digest={digest_of(data)}", data)

    @staticmethod
    def _request(method: str, url: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": content_type})
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.headers.get("Location", ""))


def write_layout(folder: Path, tag: str, content: Mapping[str, Entry]) -> str:
    """An OCI image layout with one artifact; returns the digest of its manifest."""
    return write_layout_of(folder, tag, Blob(tgz(content)), Blob(b"{}", CONFIG))


def write_layout_of(folder: Path, tag: str, layer: Blob, config: Blob) -> str:
    """An OCI image layout with one artifact of one layer; returns the digest of its manifest."""
    raw = manifest_of([layer], config)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    for data in (layer.data, config.data, raw):
        (blobs / digest_of(data).partition(":")[2]).write_bytes(data)
    entry = {
        "mediaType": MANIFEST,
        "digest": digest_of(raw),
        "size": len(raw),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest_of(raw)


def contents(folder: Path) -> dict[str, str]:
    """Files and links below a folder, control directories of pulls left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if ".oci-artifact" in name:
            continue
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text(errors="backslashreplace")
    return found


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a folder, itself included: kind, mode, owner, times, content."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, times, content)
    return found
