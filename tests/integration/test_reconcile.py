# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that reconcile themselves: the role, the command that its units and cron start, and what the status says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support import servers
from support.ansible_runner import AnsibleRunner
from support.booted import booted_system, wait_for
from support.newcomer import blocks_of
from support.self_reconciling import KEYS, PUSH, Host, make_project, publish
from support.servers import RegistryServer
from support.tools import Tools

pytestmark = pytest.mark.once

GUIDE = Path(__file__).resolve().parents[2] / "docs/docsite/rst/guide_reconcile.rst"
INFO = "cloudnative.artifacts.oci_artifact_info"
SUCCEEDED = ("True", "ReconciliationSucceeded")
VERIFY = {"public_keys": [str(KEYS / "ed25519.pub")]}


def test_a_host_reconciles_itself(ansible: AnsibleRunner, tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with servers.distribution(Path(tools["registry"]), tmp_path / "registry") as registry:
        ref = f"{registry.host}/hosts:stable"
        pushed = publish(ansible, make_project(tmp_path, "one"), ref)
        assert pushed["artifact"]["artifact_type"] == "application/vnd.cloudnative.artifacts.ansible.project.v1"
        assert pushed["ignored"] == [".vault_pass"]
        assert not publish(ansible, make_project(tmp_path, "one"), ref).changed

        host = Host(ansible, tmp_path / "host", {"ref": ref, "insecure": True, "retries": 0})
        refused = host.set_up()
        assert refused[-1].failed and "neither 'verify' nor 'policy'" in refused[-1]["msg"]
        host.variables["reconcile_source"]["verify"] = VERIFY
        results = host.set_up(check=True)
        assert not any(result.failed for result in results) and any(result.changed for result in results), results[-1]
        assert not (host.folder / "etc").exists() and not list((host.folder / "units").iterdir())
        results = host.set_up()
        assert not any(result.failed for result in results), results[-1]
        assert not any(result.changed for result in host.set_up())

        # the first run
        assert host.run("run").returncode == 0, (host.state / "play.log").read_text()
        assert host.out.read_text() == "one! a-secret-greeting"
        status, first = host.status(), pushed["artifact"]["revision"]
        assert host.conditions() == {"Ready": SUCCEEDED}
        assert status["last_applied_revision"] == status["artifact"]["revision"] == first
        assert [event["reason"] for event in status["events"]] == ["NewArtifact", "ReconciliationSucceeded"]

        # what drifts on the host is corrected; only the count of the event grows
        host.out.write_text("drifted")
        assert host.run("run").returncode == 0
        assert host.out.read_text() == "one! a-secret-greeting"
        assert [event["count"] for event in host.status()["events"]] == [1, 2]

        # a new revision
        second = publish(ansible, make_project(tmp_path, "two"), ref)["artifact"]["revision"]
        assert host.run("run").returncode == 0
        assert host.out.read_text() == "two! a-secret-greeting"
        assert host.status()["last_applied_revision"] == second

        # one that nobody has signed changes nothing, and waiting cannot help
        publish(ansible, make_project(tmp_path, "three"), ref, signed=False)
        assert host.run("run").returncode == 1
        refusal = ("True", "VerificationError")
        assert host.conditions() == {
            "Ready": ("False", "VerificationError"),
            "FetchFailed": refusal,
            "Stalled": refusal,
        }
        assert host.out.read_text() == "two! a-secret-greeting"
        assert host.status()["last_applied_revision"] == second and host.status()["failures"] == 1

        # one that does not parse is not placed
        project = make_project(tmp_path, "four")
        playbook = (project / "site.yml").read_text()
        (project / "site.yml").write_text("- hosts: [")
        publish(ansible, project, ref)
        assert host.run("run").returncode == 1
        assert host.conditions()["Ready"] == ("False", "ValidationFailed")
        (project / "site.yml").write_text(playbook.replace("Configure\n", "Configure\n      failed_when: true\n"))

        # one that fails says at which task
        publish(ansible, project, ref)
        assert host.run("run").returncode == 1
        ready = next(each for each in host.status()["conditions"] if each["type"] == "Ready")
        assert ready["reason"] == "ReconciliationFailed" and "'Configure'" in ready["message"]
        assert host.status()["last_attempted_revision"] != second == host.status()["last_applied_revision"]

        # suspended, nothing is asked; a request is handled once
        (project / "site.yml").write_text(playbook)
        fifth = publish(ansible, make_project(tmp_path, "five"), ref)["artifact"]["revision"]
        host.run("suspend", "host", "--reason", "maintenance")
        mark = registry.mark()
        assert host.run("run").returncode == 0 and registry.requests(mark) == []
        assert host.status()["suspended"] is True
        host.run("resume")
        host.run("request", "host", "--token", "please")
        assert host.run("run").returncode == 0
        assert host.status()["last_handled_reconcile_at"] == "please" and host.status()["suspended"] is False
        assert host.conditions() == {"Ready": SUCCEEDED}

    # the registry is away: what is there is run all the same
    host.out.write_text("drifted")
    assert host.run("run").returncode == 0
    assert host.out.read_text() == "five! a-secret-greeting"
    assert host.conditions() == {"Ready": SUCCEEDED, "FetchFailed": ("True", "LastGoodKept")}

    # the same for people and for playbooks
    described = host.run("status", "host").stdout
    assert f"Last Applied Revision:      {fifth}" in described and "SUSPENDED" in host.run("status").stdout
    info = ansible.task(INFO, dest=str(host.state / "project"))
    assert info["status"]["last_applied_revision"] == info["artifact"]["revision"] == fifth
    assert info["conditions"] == host.status()["conditions"] and info["events"] == host.status()["events"]

    # units without a secret
    units = sorted((tmp_path / "host/units").iterdir())
    assert [unit.suffix for unit in units] == [".service", ".timer"]
    assert not any("a-secret-greeting" in unit.read_text() for unit in [*units, host.command])
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "host/etc").iterdir())


def test_systemd_runs_what_the_guide_sets_up(ansible: AnsibleRunner, registry: RegistryServer, tmp_path: Path) -> None:
    """The guide's playbook and variables in a system of its own, whose timer starts a run at once."""
    folder, guide = tmp_path / "host", blocks_of(GUIDE)
    (folder / "home").mkdir(parents=True)
    project = make_project(folder, "one")

    def placed(text: str) -> str:
        text = text.replace("registry.example.com", registry.host)
        text = re.sub(r"( +)semver: 1\.x", r"\1semver: 1.x\n\1insecure: true", text)
        text = re.sub(r"/(?:home/me|etc/keys)/release\.key", str(KEYS / "ed25519.raw.pem"), text)
        text = text.replace("/home/me/release.pub", str(KEYS / "ed25519.pub"))
        text = text.replace("/home/me/project", str(project)).replace("{{ playbook_dir }}/project", str(project))
        return text.replace("/var/lib/cloudnative.artifacts/reconcile", str(folder / "state"))

    with booted_system(folder) as system:
        within = ansible.behind(system.inside, folder / "home")
        host = Host(within, folder, {}, system.inside)
        (folder / "source.yml").write_text(placed(next(block.text for block in guide if block.name)))
        own = {
            **{name: value for name, value in host.variables.items() if name != "reconcile_source"},
            "reconcile_unit_dir": "/etc/systemd/system",
            "reconcile_scheduler": "auto",
            "reconcile_start": True,
            "reconcile_interval": "10h",
            "reconcile_retry_interval": "1s",
            "reconcile_jitter": "0",
            "reconcile_environment": {"HOME": str(folder / "home")},
        }
        (folder / "own.json").write_text(json.dumps(own))
        words = ("cloudnative.artifacts.bootstrap", "-e", f"@{folder}/source.yml", "-e", f"@{folder}/own.json")
        done = within.playbook(*words)
        assert done.returncode == 0, done.stdout
        wait_for(lambda: host.conditions() == {"Ready": SUCCEEDED})
        assert host.out.read_text() == "one! a-secret-greeting"
        journal = system.run("journalctl", "--no-pager", "-t", "oci-reconcile-host").stdout
        assert "Normal NewArtifact: Pulled 1.4.2@" in journal and "TASK [Configure]" in journal
        assert "a-secret-greeting" not in journal
        units = [f"/etc/systemd/system/oci-reconcile-host.{kind}" for kind in ("service", "timer")]
        assert "oci-reconcile" not in system.run("systemd-analyze", "verify", "--man=no", *units).stderr
        # the next run is planned
        wait_for(lambda: re.search(r"\b[89]h ", system.run("systemctl", "list-timers", "--all").stdout) is not None)

        # the tasks of the guide: what the playbook has published is what they publish
        tasks = [
            task
            for block in guide
            if block.language == "yaml" and not block.name
            for task in yaml.safe_load(placed(block.text))
        ]
        results = within.tasks(
            [task for task in tasks if "hosts" not in task],
            module_defaults={PUSH: {"insecure": True}},
            vars={"ansible_python_interpreter": sys.executable},
        )
        assert not any(result.failed for result in results), results[-1]
        assert results[0]["reason"] == "ArtifactUpToDate" and results[1]["status"] == host.status()

        # what is asked for begins at once; one that fails is tried again
        publish(ansible, make_project(folder, "two"), f"{registry.host}/platform/hosts:1.5.0", signed=False)
        assert host.run("request", "host", "--token", "now").returncode == 0
        wait_for(lambda: host.status()["failures"] >= 2)
        assert host.status()["last_handled_reconcile_at"] == "now"
        assert host.conditions()["Ready"] == ("False", "VerificationError")

        # a run that is going on, and would not end, does not outlive the host's way back
        endless = make_project(folder, "three") / "site.yml"
        wait = f'    - ansible.builtin.wait_for: {{path: "{folder}/never", timeout: 86400}}\n  vars_files:'
        endless.write_text(endless.read_text().replace("  vars_files:", wait))
        publish(ansible, endless.parent, f"{registry.host}/platform/hosts:1.6.0")
        assert host.run("request", "host", "--token", "again").returncode == 0
        begun = Path(f"{host.out}.begun")
        wait_for(lambda: begun.read_text() == "begun three")
        done = within.playbook(*words, "-e", "reconcile_state=absent")
        assert done.returncode == 0 and not host.state.exists(), done.stdout
        assert not list(system.units.glob("oci-reconcile-*"))
        assert "oci-reconcile" not in system.run("systemctl", "list-timers", "--all").stdout
        assert system.run("systemctl", "is-active", "oci-reconcile-host.service").stdout in ("inactive\n", "failed\n")


def test_cron_runs_when_the_interval_is_over(ansible: AnsibleRunner, tmp_path: Path) -> None:
    """The command of cron in a loop, with a clock that goes a minute each time: one run in each interval."""
    ref = f"oci-layout:{tmp_path}/layout:stable"
    publish(ansible, make_project(tmp_path, "one"), ref)
    host = Host(ansible, tmp_path / "host", {"ref": ref, "verify": VERIFY})
    results = host.set_up(reconcile_scheduler="cron", reconcile_interval="4m", reconcile_jitter="2m")
    assert not any(result.failed for result in results), results[-1]
    line = (tmp_path / "host/cron/oci-reconcile-host").read_text().splitlines()[-1]
    words = re.fullmatch(r"\* \* \* \* \* root (.*) >/dev/null 2>&1", line)[1].split()
    clock = tmp_path / "host/sitecustomize.py"
    # the installed command is a script of sh that starts Python, which reads this first
    clock.write_text("import os, time\ntime.time = lambda: float(os.environ['CLOCK'])\n")
    command = host.command.read_text().replace("PYTHONPATH=", f"PYTHONPATH={clock.parent}:", 1)
    host.command.write_text(command)
    start = int(time.time())
    ran = []
    for minute in range(9):
        environment = {**host.environment(), "CLOCK": str(start + 60 * minute)}
        subprocess.run(words, check=True, env=environment, timeout=900)
        ran.append(sum(event["count"] for event in host.status()["events"]) - 1)
    changes = [minute for minute in range(1, 9) if ran[minute] != ran[minute - 1]]
    # at once, and then at this host's place in each interval
    assert ran[0] == 1 and ran[-1] == 3
    assert changes[1] - changes[0] == 4
