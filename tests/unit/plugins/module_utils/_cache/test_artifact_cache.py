# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository behind a cache: what is asked for, what is not, and what becomes of a cache that does not work."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache import store as cache_store
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import (
    ArtifactCache,
    CachedRepository,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import DigestMismatch, InvalidContent
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    MAX_SMALL_BLOB,
    Repository,
    read_blob,
    read_small_blob,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import Harness

DATA = b"small\n" * 100


def blob_of(data: bytes) -> Descriptor:
    return Descriptor(media.OCTET_STREAM, digest_of(data), len(data))


class Place:
    """A repository of a registry with one artifact, behind a cache that may be opened again."""

    def __init__(self, server: FaultServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.opened = 0
        self.layer = blob_of(DATA)
        server.add_blob(DATA)
        server.add_blob(b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": blob_of(b"{}").as_json(),
            "layers": [self.layer.as_json()],
        }
        self.digest = server.add_manifest(canonical_json(document), "1")

    def open(self, *, read_only: bool = False) -> CachedRepository:
        inner = Harness(self.server).repository

        def connect() -> Repository:
            self.opened += 1
            return inner

        return CachedRepository(inner.reference, ArtifactCache(str(self.root), read_only=read_only), connect)

    def lines(self) -> list[str]:
        """The requests since the last call."""
        found = [line.replace("/v2/org/app/", "").partition(":")[0] for line in self.server.lines()]
        self.server.seen.clear()
        return found

    def path(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "/")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer() as server:
        yield Place(server, tmp_path / "cache")


def test_a_tag_is_asked_for_and_a_digest_is_not(place: Place) -> None:
    wanted = [["HEAD manifests/1", "GET manifests/sha256"], ["HEAD manifests/1"], []]
    for identifier, requests in zip(("1", "1", place.digest), wanted):
        repository = place.open()
        manifest = repository.fetch_manifest(identifier)
        assert manifest.descriptor.digest == place.digest and manifest.descriptor.media_type == media.OCI_MANIFEST
        assert place.lines() == requests
        repository.close()
    assert place.opened == 2, "what is held needs no registry at all"


def test_small_blobs_are_kept_and_large_ones_pass(place: Place) -> None:
    large = b"x" * (MAX_SMALL_BLOB + 1)
    place.server.add_blob(large)
    repository = place.open()
    for _time in range(2):
        assert read_small_blob(repository, place.layer) == DATA
        assert b"".join(read_blob(repository, blob_of(large))) == large
    assert place.lines() == ["GET blobs/sha256"] * 3
    assert not place.path(digest_of(large)).exists()
    held = repository.hold_blob(blob_of(large))
    assert held is not None and held.read() == large
    held.close()
    assert b"".join(repository.stream_blob(place.layer, 100)) == DATA[100:]


@pytest.mark.parametrize("damage", [b"", b"x", b'{"a": 1}'])
def test_damage_is_put_right(place: Place, damage: bytes) -> None:
    repository = place.open()
    repository.fetch_manifest(place.digest)
    read_small_blob(repository, place.layer)
    place.lines()
    for digest in (place.digest, place.layer.digest):
        good = place.path(digest).read_bytes()
        place.path(digest).write_bytes(damage.ljust(len(good)))
    assert repository.fetch_manifest(place.digest).descriptor.digest == place.digest
    assert read_small_blob(repository, place.layer) == DATA
    assert place.lines() == ["GET manifests/sha256", "GET blobs/sha256"]
    assert digest_of(place.path(place.digest).read_bytes()) == place.digest


def test_what_is_no_manifest_gets_the_registrys_answer(place: Place) -> None:
    repository = place.open()
    read_small_blob(repository, place.layer)
    place.server.manifests[place.layer.digest] = ("text/plain", DATA)
    with pytest.raises(InvalidContent, match="is not JSON"):
        repository.fetch_manifest(place.layer.digest)


def test_wrong_bytes_of_the_registry_are_not_kept(place: Place) -> None:
    place.server.always("GET", "/blobs/", Answer(body=b"X" * len(DATA)))
    repository = place.open()
    with pytest.raises(DigestMismatch):
        read_small_blob(repository, place.layer)
    assert not place.path(place.layer.digest).exists()


def test_who_only_reads_leaves_no_trace(place: Place) -> None:
    reader = place.open(read_only=True)
    assert read_small_blob(reader, reader.fetch_manifest("1").layers[0]) == DATA
    assert reader.hold_blob(place.layer) is None
    assert not place.root.exists() and reader.cache.warnings == []
    writer = place.open()
    read_small_blob(writer, writer.fetch_manifest("1").layers[0])
    place.lines()
    assert read_small_blob(reader, reader.fetch_manifest(place.digest).layers[0]) == DATA
    assert place.lines() == []


def test_lists_and_what_is_written_go_to_the_registry(place: Place) -> None:
    repository = place.open()
    manifest = repository.fetch_manifest("1")
    place.lines()
    place.server.referrers = {}
    assert repository.list_tags() == ["1"] and repository.list_referrers(place.digest) == []
    assert repository.blob_exists(place.layer)
    repository.push_manifest(manifest, "2")
    assert place.lines() == [
        "GET tags/list?n=1000", "GET referrers/sha256", "HEAD blobs/sha256", "PUT manifests/2",
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["unreadable", "not writable", "filled, not writable"])
def test_a_cache_that_may_not_be_used_is_done_without(place: Place, state: str) -> None:
    """As another user: what is there is used, the rest is fetched, and one warning says why."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    place.root = folder / "cache"
    if state != "unreadable":
        place.root.mkdir(mode=0o755)
    if state.startswith("filled"):
        repository = place.open()
        manifest = repository.fetch_manifest("1")
        read_small_blob(repository, manifest.layers[0])
        repository.enter("1", manifest)
        for path in place.root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    else:
        folder.chmod(0o555)
        if place.root.exists():
            place.root.chmod(0o555)
    place.lines()
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        outcome = "failed"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            repository = place.open()
            manifest = repository.fetch_manifest("1")
            assert read_small_blob(repository, manifest.layers[0]) == DATA
            repository.enter("1", manifest)
            outcome = "\n".join(repository.cache.warnings) or "none"
        except BaseException as exc:
            outcome = repr(exc)
        finally:
            os.write(writer, outcome.encode())
            os._exit(0)
    os.waitpid(process, 0)
    words = os.read(reader, 65536).decode()
    os.close(reader)
    os.close(writer)
    for path in (folder, place.root):
        if path.exists():
            path.chmod(0o755)
    shutil.rmtree(folder)
    if state.startswith("filled"):
        assert words == "none" and place.lines() == ["HEAD manifests/1"]
    else:
        assert words.startswith(f"The cache {folder}/cache cannot be used as it should. Cannot create ")
        assert words.count("\n") == 0 and "for this task alone" in words
        assert place.lines() == ["HEAD manifests/1", "GET manifests/sha256", "GET blobs/sha256"]


def test_one_of_several_fetches_a_manifest(place: Place) -> None:
    """As forks do, which share nothing but the directory."""
    repositories = [place.open() for _number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        manifests = list(pool.map(lambda repository: repository.fetch_manifest(place.digest), repositories))
    assert {manifest.descriptor.digest for manifest in manifests} == {place.digest}
    assert place.lines() == ["GET manifests/sha256"]
    assert not (place.root / ".ingest").exists()


def test_who_holds_the_turn_does_not_stop_the_others_for_good(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_store, "TURN_TIMEOUT", 0.2)
    with place.open().cache.turn(place.digest):
        assert place.open().fetch_manifest(place.digest).descriptor.digest == place.digest
