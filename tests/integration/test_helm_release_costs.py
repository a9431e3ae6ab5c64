# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role takes for a release that is as it should be: tasks, processes, imports, requests, payloads; no times.

What exceeds a limit belongs behind an import of its own, or into a task that others do not wait for. Limits are raised
by reviewers alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.artifacts import Publisher
from support.helm import ROLE, RoleRunner, chart, publish_chart
from support.servers import RegistryServer

OWN = "ansible_collections.cloudnative.artifacts."
# the check of the role's arguments, two tasks for what may come before, and the one that does it
MAX_TASKS = 4
# a worker for each task, and the child that runs the module
MAX_FORKS = MAX_TASKS + 1
# in the child, once the classes of actions are loaded
MAX_IMPORTS, MAX_OWN_IMPORTS = 110, 17
HEAVY = {
    "kubernetes", "cryptography", "oauthlib", "websocket", "google", "jsonschema", "sigstore", "tarfile", "lzma", "bz2",
}  # fmt: skip

# read by each interpreter when it starts; forked processes keep what it has set up
HOOK = """\
import json, os, sys
file = os.open(os.environ["EVENTS_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def note(event, arguments):
    if event in ("import", "os.fork", "os.exec", "os.posix_spawn", "subprocess.Popen"):
        what = arguments[0] if arguments else ""
        os.write(file, (json.dumps([os.getpid(), event, str(what)]) + "\\n").encode())
sys.addaudithook(note)
"""


def play(role: RoleRunner, publisher: Publisher, namespace: str, **environment: str) -> Sequence[Any]:
    source = {"demo": {"ref": f"{publisher.name}:1.0.0", "insecure": True}}
    release = {"name": "one", "namespace": namespace, "source": "demo", "values": {"size": 1}}
    results = role.ansible.tasks(
        [{"name": "the role", "ansible.builtin.import_role": {"name": ROLE}}],
        vars={**role.variables(source, [release]), "ansible_python_interpreter": sys.executable},
        controller_environment=environment,
    )
    assert not results[-1].failed, results[-1].get("msg")
    return results


@pytest.mark.once
def test_a_release_that_is_as_it_should_be(
    role: RoleRunner, namespace: str, publisher: Publisher, registry: RegistryServer, tmp_path: Path
) -> None:
    publish_chart(publisher, "1.0.0", chart())
    assert play(role, publisher, namespace)[-1].changed

    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    events = tmp_path / "events"
    start = registry.mark()
    results = play(role, publisher, namespace, PYTHONPATH=str(tmp_path / "hook"), EVENTS_FILE=str(events))
    assert not results[-1].changed
    assert len(results) <= MAX_TASKS, [result.task for result in results]
    assert results[-1]["statistics"] == {"helm_processes": 0, "api_requests": 1}
    assert [request.method for request in registry.requests(start)] == ["HEAD"]

    noted = [json.loads(line) for line in events.read_text().splitlines()]
    forks = [process for process, event, _what in noted if event == "os.fork"]
    assert len(forks) <= MAX_FORKS
    # of what Ansible itself may start before it works on tasks, nothing counts
    started = [each for each in noted if each[1] not in ("import", "os.fork") and each[0] != noted[0][0]]
    assert started == [], "an interpreter or another program was started"
    (child,) = {process for process, _event, what in noted if what == "requests"}
    imports = {what for process, event, what in noted if process == child and event == "import"}
    assert {name.partition(".")[0] for name in imports} & HEAVY == set()
    assert len(imports) < MAX_IMPORTS, sorted(imports)
    assert len([name for name in imports if name.startswith(OWN)]) < MAX_OWN_IMPORTS, sorted(imports)

    # on a host that is not the controller: one payload
    remote = tmp_path / "remote"
    results = play(
        role, publisher, namespace,
        OCI_ARTIFACT_RUN_IN_WORKER="never", ANSIBLE_REMOTE_TEMP=str(remote), ANSIBLE_KEEP_REMOTE_FILES="1",
        ANSIBLE_PIPELINING="0",
    )  # fmt: skip
    assert not results[-1].changed
    sent = [path.name for path in remote.glob("*/*") if path.is_file()]
    assert len(sent) == 1 and "helm_releases" in sent[0], sent
