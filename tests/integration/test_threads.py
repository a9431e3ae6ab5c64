# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports in threads, on the Python of the target, from an archive as Ansible makes them of modules."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from support.ansible_runner import AnsibleRunner

SCRIPT = """\
import sys
sys.path.insert(0, sys.argv[1])
from threads import new_thread, thread_pool

def use(_number):
    from slow import late
    return late()

if sys.argv[2] == "pool":
    with thread_pool(8) as pool:
        print(sorted(pool.map(use, range(64))) == [1] * 64)
else:
    found = []
    threads = [new_thread(lambda: found.append(use(0))) for _each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(found == [1] * 8)
"""
SLOW = "import time\ntime.sleep(0.2)\nfrom other import one\ndef late():\n    return one\n"
OTHER = "import time\ntime.sleep(0.2)\none = 1\n"


@pytest.mark.once
@pytest.mark.parametrize("kind", ["pool", "threads"])
def test_imports_out_of_an_archive(ansible: AnsibleRunner, tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "payload.zip"
    with zipfile.ZipFile(archive, "w") as payload:
        payload.write(ansible.collection / "plugins/module_utils/_files/threads.py", "threads.py")
        payload.writestr("slow.py", SLOW)
        payload.writestr("other.py", OTHER)
    command = [ansible.target_python, "-c", SCRIPT, str(archive), kind]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr) == ("True\n", "")
