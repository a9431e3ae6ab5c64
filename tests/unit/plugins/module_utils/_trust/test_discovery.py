# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is attached to an artifact: what is looked at, what is passed over, and what is said of what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AccessDenied,
    AuthenticationFailed,
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
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import budget as budget_module
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
    unread: str = ""
    failures: Mapping[str, Exception] = {}
    said: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        return list(self.said)

    def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        listed = self.listed
        self.said += (self.unread,) if self.unread else ()
        if isinstance(listed, Exception):
            raise listed  # pylint: disable=raising-bad-type  # it is an exception, as the line above says
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


def referring(
    repository: Repository, digest: str, refusals: list[Refusal], budget: Budget | None = None
) -> Iterator[Manifest]:
    budget = budget or Budget()
    listed = discovery._listed_referrers(repository, digest, refusals, budget)
    return discovery._referring_manifests(repository, digest, listed, refusals, budget, discovery.BUNDLES)


def tight(monkeypatch: pytest.MonkeyPatch, size: int) -> Budget:
    """A budget of so many bytes."""
    with monkeypatch.context() as patch:
        patch.setattr(budget_module, "MAX_BYTES", size)
        return Budget()


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
        budget = Budget()
        found = tagged_layers(repository, digest, ".sig", refusals, budget)
        assert [each.digest for each in found] == [each["digest"] for each in layers[: count if count < 3 else 0]]
        assert codes(refusals) == ([("legacy", "too-large")] if count == 3 else [])
        assert len(budget.exceeded()) == (count == 3)
        assert tagged_layers(repository, digest, ".sig", refusals) == found


def test_what_a_tag_costs(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest counts, and so does each layer that may be tried."""
    layers = [add_blob(repository, data) for data in (b"one", b"two", b"three")]
    tag = digest.replace(":", "-") + ".sig"
    add_manifest(repository, tag, layers)
    for number, notes in ((2, 1), (3, 0), (4, 0)):
        budget = Budget(number)
        assert len(tagged_layers(repository, digest, ".sig", [], budget)) == min(number, 3)
        assert len(budget.exceeded()) == notes
    budget = tight(monkeypatch, repository.resolve(tag).size + 10)
    tagged_layers(repository, digest, ".sig", [], budget)
    assert not budget.take(11) and budget.take(10)


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


@pytest.mark.parametrize(
    "failure",
    [NotFound("x"), InvalidContent("x"), AccessDenied("x"), RegistryError("x", "", 410)],
    ids=["missing", "malformed", "forbidden", "gone"],
)
def test_a_referrer_that_cannot_be_read_hides_no_other(repository: Repository, digest: str, failure: Exception) -> None:
    good = refer(repository, digest)
    bad = "sha256:" + "1" * 64
    repository.listed, repository.failures = [described(bad), described(good)], {bad: failure}
    refusals: list[Refusal] = []
    found = [each.descriptor.digest for each in referring(repository, digest, refusals)]
    assert found == [good] and codes(refusals) == [("referrer", "malformed")]
    assert refusals[0].found_in == bad


@pytest.mark.parametrize(
    "failure",
    [AuthenticationFailed("x"), RegistryError("x", "", 503), RegistryError("redirects without an end")],
    ids=["login", "outage", "protocol"],
)
def test_what_is_about_all_requests_ends_the_search(repository: Repository, digest: str, failure: Exception) -> None:
    bad = "sha256:" + "1" * 64
    repository.listed, repository.failures = [described(bad), described(refer(repository, digest))], {bad: failure}
    with pytest.raises(type(failure)):
        list(referring(repository, digest, []))


def test_a_list_that_cannot_be_read(repository: Repository, digest: str) -> None:
    repository.listed = InvalidContent("x")
    refusals: list[Refusal] = []
    assert list(referring(repository, digest, refusals)) == []
    assert codes(refusals) == [("referrers", "malformed")]


def test_a_part_of_the_list_that_cannot_be_read(repository: Repository, digest: str) -> None:
    """It hides nothing of the rest, and the verdict says so; an earlier warning is not about this artifact."""
    good = refer(repository, digest)
    repository.said = ("The layout is old.",)
    repository.unread = "The tag sha256-1 is not a list of referrers."
    refusals: list[Refusal] = []
    budget = Budget()
    found = [each.descriptor.digest for each in referring(repository, digest, refusals, budget)]
    assert found == [good] and refusals == [Refusal(digest, "referrers", "malformed", repository.unread)]
    assert budget.exceeded() == [repository.unread]


def test_how_many_are_looked_at(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_REFERRERS", 2)
    referrers = [refer(repository, digest, annotations={"number": str(number)}) for number in range(3)]
    for count, refused in ((2, []), (3, [("referrers", "too-large")])):
        repository.listed = [described(each) for each in referrers[:count]]
        refusals: list[Refusal] = []
        budget = Budget()
        found = [each.descriptor.digest for each in referring(repository, digest, refusals, budget)]
        assert found == referrers[:2] and codes(refusals) == refused
        assert budget.exceeded() == [each.message for each in refusals]


def test_in_which_order_they_are_looked_at(repository: Repository, digest: str) -> None:
    """Whatever the order of the list: first what is most likely to be wanted, and last what is large."""
    trusted = "ab" * 32
    named = {discovery.THUMBPRINTS: json.dumps(["cd" * 32, trusted.upper()])}
    layer = add_blob(repository, b"envelope", "application/jose+json")
    best_first: list[tuple[str, dict[str, str], int]] = [
        ("application/json", named, 1),
        (NOTATION_SIGNATURE, {}, discovery.LARGE),
        (discovery.UNTYPED[1], {}, 1),
        ("application/json", {}, 1),
        (NOTATION_SIGNATURE, named, discovery.LARGE + 1),
    ]
    listed = []
    for number, (artifact_type, named_in_list, size) in enumerate(best_first):
        kind = {"artifactType": NOTATION_SIGNATURE, "annotations": {"number": str(number)}}
        found_in = refer(repository, digest, layer, **kind)
        listed.append(Descriptor(media.OCI_MANIFEST, found_in, size, artifact_type, named_in_list))
    repository.listed = listed[::-1]
    found = [each.found_in for each in envelopes(repository, digest, [], 100, Budget(), [trusted])]
    assert found == [each.digest for each in listed]


def test_what_does_not_fit_hides_no_other(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is large by the list nor what is larger than the list says."""
    monkeypatch.setattr(discovery, "LARGE", 100)
    large = refer(repository, digest, annotations={"text": "x" * 5000})
    good = refer(repository, digest)
    absent = Descriptor(media.OCI_MANIFEST, "sha256:" + "2" * 64, 10**12)
    repository.listed = [
        Descriptor(media.OCI_MANIFEST, large, 1),
        absent,
        Descriptor(media.OCI_MANIFEST, good, discovery.LARGE + 1),
    ]
    budget = tight(monkeypatch, 4000)
    found = referring(repository, digest, [], budget)
    assert [each.descriptor.digest for each in found] == [good]
    (said,) = budget.exceeded()
    assert said.startswith("2 more objects are")
    repository.listed = [Descriptor(media.OCI_MANIFEST, good, 4000)]
    budget = tight(monkeypatch, 4000)
    assert len(list(referring(repository, digest, [], budget))) == 1
    assert not budget.take(1), "what the list says of a size is paid for"


# Bundles and envelopes


def test_bundles(repository: Repository, digest: str) -> None:
    layers = [add_blob(repository, data, BUNDLE_V03) for data in (b"one", b"two")]
    other = add_blob(repository, b"three", "application/json")
    good = refer(repository, digest, layers[0])
    others = [
        refer(repository, digest, *wrong) for wrong in ([], layers, [layers[0], other], [other, layers[0]], [other])
    ]
    repository.listed = [described(each) for each in (*others, good)]
    refusals: list[Refusal] = []
    (found,) = attached_bundles(repository, digest, refusals)
    assert (found.found_in, found.media_type, found.content.text) == (good, BUNDLE_V03, b"one")
    assert refusals == []


def test_bundles_that_only_the_fallback_tag_lists(repository: Repository, digest: str) -> None:
    """A registry that learned the API later may list there what was attached since, and nothing before."""
    layers = [add_blob(repository, data, BUNDLE_V03) for data in (b"old", b"new")]
    old, new = (refer(repository, digest, layer) for layer in layers)
    other = add_manifest(repository, "2", [layers[0]])
    index = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [repository.resolve(each).as_json() for each in (new, other, old)],
    }
    tag = digest.replace(":", "-")
    repository.push_manifest(parse_manifest(canonical_json(index), "", "x"), tag)
    repository.listed = [described(new)]
    seen: set[str] = set()
    found = [each.found_in for each in attached_bundles(repository, digest, [], seen=seen)]
    assert (found, seen) == ([new], {new})

    def by_tag() -> list[str]:
        found = discovery.bundles_by_tag(repository, digest, [], Budget(), 100, {new})
        return [each.found_in for each in found]

    assert by_tag() == [old]
    for failure in (NotFound("x"), NotAtMirrors("x"), InvalidContent("x")):
        repository.failures = {tag: failure}
        assert by_tag() == []
    # an outage is not an answer
    repository.failures = {tag: RegistryError("x", "", 503)}
    with pytest.raises(RegistryError):
        by_tag()


@pytest.mark.parametrize("what", ["the artifact", "a manifest"])
def test_a_fallback_tag_that_lists_no_referrers(repository: Repository, what: str) -> None:
    """GitLab answers this tag with the artifact itself, which may be an index."""
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}
    artifact = parse_manifest(canonical_json(index), "", "x")
    digest = artifact.descriptor.digest
    repository.push_manifest(artifact, digest.replace(":", "-"))
    attached = refer(repository, digest, add_blob(repository, b"bundle", BUNDLE_V03))
    if what == "a manifest":
        add_manifest(repository, digest.replace(":", "-"), [])
    else:
        index["manifests"] = [repository.resolve(attached).as_json()]
    assert list(discovery.bundles_by_tag(repository, digest, [], Budget(), 100, set())) == []


def envelopes(
    repository: Repository,
    digest: str,
    refusals: list[Refusal],
    limit: int,
    budget: Budget | None = None,
    thumbprints: Collection[str] = (),
) -> Iterator[Attached[bytes]]:
    kind = ReferrerKind("notation", NOTATION_SIGNATURE, limit, thumbprints=thumbprints)
    return attached(repository, digest, kind, refusals, budget or Budget())


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


def test_small_ones_come_before_large_ones(
    repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "LARGE", 3)
    texts = [b"12345", b"1234", b"123", b"1"]
    referrers = [refer(repository, digest, add_blob(repository, text, BUNDLE_V03)) for text in texts]
    repository.listed = [described(each) for each in referrers]
    found = [each.content.text for each in attached_bundles(repository, digest, [])]
    assert found == [b"123", b"1", b"1234", b"12345"]


@pytest.mark.parametrize("kind", ["bundle", "notation"])
def test_they_are_paid_for(repository: Repository, digest: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    layer = add_blob(repository, b"content of a layer", BUNDLE_V03)
    found_in = refer(repository, digest, layer, artifactType=NOTATION_SIGNATURE)
    for spare, count in ((0, 1), (-1, 0)):
        budget = tight(monkeypatch, repository.resolve(found_in).size + layer["size"] + spare)
        if kind == "bundle":
            found = list(attached_bundles(repository, digest, [], budget))
        else:
            found = list(envelopes(repository, digest, [], layer["size"], budget))
        assert len(found) == count and len(budget.exceeded()) == 1 - count
    # but for what is too large
    refusals: list[Refusal] = []
    budget = tight(monkeypatch, repository.resolve(found_in).size)
    assert list(envelopes(repository, digest, refusals, layer["size"] - 1, budget)) == []
    assert codes(refusals) == [("notation", "too-large")] and budget.exceeded() == []


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
    assert fetch_attached(repository, Descriptor("", layer["digest"], 5), 5) == b"12345"
    assert list(envelopes(repository, digest, refusals, 4)) == []
    assert codes(refusals) == [("notation", "too-large")] and refusals[0].found_in == found_in
    (Path(repository.root) / "blobs/sha256" / layer["digest"][7:]).unlink()
    refusals.clear()
    assert list(envelopes(repository, digest, refusals, 5)) == []
    assert codes(refusals) == [("notation", "malformed")]
    with pytest.raises(InvalidContent, match="has 5 bytes, more than the 4 that are read"):
        fetch_attached(repository, Descriptor("", layer["digest"], 5), 4)
