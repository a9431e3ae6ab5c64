# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``module_defaults`` of a module that an action stands in for."""

from __future__ import annotations

from typing import Any, cast

from ansible.executor import module_common
from ansible.plugins.action import ActionBase


def module_defaults(action: ActionBase, module: str) -> dict[str, Any]:
    """The options that ``module_defaults`` around the task give to a module, its groups included.

    Ansible adds those of the task's own module. Its actions ``package`` and ``service`` ask for those of others so.

    :param module: the full name of the module.
    """
    task, common = cast(Any, action._task), cast(Any, module_common)
    if hasattr(common, "_apply_action_arg_defaults"):  # from 2.19 on
        found = common._apply_action_arg_defaults(module, task, {}, action._templar)
    else:
        groups = task._parent._play._action_groups
        found = common.get_action_args_with_defaults(
            module, {}, task.module_defaults, action._templar, action_groups=groups
        )
    return dict(found)
