# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of this collection in a child of Ansible's worker, where building, copying and starting it is no use.

For a task whose connection is local Ansible makes an archive of the module and all it imports, writes it to a file, and
starts an interpreter that unpacks, compiles and imports it. Here the code is imported already: the class of the action
is loaded before the workers are forked. A child of the worker runs the module's own ``main`` with the arguments that
Ansible made; so everything that a module does with them, and with its process, is as ever: it may exit, crash, change
its environment or take too much memory. Its answer is read from a pipe and parsed by Ansible.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import same_process
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carries_less import CarriesLess
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.preloading import BeforeFork
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.progress_lines import show_line
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child

VARIABLE, ENVIRONMENT = "oci_artifact_run_in_worker", "OCI_ARTIFACT_RUN_IN_WORKER"
AUTO, ALWAYS, NEVER = "auto", "always", "never"
# Actions have no options of their own in Ansible; this one is found as those of other plugins are.
_OPTION, _OWNER = "run_in_worker", "cloudnative.artifacts"
_DEFINITION = {
    "default": AUTO,
    "vars": [{"name": VARIABLE}],
    "env": [{"name": ENVIRONMENT}],
    "ini": [{"section": "oci_artifact", "key": _OPTION}],
}


class InWorker(CarriesLess):
    """An action that runs its own module in the worker, where that makes no difference but for the time it takes.

    ``MODULE`` is the module. It is imported with the class of the action, which Ansible loads before it forks workers.
    """

    MODULE: ModuleType
    BYPASS_HOST_LOOP = BeforeFork()

    _is_here: bool = False
    _arguments: bytes = b""
    _environment: dict[str, str]
    _host: str = ""

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        if module_name is None and not kwargs.get("wrap_async"):
            self._is_here = self._belongs_here(kwargs.get("task_vars") or {})
            self._host = str((kwargs.get("task_vars") or {}).get("inventory_hostname") or "")
        try:
            return super()._execute_module(module_name, module_args, **kwargs)
        finally:
            self._is_here = False

    def _belongs_here(self, task_vars: Mapping[str, Any]) -> bool:
        """True when the module's process would be a child of this one anyway, run by the same interpreter.

        :raises AnsibleActionFail: when the switch has another value than it may have.
        """
        wish = self._wish(task_vars)
        keeps_files = constants.DEFAULT_KEEP_REMOTE_FILES  # type: ignore[attr-defined]  # set at run time
        if wish == NEVER or self._task.async_val or keeps_files or not same_process.can_fork():
            return False
        if not same_process.is_local(self._connection, self._play_context.executable):
            return False
        if self._connection.become and not same_process.is_this_user(
            self.get_become_option("become_user"), self._get_remote_user()
        ):
            return False
        self._environment = self._task_environment()
        if not same_process.can_be_set_now(self._environment) or not self._is_own_module():
            return False
        variables = task_vars
        if self._task.delegate_to:
            variables = (task_vars.get("ansible_delegated_vars") or {}).get(self._task.delegate_to) or {}
        return wish == ALWAYS or same_process.is_this_interpreter(same_process.interpreter(variables, self._templar))

    def _wish(self, task_vars: Mapping[str, Any]) -> str:
        config: Any = constants.config
        config.initialize_plugin_configuration_definitions("action", _OWNER, {_OPTION: _DEFINITION})
        variables = {VARIABLE: self._templar.template(task_vars[VARIABLE])} if VARIABLE in task_vars else {}
        value, origin = config.get_config_value_and_origin(
            _OPTION, plugin_type="action", plugin_name=_OWNER, variables=variables
        )
        wish = str(value or AUTO).strip().lower()
        if wish not in (AUTO, ALWAYS, NEVER):
            raise AnsibleActionFail(  # type: ignore[no-untyped-call]
                f"{VARIABLE} ({ENVIRONMENT} in the environment of the controller) is {wish[:50]!r}, set by "
                f"{origin}: wanted {AUTO}, {ALWAYS} or {NEVER}."
            )
        return wish

    def _is_own_module(self) -> bool:
        """False when the name of the task leads Ansible to a module of somebody else's, in a folder of the playbook."""
        found = self._shared_loader_obj.module_loader.find_plugin_with_context(
            self._task.action, ".py", collection_list=self._task.collections
        )
        path = found.plugin_resolved_path if found.resolved else ""
        return os.path.realpath(path or "") == os.path.realpath(str(self.MODULE.__file__))

    def _task_environment(self) -> dict[str, str]:
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        return {str(name): str(value) for name, value in environment.items()}

    # What Ansible does to bring a module to a host

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        return self._is_here or bool(super()._is_pipelining_enabled(module_style, wrap_async))

    def _configure_module(self, module_name: Any, module_args: Any, task_vars: Any) -> Any:
        if not self._is_here:
            return super()._configure_module(module_name, module_args, task_vars)
        self._arguments = encoded_arguments(module_args)
        return _nothing_to_carry(str(self.MODULE.__file__))

    def _low_level_execute_command(self, cmd: Any, *arguments: Any, **kwargs: Any) -> Any:
        if not self._is_here:
            return super()._low_level_execute_command(cmd, *arguments, **kwargs)  # type: ignore[no-untyped-call]
        BeforeFork.prepare()
        folder = self._loader.get_basedir()
        code, out, err = run_child(self.MODULE, self._arguments, self._environment, folder, self._hear)
        lines = {"stdout_lines": out.splitlines(), "stderr_lines": err.splitlines()}
        return {"rc": code, "stdout": out, "stderr": err, **lines}

    def _hear(self, message: Mapping[str, Any]) -> None:
        """Take what the module says while it runs."""
        BeforeFork.heard(message)
        if not self._task.no_log:
            show_line(message, self._host)


def encoded_arguments(arguments: Mapping[str, Any]) -> bytes:
    """The arguments of a module as Ansible writes them into its archive."""
    document = {"ANSIBLE_MODULE_ARGS": arguments}
    try:
        from ansible.module_utils.common.json import Direction, get_module_encoder  # from 2.19 on
    except ImportError:
        from ansible.parsing import ajson

        older: Any = ajson
        return json.dumps(document, cls=older.AnsibleJSONEncoder, vault_to_text=True).encode("utf-8")
    encoder = get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    return json.dumps(document, cls=encoder).encode("utf-8")


def _nothing_to_carry(path: str) -> Any:
    """What ``_configure_module`` returns for a module that needs no archive."""
    shebang = f"#!{sys.executable}"
    try:
        from ansible.executor.module_common import _BuiltModule  # from 2.19 on
    except ImportError:
        return "new", shebang, b"", path
    built = _BuiltModule(b_module_data=b"", module_style="new", shebang=shebang, serialization_profile="legacy")
    return built, path
