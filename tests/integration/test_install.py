# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as ``ansible-galaxy collection install .`` installs it from a clone, without Galaxy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible_runner import AnsibleRunner

ROLE = "cloudnative.artifacts.helm_release"
OBJECTS = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "never-made"}}]
# nothing listens there
NO_GALAXY = {"ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def installed(ansible: AnsibleRunner, tmp_path_factory: pytest.TempPathFactory) -> AnsibleRunner:
    """Ansible with the installed collection and no other one."""
    folder = tmp_path_factory.mktemp("installed")
    galaxy = str(Path(sys.executable).parent / "ansible-galaxy")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        **NO_GALAXY,
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "HOME": str(folder),
    }
    command = [galaxy, "collection", "install", ".", "-p", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ansible.collection, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return AnsibleRunner(folder, tmp_path_factory.mktemp("home"), ansible.target_python)


def run_role(ansible: AnsibleRunner, **variables: Any) -> Any:
    """The last result of the role with a chart that is nowhere, for a cluster that is nowhere."""
    variables = {f"helm_release_{name}": value for name, value in variables.items()}
    task = {"name": "role", "ansible.builtin.include_role": {"name": ROLE}, "vars": variables}
    return ansible.tasks([task])[-1]


def test_nothing_but_the_collection_is_installed(installed: AnsibleRunner) -> None:
    folders = sorted(path.name for path in (installed.collections / "ansible_collections").iterdir() if path.is_dir())
    assert [name for name in folders if not name.endswith(".info")] == ["cloudnative"]
    assert not (installed.collection / "tests").exists()


def test_objects_without_their_collection_are_refused_before_anything_is_done(
    installed: AnsibleRunner, tmp_path: Path
) -> None:
    sources = {"chart": {"ref": f"oci-layout:{tmp_path}/layout:1"}}
    found = run_role(installed, objects=OBJECTS, sources=sources, cache_dir=str(tmp_path / "cache"))
    assert found.failed
    assert "ansible-galaxy collection install 'kubernetes.core:>=5.3.0'" in found["msg"]
    assert "'helm_release_objects' needs the collection kubernetes.core, version 5.3.0 or newer" in found["msg"]
    assert list(tmp_path.iterdir()) == [], "the chart was looked for"


def test_without_objects_the_collection_is_not_missed(installed: AnsibleRunner, tmp_path: Path) -> None:
    sources = {"chart": {"ref": f"oci-layout:{tmp_path}/layout:1"}}
    found = run_role(installed, sources=sources, cache_dir=str(tmp_path / "cache"))
    assert found.failed and f"{tmp_path}/layout" in str(found.get("msg")), found


def test_where_the_collection_is_the_role_goes_on(ansible: AnsibleRunner, tmp_path: Path) -> None:
    sources = {"chart": {"ref": f"oci-layout:{tmp_path}/layout:1"}}
    found = run_role(ansible, objects=OBJECTS, sources=sources, cache_dir=str(tmp_path / "cache"))
    assert found.failed and f"{tmp_path}/layout" in str(found.get("msg")), found


def test_the_documentation_names_the_version_of_the_message(ansible: AnsibleRunner) -> None:
    tasks = yaml.safe_load((ansible.collection / "roles/helm_release/tasks/requirements.yml").read_text())
    command = tasks[0]["rescue"][0]["ansible.builtin.fail"]["msg"].partition("Install it with: ")[2].strip()
    assert command.startswith("ansible-galaxy collection install 'kubernetes.core:")
    for name in ("README.md", "roles/helm_release/README.md", "docs/docsite/rst/guide_helm_release.rst"):
        assert command in (ansible.collection / name).read_text(), name
