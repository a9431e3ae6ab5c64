# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Libraries that are bound before they are loaded."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._registry.deferred import deferred

SELDOM, USER = "deferred_test_seldom", "deferred_test_user"


@pytest.fixture(autouse=True)
def _libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / SELDOM
    package.mkdir()
    (package / "__init__.py").write_text(f"from {SELDOM}.inner import answer\n")
    (package / "inner.py").write_text("def answer():\n    return 42\n")
    (tmp_path / f"{USER}.py").write_text(f"import {SELDOM}\n\ndef ask():\n    return {SELDOM}.answer()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("deferred_test")]:
        del sys.modules[name]


def test_a_library_is_loaded_when_it_is_used_and_not_before() -> None:
    with deferred(SELDOM):
        user = importlib.import_module(USER)
    assert SELDOM not in sys.modules
    assert user.ask() == 42
    assert sys.modules[f"{SELDOM}.inner"].answer is sys.modules[SELDOM].answer


def test_others_get_the_real_one() -> None:
    with deferred(SELDOM):
        user = importlib.import_module(USER)
        real = importlib.import_module(SELDOM)
        assert real.answer() == 42  # what is used within is loaded within
    assert sys.modules[SELDOM].answer is importlib.import_module(f"{SELDOM}.inner").answer
    assert user.ask() == 42


def test_what_is_loaded_already_stays() -> None:
    real = importlib.import_module(SELDOM)
    with deferred(SELDOM):
        assert sys.modules[SELDOM] is real
    assert sys.modules[SELDOM] is real


def test_a_library_that_is_not_installed_is_missed_when_it_is_used() -> None:
    with deferred("deferred_test_absent"):
        absent = importlib.import_module("deferred_test_absent")
    with pytest.raises(ImportError, match="deferred_test_absent"):
        absent.validate()
    with pytest.raises(ImportError, match="deferred_test_absent"):
        importlib.import_module("deferred_test_absent")


def test_nothing_is_left_behind_when_an_import_fails() -> None:
    with pytest.raises(ImportError), deferred(SELDOM):
        importlib.import_module("deferred_test_absent")
    assert SELDOM not in sys.modules


def test_what_oras_does_with_its_libraries_works() -> None:
    """In a process of its own, where none of them is loaded."""
    package = "ansible_collections.cloudnative.artifacts.plugins.module_utils._registry"
    program = f"""
import sys
import {package}.client
assert not {{"jsonschema", "tarfile"}} & set(sys.modules), "loaded too early"
import oras.oci, oras.utils.fileio
layer = oras.oci.NewLayer({__file__!r}, media_type="text/plain")
oras.oci.jsonschema.validate(layer, schema=oras.schemas.layer)
assert "jsonschema.validators" in sys.modules
archive = oras.utils.fileio.make_targz({__file__!r})
assert oras.utils.fileio.tarfile.is_tarfile(archive) and "tarfile" in sys.modules
import os
os.unlink(archive)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
