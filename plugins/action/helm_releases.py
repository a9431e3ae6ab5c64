# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of helm_releases: reads values files on the controller, keeps values out of logs, and has each
source resolved once per run of ansible-playbook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import charts as _charts  # noqa: F401  # before workers are forked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import expanded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.set_values import file_paths
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import merge
from ansible_collections.cloudnative.artifacts.plugins.modules import helm_releases
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.role_words import in_words_of_role
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.with_sources import WithSources


class ActionModule(WithSources, ActionBase):
    """Read ``values_files`` on the controller, hand values to the module as text that is marked as secret, and share
    what ``sources`` were resolved to with all hosts of the run."""

    MODULE = helm_releases

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        try:
            answer = self._run_shared(self._with_values(plain(self._task.args)), task_vars)
        except InvalidOption as exc:
            answer = exc.as_failure()
        return {**result, **in_words_of_role(answer, task_vars or {})}

    def _with_values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The options of the module: with ``defaults`` in each release, and the text of values files.

        :raises InvalidOption: when ``defaults`` cannot be below a release. The module would say it of ``releases``.
        """
        releases, defaults = arguments.get("releases"), _defaults(arguments.pop("defaults", None) or {})
        documents: dict[str, str | None] = {}
        if isinstance(releases, list):
            releases = [merge(defaults, each) if isinstance(each, dict) else each for each in releases]
            for release in releases:
                if isinstance(release, dict):
                    self._prepare(release, documents)
            arguments["releases"] = releases
        if documents:
            arguments["values_documents"] = {**documents, **(arguments.get("values_documents") or {})}
        planned = arguments.pop("planned_objects", None)
        if planned and self._task.check_mode:
            arguments["planned_objects"] = sealed({"items": planned})
        if isinstance(arguments.get("kubeconfig"), Mapping):
            arguments["kubeconfig"] = sealed(arguments["kubeconfig"])
        return arguments

    def _prepare(self, release: dict[str, Any], documents: dict[str, str | None]) -> None:
        if isinstance(release.get("values"), Mapping):
            release["values"] = sealed(release["values"]) if release["values"] else None
        paths = [
            entry.get("path") if isinstance(entry, Mapping) else entry for entry in release.get("values_files") or []
        ]
        assignments = release.get("set_values")
        if isinstance(assignments, list):
            paths += _paths_of(assignments)
            release["set_values"] = sealed(assignments) if assignments else None
        for path in paths:
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


def _paths_of(assignments: list[Any]) -> list[str]:
    """The paths of the files in ``set_values``."""
    texts = [each.get("value") for each in assignments if isinstance(each, dict) and each.get("value_type") == "file"]
    return [path for text in texts if isinstance(text, str) for path in file_paths(text)]


def _defaults(defaults: Any) -> dict[str, Any]:
    if not isinstance(defaults, dict):
        raise InvalidOption("'defaults' is not a mapping of options of a release.")
    unknown = sorted(str(name) for name in set(defaults) - set(RELEASE_SPEC))
    if unknown:
        raise InvalidOption(
            f"'defaults' has {', '.join(unknown[:10])}, which a release does not have.",
            f"The options of a release are {', '.join(sorted(RELEASE_SPEC))}.",
        )
    return defaults
