# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Event-Driven Ansible: the event source and the filter for webhooks, run by ansible-rulebook with a real registry."""

from __future__ import annotations

import contextlib
import json
import runpy
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import servers, vectors
from support.ansible_runner import AnsibleRunner
from support.artifacts import Publisher
from support.awx_api import awx_api
from support.newcomer import blocks_of
from support.rulebook import PATIENCE, SHOW, Rulebook
from support.tools import Tools

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_settings import parse_settings

KEYS = vectors.ROOT / "keys"
CHECKOUT = Path(__file__).resolve().parents[2]
GUIDE = CHECKOUT / "docs/docsite/rst/guide_events.rst"
SOURCE, FILTER = "cloudnative.artifacts.oci_artifact", "cloudnative.artifacts.registry_webhook"


@contextlib.contextmanager
def running(rulebook: Rulebook, how: signal.Signals) -> Iterator[None]:
    rulebook.start()
    try:
        yield
    finally:
        rulebook.stop(how)


@pytest.mark.newer
def test_one_event_for_each_move_of_a_tag_across_restarts(
    tools: Tools, ansible: AnsibleRunner, collections_tree: Path, tmp_path: Path
) -> None:
    port, folder = servers.hold_port(), tmp_path / "registry"
    folder.mkdir()
    with servers.distribution(Path(tools["registry"]), folder, notify=f"http://127.0.0.1:{port}/registry") as registry:
        stable, signed = Publisher(registry.host, "team/app"), Publisher(registry.host, "team/signed")
        verify = {"public_keys": [str(KEYS / "ed25519.pub")]}
        watched = {
            "artifacts": [f"{stable.name}:stable", {"name": "signed", "ref": f"{signed.name}:1.0", "verify": verify}],
            "interval": 1,
            "insecure": True,
            "failures": "event",
            "state_file": str(tmp_path / "state/events.json"),
        }
        webhook = {"host": "127.0.0.1", "port": port}
        sources = [
            {"name": "watched", SOURCE: watched},
            {
                "name": "told",
                "eda.builtin.webhook": webhook,
                "filters": [{FILTER: {"state_file": str(tmp_path / "webhook.json")}}],
            },
        ]
        rules = [{"name": "all", "condition": "event.type is defined", "action": SHOW}]
        (tmp_path / "rulebook.yml").write_text(
            yaml.safe_dump([{"name": "test", "hosts": "all", "sources": sources, "rules": rules}])
        )
        rulebook = Rulebook(["--rulebook", tmp_path / "rulebook.yml"], collections_tree, tmp_path, tools["java"])

        # pushed before anybody looks: the source finds it, and the registry repeats its notification
        digests = [stable.publish("stable", {"version": "1"})]
        signed.publish("1.0", {"a": "1"})
        with running(rulebook, signal.SIGKILL):
            rulebook.wait_for(type="revision", digest=digests[0], reason="NewArtifact", previous="")
            rulebook.wait_for(type="push", digest=digests[0])
            rulebook.wait_for(type="failure", name="signed", reason="VerificationError")
            digests.append(stable.publish("stable", {"version": "2"}))
            rulebook.wait_for(type="revision", digest=digests[1], previous=f"stable@{digests[0]}")
            rulebook.wait_for(type="push", digest=digests[1])
        # while nobody looks
        digests.append(stable.publish("stable", {"version": "3"}))
        sign = {"ref": f"{signed.name}:1.0", "insecure": True, "key": str(KEYS / "ed25519.raw.pem")}
        assert not ansible.task("cloudnative.artifacts.oci_artifact_sign", **sign).failed
        with running(rulebook, signal.SIGTERM):
            rulebook.wait_for(type="revision", digest=digests[2], previous=f"stable@{digests[1]}", reason="TagMoved")
            rulebook.wait_for(type="push", digest=digests[2])
            found = rulebook.wait_for(type="revision", name="signed")
            assert found["verified"] and found["signers"][0]["source"] == str(KEYS / "ed25519.pub")
            # the same again is no move
            stable.publish("stable", {"version": "3"})
        with running(rulebook, signal.SIGINT):
            digests.append(stable.publish("stable", {"version": "4"}))
            rulebook.wait_for(type="revision", digest=digests[3], previous=f"stable@{digests[2]}")
            rulebook.wait_for(type="push", digest=digests[3])

        events = rulebook.events()
        revisions = [each for each in events if each["type"] == "revision" and each["repository"] == "team/app"]
        assert [each["digest"] for each in revisions] == digests
        assert [each["ref"] for each in revisions] == [f"{stable.name}:stable@{digest}" for digest in digests]
        pushes = [each for each in events if each["type"] == "push" and each["repository"] == "team/app"]
        assert [each["digest"] for each in pushes] == digests
        assert {each["registry"] for each in pushes} == {registry.host}
        assert [each["type"] for each in events if each.get("name") == "signed"] == ["failure", "recovery", "revision"]
        assert len({each["id"] for each in events}) == len(events)


@pytest.mark.newer
def test_the_rulebook_deploys_each_revision_as_the_guide_says(
    tools: Tools, ansible: AnsibleRunner, publisher: Publisher, collections_tree: Path, tmp_path: Path
) -> None:
    dest, source = tmp_path / "deployed", tmp_path / "source"

    def push(version: str) -> None:
        source.mkdir(exist_ok=True)
        (source / "version").write_text(version)
        sign = {"key": str(KEYS / "ed25519.raw.pem")}
        options = {"path": str(source), "ref": f"{publisher.name}:{version}", "insecure": True, "sign": sign}
        assert not ansible.task("cloudnative.artifacts.oci_artifact_push", **options).failed

    text = next(block.text for block in blocks_of(GUIDE) if block.text.startswith("# deploy.yml"))
    for place, here in {
        "registry.example.com/platform/config": publisher.name,
        "/etc/keys/release.pub": str(KEYS / "ed25519.pub"),
        "/var/lib/eda": str(tmp_path / "eda"),
        "/etc/platform": str(dest),
        ": 1m": ": 1s",
    }.items():
        assert place in text
        text = text.replace(place, here)
    variables = yaml.safe_load(text)
    for mapping in (variables["deploy_artifacts"][0], variables["deploy_extra_vars"]):
        mapping["insecure"] = True
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(variables))
    (tmp_path / "inventory.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")
    arguments = ["--rulebook", "cloudnative.artifacts.deploy", "--inventory", tmp_path / "inventory.yml"]
    rulebook = Rulebook([*arguments, "--vars", tmp_path / "vars.yml"], collections_tree, tmp_path, tools["java"])

    def wait_for(version: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (dest / "version").exists() or (dest / "version").read_text() != version:
            assert time.monotonic() < deadline, rulebook.log.read_text()[-6000:]
            time.sleep(0.3)

    push("1.0.0")
    # newer, and not signed
    publisher.publish("1.9.0", {"version": "unsigned"})
    with running(rulebook, signal.SIGTERM):
        # the newest of the range is not signed, and an older one does not take its place
        rulebook.wait_for_text("(reason: VerificationError)")
        assert not dest.exists()
        push("1.10.0")
        wait_for("1.10.0")
        push("1.11.0")
        wait_for("1.11.0")
    known = json.loads((tmp_path / "eda/deploy.json").read_text())["artifacts"]
    assert [each["revision"].partition("@")[0] for each in known.values()] == ["1.11.0"]


@pytest.mark.newer
def test_the_rulebook_starts_a_job_template_with_each_revision(
    tools: Tools, publisher: Publisher, collections_tree: Path, tmp_path: Path
) -> None:
    variables = {
        "deploy_artifacts": [{"name": "config", "ref": f"{publisher.name}:stable", "insecure": True}],
        "deploy_state_file": str(tmp_path / "eda/deploy.json"),
        "deploy_interval": "1s",
        "deploy_job_template": "Deploy",
        "deploy_organization": "Platform",
    }
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(variables))
    arguments = ["--rulebook", "cloudnative.artifacts.deploy_job_template", "--vars", tmp_path / "vars.yml"]
    rulebook = Rulebook(arguments, collections_tree, tmp_path, tools["java"])
    with awx_api() as awx:
        awx.add_template("Deploy", "Another")
        awx.add_template("Deploy", "Platform")
        rulebook.environment.update(
            EDA_CONTROLLER_URL=awx.url, EDA_CONTROLLER_TOKEN=awx.token, EDA_JOB_TEMPLATE_REFRESH_DELAY="0.5"
        )

        def wait_for_jobs(count: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while len(awx.jobs) < count:
                assert time.monotonic() < deadline, rulebook.log.read_text()[-6000:]
                time.sleep(0.3)

        first = publisher.publish("stable", {"version": "1"})
        with running(rulebook, signal.SIGTERM):
            wait_for_jobs(1)
        second = publisher.publish("stable", {"version": "2"})
        with running(rulebook, signal.SIGTERM):
            wait_for_jobs(2)
        # the template of that organization, once for each revision, with what a play pulls it by
        assert [job["job_template"] for job in awx.jobs] == [awx.templates[1]["id"]] * 2
        given = [json.loads(job["extra_vars"]) for job in awx.jobs]
        for found, digest, previous in ((given[0], first, ""), (given[1], second, f"stable@{first}")):
            assert {name: found[name] for name in found if name.startswith("artifact_")} == {
                "artifact_name": "config",
                "artifact_ref": f"{publisher.name}:stable@{digest}",
                "artifact_revision": f"stable@{digest}",
                "artifact_previous": previous,
            }
        assert awx.token not in rulebook.log.read_text()


@pytest.mark.newer
def test_all_rulebooks_are_what_ansible_rulebook_takes_and_their_arguments_what_the_plugins_take() -> None:
    from ansible_rulebook.validators import Validate

    shipped = [path.read_text() for path in sorted((CHECKOUT / "extensions/eda/rulebooks").glob("*.yml"))]
    plugins = [runpy.run_path(str(path)) for path in sorted((CHECKOUT / "extensions/eda/plugins").glob("*/*.py"))]
    shown = [block.text for block in blocks_of(GUIDE) if "\n  sources:" in block.text]
    texts = [*shipped, *shown, *(plugin["EXAMPLES"] for plugin in plugins)]
    assert (len(shipped), len(plugins), len(shown)) == (2, 2, 2)
    watches = 0
    for text in texts:
        rulebook: list[dict[str, Any]] = yaml.safe_load(text)
        Validate.rulebook(rulebook)
        for source in rulebook[0]["sources"]:
            if isinstance(source.get(SOURCE, {}).get("artifacts"), list):
                watches += len(parse_settings(source[SOURCE]).artifacts)
            for entry in source.get("filters", []):
                assert plugins[0]["main"]({}, **{**entry[FILTER], "state_file": ""}) == []
    assert watches == 3
