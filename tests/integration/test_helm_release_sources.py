# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``sources`` of helm_releases: options, defaults, messages and once-per-run rule of helm_chart_sources; and
what other modules and lookups have found, as the chart and the values of a release."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, downloads, publish_chart, shown_values
from support.servers import RegistryServer

RELEASES, SOURCES = "cloudnative.artifacts.helm_releases", "cloudnative.artifacts.helm_chart_sources"
SECRET = "a-password-of-nobody"


@pytest.mark.once
def test_options_come_from_where_those_of_the_other_module_do(
    ansible: AnsibleRunner, publisher: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    archive = chart()
    digest = publish_chart(publisher, "1.0.0", archive)
    plain = {"demo": {"ref": f"{publisher.name}:1.0.0"}}
    cache = {"cache_dir": str(tmp_path / "cache")}
    insecure = {"insecure": True, "retries": 0}

    def task(name: str, defaults: dict[str, Any] | None = None, module: str = RELEASES, **options: Any) -> Any:
        options = {"sources": plain, **cache, **({"releases": []} if module == RELEASES else {}), **options}
        return {
            "name": name, module: options, "module_defaults": defaults or {}, "ignore_errors": True,
            "check_mode": name == "check mode",
        }  # fmt: skip

    # another question than the one that the run knows the answer to
    other = {"demo": {**plain["demo"], "tag_moved": "warn"}}
    layout = {"ref": f"oci-layout:{tmp_path}/none:1"}
    start = registry.mark()
    results = ansible.tasks([
        task("not insecure", source_defaults={"retries": 0}),
        task("check mode", source_defaults=insecure),
        task("defaults of the group", {"group/cloudnative.artifacts.oci": {**insecure, **cache}}, cache_dir=None),
        task("defaults of the module", {SOURCES: {"insecure": True}}, source_defaults={"retries": 0}),
        task("the other module", module=SOURCES, insecure=True),
        task("another pin", source_defaults=insecure, sources=other, pins={"demo": "2.0.0"}),
        task("no such option", source_defaults={"pasword": SECRET}, sources=other),
        task("a number", source_defaults=insecure, sources={"demo": {"url": publisher.url, "tag": 1.1}}),
        task("no mapping", sources="demo"),
        task("one of two", sources={"good": {**plain["demo"], "insecure": True}, "bad": layout}),
        task("wrong releases", source_defaults=insecure, releases=[{"name": "a", "sourcee": "demo"}]),
        task("no sources", sources={}),
    ], flags=["-vvv"], vars={"ansible_python_interpreter": sys.executable})  # fmt: skip
    found = {result.task: result for result in results}
    assert found["not insecure"].failed and "'demo': HEAD https://" in found["not insecure"]["msg"]
    for name in ("check mode", "defaults of the group", "defaults of the module", "the other module"):
        assert not found[name].failed, found[name].get("msg")
        assert found[name]["charts"]["demo"]["digest"] == digest, name
        # a chart in the cache is no change of a release
        assert not found[name].changed
    assert downloads(registry, start, archive) == 1
    messages = {name: str(result.get("msg")) for name, result in found.items() if result.failed}
    assert "The source 'demo'" in messages["another pin"]
    assert messages["no such option"].startswith("'source_defaults': ") and "pasword" in messages["no such option"]
    assert found["no such option"]["reason"] == "InvalidOption" and SECRET not in results[0].stdout
    assert "source demo: tag" in messages["a number"]
    assert messages["no mapping"] == "'sources' is not a mapping of names to sources."
    assert set(found["one of two"]["failed_sources"]) == {"bad"} and "releases" not in found["one of two"]
    assert "sourcee" in messages["wrong releases"]
    assert found["no sources"]["charts"] == {} and not found["no sources"].failed


@pytest.mark.once
def test_a_chart_that_was_found_and_values_of_another_artifact(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    values = Publisher(registry.host, f"values/{namespace}")
    values.publish("1.4.0", {"production.yaml": "color: of another artifact\n"})
    wanted = f"'{values.name}', semver='1.x', insecure=true, want='path', file='production.yaml'"
    path = f"{{{{ lookup('cloudnative.artifacts.oci_artifact', {wanted}) }}}}"
    cluster = {"kubeconfig": str(role.cluster.kubeconfig), "helm": role.helm}
    demo = {"ref": f"{publisher.name}:1.0.0", "insecure": True}
    fetch = {"sources": {"demo": demo}, "cache_dir": str(tmp_path / "cache")}
    releases = [{"name": "demo", "namespace": namespace, "source": "demo", "values_files": [path]}]
    done = role.ansible.tasks([
        {SOURCES: fetch, "register": "found"},
        {RELEASES: {"charts": "{{ found.charts }}", "releases": releases, **cluster}},
    ])[-1]  # fmt: skip
    assert not done.failed and done.changed, done.get("msg")
    assert shown_values(role.cluster, namespace, "demo")["color"] == "of another artifact"
