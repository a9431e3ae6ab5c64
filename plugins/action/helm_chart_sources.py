# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module helm_chart_sources once per run of ansible-playbook, however many hosts ask for the same charts.

Neither ``run_once`` nor facts do that: the one runs again for each batch of ``serial`` and is not known to the strategy
``free``, the others come too late for hosts that work side by side. What a run has agreed upon is kept in its temporary
directory on the controller, which Ansible removes in the end.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.shared_file import locked_file
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed

# Seconds that a host waits for another one that fetches the same charts.
PATIENCE = 3600.0

# What tells two sources apart; credentials and the way there are not part of it.
_IDENTITY = ("ref", "url", "tag", "digest", "semver", "semver_filter", "filter_tags", "tag_moved", "verify")


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = plain(self._task.args)
        sources = arguments.get("sources")
        if not isinstance(sources, dict):
            return {**result, **InvalidOption("'sources' is not a mapping of names to sources.").as_failure()}
        task_environment: dict[str, Any] = {}
        self._compute_environment_string(task_environment)
        folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # set at run time
        path = os.path.join(folder, "cloudnative.artifacts.sources")
        try:
            with locked_file(path, PATIENCE) as record:
                arguments.update(carried_options(arguments, os.environ, task_environment))
                known = json.loads(record.read() or b"{}")
                answer = self._ask(arguments, sources, known, task_vars)
                if not answer.get("failed"):
                    record.seek(0)
                    record.truncate(0)
                    record.write(json.dumps(known).encode("utf-8"))
        except OciError as exc:
            answer = exc.as_failure()
        return {**result, **answer}

    def _ask(self, arguments: dict[str, Any], sources: dict[str, Any], known: dict[str, Any], task_vars: Any) -> Any:
        """The answer for these sources: what was found on this host in this run, else the module's."""
        where = f"{self._place(task_vars)} {arguments.get('cache_dir') or ''}"
        keys = {name: _key(source, arguments) for name, source in sources.items()}
        charts = {name: known.get(f"{where} {key}") for name, key in keys.items()}
        if sources and all(charts.values()):
            return {"changed": False, "charts": charts}
        # what another host has resolved is taken as it is: all hosts of a run deploy the same
        pins = {name: known[key] for name, key in keys.items() if key in known}
        answer = self._execute_module(
            module_args={**arguments, "sources": sealed(sources), "pins": {**pins, **(arguments.get("pins") or {})}},
            task_vars=task_vars,
        )
        if not answer.get("failed"):
            for name, chart in (answer.get("charts") or {}).items():
                known[keys[name]] = chart["revision"]
                known[f"{where} {keys[name]}"] = chart
        return answer

    def _place(self, task_vars: Any) -> str:
        """The host that runs the module, and the user that it runs as."""
        host = self._task.delegate_to or task_vars.get("inventory_hostname") or ""
        user = self._play_context.become_user if self._play_context.become else self._play_context.remote_user
        return f"{host} {user or ''}"


def _key(source: Any, arguments: dict[str, Any]) -> str:
    """Return a digest of what a source asks for: the same for two sources that ask for the same."""
    source = source if isinstance(source, dict) else {}
    wanted = {name: source.get(name) for name in _IDENTITY}
    wanted["verify"] = wanted["verify"] or arguments.get("verify")
    return hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode("utf-8")).hexdigest()
