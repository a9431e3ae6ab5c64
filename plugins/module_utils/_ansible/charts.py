# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module helm_chart_sources as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._errors import InvalidOption
from .._files.bounded import expanded
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
    SELECTION_SPEC,
    TAG_MOVED_SPEC,
    VERIFY_SPEC,
    auth_options,
    cache_options,
    connection_options,
    reference_options,
    verify_policy,
)

DEFAULT_CACHE = "~/.cache/cloudnative.artifacts"

SOURCES_SPEC: dict[str, Any] = {
    # the action plugin hands both over as one text, so that no credential in them is logged
    "sources": {"type": "raw", "required": True, "no_log": True},
    "pins": {"type": "dict", "default": {}},
    **CACHE_SPEC,
    **VERIFY_SPEC,
    **AUTH_SPEC,
    **CONNECTION_SPEC,
}


def chart_cache(module: AnsibleModule) -> str:
    """The directory of the cache, which charts need: Helm is given a file of it.

    :raises InvalidOption: when there shall be none.
    """
    root = cache_options(module).root
    if not root:
        if module.params["cache_dir"] is not None:
            raise InvalidOption("'cache_dir' is empty: charts need a place to lie in.", "Name a directory.")
        root = expanded(DEFAULT_CACHE)
    return root


def chart_sources(module: AnsibleModule) -> list[SourceOptions]:
    """The option ``sources``: what a source does not say, the options of the task do.

    :raises InvalidOption: when a source has options that there are not, or of the wrong type.
    """
    sources = mapping(module.params["sources"], "sources")
    pins = module.params["pins"]
    return [
        _source(module, name, mapping(source, f"options of the source {name}"), str(pins.get(name) or ""))
        for name, source in sources.items()
    ]


def _source(module: AnsibleModule, name: str, source: Mapping[str, Any], pin: str) -> SourceOptions:
    own = {**AUTH_SPEC, **CONNECTION_SPEC, **VERIFY_SPEC}
    optional = {key: {part: value for part, value in spec.items() if part != "default"} for key, spec in own.items()}
    spec = {**REFERENCE_SPEC, **SELECTION_SPEC, **TAG_MOVED_SPEC, **optional}
    refuse_numbers(spec, source, f"source {name}: ")
    validator = ArgumentSpecValidator(spec, mutually_exclusive=[["auth_file", "auth_config"]])
    checked = validator.validate(dict(source))
    module.no_log_values.update(checked._no_log_values, long_secrets(source, spec))
    if isinstance(module, ConcealingModule):
        module.say(concealed(source, spec)[0])
    refused = refusal(source, spec)
    if refused:
        raise InvalidOption(f"The source {name!r}: {refused[0]}", refused[1])
    if checked.error_messages:
        raise InvalidOption(f"The source {name!r}: {'; '.join(checked.error_messages)}.")
    params = {**checked.validated_parameters}
    if params.get("mirrors"):
        from .._mirrors.rules import secrets_of_mirrors

        module.no_log_values.update(secrets_of_mirrors(params["mirrors"]))
    params.update(inherited(params, module.params, own, [AUTH_UNIT]))
    task = cast(AnsibleModule, SimpleNamespace(params=params, no_log_values=module.no_log_values))
    return SourceOptions(
        name=name,
        reference=reference_options({**params, "pin": pin}),
        verify=verify_policy(params["verify"]),
        auth=auth_options(task),
        connection=connection_options(params),
    )
