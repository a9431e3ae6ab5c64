# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as processes of their own, without the Ansible around them: to run many at once, and to kill them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from support.ansible_runner import COLLECTION, AnsibleRunner


def start_module(ansible: AnsibleRunner, name: str, folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a module of the collection, by its full or short name, with the Python of the tests, which has Ansible."""
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".arguments.json", delete=False) as arguments:
        json.dump({"ANSIBLE_MODULE_ARGS": options}, arguments)
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"ansible_collections.{COLLECTION}.plugins.modules.{name.rpartition('.')[2]}",
            arguments.name,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ansible.collections)},
    )


def module_result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the module returned, once it has ended."""
    output, errors = process.communicate(timeout=600)
    assert "Traceback" not in errors + output, errors
    return dict(json.loads(output))
