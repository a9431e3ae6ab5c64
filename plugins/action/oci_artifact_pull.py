# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_artifact_pull."""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_pull
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import BeforeFork, needed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.registry_action import RegistryAction


class ActionModule(RegistryAction):
    """Brings what the controller's environment says, and runs the module in the worker where it can; with ``via``, the
    controller does for all hosts of the run what asks the registry."""

    MODULE = oci_artifact_pull

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        arguments = {**self._task.args, **self._carried}
        if module_args is not None or arguments.get("via") is None:
            return super()._execute_module(module_name, module_args, **kwargs)
        before = frozenset(sys.modules)
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.fan_out import FanOut

        # the workers of other hosts need it as well
        BeforeFork.heard({"imported": needed(before)})

        def run_module(options: Any) -> Any:
            return super(ActionModule, self)._execute_module(module_name, options, **kwargs)

        task_vars = kwargs.get("task_vars") or {}
        try:
            return FanOut(self, arguments, task_vars, run_module, self._belongs_here(task_vars)).run()
        except OciError as exc:
            return exc.as_failure()
