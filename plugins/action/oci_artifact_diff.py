# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of oci_artifact_diff."""

from __future__ import annotations

from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.modules import oci_artifact_diff
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.registry_action import RegistryAction
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.unchanged_diff import show_diff


class ActionModule(RegistryAction):
    """Brings what the controller's environment says, runs the module in the worker where it can, and shows the diff."""

    MODULE = oci_artifact_diff

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        show_diff(self._task, result)
        return result
