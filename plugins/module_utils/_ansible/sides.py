# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options ``from`` and ``to``: a reference or a path as text, or a mapping with options of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._errors import InvalidOption
from .._ops.diff.options import is_path
from .items import ARTIFACTS, AUTH_UNIT, as_task, checked, inherited, with_entries
from .run import TaskModule
from .specs import REFERENCE_SPEC, RULES_SPEC, SELECTION_SPEC, TAG_MOVED_SPEC

SIDES = ("from", "to")
SIDES_SPEC: dict[str, Any] = {name: {"type": "raw", "required": True} for name in SIDES}
# what only a side has, and not the task
_OWN: dict[str, Any] = {**REFERENCE_SPEC, **SELECTION_SPEC, **TAG_MOVED_SPEC, "path": {"type": "path"}}
# options of the task as a whole
_OF_THE_TASK = frozenset({*SIDES, *RULES_SPEC, "cache_dir", "helm"})


def with_sides(task: Mapping[str, Any]) -> dict[str, Any]:
    """The argument spec of a module with the suboptions of its sides in it.

    :param task: the argument spec that the module declares.
    """
    options = with_entries({**_of_side(task), ARTIFACTS: {}})[ARTIFACTS]["options"]
    return {**task, **{name: {**task[name], "type": "dict", "options": options} for name in SIDES}}


def side_task(module: AnsibleModule, name: str, task: Mapping[str, Any]) -> AnsibleModule:
    """Return the module with the options of a side in the place of the task's.

    :raises InvalidOption: when an option of the side cannot be used, or it names no place, or two.
    """
    given, own = module.params[name], _of_side(task)
    try:
        params = inherited(checked(module, given, own), module.params, own, [AUTH_UNIT])
        found = as_task(module, {**module.params, **params})
        named = [key for key in ("ref", "url", "path") if found.params.get(key)]
        if len(named) != 1:
            have = f"{' and '.join(named)} are" if named else "none is"
            raise InvalidOption(f"One of 'ref', 'url' and 'path' is wanted, {have} given.")
        selecting = [key for key in _OWN if key not in ("ref", "url", "path") and given.get(key) is not None]
        if named == ["path"] and selecting:
            raise InvalidOption(f"'{selecting[0]}' has no meaning for a directory.", "Leave it out.")
    except InvalidOption as exc:
        exc.message = f"'{name}': {exc.message}"
        raise
    return found


def _of_side(task: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: spec for name, spec in task.items() if name not in _OF_THE_TASK}, **_OWN}


class _ShortForms(AnsibleModule):
    """Writes the short form of a side as a mapping, before anything looks at options."""

    def _load_params(self) -> None:
        super()._load_params()  # type: ignore[no-untyped-call]  # typed in part
        for name in SIDES:
            if name in self.params:
                self.params[name] = _as_mapping(self.params[name])


def _as_mapping(given: Any) -> Any:
    """A side as a mapping; what can be none is left to Ansible, which refuses it without showing what is in it."""
    if isinstance(given, (bool, int, float)):
        return {"ref": given}  # refused by its number
    if not given or (isinstance(given, list) and not all(isinstance(each, Mapping) for each in given)):
        return {}  # refused as it names nothing
    if not isinstance(given, str):
        return given
    if is_path(given):
        return {"path": given}
    # a mapping as JSON or key=value, which no reference looks like, is left for Ansible to read
    return given if "=" in given or given.lstrip().startswith("{") else {"ref": given}


class SidesModule(TaskModule, _ShortForms):
    """A module with the options ``from`` and ``to``. Ansible checks their mappings as suboptions."""

    def _load_params(self) -> None:
        self.argument_spec = with_sides(self.argument_spec)
        super()._load_params()
