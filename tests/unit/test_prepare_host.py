# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role prepare_host: its table is that of the modules, and what it reads of package managers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.cloudnative.artifacts.plugins.module_utils._packages import PACKAGES

ROLE = Path(__file__).resolve().parents[2] / "roles/prepare_host"
# what the real programs print on Debian 12 and on a system of the RHEL family
APT = """\
python3-cryptography:
  Installed: (none)
  Candidate: 38.0.4-3+deb12u1
  Version table:
     38.0.4-3+deb12u1 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
"""
APT_NONE = "python3-cryptography:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
DNF = """\
Available Packages
Name         : python3-cryptography
Version      : 36.0.1
Release      : 4.el9
Architecture : x86_64
Summary      : PyCA's cryptography library
"""
DNF_BOTH = f"Installed Packages\n{DNF.partition(chr(10))[2].replace('36.0.1', '35.0.0')}\n{DNF}"


def load_look() -> Any:
    spec = importlib.util.spec_from_file_location("look", ROLE / "files/look.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOOK = load_look()


def document(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text("utf-8"))


def test_its_table_is_the_one_of_the_modules() -> None:
    assert document("vars/main.yml")["prepare_host_known"] == {
        package.name: {
            "requirement": package.requirement,
            "module": package.module,
            "minimum": package.minimum,
            "below": package.below,
            "apt": package.debian,
            "dnf": package.redhat,
        }
        for package in PACKAGES.values()
    }


def test_its_specification_says_its_packages_and_defaults() -> None:
    options = document("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert options["prepare_host_packages"]["choices"] == list(PACKAGES)
    assert {name: option["default"] for name, option in options.items()} == document("defaults/main.yml")
    assert all(f"`{name}`" in (ROLE / "README.md").read_text() for name in options)


@pytest.mark.parametrize(
    ("version", "does"),
    [
        ("38.0.4-3+deb12u1", True),
        ("1:36", True),
        ("35.0.0", False),
        ("3.4.8-1ubuntu2", False),
        ("", True),
        ("41", False),
    ],
)
def test_versions(version: str, does: bool) -> None:
    assert LOOK.does(version, {"minimum": "36", "below": "41"}) is does


@pytest.mark.parametrize(
    ("program", "answer", "packages"),
    [
        ("apt-cache", APT, ["python3-cryptography"]),
        ("apt-cache", APT.replace("38.0.4", "3.4.8"), []),
        ("apt-cache", APT_NONE, []),
        ("apt-cache", "", []),
        ("dnf", DNF, ["python3-cryptography"]),
        ("dnf", DNF_BOTH, ["python3-cryptography"]),
        ("dnf", "Error: No matching Packages to list\n", []),
    ],
)
def test_what_the_distribution_has(
    program: str, answer: str, packages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answer").write_text(answer)
    (tmp_path / program).write_text(f"#!/bin/sh\n/bin/cat {tmp_path}/answer\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(LOOK, "SYSTEM_PYTHONS", (sys.executable,))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    known = document("vars/main.yml")["prepare_host_known"]
    wanted = {"cryptography": {**known["cryptography"], "module": "no_such_module"}, "PyYAML": known["PyYAML"]}
    found = LOOK.look({"wanted": wanted, "candidates": True})
    manager = {"apt-cache": "apt", "dnf": "dnf"}[program]
    assert found == {"missing": ["cryptography"], "manager": manager, "is_system": True, "packages": packages}
    assert LOOK.look({"wanted": wanted, "candidates": False})["packages"] == []
    # one that the distribution does not have at all: then none of them is taken from it
    wanted["sigstore"] = {**known["sigstore"], "module": "no_such_module"}
    assert LOOK.look({"wanted": wanted, "candidates": True})["packages"] == []


def test_the_python_of_a_virtual_environment_is_not_the_systems() -> None:
    assert LOOK.look({"wanted": {}, "candidates": True})["is_system"] is False
