# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that fail, and what is done about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.artifacts import Publisher
from support.helm import RoleRunner, chart, edition, history, publish_chart, shown_values, stored_release
from support.node import node, pod

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
