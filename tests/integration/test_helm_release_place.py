# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a release's record and objects are, and as whom they are read and written."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, edition, history, publish_chart, shown_values, stored_release
from support.kube_api import KubeCluster
from support.tools import Tools

pytestmark = pytest.mark.once


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


def test_records_that_are_not_in_secrets(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    """A release that Helm keeps elsewhere does not count as missing: nothing is begun, not even a fetch."""
    publish_chart(publisher, "1.0.0", chart())
    module = {
        "sources": {"demo": source(publisher)},
        "releases": [release(namespace)],
        "kubeconfig": str(role.cluster.kubeconfig),
        "helm": role.helm,
        "cache_dir": str(role.cache),
    }
    name = "cloudnative.artifacts.helm_releases"
    tasks: list[dict[str, Any]] = [
        {"name": f"environment {driver}", name: module, "environment": {"HELM_DRIVER": driver}, "ignore_errors": True}
        for driver in ("configmap", "sql", "memory")
    ]
    tasks.append({"name": "option", name: {**module, "helm_driver": "configmaps"}, "ignore_errors": True})
    tasks.append({"name": "both", name: {**module, "helm_driver": "secret"}, "environment": {"HELM_DRIVER": "memory"}})
    tasks.append({"name": "as by itself", name: module, "environment": {"HELM_DRIVER": "secrets"}})
    *refused, installed, unchanged = role.ansible.tasks(tasks)
    assert [(each.failed, each["reason"]) for each in refused] == [(True, "InvalidOption")] * 4
    for result, place in zip(refused, ("ConfigMaps", "an SQL database", "memory", "ConfigMaps")):
        assert place in result["msg"] and "HELM_DRIVER" in result["msg"] and "charts" not in result
    assert installed["releases"][0]["action"] == "install"
    assert not unchanged.changed
    assert history(role.cluster, namespace, "one") == [(1, "deployed")]
    # a variable of the host itself, and the variable of the role
    run = role({"demo": source(publisher)}, [release(namespace)], helm_release_helm_driver="sql")
    assert run.failed and "an SQL database" in run.message
    assert edition(role.cluster, namespace, "one") == "first"


HELMS = ["helm310", "helm", "helm4"]

WHERE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-where"}
data: {namespace: "{{ .Release.Namespace }}", edition: "{{ .Values.color }}"}
"""

TEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-test", annotations: {"helm.sh/hook": test}}
"""

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}-secret"}
stringData: {color: "{{ .Values.color }}"}
"""

# refused by the API server alone
BAD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-BAD"}
"""

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wanted.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: wanted, singular: wanted, kind: Wanted}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""

VALUES = {"apiVersion": "v1", "kind": "Secret", "stringData": {"values.yaml": "color: green"}}

NAMESPACES = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "patch"]}
OBJECTS = {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["*"]}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}


@pytest.fixture(params=HELMS)
def any_helm(request: pytest.FixtureRequest, role: RoleRunner, tools: Tools) -> RoleRunner:
    """The role with each version of Helm."""
    return dataclasses.replace(role, helm=tools[request.param])


@pytest.fixture
def other(role: RoleRunner) -> Iterator[str]:
    """One more namespace."""
    with role.cluster.namespace("other") as name:
        yield name


def names(cluster: KubeCluster, kind: str, namespace: str) -> list[str]:
    """The names of what a test put into a namespace."""
    found = [each["metadata"]["name"] for each in cluster.list(kind, namespace)]
    return sorted(name for name in found if name != "kube-root-ca.crt")


def test_a_service_account(
    any_helm: RoleRunner, namespace: str, other: str, publisher: Publisher, tmp_path: Path
) -> None:
    """It, not the account of the kubeconfig, decides what a release may do."""
    role, cluster = any_helm, any_helm.cluster
    cluster.as_user(tmp_path, namespace, "deployer", [OBJECTS, LEASES])
    publish_chart(publisher, "1.0.0", chart())
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: more}\n"
    publish_chart(publisher, "more", chart(**{"templates__account.yaml": account}))
    group = f"{namespace}.example.com"
    publish_chart(publisher, "crds", chart(**{"crds__a.yaml": CRD.replace("GROUP", group)}))
    cluster.apply({**VALUES, "metadata": {"name": "values", "namespace": other}})
    cluster.apply({**VALUES, "metadata": {"name": "values", "namespace": namespace}})
    sources = {"demo": source(publisher), "more": source(publisher, "more"), "crds": source(publisher, "crds")}
    own = {"service_account": "deployer"}
    values = {"kind": "Secret", "name": "values"}
    releases = [
        release(namespace, drift="correct", values_from=[values], labels={"team": "blue"}, **own),
        release(namespace, "more", source="more", **own),
        release(namespace, "crds", source="crds", **own),
        release(namespace, "values", values_from=[{**values, "namespace": other}], **own),
        # in whose namespace there is no such account, or another one
        release(other, "elsewhere", **own),
        release(other, "as-the-module"),
    ]
    run = role(sources, releases)
    user = f"system:serviceaccount:{namespace}:deployer"
    assert {name: each["reason"] for name, each in run.releases.items()} == {
        "one": "InstallSucceeded",
        "more": "Forbidden",
        "crds": "Forbidden",
        "values": "Forbidden",
        "elsewhere": "Forbidden",
        "as-the-module": "InstallSucceeded",
    }
    messages = {name: each.get("msg", "") for name, each in run.releases.items()}
    for name in ("more", "crds", "values"):
        assert user in messages[name] and "cannot" in messages[name]
    assert f"system:serviceaccount:{other}:deployer" in messages["elsewhere"]
    assert shown_values(cluster, namespace, "one")["color"] == "green"
    # nothing of the others is there
    assert names(cluster, "configmap", namespace) == ["one"]
    assert names(cluster, "secret", other) == ["sh.helm.release.v1.as-the-module.v1", "values"]
    assert cluster.get("customresourcedefinition", f"wanted.{group}") is None

    # later runs: unchanged, drift, labels, an upgrade that may not be, and the way back
    releases = releases[:1]
    assert not role(sources, releases).changed
    cluster.kubectl("patch", "configmap", "one", "-n", namespace, "-p", '{"data": {"edition": "edited"}}')
    run = role(sources, releases)
    assert run.releases["one"]["reason"] == "DriftCorrected" and edition(cluster, namespace, "one") == "first"
    relabelled = {**releases[0], "labels": {"team": "red"}}
    assert role(sources, [relabelled]).actions == {"one": "label"}
    run = role(sources, [{**relabelled, "source": "more"}])
    assert run.failed and user in run.message and edition(cluster, namespace, "one") == "first"
    run = role(sources, [{**relabelled, "state": "absent"}])
    assert not run.failed and run.actions == {"one": "uninstall"}, run.message
    assert names(cluster, "configmap", namespace) == []


@pytest.mark.parametrize("helm_name", ["helm", "helm4"])
def test_who_may_act_as_a_service_account(
    helm_name: str, role: RoleRunner, tools: Tools, namespace: str, publisher: Publisher, tmp_path: Path
) -> None:
    role = dataclasses.replace(role, helm=tools[helm_name])
    cluster = role.cluster
    cluster.as_user(tmp_path, namespace, "deployer", [OBJECTS, LEASES])
    may = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"], "resourceNames": ["deployer"]}
    module = cluster.as_user(tmp_path, namespace, "module", [may])
    stranger = cluster.as_user(tmp_path, namespace, "stranger", [OBJECTS, LEASES])
    publish_chart(publisher, "1.0.0", chart(**{"templates__test.yaml": TEST}))
    demo, wanted = {"demo": source(publisher)}, [release(namespace, service_account="deployer", test={})]
    # who may do everything else may not do this
    run = role(demo, wanted, helm_release_kubeconfig=str(stranger.kubeconfig))
    assert run.failed and run.reason == "Forbidden" and "cannot impersonate" in run.message
    assert "'impersonate'" in run.message and history(cluster, namespace, "one") == []
    # who may do nothing else may do all that the account may
    variables = {"helm_release_kubeconfig": str(module.kubeconfig)}
    run = role(demo, wanted, check=True, diff=True, **variables)
    assert not run.failed and run.changed and "+  edition: first" in run.output, run.message
    run = role(demo, wanted, **variables)
    assert not run.failed and run.releases["one"]["test"] == "passed", run.message
    assert not role(demo, wanted, **variables).changed
    token = cluster.token(namespace, "module")
    connection = {"helm_release_api_host": cluster.server, "helm_release_api_key": token}
    authority = tmp_path / "ca.pem"
    authority.write_text(cluster.ca_pem)
    connection["helm_release_ca_cert"] = str(authority)
    run = role(demo, [{**wanted[0], "values": {"size": 2}}], **connection)
    assert not run.failed and run.actions == {"one": "upgrade"}, run.message


def test_namespaces_of_record_and_objects(
    any_helm: RoleRunner, namespace: str, other: str, publisher: Publisher
) -> None:
    """As Flux's storageNamespace and targetNamespace, through the life of a release."""
    role, cluster = any_helm, any_helm.cluster
    files = {"templates__where.yaml": WHERE, "templates__test.yaml": TEST, "templates__secret.yaml": SECRET}
    first = publish_chart(publisher, "1.0.0", chart(**files))
    demo = {"demo": source(publisher)}
    placed = {"target_namespace": other, "values": {"color": "green"}}
    one = release(namespace, drift="correct", test={}, labels={"team": "blue"}, **placed)
    after = release(namespace, "after", depends_on=["one"], **placed)
    run = role(demo, [one, after], check=True, diff=True)
    assert not run.failed and run.changed and f'namespace: "{other}"' in run.output, run.message
    assert names(cluster, "configmap", other) == names(cluster, "secret", namespace) == []
    run = role(demo, [one, after])
    assert not run.failed, run.message
    assert run.releases["one"]["test"] == "passed"
    shown = run.releases["one"]
    assert [shown[key] for key in ("namespace", "storage_namespace", "target_namespace")] == [
        namespace,
        namespace,
        other,
    ]
    objects = ["after", "after-test", "after-where", "one", "one-test", "one-where"]
    assert names(cluster, "configmap", other) == [name for name in objects if name != "after-test"]
    assert names(cluster, "configmap", namespace) == []
    records = ["sh.helm.release.v1.after.v1", "sh.helm.release.v1.one.v1"]
    assert names(cluster, "secret", namespace) == records
    assert names(cluster, "secret", other) == ["after-secret", "one-secret"]
    where = cluster.get("configmap", "one-where", other)
    assert where is not None and where["data"]["namespace"] == other
    assert where["metadata"]["annotations"]["meta.helm.sh/release-namespace"] == other
    assert stored_release(cluster, namespace, "one", 1)["namespace"] == other
    listed = list_releases(role, namespace)
    assert [(each["name"], each["namespace"], each["status"]) for each in listed] == [
        ("after", other, "deployed"),
        ("one", other, "deployed"),
    ]

    run = role(demo, [one, after])
    assert not run.changed and run.statistics["helm_processes"] == 0
    # drift is looked for where the objects are
    cluster.kubectl("patch", "configmap", "one", "-n", other, "-p", '{"data": {"edition": "edited"}}')
    cluster.kubectl("delete", "configmap", "one-where", "-n", other)
    run = role(demo, [one, after])
    assert run.releases["one"]["reason"] == "DriftCorrected", run.message
    assert {(each["namespace"], each["name"]) for each in run.releases["one"]["drift"]} == {
        (other, "one"),
        (other, "one-where"),
    }
    assert not role(demo, [one, after]).changed

    # an upgrade that fails, which is rolled back; a good one; back by a digest; labels; what was never finished
    publish_chart(publisher, "1.0.0", chart(edition="second", **files))
    failing = chart(**{**files, "templates__bad.yaml": BAD})
    publish_chart(publisher, "bad", failing)
    run = role({"demo": source(publisher, "bad")}, [one])
    assert run.failed and run.releases["one"]["remediation"] == "RollbackSucceeded", run.message
    assert edition(cluster, other, "one") == "first"
    run = role(demo, [one])
    assert run.actions == {"one": "upgrade"} and edition(cluster, other, "one") == "second", run.message
    run = role(demo, [{**one, "rollback_to": first}])
    assert run.actions == {"one": "rollback"} and edition(cluster, other, "one") == "first", run.message
    assert not role(demo, [{**one, "rollback_to": first}]).changed
    relabelled = {**one, "labels": {"team": "red"}}
    assert not role(demo, [relabelled]).failed
    latest = history(cluster, namespace, "one")[-1][0]
    pend(cluster, namespace, latest)
    run = role(demo, [{**relabelled, "timeout": "10s"}])
    assert not run.failed and run.actions == {"one": "upgrade"}, run.message
    assert names(cluster, "secret", other) == ["after-secret", "one-secret"]

    # it is found without being told where the objects are
    gone = release(namespace, state="absent", keep_history=True)
    run = role({}, [gone, {**release(namespace, "after"), "state": "absent"}])
    assert not run.failed, run.message
    assert names(cluster, "configmap", other) == ["one-test"] and names(cluster, "secret", other) == []
    assert history(cluster, namespace, "one")[-1][1] == "uninstalled" and history(cluster, namespace, "after") == []
    assert role(demo, [relabelled]).actions == {"one": "install"}


def test_all_three_namespaces(
    role: RoleRunner, tools: Tools, namespace: str, other: str, publisher: Publisher, tmp_path: Path
) -> None:
    """The account and the values are in the release's own; the namespace of the objects is created."""
    cluster, new = role.cluster, f"{namespace}-new"
    cluster.as_user(tmp_path, namespace, "deployer", [OBJECTS, LEASES, NAMESPACES], cluster_wide=True)
    cluster.apply({**VALUES, "metadata": {"name": "values", "namespace": namespace}})
    publish_chart(publisher, "1.0.0", chart(**{"templates__where.yaml": WHERE}))
    demo = {"demo": source(publisher)}
    options: dict[str, Any] = {
        "storage_namespace": other,
        "target_namespace": new,
        "service_account": "deployer",
        "values_from": [{"kind": "Secret", "name": "values"}],
    }
    for check in (True, False):
        run = role(demo, [release(namespace, **options)], check=check)
        assert run.failed and f"The namespace {new}, of the release one, does not exist" in run.message, run.message
    assert history(cluster, other, "one") == []
    for number, helm in enumerate(HELMS):
        again = dataclasses.replace(role, helm=tools[helm])
        try:
            run = again(demo, [release(namespace, create_namespace=True, **options)])
            assert not run.failed and run.actions == {"one": "install"}, run.message
            assert names(cluster, "configmap", new) == ["one", "one-where"]
            assert history(cluster, other, "one") == [(1, "deployed")]
            assert names(cluster, "secret", namespace) == ["values"]
            assert not again(demo, [release(namespace, create_namespace=True, **options)]).changed
        finally:
            again({}, [release(namespace, state="absent", **options)])
            cluster.kubectl("delete", "namespace", new, f"--wait={str(number + 1 < len(HELMS)).lower()}")
    missing = {**options, "storage_namespace": f"{namespace}-none", "target_namespace": other}
    run = role(demo, [release(namespace, create_namespace=True, **missing)])
    assert run.failed and f"{namespace}-none" in run.message and names(cluster, "configmap", other) == []


def test_objects_that_move_and_releases_that_are_taken_over(
    any_helm: RoleRunner, namespace: str, other: str, publisher: Publisher
) -> None:
    role, cluster = any_helm, any_helm.cluster
    publish_chart(publisher, "1.0.0", chart(**{"templates__where.yaml": WHERE}))
    demo = {"demo": source(publisher)}
    there, here = release(namespace, target_namespace=other), release(namespace)
    assert not role(demo, [there]).failed
    # as Flux does: removed from where it was
    run = role(demo, [here], check=True)
    assert run.changed and not run.failed and run.releases["one"]["cause"] == "TargetNamespaceChanged", run.message
    run = role(demo, [here])
    assert not run.failed and run.releases["one"]["cause"] == "TargetNamespaceChanged", run.message
    assert names(cluster, "configmap", other) == [] and names(cluster, "configmap", namespace) == ["one", "one-where"]
    assert not role(demo, [here]).changed
    run = role(demo, [there])
    assert not run.failed and names(cluster, "configmap", other) == ["one", "one-where"], run.message
    assert names(cluster, "configmap", namespace) == []

    # one that another program made, as Flux does: without the labels of this collection
    secret = f"secret/{names(cluster, 'secret', namespace)[-1]}"
    labels = cluster.list("secret", namespace, "owner=helm")[-1]["metadata"]["labels"]
    own = [f"{name}-" for name in labels if name.startswith("cloudnative.artifacts/")]
    cluster.kubectl("label", secret, "-n", namespace, *own)
    for check in (True, False):
        run = role(demo, [here], check=check)
        assert run.failed and run.reason == "InvalidOption", run.message
        assert f"Set 'target_namespace' to {other}" in run.message
    assert names(cluster, "configmap", other) == ["one", "one-where"]
    run = role(demo, [there])
    assert not run.failed and run.releases["one"]["cause"] == "Unmanaged", run.message
    assert not role(demo, [there]).changed
    assert history(cluster, namespace, "one")[-1] == (2, "deployed") and history(cluster, other, "one") == []


def list_releases(role: RoleRunner, namespace: str) -> list[dict[str, Any]]:
    command = [role.helm, "list", "--namespace", namespace, "--kubeconfig", str(role.cluster.kubeconfig), "-o", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def pend(cluster: KubeCluster, namespace: str, number: int) -> None:
    """Make a revision one that was never finished."""
    name = f"sh.helm.release.v1.one.v{number}"
    document = stored_release(cluster, namespace, "one", number)
    document["info"]["status"] = "pending-upgrade"
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(document).encode()))).decode()
    changes = {"metadata": {"labels": {"status": "pending-upgrade"}}, "data": {"release": packed}}
    cluster.kubectl("patch", "secret", name, "-n", namespace, "-p", json.dumps(changes))
