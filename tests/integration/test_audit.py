# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nightly audit of a fleet: its page in a browser, its exit status, what it asks, and its records in a registry."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.ansible_runner import COLLECTION, AnsibleRunner
from support.artifacts import Publisher
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

PULL, SIGN, PRUNE, ROLLBACK = (f"{COLLECTION}.oci_artifact_{verb}" for verb in ("pull", "sign", "prune", "rollback"))
HOSTILE = "<img src=x onerror=document.title=0>"
FILES: dict[str, Any] = {"app.conf": "version 1\n", HOSTILE: "x\n"}


def make_key(folder: Path) -> tuple[Path, Path]:
    """A private key, which no test log may show, and its public half."""
    private, public = folder / "release.key", folder / "release.pub"
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private.touch(0o600)
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def findings(report: dict[str, Any], host: str) -> list[str]:
    (found,) = (each for each in report["hosts"] if each["name"] == host)
    every = [*found["findings"], *(each for one in found["destinations"] for each in one["findings"])]
    return [each["kind"] for each in every]


def test_an_audit_says_what_runs_where_and_what_is_wrong_with_it(
    ansible: AnsibleRunner, registry: RegistryServer, tools: Tools, tmp_path: Path
) -> None:
    app, plain = Publisher(registry.host, "audit/app"), Publisher(registry.host, "audit/plain")
    digest, moved = app.publish("1.0.0", FILES), plain.publish("stable", {"a": "1"})
    private, public = make_key(tmp_path)
    hosts = {}
    for name in ("web1", "web2", "db1"):
        # each with an index of its own, as a machine has
        hosts[name] = ansible.python_with({"OCI_ARTIFACT_INDEX": str(tmp_path / name / "index")})
    inventory = tmp_path / "hosts.ini"
    lines = [f"{name} ansible_connection=local ansible_python_interpreter={path}" for name, path in hosts.items()]
    lines.append("db2 ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1")
    inventory.write_text("\n".join([*lines, "[web]", "web1", "web2", "[db]", "db1", "db2"]))
    dest = f"{tmp_path}/{{{{ inventory_hostname }}}}/dest"
    signed = {"ref": f"{app.name}:1.0.0", "dest": dest, "insecure": True, "verify": {"public_keys": [str(public)]}}
    setup = [
        {SIGN: {"ref": f"{app.name}:1.0.0", "key": str(private), "insecure": True}, "run_once": True},
        {PULL: signed, "when": "inventory_hostname is match('web')"},
        {PULL: {"ref": f"{plain.name}:stable", "dest": dest, "insecure": True}, "when": "inventory_hostname == 'db1'"},
        {
            ROLLBACK: {"dest": dest, "state": "suspended", "reason": "an incident", "who": "ops"},
            "when": "inventory_hostname == 'db1'",
        },
    ]
    results = ansible.tasks(setup, hosts="web:db1", flags=["-i", str(inventory)])
    assert not [result for result in results if result.failed], results[-1].stdout
    (tmp_path / "web2/dest" / HOSTILE).unlink()
    app.publish("1.1.0", {"a": "2"})
    plain.publish("stable", {"a": "2"})

    page, document = tmp_path / "report.html", tmp_path / "report.json"
    variables = {
        "audit_hosts": "web:db",
        "audit_html_file": str(page),
        "audit_json_file": str(document),
        "audit_insecure": True,
        "audit_title": "The fleet",
        "audit_registries": [registry.host],
        "audit_verify": {"public_keys": [str(public)]},
        "audit_record": {"fleet": "prod", "key": str(private)},
    }
    flags = ("-i", str(inventory), "--forks", "2")
    mark = registry.mark()
    done = ansible.playbook(f"{COLLECTION}.audit", *flags, "--check", extra_vars=variables)
    report = json.loads(document.read_text())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Findings:" in done.stdout
    assert findings(report, "web1") == ["newer_version"]
    assert findings(report, "web2") == ["drift", "newer_version"]
    assert findings(report, "db1") == ["suspended", "missing_signature", "moved_tag"]
    assert findings(report, "db2") == ["unreachable"]
    by_group = {each["name"]: (each["hosts"], each["failing_hosts"], each["digests"]) for each in report["groups"]}
    assert {name: by_group[name] for name in ("web", "db")} == {"web": (2, 1, 1), "db": (2, 2, 1)}
    (web1,) = (each for each in report["hosts"] if each["name"] == "web1")
    (one,) = web1["destinations"]
    assert (one["digest"], one["tag"], one["verified"], one["url"]) == (digest, "1.0.0", True, app.url)
    assert one["signers"] == [str(public)]
    # each question was asked once for all hosts: the tags of the one repository with versions
    asked = Counter((each.method, each.path) for each in registry.requests(since=mark))
    assert sum(count for (_method, path), count in asked.items() if "/tags/list" in path) == 1
    # and the hosts are as they were
    assert not (tmp_path / "web2/dest" / HOSTILE).exists()

    # in a browser, names are text, and nothing of them runs
    shown = tools.shown(page)
    assert "<title>The fleet</title>" in shown and "<img" not in shown
    assert "&lt;img src=x onerror=document.title=0&gt;" in shown
    for words in ("moved tag", "no signature", "suspended", "host not reached", "newer version", digest[:19]):
        assert words in shown

    # records, of which check mode makes none: of both digests, one of them verified; and retention keeps what runs
    assert report["records"] == []
    variables["audit_fail_on"] = []
    shutil.rmtree(tmp_path / "web2/dest")
    # a timer of systemd has no PWD
    del variables["audit_html_file"], variables["audit_json_file"]
    home = {"PWD": "", "HOME": str(tmp_path)}
    again = ansible.playbook(f"{COLLECTION}.audit", *flags, extra_vars=variables, environment=home)
    assert "<title>The fleet</title>" in (tmp_path / "artifacts.html").read_text()
    report = json.loads((tmp_path / "artifacts.json").read_text())
    assert again.returncode == 0, again.stdout + again.stderr
    made = {each["artifact"]: (each["result"], each["status"]) for each in report["records"]}
    assert made == {digest: ("PASSED", "created"), moved: ("FAILED", "created")}
    assert findings(report, "web2") == ["vanished"]
    prune = {"url": app.url, "insecure": True, "rules": [{"count": 0}]}
    (everything,) = ansible.tasks([{PRUNE: prune}])
    (deployed,) = ansible.tasks([{PRUNE: {**prune, "keep_deployed": "30d"}}])
    assert sorted(tag for each in everything["remove"] for tag in each["tags"]) == ["1.0.0", "1.1.0"]
    assert {each["tag"]: each["why"] for each in deployed["keep"]} == {"1.0.0": "deployed"}
    assert [each["tags"] for each in deployed["remove"]] == [["1.1.0"]]
