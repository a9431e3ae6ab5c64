# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of helm_releases: reads values files on the controller, keeps values out of logs, and has each
source resolved once per run of ansible-playbook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import charts as _charts  # noqa: F401  # before workers are forked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import expanded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import merge
from ansible_collections.cloudnative.artifacts.plugins.modules import helm_releases
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.agreed_charts import agreed_charts, place_of
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.check_mode import in_check_mode
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.controller_environment import carried_options
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.in_worker import InWorker
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.module_defaults import module_defaults
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed

if TYPE_CHECKING:
    from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import LockedCharts

SOURCES_MODULE = "cloudnative.artifacts.helm_chart_sources"
# options of that module that are options of helm_releases, too; the others are source_defaults
_OWN = ("sources", "pins", "cache_dir")
_LOCK = ("lock_file", "lock")
# parts of two results of the module that are not those of the second alone
_JOINED = ("warnings", "deprecations")


class ActionModule(InWorker, ActionBase):
    """Read ``values_files`` on the controller, hand values to the module as text that is marked as secret, and share
    what ``sources`` were resolved to with all hosts of the run."""

    MODULE = helm_releases

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = self._with_values(plain(self._task.args))
        if arguments.get("policy") is None:
            # of the action group: a policy for charts is one for the releases that are made of them
            policy = plain(module_defaults(self, SOURCES_MODULE)).get("policy")
            if policy is not None:
                arguments["policy"] = policy
        if arguments.get("sources") is None:
            arguments = {name: value for name, value in arguments.items() if name not in _LOCK}
            answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        else:
            try:
                answer = self._run_with_sources(arguments, task_vars)
            except OciError as exc:
                answer = exc.as_failure()
        return {**result, **answer}

    def _with_values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The options of the module: with ``defaults`` in each release, and the text of values files."""
        releases, defaults = arguments.get("releases"), arguments.pop("defaults", None) or {}
        documents: dict[str, str | None] = {}
        if isinstance(releases, list) and isinstance(defaults, dict):
            releases = [merge(defaults, each) if isinstance(each, dict) else each for each in releases]
            for release in releases:
                if isinstance(release, dict):
                    self._prepare(release, documents)
            arguments["releases"] = releases
        if documents:
            arguments["values_documents"] = {**documents, **(arguments.get("values_documents") or {})}
        if isinstance(arguments.get("kubeconfig"), Mapping):
            arguments["kubeconfig"] = sealed(arguments["kubeconfig"])
        return arguments

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
            fetching = {**_fetching(options, options.get("pins") or {}), "releases": []}
            with in_check_mode(self._task):
                return locked.compare(self._execute_module(module_args={**arguments, **fetching}, task_vars=task_vars))
        answer = self._run_with_options(arguments, options, task_vars)
        return answer if locked is None else locked.enter(answer.get("charts") or {}, answer)

    def _locked(self, options: dict[str, Any], task_vars: Any) -> LockedCharts | None:
        # most tasks have no lock file, and need nothing of what reads it
        from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.locked_charts import locked_charts

        return locked_charts(self, options, task_vars)

    def _run_with_options(self, arguments: dict[str, Any], options: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        folder = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # set at run time
        first: dict[str, Any] = {}
        with agreed_charts(folder, place_of(self, task_vars), options) as agreed:
            charts = agreed.charts if options["sources"] else {}
            if charts is None:
                is_alone = len(task_vars.get("ansible_play_hosts_all") or ()) == 1
                fetching = _fetching(options, agreed.pins)
                if not is_alone:
                    fetching["releases"] = []
                first = self._execute_module(module_args={**arguments, **fetching}, task_vars=task_vars)
                charts = first.get("charts") or {}
                agreed.keep(charts)
                if is_alone or first.get("failed"):
                    return first
                # of releases that were not there
                first = {name: value for name, value in first.items() if name not in ("releases", "statistics")}
        given = arguments.get("charts")
        if given is None or isinstance(given, Mapping):
            arguments["charts"] = {**(given or {}), **charts}
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        joined = {name: [*(first.get(name) or ()), *(answer.get(name) or ())] for name in _JOINED}
        return {**first, **answer, "charts": charts, **{name: value for name, value in joined.items() if value}}

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

    def _prepare(self, release: dict[str, Any], documents: dict[str, str | None]) -> None:
        if isinstance(release.get("values"), Mapping):
            release["values"] = sealed(release["values"]) if release["values"] else None
        for entry in release.get("values_files") or []:
            path = entry.get("path") if isinstance(entry, Mapping) else entry
            if isinstance(path, str) and path and path not in documents:
                documents[path] = self._read(path)

    def _read(self, path: str) -> str | None:
        """The text of a file, found as the files of ``ansible.builtin.copy`` are, and decrypted; None without one."""
        try:
            found = self._find_needle("files", expanded(path))
            with open(self._loader.get_real_file(found), "rb") as stream:
                return stream.read().decode("utf-8", "surrogateescape")
        except AnsibleFileNotFound:
            return None
        except AnsibleError as exc:
            if "Could not find or access" in str(exc) or "Unable to find" in str(exc):
                return None
            raise


def _fetching(options: Mapping[str, Any], pins: Mapping[str, Any]) -> dict[str, Any]:
    """The options of this module with which it fetches charts."""
    defaults = {name: value for name, value in options.items() if name not in _OWN}
    own = {
        "sources": sealed(options["sources"]),
        "pins": pins,
        "source_defaults": sealed(defaults) if defaults else None,
    }
    return {**own, **({"cache_dir": options["cache_dir"]} if "cache_dir" in options else {})}
