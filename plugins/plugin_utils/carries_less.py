# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries to a host what a task asks for, instead of all that a module imports.

Ansible packs a module with every source that it imports, also inside of functions. For a task whose module runs on a
host, the sources that the task asks for are put into one file, as texts, and Ansible packs that file as the module. It
arrives as any other module does: with the arguments in it, through the same connection, and to the same interpreter.

A pull is first carried as small as one that has nothing to do; see :mod:`.carried_parts`. The program is the same, only
less of it is there: what it does not find makes it end before anything was changed, and more is carried.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, cast

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.carried import ERRORS, REVISION, WANTED
from ansible_collections.cloudnative.artifacts.plugins.module_utils._unexpected import InternalError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_parts import CarriedSet, sets
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.carried_sources import (
    carried_text,
    core_imports,
    foreign_imports,
)

VARIABLE, ENVIRONMENT = "oci_artifact_carry", "OCI_ARTIFACT_CARRY"
ASKED, ALL = "asked", "all"

COLLECTION = "cloudnative.artifacts"
# where Ansible finds the name of a module in its path
_FOLDER = "ansible_collections/cloudnative/artifacts/plugins/modules"
_RUNNER = "module_utils._ansible.carried"


class CarriesLess(ActionBase):
    """An action whose own module is carried to hosts with what its task asks for.

    ``MODULE`` is the module. ``_is_here`` says that it runs in the worker this time, and is not carried at all.
    """

    MODULE: ModuleType

    _is_here: bool = False
    _carried_file: str = ""

    def _execute_module(  # type: ignore[override]  # the rest is handed on as it is
        self, module_name: Any = None, module_args: Any = None, **kwargs: Any
    ) -> Any:
        task_vars = kwargs.get("task_vars") or {}
        # in a background job nobody waits who could have more carried
        is_background = kwargs.get("wrap_async") or self._task.async_val
        is_another = module_name not in (None, self._task.action)
        if is_another or is_background or self._is_here or self._carry_wish(task_vars) == ALL:
            return super()._execute_module(module_name, module_args, **kwargs)
        arguments = self._task.args if module_args is None else module_args
        note = os.path.join(_run_folder(), f"cloudnative.artifacts.changes.{self._task._uuid}")
        module, pin = self.MODULE.__name__.rpartition(".")[2], ""
        for carried in sets(module, arguments, expects_change=os.path.exists(note)):
            given = {**arguments, "pin": pin} if pin else dict(arguments)
            with self._carrying(entry_file(carried)):
                answer = super()._execute_module(module_name, given, **kwargs)
            if WANTED not in answer:
                break
            # hosts of one task mostly fare alike
            _touch(note)
            pin = answer.get(REVISION) or ""
        if not answer.get("changed"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(note)
        if WANTED in answer:
            return InternalError(
                f"The module {module} did not find {answer[WANTED]}, although all that it imports was carried.",
                "This is a fault in the collection: please report this message.",
            ).as_failure()
        return _as_asked(answer, arguments) if pin else answer

    def _carry_wish(self, task_vars: Mapping[str, Any]) -> str:
        value = task_vars.get(VARIABLE, os.environ.get(ENVIRONMENT) or ASKED)
        wish = str(self._templar.template(value)).strip().lower()
        if wish not in (ASKED, ALL):
            raise AnsibleActionFail(  # type: ignore[no-untyped-call]  # typed in part
                f"{VARIABLE} (or {ENVIRONMENT} in the environment of the controller) is {wish[:50]!r}: "
                f"wanted {ASKED} or {ALL}."
            )
        return wish

    @contextlib.contextmanager
    def _carrying(self, path: str) -> Iterator[None]:
        self._carried_file = path
        try:
            yield
        finally:
            self._carried_file = ""

    def _configure_module(self, module_name: Any, module_args: Any, task_vars: Any) -> Any:
        if not self._carried_file or module_name != self._task.action:
            return super()._configure_module(module_name, module_args, task_vars)
        loaders = self._shared_loader_obj
        self._shared_loader_obj = cast(Any, _Loaders(loaders, self._carried_file))
        try:
            return super()._configure_module(module_name, module_args, task_vars)
        finally:
            self._shared_loader_obj = loaders


class _Loaders:
    """Ansible's plugin loaders, but for that of modules: it finds them as ever, and says that the one of the task is in
    another file."""

    def __init__(self, loaders: Any, path: str) -> None:
        self._loaders = loaders
        self._path = path
        self.module_loader = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaders, name)

    def find_plugin_with_context(self, *arguments: Any, **kwargs: Any) -> Any:
        found = self._loaders.module_loader.find_plugin_with_context(*arguments, **kwargs)
        if found.plugin_resolved_path:
            found.plugin_resolved_path = self._path
        return found


def entry_file(carried: CarriedSet) -> str:
    """The path of a module that has these sources in it; made once in a run.

    Its folder is named after the set, since Ansible keeps what it has packed by the name of the module.
    """
    of_set = hashlib.sha256(repr(carried).encode()).hexdigest()[:12]
    path = os.path.join(_run_folder(), _FOLDER, f"set_{of_set}", f"{carried.module}.py")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        unfinished = f"{path}.{os.getpid()}"
        with open(unfinished, "w", encoding="utf-8") as stream:
            stream.write(_entry_text(carried.module, sorted({*carried.names(), ERRORS})))
        os.replace(unfinished, path)
    return path


def _entry_text(module: str, names: list[str]) -> str:
    sources = "".join(f'    "{name}": {_literal(carried_text(name))},\n' for name in names)
    imports = "".join(f"import {name}\n" for name in core_imports(names))
    foreign = "".join(f"    import {name}\n" for name in foreign_imports(names))
    if foreign:
        # never called: what is imported in a function is packed where it is installed, and may be missing
        imports += f"\n\ndef _of_other_collections():\n{foreign}\n"
    return (
        f"# {COLLECTION}.{module} with the sources that its task asks for, put together on the controller\n"
        f"# To have each source carried as a file: {VARIABLE}: {ALL}\n"
        f"{carried_text(_RUNNER)}\n{imports}\nSOURCES = {{\n{sources}}}\n\n"
        f'if __name__ == "__main__":\n    run_carried(SOURCES, "{module}")\n'
    )


def _literal(text: str) -> str:
    return repr(text) if "'''" in text or text.endswith(("'", "\\")) else f"r'''{text}'''"


def _run_folder() -> str:
    """The temporary directory of this run on the controller, which Ansible removes in the end."""
    return str(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]  # set at run time


def _touch(path: str) -> None:
    with open(path, "ab"):
        pass


def _as_asked(answer: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that shows the arguments of the task, without the revision that the first step has found."""
    shown = (answer.get("invocation") or {}).get("module_args")
    if isinstance(shown, dict):
        shown["pin"] = arguments.get("pin")
    return answer
