# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as Ansible runs them on a host: the file that it copies there, started again and again.

Ansible itself writes each file (one ad hoc task, ``ANSIBLE_KEEP_REMOTE_FILES``), so that it is the real one, with the
arguments in it; what is measured is the process that runs it on the host, and nothing of the controller.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

COLLECTION = "cloudnative.artifacts"


class Carried(NamedTuple):
    """What Ansible copies to a host for a task: files in its archive, and bytes."""

    files: int
    bytes: int

    def times(self, other: Carried) -> str:
        """Return the ratios to another one, as a table shows them."""
        return f"{self.files / other.files:.2f} x the files, {self.bytes / other.bytes:.2f} x the bytes"


def carried(command: list[str]) -> Carried:
    """What is carried by a command of :meth:`Ansible.payload`."""
    content = Path(command[-1]).read_bytes()
    archive = max(re.findall(rb"[A-Za-z0-9+/=\n]{4096,}", content), key=len)
    return Carried(len(zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))).infolist()), len(content))


class Ansible:
    """Ansible commands on localhost, with the collection in ``tree``."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._folder = folder
        self._payloads = 0
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "OCI_ARTIFACT_"))}
        self.environment = {
            **kept,
            "HOME": str(folder),
            # Ansible takes the home for this one from the user database
            "ANSIBLE_REMOTE_TMP": str(folder / ".ansible/tmp"),
            "ANSIBLE_COLLECTIONS_PATH": str(tree),
            # what is placed here is nothing that this machine has to know of
            "OCI_ARTIFACT_INDEX": str(folder / "index"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).resolve().parent / "connection_plugins"),
            "LC_ALL": "C.UTF-8",
        }
        self.playbook_command = str(Path(sys.executable).parent / "ansible-playbook")

    def payload(
        self, module: str, options: Mapping[str, Any], *, unchanged: bool = False, first: bool = False
    ) -> list[str]:
        """The command that a host runs for a task.

        A pull that has something to do takes two processes on the first host of its task, and one on those that come
        after it; see the guide to speed. ``dest`` is not there before, unless the pull is to be unchanged.

        :param unchanged: the task is run twice, and the command is the one that a host runs when nothing is to be done.
        :param first: the command is the one of the first host of the task, and not of those after it.
        :raises RuntimeError: when the task fails.
        """
        if unchanged:
            self._run(module, options, ["localhost"])
        elif options.get("dest") and module.endswith("_pull"):
            return self._pull(module, options, first)
        (step,) = self._run(module, options, ["localhost"])
        return [sys.executable, str(step)]

    def _pull(self, module: str, options: Mapping[str, Any], first: bool) -> list[str]:
        """The command of a pull that has something to do: each of two hosts pulls to a directory of its own."""
        dest = str(options["dest"])
        folder, end = dest.rstrip("/"), "/" if dest.endswith("/") else ""
        measured, other = ("first", "second") if first else ("second", "first")
        for path in (folder, f"{folder}.{other}"):
            shutil.rmtree(path, ignore_errors=True)
        place = f"{folder}{{{{ '.{other}' if inventory_hostname == '{other}' else '' }}}}{end}"
        steps = self._run(module, {**options, "dest": place}, ["first", "second"])
        shutil.rmtree(f"{folder}.{other}")
        if not first:
            return [sys.executable, str(steps[1])]
        # Ansible has put the second step in the place of the first, which is that of a pull that has nothing to do
        (small,) = self._run(module, options, ["first"])
        return ["/bin/sh", "-c", 'for step; do "$0" "$step" || exit; done', sys.executable, str(small), str(steps[0])]

    def _run(self, module: str, options: Mapping[str, Any], hosts: Sequence[str]) -> list[Path]:
        """Run a task on hosts, one after the other; return the file that each of them started last."""
        self._payloads += 1
        remote = self._folder / f"payload{self._payloads}"
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible"), "all", "-i", ",".join([*hosts, ""]), "-f", "1",
                "-c", "local", "-m", module, *(["-a", json.dumps(dict(options))] if options else []),
            ],
            check=False, capture_output=True, text=True, cwd=self._folder,
            env={
                **self.environment,
                "ANSIBLE_KEEP_REMOTE_FILES": "1",
                "ANSIBLE_PIPELINING": "0",
                "ANSIBLE_REMOTE_TMP": str(remote),
            },
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{module} failed\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
        name = f"AnsiballZ_{module.rpartition('.')[2]}.py"
        return sorted(remote.glob(f"*/{name}"), key=lambda path: path.stat().st_mtime_ns)

    def ping(self) -> list[str]:
        """A task that does nothing."""
        return self.payload("ansible.builtin.ping", {})

    def playbook(
        self, name: str, tasks: Sequence[Mapping[str, Any]], connection: str = "local", hosts: int = 1
    ) -> list[str]:
        """The command that runs a playbook of these tasks, on one host or several, over a connection of this machine.

        Beside ``local`` there is ``other_host``, for which a task is as for a remote host: see connection_plugins.
        """
        self._payloads += 1
        path = self._folder / f"{self._payloads}-{name}.yml"
        names = [f"remote{number}" for number in range(hosts)]
        inventory = ["-i", ",".join([*names, ""])] if connection != "local" else []
        play = {"hosts": "all" if inventory else "localhost", "gather_facts": False, "tasks": list(tasks)}
        path.write_text(json.dumps([play]))  # JSON is YAML
        return [self.playbook_command, *inventory, "-c", connection, str(path)]
