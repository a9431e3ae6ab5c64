# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's run: its parameters to a call, the result or the error to Ansible."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._oci.errors import OciError


def run_module(
    argument_spec: dict[str, Any],
    call: Callable[[AnsibleModule], dict[str, Any]],
    kind: type[AnsibleModule] | None = None,
    **rules: Any,
) -> None:
    """Run a module: ``call`` turns parameters into the result; an error of the core becomes the module's failure."""
    module = (kind or AnsibleModule)(argument_spec=argument_spec, supports_check_mode=True, **rules)
    result: dict[str, Any] = {}
    failure: OciError | None = None
    try:
        result = call(module)
    except OciError as exc:
        failure = exc
    # outside of the handler: fail_json would attach the traceback of the exception that is being handled
    if failure is not None:
        for warning in failure.details.pop("warnings", []):
            module.warn(warning)
        module.fail_json(msg=str(failure), reason=failure.reason, **failure.details)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)
