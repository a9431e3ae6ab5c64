# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module helm_chart_sources as dataclasses, also where helm_releases has them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._errors import InvalidOption
from .._files.home import in_home
from .._oci.options import parse_duration
from .._ops.charts.sources import SourceOptions
from .concealing import ConcealingModule
from .exact import refuse_numbers
from .items import AUTH_UNIT, inherited
from .option_secrets import concealed, long_secrets, refusal
from .sealed import mapping
from .specs import (
    AUTH_SPEC,
    CACHE_SPEC,
    CONNECTION_SPEC,
    REFERENCE_SPEC,
    RULES_SPEC,
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    rules_of,
    verify_policy,
)

if TYPE_CHECKING:
    from .._policy.rules import Policy

DEFAULT_CACHE = ".cache/cloudnative.artifacts"  # in the home directory

INTERVAL_SPEC: dict[str, Any] = {"interval": {"type": "str"}}
SOURCES_SPEC: dict[str, Any] = {
    # the action plugin hands both over as one text, so that no credential in them is logged
    "sources": {"type": "raw", "required": True, "no_log": True},
    "pins": {"type": "dict", "default": {}},
    **CACHE_SPEC,
    **VERIFY_SPEC,
    **RULES_SPEC,
    **AUTH_SPEC,
    **CONNECTION_SPEC,
    **INTERVAL_SPEC,
    "values_sources": {"type": "list", "elements": "str", "default": []},
}


# The options of one source, and of a task for all that do not say otherwise.
_SHARED_SPEC: dict[str, Any] = {**AUTH_SPEC, **CONNECTION_SPEC, **VERIFY_SPEC, **INTERVAL_SPEC}


def chart_cache(module: AnsibleModule) -> str:
    """The directory of the cache, which charts need: Helm is given a file of it.

    :raises InvalidOption: when there shall be none.
    """
    root = cache_options(module).root
    if not root:
        if module.params["cache_dir"] is not None:
            raise InvalidOption("'cache_dir' is empty: charts need a place to lie in.", "Name a directory.")
        root = in_home(DEFAULT_CACHE, "'cache_dir'")
    return root


def chart_sources(module: AnsibleModule, defaults: Mapping[str, Any] | None = None) -> list[SourceOptions]:
    """The option ``sources``: what a source does not say, the options of the task do.

    :param defaults: options in the place of the task's, as :func:`source_defaults` returns them.
    :raises InvalidOption: when a source has options that there are not, or of the wrong type.
    """
    sources = mapping(module.params["sources"], "sources")
    pins = module.params["pins"]
    task = module.params if defaults is None else defaults
    policy = rules_of(task.get("policy"))
    return [
        _source(module, task, name, mapping(source, f"options of the source {name}"), str(pins.get(name) or ""), policy)
        for name, source in sources.items()
    ]


def source_defaults(module: AnsibleModule) -> dict[str, Any]:
    """The option ``source_defaults``, complete with Ansible's own defaults.

    :raises InvalidOption: when there is no such option, or it is of the wrong type.
    """
    given = mapping(module.params["source_defaults"] or {}, "source defaults")
    return _checked(module, given, {**_SHARED_SPEC, **RULES_SPEC}, "'source_defaults'", "source_defaults: ")


def _source(
    module: AnsibleModule,
    defaults: Mapping[str, Any],
    name: str,
    source: Mapping[str, Any],
    pin: str,
    policy: Policy | None,
) -> SourceOptions:
    optional = {
        key: {part: value for part, value in spec.items() if part != "default"} for key, spec in _SHARED_SPEC.items()
    }
    spec = {**REFERENCE_SPEC, **SELECTION_SPEC, **TAG_MOVED_SPEC, **optional}
    params = _checked(module, source, spec, f"The source {name!r}", f"source {name}: ")
    params.update(inherited(params, defaults, _SHARED_SPEC, [AUTH_UNIT]))
    task = cast(AnsibleModule, SimpleNamespace(params=params, no_log_values=module.no_log_values))
    return SourceOptions(
        name=name,
        reference=reference_options({**params, "pin": pin}),
        verify=verify_policy(params["verify"]),
        auth=auth_options(task),
        connection=connection_options(params),
        policy=policy,
        interval=parse_duration(params["interval"], "interval") if params["interval"] is not None else 0.0,
    )


def _checked(
    module: AnsibleModule, given: Mapping[str, Any], spec: dict[str, Any], what: str, above: str
) -> dict[str, Any]:
    """Options that Ansible has not checked with those of the task; secrets among them are hidden from now on.

    :param what: what has these options, the beginning of a sentence.
    :param above: what goes before the name of an option in messages.
    :raises InvalidOption: when there is no such option, or it is of the wrong type.
    """
    refuse_numbers(spec, given, above)
    checked = ArgumentSpecValidator(spec, mutually_exclusive=[["auth_file", "auth_config"]]).validate(dict(given))
    module.no_log_values.update(checked._no_log_values, long_secrets(given, spec))
    if isinstance(module, ConcealingModule):
        module.say(concealed(given, spec)[0])
    refused = refusal(given, spec)
    if refused:
        raise InvalidOption(f"{what}: {refused[0]}", refused[1])
    if checked.error_messages:
        raise InvalidOption(f"{what}: {'; '.join(checked.error_messages)}.")
    params: dict[str, Any] = {**checked.validated_parameters}
    if params.get("mirrors"):
        from .._mirrors.rules import secrets_of_mirrors

        module.no_log_values.update(secrets_of_mirrors(params["mirrors"]))
    return params
