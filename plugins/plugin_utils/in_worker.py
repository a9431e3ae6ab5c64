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

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.worker_child import run_child

COLLECTION = "cloudnative.artifacts"
VARIABLE, ENVIRONMENT = "oci_artifact_run_in_worker", "OCI_ARTIFACT_RUN_IN_WORKER"
AUTO, ALWAYS, NEVER = "auto", "always", "never"
# what an interpreter reads when it starts: too late for one that runs already
_START_UP = ("PYTHON", "LD_", "DYLD_", "LC_", "LANG", "MALLOC_")


class InWorker(NormalAction):
    """The action ``normal``, which runs modules of this collection in the worker where that makes no difference."""

    _here: str = ""  # the full name of the module that is run in the worker
    _arguments: bytes = b""

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        name = self._own_name(module_name or self._task.action)
        task_vars = kwargs.get("task_vars") or {}
        if name and not kwargs.get("wrap_async") and self._belongs_here(task_vars):
            self._here = name
        try:
            return super()._execute_module(module_name, module_args, **kwargs)
        finally:
            self._here = ""

    def _belongs_here(self, task_vars: Mapping[str, Any]) -> bool:
        """True when the module's process would be a child of this one anyway, run by the same interpreter."""
        wish = self._wish(task_vars)
        if wish == NEVER or self._task.async_val or constants.DEFAULT_KEEP_REMOTE_FILES:  # type: ignore[attr-defined]
            return False
        if type(self._connection).__module__ != "ansible.plugins.connection.local" or self._connection.become:
            return False
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        if any(str(variable).startswith(_START_UP) for variable in environment):
            return False
        return wish == ALWAYS or self._is_this_interpreter(task_vars)

    def _wish(self, task_vars: Mapping[str, Any]) -> str:
        value = task_vars.get(VARIABLE, os.environ.get(ENVIRONMENT, AUTO))
        return str(self._templar.template(value)).strip().lower()

    def _is_this_interpreter(self, task_vars: Mapping[str, Any]) -> bool:
        delegated = task_vars.get("ansible_delegated_vars") or {}
        variables = delegated.get(self._task.delegate_to, {}) if self._task.delegate_to else task_vars
        value = variables.get("ansible_python_interpreter")
        if value is None:
            value = constants.config.get_config_value("INTERPRETER_PYTHON", variables=dict(variables))  # type: ignore[attr-defined]
        path = str(self._templar.template(value))
        return os.path.isabs(path) and _real(path) == _real(sys.executable)

    def _own_name(self, name: str) -> str:
        """The last part of the name of a module of this collection, however the task writes it; empty for any other."""
        if not name.startswith(f"{COLLECTION}."):
            loader = self._shared_loader_obj.module_loader
            found = loader.find_plugin_with_context(name, collection_list=self._task.collections)
            name = found.resolved_fqcn or ""
        collection, _dot, own = name.rpartition(".")
        return own if collection == COLLECTION else ""

    # What Ansible does between here and there, where it is no use

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        return bool(self._here) or super()._is_pipelining_enabled(module_style, wrap_async)  # type: ignore[no-untyped-call]

    def _configure_module(self, module_name: Any, module_args: Any, task_vars: Any) -> Any:
        if not self._here:
            return super()._configure_module(module_name, module_args, task_vars)  # type: ignore[no-untyped-call]
        self._arguments = _encoded(module_args)
        return _nothing_to_carry(_module_path(self._here))

    def _low_level_execute_command(self, cmd: Any, *arguments: Any, **kwargs: Any) -> Any:
        if not self._here:
            return super()._low_level_execute_command(cmd, *arguments, **kwargs)  # type: ignore[no-untyped-call]
        environment: dict[str, Any] = {}
        self._compute_environment_string(environment)
        module = importlib.import_module(_python_name(self._here))
        code, out, err = run_child(module, self._arguments, {name: str(value) for name, value in environment.items()})
        return {
            "rc": code,
            "stdout": out,
            "stdout_lines": out.splitlines(),
            "stderr": err,
            "stderr_lines": err.splitlines(),
        }


def _python_name(name: str) -> str:
    return f"ansible_collections.{COLLECTION}.plugins.modules.{name}"


def _module_path(name: str) -> str:
    return str(importlib.import_module(_python_name(name)).__file__)


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
