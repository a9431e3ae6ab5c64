# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image layouts between this collection and oras, skopeo and crane, in both directions: the same bytes each time."""

from __future__ import annotations

import fcntl
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ConnectionFailed, NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource, read_blob

pytestmark = pytest.mark.once

CONTENT = b"interoperable\n" * 5000
IMAGE_CONFIG = canonical_json({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})


def at(root: Path) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(root)))


def put(repository: LayoutRepository, data: bytes, media_type: str, **annotations: str) -> Descriptor:
    found = Descriptor(media_type, digest_of(data), len(data), annotations=annotations)
    repository.push_blob(BlobSource(found, lambda: io.BytesIO(data)))
    return found


def push_document(repository: LayoutRepository, media_type: str, tag: str, **fields: Any) -> Manifest:
    raw = canonical_json({"schemaVersion": 2, "mediaType": media_type, **fields})
    manifest = parse_manifest(raw, "", "the manifest")
    repository.push_manifest(manifest, tag)
    return manifest


def push(repository: LayoutRepository, tag: str, content: bytes = CONTENT, **fields: Any) -> Manifest:
    """An artifact with one file, as oras would push it."""
    config = put(repository, b"{}", media.OCI_EMPTY)
    layer = put(repository, content, "text/plain", **{media.ANNOTATION_TITLE: "file.txt"})
    fields = {"artifactType": "application/vnd.example", **fields}
    return push_document(
        repository, media.OCI_MANIFEST, tag, config=config.as_json(), layers=[layer.as_json()], **fields
    )


def push_image(repository: LayoutRepository, tag: str, architecture: str = "amd64") -> Manifest:
    """An image without layers for a platform."""
    document = {**json.loads(IMAGE_CONFIG), "architecture": architecture}
    config = put(repository, canonical_json(document), media.OCI_CONFIG)
    return push_document(repository, media.OCI_MANIFEST, tag, config=config.as_json(), layers=[])


def push_index(repository: LayoutRepository, tag: str) -> Manifest:
    children = []
    for architecture in ("amd64", "arm64"):
        child = push_image(repository, "", architecture).descriptor.as_json()
        children.append({**child, "platform": {"os": "linux", "architecture": architecture}})
    return push_document(repository, media.OCI_INDEX, tag, manifests=children)


def assert_same(repository: LayoutRepository, tag: str, wanted: Manifest, source: LayoutRepository) -> None:
    """The manifest and all that it names have arrived, byte for byte."""
    found = repository.fetch_manifest(tag)
    assert found.raw == wanted.raw
    for part in [*([found.config] if found.config else []), *found.layers]:
        assert b"".join(read_blob(repository, part)) == b"".join(read_blob(source, part))
    for child in found.manifests:
        assert_same(repository, child.digest, source.fetch_manifest(child.digest), source)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return tmp_path / "ours"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return tmp_path / "theirs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file.txt").write_bytes(CONTENT)
    return tmp_path


# -- oras


def test_oras_reads_what_we_write(tools: Tools, ours: Path, tmp_path: Path) -> None:
    manifest = push(at(ours), "1.0")
    push(at(ours), "2.0", b"other")
    assert tools.run("oras", "repo", "tags", "--oci-layout", ours).stdout.split() == ["1.0", "2.0"]
    fetched = tools.run("oras", "manifest", "fetch", "--oci-layout", f"{ours}:1.0", "-o", tmp_path / "raw")
    assert (tmp_path / "raw").read_bytes() == manifest.raw, fetched
    tools.run("oras", "pull", "--oci-layout", f"{ours}:1.0", "-o", tmp_path / "out")
    assert (tmp_path / "out/file.txt").read_bytes() == CONTENT
    tools.run("oras", "pull", "--oci-layout", f"{ours}@{manifest.descriptor.digest}", "-o", tmp_path / "again")
    assert (tmp_path / "again/file.txt").read_bytes() == CONTENT


def test_we_read_what_oras_writes(tools: Tools, theirs: Path, file: Path) -> None:
    tools.run("oras", "push", "--oci-layout", f"{theirs}:1.0", "file.txt:text/plain", cwd=file)
    tools.run("oras", "tag", "--oci-layout", f"{theirs}:1.0", "stable", "latest")
    repository = at(theirs)
    assert repository.list_tags() == ["1.0", "latest", "stable"]
    manifest = repository.fetch_manifest("1.0")
    assert manifest.raw == (theirs / "blobs/sha256" / manifest.descriptor.digest[7:]).read_bytes()
    assert b"".join(read_blob(repository, manifest.layers[0])) == CONTENT
    assert repository.resolve("") == manifest.descriptor


def test_a_tag_moves_as_oras_moves_it(tools: Tools, ours: Path, theirs: Path, file: Path) -> None:
    for content in ("old", "new"):
        push(at(ours), "1", content.encode())
        (file / "file.txt").write_text(content)
        tools.run("oras", "push", "--oci-layout", f"{theirs}:1", "file.txt:text/plain", cwd=file)

    def names(root: Path) -> list[bool]:
        found = json.loads((root / "index.json").read_bytes())["manifests"]
        return sorted(media.ANNOTATION_REF_NAME in entry.get("annotations", {}) for entry in found)

    assert names(ours) == names(theirs) == [False, True]


def test_oras_and_we_take_turns_in_one_layout(tools: Tools, ours: Path, file: Path, tmp_path: Path) -> None:
    first = push(at(ours), "first")
    tools.run("oras", "push", "--oci-layout", f"{ours}:second", "file.txt:text/plain", cwd=file)
    third = push(at(ours), "third", b"third")
    tools.run("oras", "tag", "--oci-layout", f"{ours}:third", "fourth")
    repository = at(ours)
    assert repository.list_tags() == ["first", "fourth", "second", "third"]
    assert repository.fetch_manifest("first") == first
    assert repository.fetch_manifest("fourth") == third
    assert sorted(tools.run("oras", "repo", "tags", "--oci-layout", ours).stdout.split()) == repository.list_tags()


def test_referrers_in_both_directions(tools: Tools, ours: Path, file: Path) -> None:
    subject = push(at(ours), "1.0")
    digest = subject.descriptor.digest
    attach = ("oras", "attach", "--oci-layout", f"{ours}:1.0", "--artifact-type", "example/theirs", "file.txt")
    tools.run(*attach, cwd=file)
    mine = push(at(ours), "", b"sbom", subject=subject.descriptor.as_json(), artifactType="example/ours")
    found = {item.artifact_type: item.digest for item in at(ours).list_referrers(digest)}
    assert found.keys() == {"example/theirs", "example/ours"}
    assert found["example/ours"] == mine.descriptor.digest
    shown = json.loads(tools.run("oras", "discover", "--oci-layout", "--format", "json", f"{ours}@{digest}").stdout)
    # called "manifests" by oras 1.2
    referrers = shown.get("referrers") or shown["manifests"]
    assert {item["artifactType"]: item["digest"] for item in referrers} == found
    assert [item.digest for item in at(ours).list_referrers(digest, "example/theirs")] == [found["example/theirs"]]


def test_referrers_that_oras_copied(tools: Tools, ours: Path, theirs: Path) -> None:
    subject = push(at(ours), "1.0")
    mine = push(at(ours), "", b"sbom", subject=subject.descriptor.as_json(), artifactType="example/ours")
    tools.run("oras", "cp", "-r", "--from-oci-layout", f"{ours}:1.0", "--to-oci-layout", f"{theirs}:1.0")
    found = at(theirs).list_referrers(subject.descriptor.digest)
    assert [item.digest for item in found] == [mine.descriptor.digest]
    assert_same(at(theirs), "1.0", subject, at(ours))
    assert_same(at(theirs), mine.descriptor.digest, mine, at(ours))


def test_oras_copies_an_index_to_a_registry_and_back(
    tools: Tools, ours: Path, theirs: Path, registry: RegistryServer
) -> None:
    index = push_index(at(ours), "multi")
    remote = f"{registry.host}/layout/multi:1"
    tools.run("oras", "cp", "--from-oci-layout", "--to-plain-http", f"{ours}:multi", remote)
    tools.run("oras", "cp", "--from-plain-http", "--to-oci-layout", remote, f"{theirs}:back")
    assert_same(at(theirs), "back", index, at(ours))


# -- skopeo


def test_skopeo_reads_what_we_write(tools: Tools, ours: Path, theirs: Path) -> None:
    manifest = push(at(ours), "1.0")
    push(at(ours), "2.0", b"other")
    raw = tools.run("skopeo", "inspect", "--raw", f"oci:{ours}:1.0").stdout
    assert raw.encode() == manifest.raw
    tools.run("skopeo", "copy", f"oci:{ours}:1.0", f"oci:{theirs}:copied")
    assert_same(at(theirs), "copied", manifest, at(ours))


def test_we_read_what_skopeo_writes(tools: Tools, ours: Path, theirs: Path) -> None:
    source = at(ours)
    one, two, index = push(source, "one"), push(source, "two", b"two"), push_index(source, "index")
    tools.run("skopeo", "copy", f"oci:{ours}:one", f"oci:{theirs}:docker.io/library/app:1.0")
    assert at(theirs).list_tags() == ["1.0"]
    assert_same(at(theirs), "1.0", one, source)
    tools.run("skopeo", "copy", f"oci:{ours}:two", f"oci:{theirs}:2.0")
    tools.run("skopeo", "copy", "--all", f"oci:{ours}:index", f"oci:{theirs}:index")
    assert at(theirs).list_tags() == ["1.0", "2.0", "index"]
    assert_same(at(theirs), "2.0", two, source)
    assert_same(at(theirs), "index", index, source)


def test_a_single_image_without_a_name(tools: Tools, ours: Path, theirs: Path) -> None:
    manifest = push(at(ours), "")
    tools.run("skopeo", "copy", f"oci:{ours}", f"oci:{theirs}")
    assert at(theirs).resolve("") == manifest.descriptor
    with pytest.raises(NotFound):
        at(theirs).resolve("latest")
    assert_same(at(theirs), "", manifest, at(ours))


def test_skopeo_and_we_take_turns_in_one_layout(tools: Tools, ours: Path, theirs: Path) -> None:
    manifest = push(at(theirs), "source")
    tools.run("skopeo", "copy", f"oci:{theirs}:source", f"oci:{ours}:a")
    mine = push(at(ours), "b", b"mine")
    tools.run("skopeo", "copy", f"oci:{theirs}:source", f"oci:{ours}:c")
    assert at(ours).list_tags() == ["a", "b", "c"]
    assert_same(at(ours), "c", manifest, at(theirs))
    assert at(ours).fetch_manifest("b") == mine
    moved = push(at(ours), "a", b"moved")
    assert tools.run("skopeo", "inspect", "--raw", f"oci:{ours}:a").stdout.encode() == moved.raw


# -- crane


def test_crane_reads_what_we_write(tools: Tools, ours: Path, theirs: Path, registry: RegistryServer) -> None:
    manifest = push_image(at(ours), "1.0")
    remote = f"{registry.host}/layout/crane:1.0"
    pushed = tools.run("crane", "push", "--insecure", ours, remote).stdout.strip()
    assert pushed.endswith(manifest.descriptor.digest)
    assert tools.run("crane", "manifest", "--insecure", remote).stdout.encode() == manifest.raw
    assert "PASS" in tools.run("crane", "validate", "--insecure", "--remote", remote).stdout


def test_we_read_what_crane_writes(tools: Tools, ours: Path, theirs: Path, registry: RegistryServer) -> None:
    source = at(ours)
    artifact, index = push(source, "artifact"), push_index(source, "index")
    for tag in ("artifact", "index"):
        remote = f"{registry.host}/layout/pulled:{tag}"
        tools.run("oras", "cp", "--from-oci-layout", "--to-plain-http", f"{ours}:{tag}", remote)
    place = f"{registry.host}/layout/pulled"
    tools.run("crane", "pull", "--insecure", "--format", "oci", f"{place}:artifact", theirs)
    tools.run("crane", "pull", "--insecure", "--format", "oci", f"{place}:artifact", theirs)
    assert len(json.loads((theirs / "index.json").read_bytes())["manifests"]) == 2, "crane lists it twice"
    assert at(theirs).list_tags() == []
    assert_same(at(theirs), "", artifact, source)
    assert_same(at(theirs), artifact.descriptor.digest, artifact, source)
    tools.run("crane", "pull", "--insecure", "--format", "oci", "--annotate-ref", f"{place}:index", theirs)
    assert at(theirs).list_tags() == ["index"]
    assert_same(at(theirs), "index", index, source)


def test_crane_and_we_take_turns_in_one_layout(
    tools: Tools, ours: Path, theirs: Path, registry: RegistryServer
) -> None:
    image = push_image(at(theirs), "1")
    remote = f"{registry.host}/layout/turns:1"
    tools.run("crane", "push", "--insecure", theirs, remote)
    mine = push_image(at(ours), "mine", "arm64")
    tools.run("crane", "pull", "--insecure", "--format", "oci", remote, ours)
    at(ours).push_manifest(at(ours).fetch_manifest(image.descriptor.digest), "tagged")
    assert at(ours).list_tags() == ["mine", "tagged"]
    assert_same(at(ours), "tagged", image, at(theirs))
    assert at(ours).fetch_manifest("mine") == mine


# -- what is under way


def test_what_is_under_way_is_in_nobodys_way(
    tools: Tools, ours: Path, theirs: Path, file: Path, registry: RegistryServer
) -> None:
    """A broken download and a killed writer have left their files; another writer holds the lock."""
    image = push_image(at(ours), "1.0")
    unlisted = digest_of(b"nobody lists this")
    at(ours).store.add(Descriptor("text/plain", unlisted, 17), [b"nobody lists this"])
    missing = Descriptor("text/plain", digest_of(CONTENT), len(CONTENT))

    def broken(offset: int) -> Any:
        yield CONTENT[offset:100]
        raise ConnectionFailed("The connection broke.")

    with pytest.raises(ConnectionFailed):
        at(ours).store.fetch(missing, broken, "it")
    (ours / ".ingest/killed-0123456789abcdef.tmp").write_bytes(b"half")
    with (ours / "oci-layout").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        tools.run("skopeo", "copy", f"oci:{ours}:1.0", f"oci:{theirs}:1.0")
        tools.run("oras", "manifest", "fetch", "--oci-layout", f"{ours}:1.0")
        tools.run("crane", "push", "--insecure", ours, f"{registry.host}/layout/busy:1")
        collected = tools.run("crane", "layout", "gc", ours)
        tools.run("oras", "push", "--oci-layout", f"{ours}:2.0", "file.txt:text/plain", cwd=file)
    assert collected.stderr.split() == ["garbage", "collecting:", unlisted]
    assert_same(at(theirs), "1.0", image, at(ours))
    assert at(ours).list_tags() == ["1.0", "2.0"]
