# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts as ``cosign save`` and Hauler write them: what is an artifact, what belongs to it, and what a search costs.

tests/integration/test_layout_cosign.py has the same with layouts that the real cosign wrote.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from two_users import KINDS, NOBODY, Victim, give, prepare, public_place, without_rights

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import directory_handles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import blob_store, blobs, reader, unlisted
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.index import kind_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor, canonical_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference

COSIGN, HAULER = "dev.cosignproject.cosign/", "dev.hauler/"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY = {"mediaType": media.OCI_EMPTY, "digest": digest_of(b"{}"), "size": 2}


class Saved:
    """A layout that is put together blob by blob. What a method makes is listed by :meth:`listed` alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries: list[dict[str, Any]] = []
        (root / "blobs/sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.blob(b"{}")

    @property
    def repository(self) -> LayoutRepository:
        return LayoutRepository(Reference(layout=str(self.root)))

    def path(self, digest: str) -> Path:
        return self.root / "blobs/sha256" / digest.partition(":")[2]

    def blob(self, data: bytes) -> str:
        digest = digest_of(data)
        self.path(digest).write_bytes(data)
        return digest

    def manifest(self, layers: Sequence[tuple[bytes, str]] = (), **fields: Any) -> str:
        listed = [{"mediaType": kind, "digest": self.blob(data), "size": len(data)} for data, kind in layers]
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": EMPTY, "layers": listed, **fields}
        return self.blob(canonical_json(document))

    def image(self, text: str) -> str:
        return self.manifest([(text.encode(), "text/plain")])

    def bundle(self, subject: str, text: str = "a bundle", **fields: Any) -> str:
        about = {"mediaType": media.OCI_MANIFEST, "digest": subject, "size": self.path(subject).stat().st_size}
        return self.manifest([(text.encode(), BUNDLE)], subject=about, artifactType=BUNDLE, **fields)

    def signatures(self, *payloads: bytes) -> str:
        return self.manifest([(payload, media.SIMPLE_SIGNING) for payload in payloads])

    def attestations(self, *envelopes: bytes) -> str:
        return self.manifest([(envelope, media.DSSE_ENVELOPE) for envelope in envelopes])

    def listed(self, digest: str, kind: str = "", **annotations: str) -> str:
        """Add an entry to index.json."""
        found = {**({"kind": kind} if kind else {}), **annotations}
        size = self.path(digest).stat().st_size
        self._entries.append({"mediaType": media.OCI_MANIFEST, "digest": digest, "size": size, "annotations": found})
        self.write_index(self._entries)
        return digest

    def write_index(self, entries: Sequence[Mapping[str, Any]]) -> None:
        (self.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    def restart(self) -> None:
        """Forget the index, as a second ``cosign save`` does."""
        self._entries = []

    def link(self, name: str, target: Path) -> None:
        self.path(name).unlink()
        self.path(name).symlink_to(target)


def payload_for(digest: str, **optional: str) -> bytes:
    critical = {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": digest}, "type": "cosign"}
    return canonical_json({"critical": critical, "optional": optional})


def envelope_for(digest: str, predicate: Any = None, encoded_hex: str = "") -> bytes:
    subject = [{"name": "it", "digest": {"sha256": encoded_hex or digest.partition(":")[2]}}]
    statement = canonical_json({"predicate": predicate or {}, "predicateType": "custom", "subject": subject})
    return canonical_json({"payload": base64.b64encode(statement).decode(), "payloadType": "x", "signatures": []})


def tag_of(digest: str, suffix: str = "sig") -> str:
    return f"{digest.replace(':', '-')}.{suffix}"


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path / "layout")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the blobs that a search has opened."""
    names: list[str] = []
    original = directory_handles.DirectoryHandles.open_file

    def open_file(self: directory_handles.DirectoryHandles, path: str) -> int:
        names.append(path)
        return original(self, path)

    monkeypatch.setattr(directory_handles.DirectoryHandles, "open_file", open_file)
    return names


def digests(found: Sequence[Descriptor]) -> list[str]:
    return [each.digest for each in found]


# -- what is an artifact


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("dev.cosignproject.cosign/imageIndex", "imageIndex"),
        ("dev.hauler/sigs", "sigs"),
        ("dev.hauler/referrers/0123abcd", "referrers"),
        ("dev.hauler/", ""),
        ("example.com/sigs", ""),
        ("sigs", ""),
        ("", ""),
    ],
)
def test_the_kind_of_an_entry(kind: str, wanted: str) -> None:
    assert kind_of(Descriptor("", EMPTY["digest"], 2, annotations={"kind": kind})) == wanted


@pytest.mark.parametrize("kind", ["image", "imageIndex"])
def test_a_saved_layout_stands_for_its_artifact(saved: Saved, kind: str) -> None:
    image = saved.image("it")
    saved.listed(saved.signatures(payload_for(image)), COSIGN + "sigs")
    saved.listed(image, COSIGN + kind)
    saved.listed(saved.attestations(envelope_for(image)), COSIGN + "atts")
    assert saved.repository.resolve("").digest == image
    assert saved.repository.list_tags() == []
    with pytest.raises(NotFound, match="It has no tags, and one artifact, which is read without a tag"):
        saved.repository.resolve("latest")


def test_two_artifacts_are_not_one(saved: Saved) -> None:
    for text in ("one", "two"):
        saved.listed(saved.image(text), COSIGN + "image")
    with pytest.raises(NotFound):
        saved.repository.resolve("")


@pytest.mark.parametrize("prefix", [COSIGN, HAULER])
def test_a_name_is_that_of_the_artifact_and_not_of_what_is_attached(saved: Saved, prefix: str) -> None:
    """Hauler gives all of them the name of the image; newer releases add a digest to the kind."""
    names = {media.ANNOTATION_REF_NAME: "library/one:1", "io.containerd.image.name": "docker.io/library/one:1"}
    image = saved.image("one")
    signatures = saved.signatures(payload_for(image))
    for digest, kind in (
        (signatures, "sigs"),
        (image, "image"),
        (saved.attestations(envelope_for(image)), "atts/0123"),
        (saved.manifest([(b"{}", "text/spdx+json")]), "sboms"),
        (saved.bundle(image), "referrers/0123"),
    ):
        saved.listed(digest, prefix + kind, **names)
    assert saved.repository.list_tags() == ["1"]
    assert saved.repository.resolve("1").digest == image
    assert saved.repository.resolve(tag_of(image)).digest == signatures


def test_what_was_attached_later_does_not_hide_the_only_artifact(saved: Saved) -> None:
    image = saved.listed(saved.image("it"))
    saved.listed(saved.signatures(payload_for(image)), **{media.ANNOTATION_REF_NAME: tag_of(image)})
    saved.listed(saved.bundle(image))
    saved.listed(saved.bundle(image, "another"), **{media.ANNOTATION_REF_NAME: image.replace(":", "-")})
    assert saved.repository.resolve("").digest == image
    saved.listed(saved.image("a second one"))
    with pytest.raises(NotFound):
        saved.repository.resolve("")


def test_of_many_entries_none_is_read_to_find_the_only_artifact(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MOST_ATTACHED", 2)
    image = saved.listed(saved.image("it"))
    saved.listed(saved.bundle(image))
    assert saved.repository.resolve("").digest == image
    saved.listed(saved.bundle(image, "another"))
    with pytest.raises(NotFound):
        saved.repository.resolve("")


# -- signatures and attestations that are listed by their kind


def test_signatures_and_attestations_are_where_a_registry_has_them(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    signatures = saved.listed(saved.signatures(payload_for(image)), COSIGN + "sigs")
    attestations = saved.listed(saved.attestations(envelope_for(image)), COSIGN + "atts")
    assert saved.repository.fetch_manifest(tag_of(image)).descriptor.digest == signatures
    assert saved.repository.fetch_manifest(tag_of(image, "att")).descriptor.digest == attestations
    for tag in (tag_of(image, "sbom"), tag_of(image, "sig") + "x", tag_of(signatures), "sig"):
        with pytest.raises(NotFound):
            saved.repository.fetch_manifest(tag)


def test_of_several_the_one_that_names_the_artifact_is_taken(saved: Saved) -> None:
    images = [saved.listed(saved.image(text), COSIGN + "image") for text in ("one", "two", "three")]
    # the materials of the second are no subject of its provenance
    envelopes = [envelope_for(images[0]), envelope_for(images[1], {"materials": images}), envelope_for(images[2])]
    attestations = [saved.listed(saved.attestations(each), COSIGN + "atts") for each in reversed(envelopes)][::-1]
    signatures = [saved.listed(saved.signatures(payload_for(each)), COSIGN + "sigs") for each in images]
    for image, wanted, attested in zip(images, signatures, attestations):
        assert saved.repository.resolve(tag_of(image)).digest == wanted
        assert saved.repository.resolve(tag_of(image, "att")).digest == attested


def test_a_digest_in_upper_case_in_a_statement_is_the_same(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    upper = envelope_for(image, encoded_hex=image.partition(":")[2].upper())
    attestations = saved.listed(saved.attestations(upper), COSIGN + "atts")
    assert saved.repository.resolve(tag_of(image, "att")).digest == attestations


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b"not JSON",
        b'{"payload": "%%%"}',
        b'{"payload": 5}',
        b'{"payload": "e30="}',
        b'{"payload": "W10="}',
        b'{"critical": {"image": []}}',
        canonical_json({"payload": base64.b64encode(b'{"subject": [{"digest": {"sha256": 5}}]}').decode()}),
        canonical_json({"payload": base64.b64encode(b'{"subject": {"digest": 5}}').decode()}),
    ],
)
def test_signatures_that_cannot_be_read_are_for_nothing(saved: Saved, payload: bytes) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    saved.listed(saved.signatures(payload), COSIGN + "sigs")
    with pytest.raises(NotFound):
        saved.repository.resolve(tag_of(image))
    good = saved.listed(saved.signatures(payload, payload_for(image)), COSIGN + "sigs")
    assert saved.repository.resolve(tag_of(image)).digest == good


def test_damaged_entries_do_not_hide_a_good_one(saved: Saved, opened: list[str]) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    missing = saved.listed(saved.signatures(payload_for(image, number="1")), COSIGN + "sigs")
    damaged = saved.listed(saved.signatures(payload_for(image, number="2")), COSIGN + "sigs")
    without_payload = saved.listed(saved.signatures(payload_for(image, number="3")), COSIGN + "sigs")
    saved.path(missing).unlink()
    saved.path(damaged).write_bytes(b"x" * saved.path(damaged).stat().st_size)
    saved.path(digest_of(payload_for(image, number="3"))).unlink()
    with pytest.raises(NotFound):
        saved.repository.resolve(tag_of(image))
    opened.clear()
    good = saved.listed(saved.signatures(payload_for(image)), COSIGN + "sigs")
    assert saved.repository.resolve(tag_of(image)).digest == good != without_payload
    assert opened == [], "it is listed, so nothing was searched for"


def test_only_layers_of_signatures_count(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    saved.listed(saved.manifest([(payload_for(image), "text/plain")]), COSIGN + "sigs")
    # found among the blobs for its other layer
    saved.manifest([(payload_for(image), "text/plain"), (b"{}", media.SIMPLE_SIGNING)])
    with pytest.raises(NotFound):
        saved.repository.resolve(tag_of(image))


def test_only_some_layers_are_read(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    others = [payload_for("sha256:" + f"{number:064x}") for number in range(unlisted.MAX_LAYERS)]
    saved.listed(saved.signatures(*others, payload_for(image)), COSIGN + "sigs")
    with pytest.raises(NotFound):
        saved.repository.resolve(tag_of(image))
    good = saved.listed(saved.signatures(*others[1:], payload_for(image)), COSIGN + "sigs")
    assert saved.repository.resolve(tag_of(image)).digest == good


def test_what_is_too_large_to_read_is_left_to_the_verification(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attestation may be an SBOM of any size; whether it is for the artifact is checked when it is used."""
    image = saved.listed(saved.image("it"), COSIGN + "image")
    many = envelope_for(image, list(range(400_000)))
    large = saved.listed(saved.attestations(many), COSIGN + "atts")
    assert saved.repository.resolve(tag_of(image, "att")).digest == large, "it has too many values"
    monkeypatch.setattr(unlisted, "MAX_CONTENT", 1024)
    assert saved.repository.resolve(tag_of(image, "att")).digest == large, "it has too many bytes"
    second = saved.listed(saved.attestations(envelope_for(image, "x" * 1024)), COSIGN + "atts")
    assert saved.repository.resolve(tag_of(image, "att")).digest == large != second, "the first of several"
    small = saved.listed(saved.attestations(envelope_for(image)), COSIGN + "atts")
    assert saved.repository.resolve(tag_of(image, "att")).digest == small, "this one is certain"


def test_what_is_as_large_as_allowed_is_read(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    other = payload_for(saved.image("another"))
    signatures = saved.listed(saved.signatures(other), COSIGN + "sigs")
    monkeypatch.setattr(unlisted, "MAX_CONTENT", len(other))
    with pytest.raises(NotFound):
        saved.repository.resolve(tag_of(image))
    monkeypatch.setattr(unlisted, "MAX_CONTENT", len(other) - 1)
    assert saved.repository.resolve(tag_of(image)).digest == signatures


def test_listed_candidates_are_bounded_in_number_and_time(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    for number in range(3):
        saved.listed(saved.signatures(payload_for(f"sha256:{number:064x}")), COSIGN + "sigs")
    monkeypatch.setattr(unlisted, "MAX_CANDIDATES", 3)
    good = saved.listed(saved.signatures(payload_for(image)), COSIGN + "sigs")
    repository = saved.repository
    assert repository.resolve(tag_of(image)).digest == good, "found among the blobs"
    assert repository.warnings == [
        f"The layout {saved.root} was not wholly searched for {tag_of(image)}. "
        "Of the 4 entries of the kind 'sigs', 3 were read: signatures may have been missed."
    ]
    monkeypatch.setattr(unlisted, "MAX_CANDIDATES", 4)
    assert saved.repository.resolve(tag_of(image)).digest == good
    monkeypatch.setattr(unlisted, "MAX_SECONDS", -1.0)
    late = saved.repository
    with pytest.raises(NotFound):
        late.resolve(tag_of(image))
    assert "Of the 4 entries of the kind 'sigs', 0 were read" in late.warnings[0]
    assert len(late.warnings) == 2, "and the search among the blobs"


# -- blobs that nothing lists


def test_bundles_among_the_blobs_are_referrers(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    found = sorted([saved.bundle(image, "one", annotations={"by": "us"}), saved.bundle(image, "two")])
    saved.bundle(saved.image("another"), "three")
    saved.blob(b'{"subject": {"digest": "' + image.encode() + b'"}}')
    saved.blob(image.encode())
    saved.manifest(annotations={"about": image})
    saved.bundle(saved.image("a fourth"), "four", annotations={"about": image})
    other_type = saved.manifest(
        subject={"mediaType": media.OCI_MANIFEST, "digest": image, "size": 1}, artifactType="text/plain"
    )
    listed = saved.repository.list_referrers(image)
    assert digests(listed) == sorted([*found, other_type])
    assert {each.media_type for each in listed} == {media.OCI_MANIFEST}
    assert all(each.size == saved.path(each.digest).stat().st_size for each in listed)
    assert digests(saved.repository.list_referrers(image, BUNDLE)) == found
    assert [each.annotations for each in listed if each.annotations] == [{"by": "us"}]
    assert saved.repository.list_referrers(digest_of(b"nothing")) == []


def test_a_blob_that_is_not_what_its_name_says_is_no_candidate(saved: Saved, opened: list[str]) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image)
    saved.path("sha256:" + "0" * 64).write_bytes(saved.path(bundle).read_bytes())
    saved.path(bundle).rename(saved.path(bundle).with_name("not-a-digest"))
    assert saved.repository.list_referrers(image) == []
    assert "blobs/sha256/not-a-digest" not in opened


def test_only_what_mentions_the_digest_is_parsed(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle, signatures = saved.bundle(image), saved.signatures(payload_for(image))
    for number in range(10):
        saved.bundle(saved.image(str(number)))
    parsed: list[str] = []
    original = unlisted.parse_manifest

    def parse(raw: bytes, *arguments: Any) -> Any:
        parsed.append(digest_of(raw))
        return original(raw, *arguments)

    monkeypatch.setattr(unlisted, "parse_manifest", parse)
    assert digests(saved.repository.list_referrers(image)) == [bundle]
    assert saved.repository.resolve(tag_of(image)).digest == signatures
    assert parsed == [digest_of(payload_for(image)), bundle, signatures], "the payload has the digest, too"


def test_listed_referrers_come_first_and_once(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundles = sorted(saved.bundle(image, text) for text in ("one", "two", "three"))
    saved.listed(bundles[2])
    assert digests(saved.repository.list_referrers(image)) == [bundles[2], *bundles[:2]]


def test_what_an_earlier_save_left_is_found_by_digest(saved: Saved) -> None:
    """A second ``cosign save`` into one directory replaces index.json and leaves the blobs."""
    first = saved.image("first")
    few = saved.signatures(payload_for(first))
    most = saved.signatures(payload_for(first), payload_for(first, by="another"))
    attestations = saved.attestations(envelope_for(first))
    bundle = saved.bundle(first)
    second = saved.listed(saved.image("second"), COSIGN + "image")
    saved.listed(saved.signatures(payload_for(second)), COSIGN + "sigs")
    repository = saved.repository
    assert repository.resolve("").digest == second
    assert repository.resolve(first).digest == first
    assert repository.fetch_manifest(tag_of(first)).descriptor.digest == most != few
    assert repository.resolve(tag_of(first, "att")).digest == attestations
    assert digests(repository.list_referrers(first)) == [bundle]
    assert repository.warnings == []


def test_of_signatures_that_nothing_lists_most_count(saved: Saved) -> None:
    image = saved.image("it")
    saved.listed(saved.image("another"), COSIGN + "image")
    two = [(payload_for(image), media.SIMPLE_SIGNING), (payload_for(image, by="us"), media.SIMPLE_SIGNING)]
    equal = sorted(saved.manifest(two, annotations={"a": name}) for name in "xyz")
    # larger, and so it comes later
    saved.manifest(two[:1], annotations={"padding": "x" * 1000})
    assert saved.repository.resolve(tag_of(image)).digest == equal[0]


def test_a_layout_of_any_other_tool_is_not_searched(saved: Saved, opened: list[str]) -> None:
    image = saved.listed(saved.image("it"), **{media.ANNOTATION_REF_NAME: "1", "kind": "example.com/image"})
    saved.bundle(image)
    saved.signatures(payload_for(image))
    repository = saved.repository
    assert repository.list_referrers(image) == []
    with pytest.raises(NotFound):
        repository.resolve(tag_of(image))
    assert opened == []


def test_reading_a_saved_layout_searches_nothing(saved: Saved, opened: list[str]) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image", **{media.ANNOTATION_REF_NAME: "1"})
    saved.listed(saved.signatures(payload_for(image)), COSIGN + "sigs")
    saved.bundle(image)
    repository = saved.repository
    for identifier in ("1", image):
        assert repository.fetch_manifest(identifier).descriptor.digest == image
    assert repository.list_tags() == ["1"]
    # legacy signatures that are listed take no search either
    assert repository.resolve(tag_of(image))
    assert opened == []


# -- limits of a search


def search(saved: Saved) -> tuple[list[str], list[str]]:
    """The bundles that are found, and the warnings."""
    repository = saved.repository
    image = repository.resolve("").digest
    return digests(repository.list_referrers(image)), repository.warnings


def test_large_blobs_are_not_opened(saved: Saved, opened: list[str]) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image)
    huge = saved.blob(b"x")
    with saved.path(huge).open("wb") as handle:
        handle.truncate(2**40)
    padding = "x" * (4 * 1024 * 1024)
    too_large = saved.bundle(image, annotations={"padding": padding})
    largest = saved.bundle(image, annotations={"padding": padding[: -saved.path(too_large).stat().st_size % 2**22]})
    assert saved.path(largest).stat().st_size <= 4 * 1024 * 1024 < saved.path(too_large).stat().st_size
    assert search(saved) == (sorted([bundle, largest]), [])
    names = {Path(path).name for path in opened}
    assert saved.path(huge).name not in names and saved.path(too_large).name not in names


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_READ", 8, "Of its 1005 blobs that may be manifests, 8 were read"),
        ("MAX_BYTES", 4_000, "blobs that may be manifests"),
        ("MAX_NAMES", 10, "It has more than 10 blobs"),
        ("MAX_SECONDS", -1.0, "listing them took too long"),
    ],
)
def test_a_search_that_ends_at_a_limit_says_so(
    saved: Saved, monkeypatch: pytest.MonkeyPatch, opened: list[str], limit: str, value: float, words: str
) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    saved.bundle(image)
    for number in range(1000):
        saved.blob(json.dumps({"number": number, "padding": "x" * number}).encode())
    assert search(saved) != ([], [])
    opened.clear()
    monkeypatch.setattr(unlisted, limit, value)
    _found, warnings = search(saved)
    assert f"The layout {saved.root} was not wholly searched for referrers of {image}." in warnings[0]
    assert words in warnings[0]
    assert len(opened) < 200


def test_as_many_bytes_as_allowed_are_read(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image, annotations={"padding": "x" * 1000})
    total = sum(path.stat().st_size for path in (saved.root / "blobs/sha256").iterdir())
    monkeypatch.setattr(unlisted, "MAX_BYTES", total)
    assert search(saved) == ([bundle], [])
    monkeypatch.setattr(unlisted, "MAX_BYTES", total - 1)
    found, warnings = search(saved)
    assert found == [] and len(warnings) == 1, "the largest is left out"


def test_the_time_for_a_search(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    saved.listed(saved.signatures(payload_for(saved.image("another"))), COSIGN + "sigs")
    bundle, signatures = saved.bundle(image), saved.signatures(payload_for(image))
    now = 1000.0
    monkeypatch.setattr(unlisted.time, "monotonic", lambda: now)
    monkeypatch.setattr(unlisted, "MAX_SECONDS", 0.0)
    repository = saved.repository
    assert digests(repository.list_referrers(image)) == [bundle], "the time is not over"
    assert repository.resolve(tag_of(image)).digest == signatures
    original = blob_store.small_files

    def slow(*arguments: Any) -> Any:
        nonlocal now
        found = original(*arguments)
        now += 1
        return found

    monkeypatch.setattr(blob_store, "small_files", slow)
    assert repository.list_referrers(image) == []
    assert len(repository.warnings) == 1 and "that may be manifests, 0 were read" in repository.warnings[0]


def test_the_smallest_blobs_are_read_first(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image)
    for number in range(200):
        saved.blob(b"%d" % number + b"x" * 5000)
    monkeypatch.setattr(unlisted, "MAX_READ", 20)
    found, warnings = search(saved)
    assert found == [bundle]
    assert len(warnings) == 1


def test_a_warning_is_given_once(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlisted, "MAX_READ", 1)
    image = saved.listed(saved.image("it"), COSIGN + "image")
    repository = saved.repository
    for _time in range(2):
        repository.list_referrers(image)
    assert len(repository.warnings) == 1
    with pytest.raises(NotFound):
        repository.resolve(tag_of(image))
    assert len(repository.warnings) == 2


def test_a_blob_that_vanishes_is_not_missed(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    gone, bundle = saved.bundle(image, "gone"), saved.bundle(image)
    original = blob_store.small_files

    def vanish(*arguments: Any) -> Any:
        found = original(*arguments)
        saved.path(gone).unlink()
        return found

    monkeypatch.setattr(blob_store, "small_files", vanish)
    assert search(saved) == ([bundle], [])


def test_other_names_and_blobs_that_vanish_hide_nothing(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundles = [saved.bundle(image, text) for text in ("one", "two", "three")]
    (saved.root / "blobs/sha256/other").write_bytes(b"{}")
    original = os.scandir
    gone: list[str] = []

    @contextlib.contextmanager
    def scandir(directory: int) -> Iterator[list[os.DirEntry[str]]]:
        with original(directory) as listing:
            entries = sorted(listing, key=lambda entry: (entry.name != "other", f"sha256:{entry.name}" not in bundles))
            gone.append(f"sha256:{entries[1].name}")
            saved.path(gone[0]).unlink()
            yield entries

    monkeypatch.setattr(blobs.os, "scandir", scandir)
    assert search(saved) == (sorted(set(bundles) - set(gone)), [])
    assert len(gone) == 1


def test_without_a_directory_of_blobs_nothing_is_found(saved: Saved) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    (saved.root / "blobs").rename(saved.root / "elsewhere")
    assert saved.repository.list_referrers(image) == []


# -- links, and other users


def test_links_are_not_followed_in_a_search(saved: Saved, tmp_path: Path) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image)
    saved.path(bundle).rename(tmp_path / "outside")
    saved.path(bundle).symlink_to(tmp_path / "outside")
    assert search(saved) == ([], [])


def test_a_directory_of_blobs_that_is_a_link_is_not_searched(saved: Saved, tmp_path: Path) -> None:
    image = saved.listed(saved.image("it"), COSIGN + "image")
    bundle = saved.bundle(image)
    (saved.root / "blobs/sha256").rename(tmp_path / "outside")
    (saved.root / "blobs/sha256").symlink_to(tmp_path / "outside")
    repository = saved.repository
    assert repository.list_referrers(image) == []
    assert "Its directory blobs/sha256 cannot be read" in repository.warnings[0]
    assert repository.fetch_manifest(bundle).descriptor.digest == bundle


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
def test_what_another_user_puts_among_the_blobs_leads_nowhere(kind: str, opened: list[str]) -> None:
    with public_place() as place:
        saved = Saved(place / "layout")
        image = saved.listed(saved.image("it"), COSIGN + "image")
        bundle = saved.bundle(image)
        signatures = saved.signatures(payload_for(image))
        victim = Victim(place / "victim")
        give(saved.root, NOBODY)
        trap = saved.path("sha256:" + "0" * 64)
        prepare(trap, kind, victim)
        repository = saved.repository
        assert digests(repository.list_referrers(image)) == [bundle]
        assert repository.resolve(tag_of(image)).digest == signatures
        assert victim.changes() == []
        if kind != "hard-link":
            assert trap.name not in {Path(path).name for path in opened}


@pytest.mark.once
def test_a_layout_of_another_user_is_searched_as_its_owner_and_as_root() -> None:
    with public_place() as place:
        saved = Saved(place / "layout")
        image = saved.listed(saved.image("it"), COSIGN + "image")
        bundle, secret = saved.bundle(image), saved.bundle(image, "for root alone")
        give(saved.root, NOBODY)
        os.chown(saved.path(secret), 0, 0)
        saved.path(secret).chmod(0o600)
        assert search(saved) == (sorted([bundle, secret]), [])
        with without_rights():
            assert search(saved) == ([bundle], [])
