# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``artifacts``: a list of mappings, each with options of its own, and those of the task for the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Callable, TypeVar, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator, ValidationResult
from ansible.module_utils.errors import UnsupportedError

from .._errors import InvalidOption
from .exact import refuse_numbers
from .option_secrets import long_secrets
from .run import TaskModule
from .specs import AUTH_SPEC, CACHE_SPEC, REFERENCE_SPEC, RULES_SPEC, SELECTION_SPEC

ARTIFACTS, VIA = "artifacts", "via"
ARTIFACTS_SPEC: dict[str, Any] = {
    # What an entry may have is added by ItemsModule. It is not part of what modules declare: the documentation would
    # have to repeat nearly all options of the module below this one.
    ARTIFACTS: {"type": "list", "elements": "dict"},
    "parallel": {"type": "int", "default": 4},
    "resolve_once": {"type": "bool", "default": False},
}
# Options of the task as a whole. All others are options of one artifact, which an entry may have as well.
OF_THE_TASK = frozenset({*ARTIFACTS_SPEC, *CACHE_SPEC, *RULES_SPEC})

# What a task has for one artifact and has to say for each of several.
IDENTITY_SPEC: dict[str, Any] = {**REFERENCE_SPEC, **SELECTION_SPEC, "pin": {"type": "str"}}
EXCLUSIVE_RULES: list[tuple[str, str]] = [("auth_file", "auth_config")]

Options = TypeVar("Options")


def with_entries(task: Mapping[str, Any]) -> dict[str, Any]:
    """The argument spec of a module with that of an entry of ``artifacts`` in it: the options of one artifact.

    No option of an entry has a default: what an entry does not say, the task does. Records are looked into when the
    entry is read, see :func:`each_item`.

    :param task: the argument spec that the module declares.
    """
    options = {
        name: {key: value for key, value in spec.items() if key not in ("default", "required", "options")}
        for name, spec in task.items()
        if name not in OF_THE_TASK and name != VIA
    }
    return {**task, ARTIFACTS: {**task[ARTIFACTS], "options": options}}


def exclusive_rules(*further: str) -> list[tuple[str, str]]:
    """Return the pairs of options that exclude each other: those of one artifact, and ``artifacts`` with each of
    the options that name one."""
    return [*EXCLUSIVE_RULES, *((ARTIFACTS, name) for name in (*IDENTITY_SPEC, *further))]


def each_item(
    module: AnsibleModule,
    own: Mapping[str, Any],
    units: Sequence[Collection[str]],
    read: Callable[[AnsibleModule], Options],
    labels: Collection[str] = (),
) -> list[tuple[Options, Mapping[str, Any]]]:
    """Return for each entry what ``read`` makes of its options, and the options that name it in results.

    :param own: the options that an entry may have.
    :param units: options that belong together, see :func:`inherited`.
    :param labels: of the options that name an entry, those beside the reference's.
    :raises OciError: for an entry that cannot be used, with its number, and for a ``parallel`` out of bounds.
    """
    from .._ops.many import check_parallel, numbered

    check_parallel(module.params["parallel"])
    found: list[tuple[Options, Mapping[str, Any]]] = []
    for number, item in enumerate(module.params[ARTIFACTS], 1):

        def convert(item: Mapping[str, Any] = item) -> Options:
            params = checked(module, item, own)
            params = {**module.params, **inherited(params, module.params, own, units)}
            return read(as_task(module, params))

        label = {name: item[name] for name in (*IDENTITY_SPEC, *labels) if item.get(name) is not None}
        found.append((numbered(number, convert), label))
    return found


def inherited(
    params: Mapping[str, Any], task: Mapping[str, Any], own: Mapping[str, Any], units: Sequence[Collection[str]]
) -> dict[str, Any]:
    """Return the options of an entry, with those of the task for the options that it does not set.

    ``units`` are options that are never put together from two places, as credentials: as soon as an entry has one of
    them, the others are not taken from the task.
    """
    alone = {name for unit in units if any(params.get(name) is not None for name in unit) for name in unit}
    result = {}
    for name, spec in own.items():
        value = params.get(name)
        if value is None:
            value = spec.get("default") if name in alone else task.get(name)
        result[name] = value
    return result


def checked(module: AnsibleModule, item: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an entry, converted to their types; see :func:`each_item`."""
    optional = {
        name: {key: value for key, value in spec.items() if key not in ("default", "required")}
        for name, spec in own.items()
    }
    validator = ArgumentSpecValidator(optional, mutually_exclusive=[list(each) for each in EXCLUSIVE_RULES])
    refuse_numbers(own, item)
    checked = validator.validate({name: value for name, value in item.items() if value is not None})
    module.no_log_values.update(checked._no_log_values, long_secrets(item, own))
    if item.get("mirrors"):
        from .._mirrors.rules import secrets_of_mirrors

        module.no_log_values.update(secrets_of_mirrors(item["mirrors"]))
    if checked.error_messages:
        raise InvalidOption(_words(checked))
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters


def as_task(module: AnsibleModule, params: dict[str, Any]) -> AnsibleModule:
    """The options of an entry in the place of a task's."""
    task = SimpleNamespace(params=params, no_log_values=module.no_log_values, check_mode=module.check_mode)
    return cast(AnsibleModule, task)


def run_handed_over(
    module: AnsibleModule, own: Mapping[str, Any], read: Callable[[AnsibleModule, Any], Any]
) -> dict[str, Any] | None:
    """The result of a module whose action handed something over (``via``), None otherwise; see :func:`.via.run_via`."""
    text = vars(module).get("handed_over")
    if text is None:
        return None
    from .via import run_via

    def read_all(policy: Any) -> list[tuple[Any, Mapping[str, Any]]]:
        if module.params[ARTIFACTS] is None:
            return [(read(module, policy), {})]
        return each_item(module, own, [AUTH_UNIT], lambda task: read(task, policy), ["dest"])

    return run_via(module, text, read_all)


class ItemsModule(TaskModule):
    """A module whose option ``artifacts`` is a list of mappings with the module's own options.

    Ansible checks the entries as suboptions. It does not number them, so that this is done here, in messages about an
    entry that cannot be used.
    """

    def _load_params(self) -> None:
        self.argument_spec = with_entries(self.argument_spec)
        super()._load_params()
        # long, and of no interest to logs and results
        self.handed_over = self.params.pop(VIA, None) if VIA in self.argument_spec else None

    def fail_json(self, msg: str, **kwargs: Any) -> Any:
        if "reason" not in kwargs:  # it is Ansible that says so, before the module runs
            msg = self._numbered(msg)
        super().fail_json(msg=msg, **kwargs)

    def _numbered(self, msg: str) -> str:
        items = self.params.get(ARTIFACTS)
        validator = ArgumentSpecValidator(self.argument_spec[ARTIFACTS]["options"])
        for number, item in enumerate(items if isinstance(items, list) else [], 1):
            if isinstance(item, Mapping):
                found = validator.validate({name: value for name, value in item.items() if value is not None})
                if found.error_messages:
                    return f"Item {number} of '{ARTIFACTS}': {_words(found)}"
        return msg


def _words(found: ValidationResult) -> str:
    """What Ansible says of options that cannot be used; of unknown ones it gives the names alone."""
    texts = [
        f"unsupported parameters: {error.msg}" if isinstance(error, UnsupportedError) else str(error.msg)
        for error in found.errors.errors
    ]
    return f"{'; '.join(texts).rstrip('.')}."


AUTH_UNIT = tuple(AUTH_SPEC)
