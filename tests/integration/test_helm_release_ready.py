# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a release is worked on: in its window, and once what it depends on is ready."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, edition, history, publish_chart
from support.tools import Tools

pytestmark = pytest.mark.once

NEVER = {"deny": ["00:00-24:00 Europe/Berlin"]}
VERBS = ("upgrade", "rollback", "uninstall")
ALWAYS = {"allow": ["Mon-Sun 00:00-24:00 Europe/Berlin"]}


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def release(namespace: str, name: str = "one", **options: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "source": "demo", "timeout": "20s", "wait": False, **options}


def test_a_release_waits_for_its_window(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}
    one, after = release(namespace), release(namespace, "after", depends_on=["one"])
    closed, opened = ({**one, "window": window} for window in (NEVER, ALWAYS))
    found = role.batch(
        demo,
        # neither what was never installed, nor what depends on it
        Step([closed, after]),
        Step([closed, after], check=True),
        Step([opened]),
        # a change of any kind waits, and what is as wanted does not
        Step([closed]),
        Step([{**closed, "values": {"size": 2}}, after]),
        Step([{**closed, "labels": {"team": "red"}}]),
        Step([{**closed, "state": "absent"}]),
        Step([{**closed, "values": {"size": 2}, "window": {**NEVER, "outside": "fail"}}]),
        Step([{**closed, "window": {"allow": ["sometimes"]}}]),
        Step([{**opened, "values": {"size": 2}}, after]),
    )
    assert [run.changed for run in found] == [False, False, True, *[False] * 6, True]
    assert [bool(run.message) for run in found] == [*[False] * 7, True, True, False]
    pending = "NewRevisionPending"
    for run in found[:2]:
        assert {name: (each["reason"], each["action"]) for name, each in run.releases.items()} == {
            "one": (pending, "none"),
            "after": (pending, "none"),
        }
        first = run.releases["one"]
        assert (first["cause"], first["pending"]["action"], first["failed"]) == ("NotInstalled", "install", False)
        assert "no changes are made 00:00-24:00 Europe/Berlin" in first["pending"]["why"]
        assert f"{namespace}/one, which is pending" in run.releases["after"]["pending"]["why"]
        assert run.statistics["helm_processes"] == 0
    assert found[3].releases["one"]["reason"] == "ReleaseUpToDate"
    waiting = [found[number].releases["one"] for number in (4, 5, 6)]
    assert [(each["reason"], each["cause"], each["pending"]["action"]) for each in waiting] == [
        (pending, "ValuesChanged", "upgrade"),
        (pending, "LabelsChanged", "label"),
        (pending, "Unwanted", "uninstall"),
    ]
    assert found[4].releases["after"]["reason"] == pending
    assert found[7].reason == "OutsideWindow"
    assert "'window' of the release" in found[8].message
    assert history(role.cluster, namespace, "one") == [(1, "superseded"), (2, "deployed")]
    assert history(role.cluster, namespace, "after") == [(1, "deployed")]

    # a new digest under the same tag, which a policy has wait
    publish_chart(publisher, "1.0.0", chart(edition="second"))
    options = {
        "sources": demo,
        "releases": [{**one, "values": {"size": 2}}],
        "policy": [{"match": publisher.name.partition("/")[0], "window": NEVER}],
        "kubeconfig": str(role.cluster.kubeconfig),
        "helm": role.helm,
    }
    (run,) = role.ansible.tasks([{"name": "under a policy", "cloudnative.artifacts.helm_releases": options}])
    assert not run.failed and not run.changed, run.get("msg")
    assert (run["releases"][0]["reason"], run["releases"][0]["cause"]) == (pending, "ChartChanged")
    assert edition(role.cluster, namespace, "one") == "first"


def test_a_release_waits_until_others_are_ready(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    demo = {"demo": source(publisher)}

    def after(expression: Any, **options: Any) -> dict[str, Any]:
        need = {"name": "base", "namespace": namespace, "ready_when": expression}
        return release(namespace, "after", depends_on=[need], **options)

    base = release(namespace, "base", labels={"edition": "one"})
    is_good = (
        "dep.status == 'deployed' && dep.chart.version == self.chart.version && dep.chart.digest == self.chart.digest"
        " && dep.metadata.labels.edition == 'one' && self.revision == 0 && timestamp(dep.last_deployed) <"
        " timestamp('2100-01-01T00:00:00Z')"
    )
    changed = {"values": {"size": 2}}
    found = role.batch(
        demo,
        # nothing is known of it before it is there; then it is asked for what it has become
        Step([base, after(is_good)], check=True),
        Step([base, after(is_good)]),
        # what is as wanted does not ask
        Step([base, after("false")]),
        Step([after("dep.revision > 1", **changed)]),
        Step([{**base, **changed}, after("dep.revision > 1 && dep.values_digest == self.values_digest", **changed)]),
        Step([after("dep.replicas > 1")]),
        # known before anything is changed
        Step([{**base, "labels": {"edition": "two"}}, after("dep.status = 'deployed'")]),
        Step([after("dep.status")]),
        Step([release(namespace, "after", depends_on=[{"name": "nobody", "ready_when": "true"}])]),
        Step([after("dep.labels.edition == 'two'")]),
    )
    assert [run.changed for run in found] == [True, True, False, False, True, False, True, False, False, True]
    assert [run.failed for run in found] == [False, False, False, True, False, True, True, True, True, False]
    assert f"Whether {namespace}/base will be ready" in found[0].last["warnings"][0]
    assert found[2].releases["after"]["reason"] == "ReleaseUpToDate"
    assert [found[number].releases["after"]["reason"] for number in (3, 5, 6, 7, 8)] == [
        "DependencyNotReady",
        "DependencyNotReady",
        "InvalidOption",
        "InvalidOption",
        "DependencyNotReady",
    ]
    assert "is not ready: 'ready_when' is 'dep.revision > 1', and not true" in found[3].message
    assert found[3].last["retryable"] and not found[7].last["retryable"]
    assert "no such member" in found[5].message
    assert "does not parse" in found[6].message and "is of type string" in found[7].message
    assert history(role.cluster, namespace, "after") == [(1, "superseded"), (2, "superseded"), (3, "deployed")]


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {ports: [{port: {{ .Values.port | default 80 }}}]}
"""


@pytest.mark.parametrize("name", ["helm310", "helm", "helm4"])
def test_settings_of_waits_rollbacks_and_removals(
    role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools, tmp_path: Path, name: str
) -> None:
    called = tmp_path / "called"
    program = tmp_path / "helm"
    program.write_text(f'#!/bin/sh\necho "$@" >> {called}\nexec {tools[name]} "$@"\n')
    program.chmod(0o755)
    role = dataclasses.replace(role, helm=str(program))
    publish_chart(publisher, "1.0.0", chart(**{"templates__service.yaml": SERVICE}))
    demo = {"demo": source(publisher)}
    one = release(
        namespace,
        wait=True,
        wait_strategy="legacy",
        rollback={"timeout": "7s", "wait": False, "cleanup_on_fail": True},
        uninstall={"timeout": "9s", "wait_strategy": "hookOnly", "keep_history": True},
    )
    # no controller makes objects ready here: what is waited for has to need none
    found = role.batch(
        demo,
        Step([one]),
        Step([{**one, "values": {"port": 100000}}]),
        Step([{**one, "state": "absent"}]),
        Step([release(namespace, "two", wait=True, wait_strategy="watcher")]),
    )
    is_4 = name == "helm4"
    assert [run.failed for run in found] == [False, True, False, not is_4], found[0].message
    assert found[1].releases["one"]["remediation"] == "RollbackSucceeded"
    assert history(role.cluster, namespace, "one")[-1][1] == "uninstalled"
    lines = [line.split() for line in called.read_text().splitlines()]
    upgrade, back, removal = (next(line for line in lines if line[0] == verb) for verb in VERBS)
    assert ("--wait=legacy" if is_4 else "--wait") in upgrade and "--timeout=20000ms" in upgrade
    assert {"--timeout=7000ms", "--cleanup-on-fail"} <= set(back)
    assert not [word for word in back if word.startswith("--wait")]
    assert {"--timeout=9000ms", "--keep-history"} <= set(removal)
    assert [word for word in removal if word.startswith("--wait")] == (["--wait=hookOnly"] if is_4 else [])
    if is_4:
        assert any("--wait=watcher" in line for line in lines)
    else:
        assert found[3].reason == "MissingDependency" and "has no --wait=watcher" in found[3].message


def test_drift_that_is_ignored_by_target(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    def config(name: str, team: str) -> str:
        metadata = f'{{name: {name}, labels: {{team: {team}}}, annotations: {{note: "{team}"}}}}'
        return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata: {{key: first}}\n"

    names = ["a-1", "a-2", "b-1", "b-2"]
    publish_chart(
        publisher, "1.0.0", chart(**{f"templates__{each}.yaml": config(each, each[0] + each[-1]) for each in names})
    )
    demo = {"demo": source(publisher)}

    def corrected(target: dict[str, str], **rule: str) -> set[str]:
        for each in names:
            role.cluster.kubectl("patch", "configmap", each, "-n", namespace, "-p", '{"data": {"key": "edited"}}')
        ignored = [{"paths": ["/data"], "target": target, **rule}]
        run = role(demo, [release(namespace, drift="correct", drift_ignore=ignored)])
        assert not run.failed, run.message
        return {each["name"] for each in run.releases["one"].get("drift", ())}

    assert not role(demo, [release(namespace)]).failed
    assert corrected({"name": "a-.*"}) == {"b-1", "b-2"}
    assert corrected({"kind": "ConfigMap", "group": "", "version": "v1", "namespace": namespace}) == set()
    assert corrected({"group": "apps"}) == set(names)
    assert corrected({"namespace": "other"}) == set(names)
    assert corrected({"label_selector": "team in (a1, b2)"}) == {"a-2", "b-1"}
    assert corrected({"annotation_selector": "note!=a1", "name": "a.*"}) == {"a-1", "b-1", "b-2"}
    assert corrected({"label_selector": "team"}, name="b-2") == {"a-1", "a-2", "b-1"}
