# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a push does with each tag, in which order, and what it leaves alone; over a real layout whose calls are kept."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidOption,
    InvalidReference,
    InvalidSelection,
    NotFound,
    OciError,
    PushFailed,
    TagImmutable,
)
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
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource, read_small_blob
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.immutable_tags import is_immutable
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import push as push_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, Input
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, PushResult, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

WRITES = ("push_blob", "push_manifest")


class Spy(LayoutRepository):
    """A layout that keeps what it was asked, and fails where it is told to."""

    def __init__(self, reference: Reference, calls: list[tuple[str, str]], fail: Sequence[str]) -> None:
        super().__init__(reference)
        self.calls = calls
        self._fail = fail

    def _note(self, call: str, what: str) -> None:
        self.calls.append((call, what))
        if what in self._fail:
            raise PushFailed(f"{call} {what} failed")

    def resolve(self, identifier: str) -> Descriptor:
        self._note("resolve", identifier)
        return super().resolve(identifier)

    def fetch_manifest(self, identifier: str) -> Manifest:
        self._note("fetch_manifest", identifier)
        found = super().resolve(identifier)
        return self._read_manifest(found)

    def stream_blob(self, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        self._note("stream_blob", descriptor.media_type)
        return super().stream_blob(descriptor, offset)

    def push_blob(self, source: BlobSource, mount_from: Sequence[str] = ()) -> str:
        self._note("push_blob", source.descriptor.media_type)
        return super().push_blob(source, mount_from)

    def push_manifest(self, manifest: Manifest, tag: str = "") -> None:
        self._note("push_manifest", tag)
        super().push_manifest(manifest, tag)


class Place:
    """A layout to push to, with content beside it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "layout"
        self.content = folder / "content"
        self.content.mkdir()
        self.fail: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.opened: list[bool] = []
        self.write("one")

        def open_to_write(reference: Reference, *_options: Any, check_mode: bool, **_shared: Any) -> Spy:
            self.opened.append(not check_mode)
            return Spy(reference, self.calls, self.fail)

        monkeypatch.setattr(push_module, "open_to_write", open_to_write)
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)

    def write(self, text: str, name: str = "a.yaml") -> None:
        (self.content / name).write_text(text)

    @property
    def repository(self) -> LayoutRepository:
        return LayoutRepository(Reference(layout=str(self.root)))

    def tags(self) -> dict[str, str]:
        if not self.root.exists():
            return {}
        repository = self.repository
        return {tag: repository.resolve(tag).digest for tag in repository.list_tags()}

    def options(self, tag: str = "", build: dict[str, Any] | None = None, **options: Any) -> PushOptions:
        return PushOptions(
            ReferenceOptions(url=f"oci-layout:{self.root}", tag=tag),
            BuildOptions([Input(str(self.content))], **(build or {})),
            **options,
        )

    def push(
        self,
        tag: str = "",
        build: dict[str, Any] | None = None,
        check: bool = False,
        diff: bool = False,
        **options: Any,
    ) -> PushResult:
        self.calls.clear()
        return push(self.options(tag, build, **options), check_mode=check, want_diff=diff)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in WRITES]

    def change(self, tag: str, **changes: Any) -> str:
        """Publish a variant of what a tag holds under the same tag, as another tool would have made it."""
        repository = self.repository
        document = json.loads(repository.fetch_manifest(tag).raw)
        document.update(changes)
        return self.publish(document, tag)

    def publish(self, document: dict[str, Any], tag: str) -> str:
        manifest = parse_manifest(canonical_json(document), "", "the manifest")
        self.repository.push_manifest(manifest, tag)
        return manifest.descriptor.digest

    def blob(self, data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
        found = Descriptor(media_type, digest_of(data), len(data), **fields)
        self.repository.push_blob(BlobSource(found, lambda: io.BytesIO(data)))
        return found.as_json()

    def recompress(self, tag: str, level: int = 9) -> str:
        """The same artifact with its layer compressed otherwise."""
        repository = self.repository
        layer = repository.fetch_manifest(tag).layers[0]
        plain = gzip.decompress(read_small_blob(repository, layer))
        data = gzip.compress(plain, level, mtime=1)
        assert digest_of(data) != layer.digest
        return self.change(tag, layers=[self.blob(data, layer.media_type, annotations=layer.annotations)])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


# New, unchanged, moved


def test_new(place: Place) -> None:
    done = place.push("1.0.0", tags=["stable", "1.0.0"])
    assert (done.changed, done.reason) == (True, "ArtifactPushed")
    assert done.tags == {"1.0.0": "created", "stable": "created"}
    assert done.blobs == {"existed": 0, "mounted": 0, "uploaded": 2}
    assert place.tags() == {"1.0.0": done.artifact["digest"], "stable": done.artifact["digest"]}
    assert done.artifact["revision"] == f"1.0.0@{done.artifact['digest']}"
    # blobs first, tags last, in the order given
    assert [call for call, _what in place.writes] == ["push_blob", "push_blob", "push_manifest", "push_manifest"]
    assert [what for call, what in place.writes if call == "push_manifest"] == ["1.0.0", "stable"]


def test_unchanged_asks_for_each_tag_and_nothing_else(place: Place) -> None:
    first = place.push("1", tags=["2"])
    again = place.push("1", tags=["2"])
    assert place.calls == [("resolve", "1"), ("resolve", "2")]
    assert (again.changed, again.reason, again.artifact) == (False, "ArtifactUpToDate", first.artifact)
    assert again.tags == {"1": "unchanged", "2": "unchanged"}
    assert again.blobs == {"existed": 0, "mounted": 0, "uploaded": 0}


def test_another_tag_for_what_is_there_sends_no_blob(place: Place) -> None:
    place.push("1")
    done = place.push("1", tags=["2"])
    assert (done.changed, done.tags) == (True, {"1": "unchanged", "2": "created"})
    assert place.writes == [("push_manifest", "2")]


def test_tag_moves_to_new_content(place: Place) -> None:
    old = place.push("main").artifact["digest"]
    place.write("two")
    done = place.push("main")
    assert done.tags == {"main": "moved"} and place.tags()["main"] == done.artifact["digest"] != old


def test_new_annotation_is_new_content(place: Place) -> None:
    place.push("main")
    done = place.push("main", {"revision": "main@sha1:2"})
    assert done.tags == {"main": "moved"} and done.blobs == {"existed": 2, "mounted": 0, "uploaded": 0}


def test_index_under_the_tag(place: Place) -> None:
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}
    index = place.publish(document, "main")
    place.publish(document, "1.0.0")
    assert place.push("main", check=True).tags == {"main": "moved"}
    assert place.calls == [("resolve", "main")]  # that it is an index says enough
    assert place.push("main", diff=True).tags == {"main": "moved"}
    with pytest.raises(TagImmutable, match=index):
        place.push("1.0.0")


# Which tags


@pytest.mark.parametrize(
    ("tag", "tags", "wanted"),
    [("", [], ["latest"]), ("a", [], ["a"]), ("", ["a", "b"], ["a", "b"]), ("b", ["a", "b"], ["b", "a"])],
)
def test_which_tags(tag: str, tags: list[str], wanted: list[str], place: Place) -> None:
    assert list(place.push(tag, tags=tags).tags) == wanted
    assert sorted(place.tags()) == sorted(wanted)


@pytest.mark.parametrize(("tag", "wanted"), [("", "1.2.3_build"), ("mine", "mine")])
def test_tag_of_a_chart(tag: str, wanted: str, place: Place) -> None:
    place.write("apiVersion: v2\nname: demo\nversion: 1.2.3+build\n", "Chart.yaml")
    assert list(place.push(tag, {"type": "helm"}).tags) == [wanted]


def test_version_with_a_plus_is_no_tag(place: Place) -> None:
    with pytest.raises(InvalidReference, match=r"1\.2\.3_build"):
        place.push(tags=["1.2.3+build"])
    assert not place.root.exists()


def test_digest_cannot_be_pushed_to(place: Place) -> None:
    options = replace(place.options(), reference=ReferenceOptions(ref=f"oci-layout:{place.root}@{digest_of(b'')}"))
    with pytest.raises(InvalidOption, match="names a digest"):
        push(options)


# Tags that must not move


def test_nothing_is_sent_when_one_of_several_tags_is_refused(place: Place) -> None:
    place.push("1.0.0", tags=["main"])
    before = place.tags()
    place.write("two")
    with pytest.raises(TagImmutable, match=r"1\.0\.0 holds sha256:"):
        place.push("2.0.0", tags=["main", "1.0.0"])
    assert place.writes == [] and place.tags() == before
    with pytest.raises(TagImmutable):
        place.push("1.0.0", check=True)


def test_force_moves_what_is_protected(place: Place) -> None:
    place.push("1.0.0")
    place.write("two")
    assert place.push("1.0.0", force=True).tags == {"1.0.0": "moved"}


@pytest.mark.parametrize(
    ("tag", "pattern", "protected"),
    [
        ("1.2.3", None, True), ("v1.2.3", None, True), ("1.2.3-rc.1", None, True), ("1.2.3_build", None, True),
        ("1.2", None, False), ("latest", None, False), ("main", None, False), ("sha-1.2.3x_", None, False),
        ("1.2.3", "", False), ("latest", "^lat", True), ("latest", "est", True), ("1.2.3", "^v", False),
    ],
)  # fmt: skip
def test_which_tags_are_protected(tag: str, pattern: str | None, protected: bool) -> None:
    assert is_immutable(tag, pattern) is protected


def test_expression_that_does_not_parse(place: Place) -> None:
    place.push("main")
    place.write("two")
    with pytest.raises(InvalidSelection, match="immutable_tags"):
        place.push("a tag that is not there".replace(" ", "-"), immutable_tags="(")
    with pytest.raises(InvalidSelection, match="immutable_tags"):
        place.push("main", immutable_tags="(")
    assert place.writes == []


# The same content, made elsewhere


def test_same_content_compressed_otherwise(place: Place) -> None:
    place.push("1.0.0")
    theirs = place.recompress("1.0.0")
    done = place.push("1.0.0")
    assert (done.changed, done.tags, place.writes) == (False, {"1.0.0": "unchanged"}, [])
    assert done.artifact["digest"] == theirs  # what the tag holds is what is reported


def test_further_tags_get_what_is_published(place: Place) -> None:
    place.push("1.0.0")
    theirs = place.recompress("1.0.0")
    done = place.push("1.0.0", tags=["stable"])
    assert place.writes == [("push_manifest", "stable")]
    assert place.tags() == {"1.0.0": theirs, "stable": theirs} and done.artifact["digest"] == theirs


@pytest.mark.parametrize("order", [["1.0.0", "1.0.1"], ["1.0.1", "1.0.0"]])
def test_two_tags_with_the_same_content_in_two_forms(order: list[str], place: Place) -> None:
    ours = place.push("1.0.0", tags=["1.0.1"]).artifact["digest"]
    theirs = place.recompress("1.0.1")
    done = place.push(tags=[*order, "new"])
    assert done.tags == {"1.0.0": "unchanged", "1.0.1": "unchanged", "new": "created"}
    first = {"1.0.0": ours, "1.0.1": theirs}[order[0]]
    assert place.tags() == {"1.0.0": ours, "1.0.1": theirs, "new": first}
    assert done.artifact["digest"] == first and done.artifact["revision"] == f"{order[0]}@{first}"


@pytest.mark.parametrize("kind", ["flux", "files"])
def test_other_content_is_told_apart_without_fetching_layers(kind: str, place: Place) -> None:
    place.push("main", {"type": kind})
    place.write("two")
    done = place.push("main", {"type": kind})
    assert done.tags == {"main": "moved"}
    assert [call for call, _what in place.calls if call not in WRITES] == ["resolve", "fetch_manifest"]


def test_layer_that_is_something_else_is_not_the_same(place: Place) -> None:
    """The manifest alone is no proof: its config names our content, its layer holds another."""
    place.push("main")
    layer = place.blob(gzip.compress(b"something else"), media.FLUX_LAYER)
    place.change("main", layers=[layer])
    assert place.push("main").tags == {"main": "moved"}


def test_layer_that_unpacks_to_far_more_is_not_read_to_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.push("main")
    place.change("main", layers=[place.blob(gzip.compress(bytes(50_000_000)), media.FLUX_LAYER)])
    hashed = 0

    class Counting:
        def update(self, data: bytes) -> None:
            nonlocal hashed
            hashed += len(data)

    monkeypatch.setattr(push_module, "hashlib", SimpleNamespace(sha256=Counting))
    assert place.push("main").tags == {"main": "moved"}
    assert hashed < 2_000_000


@pytest.mark.parametrize("damage", [b"no gzip at all", gzip.compress(b"x" * 5000, mtime=0)[:-9], b""])
def test_damaged_layer_is_replaced(damage: bytes, place: Place) -> None:
    good = place.push("main").artifact["digest"]
    place.change("main", layers=[place.blob(damage, media.FLUX_LAYER)])
    assert place.push("main").tags == {"main": "moved"}
    assert place.tags()["main"] == good


def test_missing_layer_is_replaced(place: Place) -> None:
    place.push("main")
    place.recompress("main")
    layer = place.repository.fetch_manifest("main").layers[0]
    Path(place.repository.store.path(layer.digest)).unlink()
    assert place.push("main").tags == {"main": "moved"}


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": {"key": "other"}},
        {"artifactType": "application/other"},
        {"subject": {"mediaType": media.OCI_MANIFEST, "digest": digest_of(b"{}"), "size": 2}},
        {"layers": []},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_else_counts(changes: dict[str, Any], place: Place) -> None:
    place.push("main")
    place.change("main", **changes)
    assert place.push("main").tags == {"main": "moved"}


# Times


@pytest.mark.parametrize("kind", ["files", "helm"])
def test_time_that_another_tool_noted(kind: str, place: Place) -> None:
    """oras and helm write the time of the push: not a reason to publish the same content again."""
    place.write("apiVersion: v2\nname: demo\nversion: 1.2.3\n", "Chart.yaml")
    build = {"type": kind}
    annotations = dict(place.push("1.2.3", build).artifact["metadata"])
    theirs = place.change("1.2.3", annotations={**annotations, media.ANNOTATION_CREATED: "2026-11-21T02:00:00Z"})
    done = place.push("1.2.3", build)
    assert (done.tags, done.artifact["digest"]) == ({"1.2.3": "unchanged"}, theirs)
    # a time of one's own is to be published
    with pytest.raises(TagImmutable):
        place.push("1.2.3", {**build, "created": "2020-01-01T00:00:00Z"})
    assert place.push("1.2.3", {**build, "created": "2026-11-21T02:00:00Z"}).tags == {"1.2.3": "unchanged"}


# Breaking off


@pytest.mark.parametrize("failing", [media.FLUX_LAYER, media.FLUX_CONFIG, "main"])
def test_push_that_breaks_off_leaves_tags_as_they_were(failing: str, place: Place) -> None:
    place.push("main", tags=["other"])
    before = place.tags()
    place.write("two")
    place.fail[:] = [failing]
    with pytest.raises(PushFailed):
        place.push("main", tags=["other"])
    assert place.tags() == before
    place.fail.clear()
    assert place.push("main", tags=["other"]).tags == {"main": "moved", "other": "moved"}


# Check mode and diff


def test_check_mode_reads_and_sends_nothing(place: Place) -> None:
    done = place.push("1", check=True, diff=True)
    assert (done.changed, done.tags, place.writes, place.root.exists()) == (True, {"1": "created"}, [], False)
    assert place.opened == [False]  # no right to push is asked for
    assert done.artifact == place.push("1").artifact
    assert place.opened == [False, True]
    assert place.push("1", check=True).changed is False


def test_diff_shows_tags_and_files(place: Place) -> None:
    place.write("gone\n", "old.yaml")
    old = place.push("main", {"revision": "r1"}).artifact["digest"]
    place.write("two\n")
    (place.content / "old.yaml").unlink()
    done = place.push("main", {"revision": "r2"}, check=True, diff=True, tags=["new"])
    head, *files = done.diff
    before, after = json.loads(head["before"]), json.loads(head["after"])
    assert before["tags"] == {"main": old}
    assert after["tags"] == {"main": done.artifact["digest"], "new": done.artifact["digest"]}
    assert before["annotations"][media.ANNOTATION_REVISION] == "r1"
    assert after["annotations"][media.ANNOTATION_REVISION] == "r2"
    assert [(entry["before_header"], entry["before"], entry["after_header"], entry["after"]) for entry in files] == [
        ("a.yaml", "one", "a.yaml", "two\n"),
        ("old.yaml", "gone\n", "(removed)", ""),
    ]


def test_diff_leaves_tags_that_stay_as_they_are(place: Place) -> None:
    place.push("1.0.0")
    theirs = place.recompress("1.0.0")
    head = place.push("1.0.0", tags=["stable"], diff=True).diff[0]
    assert json.loads(head["after"])["tags"] == {"1.0.0": theirs, "stable": theirs}
    assert place.push("1.0.0", diff=True).diff == []


def test_diff_against_what_is_damaged(place: Place) -> None:
    digest = place.push("main").artifact["digest"]
    path = Path(place.repository.store.path(digest))
    path.write_bytes(b"x" * path.stat().st_size)
    place.write("two")
    assert place.push("main", diff=True).tags == {"main": "moved"}


# Referrers


def test_referrer(place: Place) -> None:
    subject = place.push("1.0.0").artifact["digest"]
    build = {"type": "files", "artifact_type": "application/vnd.sbom"}
    done = place.push(build=build, subject="1.0.0")
    assert (done.changed, done.tags, done.artifact["tag"]) == (True, {}, "")
    assert done.artifact["revision"] == done.artifact["digest"]
    assert [entry.digest for entry in place.repository.list_referrers(subject)] == [done.artifact["digest"]]
    assert list(place.tags()) == ["1.0.0"]
    for again in (place.push(build=build, subject="1.0.0"), place.push(build=build, subject=subject)):
        assert (again.changed, again.artifact["digest"]) == (False, done.artifact["digest"])


def test_referrer_that_is_there_but_not_found_is_entered(place: Place) -> None:
    """A push that broke off between manifest and list left it so."""
    subject = place.push("1.0.0").artifact["digest"]
    digest = place.push(build={"type": "files"}, subject=subject).artifact["digest"]
    index = json.loads((place.root / "index.json").read_text())
    index["manifests"] = [entry for entry in index["manifests"] if entry["digest"] != digest]
    (place.root / "index.json").write_text(json.dumps(index))
    assert place.repository.list_referrers(subject) == []
    assert place.push(build={"type": "files"}, subject=subject).changed
    assert [entry.digest for entry in place.repository.list_referrers(subject)] == [digest]


@pytest.mark.parametrize("subject", ["missing", digest_of(b"missing")])
def test_missing_subject(subject: str, place: Place) -> None:
    place.push("1.0.0")
    with pytest.raises(NotFound, match="The subject is missing"):
        place.push(build={"type": "files"}, subject=subject)
    assert place.writes == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tag": "main", "subject": "main"}, InvalidOption),
        ({"subject": "a b"}, InvalidReference),
        ({"subject": "sha256:1"}, InvalidReference),
    ],
)
def test_subject_that_cannot_be(options: dict[str, str], error: type[OciError], place: Place) -> None:
    place.push("main")
    with pytest.raises(error):
        place.push(**options)  # type: ignore[arg-type]
    assert place.writes == []


# Mounts


@pytest.mark.parametrize("name", ["UPPER", "a b", "host:5000/x", "x:tag", "x@" + digest_of(b""), "", "a pull,push"])
def test_mounts_are_repositories(name: str, place: Place) -> None:
    with pytest.raises(InvalidOption, match="mount_from"):
        place.push("main", mount_from=["team/base", name])
