# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``mirrors``: its grammar, and which place is asked for what, with whose credentials, on real sockets."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import (
    ArtifactCache,
    CachedRepository,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DigestMismatch,
    InvalidOption,
    NotAtMirrors,
    NotFound,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors.repository import MirroredRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors.rules import parse_mirrors, places
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, Manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    MAX_SMALL_BLOB,
    Repository,
    read_blob,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.connect import open_repository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.connect_to_write import open_to_write
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.layer_reader import opened_layers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.discovery import tagged_layers
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.tls_harness import (
    create_certificate,
    serve,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
    source_of,
)

MANIFEST = manifest_of()
SMALL = b"small" * 100
LARGE = os.urandom(MAX_SMALL_BLOB + 1_000_000)
NOWHERE = "127.0.0.1:9"


# The grammar


@pytest.mark.parametrize(
    ("key", "url", "name", "wanted"),
    [
        ("docker.io", "https://m.test", "docker.io/library/nginx", "m.test/library/nginx"),
        ("docker.io", "https://m.test/proxy/docker.io", "docker.io/org/app", "m.test/proxy/docker.io/org/app"),
        ("index.docker.io", "m.test/hub/", "nginx.docker.io/x", ""),
        ("index.docker.io", "m.test/hub/", "docker.io/nginx", "m.test/hub/library/nginx"),
        ("docker.io/library", "https://m.test/official", "docker.io/nginx", "m.test/official/nginx"),
        ("docker.io/library", "https://m.test/official", "docker.io/org/app", ""),
        ("ghcr.io/org", "https://m.test/flux", "ghcr.io/org/a/b", "m.test/flux/a/b"),
        ("ghcr.io/org", "https://m.test/flux", "ghcr.io/organisation/a", ""),
        ("ghcr.io/org/app", "https://m.test/flux/app", "ghcr.io/org/app", "m.test/flux/app"),
        ("ghcr.io/org", "oci://m.test/flux", "ghcr.io/org/app", "m.test/flux/app"),
        ("r.test:5000", "http://m.test:5001/", "r.test:5000/app", "m.test:5001/app"),
        ("r.test:5000", "http://m.test:5001/", "r.test/app", ""),
        ("[::1]:5000", "http://[::1]:5001/x", "[::1]:5000/app", "[::1]:5001/x/app"),
        ("r.test", "https://m.test/v2/hub", "r.test/app", "m.test/hub/app"),
        ("r.test", "https://m.test/v2/", "r.test/app", "m.test/app"),
        ("r.test", "https://mirror/hub", "r.test/app", "mirror:443/hub/app"),
        ("r.test", "http://mirror/hub", "r.test/app", "mirror:80/hub/app"),
    ],
)
def test_where_a_repository_is_at_a_mirror(key: str, url: str, name: str, wanted: str) -> None:
    found = places(parse_reference(name), ConnectionOptions(mirrors=parse_mirrors({key: [{"url": url}]})))
    assert [place.reference.name for place in found if not place.is_origin] == ([wanted] if wanted else [])
    assert found[-1].reference == parse_reference(name)


def test_the_longest_path_counts_alone() -> None:
    rules = {
        "ghcr.io": ["https://all.test"],
        "ghcr.io/org": [{"url": "https://org.test", "mode": "replace"}],
        "ghcr.io/org/own": [],
    }
    connection = ConnectionOptions(mirrors=parse_mirrors(rules))

    def hosts(name: str) -> list[str]:
        return [place.reference.registry for place in places(parse_reference(name), connection)]

    assert hosts("ghcr.io/other/app") == ["all.test", "ghcr.io"]
    assert hosts("ghcr.io/org/app") == ["org.test"]
    assert hosts("ghcr.io/org/own/app") == ["ghcr.io"]
    assert hosts("quay.io/org/app") == ["quay.io"]


def test_the_order_of_places() -> None:
    modes: list[Any] = [{"url": "a.test"}, {"url": "b.test", "mode": "fallback"}]
    found = places(parse_reference("r.test/app"), ConnectionOptions(mirrors=parse_mirrors({"r.test": modes})))
    assert [(place.reference.registry, place.connection.retries) for place in found] == [
        ("a.test", 1),
        ("b.test", 1),
        ("r.test", 3),
    ]
    modes.append({"url": "c.test", "mode": "replace"})
    found = places(parse_reference("r.test/app"), ConnectionOptions(mirrors=parse_mirrors({"r.test": modes})))
    assert [(place.reference.registry, place.connection.retries) for place in found] == [
        ("a.test", 1),
        ("b.test", 1),
        ("c.test", 3),
    ]


def test_what_a_mirror_takes_over() -> None:
    own = {"validate_certs": True, "ca_cert": "/own.pem", "client_cert": "/own.crt", "client_key": "/own.key"}
    entries = [
        {"url": "https://a.test"},
        {"url": "http://b.test"},
        {"url": "c.test", "validate_certs": False, "ca_cert": "/c.pem", "client_cert": "/c.crt", "client_key": "/c"},
        {"url": "https://r.test/cache"},
    ]
    connection = ConnectionOptions(insecure=False, **own, mirrors=parse_mirrors({"r.test": entries}))
    a, b, c, same, origin = places(parse_reference("r.test/app"), connection)
    assert (a.connection.insecure, a.connection.ca_cert, a.connection.client_cert) == (False, "/own.pem", "")
    assert b.connection.insecure
    assert (c.connection.validate_certs, c.connection.ca_cert) == (False, "/c.pem")
    assert (c.connection.client_cert, c.connection.client_key) == ("/c.crt", "/c")
    assert (same.connection.client_cert, origin.connection.client_cert) == ("/own.crt", "/own.crt")
    login = AuthOptions(username="u", password="p", auth_config={"auths": {}})
    assert [place.auth(login).username for place in (a, b, c, same, origin)] == ["", "", "", "u", "u"]
    assert a.auth(login).auth_config == {"auths": {}}
    # without a scheme, a mirror is spoken to as the registry is
    plain = ConnectionOptions(insecure=True, mirrors=connection.mirrors)
    assert [place.connection.insecure for place in places(parse_reference("r.test/app"), plain)] == [
        False, True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"docker": ["https://m.test"]}, "'docker', which is not a registry"),
        ({"https://r.test": ["https://m.test"]}, "which is not a registry"),
        ({"oci://r.test": ["https://m.test"]}, "which is not a registry"),
        ({"r.test/app:1": ["https://m.test"]}, "which is not a registry|has a tag"),
        ({"r.test/UPPER": ["https://m.test"]}, "which is not a registry"),
        ({"docker.io": ["https://m.test"], "index.docker.io": []}, "docker.io twice"),
        ({"r.test": None}, "no list of at most 16"),
        ({"r.test": ["https://m.test"] * 17}, "no list of at most 16"),
        ({"r.test": [{"mode": "replace"}]}, "has no 'url'"),
        ({"r.test": [7]}, "has no 'url'"),
        ({"r.test": [{"url": "https://m.test", "mode": "first"}]}, "mode 'first': wanted replace or fallback"),
        ({"r.test": [{"url": "https://m.test", "username": "u"}]}, "'username', which is none of"),
        ({"r.test": [{"url": "https://m.test", "ca_cert": ["x"]}]}, "something other than text"),
        ({"r.test": [{"url": "https://m.test", "validate_certs": "maybe"}]}, "neither true nor false"),
        ({"r.test": ["ftp://m.test"]}, "has the scheme 'ftp'"),
        ({"r.test": ["https://u:s3cret@m.test"]}, "carries a user name"),
        ({"r.test": ["https://m.test/x:1"]}, "cannot be used|carries a tag"),
        ({"r.test": ["https://m.test/x?y=1"]}, "cannot be used"),
        ({"r.test": ["https://"]}, "cannot be used"),
        ({"r.test": ["mirror"]}, "cannot be used"),
    ],
)
def test_mirrors_that_cannot_be_used(option: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words) as failure:
        parse_mirrors(option)
    assert "s3cret" not in str(failure.value)


def test_no_repository_is_left() -> None:
    connection = ConnectionOptions(mirrors=parse_mirrors({"r.test/app": ["https://m.test"]}))
    with pytest.raises(InvalidOption, match=r"m\.test of r\.test/app cannot be asked"):
        places(parse_reference("r.test/app"), connection)


def test_an_unchanged_pinned_pull_with_mirrors_loads_no_http_library(tmp_path: Path) -> None:
    """It stops where a request would be made: the registry, and its mirror, are out of reach."""
    code = """
import io, json, sys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors.rules import parse_mirrors
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
mirror, digest, dest = sys.argv[1:]
options = PullOptions(
    ReferenceOptions(ref=f"docker.io/app@{digest}"), dest, LayerSelector(operation="copy"), Limits(10**9, 10),
    connection=ConnectionOptions(retries=0, mirrors=parse_mirrors({"docker.io": [{"url": mirror, "mode": "replace"}]})),
)
result = pull(options)
names = [name for name in "requests urllib3 ssl socket".split() if name in sys.modules]
print(json.dumps([result.changed, result.served_by, names]))
"""
    layer = source_of(SMALL)
    manifest = manifest_of(layers=[layer.descriptor.as_json()])
    with FaultServer() as server:
        server.add_manifest(manifest.raw)
        server.add_blob(SMALL)
        outcomes = [
            subprocess.run(
                [sys.executable, "-c", code, url, manifest.descriptor.digest, str(tmp_path / "file")],
                check=False,
                capture_output=True,
                text=True,
                env={"PYTHONPATH": ":".join(sys.path)},
            )
            for url in (server.url, f"http://{NOWHERE}")
        ]
    assert [outcome.stderr for outcome in outcomes] == ["", ""]
    pulled, unchanged = (json.loads(outcome.stdout) for outcome in outcomes)
    assert pulled[:2] == [True, [server.host]]
    assert unchanged == [False, [], []]
    assert (tmp_path / "file").read_bytes() == SMALL


# On sockets: "first" and "second" are mirrors of "origin"


class Ground:
    """Three registries, of which two mirror the third."""

    def __init__(self, first: FaultServer, second: FaultServer, origin: FaultServer) -> None:
        self.first, self.second, self.origin = first, second, origin

    def open(
        self, *mirrors: FaultServer | str, mode: str = "fallback", auth: AuthOptions | None = None, **options: Any
    ) -> Repository:
        urls = [mirror if isinstance(mirror, str) else f"{mirror.url}/hub" for mirror in mirrors]
        rules = parse_mirrors({self.origin.host: [{"url": url, "mode": mode} for url in urls]})
        connection = ConnectionOptions(**{"insecure": True, "timeout": 60.0, "retries": 0, "mirrors": rules, **options})
        return open_repository(parse_reference(f"{self.origin.host}/org/app"), auth or AuthOptions(), connection)

    def asked(self) -> tuple[int, int, int]:
        return len(self.first.seen), len(self.second.seen), len(self.origin.seen)


@pytest.fixture
def ground() -> Iterator[Ground]:
    with FaultServer() as first, FaultServer() as second, FaultServer() as origin:
        yield Ground(first, second, origin)


def test_a_mirror_is_asked_before_the_registry(ground: Ground) -> None:
    for server in (ground.first, ground.second, ground.origin):
        server.add_manifest(MANIFEST.raw, "1")
        server.add_blob(SMALL)
    repository = ground.open(ground.first, ground.second)
    assert repository.resolve("1") == MANIFEST.descriptor
    assert repository.fetch_manifest(MANIFEST.descriptor.digest) == MANIFEST
    assert b"".join(read_blob(repository, source_of(SMALL).descriptor)) == SMALL
    assert repository.list_tags() == ["1"]
    assert repository.reference == parse_reference(f"{ground.origin.host}/org/app")
    assert (repository.served_by, repository.warnings) == ([ground.first.host], [])
    assert ground.asked() == (4, 0, 0)
    assert {seen.path.partition("/org/app/")[0] for seen in ground.first.seen} == {"/v2/hub"}


def test_what_a_mirror_does_not_have_is_asked_for_elsewhere(ground: Ground) -> None:
    ground.second.add_manifest(MANIFEST.raw, "1")
    ground.origin.add_blob(SMALL)
    repository = ground.open(ground.first, ground.second)
    assert repository.resolve("1") == MANIFEST.descriptor
    assert b"".join(read_blob(repository, source_of(SMALL).descriptor)) == SMALL
    assert repository.served_by == [ground.second.host, ground.origin.host]
    assert repository.warnings == []
    with pytest.raises(NotFound, match="Elsewhere: .*it is not there.*it is not there") as failure:
        repository.resolve("2")
    assert ground.origin.host in str(failure.value)


def test_a_registry_that_is_replaced_is_never_asked(ground: Ground) -> None:
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(ground.first, ground.second, mode="replace")
    with pytest.raises(NotFound):
        repository.resolve("1")
    ground.first.always("", "", Answer(500))
    ground.second.always("", "", Answer(500))
    with pytest.raises(RegistryError):
        repository.resolve("1")
    assert ground.asked()[2] == 0


def test_a_mirror_that_cannot_be_reached_is_asked_once(ground: Ground) -> None:
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(f"http://{NOWHERE}")
    for _time in range(3):
        assert repository.resolve("1") == MANIFEST.descriptor
    assert repository.served_by == [ground.origin.host]
    [warning] = repository.warnings
    assert f"The mirror {NOWHERE} was passed over" in warning
    assert "refused" in warning
    assert not repository.has_alternatives


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_a_mirror_that_answers_with_an_error(ground: Ground, status: int) -> None:
    ground.first.always("", "", Answer(status, {"Retry-After": "1000"}))
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(ground.first)
    assert repository.resolve("1") == MANIFEST.descriptor
    assert len(repository.warnings) == (status != 404)


def test_a_passing_failure_is_repeated_once_at_a_mirror(ground: Ground) -> None:
    for server in (ground.first, ground.origin):
        server.add_manifest(MANIFEST.raw, "1")
    ground.first.script("GET", "/manifests/", Answer(503))
    repository = ground.open(ground.first, retries=3)
    assert repository.fetch_manifest("1").descriptor == MANIFEST.descriptor
    assert repository.served_by == [ground.first.host]
    ground.first.always("GET", "/manifests/", Answer(503))
    assert repository.fetch_manifest("1").descriptor == MANIFEST.descriptor
    assert ground.asked() == (4, 0, 1)


def test_a_mirror_that_is_no_registry(ground: Ground) -> None:
    page = Answer(200, {"Content-Type": "text/html"}, b"<html>Log in</html>")
    ground.first.always("", "", page)
    ground.origin.add_manifest(MANIFEST.raw, "1")
    ground.origin.add_blob(SMALL)
    repository = ground.open(ground.first)
    assert repository.resolve("1") == MANIFEST.descriptor
    assert repository.list_tags() == ["1"]
    assert b"".join(read_blob(repository, source_of(SMALL).descriptor)) == SMALL
    assert repository.served_by == [ground.origin.host]


def test_credentials_stay_with_the_host_they_are_for(ground: Ground) -> None:
    challenge = Answer(401, {"WWW-Authenticate": "Basic"})
    for server in (ground.first, ground.second, ground.origin):
        server.script("HEAD", "", lambda seen: None if seen.authorization else challenge)
    ground.origin.add_manifest(MANIFEST.raw, "1")
    auths = {
        ground.origin.host: {"username": "origin-file", "password": "p"},
        ground.second.host: {"username": "second", "password": "p"},
    }
    auth = AuthOptions(username="origin", password="p", auth_config={"auths": auths})
    assert ground.open(ground.first, ground.second, auth=auth).resolve("1") == MANIFEST.descriptor
    names = [
        {base64.b64decode(seen.authorization[6:]).decode() for seen in server.seen}
        for server in (ground.first, ground.second, ground.origin)
    ]
    assert names == [{""}, {"second:p"}, {"origin:p"}]


def test_a_mirror_that_resolves_to_something_else_is_held_to_it(ground: Ground) -> None:
    """What a mirror says of a tag counts; every byte that follows is checked against that digest, elsewhere too."""
    other = manifest_of(annotations={"a": "b"})
    ground.first.add_manifest(other.raw, "1")
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(ground.first)
    digest = repository.resolve("1").digest
    assert digest == other.descriptor.digest
    headers = {"Content-Type": media.OCI_MANIFEST, "Docker-Content-Digest": digest}
    ground.first.always("GET", "manifests", Answer(200, headers, MANIFEST.raw))
    with pytest.raises((DigestMismatch, NotFound)):
        repository.fetch_manifest(digest)


def test_a_manifest_with_other_bytes_comes_from_elsewhere(ground: Ground) -> None:
    other = manifest_of(annotations={"a": "b"})
    digest = MANIFEST.descriptor.digest
    headers = {"Content-Type": media.OCI_MANIFEST, "Docker-Content-Digest": digest}
    ground.first.always("GET", "", Answer(200, headers, other.raw))
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(ground.first)
    assert repository.fetch_manifest(digest) == MANIFEST
    assert "does not match its digest" in repository.warnings[0]
    # it is not believed again
    assert repository.resolve("1") == MANIFEST.descriptor
    assert ground.asked() == (1, 0, 2)


def read_layer(repository: Repository, data: bytes, folder: Path) -> bytes:
    layer = Descriptor(media.OCTET_STREAM, digest_of(data), len(data))
    cached = repository if isinstance(repository, CachedRepository) else None
    stage = os.open(folder, os.O_RDONLY)
    try:
        with opened_layers(repository, cached, [layer], stage, threading.Semaphore()) as read:
            return b"".join(read(layer))
    finally:
        os.close(stage)


@pytest.mark.parametrize("is_cached", [False, True])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_blob_with_other_bytes_comes_from_elsewhere(
    ground: Ground, data: bytes, tmp_path: Path, is_cached: bool
) -> None:
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    ground.first.always("GET", "", Answer(200, {}, wrong))
    ground.second.always("GET", "", Answer(200, {}, data[:-1]))
    ground.origin.add_blob(data)
    mirrored = ground.open(ground.first, ground.second)
    repository: Repository = mirrored
    if is_cached:
        repository = CachedRepository(mirrored.reference, ArtifactCache(str(tmp_path / "cache")), lambda: mirrored)
    assert read_layer(repository, data, tmp_path) == data
    assert repository.served_by[-1] == ground.origin.host
    assert [ground.first.host in repository.warnings[0], ground.second.host in repository.warnings[1]] == [True, True]
    assert not repository.has_alternatives


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_nobody_has_the_right_bytes(ground: Ground, data: bytes, tmp_path: Path) -> None:
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    for server in (ground.first, ground.origin):
        server.always("GET", "", Answer(200, {}, wrong))
    with pytest.raises(DigestMismatch):
        read_layer(ground.open(ground.first), data, tmp_path)
    assert list(tmp_path.rglob("*-*.partial")) == []


def test_a_download_that_breaks_off_goes_on_elsewhere(ground: Ground, tmp_path: Path) -> None:
    ground.first.add_blob(LARGE)
    ground.origin.add_blob(LARGE)
    ground.first.script("GET", "", Answer(200, {}, LARGE, cut=3_000_000))
    repository = ground.open(ground.first)
    assert read_layer(repository, LARGE, tmp_path) == LARGE
    assert repository.served_by == [ground.first.host, ground.origin.host]
    [rest] = ground.origin.seen
    assert 0 < int(rest.headers["Range"].partition("=")[2].partition("-")[0]) <= 3_000_000


def test_a_bad_first_half_is_not_held_against_the_second(ground: Ground, tmp_path: Path) -> None:
    ground.first.always("GET", "", Answer(200, {}, os.urandom(len(LARGE)), cut=3_000_000))
    ground.origin.add_blob(LARGE)
    repository = ground.open(ground.first)
    assert read_layer(repository, LARGE, tmp_path) == LARGE
    assert len(ground.origin.seen) == 2


def test_empty_lists_are_asked_for_elsewhere(ground: Ground) -> None:
    entry = {"mediaType": media.OCI_MANIFEST, "digest": digest_of(b"x"), "size": 1, "artifactType": "x/y"}
    ground.first.referrers = {}
    ground.origin.referrers = {MANIFEST.descriptor.digest: [entry]}
    ground.origin.add_manifest(MANIFEST.raw, "1")
    repository = ground.open(ground.first)
    assert repository.list_tags() == ["1"]
    assert [found.digest for found in repository.list_referrers(MANIFEST.descriptor.digest)] == [entry["digest"]]
    assert repository.list_referrers(digest_of(b"unknown")) == []
    assert repository.served_by == [ground.origin.host]


def test_without_the_registry_the_mirrors_word_counts_for_signatures(ground: Ground) -> None:
    """A mirror has the artifact and its bundles, the registry is down: that the mirror has no signature of one kind
    must not keep those of another kind from counting.
    """
    ground.first.add_manifest(MANIFEST.raw, "1")
    ground.first.referrers = {}
    with FaultServer() as gone:
        ground.origin = gone
    repository = ground.open(ground.first)
    digest = repository.resolve("1").digest
    with pytest.raises(NotAtMirrors) as failure:
        repository.resolve("2")
    assert failure.value.reason == "ConnectionFailed"
    assert isinstance(failure.value, ConnectionFailed)
    refusals: list[Any] = []
    assert tagged_layers(repository, digest, ".sig", refusals) == []
    assert (repository.list_referrers(digest), refusals) == ([], [])


def test_the_error_of_a_place_that_could_not_say(ground: Ground) -> None:
    ground.first.always("", "", Answer(401, {"WWW-Authenticate": "Basic"}))
    repository = ground.open(ground.first, ground.second, mode="replace")
    with pytest.raises(AuthenticationFailed, match=f"Elsewhere: {ground.second.host}: it is not there"):
        repository.resolve("1")


def test_certificates_are_per_mirror(ground: Ground, tmp_path: Path) -> None:
    own, client = create_certificate(tmp_path, "server"), create_certificate(tmp_path, "client")
    identity = {"client_cert": str(client.cert), "client_key": str(client.key)}
    with serve(own, client) as mirror:
        entry = {"url": mirror.url, "mode": "replace", "ca_cert": str(own.cert), **identity}
        connection = ConnectionOptions(retries=0, mirrors=parse_mirrors({"r.test": [entry]}))
        repository = open_repository(parse_reference("r.test/org/app"), AuthOptions(), connection)
        assert repository.resolve("1").digest == MANIFEST.descriptor.digest
        assert [seen.client for seen in mirror.seen] == ["client"]
        # the registry's own certificate is not shown to a mirror
        bare = {"url": mirror.url, "mode": "replace", "ca_cert": str(own.cert)}
        connection = ConnectionOptions(retries=0, mirrors=parse_mirrors({"r.test": [bare]}), **identity)
        with pytest.raises(OciError):
            open_repository(parse_reference("r.test/org/app"), AuthOptions(), connection).resolve("1")
        assert len(mirror.seen) == 1


def test_what_is_to_be_written_goes_to_the_registry(ground: Ground) -> None:
    reference = parse_reference(f"{ground.origin.host}/org/app")
    rules = parse_mirrors({ground.origin.host: [{"url": ground.first.url, "mode": "replace"}]})
    connection = ConnectionOptions(insecure=True, mirrors=rules)
    written = open_to_write(reference, AuthOptions(), connection, check_mode=False)
    written.push_blob(source_of(SMALL))
    manifest: Manifest = MANIFEST
    written.push_manifest(manifest, "1")
    compared = open_to_write(reference, AuthOptions(), connection, check_mode=True)
    assert compared.resolve("1") == manifest.descriptor
    assert ground.asked()[0] == 0
    # what reads by way of mirrors has no way to write
    mirrored = open_repository(reference, AuthOptions(), connection)
    assert isinstance(mirrored, MirroredRepository) and not hasattr(mirrored, "push_manifest")


def test_a_mirror_that_cannot_be_configured_is_an_error(ground: Ground) -> None:
    ground.origin.add_manifest(MANIFEST.raw, "1")
    with pytest.raises(InvalidOption, match="'ca_cert' cannot be used"):
        ground.open("https://m.test", ca_cert="/does/not/exist").resolve("1")
