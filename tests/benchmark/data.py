# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is moved in the benchmark: the same bytes on every machine, made from fixed seeds."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import random
import re
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MIB = 1024 * 1024
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
OCTETS = "application/octet-stream"
TAR = "application/vnd.oci.image.layer.v1.tar"
TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
TITLE = "org.opencontainers.image.title"
PIECE = 1 * MIB


@dataclass(frozen=True)
class Scale:
    """How large the workloads are."""

    layer: int
    files: int
    text: int
    layers: int
    copy: int
    charts: int
    push: int
    tags: int
    releases: int


SCALES = {
    "full": Scale(1024 * MIB, 2000, 1500 * MIB, 200, 1024 * MIB, 50, 512 * MIB, 100_000, 200),
    "small": Scale(64 * MIB, 2000, 94 * MIB, 50, 60 * MIB, 10, 32 * MIB, 10_000, 10),
}


class Noise(io.RawIOBase):
    """So many bytes that do not compress, from a seed."""

    def __init__(self, seed: int, size: int) -> None:
        self._random = random.Random(seed)
        self._left = size
        self._piece = b""
        self._used = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        parts = []
        while size:
            if self._used == len(self._piece):
                self._piece, self._used = self._random.randbytes(PIECE), 0
            part = self._piece[self._used : self._used + size]
            self._used += len(part)
            parts.append(part)
            size -= len(part)
            self._left -= len(part)
        return b"".join(parts)


def add_file(archive: tarfile.TarFile, name: str, size: int, content: BinaryIO | io.RawIOBase) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, content)


@contextmanager
def written_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """An archive that ends after its two zero blocks, as Go writes it: `oras pull` hashes no more than that."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        yield archive
        size = archive.offset + 2 * tarfile.BLOCKSIZE
    os.truncate(path, size)


def add_directory(archive: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def write_layer(path: Path, size: int) -> None:
    """A tar of 16 files that do not compress."""
    with written_tar(path) as archive:
        for number in range(16):
            add_file(archive, f"model/part-{number:02}.bin", size // 16, Noise(number, size // 16))


_WORDS = "alpha bravo config data edge flow gate host index job key load mesh node order pod queue rate shard".split()


def manifest_text(number: int) -> bytes:
    """A Kubernetes manifest of about 6 KB."""
    chance = random.Random(number)
    lines = [
        "apiVersion: apps/v1",
        "kind: Deployment",
        f"metadata:\n  name: app-{number}\n  namespace: team-{number % 40}",
        "spec:\n  template:\n    spec:\n      containers:",
    ]
    while sum(map(len, lines)) < 5600:
        word, other = chance.choice(_WORDS), chance.choice(_WORDS)
        lines.append(
            f"        - name: {word}-{other}\n          image: registry.example.com/{word}/{other}"
            f"@sha256:{chance.getrandbits(256):064x}\n          env:\n"
            f"            - name: {word.upper()}_{other.upper()}\n              value: {chance.getrandbits(64):016x}"
        )
    return "\n".join(lines).encode() + b"\n"


def write_many(path: Path, count: int) -> None:
    """A tar of so many manifests in 40 directories, below "manifests"."""
    with written_tar(path) as archive:
        add_directory(archive, "manifests")
        last = ""
        for number in range(count):
            text = manifest_text(number)
            folder = f"manifests/team-{number * 40 // count:02}"
            if folder != last:
                add_directory(archive, folder)
                last = folder
            add_file(archive, f"{folder}/app-{number:05}.yaml", len(text), io.BytesIO(text))


def log_lines(seed: int, size: int) -> Iterator[bytes]:
    """Lines of a log, as text that compresses to a fifth."""
    chance = random.Random(seed)
    known = [
        f"2026-03-{chance.randrange(1, 28):02}T{chance.randrange(24):02}:{chance.randrange(60):02}:00Z level=info "
        f"component={chance.choice(_WORDS)} request={chance.getrandbits(48):012x} status=200 "
        f'msg="{" ".join(chance.choices(_WORDS, k=6))}"\n'.encode()
        for _line in range(20_000)
    ]
    left = size
    while left > 0:
        piece = b"".join(chance.choices(known, k=8000))[:left]
        left -= len(piece)
        yield piece


def write_text(path: Path, size: int) -> None:
    """A tar of 24 logs, below "logs"."""
    with written_tar(path) as archive:
        add_directory(archive, "logs")
        for number in range(24):
            each = size // 24
            text = b"".join(log_lines(number, each))
            add_file(archive, f"logs/part-{number:02}.log", each, io.BytesIO(text))


def compress(path: Path, target: Path) -> None:
    with open(path, "rb") as source, open(target, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        for piece in _pieces(source):
            packed.write(piece)


def chart(number: int) -> bytes:
    """A packaged Helm chart of about 15 KB."""
    name = f"chart-{number:03}"
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        metadata = f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n"
        files = {"Chart.yaml": metadata.encode(), "values.yaml": b"replicas: 1\n"}
        files.update({f"templates/part-{part}.yaml": manifest_text(1000 * number + part) for part in range(12)})
        for path, content in files.items():
            add_file(archive, f"{name}/{path}", len(content), io.BytesIO(content))
    return gzip.compress(target.getvalue(), mtime=0)


def files_of(archive: bytes) -> list[tuple[str, int]]:
    """The names and sizes of the files in a packed archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return [(member.name, member.size) for member in opened if member.isfile()]


def manifest_of(host: str, repository: str, tag: str) -> bytes:
    """A manifest as a registry has it."""
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


def digest_of_file(path: Path) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in _pieces(stream):
            content.update(piece)
    return f"sha256:{content.hexdigest()}"


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    piece = stream.read(PIECE)
    while piece:
        yield piece
        piece = stream.read(PIECE)


class Seeder:
    """Puts blobs and manifests into a registry, without the code that is measured."""

    def __init__(self, host: str, repository: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=600)
        self._path = f"/v2/{repository}"

    def close(self) -> None:
        self._connection.close()

    def blob(self, content: bytes | Path, kind: str = OCTETS, annotations: Mapping[str, str] | None = None) -> Any:
        if isinstance(content, Path):
            digest, size = digest_of_file(content), content.stat().st_size
        else:
            digest, size = f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)
        location = self._request("POST", f"{self._path}/blobs/uploads/")
        location = re.sub(r"^https?://[^/]+", "", location)
        url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        headers = {"Content-Type": OCTETS, "Content-Length": str(size)}
        if isinstance(content, Path):
            with open(content, "rb") as stream:
                self._request("PUT", url, stream, headers)
        else:
            self._request("PUT", url, content, headers)
        descriptor: dict[str, Any] = {"mediaType": kind, "digest": digest, "size": size}
        if annotations:
            descriptor["annotations"] = dict(annotations)
        return descriptor

    def manifest(self, tag: str, layers: Iterable[Mapping[str, Any]], config: Mapping[str, Any] | None = None) -> str:
        config = config or self.blob(b"{}", EMPTY)
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(layers)}
        raw = json.dumps(document).encode()
        self._request("PUT", f"{self._path}/manifests/{tag}", raw, {"Content-Type": MANIFEST})
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"

    def _request(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> str:
        self._connection.request(method, url, body, dict(headers or {}))
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {url}: {response.status} {answer[:300]!r}")
        return response.headers.get("Location", "")
