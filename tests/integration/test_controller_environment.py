# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of the controller's environment reach modules on another host, over a real SSH connection."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner, TaskResult
from support.processes import is_of_another_worker
from support.servers import RegistryServer
from support.ssh_host import NAME, SshHost

PUSH, PULL, INFO = (f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("push", "pull", "info"))
CHARTS = "cloudnative.artifacts.helm_chart_sources"
WRONG_PASSWORD = "Wr0ng~Passw0rd+of/another=one"


class Ground:
    """A private registry with one artifact, and plays on the second host."""

    def __init__(self, ansible: AnsibleRunner, host: SshHost, registry: RegistryServer, folder: Path) -> None:
        assert registry.username and registry.password
        self.ansible, self.host, self.registry, self.folder = ansible, host, registry, folder
        self.login = (registry.username, registry.password)
        self.ref = f"{registry.host}/environment/hello:1"
        file = folder / "hello.txt"
        file.write_text("hello\n")
        options = {"ref": self.ref, "path": str(file), "insecure": True}
        result = ansible.task(PUSH, username=self.login[0], password=self.login[1], **options)
        assert not result.failed, result

    def environment(self, *, right: bool = True) -> dict[str, str]:
        username, password = self.login
        return {"OCI_ARTIFACT_USERNAME": username, "OCI_ARTIFACT_PASSWORD": password if right else WRONG_PASSWORD}

    def entry(self, *, right: bool = True) -> dict[str, str]:
        username, password = self.login
        return {"auth": base64.b64encode(f"{username}:{password if right else WRONG_PASSWORD}".encode()).decode()}

    def auth_file(self, **auths: Any) -> dict[str, str]:
        """The environment of a controller with a file of these entries; `here` stands for the registry."""
        path = self.folder / f"auth-{len(list(self.folder.iterdir()))}.json"
        self.write_auths(path, **auths)
        return {"OCI_ARTIFACT_AUTH_FILE": str(path)}

    def write_auths(self, path: Path, **auths: Any) -> None:
        named = {self.registry.host if name == "here" else name: entry for name, entry in auths.items()}
        path.write_text(json.dumps({"auths": named}))

    def several(self, name: str, **options: Any) -> dict[str, Any]:
        dests = [str(self.host.home / name / number) for number in "12"]
        items = [{"ref": self.ref, "dest": dest} for dest in dests]
        return {"name": name, PULL: {"artifacts": items, "insecure": True, **options}, "ignore_errors": True}

    def info(self, name: str, **keywords: Any) -> dict[str, Any]:
        options = keywords.pop("options", {})
        module = {"ref": self.ref, "insecure": True, "gather": [], **options}
        return {"name": name, INFO: module, "ignore_errors": True, **keywords}

    def run(self, tasks: Sequence[dict[str, Any]], environment: dict[str, str], **play: Any) -> dict[str, TaskResult]:
        results = self.ansible.tasks(
            tasks,
            controller_environment={"ANSIBLE_INJECT_INVOCATION": "1", **environment},
            flags=["-i", str(self.host.inventory), "-vvv", *play.pop("flags", [])],
            **{"hosts": NAME, **play},
        )
        output = results[0].stdout + results[0].stderr
        for secret in (self.login[1], WRONG_PASSWORD, self.entry()["auth"], self.entry(right=False)["auth"]):
            assert secret not in output
        return {result.task: result for result in results}


@pytest.fixture(scope="module")
def ground(
    ansible: AnsibleRunner,
    second_host: SshHost,
    htpasswd_registry: RegistryServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ground:
    return Ground(ansible, second_host, htpasswd_registry, tmp_path_factory.mktemp("environment"))


@contextmanager
def watched_command_lines() -> Iterator[set[str]]:
    """The command lines of all processes of the machine, as often as they can be read, without those of other tests."""
    seen: set[str] = set()
    judged: set[tuple[str, str]] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if (process.name, line) not in judged:
                    judged.add((process.name, line))
                    if not is_of_another_worker(int(process.name), line):
                        seen.add(line)
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def files_with(folder: Path, *secrets: str) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if any(secret.encode() in content for secret in secrets):
            found.append(path)
    return found


def left_behind(folder: Path, *secrets: str) -> list[Path]:
    """Ansible's async wrapper looks every 5 seconds whether its module has ended, and then removes its files."""
    deadline = time.monotonic() + 300
    while (found := files_with(folder, *secrets)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def test_a_login_reaches_the_other_host(ground: Ground) -> None:
    dest = ground.host.home / "pulled"
    username, password = ground.login
    as_file = {"vars": {"ansible_pipelining": False}}
    charts = {"demo": {"ref": ground.ref, "insecure": True}}
    with watched_command_lines() as command_lines:
        results = ground.run(
            [
                {"name": "environment", "ansible.builtin.command": "env", "changed_when": False},
                {"name": "pull", PULL: {"ref": ground.ref, "insecure": True, "dest": str(dest)}, **as_file},
                ground.several("several", resolve_once=True),
                ground.info("loop", loop=[1, 2]),
                ground.info("check", check_mode=True),
                ground.info("async", **{"async": 600, "poll": 1}),
                ground.info("delegated back", delegate_to="localhost"),
                {"name": "chart", CHARTS: {"sources": charts}, "ignore_errors": True},
                ground.info("wrong in the task", options={"username": username, "password": WRONG_PASSWORD}),
                ground.info("anonymous by the task", options={"auth_config": {"auths": {}}}),
            ],
            ground.environment(),
        )
    assert "OCI_ARTIFACT" not in results["environment"]["stdout"], "the other host shares the environment"
    assert f"HOME={ground.host.home}" in results["environment"]["stdout"]
    for name in ("pull", "several", "loop", "check", "async", "delegated back"):
        assert not results[name].failed, results[name]
    assert (dest / "hello.txt").read_text() == "hello\n"
    assert len(results["loop"]["results"]) == len(results["several"]["results"]) == 2
    assert (ground.host.home / "several/2/hello.txt").read_text() == "hello\n"
    assert results["chart"]["reason"] == "ArtifactFailed", "the artifact, which is no chart, was not even seen"
    for name in ("wrong in the task", "anonymous by the task"):
        assert results[name]["reason"] == "AuthenticationFailed", results[name]
    assert any("AnsiballZ_oci_artifact_pull" in line for line in command_lines), "the module was not seen"
    assert [line for line in command_lines if password in line or ground.entry()["auth"] in line] == []
    assert left_behind(ground.host.home, password, ground.entry()["auth"]) == []


def test_the_task_and_the_playbook_win(ground: Ground) -> None:
    username, password = ground.login
    login = {"username": username, "password": password}
    file = ground.folder / "of-the-target.json"
    ground.write_auths(file, here=ground.entry())
    results = ground.run(
        [
            ground.info("environment"),
            ground.info("task", options=login),
            ground.info("of the playbook", environment={"OCI_ARTIFACT_AUTH_FILE": str(file)}),
            {"module_defaults": {"group/cloudnative.artifacts.oci": login}, "block": [ground.info("defaults")]},
        ],
        ground.environment(right=False),
    )
    assert results["environment"]["reason"] == "AuthenticationFailed"
    for name in ("task", "of the playbook", "defaults"):
        assert not results[name].failed, results[name]


def test_a_file_of_the_controller_reaches_the_other_host(ground: Ground) -> None:
    """It wins over the files of the target, which are asked only where it does not know the registry."""
    config = ground.host.home / ".docker/config.json"
    config.parent.mkdir()
    elsewhere = {"auth": base64.b64encode(b"someone:S3cret~of-elsewhere").decode()}

    def outcome(environment: dict[str, str], *, target: dict[str, str]) -> TaskResult:
        ground.write_auths(config, here=target)
        results = ground.run([ground.info("info"), ground.several("of a file")], environment)
        assert results["info"].failed == results["of a file"].failed
        return results["info"]

    try:
        known = ground.auth_file(here=ground.entry(), **{"other.example.com": elsewhere})
        assert not outcome(known, target=ground.entry(right=False)).failed
        unknown = ground.auth_file(**{"other.example.com": elsewhere})
        assert not outcome(unknown, target=ground.entry()).failed
        gone = outcome({"OCI_ARTIFACT_AUTH_FILE": str(ground.folder / "gone")}, target=ground.entry())
        assert gone["reason"] == "AuthenticationFailed"
        assert "It is OCI_ARTIFACT_AUTH_FILE of the Ansible controller." in gone["msg"]
    finally:
        config.unlink()
        config.parent.rmdir()


def test_authorities_reach_the_other_host(
    ansible: AnsibleRunner, second_host: SshHost, tls_registry: RegistryServer, tmp_path: Path
) -> None:
    assert tls_registry.ca_cert
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")
    ref = f"{tls_registry.host}/environment/hello:1"
    own = {"ref": ref, "gather": [], "ca_cert": "/nonexistent.pem", "retries": 0}
    tasks = [
        {"name": "push", PUSH: {"ref": ref, "path": str(file)}, "delegate_to": "localhost"},
        {"name": "info", INFO: {"ref": ref, "gather": []}},
        {"name": "own", INFO: own, "ignore_errors": True},
    ]
    results = ansible.tasks(
        tasks,
        controller_environment={"OCI_ARTIFACT_CA_CERT": str(tls_registry.ca_cert)},
        flags=["-i", str(second_host.inventory)],
        hosts=NAME,
    )
    assert [result.failed for result in results] == [False, False, True]
