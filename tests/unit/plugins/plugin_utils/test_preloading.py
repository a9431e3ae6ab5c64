# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one task needed is there before the next one is forked; nothing is imported before it was needed once."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import preloading
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import OWN, BeforeFork, needed

COLLECTION = Path(__file__).resolve().parents[4]


class Action:
    BYPASS_HOST_LOOP = BeforeFork()


@pytest.fixture(autouse=True)
def _note_of_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(BeforeFork, "_note", preloading._Note())
    monkeypatch.setattr(BeforeFork, "_wanted", set())
    sys.modules.pop(f"{OWN}_cloud.jwt", None)
    yield


def in_child(names: list[str]) -> None:
    child = os.fork()
    if child == 0:
        BeforeFork.heard({"imported": names})
        os._exit(0 if Action.BYPASS_HOST_LOOP is False and f"{OWN}_cloud.jwt" not in sys.modules else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_strategy_reads_false_and_the_next_task_finds_what_the_last_one_needed() -> None:
    assert Action.BYPASS_HOST_LOOP is False
    assert f"{OWN}_cloud.jwt" not in sys.modules
    in_child(["_cloud.jwt"])
    assert Action().BYPASS_HOST_LOOP is False  # an object is what a worker has
    assert f"{OWN}_cloud.jwt" not in sys.modules
    assert Action.BYPASS_HOST_LOOP is False
    assert f"{OWN}_cloud.jwt" in sys.modules
    assert gc.isenabled()


def test_the_next_item_of_a_loop_finds_it_as_well() -> None:
    BeforeFork.heard({"imported": ["_cloud.jwt"]})
    BeforeFork.prepare()
    assert f"{OWN}_cloud.jwt" in sys.modules


def test_what_runs_on_the_controller_is_found_as_well() -> None:
    name = "ansible_collections.cloudnative.artifacts.plugins.plugin_utils.unchanged_diff"
    sys.modules.pop(name, None)
    before = frozenset(sys.modules)
    importlib.import_module(name)
    names = needed(before)
    assert "plugin_utils.unchanged_diff" in names and all(each.startswith(("_", "plugin_utils.")) for each in names)
    sys.modules.pop(name)
    BeforeFork.heard({"imported": names})
    BeforeFork.prepare()
    assert name in sys.modules


def test_nothing_else_is_imported_and_nothing_fails() -> None:
    in_child(["no.such.module", "..os", "", "_errors; import x", "ü"])
    assert Action.BYPASS_HOST_LOOP is False
    # more than fits at once is not told; a pipe that nobody reads is no reason to wait
    in_child(["x" * 5000])
    for _each in range(40):
        in_child(["y" * 4000])
    assert Action.BYPASS_HOST_LOOP is False
    BeforeFork.heard({"progress": 1})
    BeforeFork.heard({"imported": None})


def test_what_a_class_imports_asks_no_registry() -> None:
    """It is paid for by every run, so the HTTP libraries, archives and signatures are not part of it."""
    program = (
        "import sys, importlib\n"
        "import ansible.plugins.action.normal, ansible.plugins.loader, ansible.cli\n"
        "before = set(sys.modules)\n"
        f"importlib.import_module({OWN!r}[:-len('module_utils.')] + 'action.oci_artifact_pull')\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    root = COLLECTION.parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    loaded = done.stdout.split()
    assert f"{OWN}_ops.pull.decide" in loaded
    heavy = {"requests", "urllib3", "cryptography", "tarfile", "kubernetes", "sigstore"}
    assert {name.partition(".")[0] for name in loaded} & heavy == set()
    rooms = ("_http", "_registry", "_trust", "_cloud", "_archive.unpack", "_layout", "_helm")
    assert [name for name in loaded if name.startswith(tuple(OWN + room for room in rooms))] == []
