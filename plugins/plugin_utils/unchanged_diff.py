# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the diff of a task that changes nothing: Ansible's callbacks show diffs of changed tasks only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

# callbacks that own the whole standard output, so that a program can read it, or that show one line for each task
_NOT_FOR_PEOPLE = frozenset({"json", "jsonl", "null", "oneline"})
# the callback of the command "ansible", which shows the diff of any task itself
_AD_HOC = "minimal"


def show_diff(task: Any, result: Mapping[str, Any]) -> None:
    """In the worker: show ``diff`` of a result as Ansible shows that of a changed task.

    Nothing is shown without ``--diff``, with ``no_log``, for callbacks whose output is read by programs or that show it
    themselves, and for a task with a ``changed_when`` of its own: where that is true, the callback shows the diff.
    """
    diff = result.get("diff")
    if not diff or not task.diff or task.no_log:
        return
    if any(condition is not False for condition in task.changed_when or ()):
        return
    if _callback() in {*_NOT_FOR_PEOPLE, _AD_HOC}:
        return
    # Display of a worker hands the text to the process that writes
    text = CallbackBase()._get_diff(diff)
    if text:
        Display().display(text)


def _callback() -> str:
    """The callback that writes the standard output, without the name of its collection."""
    if context.CLIARGS.get("module_name"):  # the command "ansible" has one of its own, whatever is configured
        return _AD_HOC
    return str(constants.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2]  # type: ignore[attr-defined]  # set at run time
