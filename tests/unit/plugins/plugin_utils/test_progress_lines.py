# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a module that runs in a child of the worker: shown while it runs, and only with ``-v``."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest
from ansible.utils.display import Display

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import progress
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.progress import transfers
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.progress_lines import show_line
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child


@pytest.mark.parametrize("verbosity", [0, 1])
def test_lines_are_shown_while_the_module_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verbosity: int
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(Display(), "verbosity", verbosity)
    reading, writing = os.pipe()

    def main() -> None:
        with transfers.of("r/a", "r/a:1", 2048) as moved:
            moved.add(1024)
            # goes on once the line was heard
            os.read(reading, 1)
        print('{"changed": true}')

    def hear(message: Any) -> None:
        show_line(message, "web1")
        if "progress" in message:
            os.write(writing, b"x")

    module = ModuleType("module")
    module.main = main  # type: ignore[attr-defined]
    code, out, _err = run_child(module, b"{}", {}, "/", hear)
    os.close(reading)
    os.close(writing)
    # nothing of it in the result
    assert (code, out) == (0, '{"changed": true}\n')
    shown = capfd.readouterr().out
    assert ("<web1> r/a:1: 1.0 KiB of 2.0 KiB, " in shown) == bool(verbosity)
    assert transfers.listeners == [], "the worker itself says nothing"
