# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that the role reconcile has set up in a folder, and the project that it reconciles itself with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secret_search import SEARCH

from . import vectors
from .ansible_runner import AnsibleRunner, TaskResult

PUSH = "cloudnative.artifacts.oci_artifact_push"
ROLE = "cloudnative.artifacts.reconcile"
KEYS = vectors.ROOT / "keys"

# with a filter of the collection that is put into the project, and two steps, so that a kill may come in between
PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Begin
      ansible.builtin.copy: {content: "begun {{ version }}", dest: "{{ out }}.begun", mode: "0600"}
    - name: Configure
      ansible.builtin.copy: {content: "{{ version | acme.tools.loud }} {{ greeting }}", dest: "{{ out }}", mode: "0600"}
  vars_files: [version.yml]
"""
FILTER = "class FilterModule:\n    def filters(self):\n        return {'loud': lambda text: str(text) + '!'}\n"


class Host:
    """Everything that the role writes lies in ``folder``; nothing is started by itself."""

    def __init__(
        self, ansible: AnsibleRunner, folder: Path, source: dict[str, Any], before: Sequence[str] = ()
    ) -> None:
        """:param before: the words that each command begins with."""
        self._ansible = ansible
        self._before = before
        self.folder = folder
        self.out = folder / "configured"
        self.command = folder / "oci-reconcile"
        self.state = folder / "state/host"
        for name in ("units", "cron"):
            (folder / name).mkdir(parents=True)
        self.variables: dict[str, Any] = {
            "reconcile_source": source,
            "reconcile_extra_vars": {
                "out": str(self.out),
                "greeting": "a-secret-greeting",
                "ansible_python_interpreter": ansible.target_python,
            },
            "reconcile_ansible_playbook": str(Path(sys.executable).parent / "ansible-playbook"),
            "reconcile_command": str(self.command),
            "reconcile_config_dir": str(folder / "etc"),
            "reconcile_state_dir": str(folder / "state"),
            "reconcile_code_dir": str(folder / "opt"),
            "reconcile_unit_dir": str(folder / "units"),
            "reconcile_cron_dir": str(folder / "cron"),
            "reconcile_scheduler": "systemd",
            "reconcile_start": False,
        }

    def set_up(self, *, check: bool = False, **variables: Any) -> list[TaskResult]:
        """Run the role."""
        role = {"name": "set up", "ansible.builtin.include_role": {"name": ROLE}}
        return self._ansible.tasks([role], check=check, vars={**self.variables, **variables})

    def words(self, command: str, *arguments: str) -> list[str]:
        return [*self._before, str(self.command), "--config", str(self.folder / "etc"), command, *arguments]

    def environment(self) -> dict[str, str]:
        """What a service gets: neither a home of its own nor a locale."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = ("PATH", "XDG_CACHE_HOME")
        own = {"HOME": str(home), "OCI_ARTIFACT_INDEX": str(self.folder / "index")}
        return {**{name: os.environ[name] for name in kept if name in os.environ}, **own}

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command that the role has installed, as its unit does."""
        done = subprocess.run(
            self.words(command, *arguments),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=900,
        )
        SEARCH.capture(f"oci-reconcile {command}", done.stdout + done.stderr)
        return done

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.run("status", "host", "-o", "json").stdout)
        return status

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        return {each["type"]: (each["status"], each["reason"]) for each in self.status()["conditions"]}


def make_project(folder: Path, version: str) -> Path:
    """A project that requires a collection, which lies in it as an archive."""
    project = folder / "project"
    if not project.exists():
        source = folder / "acme"
        (source / "plugins/filter").mkdir(parents=True)
        (source / "plugins/filter/loud.py").write_text(FILTER)
        (source / "README.md").write_text("tools\n")
        facts = {"namespace": "acme", "name": "tools", "version": "1.0.0", "readme": "README.md", "authors": ["acme"]}
        (source / "galaxy.yml").write_text(json.dumps(facts))
        project.mkdir()
        build = [str(Path(sys.executable).parent / "ansible-galaxy"), "collection", "build", str(source)]
        subprocess.run([*build, "--output-path", str(project)], check=True, capture_output=True, cwd=folder)
        wanted = {"collections": [{"name": "./acme-tools-1.0.0.tar.gz", "type": "file"}]}
        (project / "requirements.yml").write_text(json.dumps(wanted))
        (project / "site.yml").write_text(PLAYBOOK)
        (project / ".vault_pass").write_text("never published\n")
    (project / "version.yml").write_text(json.dumps({"version": version}))
    return project


def publish(ansible: AnsibleRunner, project: Path, ref: str, *, signed: bool = True) -> TaskResult:
    """Push the project with its collections."""
    options: dict[str, Any] = {"path": str(project), "ref": ref, "type": "ansible", "vendor_collections": True}
    if signed:
        options["sign"] = {"key": str(KEYS / "ed25519.raw.pem")}
    # ansible-galaxy is beside the Python of the controller
    task = {"name": "publish", PUSH: {**options, "insecure": True, "force": True}}
    pushed = ansible.tasks([task], vars={"ansible_python_interpreter": sys.executable})[0]
    assert not pushed.failed, pushed
    return pushed
