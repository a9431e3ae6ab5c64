# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of every module that logs in to a registry; meta/runtime.yml leads the other modules here."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.core_errors import failure


class ActionModule(NormalAction):
    """Runs the module as any other, with what the controller's environment adds to its options."""

    _carried: dict[str, Any] = {}

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        task_environment: dict[str, Any] = {}
        self._compute_environment_string(task_environment)
        refused = None
        try:
            self._carried = carried_options(self._task.args, os.environ, task_environment)
        except OciError as exc:
            refused = failure(exc)
        return refused or super().run(tmp, task_vars)

    def _execute_module(self, module_name: Any = None, module_args: Any = None, **kwargs: Any) -> dict[str, Any]:
        if module_args is None:  # the module of the task, and none of Ansible's own helpers
            # not into the arguments of the task, which callbacks see
            module_args = {**self._task.args, **self._carried}
        return super()._execute_module(module_name, module_args, **kwargs)
