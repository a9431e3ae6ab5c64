# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which artifact is meant: precedence, warnings, and what is refused before any request."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidOption,
    InvalidReference,
    InvalidSelection,
    NoMatch,
    NotFound,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import (
    ReferenceOptions,
    parse_target,
    resolve,
)

OCI_MANIFEST = media.OCI_MANIFEST
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
URL = "oci://example.com/app"
NUMERICAL = {"policy": {"numerical": {"order": "asc"}}}


class Tags:
    """A repository that lists tags and counts what it is asked."""

    def __init__(self, *tags: str) -> None:
        self._tags = tags
        self.asked: list[str] = []

    def list_tags(self) -> list[str]:
        self.asked.append("list")
        return list(self._tags)

    def resolve(self, identifier: str) -> Descriptor:
        self.asked.append(identifier)
        return Descriptor(media.OCI_MANIFEST, DIGEST, 10)


@pytest.mark.parametrize(
    ("options", "identifier", "losers"),
    [
        ({"ref": "example.com/app"}, "latest", []),
        ({"url": URL}, "latest", []),
        ({"ref": "example.com/app:1.0"}, "1.0", []),
        ({"url": URL, "tag": "1.0"}, "1.0", []),
        ({"url": "example.com/app", "tag": "1.0"}, "1.0", []),
        ({"ref": "example.com/app", "tag": "1.0"}, "1.0", []),
        ({"ref": f"example.com/app@{DIGEST}"}, DIGEST, []),
        ({"url": URL, "digest": DIGEST}, DIGEST, []),
        ({"ref": f"example.com/app:1.0@{DIGEST}"}, DIGEST, []),
        ({"ref": "example.com/app:1.0", "digest": DIGEST}, DIGEST, ["tag"]),
        ({"ref": f"example.com/app@{DIGEST}", "tag": "1.0"}, DIGEST, ["tag"]),
        ({"url": URL, "digest": DIGEST, "tag": "1.0"}, DIGEST, ["tag"]),
        ({"url": URL, "digest": DIGEST, "semver": "*"}, DIGEST, ["semver"]),
        (
            {"url": URL, "digest": DIGEST, "semver": "*", "semver_filter": "x", "tag": "1"},
            DIGEST,
            ["tag", "semver", "semver_filter"],
        ),
        ({"ref": f"example.com/app:1@{DIGEST}", "filter_tags": NUMERICAL}, DIGEST, ["filter_tags"]),
        ({"url": URL, "semver": "1.x"}, "", []),
        ({"url": URL, "semver": "1.x", "tag": "9"}, "", ["tag"]),
        ({"ref": "example.com/app:9", "semver": "1.x"}, "", ["tag"]),
        ({"url": URL, "filter_tags": NUMERICAL, "tag": "9"}, "", ["tag"]),
        ({"url": URL, "semver": "1.x", "semver_filter": "x"}, "", []),
        ({"url": URL, "semver_filter": "x"}, "latest", ["semver_filter"]),
        ({"url": URL, "semver_filter": "x", "tag": "1"}, "1", ["semver_filter"]),
        ({"url": "oci-layout:/srv/oci", "tag": "1"}, "1", []),
    ],
)
def test_precedence_and_what_has_no_effect(options: dict[str, Any], identifier: str, losers: list[str]) -> None:
    target = parse_target(ReferenceOptions(**options))
    assert target.reference.identifier == identifier
    assert bool(target.selector) == (not identifier)
    assert [warning.split("'")[1] for warning in target.warnings] == losers
    assert all("no effect" in warning and "\n" not in warning for warning in target.warnings)


@pytest.mark.parametrize(
    ("options", "revision", "asks"),
    [
        ({"ref": f"example.com/app:1.0@{DIGEST}"}, f"1.0@{DIGEST}", False),
        ({"ref": f"example.com/app:1.0@{DIGEST}", "tag_moved": "warn"}, f"1.0@{DIGEST}", True),
        ({"ref": f"oci-layout:/srv/oci:1.0@{DIGEST}", "tag_moved": "fail"}, f"1.0@{DIGEST}", True),
        ({"url": URL, "digest": DIGEST, "tag": "1.0"}, DIGEST, False),
        # who wants to know about the tag means it
        ({"url": URL, "digest": DIGEST, "tag": "1.0", "tag_moved": "fail"}, f"1.0@{DIGEST}", True),
        ({"ref": "example.com/app:1.0", "digest": DIGEST, "tag_moved": "fail"}, f"1.0@{DIGEST}", True),
        ({"ref": f"example.com/app@{DIGEST}", "tag_moved": "fail"}, DIGEST, False),
    ],
)
def test_a_tag_beside_its_digest(options: dict[str, Any], revision: str, asks: bool) -> None:
    target = parse_target(ReferenceOptions(**options))
    assert target.known is not None and target.known.revision == revision
    assert target.reference.identifier == DIGEST
    assert target.asks_for_tag is asks
    assert len(target.warnings) == (1 if "url" in options and not asks else 0)
    assert target.confirmed_tag(target.known) == "", "nobody has asked the registry"


def test_only_a_pinned_tag_is_asked_for() -> None:
    target = parse_target(ReferenceOptions(ref="example.com/app:1.0", tag_moved="fail"))
    assert not target.asks_for_tag
    resolved = resolve(Tags(), target)  # type: ignore[arg-type]
    assert target.confirmed_tag(resolved) == "1.0"


def test_warning_says_what_won() -> None:
    both = {"url": URL, "tag": "1", "semver": "*"}
    assert "'digest' takes precedence" in parse_target(ReferenceOptions(digest=DIGEST, **both)).warnings[0]
    assert "version range" in parse_target(ReferenceOptions(**both)).warnings[0]
    assert "filters for 'semver'" in parse_target(ReferenceOptions(url=URL, semver_filter="x")).warnings[0]


@pytest.mark.parametrize("beside", [{"digest": DIGEST}, {"tag": "1"}, {}])
def test_selection_that_orders_a_list_has_an_effect(beside: dict[str, str]) -> None:
    target = parse_target(ReferenceOptions(url=URL, semver_filter="-rc", **beside), lists_tags=True)
    assert target.warnings == []
    assert target.ranking is not None and target.ranking.rank(["1.0.0", "1.1.0-rc.1"]) == ["1.1.0-rc.1"]


@pytest.mark.parametrize(("options", "explicit"), [({}, False), ({"tag": "latest"}, True), ({"digest": DIGEST}, True)])
def test_latest_by_default_is_told_from_latest_by_name(options: dict[str, str], explicit: bool) -> None:
    assert parse_target(ReferenceOptions(url=URL, **options)).is_explicit is explicit


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, InvalidOption, "neither is given"),
        ({"ref": "example.com/app", "url": URL}, InvalidOption, "both are given"),
        ({"ref": "example.com/app:1", "tag": "1"}, InvalidOption, "already carries a tag"),
        ({"ref": f"example.com/app@{DIGEST}", "digest": OTHER}, InvalidOption, "already carries a digest"),
        ({"url": URL + ":1"}, InvalidReference, "carries a tag"),
        ({"url": f"{URL}@{DIGEST}"}, InvalidReference, "carries a tag or a digest"),
        ({"url": "example.com/app:1"}, InvalidReference, "carries a tag"),
        ({"url": "https://example.com/app"}, InvalidReference, "unknown scheme: 'https'"),
        ({"url": "/srv/app"}, InvalidReference, "no valid host"),
        ({"url": URL, "tag": "a b"}, InvalidReference, "not a tag"),
        ({"url": URL, "digest": "sha256:1"}, InvalidReference, "not a digest"),
        ({"url": URL, "semver": "one"}, InvalidSelection, "semver"),
        ({"url": URL, "semver": "*", "semver_filter": "("}, InvalidSelection, "semver_filter"),
        ({"url": URL, "filter_tags": {"pattern": "x"}}, InvalidSelection, "no policy"),
        ({"url": URL, "digest": DIGEST, "semver": "one"}, InvalidSelection, "semver"),
    ],
)
def test_refused_before_any_request(options: dict[str, Any], error: type[OciError], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        parse_target(ReferenceOptions(**options))
    assert caught.value.__class__ is error


@pytest.mark.parametrize(
    ("options", "pin", "revision"),
    [
        ({"ref": "example.com/app:1"}, f"1@{DIGEST}", f"1@{DIGEST}"),
        ({"url": URL}, f"latest@{DIGEST}", f"latest@{DIGEST}"),
        ({"url": URL, "tag": "1"}, DIGEST, DIGEST),
        ({"url": URL, "semver": "1.x"}, f"1.10.0@{DIGEST}", f"1.10.0@{DIGEST}"),
        ({"url": URL, "digest": DIGEST}, f"1@{DIGEST}", DIGEST),
        ({"ref": "example.com/app:1"}, f"2@{DIGEST}", ""),
        ({"url": URL}, f"1@{DIGEST}", ""),
        ({"url": URL, "semver": "1.x"}, f"2.0.0@{DIGEST}", ""),
        ({"url": URL, "semver": "1.x"}, f"latest@{DIGEST}", ""),
        ({"url": URL, "digest": DIGEST}, OTHER, ""),
        ({"url": URL}, "latest", ""),
        ({"url": URL}, f"a b@{DIGEST}", ""),
    ],
)
def test_a_pin_costs_no_request(options: dict[str, Any], pin: str, revision: str) -> None:
    repository = Tags()
    if not revision:
        with pytest.raises((InvalidOption, InvalidReference)):
            parse_target(ReferenceOptions(**options, pin=pin))
        return
    target = parse_target(ReferenceOptions(**options, pin=pin))
    assert resolve(repository, target).revision == revision  # type: ignore[arg-type]
    assert repository.asked == []
    assert target.wanted == parse_target(ReferenceOptions(**options)).wanted


def test_digest_costs_no_request() -> None:
    repository = Tags()
    found = resolve(repository, parse_target(ReferenceOptions(url=URL, digest=DIGEST)))  # type: ignore[arg-type]
    assert (found.revision, found.tag, repository.asked) == (DIGEST, "", [])


def test_tag_costs_one_request() -> None:
    repository = Tags()
    found = resolve(repository, parse_target(ReferenceOptions(url=URL)))  # type: ignore[arg-type]
    assert (found.revision, repository.asked) == (f"latest@{DIGEST}", ["latest"])


def test_range_lists_and_resolves_the_tag_it_chose() -> None:
    repository = Tags("1.0.0", "1.10.0", "1.9.0", "2.0.0")
    found = resolve(repository, parse_target(ReferenceOptions(url=URL, semver="1.x")))  # type: ignore[arg-type]
    assert (found.revision, repository.asked) == (f"1.10.0@{DIGEST}", ["list", "1.10.0"])


def test_no_match_asks_for_no_manifest() -> None:
    repository = Tags("1.0.0")
    with pytest.raises(NoMatch):
        resolve(repository, parse_target(ReferenceOptions(url=URL, semver="2.x")))  # type: ignore[arg-type]
    assert repository.asked == ["list"]


def test_underscore_is_a_plus_for_charts_alone() -> None:
    options = ReferenceOptions(url=URL, semver=">=1.0.0")
    tags = ["1.0.0_build.1", "0.9.0"]
    chart = parse_target(options, media.HELM_LAYER)
    assert chart.selector is not None and chart.selector.select(tags) == "1.0.0_build.1"
    with pytest.raises(NoMatch):
        parse_target(options).selector.select(tags)  # type: ignore[union-attr]


def test_the_only_manifest_of_a_layout_without_tags_is_meant(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    repository = LayoutRepository(Reference(layout=str(layout)))
    config = b"{}"
    descriptor = Descriptor("application/vnd.oci.empty.v1+json", digest_of(config), len(config))
    repository.push_blob(BlobSource(descriptor, lambda: io.BytesIO(config)))
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor.as_json(), "layers": []}
    manifest = parse_manifest(canonical_json(document), OCI_MANIFEST, "a manifest")
    repository.push_manifest(manifest)
    target = parse_target(ReferenceOptions(ref=f"oci-layout:{layout}"))
    found = resolve(repository, target)
    assert (found.tag, found.digest, found.revision) == ("", manifest.descriptor.digest, manifest.descriptor.digest)
    with pytest.raises(NotFound):
        resolve(repository, parse_target(ReferenceOptions(ref=f"oci-layout:{layout}:latest")))
    repository.push_manifest(manifest, "latest")
    assert resolve(repository, target).tag == "latest"
