# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of this collection on the controller, for a plugin that needs its answer there.

Options are checked, secrets hidden and errors reported by the module itself, as for a task of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import encoded_arguments
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child

# characters of what a module wrote that a message repeats
_SHOWN = 2000


class ModuleEnded(OciError):
    """A module that ended without a result."""


def run_on_controller(
    module: ModuleType,
    options: Mapping[str, Any],
    folder: str,
    *,
    check_mode: bool = False,
    diff: bool = False,
    hear: Callable[[Mapping[str, Any]], None] = lambda message: None,
) -> dict[str, Any]:
    """Run a module in a child of this process; return its result, which may be a failure. Its warnings are texts.

    :param options: as a task gives them, with what Ansible attaches to values.
    :param folder: the working directory, which relative paths in options start from.
    :param hear: is called with what the module says while it runs, as the names of what it imported.
    :raises OciError: when the module ends without a result.
    """
    name = module.__name__.rpartition(".")[2]
    internal = {
        "_ansible_check_mode": check_mode,
        "_ansible_diff": diff,
        "_ansible_module_name": f"cloudnative.artifacts.{name}",
        # what is asked for is in the log of the task that asks
        "_ansible_no_log": False,
        "_ansible_debug": False,
    }
    code, out, err = run_child(module, encoded_arguments({**options, **internal}), {}, folder, hear)
    for line in out.splitlines():
        if line.startswith("{"):
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if isinstance(result, dict):
                result.pop("invocation", None)
                if "warnings" in result:
                    result["warnings"] = [_text(warning) for warning in result["warnings"]]
                return result
    words = f"{out}\n{err}".strip()[-_SHOWN:]
    raise ModuleEnded(f"The module {name} ended on the controller with code {code} and without a result: {words}")


def _text(warning: Any) -> str:
    """The text of a warning, around which ansible-core 2.19 and later write where it comes from."""
    return str(warning["event"]["msg"] if isinstance(warning, Mapping) else warning)
