# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Helm applies objects: by the client or by the server, over fields of others, and what failures leave behind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, edition, history, publish_chart, stored_release
from support.tools import Tools

pytestmark = pytest.mark.once

# one object that the API server takes, one with a name that it may refuse, and one that is there before
ADDED = """\
{{- if .Values.added }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-added
  annotations: {{ .Values.annotations | toJson }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Values.added | quote }}}
{{- end }}
{{- if not .Values.swapped }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-before"}
{{- end }}
"""


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", **options}


def edited(role: RoleRunner, namespace: str, *names: str) -> None:
    """Change the edition of releases as another field manager."""
    for name in names:
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"edition": "edited"}}
        role.cluster.apply(document, namespace=namespace)


def left_by(result: dict[str, Any]) -> list[str]:
    return [each["name"] for each in result.get("left_behind", ())]


def method(role: RoleRunner, namespace: str, name: str, revision: int) -> str:
    return str(stored_release(role.cluster, namespace, name, revision).get("apply_method") or "")


def test_force_conflicts_is_decided_by_the_record(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools
) -> None:
    first = publish_chart(publisher, "1.0.0", chart(**{"templates__added.yaml": ADDED}))
    demo = {"demo": source(publisher)}
    old, new = (dataclasses.replace(role, helm=tools[name]) for name in ("helm310", "helm4"))
    assert not old(demo, [release(namespace, "old")]).failed
    forced = {"force_conflicts": True}
    assert not new(demo, [release(namespace, "new", **forced), release(namespace, "auto", server_side="auto")]).failed
    assert (method(role, namespace, "old", 1), method(role, namespace, "new", 1)) == ("", "ssa")
    assert method(role, namespace, "auto", 1) == "ssa"

    # a failed upgrade and the rollback after it, then upgrades, over fields of others
    both = [release(namespace, name, **forced) for name in ("old", "new")]
    bad = [{**each, "values": {"added": "Not_A_Name"}} for each in both]
    edited(role, namespace, "old", "new")
    run = new(demo, bad)
    assert {name: each["remediation"] for name, each in run.releases.items()} == dict.fromkeys(
        ("old", "new"), "RollbackSucceeded"
    ), run.message
    assert "Not_A_Name" in run.message and "forceConflicts" not in run.message
    assert {edition(role.cluster, namespace, name) for name in ("old", "new")} == {"first"}
    publish_chart(publisher, "1.0.0", chart(edition="second"))
    edited(role, namespace, "old", "new")
    runs = new.batch(demo, Step(both, check=True), Step(both), Step(both))
    assert [run.message for run in runs] == [""] * 3
    assert [run.changed for run in runs] == [True, True, False]
    assert {edition(role.cluster, namespace, name) for name in ("old", "new")} == {"second"}
    # and the way back to the first chart
    edited(role, namespace, "old", "new")
    run = new(demo, [{**each, "rollback_to": first} for each in both])
    assert not run.failed, run.message
    assert {edition(role.cluster, namespace, name) for name in ("old", "new")} == {"first"}

    # from the client to the server, and back
    for server_side, recorded in (("true", "ssa"), ("auto", "ssa"), ("false", "csa"), ("auto", "csa")):
        options = {**forced, "server_side": server_side, "values": {"turn": f"{server_side} {recorded}"}}
        edited(role, namespace, "old")
        run = new(demo, [release(namespace, "old", **options)])
        assert not run.failed, run.message
        assert method(role, namespace, "old", run.releases["old"]["revision"]) == recorded
        assert edition(role.cluster, namespace, "old") == "second"


def test_conflicts_say_what_to_do(role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools) -> None:
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    new = dataclasses.replace(role, helm=tools["helm4"])
    assert not new(demo, [release(namespace)]).failed
    edited(role, namespace, "one")
    publish_chart(publisher, "1.0.0", chart(edition="second"))
    left = release(namespace, upgrade={"remediation": "none"})
    run = new(demo, [left])
    assert run.failed and 'conflict with "tests"' in run.message and "'force_conflicts'" in run.message
    run = new(demo, [{**left, "force_conflicts": True}])
    assert not run.failed, run.message
    assert edition(role.cluster, namespace, "one") == "second"

    # what a Helm that applies by the client has changed in between
    patch = ["--field-manager=helm", "--patch", '{"data": {"edition": "patched"}}']
    role.cluster.kubectl("patch", "configmap", "one", "--namespace", namespace, *patch)
    served = {**left, "server_side": True, "values": {"size": 1}}
    run = new(demo, [served])
    assert run.failed and 'conflict with "helm"' in run.message, run.message
    assert '"helm" of these fields is Helm itself' in run.message and "or leave 'server_side' out" in run.message
    run = new(demo, [{**served, "force_conflicts": True}])
    assert not run.failed, run.message
    assert edition(role.cluster, namespace, "one") == "second"

    # options that exclude each other are refused before anything is asked
    for more in ({"force_conflicts": True}, {"server_side": True}):
        for runner in (role, new):
            run = runner(demo, [release(namespace, force=True, **more)])
            assert run.failed and run.reason == "InvalidOption" and f"{namespace}/one" in run.message
            assert "'force'" in run.message and next(iter(more)) in run.message
    assert history(role.cluster, namespace, "one")[-1] == (5, "deployed")
    run = new(demo, [release(namespace, force=True, values={"size": 2})])
    assert not run.failed, run.message
    assert method(role, namespace, "one", 6) == "csa"


@pytest.mark.parametrize("helm", ["helm310", "helm", "helm4"])
def test_what_failures_leave_behind(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, helm: str
) -> None:
    """What Helm does not remove is found; what it has removed, and what is to be kept, is not named."""
    publish_chart(publisher, "1.0.0", chart(**{"templates__added.yaml": ADDED}))
    demo = {"demo": source(publisher)}
    role = dataclasses.replace(role, helm=tools[helm])
    left = {"upgrade": {"remediation": "none"}}
    values: dict[str, dict[str, Any]] = {
        "rolled-back": {},
        "swapped": {"swapped": True},
        "upgraded": {},
        "kept": {"annotations": {"helm.sh/resource-policy": "keep"}},
        "removed": {"swapped": True},
    }
    fine = [release(namespace, name, **({} if name in ("rolled-back", "swapped") else left)) for name in values]
    assert not role(demo, fine).failed

    run = role(demo, [{**each, "values": {"added": "Not_A_Name", **values[each["name"]]}} for each in fine])
    assert {each["reason"] for each in run.releases.values()} == {"UpgradeFailed"}
    remedied = {name: (each["remediation"], left_by(each)) for name, each in list(run.releases.items())[:2]}
    # that Helm does not roll back to an object that is there, and that the failed revision has no longer
    swapped = ("RollbackFailed", ["swapped-added"]) if helm == "helm310" else ("RollbackSucceeded", [])
    assert remedied == {"rolled-back": ("RollbackSucceeded", []), "swapped": swapped}
    assert [left_by(run.releases[name]) for name in ("upgraded", "kept", "removed")] == [[]] * 3

    ended = [*fine[:4], {**fine[4], "state": "absent"}]
    runs = role.batch(demo, Step(ended, check=True), Step(ended), Step(ended))
    assert [run.message for run in runs] == [""] * 3
    assert {name: left_by(each) for name, each in runs[1].releases.items()} == {
        "rolled-back": [],
        "swapped": swapped[1],
        "upgraded": ["upgraded-added"],
        "kept": [],
        "removed": ["removed-before"],
    }
    warnings = [each for each in runs[1].last["warnings"] if "Helm left objects" in each]
    assert [f"ConfigMap {namespace}/upgraded-added" in each for each in warnings].count(True) == 1
    assert not runs[2].changed and not runs[2].last["warnings"]
    found = {each["metadata"]["name"] for each in role.cluster.list("configmap", namespace)}
    assert {*swapped[1], "upgraded-added", "kept-added", "removed-before"} < found
    assert not {"rolled-back-added", "removed-added", "removed"} & found
