# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's run: its parameters to a call, the result or the error to Ansible."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._errors import InvalidOption, OciError
from .concealing import ConcealingModule
from .exact import REFUSAL, no_mapping, refuse_numbers
from .option_secrets import refusal


class TaskModule(ConcealingModule):
    """A module that remembers the options as the task has them, before they are converted to their types."""

    given_params: dict[str, Any]

    def _load_params(self) -> None:
        super()._load_params()
        self.given_params = dict(self.params)

    def fail_json(self, msg: str, **kwargs: Any) -> Any:
        # without a reason it is Ansible that refuses the options, before the module runs
        if "reason" not in kwargs and str(msg).startswith(REFUSAL):
            msg = no_mapping(self.argument_spec, self.given_params) or msg
        kwargs = {"reason": InvalidOption.reason, "retryable": InvalidOption.retryable, **kwargs}
        super().fail_json(msg=msg, **kwargs)


def run_module(
    argument_spec: dict[str, Any],
    call: Callable[[AnsibleModule], dict[str, Any]],
    kind: type[TaskModule] | None = None,
    **rules: Any,
) -> None:
    """Run a module: ``call`` turns parameters into the result; an error of the core becomes the module's failure."""
    module = (kind or TaskModule)(argument_spec=argument_spec, supports_check_mode=True, **rules)
    result: dict[str, Any] = {}
    failure: OciError | None = None
    try:
        refused = refusal(module.params, module.argument_spec)
        if refused:
            raise InvalidOption(*refused)
        refuse_numbers(module.argument_spec, module.given_params)
        result = call(module)
    except OciError as exc:
        failure = exc
    # outside of the handler: fail_json would attach the traceback of the exception that is being handled
    if failure is not None:
        _warn(module, failure.details.pop("warnings", []))
        module.fail_json(**failure.as_failure())
    _warn(module, result.pop("warnings", []))
    module.exit_json(**result)


def _warn(module: AnsibleModule, warnings: list[str]) -> None:
    if warnings:
        from .._secrets.known import without_secrets

        for warning in warnings:
            module.warn(without_secrets(warning))
