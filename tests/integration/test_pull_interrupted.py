# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oci_artifact_pull that is disturbed: by another run, by a kill, by a file system that refuses."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.artifacts import Blob, contents, digest_of, tgz
from support.hostile_registry import Answer, HostileRegistry, hostile_registry
from support.module_process import module_result, start_module

pytestmark = pytest.mark.once

PULL = "cloudnative.artifacts.oci_artifact_pull"
KILLS = 12


@pytest.fixture(scope="module")
def server() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        yield registry


def test_two_runs_into_one_dest_at_once(ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path) -> None:
    layer = Blob(tgz({"a": "a", "sub/": "", "sub/b": "b"}))
    server.artifact("twice", [layer])
    gate = threading.Event()
    server.blob("twice", digest_of(layer.data), Answer(layer.data, delay=gate))
    arguments = f"ref={server.host}/twice:1 dest={tmp_path}/deep/dest insecure=true"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(ansible.adhoc, "oci_artifact_pull", arguments) for _number in range(2)]
        try:
            # both have the manifest: one is at the blob, the other waits for its lock
            deadline = time.monotonic() + 600
            while server.count("twice", "manifests") < 4 and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.3)
        finally:
            gate.set()
        outputs = [run.result().stdout for run in runs]
    assert sorted("CHANGED" in output for output in outputs) == [False, True], outputs
    assert all("| SUCCESS" in output or "| CHANGED" in output for output in outputs)
    assert server.count("twice") == 1
    assert contents(tmp_path / "deep/dest") == {"a": "a", "sub/b": "b"}


def test_a_kill_at_any_moment_is_healed_by_the_next_run(
    ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path
) -> None:
    first = {f"old{number}": f"old {number}" for number in range(150)}
    both = {f"both{number}": f"{number}" for number in range(150)}
    changed = {name: content * 2 for name, content in both.items()}
    # directories come and go as a whole, single files one by one
    whole = {f"tree{number % 30}/{number % 7}/{number}": f"{number}" for number in range(300)}
    revisions = [{**first, **both}, {**changed, "old0/": "", "old0/in": "x", **whole}]
    for number, files in enumerate(revisions):
        server.artifact("killed", [Blob(tgz(files))], tag=str(number))
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "foreign").write_text("foreign")
    generator = random.Random(20261121)
    killed_while_placing = 0
    for turn in range(10 * KILLS):
        if turn >= KILLS and killed_while_placing:
            break
        wanted = revisions[turn % 2]
        options = {"ref": f"{server.host}/killed:{turn % 2}", "dest": str(dest), "insecure": True}
        process = start_module(ansible, PULL, tmp_path, **options)
        # one in three while the content is staged, the others while it is placed
        step, delay = ("content", 0.08) if turn % 3 == 0 else (".backup", 0.015)
        while not (dest / ".oci-artifact/stage" / step).exists() and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(generator.uniform(0, delay))
        process.kill()
        process.communicate()
        state = dest / ".oci-artifact/state"
        killed_while_placing += state.exists() and bool(json.loads(state.read_text())["pending"])
        result = module_result(start_module(ansible, PULL, tmp_path, **options))
        assert not result.get("failed"), result
        files = {name: content for name, content in wanted.items() if not name.endswith("/")}
        assert contents(dest) == {**files, "foreign": "foreign"}, turn
        assert sorted(os.listdir(dest / ".oci-artifact")) == ["lock", "state"]
    assert not module_result(start_module(ansible, PULL, tmp_path, **options))["changed"]
    assert killed_while_placing, "no kill came while files were being placed"


def test_a_file_system_that_refuses(ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path) -> None:
    server.artifact("small", [Blob(tgz({"a": "a", "b": "b"}))])
    server.artifact("large", [Blob(tgz({"a": "new", "c": "c", "random": os.urandom(3_000_000)}))])
    # a limit on the size of files stands for a full disk: it works for every user
    limited = tmp_path / "limited-python"
    limited.write_text(f'#!/bin/sh\nulimit -f 4000\nexec "{ansible.target_python}" "$@"\n')
    limited.chmod(0o755)
    dest = tmp_path / "dest"
    read_only = Path("/sys/oci-artifact-test")
    if os.geteuid() != 0:
        (tmp_path / "read-only").mkdir(mode=0o555)
        read_only = tmp_path / "read-only/dest"

    def task(name: str, where: Path, **more: Any) -> dict[str, Any]:
        options = {"insecure": True, "ref": f"{server.host}/{name}:1", "dest": str(where)}
        return {PULL: options, "ignore_errors": True, **more}

    limit = {"vars": {"ansible_python_interpreter": str(limited)}}
    small, large, fresh, refused, below = ansible.tasks(
        [
            task("small", dest),
            task("large", dest, **limit),
            task("large", tmp_path / "new/dest", **limit),
            task("small", read_only),
            task("small", dest / "a/below"),
        ]
    )
    assert small.changed
    for result, words in ((large, "File too large"), (fresh, "File too large"), (refused, str(read_only))):
        assert result.failed and result["reason"] == "StorageOperationFailed", result
        assert words in result["msg"] and "Traceback" not in result.stdout + result.stderr
    assert below.failed and below["reason"] == "StorageOperationFailed" and "ot a directory" in below["msg"]
    assert contents(dest) == {"a": "a", "b": "b"}
    assert sorted(os.listdir(dest / ".oci-artifact")) == ["lock", "state"]
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_full_file_system(ansible: AnsibleRunner, server: HostileRegistry, tmp_path: Path) -> None:
    server.artifact("fits", [Blob(tgz({"a": os.urandom(300_000)}))])
    server.artifact("does-not", [Blob(tgz({"a": os.urandom(900_000), "b": "b"}))])
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        options = {"insecure": True, "dest": str(mount / "dest")}
        refs = [f"{server.host}/{name}:1" for name in ("fits", "does-not")]
        tasks = [{PULL: {**options, "ref": ref}, "ignore_errors": True} for ref in refs]
        first, second = ansible.tasks(tasks)
        before = contents(mount / "dest")
        third = ansible.tasks(tasks[:1])[0]
    finally:
        subprocess.run(["umount", mount], check=True)
    assert first.changed and not third.changed and len(before["a"]) > 1000
    assert second.failed and second["reason"] == "StorageOperationFailed" and "No space left on device" in second["msg"]
    assert list(before) == ["a"]
