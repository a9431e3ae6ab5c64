# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX does with the collection: the credential type, its injection into a job, the execution environment.

The injection is AWX's own code and the job runs in the real ansible-runner. AWX's API is imitated.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible_runner import AnsibleRunner
from support.awx_api import AwxApi, awx_api
from support.certificates import ServerCertificate
from support.servers import RegistryServer
from support.ssh_host import NAME, SshHost

INFO, PUSH = "cloudnative.artifacts.oci_artifact_info", "cloudnative.artifacts.oci_artifact_push"
PLAYBOOK = "cloudnative.artifacts.awx_credential_type"
CHECKOUT = Path(__file__).resolve().parents[2]
TYPE_FILE = CHECKOUT / "playbooks/files/awx/credential_type.yml"
GUIDE = CHECKOUT / "docs/docsite/rst/guide_awx.rst"


def credential_type() -> dict[str, Any]:
    document = yaml.safe_load(TYPE_FILE.read_text())
    assert isinstance(document, dict)
    return document


def create_type(ansible: AnsibleRunner, api: AwxApi, *arguments: str, **environment: str) -> str:
    """Run the playbook; its whole output, which holds neither token nor password."""
    login = environment or {"CONTROLLER_OAUTH_TOKEN": api.token}
    done = ansible.playbook(PLAYBOOK, "-vvv", *arguments, environment={"CONTROLLER_HOST": api.url + "/", **login})
    output = done.stdout + done.stderr
    for secret in (api.token, api.password):
        assert secret not in output
    return output


def recap(output: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", output[output.rindex("localhost ") :])}


def test_the_playbook_keeps_the_type_up_to_date(ansible: AnsibleRunner) -> None:
    with awx_api() as api:
        assert recap(create_type(ansible, api, "--check"))["changed"] == 1
        assert api.types == []
        assert recap(create_type(ansible, api))["changed"] == 1
        (created,) = api.types
        assert {name: created[name] for name in credential_type()} == credential_type()
        again = create_type(ansible, api, CONTROLLER_USERNAME=api.username, CONTROLLER_PASSWORD=api.password)
        assert recap(again)["changed"] == 0
        created["injectors"] = {}
        assert recap(create_type(ansible, api))["changed"] == 1
        assert created["injectors"] == credential_type()["injectors"]
        assert [request for request in api.requests if request != "GET"] == ["POST", "PATCH"]
        refused = create_type(ansible, api, CONTROLLER_OAUTH_TOKEN="wrong")
        assert "answered 401: Authentication credentials were not provided" in refused
        assert recap(refused)["failed"] == 1


def test_a_type_that_awx_would_not_take_is_not_taken() -> None:
    api = AwxApi()
    assert api.problems(credential_type()) == {}
    broken = credential_type()
    broken["injectors"]["env"]["X"] = "{{ unknown }}"
    broken["inputs"]["fields"].append({"id": "x", "label": "X", "type": "text"})
    assert set(api.problems({**broken, "kind": "ssh"})) == {"kind", "inputs", "injectors"}


class Job:
    """A job of AWX: a private data directory, the credential injected into it, a run of ansible-runner, and its end."""

    def __init__(self, folder: Path, inputs: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        from awx_plugins.interfaces import _temporary_private_container_api as container
        from awx_plugins.interfaces import _temporary_private_inject_api as injection

        self.folder = folder
        for name in ("env", "project", "inventory"):
            (folder / name).mkdir(parents=True)
        # AWX mounts the directory there; here is no container
        monkeypatch.setattr(container, "CONTAINER_ROOT", str(folder))
        definition = credential_type()
        kind = injection.ManagedCredentialType(
            namespace="oci", name=definition["name"], kind="cloud", inputs=definition["inputs"],
            injectors=definition["injectors"],
        )  # fmt: skip
        self.env: dict[str, str] = {}
        self.safe_env: dict[str, str] = {}
        self.arguments: list[str] = []
        injection.inject_credential(
            kind, injection.Credential(dict(inputs)), self.env, self.safe_env, self.arguments, str(folder)
        )

    def run(self, ansible: AnsibleRunner, inventory: Path, play: Mapping[str, Any]) -> str:
        """What the job wrote; raises when it failed."""
        import ansible_runner

        (self.folder / "project/play.yml").write_text(json.dumps([play]))
        shutil.copy(inventory, self.folder / "inventory/hosts")
        surroundings = {
            "ANSIBLE_COLLECTIONS_PATH": str(ansible.collections),
            "ANSIBLE_INJECT_INVOCATION": "1",
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        run = ansible_runner.run(
            private_data_dir=str(self.folder),
            playbook="play.yml",
            envvars={**self.env, **surroundings},
            verbosity=3,
            quiet=True,
            suppress_env_files=True,  # as AWX's jobs
        )
        output: str = run.stdout.read()
        assert run.status == "successful", output
        return output


@pytest.mark.newer
def test_a_credential_reaches_a_job_and_leaves_nothing(
    ansible: AnsibleRunner,
    second_host: SshHost,
    htpasswd_registry: RegistryServer,
    server_certificate: ServerCertificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    username, password = htpasswd_registry.username, htpasswd_registry.password
    assert username and password
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")
    ref = f"{htpasswd_registry.host}/awx/hello:1"
    published = ansible.task(PUSH, ref=ref, path=str(file), insecure=True, username=username, password=password)
    assert not published.failed, published
    inputs = {
        "registry": htpasswd_registry.host,
        "username": username,
        "password": password,
        "ca_cert": server_certificate.ca_cert.read_text(),
    }
    job = Job(tmp_path / "job", inputs, monkeypatch)
    injected = [Path(job.env[name]) for name in ("OCI_ARTIFACT_AUTH_FILE", "OCI_ARTIFACT_CA_CERT")]
    assert [path.parent for path in injected] == [tmp_path / "job/env"] * 2
    assert [path.stat().st_mode & 0o777 for path in injected] == [0o600] * 2
    assert job.arguments == [], "nothing becomes a variable of the job"
    assert password not in json.dumps(job.safe_env)
    play = {
        "hosts": NAME,
        "gather_facts": False,
        "tasks": [{"name": "info", INFO: {"ref": ref, "insecure": True, "gather": []}}],
    }
    output = job.run(ansible, second_host.inventory, play)
    assert "TASK [info]" in output
    left = [path for path in [*job.folder.rglob("*"), *second_host.home.rglob("*")] if path.is_file()]
    with_secret = [path for path in left if password.encode() in path.read_bytes()]
    # AWX deletes the whole directory of a job; beside the file that it injected, nothing holds the password
    assert with_secret == [injected[0]]
    assert any("job_events" in str(path) for path in left), "no event of the job was searched"


@pytest.mark.newer
@pytest.mark.parametrize(
    ("inputs", "auths"),
    [
        ({}, {}),
        ({"ca_cert": "x"}, {}),
        ({"registry": "r.io", "username": "u"}, {"r.io": {"username": "u", "password": ""}}),
        (
            {"registry": "r.io", "username": 'u"\\', "password": "p'\"}}<&>{% x %}é"},
            {"r.io": {"username": 'u"\\', "password": "p'\"}}<&>{% x %}é"}},
        ),
        (
            {"registry": "r.io", "auth_config": '{"auths": {"other.io": {"auth": "eDp5"}}}'},
            {"other.io": {"auth": "eDp5"}},
        ),
    ],
)
def test_what_is_injected(
    inputs: dict[str, str], auths: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path / "job", inputs, monkeypatch)
    assert json.loads(Path(job.env["OCI_ARTIFACT_AUTH_FILE"]).read_text()) == {"auths": auths}
    assert bool(job.env["OCI_ARTIFACT_CA_CERT"]) == ("ca_cert" in inputs)


def test_the_survey_asks_for_what_the_playbook_takes() -> None:
    text = GUIDE.read_text()
    (survey,) = re.findall(r"code-block:: json\n\n((?:(?:   .*)?\n)+)", text)
    questions = json.loads(textwrap.dedent(survey))
    asked = {question["variable"] for question in questions["spec"]}
    assert asked == set(re.findall(r"\b(survey_(?!spec)\w+)", text.replace(survey, "")))
    for question in questions["spec"]:
        assert question["type"] in ("text", "multiplechoice")
        assert question["type"] != "multiplechoice" or question["default"] in question["choices"].split("\n")


def test_the_metadata_for_execution_environments(ansible: AnsibleRunner, tmp_path: Path) -> None:
    wanted, named = (_requirements(CHECKOUT / name) for name in ("requirements.txt", "meta/ee-requirements.txt"))
    assert wanted <= named
    run_tool(
        "ansible-galaxy", "collection", "install", ".", "--collections-path", str(tmp_path), cwd=ansible.collection
    )
    found = yaml.safe_load(run_tool("ansible-builder", "introspect", str(tmp_path)))
    # PyYAML comes with ansible-core
    names = {re.split(r"[<>=]", line)[0] for line in named} - {"PyYAML"}
    assert names <= {re.split(r"[<>=]", line)[0] for line in found["python"]}


def test_the_execution_environment(ansible: AnsibleRunner, tmp_path: Path) -> None:
    """A build context holds the collection, which its Containerfile installs as is done here, and all choices."""
    run_tool("ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), cwd=ansible.collection)
    shutil.copy(CHECKOUT / "playbooks/files/awx/execution-environment.yml", tmp_path)
    run_tool("ansible-builder", "create", "--output-filename", "Containerfile", cwd=tmp_path)
    content = tmp_path / "context/_build"
    containerfile = (tmp_path / "context/Containerfile").read_text()
    # where the collection is looked for by the name that the file gives it
    assert re.search(r"^(?:COPY|ADD) _build /build\nWORKDIR /build$", containerfile, re.MULTILINE)
    assert re.search(r"^RUN .*ansible-galaxy collection install .*-r requirements\.yml ", containerfile, re.MULTILINE)
    # as root: no step changes the user before Helm is placed
    assert "/usr/local/bin" in containerfile and "USER 1000" not in containerfile.partition("/usr/local/bin")[0]
    choices = ["sigstore>=4,<5", "botocore>=1.31", "python-dateutil<3"]
    assert (content / "requirements.txt").read_text().splitlines() == choices
    assert installed_from(content / "requirements.yml", tmp_path / "installed") == {
        "cloudnative.artifacts": "0.1.0",
        "kubernetes.core": ">=5.3.0",
    }


def test_the_requirements_of_a_project(ansible: AnsibleRunner, tmp_path: Path) -> None:
    """What the guide shows is the file of the collection, which installs it from a repository."""
    file = CHECKOUT / "playbooks/files/awx/requirements.yml"
    text = file.read_text()
    shown = [
        yaml.safe_load(block) for block in re.findall(r"code-block:: yaml\n\n((?:(?:   .*)?\n)+)", GUIDE.read_text())
    ]
    assert yaml.safe_load(text) in shown
    source = tmp_path / "source"
    # byte code is being written there, by other tests too
    shutil.copytree(ansible.collection, source, ignore=shutil.ignore_patterns(".git", "__pycache__", "vectors"))
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), (*identity, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *arguments], check=True, cwd=source)
    local = tmp_path / "requirements.yml"
    local.write_text(text.replace("https://example.org/cloudnative.artifacts.git", f"file://{source}"))
    assert installed_from(local, tmp_path / "installed") == {
        "cloudnative.artifacts": "0.1.0",
        "kubernetes.core": ">=5.3.0",
    }


def installed_from(requirements: Path, folder: Path) -> dict[str, str]:
    """Install what does not come from Galaxy, which is out of reach; the versions, and the ranges of the others."""
    entries = yaml.safe_load(requirements.read_text())["collections"]
    found = {entry["name"]: entry["version"] for entry in entries if "type" not in entry}
    kept = requirements.with_name("without-galaxy.yml")
    kept.write_text(yaml.safe_dump({"collections": [entry for entry in entries if "type" in entry]}))
    options = ("--requirements-file", str(kept), "--collections-path", str(folder))
    run_tool("ansible-galaxy", "collection", "install", *options, cwd=requirements.parent)
    for manifest in folder.glob("ansible_collections/*/*/MANIFEST.json"):
        info = json.loads(manifest.read_text())["collection_info"]
        found[f"{info['namespace']}.{info['name']}"] = info["version"]
    return found


def run_tool(program: str, *arguments: str, cwd: Path | None = None) -> str:
    """The output of a program of this environment; nothing listens where it looks for Galaxy."""
    command = [str(Path(sys.executable).parent / program), *arguments]
    environment = {**os.environ, "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _requirements(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}
