# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of the inventory that asks the registry for other hosts (``via``), where the controller has no way to it.

The module runs there with a request to provide artifacts. What it found is fetched from there over the relay's own
connection, and kept on the controller for the rest of the run. On the relay nothing stays but what ``cache_dir`` keeps.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidOption,
    OciError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import pieces
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.regular_file import storage_error
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.blobs import blob_name
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import Verifier
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import VARIABLE

# connections to what runs no Python
_WITHOUT_PYTHON = ("winrm", "psrp", "network_cli", "netconf", "httpapi", "grpc")
# variables of a host that the connection plugin does not ask for itself
_OF_A_HOST = (
    "inventory_hostname",
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_connection",
    "ansible_shell_type",
    "ansible_shell_executable",
    "ansible_python_interpreter",
    "ansible_interpreter_python_fallback",
    "ansible_facts",
    VARIABLE,
)
_HINT = "Look at the variables of its connection; 'ansible -m ping' tells whether it can be used."


def kind_without_python(connection: Any) -> str:
    """The kind of a connection to what runs no module of this collection; empty for any other."""
    shell = getattr(connection, "_shell", None)
    kind = str(getattr(connection, "transport", "")).rpartition(".")[2]
    is_windows = getattr(shell, "_IS_WINDOWS", False) or getattr(shell, "SHELL_FAMILY", "") == "powershell"
    return (kind or "powershell") if kind in _WITHOUT_PYTHON or is_windows else ""


class Relay:
    """A host of the inventory that provides artifacts.

    :param action: the action plugin of the task on the host that needs them.
    :param name: the name of the relay in the inventory.
    :raises InvalidOption: when there is no such host.
    """

    def __init__(self, action: Any, name: str, task_vars: Mapping[str, Any]) -> None:
        self._action = action
        self._name = name
        hosts = task_vars.get("hostvars") or {}
        if not name or name not in hosts:
            raise InvalidOption(
                f"'via' is {name[:100]!r}: wanted 'controller', or the name of a host of the inventory.",
                "A host is named as in the inventory, not by its address.",
            )
        self._host = hosts[name]

    def provide(self, options: Mapping[str, Any], degree: str, platform: str, file: str, store: str) -> dict[str, Any]:
        """Have the artifacts provided there; return the answer of the module.

        The deliveries are then in ``file``, and all layers that the relay has fetched in the directory ``store`` here,
        each with the bytes of its digest.

        :raises ConnectionFailed: when the relay cannot be reached, or the connection breaks.
        :raises InvalidOption: when no module can run there, or what it made cannot be understood.
        :raises DigestMismatch: when other bytes arrive than the relay has verified.
        :raises StorageError: when they cannot be kept here.
        """
        try:
            action, variables = self._opened()
            folder = action._make_tmp_path()
            try:
                place = {name: action._connection._shell.join_path(folder, name) for name in ("made", "store")}
                request = {"degree": degree, "file": place["made"], "store": place["store"], "platform": platform}
                text = json.dumps({"request": request})
                answer = dict(action._execute_module(module_args={**options, "via": text}, task_vars=variables))
                if "store" not in answer:
                    return self._named(answer)
                action._connection.fetch_file(place["made"], file)
                self._take(action._connection, answer["store"], file, store)
            finally:
                action._remove_tmp_path(folder, force=True)
                action._connection.close()
        except AnsibleConnectionFailure as exc:
            text = f"The relay host {self._name}, which 'via' names, cannot be reached: {_sentence(exc)}"
            raise ConnectionFailed(text, _HINT) from None
        except AnsibleError as exc:
            text = f"The relay host {self._name}, which 'via' names, cannot be used: {_sentence(exc)}"
            raise InvalidOption(text, _HINT) from None
        except OSError as exc:
            raise storage_error("keep what the relay host sent in", store, exc) from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
            text = f"What the relay host {self._name} has made cannot be understood: {_sentence(exc)}"
            raise InvalidOption(text, "Look at what runs as its Python.") from None
        return {**answer, "store": store}

    def _take(self, connection: Any, source: str, file: str, store: str) -> None:
        """Fetch the layers that the deliveries in ``file`` do not have in them, and say who could not provide one."""
        with open(file, encoding="ascii") as stream:
            items = json.load(stream)["items"]
        for item in items:
            if item.get("failure"):
                item["failure"] = self._named(item["failure"])
            elif item.get("is_fetched"):
                for digest, size in item.get("blobs", {}).items():
                    if digest not in item.get("inline", {}):
                        self._fetch(connection, source, store, digest, size)
        with open(file, "w", encoding="ascii") as stream:
            stream.write(json.dumps({"items": items}))

    def _fetch(self, connection: Any, source: str, store: str, digest: str, size: int) -> None:
        path = os.path.join(store, blob_name(digest))
        if os.path.exists(path):
            return
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        part = f"{path}.part"
        connection.fetch_file(connection._shell.join_path(source, blob_name(digest)), part)
        try:
            verifier = Verifier(digest, size, f"The blob {digest} that the relay host {self._name} sent")
            with open(part, "rb") as stream:
                for piece in pieces(stream):
                    verifier.update(piece)
            verifier.finish()
        except DigestMismatch:
            os.unlink(part)
            raise
        os.replace(part, path)

    def _named(self, failure: Mapping[str, Any]) -> dict[str, Any]:
        """A failure with the host that it was met on."""
        words = str(failure.get("msg") or "The module ended without a result.")
        named = {name: value for name, value in failure.items() if name not in ("invocation", "_ansible_parsed")}
        reason = failure.get("reason", OciError.reason)
        return {**named, "msg": f"On the relay host {self._name}: {words}", "reason": reason}

    def _opened(self) -> tuple[Any, dict[str, Any]]:
        """The action of the task on the relay, with a connection of its own, and the variables for a module there."""
        task, context = self._action._task.copy(), copy.copy(self._action._play_context)
        # it asks a registry and keeps files of its own, which its user can do
        task.become, task.delegate_to, context.become = False, None, False
        variables = self._variables(_OF_A_HOST)
        context.remote_addr = str(variables.get("ansible_host") or self._name)
        context.shell = variables.get("ansible_shell_type")
        context.port = variables.get("ansible_port")
        if variables.get("ansible_user"):
            context.remote_user = str(variables["ansible_user"])
        connection = self._connection(task, context, str(variables.get("ansible_connection") or task.connection))
        kind = kind_without_python(connection)
        if kind:
            raise InvalidOption(f"'via' names {self._name}, whose connection {kind} runs no module of this collection.")
        action = type(self._action)(
            task=task,
            connection=connection,
            play_context=context,
            loader=self._action._loader,
            templar=self._action._templar,
            shared_loader_obj=self._action._shared_loader_obj,
        )
        return action, {"ansible_facts": {}, **variables}

    def _connection(self, task: Any, context: Any, kind: str) -> Any:
        # new_stdin is for connection plugins that were written for older releases
        connection = self._action._shared_loader_obj.connection_loader.get(
            kind, context, new_stdin=None, task_uuid=task._uuid, ansible_playbook_pid=str(os.getppid())
        )
        if connection is None:
            raise InvalidOption(f"'via' names {self._name}, whose connection plugin {kind!r} was not found.")
        keywords = task.dump_attrs()
        # those of the task mean its own time and attempts
        keywords["timeout"] = context.timeout
        keywords.pop("retries", None)
        if context.password:
            keywords["password"] = context.password
        for plugin_type, plugin in (("connection", connection), ("shell", connection._shell)):
            config: Any = constants.config
            values = self._variables(config.get_plugin_vars(plugin_type, plugin._load_name))
            plugin.set_options(task_keys=keywords, var_options=values)
        return connection

    def _variables(self, names: Any) -> dict[str, Any]:
        """Those of these variables that the relay has, with templates filled in."""
        return {name: self._host[name] for name in names if name in self._host}


def _sentence(error: Exception) -> str:
    """The words of an error, with a full stop."""
    return f"{str(error).rstrip('. ')}."
