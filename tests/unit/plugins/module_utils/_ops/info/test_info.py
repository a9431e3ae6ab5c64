# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look returns of manifests and indexes that are odd, large or damaged, in a layout."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    InvalidOption,
    NotFound,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media, platforms
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import MAX_SMALL_BLOB, BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import (
    GATHERED,
    InfoOptions,
    gathered,
    info,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions


@pytest.fixture(autouse=True)
def this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "host", lambda: "linux/amd64")


class Layout:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = LayoutRepository(Reference(layout=str(root)))

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        found = Descriptor(media_type, digest_of(data), len(data))
        self.repository.push_blob(BlobSource(found, lambda: io.BytesIO(data)))
        return found.as_json()

    def document(self, media_type: str, tag: str, **fields: Any) -> dict[str, Any]:
        raw = canonical_json({"schemaVersion": 2, "mediaType": media_type, **fields})
        manifest = parse_manifest(raw, "", "it")
        self.repository.push_manifest(manifest, tag)
        return manifest.descriptor.as_json()

    def image(self, tag: str, config: bytes, **fields: Any) -> dict[str, Any]:
        described = self.blob(config, media.OCI_CONFIG)
        return self.document(media.OCI_MANIFEST, tag, config=described, layers=[], **fields)

    def look(self, tag: str, *gather: str, **options: Any) -> dict[str, Any]:
        reference = ReferenceOptions(ref=f"oci-layout:{self.root}:{tag}")
        return info(InfoOptions(reference, gather=gather, **options))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def test_parts_to_gather() -> None:
    assert gathered([]) == gathered(["none"]) == ()
    assert gathered(["layers", "manifest", "layers"]) == ("manifest", "layers")
    assert gathered(["tags", "all"]) == GATHERED
    with pytest.raises(InvalidOption, match="'everything'"):
        gathered(["everything"])


@pytest.mark.parametrize(
    ("config", "shown"),
    [(b'{"a": 1}', {"a": 1}), (b"", None), (b"no JSON", None), (b"[1]", [1]), (b"[" * 101 + b"]" * 101, None)],
)
def test_config(config: bytes, shown: Any, layout: Layout) -> None:
    layout.image("1", config)
    assert layout.look("1", "config")["config"] == shown


def test_config_too_large_to_show(layout: Layout) -> None:
    layout.image("1", b" " * (MAX_SMALL_BLOB + 1))
    with pytest.raises(InvalidContent, match="config .* more than"):
        layout.look("1", "config")
    assert layout.look("1", "layers")["layers"] == []


def test_artifact_without_layers(layout: Layout) -> None:
    layout.image("1", b"{}", annotations={"key": "value"}, artifactType="application/x.y")
    artifact = layout.look("1", "manifest")["artifact"]
    assert (artifact["size"], artifact["metadata"], artifact["artifact_type"]) == (
        0,
        {"key": "value"},
        "application/x.y",
    )
    assert "layer" not in artifact


def index_of(layout: Layout, tag: str, *names: str) -> None:
    entries = []
    for name in names:
        operating_system, architecture = name.split("/")
        entry = layout.image("", canonical_json({"architecture": architecture}))
        entries.append({**entry, "platform": {"os": operating_system, "architecture": architecture}})
    layout.document(media.OCI_INDEX, tag, manifests=entries)


def test_index_with_this_hosts_platform(layout: Layout) -> None:
    index_of(layout, "1", "linux/s390x", "linux/amd64")
    found = layout.look("1", "all")
    assert [entry["platform"] for entry in found["platforms"]] == ["linux/s390x", "linux/amd64"]
    assert found["config"] == {"architecture": "amd64"}
    assert layout.look("1", "config", platform="linux/s390x")["config"] == {"architecture": "s390x"}


def test_index_without_it(layout: Layout) -> None:
    """`all` is what there is; a part that was asked for by name, or a platform, has to be there."""
    index_of(layout, "1", "linux/s390x")
    found = layout.look("1", "all")
    assert set(GATHERED) - set(found) == {"config", "layers"}
    for gather, platform in ((["config"], ""), (["layers"], ""), (["all"], "linux/riscv64")):
        with pytest.raises(InvalidContent, match="without a manifest for"):
            layout.look("1", *gather, platform=platform)


def test_index_whose_manifest_is_missing_is_broken_not_missing(layout: Layout) -> None:
    index_of(layout, "1", "linux/amd64")
    digest = layout.look("1", "platforms")["platforms"][0]["digest"]
    Path(layout.repository.store.path(digest)).unlink()
    for gather in ("all", "layers"):
        with pytest.raises(NotFound):
            layout.look("1", gather, missing_ok=True)


def test_missing(layout: Layout) -> None:
    layout.image("1", b"{}")
    found = layout.look("2", "tags", "manifest", missing_ok=True)
    assert (found["exists"], found["artifact"], found["tags"]) == (False, {}, ["1"])
    assert "manifest" not in found and "'2'" in found["missing"]


def test_missing_place_has_no_tags(tmp_path: Path) -> None:
    found = Layout(tmp_path / "none").look("1", "tags", missing_ok=True)
    assert (found["exists"], found["tags"]) == (False, [])


@pytest.mark.parametrize("options", [{"limit": -1}, {"gather": ("nothing",)}])
def test_refused_before_anything_is_read(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidOption):
        info(InfoOptions(ReferenceOptions(ref=f"oci-layout:{tmp_path}/none"), **options))
