# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as the task has them, before Ansible converts them to their types.

Numbers where a version or a tag is meant: ``tag: 1.10`` without quotes is the number 1.1, which Ansible would make the
text "1.1" of without a word. Texts where a mapping is meant, as in ``verify: cosign``: Ansible refuses them without
saying which option it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_dict

from .._errors import InvalidOption

# The options, at any depth, whose text says which artifact is meant, or which state of something it is.
EXACT_OPTIONS = frozenset(
    {
        "digest",
        "expect",
        "extract",
        "immutable_tags",
        "keep_digests",
        "pattern",
        "pin",
        "pins",
        "range",
        "ref",
        "revision",
        "rollback_to",
        "semver",
        "semver_filter",
        "soaked_in",
        "subject",
        "tag",
        "tags",
        "url",
    }
)
# How a message of Ansible begins about a text in place of a mapping.
REFUSAL = "dictionary requested"

_LIST = "a list of mappings"


def refuse_numbers(spec: Mapping[str, Any], given: Mapping[str, Any], above: str = "") -> None:
    """Check options as the task has them, before Ansible converts other types to text.

    :param spec: an argument spec of Ansible.
    :param above: what the options belong to, for messages: ``filter_tags.policy.``.
    :raises InvalidOption: when one of :data:`EXACT_OPTIONS` is, or holds, a number or a boolean.
    """
    for name, value in given.items():
        option = spec.get(name, {})
        if "options" in option:
            is_list = isinstance(value, list)
            for number, entry in enumerate(value if is_list else [value], 1):
                item = f"item {number} of " if is_list else ""
                refuse_numbers(option["options"], _mapping(entry), f"{item}{above}{name}.")
        elif name in EXACT_OPTIONS:
            for each in _leaves(value):
                if isinstance(each, (bool, int, float)):
                    raise _refusal(f"{above}{name}", name, each, isinstance(value, list))


def no_mapping(spec: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return a message about the first option that is a text in place of a mapping, or of a list of mappings; empty
    when there is none.

    :param spec: an argument spec of Ansible.
    :param given: the options as the task has them. The text is not repeated: it may be a secret.
    """
    for name, wanted, options in _texts(spec, given, ""):
        each = "Each of them" if wanted == _LIST else "It"
        said = f"'{name}' is a text, and {wanted} is wanted. {each} has the options {', '.join(sorted(options))}."
        if wanted == _LIST:
            said += (
                f" In a playbook, write a list; on the command line, all options of the module as JSON: "
                f"-a '{{\"{name}\": [{{…}}]}}'."
            )
        return said
    return ""


def _texts(
    spec: Mapping[str, Any], given: Mapping[str, Any], above: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, value in given.items():
        options = spec.get(name, {}).get("options")
        if not options:
            continue
        for entry in value if isinstance(value, list) else [value]:
            found = _mapping(entry)
            if isinstance(entry, str) and not found:
                is_list = spec[name].get("type") == "list" and not isinstance(value, list)
                yield f"{above}{name}", _LIST if is_list else "a mapping", options
            yield from _texts(options, found, f"{above}{name}.")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()
    else:
        yield value


def _mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as Ansible takes it, also as JSON text; empty for anything else, which Ansible itself reports."""
    if isinstance(value, str) and value:
        try:
            value = check_type_dict(value)
        except (TypeError, ValueError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _refusal(where: str, name: str, value: bool | float, is_list: bool) -> InvalidOption:
    text = str(value).lower()
    quoted = f'["{text}"]' if is_list else f'"{text}"'
    kind = f"the truth value {text}" if isinstance(value, bool) else f"the number {text}"
    digits = " Its digits may be others than were written: 1.10 is the number 1.1, and 010 is 8."
    return InvalidOption(
        f"'{where}' is {kind}, and text is wanted.{'' if isinstance(value, bool) else digits}",
        f"Write it in quotes with all its characters, as in {name}: {quoted}; where it comes from a variable, there.",
    )
