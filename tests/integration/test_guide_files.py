# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages whose blocks are files and commands to be followed in order: each is followed as written.

Only the addresses of the repository and of the registry are replaced, and ``dest`` of the deployment.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import contents
from support.newcomer import Block, Newcomer, blocks_of, make_repository
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PAGES = Path(__file__).resolve().parents[2] / "docs/docsite/rst"
LOOKUP = re.compile(r"lookup\('ansible\.builtin\.env', '(\w+)'\)")
# what the collection reads from the environment by itself
LOGIN = {"OCI_ARTIFACT_USERNAME", "OCI_ARTIFACT_PASSWORD"}


@pytest.fixture
def newcomer(ansible: AnsibleRunner, tmp_path: Path) -> Newcomer:
    repository = make_repository(ansible.collection, tmp_path)
    return Newcomer(tmp_path / "newcomer", sys.executable, repository, "requests", "pip")


def script_of(blocks: list[Block]) -> str:
    """What somebody does who follows the page: commands are run, files are saved, what is shown is compared."""
    lines = []
    for number, block in enumerate(blocks):
        if block.name:
            lines.append(f"cat > {block.name} <<'END OF FILE'\n{block.text}END OF FILE")
        elif block.language == "shell":
            lines.append(f"echo '== {number}'\n{block.text}")
    return "\n".join(lines)


def test_getting_started(newcomer: Newcomer, tls_registry: RegistryServer, tmp_path: Path) -> None:
    blocks = blocks_of(PAGES / "get_started.rst")
    script = script_of(blocks).replace("registry.example.com/sandbox", f"{tls_registry.host}/sandbox")
    # pip finds in the new environment what it would install; the login is none, and the authority not a public one
    environment = {"PYTHONPATH": str(newcomer.packages), "OCI_ARTIFACT_CA_CERT": str(tls_registry.ca_cert)}
    done = newcomer.run(script, newcomer.home, environment=environment)
    said = {int(part.partition("\n")[0]): part for part in done.stdout.split("== ")[1:]}
    for number, block in enumerate(blocks):
        if block.language in ("text", "diff"):
            check_shown(block.text, said[max(index for index in said if index < number)])
    assert not (newcomer.home / "oci-start").exists()


def check_shown(shown: str, said: str) -> None:
    """Each line that the page shows was printed, in that order; ``…`` stands for anything."""
    said, place = " ".join(said.split()), 0
    for line in shown.splitlines():
        found = re.compile(re.escape(" ".join(line.split())).replace("…", ".*?")).search(said, place)
        assert found, f"{line!r} was not printed behind\n{said[:place]}\nbut\n{said[place:]}"
        place = found.end()


def test_ci(newcomer: Newcomer, tls_registry: RegistryServer, tmp_path: Path) -> None:
    """The playbooks do with the variables of each service what the page says."""
    blocks = blocks_of(PAGES / "guide_ci.rst")
    project, dest = tmp_path / "project", tmp_path / "hosts"
    for block in blocks:
        if block.name:
            path = project / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(newcomer.placed(block.text).replace("/srv/app", f"{dest}/{{{{ inventory_hostname }}}}"))
    (project / "config").mkdir()
    (project / "config/app.yaml").write_text("replicas: 1\n")
    newcomer.run("\n".join(block.text for block in blocks if block.language == "shell"), project)
    newcomer.run("ansible-galaxy collection install -r requirements.yml", project)
    # web1 and web2 are this machine
    (project / "group_vars").mkdir()
    own = f"ansible_connection: local\nansible_python_interpreter: {newcomer.python}\n"
    (project / "group_vars/web.yml").write_text(own)
    common = {"OCI_ARTIFACT_CA_CERT": str(tls_registry.ca_cert), "REPOSITORY": f"{tls_registry.host}/Platform/Config"}
    key = str(project / "release.key")
    for number, signing_key in enumerate((key, Path(key).read_text())):
        environment = {**common, "RELEASE": f"v1.4.{number}", "SIGNING_KEY": signing_key}
        for changed in (1, 0):
            done = newcomer.run("ansible-playbook publish.yml", project, environment=environment)
            check_shown(f"localhost : ok=1 changed={changed} …", done.stdout)
    del environment["SIGNING_KEY"]
    done = newcomer.run("ansible-playbook -i inventory.ini deploy.yml", project, environment=environment)
    check_shown("web1.example.com : ok=1 changed=1 …\nweb2.example.com : ok=1 changed=1 …", done.stdout)
    assert contents(dest) == {f"web{number}.example.com/app.yaml": "replicas: 1\n" for number in (1, 2)}


def test_each_service_sets_the_variables_that_the_playbooks_read() -> None:
    files = {block.name: block.text for block in blocks_of(PAGES / "guide_ci.rst") if block.name}
    read = {name for file in ("publish.yml", "deploy.yml") for name in LOOKUP.findall(files[file])} | LOGIN
    assert read == {"REPOSITORY", "RELEASE", "SIGNING_KEY"} | LOGIN
    services = {
        name: text for name, text in files.items() if name.endswith(("release.yml", ".gitlab-ci.yml", "Jenkinsfile"))
    }
    assert len(services) == 3
    for name, text in services.items():
        # GitLab's SIGNING_KEY is a variable of the project
        wanted = read - {"SIGNING_KEY"} if name == ".gitlab-ci.yml" else read
        assert {variable for variable in wanted if not re.search(rf"\b{variable}\b", text)} == set(), name
        for command in (
            "ansible-playbook publish.yml",
            "deploy.yml",
            "ansible-galaxy collection install -r requirements.yml",
        ):
            assert command in text, f"{name}: {command}"
