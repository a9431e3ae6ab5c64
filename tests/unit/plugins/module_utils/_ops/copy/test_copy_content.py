# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an artifact is copied, and how its bytes travel: some platforms, what the other side lacks, in one buffer."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidContent,
    InvalidOption,
    NotFound,
    OciError,
    PushFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.archive_writer import WritableArchive
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource, Repository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.blob_stream import (
    BUFFER_SIZE,
    BlobStreams,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.platforms import ABOUT, ChosenPlatforms
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
    Seen,
)

MIB = 1024 * 1024


def at(path: Path) -> Repository:
    reference = parse_reference(place(path))
    return WritableArchive(reference) if reference.is_archive else LayoutRepository(reference)


def place(path: Path) -> str:
    return f"oci-{'archive' if path.suffix == '.tar' else 'layout'}:{path}"


def push(repository: Repository, *layers: bytes, tag: str = "", **fields: Any) -> Manifest:
    sources = [
        BlobSource(Descriptor("text/plain", digest_of(data), len(data)), lambda data=data: io.BytesIO(data))
        for data in (b"{}", *layers)
    ]
    for source in sources:
        repository.push_blob(source)
    config, *listed = (source.descriptor.as_json() for source in sources)
    return put(repository, media.OCI_MANIFEST, tag, config=config, layers=listed, **fields)


def put(repository: Repository, media_type: str, tag: str, **fields: Any) -> Manifest:
    manifest = parse_manifest(canonical_json({"schemaVersion": 2, "mediaType": media_type, **fields}), "", "it")
    repository.push_manifest(manifest, tag)
    return manifest


def listed(manifest: Manifest, platform: str = "", **annotations: str) -> dict[str, Any]:
    entry = manifest.descriptor.as_json()
    if platform:
        entry["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/")))
    if annotations:
        entry["annotations"] = {ABOUT: annotations["about"]}
    return entry


def run(source: str, to: str, *, retries: int = 0, **options: Any) -> dict[str, Any]:
    access = ConnectionOptions(insecure=True, retries=retries)
    return copy(CopyOptions(ReferenceOptions(ref=source), to, connection=access, to_connection=access, **options))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


# -- platforms


class Images:
    """An index as BuildKit writes it, with a chart beside the images, and an SBOM attached to each image."""

    def __init__(self, repository: Repository) -> None:
        with repository.batch():
            self.images = {name: push(repository, name.encode()) for name in ("linux/amd64", "linux/arm/v7")}
            self.provenance = {name: push(repository, b"about " + name.encode()) for name in self.images}
            self.chart = push(repository, b"chart")
            children = [listed(image, name) for name, image in self.images.items()]
            for name, each in self.provenance.items():
                about = self.images[name].descriptor.digest
                children.append(listed(each, "unknown/unknown", about=about))
            self.index = put(repository, media.OCI_INDEX, "1.0.0", manifests=[*children, listed(self.chart)])
            self.sboms = {
                name: push(repository, b"sbom " + name.encode(), subject=image.descriptor.as_json())
                for name, image in self.images.items()
            }

    def of(self, *names: str) -> set[str]:
        """The digests of what a copy of these platforms has."""
        found = [self.index, self.chart]
        for name in names:
            found += [self.images[name], self.provenance[name], self.sboms[name]]
        return {each.descriptor.digest for each in found}


@pytest.mark.parametrize("target", ["target", "target.tar"])
def test_some_platforms_with_what_refers_to_them(tmp_path: Path, target: str) -> None:
    images = Images(at(tmp_path / "source"))
    ref, to = f"{place(tmp_path / 'source')}:1.0.0", place(tmp_path / target)
    done = run(ref, to, platforms=["linux/arm"])
    assert {each["digest"] for each in done["copied"]} == images.of("linux/arm/v7"), "linux/arm is linux/arm/v7"
    assert at(tmp_path / target).fetch_manifest("1.0.0").raw == images.index.raw
    assert not run(ref, to, platforms=["linux/arm"])["changed"]
    with pytest.raises(NotFound, match="name them in 'platforms'"):
        run(f"{to}:1.0.0", place(tmp_path / "next"))
    assert run(f"{to}:1.0.0", place(tmp_path / "next"), platforms=["linux/arm"])["changed"]
    # the tag stands there already: what the earlier copy left out is noticed all the same
    more = run(ref, to)
    assert {each["digest"] for each in more["copied"]} == images.of(*images.images) - images.of("linux/arm/v7")
    assert not run(ref, to)["changed"]
    assert run(f"{to}:1.0.0", place(tmp_path / "whole"))["present"] == 0


def test_platforms_that_are_not_there(tmp_path: Path) -> None:
    Images(at(tmp_path / "source"))
    ref = f"{place(tmp_path / 'source')}:1.0.0"
    with pytest.raises(InvalidContent, match="no manifest for linux/s390x: it has linux/amd64, linux/arm/v7"):
        run(ref, place(tmp_path / "target"), platforms=["linux/s390x"])
    with pytest.raises(InvalidOption, match="is not a platform"):
        run("registry.example.com/x:1", place(tmp_path / "target"), platforms=["amd64"])
    assert not (tmp_path / "target").exists()
    done = run(ref, place(tmp_path / "target"), platforms=["linux/amd64", "linux/s390x"])
    assert len(done["warnings"]) == 1 and "no manifest for linux/s390x" in done["warnings"][0]
    push(at(tmp_path / "source"), b"one", tag="single")
    assert run(f"{place(tmp_path / 'source')}:single", place(tmp_path / "target"), platforms=["linux/amd64"])["changed"]
    assert ChosenPlatforms([]).of([Descriptor("", "sha256:x", 1)], "it"), "without platforms, all"


def test_a_registry_that_refuses_an_index_without_all_platforms(tmp_path: Path, server: FaultServer) -> None:
    images = Images(at(tmp_path / "source"))
    ref, to = f"{place(tmp_path / 'source')}:1.0.0", f"{server.host}/org/app"
    refusal = Answer(400, {}, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}')
    server.script("PUT", f"/manifests/{images.index.descriptor.digest}", refusal)
    with pytest.raises(PushFailed, match="MANIFEST_BLOB_UNKNOWN.*2 were not copied") as raised:
        run(ref, to, platforms=["linux/amd64"])
    assert "by its digest" in raised.value.hint and "1.0.0" not in server.tags
    assert run(ref, to, platforms=["linux/amd64"])["changed"] and server.tags["1.0.0"] == images.index.descriptor.digest
    assert run(ref, to)["changed"], "the other platform is missing"
    assert not run(ref, to)["changed"]


# -- what the other side lacks


class Releases:
    """Two releases that share a layer; what is attached to the second shares its config."""

    def __init__(self, repository: Repository) -> None:
        self.shared, self.layers = b"shared " * 1000, (b"first", b"second")
        with repository.batch():
            self.first, self.second = (
                push(repository, self.shared, layer, tag=f"1.0.{number}") for number, layer in enumerate(self.layers)
            )
            self.sbom = push(repository, b"sbom", subject=self.second.descriptor.as_json())

    @property
    def new(self) -> set[str]:
        return {digest_of(b"second"), digest_of(b"sbom")}


@pytest.mark.parametrize("target", ["target", "target.tar"])
@pytest.mark.parametrize("base", ["base", "base.tar", "digest of the artifact", "digests of blobs"])
def test_only_what_the_other_side_lacks(tmp_path: Path, server: FaultServer, base: str, target: str) -> None:
    releases = Releases(at(tmp_path / "source"))
    ref, registry = place(tmp_path / "source"), f"{server.host}/org/app"
    run(f"{ref}:1.0.0", registry)
    differential = {
        "digest of the artifact": [releases.first.descriptor.digest],
        "digests of blobs": [blob.digest for blob in (releases.first.config, *releases.first.layers) if blob],
    }.get(base)
    if differential is None:
        differential = [place(tmp_path / base)]
        run(f"{ref}:1.0.0", differential[0])
    to = place(tmp_path / target)
    done = run(f"{ref}:1.0.1", to, differential=differential)
    # the config and the shared layer
    assert done["blobs"] == {"existed": 0, "mounted": 0, "uploaded": 2, "left_out": 2}
    held = {digest for digest in (*releases.new, digest_of(releases.shared), digest_of(b"{}"))
            if at(tmp_path / target).blob_exists(Descriptor("", digest, _size_of(releases, digest)))}  # fmt: skip
    assert held == releases.new
    assert at(tmp_path / target).fetch_manifest("1.0.1") == releases.second
    assert not run(f"{ref}:1.0.1", to, differential=differential)["changed"]
    # what was left out is fetched from where it is
    carried = run(f"{to}:1.0.1", registry)
    assert carried["blobs"] == {"existed": 2, "mounted": 0, "uploaded": 2}
    assert server.tags["1.0.1"] == releases.second.descriptor.digest
    for kind in ("whole", "whole.tar"):
        run(f"{ref}:1.0.0", place(tmp_path / kind))
        assert run(f"{to}:1.0.1", place(tmp_path / kind))["blobs"]["existed"] == 2
        assert run(f"{place(tmp_path / kind)}:1.0.1", place(tmp_path / f"from-{kind}"))["changed"]
    # the same place, completed
    assert run(f"{ref}:1.0.1", to)["changed"]
    assert run(f"{to}:1.0.1", place(tmp_path / "complete"))["blobs"]["uploaded"] == 4


@pytest.mark.parametrize("target", ["target", "target.tar"])
def test_another_tag_of_what_is_not_there_in_full(tmp_path: Path, target: str) -> None:
    """Within one layout or archive, a copy moves the tag alone."""
    Images(at(tmp_path / "images"))
    releases = Releases(at(tmp_path / "releases"))
    to = place(tmp_path / target)
    run(f"{place(tmp_path / 'images')}:1.0.0", to, platforms=["linux/amd64"])
    run(f"{place(tmp_path / 'releases')}:1.0.1", to, differential=[releases.first.descriptor.digest])
    for tag in ("1.0.0", "1.0.1"):
        done = run(f"{to}:{tag}", f"{to}:{tag}-stable")
        assert (done["copied"], done["tags"]) == ([], {f"{tag}-stable": "created"})
        assert at(tmp_path / target).resolve(f"{tag}-stable") == at(tmp_path / target).resolve(tag)
        assert not run(f"{to}:{tag}", f"{to}:{tag}-stable")["changed"]
    with pytest.raises(NotFound, match="name them in 'platforms'"):
        run(f"{to}:1.0.0-stable", place(tmp_path / "next"))


def _size_of(releases: Releases, digest: str) -> int:
    known = (b"{}", b"sbom", releases.shared, *releases.layers)
    return next(len(data) for data in known if digest_of(data) == digest)


def test_what_neither_side_has(tmp_path: Path, server: FaultServer) -> None:
    releases = Releases(at(tmp_path / "source"))
    ref, to = f"{place(tmp_path / 'source')}:1.0.1", place(tmp_path / "target.tar")
    run(ref, to, differential=[releases.first.descriptor.digest])
    with pytest.raises(InvalidContent, match="2 of the 4 blobs .* neither in") as raised:
        run(f"{to}:1.0.1", f"{server.host}/org/app")
    assert digest_of(releases.shared) in str(raised.value) and "'differential'" in raised.value.hint
    assert not server.requests("POST") and not server.requests("PUT")


@pytest.mark.parametrize(
    ("entry", "error", "said"),
    [
        ("registry.example.com/x:1", InvalidOption, "wanted a layout or an archive"),
        ("oci-archive:/media/last.tar:1.0.0", InvalidOption, "without a tag"),
        ("oci-archive:/nowhere/last.tar", NotFound, "the file does not exist"),
        ("user:secret@registry.example.com/x", OciError, "before its host"),
    ],
)
def test_another_side_that_cannot_be(tmp_path: Path, entry: str, error: type[OciError], said: str) -> None:
    push(at(tmp_path / "source"), b"it", tag="1")
    with pytest.raises(error, match=said) as raised:
        run(f"{place(tmp_path / 'source')}:1", place(tmp_path / "target"), differential=[entry])
    assert "secret" not in str(raised.value) and not (tmp_path / "target").exists()


def test_a_registry_is_no_place_for_a_difference(tmp_path: Path, server: FaultServer) -> None:
    manifest = push(at(tmp_path / "source"), b"it", tag="1")
    with pytest.raises(InvalidOption, match="is a registry"):
        run(f"{place(tmp_path / 'source')}:1", f"{server.host}/x", differential=[manifest.descriptor.digest])
    assert not server.requests("POST") and not server.requests("PUT")


# -- how bytes travel


def large(server: FaultServer, data: bytes) -> str:
    """An artifact with one large layer in a registry."""
    layer, config = server.add_blob(data), server.add_blob(b"{}")
    parts = {
        "config": {"mediaType": media.OCI_EMPTY, "digest": config, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": layer, "size": len(data)}],
    }
    server.add_manifest(canonical_json({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, **parts}), "1")
    return layer


DATA = b"".join(number.to_bytes(4, "big") for number in range(5 * MIB // 4 + 7))


def test_a_source_that_breaks_off_is_asked_for_the_rest_in_one_upload(server: FaultServer) -> None:
    layer = large(server, DATA)
    server.script("GET", f"/org/app/blobs/{layer}", Answer(200, {}, DATA, cut=2 * MIB))
    with FaultServer() as target:
        run(f"{server.host}/org/app:1", f"{target.host}/org/app", retries=2)
        assert target.blobs[layer] == DATA
        assert len(target.requests("PUT", layer[7:])) == 1
    ranges = [seen.headers.get("Range") for seen in server.requests("GET", layer)]
    assert ranges == [None, f"bytes={2 * MIB}-{len(DATA) - 1}"]


def test_an_upload_of_other_content_is_never_completed(server: FaultServer) -> None:
    """The target, which would have to compare the digest itself, never gets the last bytes."""
    layer = large(server, DATA)
    server.always("GET", f"/org/app/blobs/{layer}", Answer(200, {}, DATA[:-1] + b"?"))
    with FaultServer() as target:
        received: list[Seen] = []
        target.script("PUT", layer[7:], lambda seen: received.append(seen) or Answer(201))
        with pytest.raises(DigestMismatch):
            run(f"{server.host}/org/app:1", f"{target.host}/org/app")
        assert all(len(seen.body) < len(DATA) for seen in received)
        assert layer not in target.blobs and not target.tags
        assert len(target.requests("DELETE", "/org/app/blobs/uploads/")) == 1, "it is cancelled"


def test_a_source_that_is_gone_is_not_taken_for_the_target(server: FaultServer, tmp_path: Path) -> None:
    layer = large(server, DATA)
    server.always("GET", f"/org/app/blobs/{layer}", Answer(200, {}, DATA, cut=100))
    with FaultServer() as target:
        with pytest.raises(ConnectionFailed, match=r"The download of sha256:.* broke off"):
            run(f"{server.host}/org/app:1", f"{target.host}/org/app", retries=1)
        assert len(target.requests("POST", "uploads")) == 2, "one for each blob, none again"
    # the first attempt and its retry
    assert len(server.requests("GET", layer)) == 2
    for kind in ("target", "target.tar"):
        with pytest.raises(ConnectionFailed, match="broke off"):
            run(f"{server.host}/org/app:1", place(tmp_path / kind))
        assert not (tmp_path / "target.tar").exists()


def test_a_blob_is_moved_through_one_buffer(server: FaultServer) -> None:
    layer = large(server, DATA)
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.connect import open_repository

    source = open_repository(parse_reference(f"{server.host}/org/app"), AuthOptions(), ConnectionOptions(insecure=True))
    streams = BlobStreams(source, for_uploads=True)
    for _time in range(2):
        with streams.source(Descriptor("", layer, len(DATA))).open() as stream:
            digests = []
            while True:
                piece = stream.read(BUFFER_SIZE)
                if not piece:
                    break
                assert isinstance(piece, memoryview) and piece.obj is stream._buffer.obj  # type: ignore[attr-defined]
                digests.append(bytes(piece))
            assert b"".join(digests) == DATA
            stream.seek(0)
            assert stream.read() == DATA
        assert len(streams.buffers) == 1
    source.close()
