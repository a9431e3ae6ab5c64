# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the module helm_chart_sources work once per run, however many hosts of the play ask for the same."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.shared_file import locked_file
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain, sealed


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        arguments = plain(self._task.args)
        arguments["sources"] = sealed(arguments.get("sources"))
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result
