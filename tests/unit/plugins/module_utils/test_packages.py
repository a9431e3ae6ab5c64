# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that are used: what is said where one is missing, too old or too new."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._packages import (
    KEYLESS_CRYPTOGRAPHY,
    PACKAGES,
    Package,
    find,
    require,
    require_cryptography,
)

ROOT = Path(__file__).resolve().parents[4]
# what the requirements files leave to whoever wants it
OPTIONAL = {"sigstore", "botocore", "backports.zstd", "cel-python", "isal", "zlib-ng"}


def installed(monkeypatch: pytest.MonkeyPatch, module: str, version: str | None) -> ModuleType:
    """Put another version of a package in place of the one that is there."""
    fake = ModuleType(module)
    if version is not None:
        fake.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, module, fake)
    return fake


@pytest.mark.parametrize("name", PACKAGES)
def test_one_that_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = PACKAGES[name]
    monkeypatch.setitem(sys.modules, package.module, None)
    with pytest.raises(MissingDependency) as caught:
        require(name, "Doing this", hint="Or do without.")
    assert caught.value.reason == "MissingDependency"
    assert caught.value.message == (
        f"Doing this needs the Python package {name} ({package.wanted}), which is not installed for {sys.executable}."
    )
    assert_ways_out(caught.value.hint, package)
    assert caught.value.hint.startswith("Or do without. Do one of these: (1) ")
    assert find(name) is None


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("cryptography", "3.4.8"),
        ("cryptography", "35.0.0"),
        ("requests", "2.6.0"),
        ("requests", "3.0.0a1"),
        ("sigstore", "3.6.1"),
        ("sigstore", "5.0"),
        ("PyNaCl", "1.3.0"),
        ("PyYAML", "5.3.1"),
        ("isal", "1.4"),
    ],
)
def test_one_that_cannot_be_used(name: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, PACKAGES[name].module, version)
    with pytest.raises(MissingDependency) as caught:
        require(name, "Doing this")
    found = f"({PACKAGES[name].wanted}), which is installed in version {version} for {sys.executable}."
    assert found in caught.value.message
    assert_ways_out(caught.value.hint, PACKAGES[name])
    assert find(name) is None


def assert_ways_out(hint: str, package: Package) -> None:
    """The three ways: the distribution, where it has the package, a virtual environment, and the controller."""
    distribution = f"the distribution's package ({package.debian}" if package.debian else "(1) make a virtual"
    environment = f"pip install '{package.requirement}' in it, and point 'ansible_python_interpreter' to its Python"
    for words in (distribution, environment, "'delegate_to: localhost'", "cloudnative.artifacts.prepare_host"):
        assert words in hint


def test_one_that_is_too_old_for_a_part_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = installed(monkeypatch, "cryptography", "36.0.1")
    assert require_cryptography("Verifying signatures") is fake
    with pytest.raises(MissingDependency, match=r"\(38 or newer\), which is installed in version 36.0.1"):
        require_cryptography("Keyless verification", KEYLESS_CRYPTOGRAPHY)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("cryptography", "36.0.1"),
        ("cryptography", "38.0.4"),
        ("cryptography", "41"),
        ("cryptography", "142.0.1.dev3"),
        ("requests", "2.25.1"),
        ("requests", "2.100.0"),
        ("sigstore", "4.0rc1"),
        ("sigstore", "4.99.99"),
        ("PySocks", "1.7.1"),
        # what says nothing of its version is not refused for it
        ("cryptography", None),
        ("cryptography", "unknown"),
    ],
)
def test_one_that_can_be_used(name: str, version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = installed(monkeypatch, PACKAGES[name].module, version)
    assert require(name, "Doing this") is fake
    assert find(name) is fake


def test_a_module_inside_a_package() -> None:
    assert require("cryptography", "Doing this", "exceptions").InvalidSignature is not None
    assert find("cryptography", "no_such_module") is None
    assert require_cryptography("Doing this").__name__ == "cryptography"


def test_versions_in_words() -> None:
    assert Package("a", "a", "4", "5").wanted == "4 or newer, before 5"
    assert Package("a", "a", "4", "5").requirement == "a>=4,<5"
    assert (Package("a", "a", "41").wanted, Package("a", "a", "41").requirement) == ("41 or newer", "a>=41")


@pytest.mark.parametrize("file", ["requirements.txt", "meta/ee-requirements.txt"])
def test_the_requirements_files_say_the_same(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(each.requirement for each in PACKAGES.values() if each.name not in OPTIONAL)


def test_the_readme_says_the_same() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"`([\w.-]+[<>=][^`]+)`", text)) - {"ansible-core>=2.17"}
    brought = {"backports.zstd"}
    assert named == {each.requirement for each in PACKAGES.values() if each.name not in brought}


def test_the_documentation_of_the_modules_says_the_same() -> None:
    files = [path for folder in ("modules", "doc_fragments") for path in (ROOT / "plugins" / folder).glob("*.py")]
    found = 0
    for file in files:
        for section in re.findall(r"^requirements:\n((?:  .*\n)+)", file.read_text("utf-8"), re.MULTILINE):
            for name in re.findall(r"[\w.-]+", section):
                if name in PACKAGES:
                    found += 1
                    assert f"{name} >= {PACKAGES[name].minimum}" in section, f"{file.name}: {name}"
    assert found >= 12


def test_the_table_itself_imports_nothing() -> None:
    code = (
        "import sys\n"
        "from ansible_collections.cloudnative.artifacts.plugins.module_utils import _packages\n"
        "names = {each.module for each in _packages.PACKAGES.values()} | {'importlib.metadata', 'packaging'}\n"
        "print(sorted(names & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "[]\n"
