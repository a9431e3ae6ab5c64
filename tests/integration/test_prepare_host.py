# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role prepare_host on a Python that is not the system's: check mode, a virtual environment, and nothing to do.

Its packages come from a folder; what the distribution's package manager says is in tests/unit/test_prepare_host.py.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.ansible_runner import AnsibleRunner
from support.few_packages import importable, make_python

pytestmark = pytest.mark.once

ROLE = "cloudnative.artifacts.prepare_host"


def write_wheel(folder: Path) -> None:
    """PySocks as pip installs it, with nothing but its version in it."""
    info = "PySocks-1.7.1.dist-info"
    files = {
        "socks.py": b'__version__ = "1.7.1"\n',
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: PySocks\nVersion: 1.7.1\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    with zipfile.ZipFile(folder / "PySocks-1.7.1-py3-none-any.whl", "w") as wheel:
        for name, content in {**files, f"{info}/RECORD": "\n".join([*lines, f"{info}/RECORD,,"]).encode()}.items():
            wheel.writestr(name, content)


def test_a_virtual_environment(ansible: AnsibleRunner, tmp_path: Path) -> None:
    python, venv = make_python(tmp_path / "bare", ansible.target_python), tmp_path / "opt/venv"
    write_wheel(tmp_path)
    variables: dict[str, Any] = {
        "prepare_host_packages": ["PySocks"],
        "prepare_host_venv": str(venv),
        "prepare_host_pip_arguments": ["--no-index", "--find-links", str(tmp_path)],
        "ansible_python_interpreter": python,
    }
    role = {"ansible.builtin.include_role": {"name": ROLE}}
    ask = {
        "name": "ask",
        "ansible.builtin.debug": {"msg": "{{ prepare_host_python }} {{ ansible_python_interpreter }}"},
    }

    foreseen = ansible.tasks([role, ask], check=True, vars=variables)
    assert [result["msg"] for result in foreseen if result.changed] == [
        f"{python} lacks PySocks: would install a virtual environment in {venv}, as far as the package lists of the "
        "host say."
    ]
    assert not any(result.failed for result in foreseen) and not venv.parent.exists()
    assert foreseen[-1]["msg"].split() == [python, python]

    done = ansible.tasks([role, ask, role, ask], vars=variables)
    assert not any(result.failed for result in done), done
    between = next(number for number, result in enumerate(done) if result.task == "ask")
    assert [result.task for result in done[:between] if result.changed] == [
        f"{ROLE} : {task}" for task in ("Make the virtual environment", "Install packages into it")
    ]
    assert [result.task for result in done[between:] if result.changed] == []
    own = str(venv / "bin/python")
    assert done[between]["msg"].split() == done[-1]["msg"].split() == [own, own]
    assert importable(own, "socks") == ["socks"]
