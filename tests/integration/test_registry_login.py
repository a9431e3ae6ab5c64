# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_registry_login through ansible-playbook, against real registries and with the tools that read its files."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools
from token_server import TokenServer

from ansible_collections.cloudnative.artifacts.plugins.module_utils._login.credential import Credential
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.client import RegistryClient
from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.repository import RegistryRepository

LOGIN, INFO = "cloudnative.artifacts.oci_registry_login", "cloudnative.artifacts.oci_artifact_info"
WRONG = "wr0ng-passw0rd"


def login(name: str, **options: Any) -> dict[str, Any]:
    keywords = {key: options.pop(key) for key in ("check_mode", "environment") if key in options}
    return {"name": name, LOGIN: {"insecure": True, **options}, "ignore_errors": True, **keywords}


def run(ansible: AnsibleRunner, *tasks: dict[str, Any], secrets: set[str]) -> dict[str, TaskResult]:
    """Results by the names of the tasks; no secret is in any of them, nor in what Ansible prints."""
    results = ansible.tasks(tasks, diff=True)
    assert [result.task for result in results] == [task["name"] for task in tasks]
    text = json.dumps([dict(result) for result in results]) + results[0].stdout + results[0].stderr
    assert {secret for secret in secrets if secret in text} == set()
    return {result.task: result for result in results}


def account(server: RegistryServer) -> dict[str, str]:
    assert server.username
    assert server.password
    return {"username": server.username, "password": server.password}


def encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def publish(server: RegistryServer, name: str, credential: Credential) -> str:
    """A small artifact under tag 1; returns its digest."""
    reference = parse_reference(f"{server.host}/{name}")
    client = RegistryClient(reference.registry, ConnectionOptions(insecure=True), credential)
    repository = RegistryRepository(reference, client, push=True)
    config = Descriptor(media.OCI_EMPTY, digest_of(b"{}"), 2)
    repository.push_blob(BlobSource(config, lambda: io.BytesIO(b"{}")))
    document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config.as_json(), "layers": []}
    manifest = parse_manifest(canonical_json(document), media.OCI_MANIFEST, "The manifest")
    repository.push_manifest(manifest, "1")
    return manifest.descriptor.digest


def test_present_and_absent(ansible: AnsibleRunner, htpasswd_registry: RegistryServer, tmp_path: Path) -> None:
    server, path = htpasswd_registry, tmp_path / "d/config.json"
    path.parent.mkdir()
    foreign = {"z": [1], "auths": {"other.example": {"auth": "eDp5", "x": 1}}, "credHelpers": {"h.example": "h"}}
    path.write_text(json.dumps(foreign))
    user = account(server)
    auth = encoded(**user)
    common = {"registry": server.host, "environment": {"DOCKER_CONFIG": str(path.parent)}}
    copy = {"ansible.builtin.slurp": {"src": str(path)}}
    before = server.mark()
    results = run(
        ansible,
        login("refused", **common, username=user["username"], password=WRONG),
        login("foreseen", **common, **user, check_mode=True),
        {"name": "untouched", **copy},
        login("stored", **common, **user),
        {"name": "kept", **copy},
        login("unchanged", **common, **user),
        login("refused again", **common, username=user["username"], password=WRONG),
        login("part", registry=f"{server.host}/org", config_file=str(path), **user, validate=False),
        {"name": "found", "environment": common["environment"],
         INFO: {"ref": f"{server.host}/org/none:1", "gather": [], "missing_ok": True, "insecure": True}},
        login("removal foreseen", **common, state="absent", check_mode=True),
        login("removed", **common, state="absent"),
        login("gone", **common, state="absent"),
        secrets={user["password"], WRONG, auth},
    )  # fmt: skip
    for name in ("refused", "refused again"):
        assert results[name].failed
        assert results[name]["reason"] == "AuthenticationFailed"
    changed = {name for name, result in results.items() if result.changed}
    assert changed == {"foreseen", "stored", "part", "removal foreseen", "removed"}
    assert json.loads(base64.b64decode(results["untouched"]["content"])) == foreign
    kept = json.loads(base64.b64decode(results["kept"]["content"]))
    assert kept == {**foreign, "auths": {**foreign["auths"], server.host: {"auth": auth}}}  # type: ignore[dict-item]
    assert list(kept) == list(foreign)
    assert results["foreseen"]["diff"] == results["stored"]["diff"]
    assert results["stored"]["validated"] is True
    assert results["part"]["validated"] is False
    assert results["found"]["exists"] is False
    after = json.loads(path.read_text())
    assert after == {**foreign, "auths": {**foreign["auths"], f"{server.host}/org": {"auth": auth}}}  # type: ignore[dict-item]
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["config.json"]
    # a login is one question and one answer
    statuses = [request.status for request in server.requests(since=before) if request.path == "/v2/"]
    assert statuses == [401, 401] + [401, 200] * 3 + [401, 401]


@pytest.mark.once
def test_tokens_are_checked_too(
    ansible: AnsibleRunner, token_server: TokenServer, token_registry: RegistryServer, tmp_path: Path
) -> None:
    server, path = token_registry, tmp_path / "config.json"
    token_server.users["keeper"] = "s3cret-of-keeper"
    token = token_server.add_refresh_token("keeper")
    common = {"registry": server.host, "config_file": str(path)}
    before = token_server.mark()
    results = run(
        ansible,
        login("password", **common, username="keeper", password="s3cret-of-keeper"),
        login("wrong", **common, username="keeper", password=WRONG),
        login("token", **common, username="keeper", identity_token=token),
        login("revoked", **common, identity_token="r3voked-token"),
        login("token again", **common, identity_token=token),
        {"name": "found", INFO: {"ref": f"{server.host}/keeper/none:1", "gather": [], "missing_ok": True,
                                 "insecure": True, "auth_file": str(path)}},
        secrets={"s3cret-of-keeper", WRONG, token, "r3voked-token"},
    )  # fmt: skip
    assert {name for name, result in results.items() if result.failed} == {"wrong", "revoked"}
    assert {name for name, result in results.items() if result.changed} == {"password", "token"}
    entry = {"auth": encoded("keeper", ""), "identitytoken": token}
    assert json.loads(path.read_text()) == {"auths": {server.host: entry}}
    asked = [(request.grant, request.status, request.scopes) for request in token_server.requests(since=before)]
    assert asked == [
        ("basic", 200, ()),
        ("basic", 401, ()),
        ("refresh_token", 200, ()),
        ("refresh_token", 400, ()),
        ("refresh_token", 200, ()),
        ("refresh_token", 200, ("repository:keeper/none:pull",)),
    ]


class Home:
    """A home folder that the tools and the module share, with the helper on PATH."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder, self.tools = folder, tools
        helper = Path(tools["docker-credential-tests"]).parent
        self.environment = {"HOME": str(folder), "PATH": f"{helper}{os.pathsep}{os.environ['PATH']}"}
        self.config = folder / ".docker/config.json"
        self.config.parent.mkdir(parents=True)

    def run(self, tool: str, *arguments: str, **more: Any) -> str:
        return str(self.tools.run(tool, *arguments, env=self.environment, **more).stdout).strip()

    @property
    def keychain(self) -> Any:
        file = self.folder / ".docker-credential-tests.json"
        return json.loads(file.read_text()) if file.exists() else {}


@pytest.mark.once
def test_the_tools_log_in_with_what_it_stores(
    ansible: AnsibleRunner, htpasswd_registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    server, user = htpasswd_registry, account(htpasswd_registry)
    digest = publish(server, "tools/app", Credential(**user))
    homes = {name: Home(tmp_path / name, tools) for name in ("file", "helper")}
    homes["helper"].config.write_text('{"credsStore": "tests"}')
    tasks = [login(name, registry=server.host, environment=home.environment, **user) for name, home in homes.items()]
    run(ansible, *tasks, secrets={user["password"]})
    assert json.loads(homes["helper"].config.read_text())["auths"] == {server.host: {}}
    assert homes["helper"].keychain == {server.host: {"Username": user["username"], "Secret": user["password"]}}
    assert homes["file"].keychain == {}
    ref = f"{server.host}/tools/app:1"
    for name, home in homes.items():
        assert home.run("crane", "digest", "--insecure", ref) == digest
        assert home.run("oras", "resolve", "--plain-http", ref) == digest
        reach = ("--plain-http", "--registry-config", str(home.config))
        # a tag that is not there, of a repository that only the account may see
        missing = ("pull", *reach, f"oci://{server.host}/tools/app", "--version=1.0.0")
        said = home.tools.run("helm", *missing, env=home.environment, check=False).stderr
        assert "not found" in said, said
        if name == "file":  # of the helpers, skopeo and podman know credHelpers alone
            inspect = ("inspect", "--raw", "--tls-verify=false", f"--authfile={home.config}", f"docker://{ref}")
            assert digest_of(home.run("skopeo", *inspect).encode()) == digest
    tasks = [{**task, LOGIN: {**task[LOGIN], "state": "absent"}} for task in tasks]
    results = run(ansible, *tasks, secrets={user["password"]})
    assert [result.changed for result in results.values()] == [True, True]
    for home in homes.values():
        assert home.keychain == {}
        denied = home.tools.run("crane", "digest", "--insecure", ref, env=home.environment, check=False)
        assert "UNAUTHORIZED" in denied.stderr


@pytest.mark.once
def test_what_the_tools_store_is_a_login(
    ansible: AnsibleRunner, htpasswd_registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    server, user = htpasswd_registry, account(htpasswd_registry)
    given = ("--username", user["username"], "--password-stdin")
    homes: dict[str, Home] = {}
    for kind in ("file", "helper"):
        for tool, command in {
            "crane": ("auth", "login", server.host, *given),
            "oras": ("login", "--plain-http", server.host, *given),
            "helm": ("registry", "login", "--plain-http", "--registry-config={}", server.host, *given),
            "skopeo": ("login", "--tls-verify=false", "--authfile={}", server.host, *given),
        }.items():
            if (kind, tool) == ("helper", "skopeo"):
                continue  # of the helpers it knows credHelpers alone
            home = homes[f"{tool} {kind}"] = Home(tmp_path / f"{tool}-{kind}", tools)
            if kind == "helper":
                home.config.write_text('{"credsStore": "tests"}')
            home.run(tool, *(part.format(home.config) for part in command), stdin=user["password"])
    common = {"registry": server.host, "validate": False}
    stored = [login(name, **common, **user, environment=home.environment) for name, home in homes.items()]
    removed = [
        login(f"{name} removed", **common, state="absent", environment=home.environment) for name, home in homes.items()
    ]
    results = run(ansible, *stored, *removed, secrets={user["password"]})
    changed = {name for name, result in results.items() if result.changed}
    # beside what is in a helper docker leaves an empty entry, and so does crane; oras and helm leave none
    assert changed == {task["name"] for task in removed} | {"oras helper", "helm helper"}
    assert [home.keychain for home in homes.values()] == [{}] * len(homes)
    for home in homes.values():
        assert json.loads(home.config.read_text()).get("auths") == {}
