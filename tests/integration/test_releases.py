# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment with a directory for each release, which ``community.general.deploy_helper`` works on, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, INFO, ROLLBACK, FACTS = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "info", "rollback", "facts")
)
HELPER = "community.general.deploy_helper"
FILES: dict[str, dict[str, Any]] = {
    "1.4.1": {"app.conf": "version 1\n", "conf.d/a": "a\n"},
    "1.4.2": {"app.conf": "version 2\n", "conf.d/b": "b\n"},
    "1.4.3": {"app.conf": "version 3\n", "conf.d/b": "b\n"},
    "1.4.4": {"app.conf": "broken\n"},
}


def test_a_deployment_with_releases(ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    dest = tmp_path / "app"
    helper = {"path": str(dest)}

    def current() -> dict[str, str]:
        top = dest / "current"
        return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}

    def releases() -> list[str]:
        return sorted(os.listdir(dest / "releases"))

    def name(number: int, tag: str) -> str:
        return f"{number:06d}-{tag}-{digests[tag][7:15]}"

    (tmp_path / "registry").mkdir()
    with servers.distribution(Path(tools["registry"]), tmp_path / "registry") as registry:
        publisher = Publisher(registry.host, "app/config")
        digests = {tag: publisher.publish(tag, files) for tag, files in FILES.items()}
        pull = {
            "url": f"oci://{publisher.name}",
            "insecure": True,
            "dest": str(dest),
            "layout": "releases",
            "keep": 2,
            "retries": 0,
            "health": {"command": "grep -q version %s/app.conf", "timeout": "60s"},
        }
        # deploy_helper makes the directories, and the links into what is shared are made once
        link = {
            "ansible.builtin.file": {
                "src": "../../shared/log",
                "path": f"{dest}/current/log",
                "state": "link",
                "force": True,
            }
        }
        done = ansible.tasks(
            [
                {HELPER: {**helper, "state": "present"}},
                {PULL: {**pull, "tag": "1.4.1"}},
                link,
                {PULL: {**pull, "tag": "1.4.2"}, "diff": True},
                {PULL: {**pull, "tag": "1.4.3", "via": "controller"}},
                {PULL: {**pull, "tag": "1.4.3", "via": "controller"}},
                {HELPER: {**helper, "state": "query"}},
                {PULL: {**pull, "tag": "1.4.4"}, "ignore_errors": True},
                {PULL: {**pull, "tag": "1.4.4"}},
                {FACTS: {"all_users": False}},
            ],
        )
        assert not [each.stdout for each in done if each.failed and each.get("reason") != "HealthCheckFailed"]
        changed = [each.changed for each in done]
        assert changed == [True, True, True, True, True, False, False, False, False, False], changed
    assert done[3]["changes"]["changed"] == ["app.conf"] and done[4]["release"] == name(3, "1.4.3")
    asked = done[6]["ansible_facts"]["deploy_helper"]
    assert asked["previous_release"] == name(3, "1.4.3") and asked["current_path"] == str(dest / "current")
    assert done[7]["reason"] == "HealthCheckFailed" and done[7]["rolled_back"] and done[8]["reason"] == "HeldBack"
    (fact,) = (each for each in done[9]["ansible_facts"]["oci_artifacts"] if each["path"].startswith(str(dest)))
    assert (fact["path"], fact["tag"], fact["release"]) == (str(dest), "1.4.3", name(3, "1.4.3"))
    assert releases() == [name(2, "1.4.2"), name(3, "1.4.3")] and current() == FILES["1.4.3"]
    assert os.readlink(dest / "current") == f"releases/{name(3, '1.4.3')}"
    assert os.readlink(dest / "current/log") == "../../shared/log"

    # the registry is off, and some build that is not finished lies there
    (dest / "releases/20261129000000").mkdir()
    (dest / "releases/20261129000000/DEPLOY_UNFINISHED").write_text("")
    back = {"dest": str(dest), "reason": "requests fail", "who": "ops"}
    old, new = name(2, "1.4.2"), name(3, "1.4.3")
    foreseen, gone, again = ansible.tasks([{ROLLBACK: back}], check=True, diff=True) + ansible.tasks(
        [{ROLLBACK: back}, {ROLLBACK: back}]
    )
    assert foreseen.changed and foreseen["changes"] == gone["changes"] and "version 2" in foreseen.stdout
    assert (gone["reason"], gone["release"], again["reason"]) == ("RolledBack", old, "ArtifactUpToDate")
    assert current() == FILES["1.4.2"]

    # deploy_helper switches to the other one, cleans up, and is right about what is in place; a pull sets it right
    pinned = {**pull, "tag": "1.4.2", "pin": f"1.4.2@{digests['1.4.2']}"}
    final, cleaned, kept, put_back, still, shown = ansible.tasks(
        [
            {HELPER: {**helper, "state": "finalize", "release": new}},
            {HELPER: {**helper, "state": "clean", "keep_releases": 2}},
            {HELPER: {**helper, "state": "query"}},
            {PULL: pinned},
            {HELPER: {**helper, "state": "finalize", "release": old, "keep_releases": 1}},
            {INFO: {"dest": str(dest)}},
        ],
    )
    assert final.changed and not (dest / "releases/20261129000000").exists()
    assert kept["ansible_facts"]["deploy_helper"]["previous_release"] == new and not cleaned.failed
    assert put_back.changed and put_back["changes"]["changed"] == ["current"], put_back
    assert not still.changed and releases() == [old, new] and current() == FILES["1.4.2"]
    assert shown["release"] == old and [each["release"] for each in shown["history"]] == [new, old]
