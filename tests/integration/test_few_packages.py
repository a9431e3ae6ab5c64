# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that have few Python packages, or none: what works there, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.few_packages import importable, make_python
from support.servers import RegistryServer

pytestmark = pytest.mark.once

PULL, PUSH, SIGN, VERIFY, INFO = (
    f"cloudnative.artifacts.oci_artifact_{verb}" for verb in ("pull", "push", "sign", "verify", "info")
)
KEYS = vectors.ROOT / "keys"
MODULES = (
    "requests",
    "urllib3",
    "cryptography",
    "nacl",
    "oras",
    "jsonschema",
    "yaml",
    "zstandard",
    "semver",
    "pathspec",
)
FILES = {
    "app.yaml": "a: 1\n",
    "docs/readme.md": "hello\n",
    "build/out.bin": "x",
    ".sourceignore": "build/\n!build/keep\n",
}


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(ansible: AnsibleRunner, python: str, *tasks: tuple[str, dict[str, Any]]) -> list[TaskResult]:
    listed = [
        {"name": f"{number} {module}", module: options, "ignore_errors": True}
        for number, (module, options) in enumerate(tasks)
    ]
    return ansible.tasks(listed, vars={"ansible_python_interpreter": python})


def test_a_host_without_packages_has_layouts(
    ansible: AnsibleRunner, registry: RegistryServer, content: Path, tmp_path: Path
) -> None:
    """Versions, ranges and ignore patterns work too; what needs a package names it."""
    python = make_python(tmp_path / "python", ansible.target_python)
    assert importable(python, *MODULES) == []
    layout, dest = f"oci-layout:{tmp_path}/layout", tmp_path / "dest"
    pull = (PULL, {"url": layout, "semver": ">=1.0 <2", "dest": str(dest)})
    results = run(
        ansible, python,
        (PUSH, {"ref": f"{layout}:1.2.0", "path": str(content)}),
        (PUSH, {"ref": f"{layout}:2.0.0", "path": str(content)}),
        (INFO, {"url": layout, "semver": "*"}),
        pull,
        pull,
        (PULL, {"ref": f"{registry.host}/few/packages:1", "insecure": True, "dest": str(tmp_path / "other")}),
        (VERIFY, {"ref": f"{layout}:1.2.0", "public_keys": [str(KEYS / "p384.pub")]}),
        (SIGN, {"ref": f"{layout}:1.2.0", "key": str(KEYS / "p384.raw.pem")}),
    )  # fmt: skip
    assert [result.failed for result in results] == [False] * 5 + [True] * 3, results
    assert [result.changed for result in results[:5]] == [True, True, False, True, False]
    assert contents(dest) == {name: text for name, text in FILES.items() if not name.startswith("build/")}
    assert results[3]["artifact"]["tag"] == "1.2.0"
    assert [result["reason"] for result in results[5:]] == ["MissingDependency"] * 3
    for result, package in zip(results[5:], ("requests>=2.25.1,<3", "cryptography>=41", "cryptography>=41")):
        assert "it is not installed here. Install it for the Python that runs the module" in result["msg"]
        assert f"pip install '{package}'" in result["msg"]


def test_requests_alone_speaks_to_registries(
    ansible: AnsibleRunner, registry: RegistryServer, content: Path, tmp_path: Path
) -> None:
    python = make_python(tmp_path / "python", ansible.target_python, "requests")
    assert importable(python, *MODULES) == ["requests", "urllib3"]
    there = {"url": f"oci://{registry.host}/few/requests", "insecure": True}
    pull = (PULL, {**there, "semver": "1.x", "dest": str(tmp_path / "dest")})
    results = run(
        ansible, python,
        (PUSH, {**there, "tag": "1.2.0", "path": str(content)}),
        (PUSH, {**there, "tag": "1.2.0", "path": str(content)}),
        (INFO, {**there, "semver": "*"}),
        pull,
        pull,
    )  # fmt: skip
    assert not any(result.failed for result in results), results
    assert [result.changed for result in results] == [True, False, False, True, False]
    assert contents(tmp_path / "dest") == {name: text for name, text in FILES.items() if not name.startswith("build/")}


def test_cryptography_signs_and_verifies(
    ansible: AnsibleRunner, registry: RegistryServer, content: Path, tmp_path: Path
) -> None:
    """All but a key that cosign encrypted, for which the package is named."""
    python = make_python(tmp_path / "python", ansible.target_python, "requests", "cryptography")
    assert importable(python, *MODULES) == ["requests", "urllib3", "cryptography"]
    there = {"ref": f"{registry.host}/few/signed:1.0.0", "insecure": True}
    verify = {"public_keys": [str(KEYS / "p384.pub")]}
    results = run(
        ansible, python,
        (PUSH, {**there, "path": str(content)}),
        (SIGN, {**there, "key": str(KEYS / "p384.raw.pem")}),
        (VERIFY, {**there, **verify}),
        (PULL, {**there, "dest": str(tmp_path / "dest"), "verify": verify}),
        (PULL, {**there, "dest": str(tmp_path / "no"), "verify": {"public_keys": [str(KEYS / "key-a.pub")]}}),
        (SIGN, {**there, "key": str(KEYS / "key-a.key"), "key_password": "vector-password"}),
    )  # fmt: skip
    assert [result.failed for result in results] == [False] * 4 + [True] * 2, results
    assert results[2]["verification"]["verified"] is True
    assert (tmp_path / "dest/app.yaml").exists() and not (tmp_path / "no").exists()
    assert [result["reason"] for result in results[4:]] == ["VerificationError", "MissingDependency"]
    assert "A signing key that cosign encrypted needs the Python package PyNaCl (" in results[5]["msg"]
    assert "pip install 'PyNaCl>=1.4,<2'" in results[5]["msg"]
