# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts out of image layouts, into a cache."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    BuildError,
    ChartError,
    DigestMismatch,
    InvalidOption,
    InvalidPolicy,
    InvalidReference,
    NotFound,
    OciError,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.chart import read_chart_files
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts import sources as chart_sources
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.sources import (
    SourceOptions,
    fetch_charts,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.plugins.module_utils._unexpected import InternalError

VECTORS = Path(__file__).resolve().parents[5] / "vectors"


def packed(version: str = "1.0.0", name: str = "demo") -> bytes:
    target = io.BytesIO()
    data = f"apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: '9'\n".encode()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(f"{name}/Chart.yaml")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(target.getvalue(), mtime=0)


class Layout:
    """An image layout that charts are put into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: list[dict[str, Any]] = []
        (root / "blobs/sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = digest_of(data)
        (self.root / "blobs/sha256" / digest.partition(":")[2]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put(self, tag: str, data: bytes, layer_type: str = media.HELM_LAYER) -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": self.blob(b"{}", media.HELM_CONFIG),
            "layers": [self.blob(data, layer_type)],
        }
        entry = self.blob(json.dumps(manifest).encode(), media.OCI_MANIFEST)
        self.entries = [each for each in self.entries if each["annotations"][media.ANNOTATION_REF_NAME] != tag]
        self.entries.append({**entry, "annotations": {media.ANNOTATION_REF_NAME: tag}})
        (self.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))
        return str(entry["digest"])

    def source(self, name: str = "demo", tag: str = "1.0.0", pin: str = "", **options: Any) -> SourceOptions:
        return SourceOptions(name, ReferenceOptions(ref=f"oci-layout:{self.root}:{tag}", pin=pin), **options)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def test_a_chart_comes_to_lie_under_its_digest(layout: Layout, cache: str) -> None:
    archive = packed("1.0.0+build.7")
    digest = layout.put("1.0.0_build.7", archive)
    result = fetch_charts([layout.source(tag="1.0.0_build.7")], cache)
    chart = result["charts"]["demo"]
    assert result["changed"] and result["warnings"] == []
    assert (chart["name"], chart["version"], chart["app_version"]) == ("demo", "1.0.0+build.7", "9")
    assert (chart["digest"], chart["revision"]) == (digest, f"1.0.0_build.7@{digest}")
    assert chart["layer"]["digest"] == digest_of(archive) == digest_of(Path(chart["path"]).read_bytes())
    again = fetch_charts([layout.source(tag="1.0.0_build.7")], cache)
    assert again == {**result, "changed": False}


def test_what_is_in_the_cache_needs_no_repository(layout: Layout, cache: str) -> None:
    digest = layout.put("1.0.0", packed())
    fetch_charts([layout.source()], cache)
    layout.root.rename(layout.root.parent / "elsewhere")
    pinned = SourceOptions("demo", ReferenceOptions(ref=f"oci-layout:{layout.root}@{digest}"))
    agreed = layout.source(pin=f"1.0.0@{digest}")
    assert fetch_charts([pinned], cache)["charts"]["demo"]["revision"] == digest
    assert fetch_charts([agreed], cache)["charts"]["demo"]["revision"] == f"1.0.0@{digest}"
    with pytest.raises(NotFound):
        fetch_charts([layout.source()], cache)


def test_a_pin_is_what_its_source_can_stand_for(layout: Layout, cache: str) -> None:
    digest = layout.put("1.0.0", packed())
    layout.put("2.0.0", packed("2.0.0"))
    url = f"oci-layout:{layout.root}"
    by_range = ReferenceOptions(ref=url, semver="1.x", pin=f"1.0.0@{digest}")
    assert fetch_charts([SourceOptions("demo", by_range)], cache)["charts"]["demo"]["version"] == "1.0.0"
    for source in (
        layout.source(tag="2.0.0", pin=f"1.0.0@{digest}"),
        SourceOptions("demo", by_range._replace(semver="2.x")),
        SourceOptions("demo", ReferenceOptions(ref=f"{url}@{digest}", pin=digest_of(b"another"))),
    ):
        with pytest.raises(InvalidOption, match="^The source 'demo': The pin .* is nothing that the reference can"):
            fetch_charts([source], cache)
    with pytest.raises(InvalidReference, match="^The source 'demo': '1.0.0' is not a digest"):
        fetch_charts([layout.source(pin="1.0.0")], cache)


@pytest.mark.parametrize("damage", [b"", b"other bytes"])
def test_a_damaged_cache_is_healed(layout: Layout, cache: str, damage: bytes) -> None:
    digest = layout.put("1.0.0", packed())
    chart = fetch_charts([layout.source()], cache)["charts"]["demo"]
    Path(chart["path"]).write_bytes(damage)
    Path(cache, "blobs/sha256", digest.partition(":")[2]).write_bytes(damage)
    Path(cache, f"notes/{os.geteuid()}/sha256", f"{digest.partition(':')[2]}.json").write_bytes(damage)
    result = fetch_charts([layout.source()], cache)
    assert result["changed"] and result["charts"]["demo"] == chart
    assert Path(chart["path"]).read_bytes() == packed()


def test_the_record_of_somebody_else_does_not_count(layout: Layout, cache: str) -> None:
    """Who may write there could claim a verification that never was."""
    digest = layout.put("1.0.0", packed())
    fetch_charts([layout.source()], cache)
    record = next(Path(cache, f"notes/{os.geteuid()}/sha256").iterdir())
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    claim = {"digest": digest, "verified": {}, "chart": {"name": "claimed", "version": "0", "app_version": ""}}
    record.write_text(json.dumps(claim))
    assert fetch_charts([layout.source()], cache)["charts"]["demo"]["name"] == "claimed"
    record.chmod(0o666)
    assert fetch_charts([layout.source()], cache)["charts"]["demo"]["name"] == "demo"
    record.write_text(json.dumps({**claim, "digest": digest_of(b"renamed")}))
    assert fetch_charts([layout.source()], cache)["charts"]["demo"]["name"] == "demo"


def test_what_is_read_of_a_chart_was_just_checked(layout: Layout, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shares the cache can exchange the file once it was compared with its digest."""
    layout.put("1.0.0", packed())
    found = chart_sources.SourceFetch._fetch

    def fetch_and_exchange(self: Any, layer: Any) -> str:
        path = found(self, layer)
        Path(path).write_bytes(packed(name="forged"))
        return path

    monkeypatch.setattr(chart_sources.SourceFetch, "_fetch", fetch_and_exchange)
    with pytest.raises(DigestMismatch):
        fetch_charts([layout.source()], cache)
    assert not list(Path(cache, "notes").rglob("*.json"))


@pytest.mark.parametrize("kind", ["other", "fifo", "huge"])
def test_values_come_from_a_chart_that_was_just_checked(tmp_path: Path, kind: str) -> None:
    data, path = packed(), tmp_path / "chart.tgz"
    path.write_bytes(data)
    assert "Chart.yaml" in read_chart_files(str(path), digest_of(data))
    path.unlink()
    if kind == "other":
        path.write_bytes(packed("6.6.6"))
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    with pytest.raises((DigestMismatch, BuildError)):
        read_chart_files(str(path), digest_of(data))


def test_several_sources_at_once(layout: Layout, cache: str) -> None:
    for number in range(9):
        layout.put(f"1.0.{number}", packed(f"1.0.{number}"))
    sources = [layout.source(f"source-{number}", f"1.0.{number}") for number in range(9)]
    charts = fetch_charts(sources, cache)["charts"]
    assert list(charts) == [source.name for source in sources]
    assert [chart["version"] for chart in charts.values()] == [f"1.0.{number}" for number in range(9)]
    with pytest.raises(NotFound, match="The source 'gone'") as caught:
        fetch_charts([layout.source("gone", "9"), sources[0], layout.source("too", "8")], cache)
    assert set(caught.value.details["failed_sources"]) == {"gone", "too"}
    assert fetch_charts([], cache) == {"changed": False, "charts": {}, "warnings": []}


def test_an_exception_that_nobody_foresaw_names_its_source(
    layout: Layout, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        layout.put(f"1.0.{number}", packed(f"1.0.{number}"))

    def read(path: str, digest: str, what: str) -> dict[str, str]:
        if "1.0.1" in what:
            raise TypeError("hush-hush")
        return {"name": "demo", "version": "1", "app_version": ""}

    monkeypatch.setattr(chart_sources, "_read_chart", read)
    with pytest.raises(InternalError, match="The work on the source 'source-1' ended") as caught:
        fetch_charts([layout.source(f"source-{number}", f"1.0.{number}") for number in (0, 1, 2)], cache)
    assert caught.value.details["changed"] is True and "hush" not in str(caught.value)
    assert set(caught.value.details["failed_sources"]) == {"source-1"}


def test_options_are_checked_before_the_first_request(layout: Layout, cache: str) -> None:
    layout.put("1.0.0", packed())
    with pytest.raises(InvalidOption, match="Two sources have the same name"):
        fetch_charts([layout.source(), layout.source()], cache)
    with pytest.raises(OciError, match="The source 'bad'"):
        fetch_charts([layout.source(), SourceOptions("bad", ReferenceOptions())], cache)
    assert not os.path.exists(cache)


@pytest.mark.parametrize(
    ("data", "layer_type", "words"),
    [
        (b"text", media.HELM_LAYER, "is not a Helm chart.*it begins with"),
        (packed(version="not a version"), media.HELM_LAYER, "is not a Helm chart"),
        (packed(), media.FLUX_LAYER, "is not a Helm chart: .* has no layer of media type"),
    ],
)
def test_artifacts_that_are_no_charts(layout: Layout, cache: str, data: bytes, layer_type: str, words: str) -> None:
    layout.put("1.0.0", data, layer_type)
    with pytest.raises(ChartError, match=words):
        fetch_charts([layout.source()], cache)


@pytest.mark.parametrize(("tag", "warns"), [("1.0.0", 0), ("v1.0.0", 0), ("latest", 0), ("1.0", 1), ("1.0.1", 1)])
def test_a_tag_that_says_another_version(layout: Layout, cache: str, tag: str, warns: int) -> None:
    layout.put(tag, packed())
    assert len(fetch_charts([layout.source(tag=tag)], cache)["warnings"]) == warns


def test_a_verified_digest_need_not_be_verified_again(cache: str, tmp_path: Path) -> None:
    signed = tmp_path / "signed"
    shutil.copytree(VECTORS / "layouts/chart-legacy-a", signed)
    index = json.loads((signed / "index.json").read_text())
    entries = [each for each in index["manifests"] if ".sig" not in json.dumps(each.get("annotations", {}))]
    digest = entries[0]["digest"]
    key_a, key_b = (parse_policy({"public_keys": [str(VECTORS / f"keys/key-{key}.pub")]}) for key in "ab")

    def source(policy: Any, where: Path = signed) -> SourceOptions:
        return SourceOptions("demo", ReferenceOptions(ref=f"oci-layout:{where}@{digest}"), verify=policy)

    with pytest.raises(VerificationFailed, match="The source 'demo'"):
        fetch_charts([source(key_b)], cache)
    manifest = json.loads((signed / "blobs/sha256" / digest.partition(":")[2]).read_text())
    layer = Path(cache, "blobs/sha256", manifest["layers"][0]["digest"].partition(":")[2])
    assert not layer.exists(), "something was fetched that nobody had verified"
    verdict = fetch_charts([source(key_a)], cache)["charts"]["demo"]["verification"]
    assert layer.exists()
    assert verdict["verified"] is True
    # the layout is not even there
    shutil.rmtree(signed)
    assert fetch_charts([source(key_a)], cache)["charts"]["demo"]["verification"] == verdict
    for other in (source(key_b), source(key_a, tmp_path / "nowhere")):
        with pytest.raises(NotFound):
            fetch_charts([other], cache)
    with pytest.raises(InvalidPolicy):
        fetch_charts([source(parse_policy({"public_keys": ["/nowhere.pub"]}))], cache)


def test_a_source_is_asked_for_once_in_its_interval(layout: Layout, cache: str, tmp_path: Path) -> None:
    first = layout.put("1.0.0", packed())

    def fetch(**options: Any) -> dict[str, Any]:
        chart: dict[str, Any] = fetch_charts([layout.source(**{"interval": 600.0, **options})], cache)["charts"]["demo"]
        return chart

    noted = fetch()
    assert noted["digest"] == first and noted["confirmed_at"].endswith("Z")
    assert "confirmed_at" not in fetch(interval=0.0) and "confirmed_at" not in fetch(pin=f"1.0.0@{first}")
    second = layout.put("1.0.0", packed("1.0.0", "other"))
    assert fetch() == noted
    # whoever wants something else, or says no interval, asks
    rules = rules_of([{"match": f"oci-layout:{layout.root}", "never_downgrade": True}])
    assert [fetch(interval=0.0)["digest"], fetch(policy=rules)["digest"], fetch()["digest"]] == [second, second, first]
    denied = rules_of([{"match": f"oci-layout:{layout.root}", "deny_digests": [second]}])
    with pytest.raises(OciError, match="denied"):
        fetch(policy=denied)
    # what was answered too long ago, and a note that cannot be understood
    notes = [path for path in (tmp_path / "cache/notes").rglob("*.json") if "answer" in json.loads(path.read_text())]
    assert len(notes) == 2
    for content in (lambda note: {**note, "answer": {**note["answer"], "at": 1.0}}, lambda note: {**note, "answer": 1}):
        fetch()
        for path in notes:
            path.write_text(json.dumps(content(json.loads(path.read_text()))))
        assert fetch()["digest"] == second


def test_a_chart_that_cannot_be_used_is_no_answer(layout: Layout, cache: str) -> None:
    layout.put("1.0.0", b"no chart")
    for _turn in range(2):
        with pytest.raises(ChartError):
            fetch_charts([layout.source(interval=600.0)], cache)
    digest = layout.put("1.0.0", packed())
    assert fetch_charts([layout.source(interval=600.0)], cache)["charts"]["demo"]["digest"] == digest
