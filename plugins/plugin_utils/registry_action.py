# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of all modules that log in to a registry do."""

from __future__ import annotations

import os
from typing import Any

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.check_mode import in_check_mode
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import InWorker

# The variables of the controller's environment that become options of the task.
CARRIED = ("OCI_ARTIFACT_USERNAME", "OCI_ARTIFACT_PASSWORD", "OCI_ARTIFACT_AUTH_FILE", "OCI_ARTIFACT_CA_CERT")


class RegistryAction(InWorker, NormalAction):
    """Runs the module as any other, with what the controller's environment adds to its options, and with what the run
    has agreed upon where the task says ``resolve_once``."""

    _carried: dict[str, Any] = {}

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        refused = None
        if any(os.environ.get(name) for name in CARRIED):
            try:
                self._carried = self._carry()
            except OciError as exc:
                refused = exc.as_failure()
        result: dict[str, Any] = refused or super().run(tmp, task_vars)  # type: ignore[no-untyped-call]  # typed in part
        return result

    def _carry(self) -> dict[str, Any]:
        # most runs set none of the variables, and need nothing of what reads them
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import (
            carried_options,
        )

        task_environment: dict[str, Any] = {}
        self._compute_environment_string(task_environment)
        return carried_options(self._task.args, os.environ, task_environment)

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        if module_args is not None:  # one of Ansible's own helpers, not the module of the task
            return super()._execute_module(module_name, module_args, **kwargs)
        # not into the arguments of the task, which callbacks see
        options = {**self._task.args, **self._carried}
        if "lock_file" in options or "lock" in options:
            return self._run_locked(module_name, options, kwargs)
        return self._run_agreed(module_name, options, kwargs)

    def _run_agreed(self, module_name: Any, module_args: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        """Run the module of the task, with what the run has agreed upon where the task says ``resolve_once``."""
        failed = None
        if boolean(module_args.get("resolve_once"), strict=False):
            from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreement import pinned

            try:
                module_args, failed = pinned(
                    module_args,
                    constants.DEFAULT_LOCAL_TMP,  # type: ignore[attr-defined]  # set at run time
                    lambda options: self._look(module_name, options, kwargs.get("task_vars")),
                )
            except OciError as exc:
                failed = exc.as_failure()
        return failed or super()._execute_module(module_name, module_args, **kwargs)

    def _run_locked(self, module_name: Any, options: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        """Run the module of the task as its ``lock_file`` wants it, which only modules know that resolve references."""
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import locked_artifacts
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.task_lock import take_lock

        module, task_vars = self.MODULE.__name__.rpartition(".")[2], kwargs.get("task_vars") or {}
        try:
            lock = take_lock(self, options, task_vars)
            if lock is None or module not in locked_artifacts.PINNED | locked_artifacts.REWRITTEN:
                return self._run_agreed(module_name, options, kwargs)
            return locked_artifacts.run_locked(
                lock,
                module,
                options,
                constants.DEFAULT_LOCAL_TMP,  # type: ignore[attr-defined]  # set at run time
                run=lambda given: self._run_agreed(module_name, dict(given), kwargs),
                look=lambda given: self._look(module_name, given, task_vars),
            )
        except OciError as exc:
            return exc.as_failure()

    def _look(self, module_name: Any, options: Any, task_vars: Any) -> Any:
        """Run the module of the task in check mode: its answer says what the reference stands for."""
        with in_check_mode(self._task):
            return super()._execute_module(module_name, options, task_vars=task_vars)
