# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = """
name: json_results
type: notification
short_description: Write each task result to a file, one JSON document per line
description:
  - For this collection's own tests, which read the results back.
options: {}
"""

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase


def _warning(summary: Any) -> str:
    """From ansible-core 2.19 on a warning is a record of details; its message is what people see."""
    if isinstance(summary, str):
        return summary
    details = getattr(summary, "details", None)
    return str(details[0].msg) if details else str(summary)


class CallbackModule(CallbackBase):
    """Results go to the file named by JSON_RESULTS_FILE."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "json_results"

    def _write(self, task_result: Any, **state: bool) -> None:
        # ansible-core <= 2.18 has only the names with an underscore, which later ones will drop
        result = dict(task_result.result if hasattr(task_result, "result") else task_result._result)
        task = task_result.task if hasattr(task_result, "task") else task_result._task
        warnings = getattr(task_result, "warnings", None) or result.get("warnings") or []
        result["warnings"] = [_warning(item) for item in warnings]
        line = {"task": task.get_name(), "action": task.action, "state": state, "result": result}
        with open(os.environ["JSON_RESULTS_FILE"], "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._write(result, failed=True)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._write(result, skipped=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._write(result, failed=True, unreachable=True)
