# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode on a cluster that lacks what the run itself makes: what works, what fails, and what is a warning."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleResult, RoleRunner, Step, chart, history, publish_chart, shown_values
from support.kube_api import KubeCluster
from support.tools import Tools

pytestmark = pytest.mark.once

HELMS = ["helm310", "helm", "helm4"]

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: "widgets.GROUP"}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""
WIDGET = "apiVersion: GROUP/v1\nkind: Widget\nmetadata: {name: '{{ .Release.Name }}'}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: '{{ .Values.makes }}'}\n"
FAR = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: far, namespace: '{{ .Values.far }}'}\n"


def source(publisher: Publisher, tag: str = "1.0.0") -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True}


def release(namespace: str, name: str = "one", chart: str = "demo", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": chart, "timeout": "20s", **options}


def failed(run: RoleResult) -> dict[str, str]:
    return {name: each["reason"] for name, each in run.releases.items() if each["failed"]}


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm."""
    return dataclasses.replace(role, helm=tools[request.param])


def test_objects_that_the_run_applies(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    """Their namespace, values and kinds count in check mode; the same run then does what was predicted."""
    group = f"{namespace}.example.com"
    new = f"{namespace}-new"
    publish_chart(publisher, "1.0.0", chart(**{"templates__widget.yaml": WIDGET.replace("GROUP", group)}))
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": new},
            "data": {"values.yaml": "size: 2\n"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "login", "namespace": new},
            "stringData": {"password": "hush-hush"},
        },
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"widgets.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
                ],
            },
        },
    ]
    references = [
        {"kind": "ConfigMap", "name": "settings"},
        {"kind": "Secret", "name": "login", "values_key": "password", "target_path": "password"},
    ]
    releases = [release(new, values_from=references)]
    demo = {"demo": source(publisher)}
    run = role(demo, releases, check=True, diff=True, flags=["-vvv"], helm_release_objects=objects)
    assert not run.failed, run.message
    assert run.changed and run.actions == {"one": "install"}
    digest = run.releases["one"]["values_digest"]
    assert [warning for warning in run.last["warnings"] if f"the kind Widget of {group}/v1 is there" in warning]
    assert "hush-hush" not in run.output
    assert role.cluster.get("namespace", new) is None
    # in lists of Kubernetes, they are the same objects
    typed = {key: value for key, value in objects[0].items() if key not in ("apiVersion", "kind")}
    lists: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "NamespaceList", "items": [typed]},
        {"apiVersion": "v1", "kind": "List", "items": objects[1:]},
    ]
    run = role(demo, releases, check=True, helm_release_objects=lists)
    assert not run.failed and run.releases["one"]["values_digest"] == digest, run.message
    # without the objects it is predicted to fail
    assert role(demo, releases, check=True).releases["one"]["reason"] == "ValuesError"
    # an object that will be refused is
    refused = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name", "namespace": namespace}}
    assert role(demo, [], check=True, helm_release_objects=[*objects, refused]).failed
    elsewhere = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": f"{namespace}-no"}}
    assert role(demo, [], check=True, helm_release_objects=[*objects, elsewhere]).failed
    try:
        run = role(demo, releases, helm_release_objects=objects)
        assert not run.failed and run.releases["one"]["values_digest"] == digest, run.message
        assert shown_values(role.cluster, new, "one")["password"] == "hush-hush"
        # what is there counts as it will be: a key that is not applied any more goes
        objects[1]["data"] = {"values.yaml": "size: 3\n"}
        objects[2]["stringData"] = {"other": "word"}
        run = role(demo, releases, check=True, helm_release_objects=objects)
        assert run.releases["one"]["reason"] == "ValuesError" and "no key 'password'" in run.releases["one"]["msg"]
        releases[0]["values_from"] = references[:1]
        run = role(demo, releases, check=True, helm_release_objects=objects)
        assert run.actions == {"one": "upgrade"}
        digest = run.releases["one"]["values_digest"]
        assert role(demo, releases, helm_release_objects=objects).releases["one"]["values_digest"] == digest
    finally:
        role.cluster.kubectl("delete", "namespace", new, "--wait=false", "--ignore-not-found")
        delete_kind(role.cluster, group)


def delete_kind(cluster: KubeCluster, group: str) -> None:
    name = f"widgets.{group}"
    cluster.kubectl("delete", "customresourcedefinition", name, "--wait=false", "--ignore-not-found")


@pytest.mark.parametrize("place", ["crds__widget.yaml", "templates__widget.yaml"])
def test_kinds_that_another_release_makes(
    any_helm: RoleRunner, namespace: str, publisher: Publisher, place: str
) -> None:
    role, group = any_helm, f"{namespace}.example.com"
    publish_chart(publisher, "1.0.0", chart("maker", **{place: CRD.replace("GROUP", group)}))
    user = chart(version="2.0.0", **{"templates__object.yaml": WIDGET.replace("GROUP", group)})
    publish_chart(publisher, "2.0.0", user)
    sources = {"maker": source(publisher), "demo": source(publisher, "2.0.0")}
    maker = release(namespace, "maker", "maker")
    after = release(namespace, "after", depends_on=["maker"])
    last = release(namespace, "last", depends_on=["after"])
    beside = release(namespace, "beside")
    both = role.batch(
        sources,
        Step([after, last, maker], check=True, diff=True),
        Step([beside, maker], check=True),
        Step([release(namespace, "alone"), release(namespace, "above", depends_on=["alone"])], check=True),
        Step([{**maker, "depends_on": ["one"]}, release(namespace)], check=True),
        Step([{**maker, "crds": "Skip"}, after], check=True),
    )
    ordered, beside_it, alone, before, skipped = both
    assert failed(ordered) == {} and ordered.changed
    warnings = ordered.last["warnings"]
    assert len(warnings) == 2 and all("which the release" in each and "Widget" in each for each in warnings), warnings
    assert failed(beside_it) == {}
    (warning,) = beside_it.last["warnings"]
    assert "nothing says that it comes first: name it in 'depends_on'" in warning
    assert failed(alone) == {"alone": "InstallFailed", "above": "DependencyNotReady"}
    assert "no matches for kind" in alone.releases["alone"]["msg"]
    # a release that comes later makes it too late
    assert failed(before) == {"one": "InstallFailed", "maker": "DependencyNotReady"}
    assert failed(skipped) == ({"after": "InstallFailed"} if place.startswith("crds") else {})
    assert role.cluster.list("secret", namespace, "owner=helm") == []
    try:
        run = role(sources, [after, last, maker])
        assert failed(run) == {} and len(run.releases) == 3, run.message
        assert failed(role(sources, [after, last, maker, beside], check=True)) == {}
    finally:
        delete_kind(role.cluster, group)


def test_namespaces(any_helm: RoleRunner, namespace: str, publisher: Publisher) -> None:
    role = any_helm
    publish_chart(publisher, "1.0.0", chart())
    publish_chart(publisher, "2.0.0", chart("maker", "2.0.0", **{"templates__namespace.yaml": NAMESPACE}))
    publish_chart(publisher, "3.0.0", chart("far", "3.0.0", **{"templates__far.yaml": FAR}))
    sources = {"demo": source(publisher), "maker": source(publisher, "2.0.0"), "far": source(publisher, "3.0.0")}
    new = f"{namespace}-new"
    maker = release(namespace, "maker", "maker", values={"makes": new})
    runs = role.batch(
        sources,
        *(
            Step(releases, check=True)
            for releases in (
                [release(new), release(new, "above", depends_on=["one"])],
                [release(new, create_namespace=True), release(new, "two", depends_on=["one"])],
                [release(new, create_namespace=True), release(new, "two")],
                [maker, release(new, depends_on=[f"{namespace}/maker"])],
                [release(namespace, "far", "far", values={"far": new})],
                [release(namespace, "far", "far", values={"far": new}, depends_on=["maker"]), maker],
                [release(namespace, "far", "far", values={"far": namespace})],
            )
        ),
    )
    alone, ordered, unordered, made, far, far_made, near = runs
    assert failed(alone) == {"one": "ReadOperationFailed", "above": "DependencyNotReady"}
    assert (
        f"The namespace {new}, of the release one, does not exist. Create it, or set 'create_namespace'"
        in (alone.releases["one"]["msg"])
    )
    assert failed(ordered) == failed(unordered) == failed(made) == failed(far_made) == failed(near) == {}
    assert "before the namespace" in ordered.last["warnings"][0] and "which the release" in ordered.last["warnings"][0]
    assert "name it in 'depends_on'" in unordered.last["warnings"][0]
    assert "which the release" in made.last["warnings"][0]
    assert failed(far) == {"far": "ReadOperationFailed"} and f"The namespace {new}, of the ConfigMap far" in far.message
    assert not near.last.get("warnings")
    assert role.cluster.get("namespace", new) is None and history(role.cluster, namespace, "maker") == []
    # as it was predicted
    assert failed(role(sources, [release(new), release(new, "above", depends_on=["one"])])) == failed(alone)


def test_what_will_fail_is_predicted(role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools) -> None:
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    assert not role(demo, [release(namespace), release(namespace, "two")]).failed
    unknown = f"sha256:{'0' * 64}"
    back = [release(namespace, rollback_to=unknown)]
    gone = [release(namespace, "two", state="absent")]
    nowhere = {"helm_release_helm": "/nowhere/helm"}
    for check in (True, False):
        rolled_back, removed = role.batch(demo, Step(back, check=check), Step(gone, check=check, variables=nowhere))
        assert failed(rolled_back) == {"one": "ReadOperationFailed"} and unknown in rolled_back.message
        assert removed.reason == "MissingDependency"


def test_the_rights_of_an_account(
    role: RoleRunner, namespace: str, publisher: Publisher, cluster: KubeCluster, tmp_path: Any
) -> None:
    """Without the right to read namespaces, it is found out by what any release does."""
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    rules = [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["*"]}]
    account = cluster.as_user(tmp_path, namespace, "deployer", rules, cluster_wide=True)
    variables = {"helm_release_kubeconfig": str(account.kubeconfig)}
    elsewhere = f"{namespace}-new"
    there, missing, created = role.batch(
        demo,
        Step([release(namespace)], check=True, variables=variables),
        Step([release(elsewhere)], check=True, variables=variables),
        Step([release(elsewhere, create_namespace=True)], check=True, variables=variables),
    )
    assert failed(there) == {}, there.message
    assert failed(missing) == {"one": "ReadOperationFailed"}
    assert failed(created) == {"one": "Forbidden"}
