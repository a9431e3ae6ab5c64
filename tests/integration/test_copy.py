# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that copies, from one place to the next. What becomes of signatures is in test_mirror.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ansible_runner import AnsibleRunner
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

COPY = "cloudnative.artifacts.oci_artifact_copy"


def test_the_module(ansible: AnsibleRunner, tools: Tools, registry: RegistryServer, tmp_path: Path) -> None:
    origin = f"{registry.host}/copy/module"
    (tmp_path / "name.txt").write_text("it")
    tools.run("oras", "push", "--plain-http", f"{origin}:stable", "name.txt", cwd=tmp_path)
    archive = f"oci-archive:{tmp_path}/out/{{name}}.tar"
    task = {COPY: {"ref": f"{origin}:stable", "to": archive, "insecure": True}, "name": "copy"}
    mirror = {"ref": f"oci-archive:{tmp_path}/out/module.tar:stable", "to": f"{registry.host}/copy/module-mirror"}
    to_registry = {"username": "nobody", "password": "p@ss-of-the-mirror", "insecure": True}
    foreseen, copied, again, mirrored = ansible.tasks(
        [
            {**task, "check_mode": True, "diff": True},
            task,
            task,
            {COPY: {**mirror, "to_registry": to_registry}, "name": "mirror"},
        ]
    )
    assert [result.changed for result in (foreseen, copied, again, mirrored)] == [True, True, False, True], mirrored
    assert foreseen["diff"][0]["after"].startswith("stable -> sha256:")
    assert copied["to"] == f"oci-archive:{tmp_path}/out/module.tar:stable"
    assert mirrored["artifact"]["digest"] == copied["artifact"]["digest"]
    assert (
        tools.run("crane", "digest", "--insecure", f"{registry.host}/copy/module-mirror:stable").stdout.strip()
        == (copied["artifact"]["digest"])
    )
