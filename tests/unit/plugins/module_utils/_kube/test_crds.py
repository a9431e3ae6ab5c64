# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CustomResourceDefinitions that are created and replaced."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import Conflict, NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube import crds
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.crds import apply_crds


class Cluster:
    """The part of the API that is asked; ``busy`` writes of others come between, ``late`` times nothing is found."""

    def __init__(self, *documents: Mapping[str, Any], busy: int = 0, late: int = 0) -> None:
        self.late = late
        self.crds = {str(each["metadata"]["name"]): self._filled(each) for each in documents}
        self.busy = busy
        self.writes = 0

    def _filled(self, document: Mapping[str, Any]) -> dict[str, Any]:
        filled = copy.deepcopy(dict(document))
        filled["metadata"].setdefault("resourceVersion", "1")
        filled["spec"].setdefault("conversion", {"strategy": "None"})
        filled["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        return filled

    def find(self, path: str) -> dict[str, Any] | None:
        if self.late:
            self.late -= 1
            return None
        return copy.deepcopy(self.crds.get(path.rpartition("/")[2]))

    def get(self, path: str) -> dict[str, Any]:
        found = self.find(path)
        if found is None:
            raise NotFound("gone")
        return found

    def create(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        name = str(document["metadata"]["name"])
        if name in self.crds:
            raise Conflict("there")
        self.crds[name] = self._filled(document)
        return self.crds[name]

    def patch(self, path: str, operations: Sequence[Mapping[str, Any]], version: str) -> dict[str, Any]:
        live = self.crds[path.rpartition("/")[2]]
        if self.busy:
            self.busy -= 1
            live["metadata"]["resourceVersion"] += "1"
        if version != live["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        self.writes += 1
        for each in operations:
            *above, last = each["path"].split("/")[1:]
            node = live
            for part in above:
                node = node[part]
            if each["op"] == "remove":
                del node[last]
            else:
                node[last] = each["value"]
        live["spec"].setdefault("conversion", {"strategy": "None"})
        return copy.deepcopy(live)


def crd(name: str = "a", metadata: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"names": {"plural": name}, **spec},
    }


def applied(cluster: Any, *documents: Mapping[str, Any], replace: bool = True) -> dict[str, str]:
    changed: dict[str, str] = {}
    apply_crds(cluster, documents, replace=replace, changed=changed)
    return changed


def test_what_the_chart_dropped_goes() -> None:
    old = crd(metadata={"labels": {"x": "y"}, "annotations": {"x": "y"}, "finalizers": ["f"], "uid": "1"})
    old["spec"]["names"].update(shortNames=["s"], categories=["all"])
    cluster = Cluster(old)
    assert applied(cluster, crd(), replace=False) == {} and cluster.crds["a"]["spec"]["names"]["shortNames"] == ["s"]
    assert applied(cluster, crd(), crd("b")) == {"a": "replaced", "b": "created"}
    live = cluster.crds["a"]
    assert live["spec"] == {"names": {"plural": "a"}, "conversion": {"strategy": "None"}}
    assert live["metadata"] == {"name": "a", "finalizers": ["f"], "uid": "1", "resourceVersion": "1"}
    # what the API server fills in is no change, and nor is what a chart says about an own namespace or with null
    same = crd(metadata={"labels": None, "annotations": {}, "namespace": "x", "creationTimestamp": None})
    assert applied(cluster, same, {**crd("b"), "status": {}}) == {}


def test_authorities_that_others_filled_in_stay() -> None:
    def hooked(bundle: str | None, url: str = "https://x") -> dict[str, Any]:
        client = {"url": url, **({"caBundle": bundle} if bundle else {})}
        return crd(conversion={"strategy": "Webhook", "webhook": {"clientConfig": client}})

    cluster = Cluster(hooked("theirs"))
    assert applied(cluster, hooked(None)) == {} and cluster.writes == 0
    assert applied(cluster, hooked(None, "https://y")) == {"a": "replaced"}
    client = cluster.crds["a"]["spec"]["conversion"]["webhook"]["clientConfig"]
    assert client == {"url": "https://y", "caBundle": "theirs"}
    assert applied(cluster, hooked("ours", "https://y")) == {"a": "replaced"} and client["caBundle"] == "ours"
    assert applied(cluster, crd()) == {"a": "replaced"}


def test_writes_of_others_in_between() -> None:
    cluster = Cluster(crd(metadata={"labels": {"x": "y"}}), busy=crds.MAX_ROUNDS - 1)
    assert applied(cluster, crd()) == {"a": "replaced"}
    # one that another run has created in the meantime
    cluster = Cluster(crd(metadata={"labels": {"x": "y"}}), late=1)
    assert applied(cluster, crd()) == {"a": "replaced"} and "labels" not in cluster.crds["a"]["metadata"]
    cluster = Cluster(crd(metadata={"labels": {"x": "y"}}), late=1)
    assert applied(cluster, crd(), replace=False) == {} and cluster.writes == 0
    with pytest.raises(Conflict):
        applied(Cluster(crd(metadata={"labels": {"x": "y"}}), busy=crds.MAX_ROUNDS), crd())
