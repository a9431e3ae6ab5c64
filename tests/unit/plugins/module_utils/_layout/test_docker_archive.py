# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of docker without an image layout, in the shapes that their writers give them.

The shapes are those of the source code: moby, image/tarexport/save.go (before version 25), containers/image,
docker/internal/tarfile/writer.go (podman save, skopeo), and go-containerregistry, pkg/v1/tarball/write.go (crane pull).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidContent,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import docker_archive
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.archive import ArchiveRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.archive_writer import WritableArchive
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import parse_manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import read_blob
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

VECTORS = Path(__file__).resolve().parents[4] / "vectors/archives"
Member = tuple[str, Any]


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer_of(text: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        info = tarfile.TarInfo("name.txt")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


BASE, TOP, OTHER = layer_of("base"), layer_of("top"), layer_of("other")


def config_of(*layers: bytes) -> bytes:
    digests = [digest_of(layer) for layer in layers]
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}}
    ).encode()


def write(path: Path, *members: Member) -> Path:
    """A tar file of these: bytes are files, texts are what symbolic links lead to, None is a folder."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            else:
                info.type = tarfile.SYMTYPE if content else tarfile.DIRTYPE
                info.linkname = content or ""
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


def described(*images: dict[str, Any]) -> Member:
    return "manifest.json", json.dumps(images).encode()


def of_docker(path: Path) -> Path:
    """docker save before version 25: a folder for each layer, and a link for one that is there already."""
    config = config_of(BASE, TOP, BASE)
    ids = [hex_of(text) for text in (b"first", b"second", b"third")]
    members: list[Member] = []
    for number, (own, layer) in enumerate(zip(ids, (BASE, TOP, f"../{ids[0]}/layer.tar"))):
        parent = {"parent": ids[number - 1]} if number else {}
        members += [
            (f"{own}/", None),
            (f"{own}/VERSION", b"1.0"),
            (f"{own}/json", json.dumps({"id": own, **parent}).encode()),
        ]
        members.append((f"{own}/layer.tar", layer))
    image = {
        "Config": f"{hex_of(config)}.json",
        "RepoTags": ["app:1.0", "app:latest"],
        "Layers": [f"{own}/layer.tar" for own in ids],
    }
    members += [
        (image["Config"], config),
        described(image),
        ("repositories", json.dumps({"app": {"1.0": ids[2]}}).encode()),
    ]
    return write(path, *members)


def of_podman(path: Path) -> Path:
    """podman save and skopeo: layers in the root by their digests, and links to them for older readers."""
    config = config_of(BASE, TOP, BASE)
    members: list[Member] = [(f"{hex_of(layer)}.tar", layer) for layer in (BASE, TOP)]
    members.append((f"{hex_of(config)}.json", config))
    for layer in (BASE, TOP):
        own = hex_of(b"id of " + layer)
        members += [(f"{own}/layer.tar", f"../{hex_of(layer)}.tar"), (f"{own}/VERSION", b"1.0"), (f"{own}/json", b"{}")]
    image = {
        "Config": f"{hex_of(config)}.json",
        "RepoTags": ["docker.io/library/app:1.0", "localhost:5000/app:latest"],
        "Layers": [f"{hex_of(layer)}.tar" for layer in (BASE, TOP, BASE)],
    }
    return write(path, *members, described(image), ("repositories", b"{}"))


def of_crane(path: Path) -> Path:
    """crane pull: the config by its whole digest, compressed layers by theirs."""
    config = config_of(BASE, TOP, BASE)
    packed = [gzip.compress(layer, mtime=0) for layer in (BASE, TOP)]
    members = [(f"{hex_of(layer)}.tar.gz", layer) for layer in packed]
    names = [name for name, _layer in members]
    image = {"Config": digest_of(config), "RepoTags": ["app:1.0", "app:latest"], "Layers": [*names, names[0]]}
    return write(path, (digest_of(config), config), *members, described(image))


def at(path: Path) -> ArchiveRepository:
    return ArchiveRepository(Reference(layout=str(path), is_archive=True))


SHAPES = [of_docker, of_podman, of_crane]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_of_docker_is_read_and_copied(tmp_path: Path, shape: Callable[[Path], Path]) -> None:
    reader = at(shape(tmp_path / "saved.tar"))
    assert reader.list_tags() == ["1.0", "latest"]
    manifest = reader.fetch_manifest("1.0")
    assert reader.resolve("latest") == manifest.descriptor == reader.resolve(manifest.descriptor.digest)
    assert parse_manifest(manifest.raw, "", "it") == manifest and manifest.config is not None
    assert b"".join(read_blob(reader, manifest.config)) == config_of(BASE, TOP, BASE)
    suffix, unpack = ("+gzip", gzip.decompress) if shape is of_crane else ("", bytes)
    assert {layer.media_type for layer in manifest.layers} == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}
    assert [unpack(b"".join(read_blob(reader, layer))) for layer in manifest.layers] == [BASE, TOP, BASE]
    assert b"".join(reader.stream_blob(manifest.layers[1], 10)) == b"".join(reader.stream_blob(manifest.layers[1]))[10:]
    assert reader.list_referrers(manifest.descriptor.digest) == []
    target = f"oci-layout:{tmp_path}/layout"
    done = copy(CopyOptions(ReferenceOptions(ref=f"oci-archive:{tmp_path}/saved.tar:1.0"), target))
    assert (
        done["changed"]
        and LayoutRepository(Reference(layout=str(tmp_path / "layout"))).fetch_manifest("1.0") == manifest
    )


def test_the_same_image_has_the_same_digest_in_whatever_it_is_saved(tmp_path: Path) -> None:
    found = [at(shape(tmp_path / "saved.tar")).resolve("1.0").digest for shape in (of_docker, of_podman, of_docker)]
    assert len(set(found)) == 1


def test_what_podman_itself_saved(tmp_path: Path) -> None:
    """One image with two names."""
    shutil.copy(VECTORS / "podman-save-4.3.1.tar", tmp_path / "saved.tar")
    reader = at(tmp_path / "saved.tar")
    assert reader.list_tags() == ["1.0", "2.0"]
    manifest = reader.fetch_manifest("2.0")
    assert manifest == reader.fetch_manifest("1.0")
    (layer,) = manifest.layers
    with tarfile.open(fileobj=io.BytesIO(b"".join(read_blob(reader, layer)))) as tar:
        assert tar.getnames() == ["name.txt"]


def test_several_images_share_layers(tmp_path: Path) -> None:
    configs = [config_of(BASE, TOP), config_of(BASE, OTHER)]
    images = [
        {"Config": f"{hex_of(config)}.json", "RepoTags": names, "Layers": [f"{hex_of(each)}.tar" for each in layers]}
        for config, names, layers in zip(configs, (["app:1.0"], None), ((BASE, TOP), (BASE, OTHER)))
    ]
    files = [(f"{hex_of(data)}.tar", data) for data in (BASE, TOP, OTHER)]
    files += [(f"{hex_of(data)}.json", data) for data in configs]
    path = write(tmp_path / "saved.tar", *files, described(*images))
    reader = at(path)
    assert reader.list_tags() == ["1.0"] and len(reader._index().entries) == 2
    unnamed = next(each for each in reader._index().entries if not each.annotations)
    layers = reader.fetch_manifest(unnamed.digest).layers
    assert [b"".join(read_blob(reader, layer)) for layer in layers] == [BASE, OTHER]


def test_only_headers_and_configs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = of_podman(tmp_path / "saved.tar")
    opened: list[int] = []
    original = ArchiveRepository._index
    monkeypatch.setattr(docker_archive, "pieces", lambda handle, size: opened.append(size) or iter(()))
    reader = at(path)
    assert original(reader).tags.keys() == {"1.0", "latest"}
    assert opened == [], "the digests of layers that are not compressed are in the config"


def test_nothing_is_added_to_an_archive_of_docker(tmp_path: Path) -> None:
    path = of_podman(tmp_path / "saved.tar")
    before = path.read_bytes()
    manifest = at(path).fetch_manifest("1.0")
    with pytest.raises(StorageError, match="Nothing can be added to"):
        WritableArchive(Reference(layout=str(path), is_archive=True)).push_manifest(manifest, "2.0")
    assert path.read_bytes() == before


def test_a_layer_that_is_not_what_the_config_says(tmp_path: Path) -> None:
    config = config_of(BASE)
    image = {"Config": "c.json", "RepoTags": ["app:1.0"], "Layers": ["l.tar"]}
    reader = at(write(tmp_path / "saved.tar", ("c.json", config), ("l.tar", TOP), described(image)))
    (layer,) = reader.fetch_manifest("1.0").layers
    with pytest.raises(DigestMismatch):
        b"".join(read_blob(reader, layer))


IMAGE = {"Config": "c.json", "RepoTags": ["app:1.0"], "Layers": ["l.tar"]}
FILES: list[Member] = [("c.json", config_of(BASE)), ("l.tar", BASE)]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("manifest.json", b"{}")], "its manifest.json is not docker's list of images"),
        ([("manifest.json", b"[")], "its manifest.json is not docker's list of images"),
        ([("manifest.json", b"[1]")], "its manifest.json is not docker's list of images"),
        ([("manifest.json", b"[" * 200 + b"]" * 200)], "its manifest.json is not docker's list of images"),
        ([*FILES, described({**IMAGE, "Config": None})], "Config of image 0 is not as docker writes it"),
        ([*FILES, described({**IMAGE, "Layers": "l.tar"})], "Layers of image 0 is not as docker writes it"),
        ([*FILES, described({**IMAGE, "RepoTags": [1]})], "RepoTags of image 0 is not as docker writes it"),
        ([*FILES, described({**IMAGE, "Layers": []})], "image 0 has 0 layers, and digests of 1 in c.json"),
        ([("c.json", b"{}"), described({**IMAGE, "Layers": ["l.tar"]})], "image 0 has 1 layers, and digests of 0"),
        ([("c.json", b"[]"), described(IMAGE)], "The file c.json in the archive"),
        ([FILES[0], described(IMAGE)], "names the file 'l.tar', which is not in it"),
        ([FILES[1], described(IMAGE)], "names the file 'c.json', which is not in it"),
        ([FILES[0], ("l.tar", "/etc/passwd"), described(IMAGE)], "names the file 'l.tar', which is not in it"),
        ([FILES[0], ("l.tar", "../../l.tar"), described(IMAGE)], "names the file 'l.tar', which is not in it"),
        ([FILES[0], ("l.tar", "l.tar"), described(IMAGE)], "names the file 'l.tar', which is not in it"),
        ([*FILES, ("l.tar", TOP), described(IMAGE)], "it has 'l.tar' twice"),
        ([*FILES, described(IMAGE), described(IMAGE)], "it has 'manifest.json' twice"),
        ([*FILES, described(*[IMAGE] * 4)], "more than 3 images"),
        ([*FILES, described({**IMAGE, "Layers": ["l.tar"] * 6})], "image 0 has 6 layers"),
        ([("c.json", config_of(*[BASE] * 6)), FILES[1], described({**IMAGE, "Layers": ["l.tar"] * 6})], "5 layers"),
        ([*FILES, described({**IMAGE, "RepoTags": [f"a:{number}" for number in range(9)]})], "more than 8 names"),
        ([("c.json", config_of(BASE) + b" " * 5000), FILES[1], described(IMAGE)], "more than the 4000 bytes allowed"),
    ],
)  # fmt: skip
def test_what_docker_does_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[Member], words: str
) -> None:
    for name, value in (("MAX_IMAGES", 3), ("MAX_LAYERS", 5), ("MAX_NAMES", 8), ("MAX_CONFIGS", 4000)):
        monkeypatch.setattr(docker_archive, name, value)
    path = write(tmp_path / "saved.tar", *members)
    with pytest.raises(InvalidContent) as raised:
        at(path).list_tags()
    assert words in str(raised.value) and str(path) in str(raised.value)


def test_an_archive_of_docker_that_was_cut_short(tmp_path: Path) -> None:
    path = of_docker(tmp_path / "saved.tar")
    whole = path.read_bytes().rstrip(b"\0")
    for length in range(0, len(whole), 512):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidContent, match="truncated"):
            at(path).list_tags()
