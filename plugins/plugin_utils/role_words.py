# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the modules in the words of the role that runs them: with the names of its variables for options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ROLE = "cloudnative.artifacts.helm_release"
PREFIX = "helm_release_"

# options of the modules that are variables of the role, by the rest of the variable's name
_OF_CHARTS = {name: name for name in ("sources", "pins", "cache_dir")}
_OF_RELEASES = {
    **_OF_CHARTS,
    **{
        name: name
        for name in ("releases", "defaults", "helm", "helm_driver", "parallel", "lock_timeout", "kubeconfig", "context")
    },
    **{name: name for name in ("api_key", "ca_cert", "validate_certs", "proxy", "show")},
    "host": "api_host",
}
# what comes before a word in quotes that is not an option, but was given by the user
_GIVEN = ("program ", "source ", "sources ", "entry ", "renderer ", "kind ", "label ", "key ", "for ")
_QUOTED = re.compile(rf"{''.join(f'(?<!{word})' for word in _GIVEN)}'(item \d+ of )?([a-z_]+)((?:\.[a-z_.]+)?)'")
# Ansible's own words about arguments
_UNQUOTED = (
    (re.compile(r"\bfound in (defaults|releases)\b"), r"found in {}\1"),
    (re.compile(r"\bmodule: releases\."), "module: {}releases."),
    (re.compile(r"\bmissing required arguments: releases\b"), "missing required arguments: {}releases"),
)


def in_words_of_role(answer: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's result; where the role runs the module, its messages name the role's variables.

    What is said of a source keeps the names of the source's own options, which are those of the module.
    """
    if task_vars.get("ansible_role_name") != ROLE:
        return answer
    names = _OF_CHARTS if answer.get("failed_sources") else _OF_RELEASES
    changed = dict(answer)
    for name in ("msg", "warnings"):
        if name in changed:
            changed[name] = _in_words(changed[name], names)
    if isinstance(changed.get("releases"), list):
        changed["releases"] = [
            {**each, "msg": _in_words(each["msg"], names)} if "msg" in each else each for each in changed["releases"]
        ]
    return changed


def _in_words(said: Any, names: Mapping[str, str]) -> Any:
    if isinstance(said, list):
        return [_in_words(each, names) for each in said]
    if not isinstance(said, str):
        return said

    def variable(found: re.Match[str]) -> str:
        item, name, below = found.groups()
        return f"'{item or ''}{PREFIX}{names[name]}{below}'" if name in names else found[0]

    said = _QUOTED.sub(variable, said)
    for pattern, words in _UNQUOTED:
        said = pattern.sub(words.format(PREFIX), said)
    return said
