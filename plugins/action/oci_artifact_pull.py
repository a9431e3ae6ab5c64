# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_artifact_pull."""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.check_mode import in_check_mode
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import BeforeFork, needed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.registry_action import RegistryAction


class ActionModule(RegistryAction):
    """Brings what the controller's environment says, and runs the module in the worker where it can; with ``via``, the
    controller or a relay host does for all hosts of the run what asks the registry."""

    MODULE = oci_artifact_pull

    def _run_agreed(self, module_name: Any, module_args: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        if module_args.get("via") is None:
            return super()._run_agreed(module_name, module_args, kwargs)
        return self._fan_out(module_name, module_args, kwargs)

    def _look(self, module_name: Any, options: Any, task_vars: Any) -> Any:
        if options.get("via") is None:
            return super()._look(module_name, options, task_vars)
        with in_check_mode(self._task):
            return self._fan_out(module_name, dict(options), {"task_vars": task_vars})

    def _fan_out(self, module_name: Any, options: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        before = frozenset(sys.modules)
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.fan_out import FanOut

        # the workers of other hosts need it as well
        BeforeFork.heard({"imported": needed(before)})

        def run_module(given: Any) -> Any:
            return self._execute_module(module_name, given, **kwargs)

        task_vars = kwargs.get("task_vars") or {}
        try:
            return FanOut(self, options, task_vars, run_module, self._belongs_here(task_vars)).run()
        except OciError as exc:
            return exc.as_failure()
