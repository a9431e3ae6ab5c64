# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and tags that YAML makes numbers of, in every module that takes one: refused, and nothing is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible_runner import AnsibleRunner, TaskResult

PUSH, PULL = "cloudnative.artifacts.oci_artifact_push", "cloudnative.artifacts.oci_artifact_pull"
INFO, SIGN = "cloudnative.artifacts.oci_artifact_info", "cloudnative.artifacts.oci_artifact_sign"
VERIFY, CHARTS = "cloudnative.artifacts.oci_artifact_verify", "cloudnative.artifacts.helm_chart_sources"


@pytest.fixture
def layout(tmp_path: Path) -> str:
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a.yaml").write_text("a: 1\n")
    return f"oci-layout:{tmp_path / 'layout'}"


def refused(result: TaskResult, *words: str) -> None:
    assert result.failed, result
    assert result["reason"] == "InvalidOption", result
    assert all(word in result["msg"] for word in words), result["msg"]
    assert "\n" not in result["msg"]


def index_tags(layout: str) -> list[str]:
    index = Path(layout.removeprefix("oci-layout:")) / "index.json"
    manifests = json.loads(index.read_text())["manifests"] if index.exists() else []
    return sorted(entry["annotations"]["org.opencontainers.image.ref.name"] for entry in manifests)


def test_nothing_is_published_under_another_tag(ansible: AnsibleRunner, layout: str, tmp_path: Path) -> None:
    source = {"path": str(tmp_path / "content"), "url": layout}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"tags": [1.10]}, "'tags' is the number 1.1", '["1.1"]'),
        ({"tags": ["1.10", 7]}, "'tags' is the number 7", '["7"]'),
        ({"tags": 1.10}, "'tags' is the number 1.1", '"1.1"'),
        ({"tag": 1.10}, "'tag' is the number 1.1", '"1.1"'),
        ({"tag": 20240101}, "'tag' is the number 20240101", '"20240101"'),
        ({"tag": True}, "'tag' is the truth value true", '"true"'),
        ({"tag": "{{ version }}"}, "'tag' is the number 1.1", "where it comes from a variable, there"),
        ({"tags": ["{{ build }}"]}, "'tags' is the number 8", '["8"]'),
        ({"revision": 12345678}, "'revision' is the number", '"12345678"'),
        ({"subject": 1.5, "tag": "a"}, "'subject' is the number 1.5", '"1.5"'),
        ({"immutable_tags": 1.5}, "'immutable_tags' is the number 1.5", '"1.5"'),
    ]
    tasks: list[dict[str, Any]] = [{PUSH: {**source, **options}, "ignore_errors": True} for options, *_words in cases]
    results = ansible.tasks(tasks, vars={"version": 1.10, "build": 8})
    for result, (_options, *words) in zip(results, cases):
        refused(result, *words)
    assert index_tags(layout) == []
    quoted = {**source, "tags": ["1.10", "{{ build | string }}"], "annotations": {"number": 1.5}}
    assert ansible.tasks([{PUSH: quoted}], vars={"build": 8})[0].changed
    assert index_tags(layout) == ["1.10", "8"]


def test_as_yaml_has_it(ansible: AnsibleRunner, layout: str, tmp_path: Path) -> None:
    """Octal, hexadecimal and sexagesimal numbers, and dates, from a playbook as people write it."""
    (tmp_path / "play.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        + "".join(
            f"    - {PUSH}: {{path: {tmp_path}/content, url: '{layout}', tag: {text}}}\n      ignore_errors: true\n"
            for text in ("010", "0x10", "1_000", "12:30", "yes", "1.10", "2024-01-02", "1.2.3", "'1.10'")
        )
    )
    done = ansible.playbook(tmp_path / "play.yml")
    assert done.returncode == 0, done.stdout
    assert index_tags(layout) == ["1.10", "1.2.3", "2024-01-02"]


def test_text_on_the_command_line_stays_text(ansible: AnsibleRunner, layout: str, tmp_path: Path) -> None:
    done = ansible.adhoc("oci_artifact_push", f"path={tmp_path / 'content'} url={layout} tag=1.10 tags=2.0,007")
    assert done.returncode == 0, done.stdout
    assert index_tags(layout) == ["007", "1.10", "2.0"]
    document = {"path": str(tmp_path / "content"), "url": layout, "tag": 3.0}
    done = ansible.adhoc("oci_artifact_push", json.dumps(document))
    assert done.returncode != 0
    assert "the number 3.0" in done.stdout
    selection = '{"policy": {"semver": {"range": 1.10}}}'
    done = ansible.adhoc("oci_artifact_info", f"url={layout} filter_tags='{selection}'")
    assert "'filter_tags.policy.semver.range' is the number 1.1" in done.stdout + done.stderr


def test_every_module_that_reads_one(ansible: AnsibleRunner, layout: str, tmp_path: Path) -> None:
    pulled: dict[str, Any] = {"dest": str(tmp_path / "dest")}
    cases: list[tuple[str, dict[str, Any], str]] = [
        (PULL, {"url": layout, "tag": 1.10, **pulled}, "'tag' is the number 1.1"),
        (PULL, {"url": layout, "semver": 1.10, **pulled}, "'semver' is the number 1.1"),
        (PULL, {"url": layout, "semver": 6, **pulled}, "'semver' is the number 6"),
        (PULL, {"url": layout, "digest": 1234, **pulled}, "'digest' is the number 1234"),
        (PULL, {"ref": 1.10, **pulled}, "'ref' is the number 1.1"),
        (PULL, {"url": layout, "tag": 1.10, "resolve_once": True, **pulled}, "'tag' is the number 1.1"),
        (PULL, {"url": layout, "tag": "a", "pin": 1.10, **pulled}, "'pin' is the number 1.1"),
        (PULL, {"url": layout, "filter_tags": {"policy": {"semver": {"range": 1.10}}}, **pulled}, "range' is the"),
        (PULL, {"artifacts": [{"url": layout, "tag": "1", **pulled}, {"url": layout, "tag": 1.10}]}, "item 2 of art"),
        (PULL, {"artifacts": [{"url": layout, "filter_tags": {"pattern": 1}, **pulled}]}, "pattern' is the number 1"),
        (INFO, {"url": layout, "tag": 1.10}, "'tag' is the number 1.1"),
        (VERIFY, {"url": layout, "tag": 1.10, "any_identity": True}, "'tag' is the number 1.1"),
        (VERIFY, {"artifacts": [{"url": layout, "semver": 1.10}]}, "item 1 of artifacts.semver"),
        (SIGN, {"url": layout, "tag": 1.10, "key": "/none"}, "'tag' is the number 1.1"),
        (CHARTS, {"sources": {"podinfo": {"url": layout, "tag": 1.10}}}, "source podinfo: tag' is the number 1.1"),
        (CHARTS, {"sources": {"p": {"url": layout, "filter_tags": {"pattern": 1.10}}}}, "pattern' is the number 1.1"),
        (CHARTS, {"sources": {"podinfo": {"url": layout}}, "pins": {"podinfo": 1.10}}, "'pins' is the number 1.1"),
    ]
    tasks = [{module: options, "ignore_errors": True} for module, options, _words in cases]
    for result, (_module, _options, words) in zip(ansible.tasks(tasks), cases):
        refused(result, words)
    defaults = {INFO: {"tag": 1.10}}
    refused(ansible.tasks([{INFO: {"url": layout}}], module_defaults=defaults)[0], "'tag' is the number 1.1")


def test_the_role(ansible: AnsibleRunner, layout: str) -> None:
    sources = yaml.safe_load(f"podinfo: {{url: '{layout}', semver: 6.10}}")
    role = {"ansible.builtin.include_role": {"name": "cloudnative.artifacts.helm_release"}}
    results = ansible.tasks([role], vars={"helm_release_sources": sources, "helm_release_releases": []})
    refused(results[-1], "source podinfo: semver' is the number 6.1", '"6.1"')
