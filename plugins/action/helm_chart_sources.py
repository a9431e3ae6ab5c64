# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module helm_chart_sources once per run of ansible-playbook, however many hosts ask for the same charts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.modules import helm_chart_sources
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreed_charts import agreed_charts, place_of
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.check_mode import in_check_mode
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import InWorker
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.role_words import in_words_of_role

if TYPE_CHECKING:
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import LockedCharts


class ActionModule(InWorker, ActionBase):
    MODULE = helm_chart_sources

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = plain(self._task.args)
        if not isinstance(arguments.get("sources"), dict):
            refusal = InvalidOption("'sources' is not a mapping of names to sources.").as_failure()
            return {**result, **in_words_of_role(refusal, task_vars or {})}
        task_environment: dict[str, Any] = {}
        self._compute_environment_string(task_environment)
        folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # set at run time
        charts = None
        try:
            arguments.update(carried_options(arguments, os.environ, task_environment))
            if "lock_file" in arguments or "lock" in arguments:
                charts = self._locked(arguments, task_vars)
            if charts is not None and charts.only_compares:
                with in_check_mode(self._task):
                    answer = self._fetch(arguments, arguments.get("pins"), task_vars)
                return {**result, **in_words_of_role(charts.compare(answer), task_vars)}
            with agreed_charts(folder, place_of(self, task_vars), arguments) as agreed:
                if agreed.charts is not None:
                    answer = {"changed": False, "charts": agreed.charts}
                else:
                    answer = self._fetch(arguments, agreed.pins, task_vars)
                    if not answer.get("failed"):
                        agreed.keep(answer.get("charts") or {})
            if charts is not None:
                answer = charts.enter(answer.get("charts") or {}, answer)
        except OciError as exc:
            answer = exc.as_failure()
        return {**result, **in_words_of_role(answer, task_vars)}

    def _fetch(self, arguments: dict[str, Any], pins: Any, task_vars: Any) -> dict[str, Any]:
        options = {**arguments, "sources": sealed(arguments["sources"]), "pins": pins or {}}
        answer: dict[str, Any] = self._execute_module(module_args=options, task_vars=task_vars)
        return answer

    def _locked(self, arguments: dict[str, Any], task_vars: Any) -> LockedCharts | None:
        # most tasks have no lock file, and need nothing of what reads it
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import locked_charts

        return locked_charts(self, arguments, task_vars)
