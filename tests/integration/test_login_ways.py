# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to log in, through ansible-playbook, to a real registry that takes the tokens of a real token server.

Each way has a user of its own, so that the token server's log says which credential was found.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.servers import RegistryServer
from support.tools import Tools
from token_server import TokenServer

INFO = "cloudnative.artifacts.oci_artifact_info"
PUSH = "cloudnative.artifacts.oci_artifact_push"
NO_FILE = {"XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": "", "DOCKER_CONFIG": "", "REGISTRY_AUTH_FILE": ""}


def secret_of(user: str) -> str:
    return f"s3cret-of-{user}"


def encoded(user: str, password: str = "") -> str:
    return base64.b64encode(f"{user}:{password or secret_of(user)}".encode()).decode()


@dataclass
class Way:
    """Options and environment of a task, files in its home folder, and how it is known to the token server."""

    grant: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    repository: str = "ways/app"


class Ground:
    """Homes of users, one for each way, with what lies in them."""

    def __init__(self, folder: Path, server: TokenServer, registry: RegistryServer, helper: str) -> None:
        self.folder, self.server, self.host = folder, server, registry.host
        # what the tasks find programs in: the helper, and what Ansible needs
        self.path = f"{Path(helper).parent}{os.pathsep}{os.environ['PATH']}"
        self.secrets: set[str] = set()

    def home(self, user: str) -> Path:
        return self.folder / user

    def new_user(self, user: str) -> dict[str, str]:
        self.server.users[user] = secret_of(user)
        self.secrets |= {secret_of(user), encoded(user)}
        return {"username": user, "password": secret_of(user)}

    def refresh_token(self, user: str) -> str:
        token = self.server.add_refresh_token(user)
        self.secrets.add(token)
        return token

    def config(self, entry: dict[str, Any], key: str = "") -> dict[str, Any]:
        return {"auths": {key or self.host: entry}}

    def ways(self) -> dict[str, Way]:
        """Each way by its user."""
        ways: dict[str, Way] = {}
        names = (
            "options environment environment-file auth-file auth-file-plain auth-config auth-config-text "
            "registry-auth-file docker-auth-config docker-config home-docker runtime-podman config-podman home-podman "
            "oldest helper store repository-key"
        )
        users = {name: self.new_user(name) for name in names.split()}
        basic = {name: {"auth": encoded(name)} for name in users}

        def file(name: str, place: str, **more: Any) -> dict[str, Any]:
            return {"files": {place: self.config(basic[name])}, **more}

        def at(name: str, place: str) -> str:
            return str(self.home(name) / place)

        ways["options"] = Way("basic", users["options"])
        login = users["environment"]
        ways["environment"] = Way(
            "basic",
            environment={"OCI_ARTIFACT_USERNAME": login["username"], "OCI_ARTIFACT_PASSWORD": login["password"]},
        )
        name = "environment-file"
        ways[name] = Way("basic", **file(name, "x.json", environment={"OCI_ARTIFACT_AUTH_FILE": "~/x.json"}))
        name = "auth-file"
        ways[name] = Way("basic", **file(name, "x.json", options={"auth_file": at(name, "x.json")}))
        name = "auth-file-plain"
        plain = {"x.json": self.config(users[name])}
        ways[name] = Way("basic", {"auth_file": at(name, "x.json")}, files=plain)
        ways["auth-config"] = Way("basic", {"auth_config": self.config(basic["auth-config"])})
        text = json.dumps(self.config(basic["auth-config-text"]))
        # one that Ansible does not read as a mapping by itself
        ways["auth-config-text"] = Way("basic", {"auth_config": "\n" + text})
        name = "registry-auth-file"
        ways[name] = Way("basic", **file(name, "x.json", environment={"REGISTRY_AUTH_FILE": at(name, "x.json")}))
        text = json.dumps(self.config(basic["docker-auth-config"]))
        ways["docker-auth-config"] = Way("basic", environment={"DOCKER_AUTH_CONFIG": text})
        name = "docker-config"
        ways[name] = Way("basic", **file(name, "d/config.json", environment={"DOCKER_CONFIG": at(name, "d")}))
        ways["home-docker"] = Way("basic", **file("home-docker", ".docker/config.json"))
        name = "runtime-podman"
        runtime = {"XDG_RUNTIME_DIR": at(name, "run")}
        ways[name] = Way("basic", **file(name, "run/containers/auth.json", environment=runtime))
        name = "config-podman"
        settings = {"XDG_CONFIG_HOME": at(name, "settings")}
        ways[name] = Way("basic", **file(name, "settings/containers/auth.json", environment=settings))
        ways["home-podman"] = Way("basic", **file("home-podman", ".config/containers/auth.json"))
        ways["oldest"] = Way("basic", files={".dockercfg": {self.host: basic["oldest"]}})
        kept = ".docker-credential-tests.json"
        login = users["helper"]
        held = {self.host: {"Username": login["username"], "Secret": login["password"]}}
        other = {self.host: {"auth": encoded("nobody", "wrong")}}
        ways["helper"] = Way(
            "basic", files={".docker/config.json": {"credHelpers": {self.host: "tests"}, "auths": other}, kept: held}
        )
        login = users["store"]
        held = {self.host: {"Username": login["username"], "Secret": login["password"]}}
        ways["store"] = Way(
            "basic", files={".docker/config.json": {"credsStore": "tests", "auths": {self.host: {}}}, kept: held}
        )
        held = {self.host: {"Username": "<token>", "Secret": self.refresh_token("helper-token")}}
        ways["helper-token"] = Way(
            "refresh_token", files={".config/containers/auth.json": {"credHelpers": {self.host: "tests"}}, kept: held}
        )
        token = {"identitytoken": self.refresh_token("identity-token"), "auth": encoded("0000", "\0")}
        ways["identity-token"] = Way("refresh_token", {"auth_config": self.config(token)})
        self.server.rights["host-key"] = {"other/*": "pull"}
        keys = {self.host: {"auth": encoded("host-key")}, f"{self.host}/ways": basic["repository-key"]}
        keys[f"{self.host}/way"] = {"auth": encoded("nobody", "wrong")}
        self.new_user("host-key")
        ways["repository-key"] = Way("basic", {"auth_config": {"auths": keys}})
        return ways

    def task(self, user: str, way: Way, module: str = INFO, **options: Any) -> dict[str, Any]:
        home = self.home(user)
        home.mkdir(parents=True)
        for place, document in way.files.items():
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).write_text(json.dumps(document))
        if not options:
            options = {"ref": f"{self.host}/{way.repository}:1", "gather": []}
        return {
            "name": user,
            module: {**options, **way.options},
            "environment": {**NO_FILE, "HOME": str(home), "PATH": self.path, **way.environment},
            "ignore_errors": True,
        }

    def push(self, user: str, repository: str) -> dict[str, Any]:
        """A task that publishes the same content wherever it is told to."""
        content = self.folder / "content"
        content.mkdir(exist_ok=True)
        (content / "a.txt").write_text("a\n")
        ref = f"{self.host}/{repository}"
        return self.task(user, Way("basic", self.new_user(user)), PUSH, path=str(content), ref=ref)

    def run(self, ansible: AnsibleRunner, tasks: list[dict[str, Any]]) -> list[TaskResult]:
        results = ansible.tasks(tasks, module_defaults={name: {"insecure": True} for name in (INFO, PUSH)})
        assert [result.task for result in results] == [task["name"] for task in tasks]
        text = json.dumps([dict(result) for result in results]) + results[0].stdout + results[0].stderr
        assert {secret for secret in self.secrets if secret in text} == set()
        return results


@pytest.fixture
def ground(tools: Tools, tmp_path: Path, token_server: TokenServer, token_registry: RegistryServer) -> Ground:
    return Ground(tmp_path, token_server, token_registry, tools["docker-credential-tests"])


def test_every_way_to_log_in(ansible: AnsibleRunner, ground: Ground, token_server: TokenServer) -> None:
    server, ways = token_server, ground.ways()
    server.rights[""] = {"public/*": "pull"}
    scope = "repository:ways/app:pull"
    ready = server.issue("registry-token", [scope])
    ground.secrets.add(ready)
    tasks = [ground.push("publisher", "ways/app:1"), ground.push("public-publisher", "public/app:1")]
    tasks += [ground.task(user, way) for user, way in ways.items()]
    tasks.append(ground.task("registry-token", Way("", {"auth_config": ground.config({"registrytoken": ready})})))
    tasks.append(ground.task("anonymous", Way("anonymous", repository="public/app")))
    before = server.mark()
    results = ground.run(ansible, tasks)
    assert [(result.task, result.get("msg")) for result in results if result.failed] == []
    assert len({result["artifact"]["digest"] for result in results}) == 1
    # one token for each task but the one that brought its own, by the way and for the user that was meant
    log = server.requests(since=before)
    assert [request.status for request in log] == [200] * (len(tasks) - 1)
    found = {request.user: (request.grant, request.scopes) for request in log}
    assert found == {
        **{user: (way.grant, (scope,)) for user, way in ways.items()},
        "": ("anonymous", ("repository:public/app:pull",)),
        "publisher": ("basic", ("repository:ways/app:pull,push",)),
        "public-publisher": ("basic", ("repository:public/app:pull,push",)),
    }


@pytest.mark.once
def test_ways_that_lead_nowhere(ansible: AnsibleRunner, ground: Ground, token_server: TokenServer) -> None:
    server, host = token_server, ground.host
    server.rights["reader"] = {"ways/*": "pull"}
    wrong = {"username": "reader", "password": "wr0ng-passw0rd"}
    ground.secrets |= {wrong["password"], "r3voked-token"}
    narrow = ground.config({"auth": encoded("reader")}, f"{host}/way")
    cases: dict[str, tuple[Way, str]] = {
        "a wrong password": (Way("", wrong), "token server 127.0.0.1 .* refused with status 401"),
        "a revoked token": (
            Way("", {"auth_config": ground.config({"identitytoken": "r3voked-token"})}),
            "refused with status 400. Log in again",
        ),
        "no credentials": (Way(""), "refused the token .* No credentials were found"),
        "no helper": (
            Way("", files={".docker/config.json": {"credHelpers": {host: "no-such"}}}),
            "docker-credential-no-such, which is not in PATH",
        ),
        "a secret of the wrong shape": (
            Way("", {"auth_config": {"data": {".dockerconfigjson": "e30="}}}),
            "auth_config has none of 'auths'",
        ),
        "a broken file": (Way("", files={".docker/config.json": "{"}), "config.json is not a JSON object"),
        "a part of the path": (Way("", {"auth_config": narrow}), "No credentials were found"),
    }
    tasks = [ground.task(name, way) for name, (way, _message) in cases.items()]
    before = server.mark()
    results = ground.run(ansible, [*tasks, ground.push("reader", "ways/app:2")])
    messages = [*(message for _way, message in cases.values()), "The account may lack the right to this repository"]
    for result, message in zip(results, messages):
        assert result.failed
        assert result["reason"] == "AuthenticationFailed"
        assert re.search(message, result["msg"]), result["msg"]
    # what was refused is not sent again
    assert [request.status for request in server.requests(since=before) if request.status != 200] == [401, 400]
