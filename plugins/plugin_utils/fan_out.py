# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls of hosts that ask no registry: the controller or a relay host does it for all hosts of a run (``via``).

What all hosts have in common is done once, see :mod:`.provided`. Each host then runs the module with what was found. It
says whether it needs anything; small layers are in the arguments already, and larger ones are sent through Ansible's
own connection, as files that the host puts beside ``dest``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.delivery import (
    WANTS,
    Archive,
    Delivery,
    Parcel,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_module import run_on_controller
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.provided import Provided
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.relay import kind_without_python
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.run_artifacts import WAY

# Options that are for the machine which asks the registry. All others are for the host.
FOR_PROVIDER = WAY.union({"verify", "policy", "tag_moved", "pin", "via"}).difference({"parallel"})
LOOKUP = "cloudnative.artifacts.oci_artifact"
# runs of the module beside those that take a part each
_MAX_ROUNDS = 4

RunModule = Callable[[Mapping[str, Any]], "dict[str, Any]"]


class FanOut:
    """One task on one host.

    :param action: the action plugin of the task.
    :param arguments: the options of the task, with what the controller's environment adds.
    :param run_module: runs the module on the host.
    :param is_here: that the module runs on the controller, as the same user.
    :raises InvalidOption: when the task cannot be done this way.
    """

    def __init__(
        self,
        action: Any,
        arguments: Mapping[str, Any],
        task_vars: Mapping[str, Any],
        run_module: RunModule,
        is_here: bool,
    ) -> None:
        self._action = action
        self._arguments = arguments
        self._run_module = run_module
        self._is_here = is_here
        self._via = str(arguments["via"]).strip()
        self._sent = 0
        _check(action)
        self._provided = Provided(action, self._via, arguments, task_vars)

    def run(self) -> dict[str, Any]:
        """Pull; return the result of the module.

        :raises OciError: when the options cannot be used, or nothing can be provided.
        """
        items = self._provided.look()
        answer = self._run(items)
        for _round in range(_MAX_ROUNDS):
            wants = answer.get(WANTS)
            if wants is None:
                break
            if "compare" in wants:
                answer = self._compare(wants["compare"])
                break
            is_compared = self._is_here and bool(self._action._task.diff)
            items = self._provided.fetch(str(wants.get("platform") or ""), to_compare=is_compared)
            _check_readable(items, wants)
            answer = self._send(items, wants) if wants.get("folder") else self._run(items)
        if WANTS in answer:
            return InvalidOption(
                "The host goes on asking for content that was sent to it.",
                "Does something remove files from 'dest' while the task runs?",
            ).as_failure()
        return self._finished(answer, items)

    def _compare(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """In check mode, compare large content here with what the host said of its ``dest``: nothing is sent."""
        from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.stand_in import (
            as_of_host,
            make_stand_in,
        )

        items = self._provided.fetch("", to_compare=True)
        folder = tempfile.mkdtemp(dir=self._provided.folder)
        try:
            stand_in = os.path.join(folder, "dest")
            dest = make_stand_in(stand_in, description)
            parcel = Parcel(self._via, items, store=self._provided.store)
            # users and groups are those of the host
            options = {name: value for name, value in self._for_host().items() if name not in ("owner", "group")}
            options.update(dest=dest, via=parcel.as_text())
            directory = self._action._loader.get_basedir()
            result = run_on_controller(self._action.MODULE, options, directory, check_mode=True, diff=True)
            return as_of_host(result, stand_in, description)
        except (OSError, ValueError, LookupError, TypeError) as exc:
            raise InvalidOption(f"What the host said of 'dest' cannot be used for a comparison: {exc}.") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, items: list[Delivery], **more: Any) -> dict[str, Any]:
        """Run the module on the host; ``more`` are fields of the parcel."""
        store = self._provided.store if self._is_here else ""
        parcel = Parcel(self._via, items, store=store, **more)
        return self._run_module({**self._for_host(), "via": parcel.as_text()})

    def _for_host(self) -> dict[str, Any]:
        """The options of the task that are about the host."""
        options = {name: value for name, value in self._arguments.items() if name not in FOR_PROVIDER}
        if isinstance(options.get("artifacts"), list):
            options["artifacts"] = [
                {name: value for name, value in item.items() if name not in FOR_PROVIDER}
                if isinstance(item, Mapping)
                else item
                for item in options["artifacts"]
            ]
        return options

    def _send(self, items: list[Delivery], wants: Mapping[str, Any]) -> dict[str, Any]:
        """Send the parts that the host lacks, and have it place them."""
        archive, have = Archive(wants["missing"]), set(wants["have"])
        parts = {name: place for name, place in archive.parts.items() if place[0] not in have}
        if self._is_same_user():
            for name, path in self._provided.files(archive, parts):
                self._put(path, f"{wants['folder']}/{name}")
            return self._run(items, is_sent=True)
        answer: dict[str, Any] = {WANTS: wants}
        for name, path in self._provided.files(archive, parts):
            arrived = self._put_for_another(path, name)
            answer = self._run(items, is_sent=True, arrived=arrived, offset=parts[name][0])
            self._action._remove_tmp_path(self._action._connection._shell.tmpdir, force=True)
            if WANTS not in answer:
                break
        return answer if parts else self._run(items, is_sent=True)

    def _put(self, path: str, target: str) -> None:
        self._action._connection.put_file(path, target)
        self._sent += 1

    def _put_for_another(self, path: str, name: str) -> str:
        """Send a file to a temporary directory of the connection's user, so that the user of the task can read it."""
        action, shell = self._action, self._action._connection._shell
        if shell.tmpdir is None:
            action._make_tmp_path()
        target = str(shell.join_path(shell.tmpdir, name))
        self._put(path, target)
        action._fixup_perms2((shell.tmpdir, target))
        return target

    def _is_same_user(self) -> bool:
        """True when the user of the connection is the one of the task, who owns the directory of ``dest``."""
        connection = self._action._connection
        if not connection.become:
            return True
        return bool(self._action.get_become_option("become_user") == self._action._get_remote_user())

    def _finished(self, answer: dict[str, Any], items: list[Delivery]) -> dict[str, Any]:
        """The result as the task asked for it."""
        warnings = [str(warning) for item in items for warning in item.warnings]
        if warnings and not answer.get("failed"):
            answer["warnings"] = [*(answer.get("warnings") or ()), *dict.fromkeys(warnings)]
        found = answer.get("via")
        if isinstance(found, dict):
            found["files_sent"] = self._sent
        shown = (answer.get("invocation") or {}).get("module_args")
        if isinstance(shown, dict):
            for name in ("via", "pin", "tag_moved", "cache_dir"):
                shown[name] = plain(self._arguments.get(name))
        return answer


def _check(action: Any) -> None:
    """:raises InvalidOption: where a pull for other hosts is not possible."""
    if action._task.async_val:
        raise InvalidOption(
            "'via' cannot be used with 'async': the controller sends content while the task runs, and a background job "
            "has nobody who does.",
            "Leave out 'async' or 'via'.",
        )
    kind = kind_without_python(action._connection)
    if kind:
        raise InvalidOption(
            f"'via' cannot be used over the connection {kind}: this host runs no module of this collection.",
            f"The lookup {LOOKUP} with want='path' has the verified content on the controller, for win_copy, net_put "
            "and template.",
        )


def _check_readable(items: list[Delivery], wants: Mapping[str, Any]) -> None:
    """Check that the host can read the layers, before anything is sent.

    :raises MissingDependency: when it cannot.
    """
    needed = {need for item in items for need in item.needs}
    lacking = sorted(needed.difference(wants.get("can_read") or ()))
    if lacking and any(item.blobs for item in items):
        raise MissingDependency(
            f"A layer is compressed with {lacking[0]}, which the Python of this host cannot read; nothing was sent.",
            "Install the package python3-zstandard there (the role cloudnative.artifacts.prepare_host does), or use "
            "Python 3.14.",
        )
