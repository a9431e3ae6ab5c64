# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Actions of modules that have artifacts as ``sources``: each source is resolved once per run of ansible-playbook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible import constants

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreed_charts import agreed_charts, place_of
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.check_mode import in_check_mode
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import InWorker
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.module_defaults import module_defaults
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed

if TYPE_CHECKING:
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import LockedCharts

SOURCES_MODULE = "cloudnative.artifacts.helm_chart_sources"
# options of that module that are options of these modules, too; the others are source_defaults
_OWN = ("sources", "pins", "cache_dir")
_LOCK = ("lock_file", "lock")
# parts of two results of the module that are not those of the second alone
_JOINED = ("warnings", "deprecations")


class WithSources(InWorker):
    """An action whose module takes ``sources``, or in their place what they were found to be.

    ``WORK`` is the option with the work that is done with them, a list. ``FOUND`` is the option and the return value
    with what was found. Artifacts of another kind than charts have a place of their own, ``KIND``.
    """

    WORK = "releases"
    FOUND = "charts"
    KIND = ""

    def _run_shared(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """Run the module; return its result, a failure included."""
        if arguments.get("policy") is None:
            # of the action group: a policy for sources is one for what is made of them
            policy = plain(module_defaults(self, SOURCES_MODULE)).get("policy")
            if policy is not None:
                arguments["policy"] = policy
        answer: dict[str, Any]
        if arguments.get("sources") is None:
            arguments = {name: value for name, value in arguments.items() if name not in _LOCK}
            answer = self._execute_module(module_args=arguments, task_vars=task_vars)
            return answer
        try:
            return self._run_with_sources(arguments, task_vars)
        except OciError as exc:
            return exc.as_failure()

    def _run_with_sources(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        """Run the module with charts that the run knows, or else have it fetch them: no other host does meanwhile.

        Where other hosts may wait for the charts they are fetched alone, so that none waits for releases.

        :raises OciError: when options cannot be used.
        """
        options = self._source_options(arguments)
        own = (*_OWN, *_LOCK, "source_defaults")
        arguments = {name: value for name, value in arguments.items() if name not in own}
        locked = self._locked(options, task_vars) if any(name in options for name in _LOCK) else None
        if locked is not None and locked.only_compares:
            fetching = {**_fetching(options, options.get("pins") or {}), self.WORK: []}
            with in_check_mode(self._task):
                first = self._execute_module(module_args={**arguments, **fetching}, task_vars=task_vars)
            return locked.compare(first, self.FOUND)
        if self._needs_sources(arguments):
            fetching = _fetching(options, options.get("pins") or {})
            answer = self._execute_module(module_args={**arguments, **fetching}, task_vars=task_vars)
        else:
            answer = self._run_with_options(arguments, options, task_vars)
        return answer if locked is None else locked.enter(answer.get(self.FOUND) or {}, answer)

    def _needs_sources(self, arguments: Mapping[str, Any]) -> bool:
        """True when the module has to be given the sources, even where the run knows what they stand for."""
        del arguments
        return False

    def _locked(self, options: dict[str, Any], task_vars: Any) -> LockedCharts | None:
        # most tasks have no lock file, and need nothing of what reads it
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import locked_charts

        return locked_charts(self, options, task_vars)

    def _run_with_options(self, arguments: dict[str, Any], options: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # set at run time
        first: dict[str, Any] = {}
        place = f"{place_of(self, task_vars)} {self.KIND}".rstrip()
        with agreed_charts(folder, place, options) as agreed:
            charts = agreed.charts if options["sources"] else {}
            if charts is None:
                is_alone = len(task_vars.get("ansible_play_hosts_all") or ()) == 1
                fetching = _fetching(options, agreed.pins)
                if not is_alone:
                    fetching[self.WORK] = []
                first = self._execute_module(module_args={**arguments, **fetching}, task_vars=task_vars)
                charts = first.get(self.FOUND) or {}
                agreed.keep(charts)
                if is_alone or first.get("failed"):
                    return first
                # of releases that were not there
                first = {name: value for name, value in first.items() if name not in (self.WORK, "statistics")}
        given = arguments.get(self.FOUND)
        if given is None or isinstance(given, Mapping):
            arguments[self.FOUND] = {**(given or {}), **charts}
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        joined = {name: [*(first.get(name) or ()), *(answer.get(name) or ())] for name in _JOINED}
        return {**first, **answer, self.FOUND: charts, **{name: value for name, value in joined.items() if value}}

    def _source_options(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The options of helm_chart_sources that stand for those of this task, with all that it would be given.

        :raises OciError: when they are not mappings, or a file that the controller's environment names cannot be used.
        """
        if not isinstance(arguments["sources"], dict):
            raise InvalidOption("'sources' is not a mapping of names to sources.")
        if not isinstance(arguments.get("source_defaults") or {}, dict):
            raise InvalidOption("'source_defaults' is not a mapping of options to values.")
        own = {name: arguments[name] for name in (*_OWN, *_LOCK, "policy") if arguments.get(name) is not None}
        defaults = plain(module_defaults(self, SOURCES_MODULE))
        options = {**defaults, **(arguments.get("source_defaults") or {}), **own}
        task_environment: dict[str, Any] = {}
        self._compute_environment_string(task_environment)
        return {**options, **carried_options(options, os.environ, task_environment)}


def _fetching(options: Mapping[str, Any], pins: Mapping[str, Any]) -> dict[str, Any]:
    """The options of this module with which it fetches charts."""
    defaults = {name: value for name, value in options.items() if name not in _OWN}
    own = {
        "sources": sealed(options["sources"]),
        "pins": pins,
        "source_defaults": sealed(defaults) if defaults else None,
    }
    return {**own, **({"cache_dir": options["cache_dir"]} if "cache_dir" in options else {})}
