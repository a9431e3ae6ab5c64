# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``module_defaults`` of a module that an action stands in for."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


def module_defaults(action: ActionBase, module: str) -> dict[str, Any]:
    """The options that ``module_defaults`` around the task give to a module, its groups included.

    Ansible adds those of the task's own module. Its actions ``package`` and ``service`` ask for those of others so.

    :param module: the full name of the module.
    """
    task = action._task
    try:
        from ansible.executor.module_common import _apply_action_arg_defaults  # from 2.19 on
    except ImportError:
        from ansible.executor.module_common import get_action_args_with_defaults

        groups = task._parent._play._action_groups
        found = get_action_args_with_defaults(module, {}, task.module_defaults, action._templar, action_groups=groups)
    else:
        found = _apply_action_arg_defaults(module, task, {}, action._templar)
    return dict(found)
