# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What push and pull leave out is named: in the result, in --diff, and in a warning where nobody asked for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult

PUSH, PULL = "cloudnative.artifacts.oci_artifact_push", "cloudnative.artifacts.oci_artifact_pull"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    for name in ("a.yaml", "logo.png", "docs/old.zip", ".github/workflows/ci.yml", ".git/config", "own.tmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def ignored(result: TaskResult | dict[str, Any]) -> list[str]:
    names: list[str] = result["ignored"]
    assert result["ignored_count"] == len(names)
    assert "left_out" not in result["artifact"]
    return names


def warnings(result: TaskResult) -> list[str]:
    return [text for text in result.get("warnings", []) if "left out" in text]


def shown(result: TaskResult) -> str:
    """What --diff has under its own header."""
    return "".join(entry["after"] for entry in result["diff"] if entry["after_header"] == "left out")


@pytest.mark.once
def test_push(ansible: AnsibleRunner, content: Path, tmp_path: Path) -> None:
    options = {"path": str(content), "url": f"oci-layout:{tmp_path / 'layout'}"}
    tasks: list[dict[str, Any]] = [
        {PUSH: {**options, "tag": "a"}, "check_mode": True, "diff": True},
        {PUSH: {**options, "tag": "a"}, "diff": True},
        {PUSH: {**options, "tag": "a"}},
        {PUSH: {**options, "tag": "b", "ignore": "*.tmp"}},
        {PUSH: {**options, "tag": "c", "ignore": ["!*.png", "*.zip"]}},
        {PUSH: {**options, "tag": "d", "type": "files", "path": [str(content), str(content / "logo.png")]}},
    ]
    check, first, again, own, kept, files = ansible.tasks(tasks)
    for result in (check, first, again):
        assert ignored(result) == [".git", "docs/old.zip", "logo.png"]
        (text,) = warnings(result)
        assert f"2 entries of {content} left out by the default exclusions: 'docs/old.zip', 'logo.png'" in text
        assert "as in '!docs/old.zip'" in text
    assert not again.changed
    for result in (check, first):
        assert shown(result) == ".git\ndocs/old.zip\nlogo.png\n"
    assert ignored(own) == [".git", "own.tmp"]
    assert ignored(kept) == [".git", "docs/old.zip"]
    assert ignored(files) == ["content/.git"]
    assert not any(warnings(result) for result in (own, kept, files))
    # the advice holds
    advised = ansible.task(PUSH, **options, tag="e", ignore="!docs/old.zip")
    assert ignored(advised) == [".git"]


@pytest.mark.once
def test_push_of_a_chart(ansible: AnsibleRunner, tmp_path: Path) -> None:
    chart = tmp_path / "podinfo"
    for name, text in {
        "Chart.yaml": "apiVersion: v2\nname: podinfo\nversion: 1.0.0\n",
        ".helmignore": "*.bak\n/ci/\n",
        "templates/a.yaml": "a: 1\n",
        "templates/.hidden.yaml": "a: 1\n",
        "templates/a.bak": "",
        "ci/values.yaml": "",
    }.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text)
    options = {"path": str(chart), "url": f"oci-layout:{tmp_path / 'layout'}", "type": "helm"}
    result = ansible.task(PUSH, diff=True, **options)
    assert ignored(result) == ["ci", "templates/.hidden.yaml", "templates/a.bak"]
    assert "templates/.hidden.yaml\n" in shown(result)
    (text,) = warnings(result)
    assert f"1 entry of the chart {chart} left out by Helm's default rules: 'templates/.hidden.yaml'." in text
    (chart / ".helmignore").write_text("*.bak\n/ci/\ntemplates/.hidden.yaml\n")
    again = ansible.task(PUSH, **options, force=True)
    assert ignored(again) == ignored(result)
    assert not warnings(again)


@pytest.mark.once
def test_pull(ansible: AnsibleRunner, content: Path, tmp_path: Path) -> None:
    layout = {"url": f"oci-layout:{tmp_path / 'layout'}"}
    every = {"ignore": ["!*.png"], "path": str(content)}
    dest = {"dest": str(tmp_path / "dest")}
    tasks: list[dict[str, Any]] = [
        {PUSH: {**layout, **every, "tag": "a"}},
        {PULL: {**layout, **dest, "tag": "a"}, "check_mode": True},
        {PULL: {**layout, **dest, "tag": "a"}, "check_mode": True, "diff": True},
        {PULL: {**layout, **dest, "tag": "a"}, "diff": True},
        {PULL: {**layout, **dest, "tag": "a"}},
        {PULL: {**layout, **dest, "tag": "a", "suspend": True}},
        {PULL: {**layout, **dest, "tag": "a", "mode": "u=rwX,g=,o="}},
        {PULL: {**layout, **dest, "tag": "a", "ignore": "*.tmp", "mode": "u=rwX,g=,o="}},
        {PULL: {**layout, **dest, "tag": "a", "ignore": "*.tmp", "mode": "u=rwX,g=,o=", "force": True}},
        {PULL: {"artifacts": [{**layout, "dest": str(tmp_path / "other"), "tag": "a"}]}},
        {PULL: {**layout, "dest": str(tmp_path / "layer.tgz"), "tag": "a", "layer_selector": {"operation": "copy"}}},
    ]
    _push, blind, seen, first, again, suspended, repaired, own, forced, many, copied = ansible.tasks(tasks)
    assert blind.changed
    assert "ignored" not in blind
    wanted = [".github", "docs/old.zip", "logo.png"]
    for result in (seen, first, again, suspended, repaired, many["results"][0]):
        assert ignored(result) == wanted
    assert [again.changed, suspended.changed, repaired.changed] == [False, False, True]
    assert first["changes"]["ignored"] == 5
    assert again["changes"]["ignored"] == 0
    # the difference is one of dest, which has none of them before and after
    assert shown(seen) == shown(first) == ""
    assert ignored(own) == ignored(forced) == ["own.tmp"]
    assert not forced.changed
    assert ignored(copied) == []
    # the names are in the record, and capped there
    record = json.loads((tmp_path / "dest/.oci-artifact/state").read_text())
    assert record["artifact"]["left_out"] == {"ignored": ["own.tmp"], "ignored_count": 1}


def test_names_are_cut_and_counted(ansible: AnsibleRunner, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "a.yaml").write_text("a: 1\n")
    for number in range(1200):
        (folder / f"{number:04}.png").touch()
    result = ansible.task(PUSH, path=str(folder), ref=f"oci-layout:{tmp_path / 'layout'}:a", diff=True)
    assert (len(result["ignored"]), result["ignored_count"]) == (1000, 1200)
    assert result["ignored"][0] == "0000.png"
    assert shown(result).endswith("and 200 more\n")
    assert "'0000.png', '0001.png', '0002.png' and 1197 more" in warnings(result)[0]
