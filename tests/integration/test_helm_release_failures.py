# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that fail, and what is done about them."""

from __future__ import annotations

from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import RoleRunner, chart, history, publish_chart, shown_values
from support.node import node, pod

pytestmark = pytest.mark.once

# the API refuses the name when it is too late for Helm to have known
BAD_OBJECT = """\
{{- if .Values.broken }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: Not_A_Name
{{- end }}
"""
BAD_TEMPLATE = "{{ if .Values.unrenderable }}{{ fail .Values.unrenderable }}{{ end }}\n"


def source(publisher: Publisher, tag: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {"ref": f"{publisher.name}:{tag}", "insecure": True, **more}


def test_failed_upgrades_and_their_remedies(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    archive = chart(**{"templates__bad.yaml": BAD_OBJECT, "templates__fail.yaml": BAD_TEMPLATE})
    publish_chart(publisher, "1.0.0", archive)
    remedies: dict[str, dict[str, Any]] = {
        "by-default": {},
        "left": {"upgrade": {"remediation": "none"}},
        "removed": {"upgrade": {"remediation": "uninstall"}},
        "retried": {"upgrade": {"remediation": "rollback", "retries": 2}},
        "kept-last": {"upgrade": {"remediation": "rollback", "retries": 1}, "remediate_last_failure": False},
        "unrenderable": {"upgrade": {"remediation": "uninstall", "retries": 2}},
        "fine": {},
    }

    def releases(**values: Any) -> list[dict[str, Any]]:
        return [
            {"name": name, "source": "demo", "namespace": namespace, "values": dict(values), **options}
            for name, options in remedies.items()
        ]

    assert not role({"demo": source(publisher)}, releases()).failed
    broken = releases(broken=True)
    broken[-1]["values"] = {"size": 2}
    broken[-2]["values"] = {"unrenderable": "because"}
    run = role({"demo": source(publisher)}, broken)
    assert run.failed and run.changed
    assert "by-default failed: helm upgrade" in run.message
    assert "Not_A_Name" in run.message
    assert run.reason == "UpgradeFailed"
    results = run.releases
    assert {name: (each["failed"], each["attempts"]) for name, each in results.items()} == {
        "by-default": (True, 1),
        "left": (True, 1),
        "removed": (True, 1),
        "retried": (True, 3),
        "kept-last": (True, 2),
        "unrenderable": (True, 0),
        "fine": (False, 1),
    }
    assert {name: each.get("remediation") for name, each in results.items()} == {
        "by-default": "RollbackSucceeded",
        "left": None,
        "removed": "UninstallSucceeded",
        "retried": "RollbackSucceeded",
        "kept-last": "RollbackSucceeded",
        "unrenderable": None,
        "fine": None,
    }
    assert history(role.cluster, namespace, "by-default") == [(1, "superseded"), (2, "failed"), (3, "deployed")]
    assert history(role.cluster, namespace, "left") == [(1, "deployed"), (2, "failed")]
    assert history(role.cluster, namespace, "removed") == []
    assert history(role.cluster, namespace, "retried")[-1] == (7, "deployed")
    assert history(role.cluster, namespace, "kept-last")[-1] == (4, "failed")
    # nothing was changed, and no retry was spent on it
    assert history(role.cluster, namespace, "unrenderable") == [(1, "deployed")]
    assert not results["unrenderable"]["changed"]
    assert "because" in results["unrenderable"]["msg"] and "Nothing was changed" in results["unrenderable"]["msg"]
    assert shown_values(role.cluster, namespace, "by-default") == {"color": "blue"}

    # what failed is tried again by the next run, whatever was done about it
    run = role({"demo": source(publisher)}, releases(size=3))
    assert not run.failed, run.message
    assert run.actions == {**dict.fromkeys(remedies, "upgrade"), "removed": "install"}
    assert {shown_values(role.cluster, namespace, name)["size"] for name in remedies} == {3}


def test_failed_installs_hooks_and_tests(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    hook = pod("hook", "{{ .Values.hook }}", "pre-install,pre-upgrade")
    archive = chart(
        **{
            "templates__bad.yaml": BAD_OBJECT,
            "templates__hook.yaml": "{{ if .Values.hook }}\n" + hook + "{{ end }}\n",
            "templates__test.yaml": pod("test", "{{ .Values.test | default `Succeeded` }}", "test"),
        }
    )
    publish_chart(publisher, "1.0.0", archive)

    def release(name: str, values: dict[str, Any], **options: Any) -> dict[str, Any]:
        return {"name": name, "source": "demo", "namespace": namespace, "values": values, "timeout": "20s", **options}

    with node(role.cluster, namespace):
        run = role(
            {"demo": source(publisher)},
            [
                release("left", {"broken": True}),
                release("removed", {"broken": True}, install={"remediation": "uninstall"}),
                release("retried", {"broken": True}, install={"retries": 1}),
                release("hooked", {"hook": "Failed"}, install={"remediation": "uninstall"}),
                release("hooked-well", {"hook": "Succeeded"}),
                release("tested", {}, test={}),
                release("test-fails", {"test": "Failed"}, test={}),
                release("test-removed", {"test": "Failed"}, test={}, install={"remediation": "uninstall"}),
                release("test-ignored", {"test": "Failed"}, test={"ignore_failures": True}),
                release("needs-hooked", {}, depends_on=["hooked"]),
                release("needs-tested", {}, depends_on=[f"{namespace}/tested"]),
            ],
        )
        results = run.releases
        assert {name: each["reason"] for name, each in results.items()} == {
            "left": "InstallFailed",
            "removed": "InstallFailed",
            "retried": "UpgradeFailed",
            "hooked": "InstallFailed",
            "hooked-well": "InstallSucceeded",
            "tested": "InstallSucceeded",
            "test-fails": "TestFailed",
            "test-removed": "TestFailed",
            "test-ignored": "InstallSucceeded",
            "needs-hooked": "DependencyNotReady",
            "needs-tested": "InstallSucceeded",
        }
        assert "pre-install" in results["hooked"]["msg"]
        assert {name: each.get("test") for name, each in results.items() if name.startswith("test")} == {
            "tested": "passed",
            "test-fails": "failed",
            "test-removed": "failed",
            "test-ignored": "failed",
        }
        assert {name: history(role.cluster, namespace, name) for name in results} == {
            "left": [(1, "failed")],
            "removed": [],
            "retried": [(1, "failed"), (2, "failed")],
            "hooked": [],
            "hooked-well": [(1, "deployed")],
            "tested": [(1, "deployed")],
            "test-fails": [(1, "deployed")],
            "test-removed": [],
            "test-ignored": [(1, "deployed")],
            "needs-hooked": [],
            "needs-tested": [(1, "deployed")],
        }

        # tests that passed, or that need not, are not run again; a release whose tests failed is; new tests are run
        run = role(
            {"demo": source(publisher)},
            [
                release("tested", {}, test={}),
                release("test-ignored", {"test": "Failed"}, test={"ignore_failures": True}),
                release("test-fails", {"test": "Failed"}, test={}, upgrade={"remediation": "none"}),
                release("needs-tested", {}, test={}),
                release("left", {}, labels={"team": "blue"}),
            ],
        )
        assert {name: (each["action"], each["cause"]) for name, each in run.releases.items()} == {
            "tested": ("none", "ReleaseUpToDate"),
            "test-ignored": ("none", "ReleaseUpToDate"),
            "test-fails": ("upgrade", "LastActionFailed"),
            "needs-tested": ("test", "Untested"),
            "left": ("upgrade", "LastActionFailed"),
        }
        assert history(role.cluster, namespace, "needs-tested") == [(1, "deployed")]
        assert history(role.cluster, namespace, "test-fails")[-1] == (2, "deployed")
        run = role(
            {"demo": source(publisher)},
            [release("needs-tested", {}, test={}), release("left", {}, labels={"team": "red"})],
        )
        assert run.actions == {"needs-tested": "none", "left": "label"}
        labelled = role.cluster.list("secret", namespace, "team")
        assert [each["metadata"]["labels"]["team"] for each in labelled] == ["red"]


STUCK_OBJECT = """\
{{- if .Values.stuck }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-stuck
  finalizers: [example.com/stuck]
{{- end }}
"""


def test_removals_that_fail_when_the_record_is_gone(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    hook = pod("hook", "Failed", "post-delete")
    archive = chart(
        **{
            "templates__bad.yaml": BAD_OBJECT,
            "templates__hook.yaml": "{{ if .Values.hook }}\n" + hook + "{{ end }}\n",
            "templates__stuck.yaml": STUCK_OBJECT,
        }
    )
    publish_chart(publisher, "1.0.0", archive)

    def release(name: str, **options: Any) -> dict[str, Any]:
        return {"name": name, "source": "demo", "namespace": namespace, "timeout": "5s", **options}

    with node(role.cluster, namespace):
        # where a removal is only a remedy, the name is free again
        remedied = release("remedied", values={"broken": True, "hook": True}, install={"remediation": "uninstall"})
        names = ("hook", "stuck")
        run = role({"demo": source(publisher)}, [*(release(name, values={name: True}) for name in names), remedied])
        assert {name: each["reason"] for name, each in run.releases.items()} == {
            "hook": "InstallSucceeded",
            "stuck": "InstallSucceeded",
            "remedied": "InstallFailed",
        }
        assert run.releases["remedied"]["remediation"] == "UninstallSucceeded"
        assert any("remedied-hook" in each and "Its record is gone" in each for each in run.last["warnings"])

        run = role({"demo": source(publisher)}, [release(name, state="absent") for name in names])
        assert run.failed and run.changed
        for name in names:
            result = run.releases[name]
            assert result["failed"] and result["changed"] and result["reason"] == "UninstallFailed"
            assert "Its record is gone" in result["msg"]
            assert history(role.cluster, namespace, name) == []
        assert "hook-hook" in run.releases["hook"]["msg"]
