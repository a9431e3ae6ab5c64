# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' own ground: the servers answer, the logs tell the truth, results come back whole."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.ansible_runner import AnsibleRunner
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    (tmp_path / "hello.txt").write_text("hello\n")
    return tmp_path


def push(tools: Tools, folder: Path, reference: str, *flags: str) -> str:
    """Push hello.txt with oras; return the manifest's digest."""
    done = tools.run("oras", "push", *flags, reference, "hello.txt:text/plain", cwd=folder)
    digest = re.search(rf"Digest: ({DIGEST.pattern})", done.stdout)
    assert digest, done.stdout
    return digest[1]


@pytest.mark.parametrize("name", ["registry", "oras", "crane", "skopeo", "helm", "oci11-registry", "flux-artifact"])
def test_tool_is_an_absolute_path(tools: Tools, name: str) -> None:
    assert os.path.isabs(tools[name])
    assert os.access(tools[name], os.X_OK)


@pytest.mark.parametrize("fixture", ["registry", "oci11_registry"])
def test_plain_registry_keeps_what_oras_pushes(
    fixture: str, request: pytest.FixtureRequest, tools: Tools, hello: Path, tmp_path: Path
) -> None:
    server: RegistryServer = request.getfixturevalue(fixture)
    reference = f"{server.host}/selftest/hello:1"
    digest = push(tools, hello, reference, "--plain-http")
    assert tools.run("crane", "digest", "--insecure", reference).stdout.strip() == digest
    tools.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
    tools.run("oras", "pull", "--plain-http", "-o", tmp_path / "out", reference)
    assert (tmp_path / "out/hello.txt").read_text() == "hello\n"


@pytest.mark.parametrize("fixture", ["registry", "oci11_registry"])
def test_access_log_has_each_request_in_order(fixture: str, request: pytest.FixtureRequest) -> None:
    server: RegistryServer = request.getfixturevalue(fixture)
    before = server.mark()
    assert server.requests(since=before) == []
    urllib.request.urlopen(f"{server.url}/v2/").close()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server.url}/v2/no/such/manifests/tag?x=%20y")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/v2/no/such/manifests/tag", method="HEAD"))
    assert server.requests(since=before) == [
        ("GET", "/v2/", 200),
        ("GET", "/v2/no/such/manifests/tag?x=%20y", 404),
        ("HEAD", "/v2/no/such/manifests/tag", 404),
    ]


def test_distribution_deletes_manifests(registry: RegistryServer, tools: Tools, hello: Path) -> None:
    digest = push(tools, hello, f"{registry.host}/selftest/delete:1", "--plain-http")
    tools.run("crane", "delete", "--insecure", f"{registry.host}/selftest/delete@{digest}")
    assert tools.run("crane", "digest", "--insecure", f"{registry.host}/selftest/delete:1", check=False).returncode


def test_htpasswd_registry_wants_the_password(htpasswd_registry: RegistryServer, tools: Tools, hello: Path) -> None:
    server = htpasswd_registry
    assert server.username
    assert server.password
    before = server.mark()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.url}/v2/")
    assert refused.value.code == 401
    assert server.requests(since=before) == [("GET", "/v2/", 401)]
    login = ("--plain-http", "--username", server.username, "--password-stdin")
    reference = f"{server.host}/selftest/hello:1"
    tools.run("oras", "push", *login, reference, "hello.txt:text/plain", cwd=hello, stdin=server.password)
    assert ("PUT", "/v2/selftest/hello/manifests/1", 201) in server.requests(since=before)


def test_tls_registry_is_vouched_for_by_its_ca_alone(tls_registry: RegistryServer, tools: Tools, hello: Path) -> None:
    assert tls_registry.ca_cert
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{tls_registry.url}/v2/")
    trusting = ssl.create_default_context(cafile=str(tls_registry.ca_cert))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in (tls_registry.host, f"localhost:{tls_registry.port}"):
        urllib.request.urlopen(f"https://{host}/v2/", context=trusting).close()
    reference = f"{tls_registry.host}/selftest/hello:1"
    digest = push(tools, hello, reference, "--ca-file", str(tls_registry.ca_cert))
    assert tools.run("oras", "resolve", "--ca-file", tls_registry.ca_cert, reference).stdout.strip() == digest


def test_oci11_registry_lists_referrers(oci11_registry: RegistryServer, tools: Tools, hello: Path) -> None:
    server = oci11_registry
    reference = f"{server.host}/selftest/referred:1"
    digest = push(tools, hello, reference, "--plain-http")
    note, other = "application/vnd.example.note", "application/vnd.example.other"
    for kind in (note, other):
        flags = ("--plain-http", "--artifact-type", kind)
        tools.run("oras", "attach", *flags, reference, "hello.txt:text/plain", cwd=hello)
    api = f"{server.url}/v2/selftest/referred/referrers/{digest}"
    with urllib.request.urlopen(api) as response:
        kinds = {entry["artifactType"] for entry in json.load(response)["manifests"]}
    assert kinds == {note, other}
    with urllib.request.urlopen(f"{api}?artifactType={note}") as response:
        assert response.headers["OCI-Filters-Applied"] == "artifactType"
        assert [entry["artifactType"] for entry in json.load(response)["manifests"]] == [note]
    tags = tools.run("oras", "repo", "tags", "--plain-http", f"{server.host}/selftest/referred").stdout.split()
    assert tags == ["1"], "the fallback tag is for registries without the API"


def test_distribution_has_no_referrers_api(registry: RegistryServer) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{registry.url}/v2/selftest/hello/referrers/sha256:{'0' * 64}")
    assert refused.value.code == 404


def test_task_returns_the_modules_result(ansible: AnsibleRunner) -> None:
    result = ansible.task("ansible.builtin.ping", data="pong-pong")
    assert result["ping"] == "pong-pong"
    assert (result.rc, result.failed, result.changed) == (0, False, False)
    assert "PLAY RECAP" in result.stdout


def test_failed_task_is_a_result(ansible: AnsibleRunner) -> None:
    result = ansible.task("ansible.builtin.ping", data="crash")
    assert result.failed
    assert result.rc == 2


def test_tasks_return_in_order_and_respect_ignore_errors(ansible: AnsibleRunner, tmp_path: Path) -> None:
    marker = tmp_path / "file"
    results = ansible.tasks(
        [
            {"ansible.builtin.fail": {"msg": "on purpose"}, "ignore_errors": True},
            {"ansible.builtin.copy": {"content": "{{ word }}\n", "dest": str(marker)}},
            {"ansible.builtin.ping": {}, "when": False},
            {"ansible.builtin.fail": {"msg": "the last"}},
            {"ansible.builtin.ping": {}},
        ],
        check=True,
        diff=True,
        extra_vars={"word": "from extra vars"},
    )
    assert [result.failed for result in results] == [True, False, False, True]
    assert results[1].changed
    assert "from extra vars" in results[1]["diff"][0]["after"]
    assert results[2].skipped
    assert not marker.exists()


def test_warnings_come_back(ansible: AnsibleRunner, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("line\n")
    result = ansible.task("ansible.builtin.lineinfile", path=str(file), regexp="", line="line")
    assert [warning for warning in result["warnings"] if "empty string" in warning]
    assert "warnings" in ansible.task("ansible.builtin.ping")


def test_modules_run_on_the_target_python_with_the_given_environment(ansible: AnsibleRunner) -> None:
    result = ansible.task("ansible.builtin.setup", environment={"MARK": "here"}, gather_subset=["!all", "python"])
    assert os.path.realpath(result["ansible_facts"]["ansible_python"]["executable"]) == os.path.realpath(
        ansible.target_python
    )


def test_adhoc_and_playbook(ansible: AnsibleRunner, tmp_path: Path) -> None:
    done = ansible.adhoc("ansible.builtin.ping", "data=hello", "-v")
    assert done.returncode == 0, done.stderr
    assert '"ping": "hello"' in done.stdout
    playbook = tmp_path / "play.yml"
    playbook.write_text("[{hosts: localhost, gather_facts: false, tasks: [{debug: {msg: 'said {{ word }}'}}]}]\n")
    done = ansible.playbook(playbook, extra_vars={"word": "so"})
    assert done.returncode == 0, done.stderr
    assert "said so" in done.stdout


def test_commands_see_the_collection(ansible: AnsibleRunner) -> None:
    assert (ansible.collection / "galaxy.yml").is_file()
    listing = subprocess.run(
        ["git", "-C", str(ansible.collection), "rev-parse", "--show-toplevel"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert os.path.realpath(listing.strip()) == os.path.realpath(ansible.collection)
