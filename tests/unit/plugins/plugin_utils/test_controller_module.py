# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of a module that a plugin runs on the controller."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_module import (
    ModuleEnded,
    run_on_controller,
)


def module_of(main: Callable[[], None]) -> ModuleType:
    module = ModuleType("collection.example")
    module.main = main  # type: ignore[attr-defined]
    return module


def test_warnings_are_texts_in_every_release_of_ansible(tmp_path: Path) -> None:
    def main() -> None:
        module = AnsibleModule({"name": {"type": "str"}})
        module.warn("First.")
        module.exit_json(said=module.params["name"], warnings=["Second."])

    result = run_on_controller(module_of(main), {"name": "x"}, str(tmp_path))
    assert (result["said"], sorted(result["warnings"])) == ("x", ["First.", "Second."])
    assert "invocation" not in result


def test_a_module_that_ends_without_a_result_is_said_with_its_words(tmp_path: Path) -> None:
    def main() -> None:
        raise SystemExit("no memory left")

    with pytest.raises(ModuleEnded, match=r"example ended .* with code 1 and without a result: no memory left"):
        run_on_controller(module_of(main), {}, str(tmp_path))
