# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CustomResourceDefinitions of charts become what the chart has, whoever made them, and the result says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, history, publish_chart

pytestmark = pytest.mark.once

MARKS = {"labels": {"old": "label"}, "annotations": {"example.com/old": "annotation"}}
NAMES = {"shortNames": ["old"], "categories": ["all"]}


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


def crd(
    group: str, name: str, marks: dict[str, Any] | None = None, names: dict[str, Any] | None = None
) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}.{group}", **(marks or {})},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": name, "singular": name, "kind": name.capitalize(), **(names or {})},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def archive(*documents: dict[str, Any], **files: str) -> bytes:
    return chart(**{"crds__all.yaml": "---\n".join(f"{json.dumps(each)}\n" for each in documents)}, **files)


def test_what_a_new_version_drops_goes_whoever_made_it(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    group = f"{namespace}.example.com"  # CRDs are the cluster's
    makers = ("ours", "applied", "created")
    old = {name: crd(group, name, MARKS, {**NAMES, "shortNames": [f"o{name}"]}) for name in makers}
    new = {name: crd(group, name, {"labels": {"new": "label"}}) for name in makers}
    role.cluster.apply(old["applied"])
    role.cluster.kubectl("create", "-f", "-", stdin=json.dumps(old["created"]))
    demo = {"demo": source(publisher)}
    publish_chart(publisher, "1.0.0", archive(*old.values()))
    run = role(demo, [release(namespace)])
    assert not run.failed, run.message
    assert run.releases["one"]["crds"] == [{"name": f"ours.{group}", "change": "created"}]

    def live() -> dict[str, Any]:
        found = role.cluster.list("customresourcedefinitions")
        return {each["spec"]["names"]["plural"]: each for each in found if each["spec"]["group"] == group}

    # two releases of one chart, of which the second one replaces
    publish_chart(publisher, "1.0.0", archive(*new.values()))
    two = [release(namespace), release(namespace, "two", crds="CreateReplace", depends_on=["one"])]
    runs = role.batch(demo, Step(two[:1]), Step(two))
    assert [run.message for run in runs] == [""] * 2
    assert "crds" not in runs[0].releases["one"]
    replaced = {each["name"]: each["change"] for each in runs[1].releases["two"]["crds"]}
    assert replaced == {f"{name}.{group}": "replaced" for name in makers}
    for name, each in live().items():
        assert not {"shortNames", "categories"} & set(each["spec"]["names"]), name
        assert each["metadata"]["labels"] == {"new": "label"}, name
        assert not each["metadata"].get("annotations"), name
    # what is as the chart has it is no change
    run = role(demo, [release(namespace, "two", crds="CreateReplace", values={"size": 2})])
    assert not run.failed and "crds" not in run.releases["two"], run.message

    # labels alone are a change; the other order; and both at once
    publish_chart(publisher, "1.0.0", archive(*old.values()))
    three = [
        release(namespace, "one", crds="CreateReplace"),
        release(namespace, "two", depends_on=["one"]),
        release(namespace, "three", crds="CreateReplace", depends_on=["two"]),
    ]
    run = role(demo, three)
    assert not run.failed, run.message
    assert {name: len(each.get("crds", ())) for name, each in run.releases.items()} == {"one": 3, "two": 0, "three": 0}
    assert live()["applied"]["metadata"]["labels"] == MARKS["labels"]
    role.cluster.kubectl("delete", "customresourcedefinition", *(f"{name}.{group}" for name in makers), "--wait=false")


def test_a_failure_says_which_were_changed_before_it(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    group = f"{namespace}.example.com"
    failing = "{{ fail `because` }}\n"
    demo = {"demo": source(publisher)}
    publish_chart(publisher, "1.0.0", archive(crd(group, "first"), **{"templates__bad.yaml": failing}))
    for name, change in ((f"first.{group}", "created"), ("", "")):
        run = role(demo, [release(namespace)])
        assert run.failed and "because" in run.message and history(role.cluster, namespace, "one") == []
        assert run.changed is bool(name) is run.releases["one"]["changed"]
        assert ("Nothing was changed." in run.message) is (not name)
        assert f"{name} ({change})" in run.message or not name
        assert run.releases["one"].get("crds", []) == ([{"name": name, "change": change}] if name else [])
    labelled = crd(group, "first", {"labels": {"a": "b"}})
    publish_chart(publisher, "1.0.0", archive(labelled, **{"templates__bad.yaml": failing}))
    run = role(demo, [release(namespace, crds="CreateReplace")])
    assert run.failed and run.changed and f"first.{group} (replaced)" in run.message
    role.cluster.kubectl("delete", "customresourcedefinition", f"first.{group}", "--wait=false")
