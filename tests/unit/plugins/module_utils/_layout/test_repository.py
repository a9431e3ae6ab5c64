# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image layout as a repository: what is listed, found, refused and kept."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidContent,
    InvalidReference,
    NotFound,
    OciError,
    PushFailed,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import reader
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import repository as layout_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    MAX_MANIFEST_SIZE,
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import (
    EXISTED,
    MAX_SMALL_BLOB,
    UPLOADED,
    BlobSource,
    Repository,
    read_blob,
)

REF_NAME = media.ANNOTATION_REF_NAME
ABSENT = "sha256:" + "0" * 64


def at(root: Path, **options: Any) -> LayoutRepository:
    return LayoutRepository(Reference(layout=str(root)), **options)


def blob(data: bytes, media_type: str = "application/octet-stream") -> BlobSource:
    return BlobSource(Descriptor(media_type, digest_of(data), len(data)), lambda: io.BytesIO(data))


def push(repository: Repository, content: str, tag: str = "", **fields: Any) -> Manifest:
    """Push an artifact of one layer; its manifest."""
    config, layer = blob(b"{}", media.OCI_EMPTY), blob(content.encode())
    repository.push_blob(config)
    repository.push_blob(layer)
    manifest = manifest_of(config=config.descriptor.as_json(), layers=[layer.descriptor.as_json()], **fields)
    repository.push_manifest(manifest, tag)
    return manifest


def manifest_of(media_type: str = media.OCI_MANIFEST, **fields: Any) -> Manifest:
    return parse_manifest(canonical_json({"schemaVersion": 2, "mediaType": media_type, **fields}), "", "the manifest")


def index_of(*children: Manifest, **fields: Any) -> Manifest:
    return manifest_of(media.OCI_INDEX, manifests=[child.descriptor.as_json() for child in children], **fields)


def entries(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / "index.json").read_bytes())["manifests"]
    return found


def listed(root: Path) -> list[tuple[str, str]]:
    return [((entry.get("annotations") or {}).get(REF_NAME, ""), entry["digest"]) for entry in entries(root)]


def write_entries(root: Path, *found: Mapping[str, Any]) -> None:
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": found}))


def entry_of(manifest: Manifest, name: str = "", **fields: Any) -> dict[str, Any]:
    annotations = {"annotations": {REF_NAME: name}} if name else {}
    return {**manifest.descriptor.as_json(), **annotations, **fields}


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [root, *root.rglob("*")]
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "layout"


# -- pushing


def test_what_is_pushed_is_found(root: Path) -> None:
    repository: Repository = at(root)
    first, second = push(repository, "one", "1.0"), push(repository, "two", "2.0")
    assert repository.list_tags() == ["1.0", "2.0"]
    for tag, manifest in (("1.0", first), ("2.0", second)):
        assert repository.resolve(tag) == manifest.descriptor
        assert repository.resolve(manifest.descriptor.digest) == manifest.descriptor
        assert repository.fetch_manifest(tag) == manifest
    layer = second.layers[0]
    assert repository.blob_exists(layer)
    assert b"".join(read_blob(repository, layer)) == b"two"
    assert b"".join(repository.stream_blob(layer, 1)) == b"wo"
    repository.close()


def test_the_first_push_creates_the_layout_and_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "a/b/c"
    assert at(root).push_blob(blob(b"x")) == UPLOADED
    assert at(root).list_tags() == []
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((root / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [],
    }
    assert sorted(path.name for path in root.iterdir()) == ["blobs", "index.json", "oci-layout"]


def test_a_registry_is_no_layout() -> None:
    with pytest.raises(InvalidReference, match="example.com/app"):
        LayoutRepository(Reference(registry="example.com", repository="app"))


def test_a_home_directory_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    push(LayoutRepository(Reference(layout="~/layout")), "x", "1")
    assert at(tmp_path / "layout").list_tags() == ["1"]


def test_a_relative_path_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository = LayoutRepository(Reference(layout="layout"))
    monkeypatch.chdir("/")
    push(repository, "x", "1")
    assert at(tmp_path / "layout").list_tags() == ["1"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_follow_the_umask(root: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        push(at(root), "x", "1")
        push(at(root), "x", "2")
    finally:
        os.umask(before)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    folders = [path for path in [root, *root.rglob("*")] if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o777 & ~umask}


@pytest.mark.parametrize("tag", ["1.0", ""])
def test_pushing_again_changes_nothing_on_disk(root: Path, tag: str) -> None:
    push(at(root), "x", tag)
    before = snapshot(root)
    push(at(root), "x", tag)
    after = snapshot(root)
    # the folder for what is under way comes and goes
    assert {path for path in before if before[path] != after.get(path)} <= {str(root)}
    assert before.keys() == after.keys()


def test_the_index_does_not_depend_on_the_order_of_tags(tmp_path: Path) -> None:
    for place, tags in (("a", "321"), ("b", "213")):
        for tag in tags:
            push(at(tmp_path / place), "content " + tag, tag)
    assert (tmp_path / "a/index.json").read_bytes() == (tmp_path / "b/index.json").read_bytes()


def test_one_manifest_under_two_tags(root: Path) -> None:
    digest = push(at(root), "x", "latest").descriptor.digest
    push(at(root), "x", "1.0")
    assert listed(root) == [("1.0", digest), ("latest", digest)]


def test_a_moved_tag_leaves_the_old_manifest_listed(root: Path) -> None:
    old, new = push(at(root), "old", "1"), push(at(root), "new", "1")
    assert listed(root) == [("1", new.descriptor.digest), ("", old.descriptor.digest)]
    assert "annotations" not in entries(root)[1]
    assert at(root).fetch_manifest(old.descriptor.digest) == old


def test_a_moved_tag_leaves_no_second_entry_of_a_manifest_with_another_tag(root: Path) -> None:
    old = push(at(root), "old", "1")
    push(at(root), "old", "2")
    new = push(at(root), "new", "1")
    assert listed(root) == [("1", new.descriptor.digest), ("2", old.descriptor.digest)]


def test_a_tag_that_moves_there_and_back(root: Path) -> None:
    old, new = push(at(root), "old", "1"), push(at(root), "new", "1")
    push(at(root), "old", "1")
    assert listed(root) == [("1", old.descriptor.digest), ("", new.descriptor.digest)]


def test_a_tag_replaces_the_entry_without_one_and_keeps_what_others_wrote(root: Path) -> None:
    manifest = push(at(root), "x")
    assert listed(root) == [("", manifest.descriptor.digest)]
    write_entries(root, entry_of(manifest, platform={"os": "linux", "architecture": "arm64"}, annotations={"a": "b"}))
    push(at(root), "x", "1")
    assert entries(root) == [
        entry_of(manifest, platform={"os": "linux", "architecture": "arm64"}, annotations={"a": "b", REF_NAME: "1"})
    ]


def test_an_untagged_push_adds_nothing_for_a_listed_manifest(root: Path) -> None:
    digest = push(at(root), "x", "1").descriptor.digest
    push(at(root), "x")
    assert listed(root) == [("1", digest)]


def test_what_others_wrote_into_the_index_stays(root: Path) -> None:
    other = push(at(root), "other")
    document = {
        "schemaVersion": 2,
        "annotations": {"com.example": "\ud800"},
        "manifests": [{**entry_of(other), "urls": ["https://example.com"], "x-vendor": [1]}],
    }
    (root / "index.json").write_text(json.dumps(document))
    manifest = push(at(root), "x", "1")
    found = json.loads((root / "index.json").read_bytes())
    assert found == {**document, "manifests": [entry_of(manifest, "1"), *document["manifests"]]}


def test_the_old_name_goes_with_the_tag_and_the_rest_stays(root: Path) -> None:
    old = push(at(root), "old")
    names = {REF_NAME: "1", "io.containerd.image.name": "docker.io/library/x:1", "com.example": "kept"}
    write_entries(root, entry_of(old, annotations=names))
    push(at(root), "new", "1")
    assert entries(root)[1] == entry_of(old, annotations={"com.example": "kept"})


def test_an_artifact_type_is_listed(root: Path) -> None:
    push(at(root), "x", "1", artifactType="application/vnd.example")
    assert entries(root)[0]["artifactType"] == "application/vnd.example"


@pytest.mark.parametrize("missing", ["config", "layers", "manifests"])
def test_a_manifest_whose_parts_are_missing_is_refused(root: Path, missing: str) -> None:
    known = push(at(root), "x", "1")
    absent = {"mediaType": media.OCI_MANIFEST, "digest": ABSENT, "size": 10}
    if missing == "manifests":
        broken = manifest_of(media.OCI_INDEX, manifests=[known.descriptor.as_json(), absent])
    else:
        parts: dict[str, Any] = {"config": known.layers[0].as_json(), "layers": [known.layers[0].as_json()]}
        parts[missing] = absent if missing == "config" else [*parts["layers"], absent]
        broken = manifest_of(**parts)
    before = snapshot(root)
    with pytest.raises(PushFailed) as caught:
        at(root).push_manifest(broken, "2")
    assert ABSENT in caught.value.message
    assert broken.descriptor.digest in caught.value.message
    assert snapshot(root) == before


def test_a_subject_may_come_later(root: Path) -> None:
    push(at(root), "x", "1", subject={"mediaType": media.OCI_MANIFEST, "digest": ABSENT, "size": 10})
    assert at(root).list_tags() == ["1"]


@pytest.mark.parametrize("tag", ["../x", "a b", ".x", "x" * 129, "sha256:" + "a" * 64])
def test_a_malformed_tag_is_refused(root: Path, tag: str) -> None:
    manifest = push(at(root), "x", "1")
    with pytest.raises(InvalidReference):
        at(root).push_manifest(manifest, tag)
    assert at(root).list_tags() == ["1"]


def test_blobs_that_are_there_are_not_read(root: Path) -> None:
    source = blob(b"x" * 100)
    assert at(root).push_blob(source) == UPLOADED
    unread = BlobSource(source.descriptor, lambda: pytest.fail("opened"))
    assert at(root).push_blob(unread, mount_from=["elsewhere"]) == EXISTED


def test_a_small_damaged_blob_is_healed_by_a_push(root: Path) -> None:
    manifest = push(at(root), "content", "1")
    for damaged in (manifest.descriptor, manifest.layers[0]):
        path = Path(at(root).store.path(damaged.digest))
        path.write_bytes(b"x" * damaged.size)
    assert push(at(root), "content", "1") == manifest
    assert at(root).fetch_manifest("1") == manifest
    assert b"".join(read_blob(at(root), manifest.layers[0])) == b"content"


def test_a_large_blob_is_compared_by_size(root: Path) -> None:
    source = blob(b"x" * (MAX_SMALL_BLOB + 1))
    at(root).push_blob(source)
    path = Path(at(root).store.path(source.descriptor.digest))
    path.write_bytes(b"y" * (MAX_SMALL_BLOB + 1))
    assert at(root).push_blob(source) == EXISTED
    os.truncate(path, 5)
    assert at(root).push_blob(source) == UPLOADED


def test_a_source_with_other_content_is_refused(root: Path) -> None:
    source = BlobSource(blob(b"right").descriptor, lambda: io.BytesIO(b"wrong"))
    with pytest.raises(DigestMismatch):
        at(root).push_blob(source)
    assert not at(root).blob_exists(source.descriptor)


def test_a_source_that_cannot_be_read_is_named(root: Path, tmp_path: Path) -> None:
    source = BlobSource(blob(b"x").descriptor, lambda: (tmp_path / "gone").open("rb"))
    with pytest.raises(PushFailed, match=f"{source.descriptor.digest} cannot be read: No such file"):
        at(root).push_blob(source)


# -- reading


def test_entries_named_by_a_whole_reference(root: Path) -> None:
    one, two, three = (push(at(root), content) for content in ("one", "two", "three"))
    write_entries(
        root,
        entry_of(one, "docker.io/library/x:1.0"),
        entry_of(two, "localhost:5000/app:2.0"),
        entry_of(three, "2.0"),
        entry_of(three, "localhost:5000/app"),
        entry_of(three, f"example.com/app@{three.descriptor.digest}"),
        entry_of(three, "example.com/app:tag/with/path"),
        entry_of(three, "no tag at all"),
    )
    assert at(root).list_tags() == ["1.0", "2.0"]
    assert at(root).resolve("1.0") == one.descriptor
    assert at(root).resolve("2.0") == three.descriptor, "the exact tag goes before the tag of a reference"


def test_a_tag_part_that_two_references_share_is_ambiguous(root: Path) -> None:
    one, two = push(at(root), "one"), push(at(root), "two")
    write_entries(root, entry_of(one, "example.com/a:1.0"), entry_of(two, "example.com/b:1.0"), entry_of(two, "x"))
    assert at(root).list_tags() == ["x"]
    with pytest.raises(InvalidContent, match="2 manifests under the tag '1.0'") as caught:
        at(root).resolve("1.0")
    assert one.descriptor.digest in caught.value.hint
    assert two.descriptor.digest in caught.value.hint


def test_a_tag_listed_twice_is_fine_for_one_manifest_and_refused_for_two(root: Path) -> None:
    one, two = push(at(root), "one"), push(at(root), "two")
    write_entries(root, entry_of(one, "1"), entry_of(one, "1"))
    assert at(root).resolve("1") == one.descriptor
    push(at(root), "one", "1")
    assert ("1", one.descriptor.digest) in listed(root)
    assert len(listed(root)) == 1, "the second entry said nothing"
    write_entries(root, entry_of(one, "1"), entry_of(two, "1"))
    with pytest.raises(InvalidContent, match="2 manifests"):
        at(root).resolve("1")
    push(at(root), "two", "1")
    assert listed(root) == [("1", two.descriptor.digest), ("", one.descriptor.digest)]


def test_no_identifier_means_latest(root: Path) -> None:
    push(at(root), "one", "1")
    with pytest.raises(NotFound, match="no tag 'latest'"):
        at(root).resolve("")
    latest = push(at(root), "two", "latest")
    assert at(root).resolve("") == latest.descriptor


def test_no_identifier_means_the_only_manifest_of_a_layout_without_tags(root: Path) -> None:
    only = push(at(root), "one")
    assert at(root).resolve("") == only.descriptor
    write_entries(root, entry_of(only), entry_of(only))
    assert at(root).resolve("") == only.descriptor
    with pytest.raises(NotFound):
        at(root).resolve("latest")
    push(at(root), "two")
    with pytest.raises(NotFound, match="It has no tags; it lists 2 manifests"):
        at(root).resolve("")


def test_a_manifest_that_lost_its_tag_is_not_the_only_one(root: Path) -> None:
    push(at(root), "old", "1")
    push(at(root), "new", "1")
    with pytest.raises(NotFound):
        at(root).resolve("")


def test_a_missing_tag_is_told_with_ten_that_are_there(root: Path) -> None:
    for number in range(12):
        push(at(root), "x", f"1.{number:02}")
    with pytest.raises(NotFound) as caught:
        at(root).resolve("2.0")
    assert caught.value.message == f"The layout {root} has no tag '2.0'."
    assert caught.value.hint == f"It has {', '.join(f'1.{number:02}' for number in range(10))} and 2 more."
    with pytest.raises(NotFound, match=f"has no manifest {ABSENT}"):
        at(root).resolve(ABSENT)


def test_a_digest_needs_no_entry(root: Path) -> None:
    one, two = push(at(root), "one"), push(at(root), "two")
    outer = index_of(one, two)
    at(root).push_manifest(outer, "1")
    write_entries(root, entry_of(outer, "1"))
    for manifest in (one, two, outer):
        assert at(root).resolve(manifest.descriptor.digest) == manifest.descriptor
        assert at(root).fetch_manifest(manifest.descriptor.digest) == manifest
    assert at(root).fetch_manifest("1").is_index


def test_an_entry_without_media_type_is_told_by_its_content(root: Path) -> None:
    one = push(at(root), "one")
    outer = index_of(one)
    at(root).push_manifest(outer)
    untyped = [{k: v for k, v in entry_of(m, t).items() if k != "mediaType"} for m, t in ((one, "1"), (outer, "2"))]
    write_entries(root, *untyped)
    assert at(root).resolve("1") == one.descriptor
    assert at(root).resolve("2") == outer.descriptor


def test_sha512(root: Path) -> None:
    manifest = push(at(root), "x", "1")
    digest = digest_of(manifest.raw, "sha512")
    at(root).store.add(Descriptor("", digest, len(manifest.raw)), [manifest.raw])
    write_entries(root, entry_of(manifest, "1", digest=digest))
    assert at(root).resolve("1").digest == digest
    assert at(root).fetch_manifest("1").raw == manifest.raw


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda path: path.unlink(), NotFound, "lacks its blob"),
        (lambda path: path.write_bytes(b"short"), DigestMismatch, "has 5 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b" "), DigestMismatch, "does not match its digest"),
    ],
)
def test_a_damaged_manifest_is_refused(
    root: Path, damage: Callable[[Path], Any], error: type[OciError], words: str
) -> None:
    manifest = push(at(root), "x", "1")
    damage(Path(at(root).store.path(manifest.descriptor.digest)))
    with pytest.raises(error, match=words):
        at(root).fetch_manifest("1")


def test_a_manifest_has_a_limit(root: Path) -> None:
    at(root).push_blob(blob(b"x"))
    large = b" " * (MAX_MANIFEST_SIZE + 1)
    digest = digest_of(large)
    at(root).store.add(Descriptor("", digest, len(large)), [large])
    with pytest.raises(InvalidContent, match=f"has {len(large)} bytes"):
        at(root).fetch_manifest(digest)


def test_a_blob_that_is_no_manifest_is_refused(root: Path) -> None:
    at(root).push_blob(blob(b"<html>"))
    with pytest.raises(InvalidContent, match="not JSON"):
        at(root).resolve(digest_of(b"<html>"))


def test_a_change_by_others_is_noticed(root: Path) -> None:
    reader = at(root)
    push(at(root), "one", "1")
    assert reader.list_tags() == ["1"]
    push(at(root), "two", "2")
    assert reader.list_tags() == ["1", "2"]


# -- referrers


def refer(repository: Repository, content: str, subject: Manifest, tag: str = "", **fields: Any) -> Manifest:
    return push(repository, content, tag, subject=subject.descriptor.as_json(), **fields)


def test_referrers_are_found_by_their_subject(root: Path) -> None:
    repository = at(root)
    subject, other = push(repository, "x", "1"), push(repository, "y", "2")
    signature = refer(repository, "s", subject, artifactType="example/signature", annotations={"a": "b"})
    untyped = refer(repository, "t", subject)
    refer(repository, "z", other, artifactType="example/signature")
    outer = index_of(other, subject=subject.descriptor.as_json(), artifactType="example/index")
    repository.push_manifest(outer)
    found = repository.list_referrers(subject.descriptor.digest)
    assert [(item.digest, item.artifact_type) for item in found] == [
        (signature.descriptor.digest, "example/signature"),
        (untyped.descriptor.digest, media.OCI_EMPTY),
        (outer.descriptor.digest, "example/index"),
    ]
    assert found[0].annotations == {"a": "b"}
    assert found[0].size == len(signature.raw)
    assert found[0].media_type == media.OCI_MANIFEST
    assert repository.list_referrers(subject.descriptor.digest, "example/signature") == found[:1]
    assert repository.list_referrers(ABSENT) == []


def test_referrers_behind_a_referrers_tag_are_found_once(root: Path) -> None:
    repository = at(root)
    subject = push(repository, "x", "1")
    hidden, open_one = refer(repository, "h", subject), refer(repository, "o", subject)
    stranger = push(repository, "stranger")
    fallback = index_of(hidden, open_one, stranger)
    repository.push_manifest(fallback)
    tag = subject.descriptor.digest.replace(":", "-")
    write_entries(root, entry_of(subject, "1"), entry_of(open_one), entry_of(fallback, tag))
    found = [item.digest for item in repository.list_referrers(subject.descriptor.digest)]
    assert found == [open_one.descriptor.digest, hidden.descriptor.digest]
    assert tag in repository.list_tags()


def test_what_is_missing_or_damaged_is_no_referrer(root: Path) -> None:
    repository = at(root)
    subject = push(repository, "x", "1")
    missing, damaged, fine = (refer(repository, content, subject) for content in "mdf")
    os.unlink(repository.store.path(missing.descriptor.digest))
    Path(repository.store.path(damaged.descriptor.digest)).write_bytes(b" " + damaged.raw[1:])
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": ABSENT, "size": 1}
    write_entries(root, *map(entry_of, (missing, damaged, fine)), layer)
    assert [item.digest for item in at(root).list_referrers(subject.descriptor.digest)] == [fine.descriptor.digest]


def test_what_an_index_lists_as_something_else_is_no_referrer(root: Path) -> None:
    repository = at(root)
    subject = push(repository, "x", "1")
    signature = refer(repository, "s", subject)
    write_entries(root, entry_of(signature, mediaType=media.OCI_LAYER_GZIP))
    assert repository.list_referrers(subject.descriptor.digest) == []


def test_a_referrer_that_comes_back_is_found(root: Path) -> None:
    repository = at(root)
    subject = push(repository, "x", "1")
    signature = refer(repository, "s", subject)
    os.unlink(repository.store.path(signature.descriptor.digest))
    assert repository.list_referrers(subject.descriptor.digest) == []
    refer(at(root), "s", subject)
    assert len(repository.list_referrers(subject.descriptor.digest)) == 1


def test_the_search_for_referrers_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_SCANNED", 3)
    repository = at(root)
    outer = index_of(push(repository, "a"), push(repository, "b"))
    repository.push_manifest(outer)
    assert repository.list_referrers(ABSENT) == []
    write_entries(root, entry_of(outer))
    assert repository.list_referrers(ABSENT) == []
    repository.push_manifest(index_of(outer))
    with pytest.raises(InvalidContent, match="more than 3 manifests"):
        repository.list_referrers(ABSENT)


def test_a_hostile_digest_has_no_referrers(root: Path) -> None:
    push(at(root), "x", "1")
    with pytest.raises(InvalidReference):
        at(root).list_referrers("sha256:../../x")


# -- what is no layout

READS: list[Callable[[LayoutRepository], Any]] = [
    lambda repository: repository.resolve("1"),
    lambda repository: repository.resolve(""),
    lambda repository: repository.resolve(ABSENT),
    lambda repository: repository.fetch_manifest("1"),
    lambda repository: repository.list_tags(),
    lambda repository: repository.list_referrers(ABSENT),
]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "the directory does not exist"),
        (lambda root: root.mkdir(), "is not an OCI image layout: it has no file oci-layout"),
        (lambda root: root.write_bytes(b"tar"), "it is not a directory"),
        (lambda root: (root.mkdir(), os.mkfifo(root / "oci-layout")), "it has no file oci-layout"),
        (
            lambda root: (root.mkdir(), (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')),
            "it has no file index.json",
        ),
    ],
)
@pytest.mark.parametrize("read", READS)
def test_what_is_no_layout_is_not_found(
    root: Path, make: Callable[[Path], Any], words: str, read: Callable[[LayoutRepository], Any]
) -> None:
    make(root)
    with pytest.raises(NotFound) as caught:
        read(at(root))
    assert words in caught.value.message
    assert str(root) in caught.value.message
    assert at(root).blob_exists(blob(b"x").descriptor) is False


GOOD_ENTRY = {"mediaType": media.OCI_MANIFEST, "digest": ABSENT, "size": 3}
HOSTILE_INDEXES = [
    b"",
    b"<html>",
    b'{"schemaVersion":2,"manifests":[',
    b"[]",
    b"null",
    b"{}",
    b'{"schemaVersion":1,"manifests":[]}',
    b'{"schemaVersion":2,"manifests":{}}',
    b'{"schemaVersion":2,"manifests":["x"]}',
    b"[" * 100_000,
    b"\xff\xfe",
    *(
        json.dumps({"schemaVersion": 2, "manifests": [{**GOOD_ENTRY, **change}]}).encode()
        for change in (
            {"digest": "sha256:../../etc/passwd"},
            {"digest": 7},
            {"size": -1},
            {"size": "3"},
            {"size": True},
            {"annotations": ["x"]},
            {"annotations": {REF_NAME: 1}},
            {"mediaType": {}},
            {"platform": "linux"},
        )
    ),
]


@pytest.mark.parametrize("content", HOSTILE_INDEXES)
def test_a_malformed_index_is_refused_by_readers_and_writers(
    root: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "_RETRY_PAUSES", ())
    manifest = push(at(root), "x", "1")
    (root / "index.json").write_bytes(content)
    for use in [*READS, lambda repository: repository.push_manifest(manifest, "2")]:
        with pytest.raises(InvalidContent) as caught:
            use(at(root))
        assert str(root / "index.json") in caught.value.message
        assert "registry" not in str(caught.value)
    assert (root / "index.json").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"imageLayoutVersion":"2.0.0"}', "has version '2.0.0', not '1.0.0'"),
        (b"{}", "has version 'None'"),
        (b"not json", "is not JSON"),
    ],
)
def test_a_layout_of_another_version_is_refused(
    root: Path, content: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "_RETRY_PAUSES", ())
    manifest = push(at(root), "x", "1")
    (root / "oci-layout").write_bytes(content)
    for use in [*READS, lambda repository: repository.push_manifest(manifest, "2")]:
        with pytest.raises(InvalidContent, match=words):
            use(at(root))


def test_an_index_has_a_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(at(root), "x", "1")
    monkeypatch.setattr(layout_module, "MAX_INDEX_SIZE", 100)
    with pytest.raises(InvalidContent, match="more than the 100 bytes allowed"):
        at(root).list_tags()


def test_an_endless_index_is_no_index(root: Path) -> None:
    push(at(root), "x", "1")
    (root / "index.json").unlink()
    (root / "index.json").symlink_to("/dev/zero")
    with pytest.raises(NotFound, match=r"no file index\.json"):
        at(root).list_tags()


def test_an_index_json_that_is_none_of_ours_is_not_touched(root: Path) -> None:
    root.mkdir()
    (root / "index.json").write_text('{"pages": []}')
    before = snapshot(root)
    with pytest.raises(InvalidContent, match="is not an image index"):
        push(at(root), "x", "1")
    assert snapshot(root) == before


def test_an_empty_oci_layout_of_a_killed_writer_is_completed(root: Path) -> None:
    root.mkdir()
    (root / "oci-layout").touch()
    # a copy looks for the tag before it writes anything
    with pytest.raises(NotFound, match="no OCI image layout yet: its file oci-layout is empty"):
        at(root).resolve("1")
    push(at(root), "x", "1")
    assert at(root).list_tags() == ["1"]


def test_a_missing_index_is_written_by_the_next_push(root: Path) -> None:
    push(at(root), "x", "1")
    (root / "index.json").unlink()
    push(at(root), "x", "2")
    assert at(root).list_tags() == ["2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(ABSENT),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["digest", "size", "annotations", "mediaType", REF_NAME, "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    root = tmp_path_factory.mktemp("prepared")
    return root, push(at(root), "x")


@settings(max_examples=150, deadline=None)
@given(manifests=JSON, extra=st.dictionaries(st.text(max_size=3), JSON, max_size=2))
def test_whatever_the_index_holds_only_our_errors_come_out(
    prepared: tuple[Path, Manifest], manifests: Any, extra: dict[str, Any]
) -> None:
    root, manifest = prepared
    (root / "index.json").write_text(json.dumps({**extra, "schemaVersion": 2, "manifests": manifests}))
    for use in [*READS, lambda repository: repository.push_manifest(manifest, "2")]:
        with contextlib.suppress(OciError):
            use(at(root))


def test_a_file_that_another_tool_is_writing_gets_time_to_settle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(at(root), "x", "1")
    whole = (root / "index.json").read_bytes()
    (root / "index.json").write_bytes(whole[:50])
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        # in the first the tool writes on, in the second it comes to its end
        (root / "index.json").write_bytes(whole[: 60 if len(pauses) == 1 else None])

    monkeypatch.setattr(layout_module, "time", SimpleNamespace(sleep=pause))
    assert at(root).list_tags() == ["1"]
    assert len(pauses) == 2 and sum(layout_module._RETRY_PAUSES) > 0.1


def test_a_large_layout_is_read_in_reasonable_time(root: Path) -> None:
    manifest = push(at(root), "x")
    write_entries(root, *(entry_of(manifest, f"1.0.{number}") for number in range(20_000)))
    repository = at(root)
    started = time.process_time()
    for _call in range(20):
        assert repository.resolve("1.0.19999") == manifest.descriptor
    assert time.process_time() - started < 3


def test_a_lock_that_is_not_given_is_named(root: Path) -> None:
    manifest = push(at(root), "x", "1")
    with open(root / "oci-layout") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert at(root).list_tags() == ["1"], "readers need no lock"
        with pytest.raises(StorageError, match=rf"Waited 0\.2 seconds for the lock on {root}/oci-layout"):
            at(root, lock_timeout=0.2).push_manifest(manifest, "2")
    at(root, lock_timeout=0.2).push_manifest(manifest, "2")
