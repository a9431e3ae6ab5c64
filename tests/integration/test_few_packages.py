# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that have few Python packages, or none: what works there, and what is said of the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import vectors
from support.ansible_runner import AnsibleRunner, TaskResult
from support.artifacts import contents
from support.few_packages import importable, make_python
from support.servers import RegistryServer
from support.tools import Tools

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
    for result, package in zip(results[5:], ("requests>=2.25.1,<3", "cryptography>=36", "cryptography>=36")):
        assert f"which is not installed for {python}. Do one of these: (1) " in result["msg"]
        assert "'ansible_python_interpreter'" in result["msg"] and "'delegate_to: localhost'" in result["msg"]
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


def test_a_plain_debian_12(
    ansible: AnsibleRunner,
    registry: RegistryServer,
    tools: Tools,
    debian_python: str,
    content: Path,
    tmp_path: Path,
) -> None:
    """With its python3-requests and python3-cryptography alone it pulls, pushes, signs and verifies, as cosign and oras
    do; a key that cosign encrypted names the package for it."""
    assert importable(debian_python, *MODULES) == ["requests", "urllib3", "cryptography"]
    code = "import cryptography as c, requests as r, urllib3 as u; print(c.__version__, r.__version__, u.__version__)"
    said = subprocess.run([debian_python, "-c", code], check=True, capture_output=True, text=True, timeout=900)
    assert said.stdout.split() == ["38.0.4", "2.28.1", "1.26.12"]
    name, theirs = f"{registry.host}/debian/config", f"{registry.host}/debian/theirs"
    there, verify = {"insecure": True}, {"public_keys": [str(KEYS / "key-a.pub")]}
    (tmp_path / "theirs.txt").write_text("pushed by oras\n")
    tools.run("oras", "push", "--plain-http", f"{theirs}:1.0.0", "theirs.txt:text/plain", cwd=tmp_path)
    cosign = ("--key", KEYS / "key-a.key", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry")
    tools.run("cosign", "sign", *cosign, "--yes", f"{theirs}:1.0.0", env={"COSIGN_PASSWORD": "vector-password"})
    rows = {row["name"]: row for row in vectors.rows()}
    certified = [
        {"ref": f"oci-layout:{vectors.ROOT}/{row['path']}:{row['ref']}", **vectors.options(row)}
        for row in (rows["chart-keyless-bundle-cosign31-email/id"], rows["chart-notation-jws/strict"])
    ]
    pull = {**there, "url": f"oci://{name}", "semver": "1.x", "dest": str(tmp_path / "dest"), "mode": "u=rwX,g=rX,o="}
    copied = {"layers": "all", "layer_selector": {"operation": "copy"}}
    results = run(
        ansible, debian_python,
        (PUSH, {**there, "ref": f"{name}:1.0.0", "path": str(content), "sign": {"key": str(KEYS / "rsa2048.raw.pem")}}),
        (PUSH, {**there, "ref": f"{name}:1.0.0", "path": str(content), "sign": {"key": str(KEYS / "rsa2048.raw.pem")}}),
        (PULL, {**pull, "verify": {"public_keys": [str(KEYS / "rsa2048.pub")]}}),
        (PULL, {**pull, "verify": {"public_keys": [str(KEYS / "rsa2048.pub")]}}),
        (VERIFY, {**there, "ref": f"{theirs}:1.0.0", **verify}),
        (PULL, {**there, "ref": f"{theirs}:1.0.0", "dest": str(tmp_path / "theirs"), **copied, "verify": verify}),
        *((VERIFY, each) for each in certified),
        (PULL, {**pull, "dest": str(tmp_path / "no"), "verify": verify}),
        (SIGN, {**there, "ref": f"{name}:1.0.0", "key": str(KEYS / "key-a.key"), "key_password": "vector-password"}),
    )  # fmt: skip
    assert [result.failed for result in results] == [False] * 8 + [True] * 2, results
    assert [result.changed for result in results[:8]] == [True, False, True, False, False, True, False, False]
    assert [results[number]["verification"]["verified"] for number in (2, 4, 5, 6, 7)] == [True] * 5
    assert contents(tmp_path / "theirs") == {"theirs.txt": "pushed by oras\n"}
    assert (tmp_path / "dest/app.yaml").exists() and not (tmp_path / "no").exists()
    assert [result["reason"] for result in results[8:]] == ["VerificationError", "MissingDependency"]
    assert "A signing key that cosign encrypted needs the Python package PyNaCl (" in results[9]["msg"]
    assert "pip install 'PyNaCl>=1.4,<2'" in results[9]["msg"] and debian_python in results[9]["msg"]
    shown = tools.run("oras", "manifest", "fetch", "--plain-http", "--descriptor", f"{name}:1.0.0").stdout
    assert results[0]["artifact"]["digest"] in shown
    key = ("--key", KEYS / "rsa2048.pub", "--insecure-ignore-tlog", "--allow-http-registry")
    tools.run("cosign", "verify", *key, f"{name}:1.0.0")
