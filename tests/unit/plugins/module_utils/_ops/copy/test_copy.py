# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies: what travels with an artifact, in which order, what is left alone, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidContent,
    InvalidOption,
    InvalidReference,
    NotFound,
    OciError,
    StorageError,
    TagImmutable,
    VerificationFailed,
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
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    BlobSource,
    Repository,
    read_blob,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy import copy as copy_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy import graph
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.copy import CopyOptions, access_to, copy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.copy.place import target_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)

INSECURE = ConnectionOptions(insecure=True, retries=0)
KEYS = Path(__file__).resolve().parents[5] / "vectors/keys"


def at(path: Path) -> Repository:
    reference = parse_reference(f"oci-{'archive' if path.suffix == '.tar' else 'layout'}:{path}")
    return WritableArchive(reference) if reference.is_archive else LayoutRepository(reference)


def place(path: Path) -> str:
    return f"oci-{'archive' if path.suffix == '.tar' else 'layout'}:{path}"


def blob(data: bytes, media_type: str = "text/plain") -> BlobSource:
    return BlobSource(Descriptor(media_type, digest_of(data), len(data)), lambda: io.BytesIO(data))


def push(repository: Repository, content: str, tag: str = "", **fields: Any) -> Manifest:
    config, layer = blob(b"{}", media.OCI_EMPTY), blob(content.encode())
    for source in (config, layer):
        repository.push_blob(source)
    parts = {"config": config.descriptor.as_json(), "layers": [layer.descriptor.as_json()], **fields}
    return push_document(repository, media.OCI_MANIFEST, tag, **parts)


def push_document(repository: Repository, media_type: str, tag: str, **fields: Any) -> Manifest:
    manifest = parse_manifest(canonical_json({"schemaVersion": 2, "mediaType": media_type, **fields}), "", "it")
    repository.push_manifest(manifest, tag)
    return manifest


def tag_of(manifest: Manifest, suffix: str) -> str:
    return manifest.descriptor.digest.replace(":", "-") + suffix


class Release:
    """An index of two platforms with signatures: of itself, of a platform, and of what was attached to it."""

    def __init__(self, repository: Repository) -> None:
        with repository.batch():
            self.children = [push(repository, arch) for arch in ("amd64", "arm64")]
            listed = [child.descriptor.as_json() for child in self.children]
            self.index = push_document(repository, media.OCI_INDEX, "1.0.0", manifests=listed)
            self.bundle = self._attach(repository, self.index, "bundle")
            self.sbom = self._attach(repository, self.children[1], "sbom")
            self.signed_sbom = self._attach(repository, self.sbom, "signature of the sbom")
            self.tagged = {
                tag_of(subject, suffix): push(repository, f"{suffix} {number}", tag_of(subject, suffix))
                for number, subject in enumerate((self.index, self.children[0], self.sbom))
                for suffix in (".sig", ".att", ".sbom")
            }
            push(repository, "another artifact", "2.0.0")

    @staticmethod
    def _attach(repository: Repository, subject: Manifest, content: str) -> Manifest:
        return push(repository, content, subject=subject.descriptor.as_json(), artifactType="example/attached")

    @property
    def all(self) -> list[Manifest]:
        return [*self.children, self.index, self.bundle, self.sbom, self.signed_sbom, *self.tagged.values()]

    def check(self, target: Repository, tag: str = "1.0.0") -> None:
        """The target has the release, byte for byte, and nothing else."""
        assert target.fetch_manifest(tag) == self.index
        assert sorted(target.list_tags()) == sorted([tag, *self.tagged])
        for manifest in self.all:
            assert target.fetch_manifest(manifest.descriptor.digest).raw == manifest.raw
            for part in manifest.layers:
                assert b"".join(read_blob(target, part))
        for name, manifest in self.tagged.items():
            assert target.fetch_manifest(name) == manifest
        for subject, attached in (
            (self.index, self.bundle),
            (self.children[1], self.sbom),
            (self.sbom, self.signed_sbom),
        ):
            found = target.list_referrers(subject.descriptor.digest)
            assert [each.digest for each in found] == [attached.descriptor.digest]


def run(source: str, to: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    reference = ReferenceOptions(ref=source)
    found = CopyOptions(reference, to, connection=INSECURE, to_connection=INSECURE, **options)
    return copy(found, check_mode=check_mode)


def in_a_directory(path: Path) -> str:
    path.mkdir()
    return "is a directory"


def behind_a_link(path: Path) -> str:
    path.symlink_to(path.parent / "nothing")
    return "is not a file"


def compressed(path: Path) -> str:
    push(at(path), "before", "1.0.0")
    path.write_bytes(gzip.compress(path.read_bytes()))
    return "is compressed"


def below_a_file(path: Path) -> str:
    path.parent.rmdir()
    path.parent.write_bytes(b"")
    return "[Nn]ot a directory"


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("it.tar", in_a_directory),
        ("it.tar", behind_a_link),
        ("it.tar", compressed),
        ("it.tar", below_a_file),
        ("it", below_a_file),
    ],
)
@pytest.mark.parametrize("check_mode", [True, False])
def test_what_is_in_the_way_is_said_of_the_target_in_check_mode_too(
    tmp_path: Path, name: str, put: Callable[[Path], str], check_mode: bool
) -> None:
    push(at(tmp_path / "source"), "content", "2.0.0")
    (tmp_path / "to").mkdir()
    said = put(tmp_path / "to" / name)
    with pytest.raises(StorageError, match=said) as raised:
        run(f"{place(tmp_path / 'source')}:2.0.0", place(tmp_path / "to" / name), check_mode=check_mode)
    assert "source" not in str(raised.value)


@pytest.mark.parametrize("source", ["source", "source.tar"])
@pytest.mark.parametrize("target", ["target", "target.tar"])
def test_all_that_belongs_to_an_artifact_travels(tmp_path: Path, source: str, target: str) -> None:
    release = Release(at(tmp_path / source))
    ref, to = f"{place(tmp_path / source)}:1.0.0", place(tmp_path / target)
    foreseen = run(ref, to, check_mode=True)
    assert not (tmp_path / target).exists()
    done = run(ref, to)
    assert {**foreseen, "blobs": None} == {**done, "blobs": None}
    assert (done["changed"], done["reason"], done["present"]) == (True, "ArtifactCopied", 0)
    assert done["to"] == f"{to}:1.0.0" and done["artifact"]["digest"] == release.index.descriptor.digest
    assert {each["digest"] for each in done["copied"]} == {each.descriptor.digest for each in release.all}
    assert done["diff"][0]["after_header"] == place(tmp_path / target)
    assert done["diff"][0]["before"] == "" and len(done["diff"][0]["after"].splitlines()) == len(release.all) + 1
    release.check(at(tmp_path / target))
    again = run(ref, to)
    assert (again["changed"], again["reason"], again["copied"]) == (False, "ArtifactUpToDate", [])
    assert again["present"] == len(release.all) and again["diff"] == []


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def registry(server: FaultServer) -> str:
    return f"{server.host}/org/app"


def test_from_and_to_a_registry_without_the_referrers_api(tmp_path: Path, server: FaultServer) -> None:
    release = Release(at(tmp_path / "source"))
    assert run(f"{place(tmp_path / 'source')}:1.0.0", registry(server))["changed"]
    assert server.tags["1.0.0"] == release.index.descriptor.digest
    puts = [seen.path.rpartition("/")[2] for seen in server.requests("PUT", "/manifests/")]
    assert puts[-1] == "1.0.0", "the tag comes last"
    assert puts.index(release.index.descriptor.digest) > max(
        puts.index(child.descriptor.digest) for child in release.children
    )
    back = tmp_path / "back.tar"
    assert run(f"{registry(server)}:1.0.0", place(back))["changed"]
    release.check(at(back))
    count = len(server.requests("PUT"))
    assert not run(f"{place(back)}:1.0.0", registry(server))["changed"]
    assert len(server.requests("PUT")) == count and not server.requests("POST", "^$")


def test_a_broken_upload_is_sent_again_from_its_start(tmp_path: Path, server: FaultServer) -> None:
    large = "0123456789abcdef" * 50_000
    push(at(tmp_path / "source"), large, "1")
    server.script("PUT", "/blobs/uploads/", Answer(503, {"Retry-After": "0"}), Answer(503, {"Retry-After": "0"}))
    options = ConnectionOptions(insecure=True, retries=2)
    copy(CopyOptions(ReferenceOptions(ref=f"{place(tmp_path / 'source')}:1"), registry(server), to_connection=options))
    assert server.blobs[digest_of(large.encode())] == large.encode()
    run(f"{registry(server)}:1", place(tmp_path / "target.tar"))
    assert at(tmp_path / "target.tar").resolve("1").digest == server.tags["1"]


def test_blobs_are_mounted_within_a_registry(server: FaultServer) -> None:
    layer, config = server.add_blob(b"layer"), server.add_blob(b"{}")
    parts = {
        "config": {"mediaType": media.OCI_EMPTY, "digest": config, "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": layer, "size": 5}],
    }
    raw = canonical_json({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, **parts})
    server.add_manifest(raw, "1", media.OCI_MANIFEST)
    for method, answer in (("HEAD", Answer(404)), ("GET", Answer(404, {}, b"{}"))):
        server.always(method, "/v2/mirror/", answer)
    done = run(f"{registry(server)}:1", f"{server.host}/mirror/" + "{repository}")
    assert done["blobs"] == {"existed": 0, "mounted": 2, "uploaded": 0}
    assert done["to"] == f"{server.host}/mirror/org/app:1"
    assert all("from=org%2Fapp" in seen.target for seen in server.requests("POST"))
    assert not server.requests("GET", "/blobs/")


def test_what_was_resolved_is_copied_although_the_tag_moves(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = at(tmp_path / "source")
    first = push(source, "first", "stable")
    original = copy_module.Graph.parts

    def parts(self: Any, root: Manifest) -> Any:
        push(source, "second", "stable")
        return original(self, root)

    monkeypatch.setattr(copy_module.Graph, "parts", parts)
    run(f"{place(tmp_path / 'source')}:stable", place(tmp_path / "target"))
    assert at(tmp_path / "target").fetch_manifest("stable") == first


def test_tags_at_the_target(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    manifest = push(at(source), "new", "1.0.0")
    for tag in ("1.0.0", "stable"):
        push(at(target), "old", tag)
    with pytest.raises(TagImmutable, match="would move to"):
        run(f"{place(source)}:1.0.0", place(target))
    assert at(target).fetch_manifest("1.0.0") != manifest
    assert run(f"{place(source)}:1.0.0", f"{place(target)}:stable")["changed"], "a channel moves"
    assert run(f"{place(source)}:1.0.0", place(target), force=True)["changed"]
    assert at(target).fetch_manifest("1.0.0") == manifest == at(target).fetch_manifest("stable")
    digest = manifest.descriptor.digest
    untagged = run(f"{place(source)}@{digest}", place(tmp_path / "untagged"))
    assert untagged["to"] == place(tmp_path / "untagged")
    assert at(tmp_path / "untagged").list_tags() == []
    assert not run(f"{place(source)}@{digest}", place(tmp_path / "untagged"))["changed"]


@pytest.mark.parametrize("name", ["target", "target.tar"])
def test_a_version_that_somebody_else_wrote_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    push(at(tmp_path / "source"), "mine", "1.0.0")
    original = copy_module._Copy._missing

    def missing(self: Any, *arguments: Any, **options: Any) -> Any:
        found = original(self, *arguments, **options)
        push(at(tmp_path / name), "theirs", "1.0.0")
        return found

    monkeypatch.setattr(copy_module._Copy, "_missing", missing)
    with pytest.raises(TagImmutable, match="would move to"):
        run(f"{place(tmp_path / 'source')}:1.0.0", place(tmp_path / name))
    (layer,) = at(tmp_path / name).fetch_manifest("1.0.0").layers
    assert b"".join(read_blob(at(tmp_path / name), layer)) == b"theirs"


def test_signatures_that_only_the_target_has_stay(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    manifest = push(at(source), "it", "1")
    tag = tag_of(manifest, ".sig")
    ours, theirs = blob(b"ours"), blob(b"theirs")

    def sign(repository: Repository, *layers: BlobSource) -> Manifest:
        config = blob(b"{}", media.OCI_CONFIG)
        for each in (config, *layers):
            repository.push_blob(each)
        listed = [each.descriptor.as_json() for each in layers]
        return push_document(repository, media.OCI_MANIFEST, tag, config=config.descriptor.as_json(), layers=listed)

    sign(at(source), ours)
    run(f"{place(source)}:1", place(target))
    both = sign(at(source), ours, theirs)
    assert run(f"{place(source)}:1", place(target))["changed"], "a signature more comes over"
    assert at(target).fetch_manifest(tag) == both
    fewer = sign(at(source), ours)
    kept = run(f"{place(source)}:1", place(target))
    assert not kept["changed"] and at(target).fetch_manifest(tag) == both
    assert kept["drifted"] == [
        {
            "to": f"{place(target)}:{tag}",
            "tag": tag,
            "source": fewer.descriptor.digest,
            "target": both.descriptor.digest,
        }
    ]
    assert "signatures that the source lacks" in kept["warnings"][0]


def test_what_is_attached_later_comes_over_alone(tmp_path: Path) -> None:
    release = Release(at(tmp_path / "source"))
    ref, to = f"{place(tmp_path / 'source')}:1.0.0", place(tmp_path / "target.tar")
    run(ref, to)
    late = Release._attach(at(tmp_path / "source"), release.sbom, "late")
    done = run(ref, to)
    assert [each["digest"] for each in done["copied"]] == [late.descriptor.digest]
    assert done["present"] == len(release.all)


def test_a_policy_is_satisfied_before_anything_is_copied(tmp_path: Path) -> None:
    push(at(tmp_path / "source"), "it", "1")
    policy = parse_policy({"public_keys": [str(KEYS / "ed25519.pub")]})
    with pytest.raises(VerificationFailed):
        run(f"{place(tmp_path / 'source')}:1", place(tmp_path / "target"), policy=policy)
    assert not (tmp_path / "target").exists()


# -- what cannot be copied


def test_a_source_that_lacks_something(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target.tar"
    release = Release(at(source))
    ref, to = f"{place(source)}:1.0.0", place(target)

    def without(manifest: Manifest, part: str = "") -> Callable[[], None]:
        path = source / "blobs" / (part or manifest.descriptor.digest).replace(":", "/")
        data = path.read_bytes()
        path.unlink()
        return lambda: path.write_bytes(data) and None

    back = without(release.bundle, release.bundle.layers[0].digest)
    with pytest.raises(OciError, match="1 of the [0-9]+ blobs .* are neither in"):
        run(ref, to)
    assert not target.exists()
    back()
    back = without(release.children[0])
    with pytest.raises(NotFound):
        run(ref, to)
    back()
    layer = source / "blobs" / release.children[0].layers[0].digest.replace(":", "/")
    layer.write_bytes(b"AMD64")
    with pytest.raises(DigestMismatch):
        run(ref, to)
    assert not target.exists()
    layer.write_bytes(b"amd64")
    run(ref, to)
    release.check(at(target))


def test_a_referrer_that_is_listed_and_gone_is_left_out(server: FaultServer, tmp_path: Path) -> None:
    release = Release(at(tmp_path / "source"))
    run(f"{place(tmp_path / 'source')}:1.0.0", registry(server))
    gone = release.bundle.descriptor.digest
    del server.manifests[gone]
    done = run(f"{registry(server)}:1.0.0", place(tmp_path / "target"))
    assert len(done["copied"]) == len(release.all) - 1
    assert len(done["warnings"]) == 1 and "was not copied" in done["warnings"][0] and gone in done["warnings"][0]


def test_a_target_that_refuses_half_way_has_no_tag_and_the_next_run_completes(
    server: FaultServer, tmp_path: Path
) -> None:
    release = Release(at(tmp_path / "source"))
    ref = f"{place(tmp_path / 'source')}:1.0.0"
    server.script("PUT", tag_of(release.index, ".att"), Answer(403, {}, b'{"errors": [{"code": "DENIED"}]}'))
    with pytest.raises(OciError, match="403"):
        run(ref, registry(server))
    assert "1.0.0" not in server.tags
    sent = len(server.requests("PUT", "/manifests/"))
    done = run(ref, registry(server))
    assert server.tags["1.0.0"] == release.index.descriptor.digest
    assert done["present"] > 0 and len(server.requests("PUT", "/manifests/")) - sent < sent + len(release.all)


@pytest.mark.parametrize(("limit", "value"), [("MAX_MANIFESTS", 5), ("MAX_BYTES", 2000), ("MAX_DEPTH", 1)])
def test_what_belongs_to_an_artifact_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    Release(at(tmp_path / "source"))
    monkeypatch.setattr(graph, limit, value)
    with pytest.raises(InvalidContent, match="more than is copied"):
        run(f"{place(tmp_path / 'source')}:1.0.0", place(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_tags_that_lead_to_each_other_have_an_end(tmp_path: Path) -> None:
    source = at(tmp_path / "source")
    first = push(source, "first", "1")
    second = push(source, "second", tag_of(first, ".sig"))
    source.push_manifest(first, tag_of(second, ".sig"))
    done = run(f"{place(tmp_path / 'source')}:1", place(tmp_path / "target"))
    assert sorted(at(tmp_path / "target").list_tags()) == sorted(["1", tag_of(first, ".sig"), tag_of(second, ".sig")])
    assert len(done["copied"]) == 3
    assert not run(f"{place(tmp_path / 'source')}:1", place(tmp_path / "target"))["changed"]


def test_an_index_with_other_content_than_manifests(tmp_path: Path) -> None:
    source = at(tmp_path / "source")
    cache = blob(b"a layer of a build cache")
    source.push_blob(cache)
    push_document(source, media.OCI_INDEX, "cache", manifests=[cache.descriptor.as_json()])
    run(f"{place(tmp_path / 'source')}:cache", place(tmp_path / "target"))
    assert b"".join(read_blob(at(tmp_path / "target"), cache.descriptor)) == b"a layer of a build cache"


# -- with which credentials


@pytest.mark.parametrize(
    ("to", "given", "wanted"),
    [
        ("a.example.com/y", None, ("user", "hush", "cert")),
        ("b.example.com/y", None, ("", "", "")),
        ("oci-archive:/x.tar", None, ("", "", "")),
        ("b.example.com/y", AuthOptions(username="other", password="own"), ("other", "own", "")),
        ("a.example.com/y", AuthOptions(username="other", password="own"), ("other", "own", "cert")),
    ],
)
def test_another_registry_gets_no_credentials_of_the_source(
    to: str, given: AuthOptions | None, wanted: tuple[str, str, str]
) -> None:
    auth = AuthOptions(username="user", password="hush", auth_file="/auth.json", provider_registry="a")
    options = CopyOptions(
        ReferenceOptions(ref="a.example.com/x"), to, auth=auth, to_auth=given,
        to_connection=ConnectionOptions(client_cert="cert", client_key="key", insecure=True),
    )  # fmt: skip
    found, connection = access_to(parse_reference(to), parse_reference("a.example.com/x"), options)
    assert (found.username, found.password, connection.client_cert) == wanted
    assert bool(connection.client_key) == bool(wanted[2]) and connection.insecure
    assert (found.auth_file == "/auth.json") == (given is None)


# -- where to


@pytest.mark.parametrize(
    ("to", "tag", "wanted"),
    [
        ("mirror.example.com/{repository}", "1", "mirror.example.com/org/app:1"),
        ("oci://mirror.example.com/{name}:2", "1", "mirror.example.com/app:2"),
        ("oci://mirror.example.com/{registry}/{repository}", "", "mirror.example.com/ghcr.io/org/app"),
        ("oci-archive:/media/{name}.tar", "1", "oci-archive:/media/app.tar:1"),
        ("oci-layout:/media/out", "1", "oci-layout:/media/out:1"),
    ],
)
def test_names(to: str, tag: str, wanted: str) -> None:
    assert str(target_of(to, parse_reference("ghcr.io/org/app"), tag)) == wanted


@pytest.mark.parametrize(
    ("to", "source", "error"),
    [
        ("mirror.example.com/{tag}", "ghcr.io/org/app", InvalidOption),
        ("mirror.example.com/{name}", "oci-layout:/srv/oci", InvalidOption),
        (f"mirror.example.com/x@sha256:{'0' * 64}", "ghcr.io/org/app", InvalidOption),
        ("nowhere", "ghcr.io/org/app", InvalidReference),
        ("user:secret@mirror.example.com/x", "ghcr.io/org/app", InvalidReference),
    ],
)
def test_names_that_cannot_be(to: str, source: str, error: type[OciError], server: FaultServer) -> None:
    with pytest.raises(error) as raised:
        target_of(to, parse_reference(source), "1")
    assert "secret" not in str(raised.value)
    with pytest.raises(error):
        run(source, to)
    assert json.dumps([seen.target for seen in server.seen]) == "[]"
