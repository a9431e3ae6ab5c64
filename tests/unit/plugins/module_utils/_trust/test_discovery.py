# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is attached to an artifact: what is looked at, what is passed over, and what is said of what cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    NotAtMirrors,
    NotFound,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import discovery
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.budget import Budget
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.discovery import (
    NOTATION_SIGNATURE,
    Attached,
    ReferrerKind,
    attached,
    attached_bundles,
    fetch_attached,
    tagged_layers,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.formats import BUNDLE_V03
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Refusal

from .test_cosign_keyed import add_blob, add_manifest


class Repository(LayoutRepository):
    """A layout that may be made to list other referrers, and to fail."""

    listed: list[Descriptor] | Exception | None = None
    failures: Mapping[str, Exception] = {}

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        listed = self.listed
        if isinstance(listed, Exception):
            raise listed
        return super().list_referrers(digest, artifact_type) if listed is None else listed

    def fetch_manifest(self, identifier: str) -> Any:
        if identifier in self.failures:
            raise self.failures[identifier]
        return super().fetch_manifest(identifier)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(Reference(layout=str(tmp_path / "layout")))


@pytest.fixture
def digest(repository: Repository) -> str:
    return add_manifest(repository, "1", [add_blob(repository, b"content")])


def refer(repository: Repository, digest: str, *layers: dict[str, Any], **fields: Any) -> str:
    return add_manifest(repository, "", list(layers), subject=repository.resolve(digest).as_json(), **fields)


def described(digest: str) -> Descriptor:
    return Descriptor(media.OCI_MANIFEST, digest, 1)


def referring(repository: Repository, digest: str, refusals: list[Refusal]) -> Iterator[Manifest]:
    return discovery._referring_manifests(repository, digest, refusals, Budget(), discovery.BUNDLES)


def codes(refusals: list[Refusal]) -> list[tuple[str, str]]:
    return [(each.format, each.code) for each in refusals]


# Tags


def test_layers_under_a_tag(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_LEGACY_LAYERS", 2)
    tag = digest.replace(":", "-") + ".sig"
    layers = [add_blob(repository, data) for data in (b"one", b"two", b"three")]
    for count in (0, 1, 2, 3):
        refusals: list[Refusal] = []
        if count:
            add_manifest(repository, tag, layers[:count])
        found = tagged_layers(repository, digest, ".sig", refusals)
        assert [each.digest for each in found] == [each["digest"] for each in layers[: count if count < 3 else 0]]
        assert codes(refusals) == ([("legacy", "too-large")] if count == 3 else [])


@pytest.mark.parametrize(
    ("failure", "refused"),
    [(NotFound("x"), []), (NotAtMirrors("x"), []), (InvalidContent("x"), [("legacy", "malformed")])],
    ids=["not found", "not at mirrors", "malformed"],
)
def test_a_tag_that_cannot_be_used(repository: Repository, digest: str, failure: Exception, refused: Any) -> None:
    refusals: list[Refusal] = []
    repository.failures = {digest.replace(":", "-") + ".sig": failure}
    assert tagged_layers(repository, digest, ".sig", refusals) == [] and codes(refusals) == refused


def test_an_outage_is_no_missing_signature(repository: Repository, digest: str) -> None:
    repository.failures = {digest.replace(":", "-") + ".sig": RegistryError("x", "", 503)}
    with pytest.raises(RegistryError):
        tagged_layers(repository, digest, ".sig", [])


def test_a_tag_that_is_an_index(repository: Repository, digest: str) -> None:
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}
    repository.push_manifest(parse_manifest(canonical_json(index), "", "x"), digest.replace(":", "-") + ".sig")
    refusals: list[Refusal] = []
    assert tagged_layers(repository, digest, ".sig", refusals) == [] and codes(refusals) == [("legacy", "malformed")]


# Referrers


def test_only_what_names_the_artifact_as_its_subject(repository: Repository, digest: str) -> None:
    """A registry, or its tag with the list, may name anything."""
    other = add_manifest(repository, "2", [add_blob(repository, b"other")])
    good = refer(repository, digest)
    of_another = refer(repository, other)
    repository.listed = [described(each) for each in (of_another, other, good, good)]
    refusals: list[Refusal] = []
    found = [each.descriptor.digest for each in referring(repository, digest, refusals)]
    assert found == [good] and refusals == []


@pytest.mark.parametrize("failure", [NotFound("x"), InvalidContent("x")], ids=["missing", "malformed"])
def test_a_referrer_that_cannot_be_read_hides_no_other(repository: Repository, digest: str, failure: Exception) -> None:
    good = refer(repository, digest)
    bad = "sha256:" + "1" * 64
    repository.listed, repository.failures = [described(bad), described(good)], {bad: failure}
    refusals: list[Refusal] = []
    found = [each.descriptor.digest for each in referring(repository, digest, refusals)]
    assert found == [good] and codes(refusals) == [("referrer", "malformed")]
    assert refusals[0].found_in == bad


def test_a_list_that_cannot_be_read(repository: Repository, digest: str) -> None:
    repository.listed = InvalidContent("x")
    refusals: list[Refusal] = []
    assert list(referring(repository, digest, refusals)) == []
    assert codes(refusals) == [("referrers", "malformed")]


def test_how_many_are_looked_at(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_REFERRERS", 2)
    referrers = [refer(repository, digest, annotations={"number": str(number)}) for number in range(3)]
    for count, refused in ((2, []), (3, [("referrers", "too-large")])):
        repository.listed = [described(each) for each in referrers[:count]]
        refusals: list[Refusal] = []
        found = [each.descriptor.digest for each in referring(repository, digest, refusals)]
        assert found == referrers[:2] and codes(refusals) == refused


# Bundles and envelopes


def test_bundles(repository: Repository, digest: str) -> None:
    layers = [add_blob(repository, data, BUNDLE_V03) for data in (b"one", b"two")]
    other = add_blob(repository, b"three", "application/json")
    good = refer(repository, digest, layers[0])
    for wrong in ([], layers, [layers[0], other], [other, layers[0]], [other]):
        refer(repository, digest, *wrong)
    refusals: list[Refusal] = []
    (found,) = attached_bundles(repository, digest, refusals)
    assert (found.found_in, found.media_type, found.content) == (good, BUNDLE_V03, b"one")
    assert refusals == []


def envelopes(repository: Repository, digest: str, refusals: list[Refusal], limit: int) -> Iterator[Attached]:
    return attached(repository, digest, ReferrerKind("notation", NOTATION_SIGNATURE, limit), refusals, Budget())


def test_envelopes_of_the_notary_project(repository: Repository, digest: str) -> None:
    layers = [add_blob(repository, data, "application/jose+json") for data in (b"one", b"two")]
    config = add_blob(repository, b"{}", NOTATION_SIGNATURE)
    kind = {"artifactType": NOTATION_SIGNATURE}
    good = {refer(repository, digest, layers[0], **kind), refer(repository, digest, layers[0], config=config)}
    refer(repository, digest, layers[0])
    refer(repository, digest, layers[0], artifactType="application/json")
    refer(repository, digest, **kind)
    refer(repository, digest, *layers, **kind)
    refusals: list[Refusal] = []
    found = list(envelopes(repository, digest, refusals, 100))
    assert {each.found_in for each in found} == good and {each.content for each in found} == {b"one"}
    assert refusals == []


def test_an_index_among_the_referrers(repository: Repository, digest: str) -> None:
    """An index has no config."""
    index = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [],
        "subject": repository.resolve(digest).as_json(),
    }
    repository.push_manifest(parse_manifest(canonical_json(index), "", "x"))
    assert list(envelopes(repository, digest, [], 100)) == []
    assert list(attached_bundles(repository, digest, [])) == []


def test_how_large_they_may_be(repository: Repository, digest: str) -> None:
    layer = add_blob(repository, b"12345", "application/jose+json")
    found_in = refer(repository, digest, layer, artifactType=NOTATION_SIGNATURE)
    refusals: list[Refusal] = []
    (found,) = envelopes(repository, digest, refusals, 5)
    assert found.content == b"12345" and refusals == []
    assert list(envelopes(repository, digest, refusals, 4)) == []
    assert codes(refusals) == [("notation", "too-large")] and refusals[0].found_in == found_in
    (Path(repository.root) / "blobs/sha256" / layer["digest"][7:]).unlink()
    refusals.clear()
    assert list(envelopes(repository, digest, refusals, 5)) == []
    assert codes(refusals) == [("notation", "malformed")]
    with pytest.raises(InvalidContent, match="has 5 bytes, more than the 4 that are read"):
        fetch_attached(repository, Descriptor("", layer["digest"], 5), 4)
