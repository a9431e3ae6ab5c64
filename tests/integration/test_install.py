# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as the lines of the README install it, in the order that people try them, without Galaxy."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible_runner import AnsibleRunner
from support.few_packages import importable
from support.newcomer import Newcomer, make_repository

pytestmark = pytest.mark.once

ROLE = "cloudnative.artifacts.helm_release"
OBJECTS = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "never-made"}}]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def repository(ansible: AnsibleRunner, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a git repository with the collection."""
    return make_repository(ansible.collection, tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def installed(ansible: AnsibleRunner, repository: str, tmp_path_factory: pytest.TempPathFactory) -> AnsibleRunner:
    """Ansible with the installed collection and no other one."""
    folder = tmp_path_factory.mktemp("installed")
    newcomer = Newcomer(folder / "newcomer", sys.executable, repository)
    newcomer.run(f"ansible-galaxy collection install . -p {folder}", ansible.collection)
    return AnsibleRunner(folder, tmp_path_factory.mktemp("home"), ansible.target_python)


def ways(collection: Path) -> list[list[tuple[str, str]]]:
    """The blocks of each way to install in the README: language and text."""
    section = (collection / "README.md").read_text().partition("\n## Installation\n")[2].partition("\n### Galaxy\n")[0]
    return [FENCED.findall(way) for way in section.split("\n### ")[1:]]


def test_the_lines_of_the_readme(ansible: AnsibleRunner, repository: str, tmp_path: Path) -> None:
    """With a new home, ansible-core alone, and no other collection; each way leaves the same modules, which work."""
    found = ways(ansible.collection)
    assert len(found) == 3
    for number, way in enumerate(found):
        newcomer = Newcomer(tmp_path / str(number), sys.executable, repository)
        assert importable(str(newcomer.python), "requests", "kubernetes", "botocore", "zstandard") == []
        for language, text in way:
            if language == "yaml":
                (newcomer.home / "requirements.yml").write_text(newcomer.placed(text))
        newcomer.run("\n".join(text for language, text in way if language == "shell"), newcomer.home)
        listed = newcomer.run("ansible-doc --list --json cloudnative.artifacts", newcomer.home)
        assert len(json.loads(listed.stdout)) == len(list((ansible.collection / "plugins/modules").glob("*.py")))
        collections = newcomer.home / ".ansible/collections/ansible_collections"
        assert [path.name for path in collections.iterdir() if path.suffix != ".info"] == ["cloudnative"]
        assert not (collections / "cloudnative/artifacts/tests").exists()
    played = newcomer.run("ansible-playbook cloudnative.artifacts.quickstart", newcomer.home)
    assert "Everything was as told." in played.stdout


def test_galaxy_is_named_for_when_it_has_the_collection(ansible: AnsibleRunner) -> None:
    """Nothing that is said to work today asks Galaxy for it."""
    by_name = re.compile(r"ansible-galaxy collection install '?cloudnative\.artifacts")
    pages = [ansible.collection / "README.md", *(ansible.collection / "docs/docsite/rst").glob("*.rst")]
    naming = [page.name for page in pages if by_name.search(page.read_text())]
    assert naming == ["README.md"]
    galaxy = pages[0].read_text().partition("\n### Galaxy\n")[2].partition("\n##")[0]
    assert "not published there yet" in galaxy and by_name.search(galaxy)


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
