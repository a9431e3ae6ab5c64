# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration whose ansible-playbook is a script that does what the test says, so that runs take no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.status import observed_status

# a pull copies what the test has as its result, a play what the project holds, step by step
PROGRAM = """\
#!/bin/sh
umask 077
here={folder}
for last in "$@"; do :; done
printf '%s\\n' "$@" >> "$here/arguments"
env > "$here/environment"
[ -e "$here/slow" ] && sleep 0.05
if [ "${{last##*/}}" = pull.yml ]; then
    cp "$last" "$here/pull.yml"
    [ -e "$here/hang_in_pull" ] && sleep 600
    mkdir -p "$here/state/project"
    cp "$here/version" "$here/new" && mv "$here/new" "$here/state/project/site.yml"
    cp "$here/result" "$here/state/pulled.json"
    exit 0
fi
case "$*" in *--syntax-check*) [ -e "$here/hang_in_check" ] && exec sleep 3600; pwd > "$here/checked"; exit 0;; esac
echo begun > "$here/configured"
[ -e "$here/slow" ] && sleep 0.05
echo "TASK [Configure] ****"
[ -e "$here/hang" ] && sleep 600
[ -e "$here/broken" ] && {{ echo 'fatal: [localhost]: FAILED! => a-secret'; exit 2; }}
cp "$last" "$here/configured"
"""


class Room:
    """A host in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.dest = str(self.state / "project")
        self.program = folder / "ansible-playbook"
        self.program.write_text(PROGRAM.format(folder=folder))
        self.program.chmod(0o755)
        (folder / "etc").mkdir()
        self.configure()
        self.offer("one")

    def configure(self, **fields: Any) -> None:
        document = {
            "state": str(self.state),
            "source": {"ref": "registry.example.com/hosts:stable", "password": "a-pass{{word"},
            "playbook": "site.yml",
            "ansible_playbook": str(self.program),
            "python": "",
            "interval": "10m",
            "jitter": "0",
            "timeout": "1h",
            "extra_vars": {"token": "a-secret"},
            **fields,
        }
        (self.folder / "etc/host.json").write_text(json.dumps(document))

    def offer(self, version: str, **result: Any) -> None:
        """What the next pull finds."""
        (self.folder / "version").write_text(version)
        artifact = {"url": "oci://registry.example.com/hosts", "revision": f"stable@{version}"}
        found = {"changed": True, "reason": "NewRevision", "artifact": artifact, "warnings": [], **result}
        (self.folder / "result").write_text(json.dumps(found))

    def words(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", COMMAND, "--config", str(self.folder / "etc"), *arguments]

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            **more,
        )

    def run(self, *arguments: str) -> int:
        from ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.command import main

        return main(["--config", str(self.folder / "etc"), *(arguments or ("run", "host"))])

    def status(self) -> dict[str, Any]:
        return observed_status(self.dest)

    def conditions(self) -> dict[str, tuple[str, str]]:
        return {each["type"]: (each["status"], each["reason"]) for each in self.status()["conditions"]}

    def configured(self) -> str:
        return (self.folder / "configured").read_text()

    def put(self, name: str) -> Path:
        path = self.folder / name
        path.touch()
        return path


COMMAND = "ansible_collections.cloudnative.artifacts.plugins.module_utils._reconcile.command"


def environment() -> Mapping[str, str]:
    """What a unit of systemd has, and the way to the code."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "JOURNAL_STREAM": "1:1"}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    return Room(tmp_path)
