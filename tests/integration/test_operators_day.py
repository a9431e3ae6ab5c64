# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A day of an operator: signed releases for twenty hosts that reach no registry, a bad one, a way back, a report."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import servers, vectors
from support.ansible_runner import COLLECTION, AnsibleRunner, TaskResult
from support.artifacts import contents
from support.tools import Tools

pytestmark = pytest.mark.once

INFO, PULL, PUSH, ROLLBACK = (f"{COLLECTION}.oci_artifact_{verb}" for verb in ("info", "pull", "push", "rollback"))
HOSTS = 20
PUBLIC = str(vectors.ROOT / "keys/ed25519.pub")
PRIVATE = str(vectors.ROOT / "keys/ed25519.raw.pem")
FILES: dict[str, dict[str, Any]] = {
    "1.4.0": {"app.conf": "version 0\n", "conf.d/a": "a\n"},
    "1.4.1": {"app.conf": "version 1\n", "conf.d/b": "b\n"},
    "1.4.2": {"app.conf": "broken\n", "conf.d/b": "b\n"},
    "1.4.3": {"app.conf": "version 3\n", "conf.d/b": "b\n"},
}


class Site:
    """Hosts that are this machine, each with a directory and an index of its own, and the registry of releases."""

    def __init__(self, ansible: AnsibleRunner, tools: Tools, folder: Path) -> None:
        self._ansible, self._tools, self._folder = ansible, tools, folder
        self.registry: servers.RegistryServer | None = None
        self._port = 0
        self.names = [f"host{number:02}" for number in range(1, HOSTS + 1)]
        for name in self.names:
            self.dest(name).mkdir(parents=True)
            (self.dest(name) / "own.conf").write_text(f"{name}\n")
        self._inventory = self._write("hosts.ini", dict.fromkeys(self.names, sys.executable))
        (folder / "registry").mkdir()

    def _write(self, file: str, pythons: dict[str, str]) -> str:
        lines = [f"{name} ansible_connection=local ansible_python_interpreter={path}" for name, path in pythons.items()]
        (self._folder / file).write_text("\n".join(["[fleet]", *lines, ""]))
        return str(self._folder / file)

    def dest(self, name: str) -> Path:
        return self._folder / name / "app"

    @contextmanager
    def open(self) -> Iterator[servers.RegistryServer]:
        """The registry, at the same address each time."""
        binary = Path(self._tools["registry"])
        with servers.distribution(binary, self._folder / "registry", port=self._port) as registry:
            self._port = registry.port
            yield registry

    @property
    def url(self) -> str:
        return f"oci://127.0.0.1:{self._port}/app/config"

    def publish(self, tag: str) -> str:
        """Push a release and sign it, in one task; return its digest."""
        source = self._folder / f"source-{tag}"
        for name, text in FILES[tag].items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        options = {"path": str(source), "url": self.url, "tag": tag, "insecure": True, "sign": {"key": PRIVATE}}
        pushed = self._ansible.task(PUSH, **options)
        assert pushed.changed, pushed
        return str(pushed["artifact"]["digest"])

    @property
    def pull(self) -> tuple[str, dict[str, Any]]:
        """The task of every run: only what was signed, via the controller, checked after it was placed."""
        health = {"command": "grep -q version %s/app.conf", "timeout": "60s"}
        return PULL, {
            "url": self.url,
            "semver": "1.x",
            "insecure": True,
            "retries": 0,
            "via": "controller",
            "verify": {"public_keys": [PUBLIC]},
            "keep": 3,
            "health": health,
        }

    def run(self, *tasks: tuple[str, dict[str, Any]], **more: Any) -> list[list[TaskResult]]:
        """Run tasks on all hosts; return the results of each task."""
        dest = f"{self._folder}/{{{{ inventory_hostname }}}}/app"
        document = [{module: {"dest": dest, **options}, "ignore_errors": True} for module, options in tasks]
        environment = {"OCI_ARTIFACT_INDEX": f"{self._folder}/{{{{ inventory_hostname }}}}/index"}
        flags = ["-i", self._inventory, "--forks", "4"]
        results = self._ansible.tasks(document, hosts="fleet", flags=flags, environment=environment, **more)
        assert len(results) == HOSTS * len(tasks), results[-1].stdout
        return [results[at : at + HOSTS] for at in range(0, len(results), HOSTS)]

    def hold(self, tag: str) -> None:
        """Assert what is on all hosts."""
        for name in self.names:
            assert contents(self.dest(name)) == {**FILES[tag], "own.conf": f"{name}\n"}

    def audit(self) -> tuple[int, dict[str, Any], str]:
        """Run the nightly job; return its exit status, its report, and its page as a browser shows it."""
        pythons = {
            name: self._ansible.python_with({"OCI_ARTIFACT_INDEX": str(self._folder / name / "index")})
            for name in self.names
        }
        page, document = self._folder / "report.html", self._folder / "report.json"
        variables = {
            "audit_hosts": "fleet",
            "audit_html_file": str(page),
            "audit_json_file": str(document),
            "audit_insecure": True,
            "audit_verify": {"public_keys": [PUBLIC]},
        }
        flags = ("-i", self._write("audit.ini", pythons), "--forks", "4", "--check")
        done = self._ansible.playbook(f"{COLLECTION}.audit", *flags, extra_vars=variables)
        return done.returncode, json.loads(document.read_text()), self._tools.shown(page)


def reasons(results: list[TaskResult]) -> set[tuple[bool, str]]:
    return {(result.changed, str(result["reason"])) for result in results}


def test_a_day_of_an_operator(ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    site, digests = Site(ansible, tools, tmp_path), dict[str, str]()
    with site.open() as registry:
        for tag in ("1.4.0", "1.4.1"):
            digests[tag] = site.publish(tag)
            mark = registry.mark()
            (placed,) = site.run(site.pull)
            assert reasons(placed) == {(True, "NewRevision")}, placed[0]
            assert all(result["verification"]["verified"] for result in placed)
            site.hold(tag)
            # the version, its signature and its content were asked for once, for all hosts
            asked = Counter((each.method, each.path) for each in registry.requests(mark))
            assert max(asked.values()) == 1 and sum("/blobs/" in path for _method, path in asked) == 2, asked
        digests["1.4.2"] = site.publish("1.4.2")
        (bad,) = site.run(site.pull)
        assert {(result.failed, result["reason"], result["rolled_back"]) for result in bad} == {
            (True, "HealthCheckFailed", True)
        }
        site.hold("1.4.1")

    _with_the_registry_off(site, digests)

    with site.open():
        (held,) = site.run(site.pull)
        assert reasons(held) == {(False, "HeldBack")}
        digests["1.4.3"] = site.publish("1.4.3")
        site.run((ROLLBACK, {"state": "released", "to": "1.4.1"}))
        (fixed,) = site.run(site.pull)
        assert reasons(fixed) == {(True, "NewRevision")}, fixed[0]
        site.hold("1.4.3")
        (site.dest("host07") / "app.conf").write_text("edited\n")
        _what_the_night_finds(site, digests)


def _with_the_registry_off(site: Site, digests: dict[str, str]) -> None:
    """What failed is not tried again; what turned out bad later is taken back by hand, and stays so."""
    (held,) = site.run(site.pull)
    assert reasons(held) == {(False, "HeldBack")} and not any(result.failed for result in held), held[0]
    assert {result["held"][0]["digest"] for result in held} == {digests["1.4.2"]}
    assert {result["degraded_reason"] for result in held} == {"ConnectionFailed"}
    site.hold("1.4.1")
    back = (ROLLBACK, {"to": "previous", "reason": "requests fail", "who": "ops"})
    (predicted,) = site.run(back, check=True, diff=True)
    assert reasons(predicted) == {(True, "RolledBack")} and "-version 1" in predicted[0].stdout
    site.hold("1.4.1")
    gone, again, held, shown = site.run(back, back, site.pull, (INFO, {}))
    assert reasons(gone) == {(True, "RolledBack")} and reasons(again) == {(False, "ArtifactUpToDate")}
    assert reasons(held) == {(False, "HeldBack")}
    assert {frozenset(each["digest"] for each in result["held"]) for result in held} == {
        frozenset((digests["1.4.1"], digests["1.4.2"]))
    }
    assert "by ops: requests fail" in held[0].stdout + held[0].stderr
    site.hold("1.4.0")
    history = {each["tag"]: (each["held"], each["current"]) for each in shown[0]["history"]}
    assert history["1.4.1"] == (True, False) and history["1.4.0"] == (False, True)
    released, forward = site.run(
        (ROLLBACK, {"state": "released", "to": "1.4.1"}), (ROLLBACK, {"to": "1.4.1", "hold": False})
    )
    assert reasons(released) == {(True, "Released")} and reasons(forward) == {(True, "RolledBack")}
    site.hold("1.4.1")
    assert reasons(site.run(back)[0]) == {(True, "RolledBack")}


def _what_the_night_finds(site: Site, digests: dict[str, str]) -> None:
    status, report, shown = site.audit()
    assert status == 2, "a file was edited"
    found = {}
    for host in report["hosts"]:
        (one,) = host["destinations"]
        assert (one["digest"], one["tag"], one["verified"]) == (digests["1.4.3"], "1.4.3", True)
        assert one["signers"] == [PUBLIC]
        found[host["name"]] = {each["kind"] for each in one["findings"]}
    assert found.pop("host07") == {"drift", "held"}
    assert list(found.values()) == [{"held"}] * (HOSTS - 1)
    for words in (*site.names, digests["1.4.3"][:19], digests["1.4.2"][:19], PUBLIC, "drift", "held"):
        assert words in shown, words
