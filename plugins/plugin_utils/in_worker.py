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

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carries_less import CarriesLess
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child

VARIABLE, ENVIRONMENT = "oci_artifact_run_in_worker", "OCI_ARTIFACT_RUN_IN_WORKER"
AUTO, ALWAYS, NEVER = "auto", "always", "never"
# what an interpreter reads when it starts: too late for one that runs already
_START_UP = ("PYTHON", "LD_", "DYLD_", "LC_", "LANG", "MALLOC_")


class InWorker(CarriesLess):
    """An action that runs its own module in the worker, where that makes no difference but for the time it takes.

    ``MODULE`` is the module. It is imported with the class of the action, which Ansible loads before it forks workers.
    """

    MODULE: ModuleType

    _is_here: bool = False
    _arguments: bytes = b""

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        if module_name is None and not kwargs.get("wrap_async"):
            self._is_here = self._belongs_here(kwargs.get("task_vars") or {})
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
        if wish == NEVER or self._task.async_val or keeps_files:
            return False
        if type(self._connection).__module__ != "ansible.plugins.connection.local" or self._connection.become:
            return False
        if any(name.startswith(_START_UP) for name in self._task_environment()):
            return False
        return wish == ALWAYS or self._is_this_interpreter(task_vars)

    def _wish(self, task_vars: Mapping[str, Any]) -> str:
        value = task_vars.get(VARIABLE, os.environ.get(ENVIRONMENT) or AUTO)
        wish = str(self._templar.template(value)).strip().lower()
        if wish not in (AUTO, ALWAYS, NEVER):
            raise AnsibleActionFail(
                f"{VARIABLE} (or {ENVIRONMENT} in the environment of the controller) is {wish[:50]!r}: "
                f"wanted {AUTO}, {ALWAYS} or {NEVER}."
            )
        return wish

    def _is_this_interpreter(self, task_vars: Mapping[str, Any]) -> bool:
        variables = task_vars
        if self._task.delegate_to:
            variables = (task_vars.get("ansible_delegated_vars") or {}).get(self._task.delegate_to) or {}
        value = variables.get("ansible_python_interpreter")
        if value is None:
            value = constants.config.get_config_value(  # type: ignore[attr-defined]  # set at run time
                "INTERPRETER_PYTHON", variables=dict(variables)
            )
        path = str(self._templar.template(value))
        return os.path.isabs(path) and _real(path) == _real(sys.executable)

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
        self._arguments = _encoded(module_args)
        return _nothing_to_carry(str(self.MODULE.__file__))

    def _low_level_execute_command(self, cmd: Any, *arguments: Any, **kwargs: Any) -> Any:
        if not self._is_here:
            return super()._low_level_execute_command(cmd, *arguments, **kwargs)
        code, out, err = run_child(self.MODULE, self._arguments, self._task_environment())
        lines = {"stdout_lines": out.splitlines(), "stderr_lines": err.splitlines()}
        return {"rc": code, "stdout": out, "stderr": err, **lines}


def _real(path: str) -> tuple[str, str]:
    """What an interpreter is and which environment it belongs to: a venv's is a link to that of the system."""
    return os.path.realpath(os.path.dirname(path)), os.path.realpath(path)


def _encoded(arguments: Mapping[str, Any]) -> bytes:
    """The arguments of a module as Ansible writes them into its archive."""
    document = {"ANSIBLE_MODULE_ARGS": arguments}
    try:
        from ansible.module_utils.common.json import Direction, get_module_encoder  # from 2.19 on
    except ImportError:
        from ansible.parsing.ajson import AnsibleJSONEncoder

        return json.dumps(document, cls=AnsibleJSONEncoder, vault_to_text=True).encode("utf-8")
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
