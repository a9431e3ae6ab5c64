# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick start: it says what happens, leaves nothing behind, and fails when something is not as told."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ansible_runner import COLLECTION, AnsibleRunner
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PLAYBOOK = f"{COLLECTION}.quickstart"
TOLD = [
    "so the second push sent nothing",
    "Versions there are: 1.0.0.",
    "The range 1.x chose 1.0.0",
    "The second pull found nothing new",
    "-  replicas: 1\n+  replicas: 3\n",  # the diff is shown without --diff
    "The same task now chose 1.1.0.",
    "-greeting: changed by hand\n",
    "The file that was edited by hand is again what was published.",
    "tags of its kind are never moved",
    "Versions there are: 1.1.0, 1.0.0. 1.0.0 is what it was.",
    "is the chart, byte for byte",
    "Everything was as told.",
]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """The temporary directory of playbook and modules. Its path is short, since Ansible binds a socket in it."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        yield Path(folder)


def run(ansible: AnsibleRunner, scratch: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The playbook; whatever happens, its temporary directory is gone."""
    done = ansible.playbook(PLAYBOOK, *arguments, environment={"TMPDIR": str(scratch)})
    assert list(scratch.iterdir()) == []
    return done


def check_told(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    places = [done.stdout.find(text) for text in TOLD]
    assert -1 not in places, TOLD[places.index(-1)]
    assert places == sorted(places)
    assert "failed=0" in done.stdout
    assert "WARNING" not in done.stderr, done.stderr


def repositories(registry: RegistryServer) -> list[str]:
    with urllib.request.urlopen(f"{registry.url}/v2/_catalog?n=1000", timeout=10) as answer:
        return [name for name in json.load(answer)["repositories"] if name.startswith("sandbox/quickstart-")]


def test_with_a_layout(ansible: AnsibleRunner, scratch: Path) -> None:
    first = run(ansible, scratch)
    second = run(ansible, scratch)
    check_told(first)
    check_told(second)
    # the same content, the same digests
    digests = [set(re.findall("sha256:[0-9a-f]{64}", done.stdout)) for done in (first, second)]
    assert digests[0] == digests[1] and digests[0]


def test_with_a_registry(ansible: AnsibleRunner, registry: RegistryServer, scratch: Path) -> None:
    for count in (1, 2):
        # the host is on this machine, so plain HTTP is the default
        done = run(ansible, scratch, "-e", f"registry={registry.host}/sandbox")
        check_told(done)
        assert len(repositories(registry)) == 2 * count  # nothing collides with an earlier run


def test_plain_http_can_be_switched_off(ansible: AnsibleRunner, registry: RegistryServer, scratch: Path) -> None:
    done = run(ansible, scratch, "-e", f"registry={registry.host}", "-e", "insecure=false")
    assert done.returncode != 0
    assert '"reason": "TLSFailed"' in done.stdout
    assert "Everything was as told" not in done.stdout


def test_fails_when_something_is_not_as_told(ansible: AnsibleRunner, scratch: Path, tmp_path: Path) -> None:
    """The place where it publishes holds a version already."""
    (tmp_path / "file").write_text("other content\n")
    used = f"oci-layout:{tmp_path}/used"
    pushed = ansible.task(f"{COLLECTION}.oci_artifact_push", path=str(tmp_path / "file"), ref=f"{used}/app:1.0.5")
    assert pushed.changed
    done = run(ansible, scratch, "-e", f"quickstart_root={used}")
    assert done.returncode != 0
    assert "was expected in place after the first pull" in done.stdout
    assert "Everything was as told" not in done.stdout


def test_refuses_check_mode(ansible: AnsibleRunner, scratch: Path) -> None:
    done = run(ansible, scratch, "--check")
    assert done.returncode != 0
    assert "cannot run with --check" in done.stdout
