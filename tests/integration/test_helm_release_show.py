# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result shows of each release on request: before, while and after it is deployed, and without secrets."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
import secret_search
from support.artifacts import Publisher
from support.helm import RoleRunner, Step, chart, history, publish_chart
from support.tools import Tools

pytestmark = pytest.mark.once

ALL = ["manifest", "notes", "values", "command"]
TEMPLATE = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ .Release.Name }}"}
stringData: {own: "{{ .Values.own }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-open"}
data: {color: "{{ .Values.color }}", url: "https://app:{{ .Values.db.word }}@example.com/"}
"""
NOTES = "Color {{ .Values.color }}, log in with {{ .Values.db.word }} or {{ .Values.own }}.\n"


@pytest.mark.parametrize("name", ["helm310", "helm", "helm4"])
def test_what_is_shown(name: str, role: RoleRunner, namespace: str, publisher: Publisher, tools: Tools) -> None:
    role = dataclasses.replace(role, helm=tools[name])
    files = {"templates__shown.yaml": TEMPLATE, "templates__NOTES.txt": NOTES}
    publish_chart(publisher, "1.0.0", chart(**files))
    sources = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    words = {each: secret_search.new_secret(each) for each in ("word", "own", "unused")}
    metadata = {"name": "app", "namespace": namespace}
    data = {"word": base64.b64encode(words["word"].encode()).decode()}
    role.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    release = {
        "name": "one",
        "namespace": namespace,
        "source": "demo",
        "timeout": "20s",
        "values_from": [{"kind": "Secret", "name": "app", "values_key": "word", "target_path": "db.word"}],
        "values": {"color": "red", "own": words["own"], "client": {"password": words["unused"]}, "sizes": [1, 2]},
    }
    show = {"helm_release_show": ALL}
    gone = [{"name": "one", "namespace": namespace, "state": "absent"}]
    runs = role.batch(
        sources,
        Step([release], check=True, variables=show),
        Step([release], variables=show),
        Step([release], variables=show),
        Step([release]),
        Step(gone, check=True, variables=show),
        Step(gone, variables=show),
    )
    assert [run.message for run in runs] == [""] * 6
    predicted, deployed, unchanged, asked_nothing, going, gone_now = (run.releases["one"] for run in runs)
    for found in (predicted, deployed, unchanged):
        assert "color: red" in found["manifest"].replace('"', "") and "kind: Secret" in found["manifest"]
        assert found["notes"].startswith("Color red, log in with ")
        assert (found["values"]["color"], found["values"]["sizes"]) == ("red", [1, 2])
        hidden = [found["values"]["own"], found["values"]["db"]["word"], found["values"]["client"]["password"]]
        assert all(each.startswith("(hidden") for each in hidden)
    install = predicted["command"]
    assert f" install one {role.cache}" in install and f"--namespace {namespace}" in install
    assert deployed["command"] == install and unchanged["command"] == ""
    assert not set(ALL) & set(asked_nothing)
    assert f" uninstall one --namespace {namespace}" in going["command"] and "manifest" not in going
    assert gone_now["command"] == going["command"]
    assert history(role.cluster, namespace, "one") == []
    for run in runs:
        assert not any(word in run.output for word in words.values())


def test_what_is_shown_of_a_failure_and_of_an_upgrade(role: RoleRunner, namespace: str, publisher: Publisher) -> None:
    publish_chart(publisher, "1.0.0", chart())
    sources = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    release: dict[str, Any] = {"name": "one", "namespace": namespace, "source": "demo", "timeout": "20s"}
    other = {**release, "values": {"size": 2}, "test": {}}
    show = {"helm_release_show": ["command", "values"]}
    wrong = {**release, "skip_schema_validation": True, "values": {"size": 3}, "post_renderer": {"command": "false"}}
    runs = role.batch(
        sources,
        Step([release], variables=show),
        Step([other], check=True, variables=show),
        Step([other], variables=show),
        Step([wrong], variables=show),
    )
    first, predicted, done, failed = (run.releases["one"] for run in runs)
    assert (first["values"], predicted["values"], done["values"]) == ({}, {"size": 2}, {"size": 2})
    assert " upgrade one " in predicted["command"] and "\n" not in predicted["command"]
    upgrade, test = done["command"].split("\n")
    assert upgrade == predicted["command"] and " test one " in test
    # what is there still, and what was tried
    assert failed["failed"] and failed["values"] == {"size": 2} and "--post-renderer" in failed["command"]
