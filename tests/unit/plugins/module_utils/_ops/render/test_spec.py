# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where releases are rendered to, and what makes them be rendered again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.render import RENDERED_RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import ChartError, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.template_files import TemplateFlags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import FetchedChart
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.render.spec import (
    Rendering,
    RenderOptions,
    parse_renderings,
)

pytestmark = pytest.mark.once

DIGEST = f"sha256:{'1' * 64}"
DEMO = {"demo": FetchedChart("/demo.tgz", DIGEST, DIGEST, f"1.0.0@{DIGEST}", "oci://registry.example.com/demo")}


def item(name: str = "one", **more: Any) -> dict[str, Any]:
    defaults = {option: spec.get("default") for option, spec in RELEASE_SPEC.items()}
    return {**defaults, "name": name, "source": "demo", "values": {}, **more}


def parsed(*items: dict[str, Any], **options: Any) -> list[Rendering]:
    return parse_renderings(RenderOptions(items, DEMO, **options), "/nowhere")


def test_places() -> None:
    both = [item(), item("two", namespace="other", dest="/elsewhere/two")]
    assert [each.place for each in parsed(*both, dest="/base")] == ["/base/default/one", "/elsewhere/two"]
    found = parsed(*both, dest="/base", single_file=True)
    assert [(each.directory, each.file_name) for each in found] == [
        ("/base/default", "one.yaml"),
        ("/elsewhere", "two"),
    ]


def test_releases_that_differ_in_the_place_of_their_records_alone() -> None:
    assert "storage_namespace" in RENDERED_RELEASE_SPEC
    one, other = item(storage_namespace="records"), item(storage_namespace="more", dest="/other")
    found = parsed(one, other, dest="/base")
    # the place is that of any release of the namespace and name, and so are the files
    assert [each.place for each in found] == ["/base/default/one", "/other"]
    assert {each.spec.target for each in found} == {"default"}
    assert found[0].key("sha256:2") == found[1].key("sha256:2") == parsed(item(dest="/a"))[0].key("sha256:2")
    with pytest.raises(InvalidOption, match=r"records/one and more/one are both to be rendered into /base/default/one"):
        parsed(one, {**other, "dest": None}, dest="/base")


def test_values_are_read_as_the_service_account() -> None:
    assert "service_account" in RENDERED_RELEASE_SPEC
    reference = {"kind": "Secret", "name": "settings"}
    (found,) = parsed(item(dest="/a", service_account="deployer", values_from=[reference]))
    assert found.spec.values_from[0].user == "system:serviceaccount:default:deployer"


@pytest.mark.parametrize(
    ("items", "options", "words"),
    [
        ([item()], {}, "The release default/one has no 'dest'"),
        ([item(dest="/a"), item("two", dest="/a/")], {}, "default/one and default/two are both to be rendered into /a"),
        ([item(dest="/a/")], {"single_file": True}, "is a directory: wanted is a file"),
        ([item(dest="/a", chart="/b")], {}, "has a 'source' and a 'chart'"),
        ([item(dest="/a", source="none")], {}, "the source 'none', which is not"),
        ([item(dest="/a", source=None)], {}, "The release 'one' has no chart. Give a 'source' or a 'chart'"),
    ],
)
def test_bad_options(items: list[dict[str, Any]], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        parsed(*items, **options)


def test_what_decides_is_in_the_record() -> None:
    (base,) = parsed(item(dest="/a"))
    key = base.key("sha256:2")
    others = [
        base.key("sha256:3"),
        dataclasses.replace(base, flags=TemplateFlags(kube_version="1.31")).key("sha256:2"),
        dataclasses.replace(base, file_name="a.yaml").key("sha256:2"),
        parsed(item(dest="/a", disable_hooks=True))[0].key("sha256:2"),
        parsed(item(dest="/a", namespace="other"))[0].key("sha256:2"),
        parsed(item(dest="/a", post_renderer={"command": "cat"}))[0].key("sha256:2"),
        parsed(item(dest="/a", state="absent"))[0].key(""),
    ]
    assert key not in others and len({str(each) for each in others}) == len(others)
    # how it is deployed does not matter
    assert parsed(item(dest="/a", wait=False, drift="correct", labels={"a": "b"}))[0].key("sha256:2") == key


def test_charts_of_this_host(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: '4'\n")
    given = item(dest="/a", source=None, chart=str(folder))
    (first,) = parse_renderings(RenderOptions([given], {}), str(tmp_path))
    assert first.chart is not None
    assert (first.chart.name, first.chart.version, first.chart.app_version) == ("web", "1.2.3", "4")
    (second,) = parse_renderings(RenderOptions([{**given, "chart": first.chart.path}], {}), "/nowhere")
    assert second.key("") == first.key("")
    with pytest.raises(InvalidOption, match=r"not among the sources \(demo\)"):
        parse_renderings(RenderOptions([given, item("two", source="none", dest="/b")], DEMO), str(folder))
    (tmp_path / "none.tgz").write_text("no chart")
    with pytest.raises(ChartError, match=r"none\.tgz is not a Helm chart"):
        parse_renderings(RenderOptions([{**given, "chart": str(tmp_path / "none.tgz")}], {}), "/nowhere")
