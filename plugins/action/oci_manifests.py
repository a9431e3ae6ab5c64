# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_manifests: merges defaults into each entry, keeps variables out of logs, and has each source
resolved once per run of ansible-playbook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible import charts as _charts  # noqa: F401  # before workers are forked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import merge
from ansible_collections.cloudnative.artifacts.plugins.modules import oci_manifests
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.with_sources import WithSources


class ActionModule(WithSources, ActionBase):
    MODULE = oci_manifests
    WORK, FOUND, KIND = "manifests", "fetched", "manifests"

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        return {**result, **self._run_shared(_with_defaults(plain(self._task.args)), task_vars)}

    def _needs_sources(self, arguments: Mapping[str, Any]) -> bool:
        # the module finds out on the cluster which earlier revision is meant
        entries = arguments.get("manifests")
        return isinstance(entries, list) and any(isinstance(each, dict) and each.get("rollback_to") for each in entries)


def _with_defaults(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of the module, with ``defaults`` in each entry."""
    entries, defaults = arguments.get("manifests"), arguments.pop("defaults", None) or {}
    if isinstance(entries, list) and isinstance(defaults, dict):
        entries = [merge(defaults, each) if isinstance(each, dict) else each for each in entries]
        for each in entries:
            if isinstance(each, dict) and isinstance(each.get("substitute"), Mapping):
                each["substitute"] = sealed(each["substitute"])
        arguments["manifests"] = entries
    if isinstance(arguments.get("kubeconfig"), Mapping):
        arguments["kubeconfig"] = sealed(arguments["kubeconfig"])
    return arguments
