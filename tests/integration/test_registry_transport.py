# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry transport against real registries, judged by their access logs."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.servers import RegistryServer
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    NotFound,
    OciError,
    TlsFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
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
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    EXISTED,
    MOUNTED,
    UPLOADED,
    BlobSource,
    read_blob,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

pytestmark = pytest.mark.once

PLAIN = ["registry", "oci11_registry"]
CONFIG = b"{}"


def connect(
    server: RegistryServer, name: str, credential: Credential | None = None, *, push: bool = True, **options: Any
) -> RegistryRepository:
    reference = parse_reference(f"{server.host}/{name}")
    connection = ConnectionOptions(**{"insecure": server.scheme == "http", "timeout": 120.0, **options})
    return RegistryRepository(reference, RegistryClient(reference.registry, connection, credential), push=push)


def source_of(data: bytes, media_type: str = media.OCTET_STREAM) -> BlobSource:
    return BlobSource(Descriptor(media_type, digest_of(data), len(data)), lambda: io.BytesIO(data))


def manifest_of(*layers: BlobSource, **fields: Any) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": source_of(CONFIG, media.OCI_EMPTY).descriptor.as_json(),
        "layers": [layer.descriptor.as_json() for layer in layers],
        **fields,
    }
    return parse_manifest(canonical_json(document), media.OCI_MANIFEST, "The manifest")


def publish(repository: RegistryRepository, data: bytes, tag: str = "", **fields: Any) -> Manifest:
    layer = source_of(data)
    repository.push_blob(source_of(CONFIG))
    repository.push_blob(layer)
    manifest = manifest_of(layer, **fields)
    repository.push_manifest(manifest, tag)
    return manifest


@pytest.fixture(params=PLAIN)
def server(request: pytest.FixtureRequest) -> RegistryServer:
    found: RegistryServer = request.getfixturevalue(request.param)
    return found


def test_what_is_pushed_comes_back(server: RegistryServer) -> None:
    repository = connect(server, "transport/round-trip")
    data = os.urandom(3_000_000)
    manifest = publish(repository, data, "1")
    assert repository.push_blob(source_of(data)) == EXISTED
    assert repository.resolve("1") == manifest.descriptor
    assert repository.fetch_manifest("1") == repository.fetch_manifest(manifest.descriptor.digest) == manifest
    layer = manifest.layers[0]
    assert b"".join(read_blob(repository, layer)) == data
    assert b"".join(repository.stream_blob(layer, 2_999_990)) == data[-10:]
    assert repository.list_tags() == ["1"]


def test_an_empty_blob(registry: RegistryServer) -> None:
    repository = connect(registry, "transport/empty")
    assert repository.push_blob(source_of(b"")) == UPLOADED
    assert list(read_blob(repository, source_of(b"").descriptor)) == []


def test_a_large_file_is_uploaded_from_disk(server: RegistryServer, tmp_path: Path, tools: Tools) -> None:
    path = tmp_path / "large"
    data = os.urandom(20_000_000)
    path.write_bytes(data)
    source = BlobSource(Descriptor("", digest_of(data), len(data)), lambda: open(path, "rb"))  # noqa: SIM115
    repository = connect(server, "transport/large")
    assert repository.push_blob(source) == UPLOADED
    fetched = tools.run("oras", "blob", "fetch", "--plain-http", "-o", tmp_path / "copy", *_named(repository, source))
    assert fetched.returncode == 0
    assert (tmp_path / "copy").read_bytes() == data


def _named(repository: RegistryRepository, source: BlobSource) -> list[str]:
    return [f"{repository.reference.name}@{source.descriptor.digest}"]


def test_resolving_is_one_head(server: RegistryServer) -> None:
    publish(connect(server, "transport/resolve"), b"content", "1")
    repository = connect(server, "transport/resolve", push=False)
    before = server.mark()
    repository.resolve("1")
    assert server.requests(since=before) == [("HEAD", "/v2/transport/resolve/manifests/1", 200)]


def test_what_is_not_there(server: RegistryServer) -> None:
    repository = connect(server, "transport/nothing", push=False)
    for call in (
        lambda: repository.resolve("1"),
        lambda: repository.fetch_manifest(digest_of(b"")),
        lambda: list(repository.stream_blob(source_of(b"no").descriptor)),
        repository.list_tags,
    ):
        with pytest.raises(NotFound):
            call()


def test_a_blob_is_mounted(server: RegistryServer) -> None:
    data = source_of(os.urandom(100_000))
    connect(server, "transport/base").push_blob(data)
    before = server.mark()
    outcome = connect(server, "transport/derived").push_blob(data, ["transport/missing", "transport/base"])
    requests = server.requests(since=before)
    # Distribution mounts; a registry that keeps its blobs in one place has it already
    assert outcome in (MOUNTED, EXISTED)
    assert "PUT" not in {request.method for request in requests}
    if outcome == MOUNTED:
        assert requests[-1].status == 201


def test_tags_come_in_pages(registry: RegistryServer) -> None:
    repository = connect(registry, "transport/tags")
    manifest = publish(repository, b"tagged")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: repository.push_manifest(manifest, f"t{number}"), range(2500)))
    before = registry.mark()
    tags = repository.list_tags()
    assert sorted(tags) == sorted(f"t{number}" for number in range(2500))
    assert len(registry.requests(since=before)) == 3


def connections(repository: RegistryRepository) -> int:
    """How many connections were opened, as the pools of urllib3 count them."""
    pools = repository._client.session.get_adapter("http://").poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())  # noqa: SIM118


def test_parallel_transfers_keep_their_connections(server: RegistryServer) -> None:
    repository = connect(server, "transport/parallel")
    sources = [source_of(os.urandom(50_000)) for _blob in range(60)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(repository.push_blob, sources)) == {UPLOADED}
        fetched = list(pool.map(lambda source: b"".join(read_blob(repository, source.descriptor)), sources))
    assert fetched == [source.open().read() for source in sources]
    assert connections(repository) <= 4


def test_referrers(server: RegistryServer, tools: Tools, tmp_path: Path) -> None:
    repository = connect(server, "transport/referred")
    subject = publish(repository, b"subject", "1")
    before = server.mark()
    ours = publish(repository, b"note", artifactType="x/ours", subject=subject.descriptor.as_json())
    has_api = server.requests(since=before)[-1].path.endswith(ours.descriptor.digest)
    assert has_api == (repository._referrers.by_api(subject.descriptor.digest) is not None)
    (tmp_path / "note.txt").write_text("note\n")
    reference = f"{repository.reference.name}:1"
    flags = ("--plain-http", "--artifact-type", "x/theirs")
    tools.run("oras", "attach", *flags, reference, "note.txt:text/plain", cwd=tmp_path)
    found = repository.list_referrers(subject.descriptor.digest)
    assert {entry.artifact_type for entry in found} == {"x/ours", "x/theirs"}
    assert [entry.digest for entry in repository.list_referrers(subject.descriptor.digest, "x/ours")] == [
        ours.descriptor.digest
    ]
    discovered = tools.run("oras", "discover", "--plain-http", "--format", "json", reference).stdout
    assert all(kind in discovered for kind in ("x/ours", "x/theirs"))
    assert repository.list_tags() == (["1"] if has_api else ["1", subject.descriptor.digest.replace(":", "-")])


def test_the_right_password(htpasswd_registry: RegistryServer) -> None:
    server = htpasswd_registry
    credential = Credential(str(server.username), str(server.password))
    repository = connect(server, "transport/secret", credential)
    manifest = publish(repository, b"secret", "1")
    before = server.mark()
    assert connect(server, "transport/secret", credential, push=False).resolve("1") == manifest.descriptor
    assert len(server.requests(since=before)) == 1


@pytest.mark.parametrize("credential", [None, Credential("tester", "wrong-password")])
def test_a_wrong_password_is_tried_once(htpasswd_registry: RegistryServer, credential: Credential | None) -> None:
    repository = connect(htpasswd_registry, "transport/secret", credential)
    before = htpasswd_registry.mark()
    for call in (lambda: repository.resolve("1"), lambda: repository.push_blob(source_of(b"x"))):
        with pytest.raises(AuthenticationFailed) as failure:
            call()
        assert "wrong-password" not in str(failure.value)
    # without a password, the refusal of HEAD settles nothing
    refusals = [401] if credential else [401, 401]
    assert [request.status for request in htpasswd_registry.requests(since=before)] == refusals


def test_tls_needs_the_authority(tls_registry: RegistryServer) -> None:
    assert tls_registry.ca_cert
    manifest = publish(connect(tls_registry, "transport/tls", ca_cert=str(tls_registry.ca_cert)), b"tls", "1")
    with pytest.raises(TlsFailed, match="ca_cert"):
        connect(tls_registry, "transport/tls").resolve("1")
    unchecked = connect(tls_registry, "transport/tls", validate_certs=False)
    assert unchecked.resolve("1") == manifest.descriptor
    with pytest.raises(OciError, match="insecure: false"):
        connect(tls_registry, "transport/tls", insecure=True).resolve("1")


def test_plain_http_where_tls_is_expected(registry: RegistryServer) -> None:
    with pytest.raises(TlsFailed, match="insecure: true"):
        connect(registry, "transport/plain", insecure=False).resolve("1")
