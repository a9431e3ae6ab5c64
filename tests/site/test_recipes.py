# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that guides tell readers to copy are well formed, and of the form that the service they are for demands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from groovy_parser.parser import parse_groovy_content
from support.newcomer import Block, blocks_of

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = ("get_started", "guide_ci")
SCHEMAS = {".github/workflows/release.yml": "vendor.github-workflows", ".gitlab-ci.yml": "vendor.gitlab-ci"}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of each page in a folder of its own."""
    folder = tmp_path_factory.mktemp("projects")
    for page in PAGES:
        for block in files_of(page):
            path = folder / page / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return folder


def files_of(page: str) -> list[Block]:
    found = [block for block in blocks_of(CHECKOUT / f"docs/docsite/rst/{page}.rst") if block.name]
    assert len({block.name for block in found}) == len(found) > 2
    return found


def run(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of the gates in a folder; ANSIBLE_COLLECTIONS_PATH leads to the collection, in a tree."""
    collections = os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(CHECKOUT.parents[2]))
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_COLLECTIONS_PATH": collections}
    done = subprocess.run(
        [str(BIN / program), *arguments], check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_playbooks(projects: Path) -> None:
    files = [path for path in projects.glob("*/*.yml") if "hosts:" in path.read_text()]
    playbooks = sorted(str(path.relative_to(projects)) for path in files)
    assert {path.partition("/")[0] for path in playbooks} == set(PAGES)
    run(projects, "ansible-playbook", "--syntax-check", *playbooks)
    # the profile for what others run, as for the collection itself
    run(projects, "ansible-lint", "--offline", "--profile", "production", *playbooks)


def test_files_in_yaml(projects: Path) -> None:
    files = [path for path in projects.rglob("*.yml") if path.is_file()]
    assert len(files) >= 8
    for path in files:
        assert yaml.safe_load(path.read_text()), path.name


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_files_for_a_service_follow_its_schema(name: str, schema: str, tmp_path: Path) -> None:
    (block,) = (block for block in files_of("guide_ci") if block.name == name)
    (tmp_path / "file.yml").write_text(block.text)
    run(tmp_path, "check-jsonschema", "--builtin-schema", schema, "file.yml")


def test_the_jenkinsfile_is_groovy() -> None:
    (block,) = (block for block in files_of("guide_ci") if block.name == "Jenkinsfile")
    parse_groovy_content(block.text)
