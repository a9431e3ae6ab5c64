# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases whose dependency is suspended, whose record was kept, or whose namespace is being deleted; and the words of
errors about what is not there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, edition, history, publish_chart, shown_values
from support.kube_api import KubeCluster
from support.tools import Tools

pytestmark = pytest.mark.once


def source(publisher: Publisher) -> dict[str, Any]:
    return {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


@pytest.mark.parametrize("check", [True, False])
def test_what_a_release_depends_on_is_not_deployed_by_this_run(
    role: RoleRunner, namespace: str, publisher: Publisher, check: bool
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    above = release(namespace, "above", depends_on=["below"])
    far = release(namespace, "far", depends_on=["above"])
    never, gone, there = role.batch(
        source(publisher),
        Step([release(namespace, "below", suspend=True), above, far], check=check),
        Step([release(namespace, "below", state="absent"), above], check=check),
        Step([release(namespace, "below")]),
    )
    assert {name: each["reason"] for name, each in never.releases.items()} == {
        "below": "Suspended",
        "above": "DependencyNotReady",
        "far": "DependencyNotReady",
    }
    assert f"depends on {namespace}/below, which is suspended and not there" in never.releases["above"]["msg"]
    assert gone.releases["above"]["reason"] == "DependencyNotReady"
    assert f"depends on {namespace}/below, whose 'state' is absent" in gone.releases["above"]["msg"]
    assert not there.failed and history(role.cluster, namespace, "above") == []
    # one that is deployed may be suspended
    run = role(source(publisher), [release(namespace, "below", suspend=True), above], check=check)
    assert not run.failed and run.actions == {"below": "none", "above": "install"}


@pytest.mark.parametrize("helm", ["helm310", "helm", "helm4"])
def test_a_record_that_was_kept_is_removed(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, helm: str
) -> None:
    role = dataclasses.replace(role, helm=tools[helm])
    publish_chart(publisher, "1.0.0", chart())
    absent = release(namespace, state="absent")
    kept = {**absent, "keep_history": True}
    runs = role.batch(
        source(publisher),
        *(Step([each]) for each in (release(namespace), kept, kept)),
        Step([absent], check=True),
        *(Step([each]) for each in (absent, absent)),
    )
    assert [run.message for run in runs] == [""] * 6
    assert [(run.actions["one"], run.changed) for run in runs] == [
        ("install", True),
        ("uninstall", True),
        ("none", False),
        ("uninstall", True),
        ("uninstall", True),
        ("none", False),
    ]
    assert runs[2].releases["one"]["status"] == "uninstalled"
    assert history(role.cluster, namespace, "one") == []


def test_files_of_the_chart_by_any_spelling(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart(**{"env__prod.yaml": "size: 3\n"}))
    names = {"dot": "./env/prod.yaml", "slashes": "env//./prod.yaml", "up": "ci/../env/prod.yaml"}
    releases = [release(namespace, name, chart_values_files=[path]) for name, path in names.items()]
    outside = release(namespace, "outside", chart_values_files=["../demo/env/prod.yaml"])
    run = role(source(publisher), [*releases, outside])
    assert [shown_values(role.cluster, namespace, name)["size"] for name in names] == [3, 3, 3]
    assert run.releases["outside"]["reason"] == "ValuesError"
    digests = {run.releases[name]["values_digest"] for name in names}
    assert len(digests) == 1


def test_an_object_and_a_key_that_are_not_there(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    metadata = {"name": "settings"}
    role.cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a.yaml": "a: 1", "b.yaml": "b: 1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata},
        namespace=namespace,
    )
    words = {
        "map": f"There is no ConfigMap {namespace}/nowhere, which 'values_from' names",
        "secret": f"There is no Secret {namespace}/nowhere, which 'values_from' names",
        "key": f"There is no key 'values.yaml' in the ConfigMap {namespace}/settings: its keys are a.yaml, b.yaml",
        "empty": f"There is no key 'values.yaml' in the Secret {namespace}/settings: it is empty",
    }
    objects = {
        "map": {"kind": "ConfigMap", "name": "nowhere"},
        "secret": {"kind": "Secret", "name": "nowhere"},
        "key": {"kind": "ConfigMap", "name": "settings"},
        "empty": {"kind": "Secret", "name": "settings"},
    }
    run = role(source(publisher), [release(namespace, name, values_from=[each]) for name, each in objects.items()])
    for name, expected in words.items():
        assert run.releases[name]["reason"] == "ValuesError" and expected in run.releases[name]["msg"]
    optional = [{**each, "optional": True} for each in objects.values()]
    assert not role(source(publisher), [release(namespace, values_from=optional)]).failed


FINALIZER = "example.com/held"


def hold(cluster: KubeCluster, namespace: str, *names: str, is_held: bool = True) -> None:
    """Keep records of releases from being removed while their namespace is deleted; or no longer."""
    patch = json.dumps({"metadata": {"finalizers": [FINALIZER] if is_held else None}})
    cluster.kubectl("patch", "secret", *names, "-n", namespace, "--type=merge", "-p", patch)


@pytest.fixture
def dying(role: RoleRunner) -> Iterator[str]:
    """A namespace that can be deleted, and is gone at the end."""
    with role.cluster.namespace() as name:
        try:
            yield name
        finally:
            held = [each["metadata"]["name"] for each in role.cluster.list("secret", name)]
            hold(role.cluster, name, *held, is_held=False)


@pytest.mark.parametrize("check", [True, False])
def test_a_namespace_that_is_being_deleted(
    role: RoleRunner, namespace: str, dying: str, publisher: Publisher, check: bool
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    assert not role(source(publisher), [release(dying, "old"), release(dying, "older")]).failed
    hold(role.cluster, dying, "sh.helm.release.v1.old.v1", "sh.helm.release.v1.older.v1")
    role.cluster.kubectl("delete", "namespace", dying, "--wait=false")
    found = role.cluster.get("namespace", dying)
    assert found is not None and found["status"]["phase"] == "Terminating"
    run = role(
        source(publisher),
        [
            release(dying, "new", create_namespace=True),
            release(dying, "old", values={"size": 2}),
            release(dying, "older", state="absent"),
            release(namespace, "elsewhere"),
        ],
        check=check,
    )
    assert not run.last.get("warnings"), run.last["warnings"]
    results = run.releases
    assert {name: each["reason"] for name, each in results.items() if each["failed"]} == {
        "new": "NamespaceTerminating",
        "old": "NamespaceTerminating",
    }
    assert results["new"]["retryable"] is True
    assert (
        f"The namespace {dying}, of the release new, is being deleted: nothing can be created" in results["new"]["msg"]
    )
    assert results["older"]["changed"] and results["elsewhere"]["changed"]
    assert history(role.cluster, dying, "new") == []
    assert edition(role.cluster, namespace, "elsewhere") == ("" if check else "first")


def test_errors_name_the_variables_of_the_role(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    own = {name: value for name, value in release(namespace).items() if name != "timeout"}
    runs = role.batch(
        source(publisher),
        Step([release(namespace)], variables={"helm_release_lock_timeout": "soon"}),
        Step([release(namespace)], variables={"helm_release_defaults": {"chart": "demo"}}),
        Step([release(namespace)], variables={"helm_release_kubeconfig": "apiVersion: v1\nkind: Config\n"}),
        Step([release(namespace)], variables={"helm_release_kubeconfig": "/nowhere/kubeconfig"}),
        Step([release(namespace)], variables={"helm_release_helm": "/nowhere/helm"}),
        Step([release(namespace)], variables={"helm_release_parallel": 0}),
        Step([own], variables={"helm_release_defaults": {"timeout": "soon"}}),
        Step([release(namespace)], variables={"helm_release_defaults": {"history_max": "many"}}),
    )
    for run, words in zip(
        runs,
        (
            "'helm_release_lock_timeout': 'soon' is not a duration",
            "'helm_release_defaults' has chart, which a release does not have",
            "'helm_release_kubeconfig' is neither the path of a file nor its content",
            "The file that 'helm_release_kubeconfig' names does not exist",
            "The program '/nowhere/helm' is not on this host. Install Helm there, or say in 'helm_release_helm'",
            "'helm_release_parallel' is 0: wanted 1 to 64",
            "'timeout': 'soon' is not a duration",
            "found in 'helm_release_releases'",
        ),
    ):
        assert run.failed and words in run.message, run.message
