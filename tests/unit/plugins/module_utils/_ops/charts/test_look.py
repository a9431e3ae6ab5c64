# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of charts whose metadata are odd or hostile, and searches that cannot be made, without a registry."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AccessDenied,
    AuthenticationFailed,
    CatalogUnsupported,
    InvalidOption,
    InvalidReference,
    InvalidSelection,
    NotFound,
    OciError,
    RegistryError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._mirrors.rules import parse_mirrors
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import MAX_SMALL_BLOB, BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.look import list_charts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.info import InfoOptions, info
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions


class Layout:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = LayoutRepository(Reference(layout=str(root)))

    def chart(self, tag: str, config: Any, media_type: str = media.HELM_CONFIG, **fields: Any) -> str:
        data = config if isinstance(config, bytes) else json.dumps(config).encode()
        found = Descriptor(media_type, digest_of(data), len(data))
        self.repository.push_blob(BlobSource(found, lambda: io.BytesIO(data)))
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": found.as_json(), "layers": []}
        manifest = parse_manifest(canonical_json({**document, **fields}), "", "it")
        self.repository.push_manifest(manifest, tag)
        return manifest.descriptor.digest


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def test_what_a_chart_says(layout: Layout) -> None:
    config = {"name": "demo", "version": "1.2.3+b", "appVersion": "v1", "deprecated": True, "type": "library"}
    more = {"description": "A demo", "kubeVersion": ">=1.20", "unknown": [1]}
    digest = layout.chart("1.2.3_b", {**config, **more}, annotations={media.ANNOTATION_CREATED: "2026-01-01T00:00:00Z"})
    charts, warnings = list_charts(layout.repository, ["1.2.3_b"])
    assert charts == [
        {
            "url": f"oci-layout:{layout.root}",
            "tag": "1.2.3_b",
            "digest": digest,
            "revision": f"1.2.3_b@{digest}",
            "name": "demo",
            "version": "1.2.3+b",
            "app_version": "v1",
            "kube_version": ">=1.20",
            "type": "library",
            "description": "A demo",
            "deprecated": True,
            "created": "2026-01-01T00:00:00Z",
        }
    ]
    assert warnings == []


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, {"name": "", "version": "", "deprecated": False, "type": "application"}),
        ({"name": 1, "version": None, "appVersion": {"a": 1}}, {"name": "", "version": "", "app_version": ""}),
        ({"deprecated": "true"}, {"deprecated": False}),
        ({"description": "x" * 5000, "name": "y" * 5000}, {"description": "x" * 1000, "name": "y" * 256}),
        (b'{"name": "\\ud800 half"}', {"name": "? half"}),
    ],
)
def test_fields_of_other_kinds(layout: Layout, config: Any, wanted: dict[str, Any]) -> None:
    layout.chart("1.0.0", config)
    ((chart,), _warnings) = list_charts(layout.repository, ["1.0.0"])
    assert {name: chart[name] for name in wanted} == wanted
    json.dumps(chart).encode("utf-8")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"[]", "not a JSON object"),
        (b"", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b" " * (MAX_SMALL_BLOB + 1), "more than the"),
    ],
)
def test_damaged_charts_are_left_out_with_a_word(layout: Layout, config: bytes, words: str) -> None:
    layout.chart("1.0.0", config)
    layout.chart("2.0.0", {"name": "good"})
    charts, warnings = list_charts(layout.repository, ["1.0.0", "2.0.0", "3.0.0"])
    assert [chart["tag"] for chart in charts] == ["2.0.0"]
    (warning,) = warnings
    assert "1.0.0 is left out of the charts" in warning and words in warning


@pytest.mark.parametrize(
    ("failure", "is_final"),
    [
        (AccessDenied("blocked by a policy"), False),
        (RegistryError("blocked by a policy", "", 451), False),
        (AuthenticationFailed("x"), True),
        (RegistryError("x", "", 503), True),
    ],
    ids=["forbidden", "legal", "login", "outage"],
)
def test_a_chart_that_is_not_given_out_hides_no_other(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, failure: OciError, is_final: bool
) -> None:
    """A scanner before a registry may block one version."""
    layout.chart("1.0.0", {"name": "blocked"})
    layout.chart("2.0.0", {"name": "good"})
    fetch = LayoutRepository.fetch_manifest

    def guarded(repository: LayoutRepository, identifier: str) -> Any:
        if identifier == "1.0.0":
            raise failure
        return fetch(repository, identifier)

    monkeypatch.setattr(LayoutRepository, "fetch_manifest", guarded)
    if is_final:
        with pytest.raises(type(failure)):
            list_charts(layout.repository, ["1.0.0", "2.0.0"])
        return
    charts, warnings = list_charts(layout.repository, ["1.0.0", "2.0.0"])
    assert [chart["tag"] for chart in charts] == ["2.0.0"]
    assert "1.0.0 is left out of the charts: blocked by a policy" in warnings[0]
    with pytest.raises(type(failure)):
        list_charts(layout.repository, ["1.0.0"])


def test_a_config_that_is_missing_is_damage(layout: Layout) -> None:
    layout.chart("1.0.0", {"name": "x"})
    config = layout.repository.fetch_manifest("1.0.0").config
    assert config is not None
    Path(layout.repository.store.path(config.digest)).unlink()
    charts, warnings = list_charts(layout.repository, ["1.0.0"])
    assert charts == [] and config.digest in warnings[0]


def look(layout: Layout, **options: Any) -> dict[str, Any]:
    return info(InfoOptions(ReferenceOptions(ref=f"oci-layout:{layout.root}"), gather=["charts"], **options))


def test_charts_of_a_repository(layout: Layout) -> None:
    for number in range(25):
        layout.chart(f"1.{number}.0", {"version": f"1.{number}.0"})
    layout.chart("2.0.0", {"version": "not a chart"}, "application/vnd.example")
    layout.chart("1.24.0_build", {"version": "1.24.0+build"})
    layout.chart("stable", {"version": "1.3.0"})
    found = look(layout)
    # one of the twenty that are looked at is no chart
    assert [chart["version"] for chart in found["charts"]][:3] == ["1.24.0+build", "1.24.0", "1.23.0"]
    assert len(found["charts"]) == 19 and found["truncated"] is True and "artifact" not in found
    every = look(layout, limit=0)
    assert len(every["charts"]) == 27 and every["truncated"] is False
    assert every["charts"][-1]["tag"] == "stable"
    few = look(layout, limit=2, sort="alphabetical")
    assert [chart["tag"] for chart in few["charts"]] == ["stable"] and few["truncated"] is True
    with pytest.raises(NotFound):
        info(InfoOptions(ReferenceOptions(ref=f"oci-layout:{layout.root}"), gather=["charts", "manifest"]))
    both = info(
        InfoOptions(
            ReferenceOptions(ref=f"oci-layout:{layout.root}", semver="~1.24"), gather=["charts", "tags", "none"]
        )
    )
    # in the tags of charts an underscore stands for a plus
    assert both["tags"] == [chart["tag"] for chart in both["charts"]] == ["1.24.0_build", "1.24.0"]
    assert both["artifact"]["tag"] == "1.24.0_build"
    assert "charts" not in info(InfoOptions(ReferenceOptions(ref=f"oci-layout:{layout.root}:stable"), gather=["all"]))


SEARCH: dict[str, Any] = {"registry": "registry.example.com"}


@pytest.mark.parametrize(
    ("reference", "options", "kind", "words"),
    [
        ({"ref": "x.example.com/y"}, SEARCH, InvalidOption, "'ref' has no meaning in a search"),
        ({"tag": "1"}, SEARCH, InvalidOption, "'tag' has no meaning in a search"),
        ({}, {**SEARCH, "gather": ["charts", "layers"]}, InvalidOption, "'gather: layers' has no meaning"),
        ({}, {**SEARCH, "max_repositories": -1}, InvalidOption, "'max_repositories' is -1"),
        ({}, {**SEARCH, "name_filter": "("}, InvalidSelection, "name_filter"),
        ({"semver": "one"}, SEARCH, InvalidSelection, "one"),
        ({}, {"registry": "registry.example.com/charts:1"}, InvalidReference, "no valid tag"),
        ({}, {"registry": "oci-layout:/x/y"}, InvalidReference, "is not a registry"),
        ({}, {"registry": "no host"}, InvalidReference, "white space"),
        ({}, {"registry": "/"}, InvalidReference, "valid host"),
        ({}, {"registry": "user:password@example.com"}, InvalidReference, "before its host"),
        ({}, {"from_cache": True}, InvalidOption, "no cache"),
        ({"ref": "x.example.com/y"}, {"from_cache": True}, InvalidOption, "no cache"),
        ({"ref": "oci-layout:/x"}, {"from_cache": True, "cache": CacheOptions("/c")}, InvalidOption, "image layout"),
        ({}, {}, InvalidOption, "'ref' and 'url'"),
        ({"ref": "x.example.com/y"}, {"gather": ["chart"]}, InvalidOption, "'gather' names 'chart'"),
    ],
)
def test_searches_that_cannot_be_made(
    reference: dict[str, str], options: dict[str, Any], kind: type[OciError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        info(InfoOptions(ReferenceOptions(**reference), **options))
    assert words in str(caught.value) and "password@" not in str(caught.value)


def test_a_registry_that_mirrors_replace_is_not_asked() -> None:
    """Whoever replaces a registry does not want it reached; which names its mirrors have is not known."""
    rules = parse_mirrors({"registry.example.com": [{"url": "https://mirror.example.com", "mode": "replace"}]})
    connection = ConnectionOptions(mirrors=rules)
    with pytest.raises(CatalogUnsupported, match="Mirrors replace the registry"):
        info(InfoOptions(ReferenceOptions(), registry="registry.example.com", connection=connection))


def test_a_cache_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    found = info(InfoOptions(ReferenceOptions(), from_cache=True, cache=CacheOptions(str(tmp_path / "absent"))))
    assert found["repositories"] == [] and found["exists"] is True and not (tmp_path / "absent").exists()
