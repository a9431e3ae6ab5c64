# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests of artifacts on a real API server: applied, updated, pruned, rolled back, and shared with kubectl."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import Publisher
from support.kube_api import KubeCluster
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

MODULE = "cloudnative.artifacts.oci_manifests"
PASSWORD = "hidden-PASSWORD-of-nobody"

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo, namespace: ignored}
spec:
  replicas: ${replicas:=1}
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec:
      containers:
        - {name: podinfo, image: "ghcr.io/stefanprodan/podinfo:6.0.0", ports: [{containerPort: 9898}]}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: podinfo}
spec: {selector: {app: podinfo}, ports: [{port: 9898, targetPort: 9898}]}
"""
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: podinfo-token}}
stringData: {{token: {PASSWORD}}}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: first}
spec: {size: 3}
"""
SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: podinfo}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 99}}}]
"""
PARENT = "podinfo"


def kustomization(*resources: str) -> bytes:
    """What builds podinfo, with a label that kustomize adds."""
    labels = [{"pairs": {"part": "podinfo"}, "includeSelectors": False}]
    document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "labels": labels}
    return json.dumps({**document, "resources": list(resources)}).encode()


def closed_window() -> str:
    """A window of a policy that is not open now, nor soon."""
    hour = (datetime.datetime.now(datetime.timezone.utc).hour + 12) % 24
    return f"{hour:02}:00-{hour:02}:01"


def config_map(name: str, value: str = "1", **metadata: Any) -> str:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"key": value}}
    return json.dumps(document)


class Sets:
    """Runs the module for one artifact and cluster."""

    def __init__(self, ansible: AnsibleRunner, cluster: KubeCluster, publisher: Publisher, folder: Path) -> None:
        self._ansible = ansible
        self._cluster = cluster
        self._publisher = publisher
        self._cache = folder / "cache"

    def task(
        self,
        entries: Sequence[Mapping[str, Any]],
        *,
        tag: str = "latest",
        check: bool = False,
        diff: bool = True,
        cluster: KubeCluster | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """A task, for `tasks`."""
        module = {
            "sources": {"app": {"ref": f"{self._publisher.name}:{tag}", "insecure": True}},
            "manifests": [dict(entry) for entry in entries],
            "defaults": {"source": "app"},
            "cache_dir": str(self._cache),
            "kubeconfig": str((cluster or self._cluster).kubeconfig),
            **options,
        }
        return {"name": tag, MODULE: module, "check_mode": check, "diff": diff, "ignore_errors": True}

    def tasks(self, *tasks: Mapping[str, Any]) -> list[TaskResult]:
        """Run tasks one after the other, in one play."""
        return self._ansible.tasks(tasks)

    def run(self, entries: Sequence[Mapping[str, Any]], **options: Any) -> TaskResult:
        return self.tasks(self.task(entries, **options))[0]


@pytest.fixture
def sets(ansible: AnsibleRunner, cluster: KubeCluster, publisher: Publisher, tmp_path: Path) -> Sets:
    return Sets(ansible, cluster, publisher, tmp_path)


def actions(result: TaskResult, number: int = 0) -> dict[str, str]:
    assert not result.failed, result["msg"]
    return {f"{each['kind']}/{each['name']}": each["action"] for each in result["manifests"][number]["objects"]}


def labels(cluster: KubeCluster, kind: str, namespace: str, part_of: str) -> set[str]:
    selector = f"applyset.kubernetes.io/part-of={part_of}"
    return {each["metadata"]["name"] for each in cluster.list(kind, namespace, selector)}


def test_applied_updated_pruned_and_rolled_back(
    sets: Sets, cluster: KubeCluster, publisher: Publisher, registry: RegistryServer, namespace: str, tools: Tools
) -> None:
    names = ("deployment.yaml", "service.yaml", "hpa.yaml", "secret.yaml", "crd.yaml")
    kustomize = {"kustomize": tools["kubectl"]}
    files = {
        "kustomize/kustomization.yaml": kustomization(*names),
        "kustomize/hpa.yaml": SCALER.encode(),
        "kustomize/deployment.yaml": DEPLOYMENT.encode(),
        "kustomize/service.yaml": SERVICE.encode(),
        "kustomize/secret.yaml": SECRET.encode(),
        "kustomize/crd.yaml": CRD.encode(),
        "other/broken.yaml": b"{",
    }  # fmt: skip
    first = publisher.publish("latest", files)
    entry = {
        "name": "podinfo", "namespace": namespace, "path": "./kustomize", "target_namespace": namespace,
        "substitute": {"replicas": "2"}, "common_metadata": {"labels": {"team": "a"}},
        "images": [{"name": "ghcr.io/stefanprodan/podinfo", "new_tag": "6.7.1"}],
        "patches": [{"patch": [{"op": "add", "path": "/spec/revisionHistoryLimit", "value": 3}],
                     "target": {"kind": "Deployment"}}],
        "drift_ignore": [{"paths": ["/spec/sessionAffinity"],
                          "target": {"kind": "Serv.*", "label_selector": "team=a"}}],
    }  # fmt: skip

    # nothing is there yet, not even the kind
    predicted = sets.run([entry], check=True, **kustomize)
    created = {
        "Deployment/podinfo", "Service/podinfo", "HorizontalPodAutoscaler/podinfo", "Secret/podinfo-token",
        "Widget/first", "CustomResourceDefinition/widgets.example.com",
    }  # fmt: skip
    assert actions(predicted) == dict.fromkeys(created, "created") and predicted.changed
    assert PASSWORD not in predicted.stdout and "(hidden, " in predicted["diff"][0]["after"]
    assert cluster.get("secret", PARENT, namespace) is None

    done = sets.run([entry], **kustomize)
    assert actions(done) == dict.fromkeys(created, "created")
    deployment = cluster.get("deployment", "podinfo", namespace)
    assert deployment is not None
    spec = deployment["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (2, 3)
    assert spec["template"]["spec"]["containers"][0]["image"] == "ghcr.io/stefanprodan/podinfo:6.7.1"
    assert deployment["metadata"]["labels"]["team"] == "a" and deployment["metadata"]["labels"]["part"] == "podinfo"
    applyset = done["manifests"][0]["applyset"]
    assert labels(cluster, "service", namespace, applyset) == {"podinfo"}

    # unchanged: one request each
    start = registry.mark()
    again = sets.run([entry])
    assert not again.changed and again["manifests"][0]["reason"] == "Unchanged"
    assert again["statistics"]["api_requests"] == 1
    assert [each.method for each in registry.requests(start)] == ["HEAD"]

    # what others changed: named, put right, and left alone where it is to be
    cluster.kubectl("scale", "deployment", "podinfo", "-n", namespace, "--replicas=7")
    cluster.kubectl("patch", "service", "podinfo", "-n", namespace, "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    # what is in place may be put right at any time
    closed = [{"match": "*", "window": closed_window(), "never_downgrade": True}]
    warned, corrected = sets.tasks(
        sets.task([{**entry, "drift": "warn"}], **kustomize),
        sets.task([{**entry, "drift": "correct"}], policy=closed, **kustomize),
    )
    assert not warned.changed and warned["manifests"][0]["reason"] == "DriftDetected"
    assert actions(warned) == {"Deployment/podinfo": "configured"}
    assert actions(corrected) == {"Deployment/podinfo": "configured"}
    service = cluster.get("service", "podinfo", namespace)
    assert service is not None and service["spec"]["sessionAffinity"] == "ClientIP"

    # a revision without the service, and with a change that is seen in the diff
    second = {**files, "kustomize/secret.yaml": SECRET.replace(PASSWORD, f"{PASSWORD}-2").encode()}
    second["kustomize/kustomization.yaml"] = kustomization(*(name for name in names if name != "service.yaml"))
    publisher.publish("latest", second)
    *refused, predicted = sets.tasks(
        *(
            sets.task([entry], policy=[{"match": "*", rule: closed[0][rule]}], **kustomize)
            for rule in ("window", "never_downgrade")
        ),
        sets.task([entry], check=True, **kustomize),
    )
    assert [each["reason"] for each in refused] == ["OutsideWindow", "DowngradeDenied"]
    assert all(each.failed and not each.changed for each in refused)
    assert actions(predicted) == {"Secret/podinfo-token": "configured", "Service/podinfo": "pruned"}
    assert cluster.get("service", "podinfo", namespace) is not None
    updated = sets.run([entry], **kustomize)
    assert actions(updated) == actions(predicted)
    assert PASSWORD not in updated.stdout and PASSWORD not in json.dumps(updated["diff"])
    assert cluster.get("service", "podinfo", namespace) is None
    assert [each["digest"] for each in updated["manifests"][0]["history"]][1] == first

    # back, from the cache: the registry is asked what the tag stands for, and for nothing else
    start = registry.mark()
    earlier = sets.task([{**entry, "rollback_to": "previous"}], **kustomize)
    back, same = sets.tasks(earlier, earlier)
    assert actions(back) == {"Secret/podinfo-token": "configured", "Service/podinfo": "created"}
    assert {each.method for each in registry.requests(start)} == {"HEAD"}
    assert not same.failed and not same.changed

    removal = sets.task([{**entry, "state": "absent"}])
    removed, nothing = sets.tasks(removal, removal)
    assert set(actions(removed).values()) == {"pruned"}
    assert cluster.get("secret", PARENT, namespace) is None and cluster.get("deployment", "podinfo", namespace) is None
    assert not nothing.failed and not nothing.changed


def test_a_set_waits_for_its_time(
    sets: Sets, cluster: KubeCluster, publisher: Publisher, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, after = {"name": "one", "namespace": namespace}, {"name": "after", "namespace": namespace}
    entries = [one, {**after, "depends_on": ["one"]}]
    waits = [{"match": "*", "window": {"deny": ["00:00-24:00"]}}]
    publisher.publish("latest", {"a.yaml": config_map("a").encode()})
    found = sets.tasks(
        sets.task([one], policy=waits),
        sets.task([one], policy=waits, check=True),
        sets.task([one]),
        sets.task([one], policy=waits),
    )
    assert [(each.failed, each.changed) for each in found] == [(False, False)] * 2 + [(False, True), (False, False)]
    reasons = [each["manifests"][0]["reason"] for each in found]
    assert reasons[:2] == ["NewRevisionPending"] * 2 and reasons[3] == "Unchanged"
    assert "no changes are made 00:00-24:00" in found[0]["manifests"][0]["pending"]["why"]
    publisher.publish("latest", {"a.yaml": config_map("a", "2").encode()})
    waiting = sets.run(entries, policy=waits)
    assert not waiting.failed and not waiting.changed
    assert [each["reason"] for each in waiting["manifests"]] == ["NewRevisionPending"] * 2
    assert "comes after" in waiting["manifests"][1]["pending"]["why"]


def test_kubectl_and_this_module_prune_each_others_objects(
    sets: Sets, cluster: KubeCluster, publisher: Publisher, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"name": "shared", "namespace": namespace}

    def kubectl(*manifests: str) -> str:
        command = ["apply", "--prune", "--applyset=shared", "-n", namespace, "-f", "-"]
        return cluster.kubectl(*command, "--server-side", "--force-conflicts", stdin="\n---\n".join(manifests))

    def there() -> set[str]:
        return labels(cluster, "configmap", namespace, applyset)

    publisher.publish("latest", {"a.yaml": config_map("one").encode(), "b.yaml": config_map("two").encode()})
    applyset = sets.run([entry])["manifests"][0]["applyset"]
    assert there() == {"one", "two"}
    # kubectl prunes ours, and adds one of its own
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")
    kubectl(config_map("one"), config_map("three"))
    assert there() == {"one", "three"}
    # we prune kubectl's, although the artifact is the same
    back = actions(sets.run([entry]))
    assert (back["ConfigMap/two"], back["ConfigMap/three"]) == ("created", "pruned")
    assert there() == {"one", "two"}
    # a set that kubectl made
    cluster.kubectl(
        "apply", "--prune", "--applyset=configmaps/made", "-n", namespace, "-f", "-", stdin=config_map("four")
    )
    publisher.publish("latest", {"a.yaml": config_map("five").encode()})
    made = sets.run([{"name": "made", "namespace": namespace, "applyset": "configmaps/made"}])
    assert actions(made) == {"ConfigMap/five": "created", "ConfigMap/four": "pruned"}
    # and not the object of another set
    refused = sets.run([entry])
    assert refused.failed and refused["reason"] == "Conflict" and "ConfigMap" in refused["msg"]
    assert there() == {"one", "two"}


def test_what_fails_prunes_nothing_and_the_next_run_completes(
    sets: Sets, cluster: KubeCluster, publisher: Publisher, namespace: str, tools: Tools, tmp_path: Path
) -> None:
    entry = {"name": "app", "namespace": namespace}
    protected = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    good = {
        "old.yaml": config_map("old").encode(),
        "kept.yaml": config_map("kept", annotations=protected).encode(),
        "deployment.yaml": DEPLOYMENT.replace("${replicas:=1}", "1").replace(", namespace: ignored", "").encode(),
    }
    publisher.publish("latest", good)
    applyset = sets.run([entry])["manifests"][0]["applyset"]

    def names() -> set[str]:
        return labels(cluster, "configmap", namespace, applyset)

    new = {"new.yaml": config_map("new").encode()}
    secret = b"{apiVersion: v1, kind: Secret, metadata: {name: bad}, data: {token: '" + PASSWORD.encode() + b"'}}"
    immutable = {"deployment.yaml": good["deployment.yaml"].replace(b"{app: podinfo}", b"{app: other}")}
    bad = {
        "twice": {**new, "again.yaml": config_map("new").encode()},
        "unknown": {**new, "odd.yaml": b"{apiVersion: example.com/v1, kind: Gadget, metadata: {name: a}}"},
        "invalid": {**new, "bad.yaml": secret},
        "misspelt": {**new, "bad.yaml": config_map("bad").replace('"data"', '"datum"').encode()},
        "immutable": immutable,
    }
    for tag, files in bad.items():
        publisher.publish(tag, files)
    refused = {each.task: each for each in sets.tasks(*(sets.task([entry], tag=tag) for tag in bad))}
    assert all(each.failed and not each.changed for each in refused.values()) and names() == {"old", "kept"}
    for tag, words in {"twice": "Two manifests", "unknown": "Gadget", "invalid": "not base64: token"}.items():
        assert refused[tag]["reason"] == "BuildFailed" and words in refused[tag]["msg"]
    assert PASSWORD not in refused["invalid"].stdout
    misspelt = refused["misspelt"]
    assert misspelt["reason"] == "ReconciliationFailed" and "datum" in misspelt["msg"] and not misspelt["retryable"]
    assert "'force'" in refused["immutable"]["msg"]

    # RBAC that allows half
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    ]
    user = cluster.as_user(tmp_path, namespace, "deployer", rules)
    changed = {**new, "deployment.yaml": good["deployment.yaml"].replace(b"replicas: 1", b"replicas: 2")}
    publisher.publish("latest", changed)
    forbidden = sets.run([entry], cluster=user)
    assert forbidden.failed and forbidden["reason"] == "Forbidden" and "Deployment" in forbidden["msg"]
    assert names() == {"old", "kept"}

    # what is not ready keeps others waiting, and nothing is pruned
    sick = sets.run([{**entry, "wait": True, "timeout": "1s"}, {**entry, "name": "next", "depends_on": ["app"]}])
    assert sick.failed and [each["reason"] for each in sick["manifests"]] == ["HealthCheckFailed", "DependencyNotReady"]
    assert names() == {"old", "kept", "new"} and cluster.get("secret", "next", namespace) is None

    done = actions(sets.run([entry]))
    assert done == {"ConfigMap/old": "pruned", "ConfigMap/kept": "kept"} and names() == {"kept", "new"}

    # a kustomization, built by the program in kubectl, and an immutable field that may be forced
    kustomization = b"resources: [new.yaml, deployment.yaml]\nnamePrefix: my-\n"
    files = {"base/kustomization.yaml": kustomization, "base/new.yaml": new["new.yaml"]}
    publisher.publish("latest", {**files, "base/deployment.yaml": immutable["deployment.yaml"]})
    built = sets.run([{**entry, "path": "base"}], kustomize=tools["kubectl"])
    assert actions(built) == {
        "ConfigMap/my-new": "created", "Deployment/my-podinfo": "created",
        "ConfigMap/new": "pruned", "ConfigMap/kept": "kept", "Deployment/podinfo": "pruned",
    }  # fmt: skip
    other = good["deployment.yaml"].replace(b"name: podinfo}", b"name: my-podinfo}", 1)
    publisher.publish("latest", {"deployment.yaml": other})
    assert actions(sets.run([{**entry, "force": True, "prune": False}])) == {"Deployment/my-podinfo": "recreated"}
    assert names() == {"kept", "my-new"}

    # a set whose namespace is being deleted
    cluster.kubectl("patch", "configmap", "kept", "-n", namespace, "-p", '{"metadata": {"finalizers": ["a.com/b"]}}')
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    ending = sets.run([{**entry, "drift": "correct"}])
    cluster.kubectl("patch", "configmap", "kept", "-n", namespace, "-p", '{"metadata": {"finalizers": null}}')
    assert ending.failed and ending["retryable"] and ending["reason"] == "NamespaceTerminating", ending


def test_what_cannot_be_changed_is_created_anew_when_asked(
    sets: Sets, cluster: KubeCluster, publisher: Publisher, namespace: str
) -> None:
    """The API server has other words for it with each kind."""

    def role_binding(role: str) -> dict[str, Any]:
        group = "rbac.authorization.k8s.io"
        body = {"roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role}, "subjects": []}
        return {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": "readers"}, **body}

    def stateful_set(service: str) -> dict[str, Any]:
        container = {"name": "db", "image": "example.com/db:1"}
        pod = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}}
        spec = {"serviceName": service, "selector": {"matchLabels": {"app": "db"}}, "template": pod}
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}

    def service(address: dict[str, str]) -> dict[str, Any]:
        spec = {"selector": {"app": "db"}, "ports": [{"port": 1}], **address}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": spec}

    def publish(*documents: dict[str, Any]) -> None:
        publisher.publish("latest", {f"{n}.json": json.dumps(each).encode() for n, each in enumerate(documents)})

    entry = {"name": "fixed", "namespace": namespace}
    publish(role_binding("view"), stateful_set("old"), service({}))
    assert set(actions(sets.run([entry])).values()) == {"created"}
    publish(role_binding("edit"), stateful_set("new"), service({"clusterIP": "None"}))
    refused = sets.run([entry])
    assert refused.failed and not refused.changed and refused["msg"].count("'force'") == 3, refused["msg"]
    forced = {**entry, "force": True}
    everything = {"RoleBinding/readers": "recreated", "StatefulSet/db": "recreated", "Service/db": "recreated"}
    assert actions(sets.run([forced], check=True)) == everything
    assert actions(sets.run([forced])) == everything
    # what would not be accepted as a new object either is not deleted for it
    publish(role_binding("edit"), stateful_set("new"), service({"clusterIP": "None"}))
    kept = cluster.get("service", "db", namespace)
    bad = sets.run([{**forced, "patches": [{"patch": {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "db"},
                                                      "spec": {"ports": [{"port": 70000}]}}}]}])  # fmt: skip
    assert bad.failed and "'force'" not in bad["msg"] and kept is not None
    found = cluster.get("service", "db", namespace)
    assert found is not None and found["metadata"]["uid"] == kept["metadata"]["uid"]


def test_five_thousand_objects(sets: Sets, cluster: KubeCluster, publisher: Publisher, namespace: str) -> None:
    entry = {"name": "many", "namespace": namespace}
    publisher.publish("latest", {"all.yaml": "\n---\n".join(config_map(f"m{n}") for n in range(5000)).encode()})
    done, again = sets.tasks(sets.task([entry], diff=False), sets.task([entry], diff=False))
    assert not done.failed and done["manifests"][0]["count"] == 5000, done["msg"]
    # the result has a bound, and so has the note in the cluster
    assert len(done["manifests"][0]["objects"]) == 1000
    assert (again.changed, again["statistics"]["api_requests"], again["manifests"][0]["count"]) == (False, 1, 5000)

    # one that is refused: all are there as before
    publisher.publish("latest", {"a.yaml": config_map("m0", "2").encode(), "b.yaml": config_map("Not.Valid").encode()})
    refused = sets.run([entry], diff=False)
    assert refused.failed and not refused.changed and "Not.Valid" in refused["msg"]
    assert len(labels(cluster, "configmap", namespace, done["manifests"][0]["applyset"])) == 5000
