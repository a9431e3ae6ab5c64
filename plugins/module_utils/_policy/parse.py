# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a policy as checked rules; what cannot be understood, or contradicts itself, is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from .._errors import InvalidOption, InvalidReference, InvalidSelection
from .._oci.digest import parse_digest
from .._oci.reference import is_tag
from .._oci.times import AGE_SOURCES, DEFAULT_AGE_SOURCES, age_seconds
from .document import Document
from .match import Match
from .refusals import PolicyInvalid
from .rules import TAG_MOVED, Policy, Rule, TagRule

if TYPE_CHECKING:
    from .._trust.policy import VerifyPolicy
    from .window import Schedule

KEYS = (
    "verify",
    "never_downgrade",
    "min_age",
    "age_from",
    "deny_digests",
    "deny_tags",
    "immutable_tags",
    "tag_moved",
    "window",
)
MAX_LIST = 10_000

VerifyParser = Callable[[Mapping[str, Any]], "VerifyPolicy"]


def parse_rules(document: Document, parse_verify: VerifyParser) -> Policy:
    """Check the rules of a policy.

    :param parse_verify: turns ``verify`` of a rule into a checked policy for signatures, or raises InvalidOption.
    :raises PolicyInvalid: when a rule cannot be used, or two contradict each other.
    """
    rules: dict[tuple[str, ...], Rule] = {}
    for number, given in enumerate(document.rules, 1):
        where = f"rule {number} ({str(given.get('match', ''))[:200]!r}) of the policy in {document.source}"
        try:
            rule = _parse_rule(given, parse_verify)
        except (InvalidOption, InvalidReference) as exc:
            raise PolicyInvalid(f"The {where}: {exc.message}", exc.hint) from None
        twin = rules.setdefault(rule.match.key, rule)
        if twin is not rule:
            raise PolicyInvalid(
                f"The {where} is for the same as the rule {twin.match.text!r}: which one applies is not decided.",
                "Make one rule of both.",
            )
    text = json.dumps(document.rules, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return Policy(document.source, tuple(rules.values()), fingerprint)


def _parse_rule(given: Mapping[str, Any], parse_verify: VerifyParser) -> Rule:
    unknown = [str(name) for name in given if name not in (*KEYS, "match")]
    if unknown:
        raise PolicyInvalid(f"it has the unknown key {unknown[0][:100]!r}.", f"Wanted are match, {', '.join(KEYS)}.")
    empty = next((name for name, value in given.items() if value is None), None)
    if empty is not None:
        # as of a variable that is not what somebody thinks: a rule that is silently none
        raise PolicyInvalid(f"'{empty}' has no value.", "Give one, or remove the key.")
    verify = given.get("verify")
    if verify is not None and not isinstance(verify, Mapping):
        raise PolicyInvalid("'verify' is not a mapping.", "It has the suboptions of 'verify' of oci_artifact_pull.")
    age = "min_age" in given
    if "age_from" in given and not age:
        raise PolicyInvalid("it has 'age_from' without 'min_age'.", "Give the age, or remove it.")
    return Rule(
        match=Match(given.get("match", "")),
        verify=None if verify is None else parse_verify(verify),
        never_downgrade=_flag(given.get("never_downgrade", False), "never_downgrade"),
        min_age=_age(given["min_age"]) if age else 0.0,
        age_from=_choices(given.get("age_from", list(DEFAULT_AGE_SOURCES))),
        deny_digests=frozenset(map(_digest, _texts(given.get("deny_digests", []), "deny_digests"))),
        deny_tags=_tag_rule(given.get("deny_tags", []), "deny_tags"),
        immutable_tags=_tag_rule(given.get("immutable_tags", []), "immutable_tags"),
        tag_moved=_choice(given.get("tag_moved", TAG_MOVED[0]), "tag_moved", TAG_MOVED),
        window=_window(given["window"]) if "window" in given else None,
    )


def _flag(value: Any, name: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        # what a template makes of a truth value
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise PolicyInvalid(f"'{name}' is {str(value)[:100]!r}: wanted true or false.")
    return value


def _texts(value: Any, name: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > MAX_LIST or not all(isinstance(each, str) for each in values):
        raise PolicyInvalid(
            f"'{name}' is not a list of at most {MAX_LIST:,} texts.", "Put what looks like a number in quotes."
        )
    return values


def _age(value: Any) -> float:
    if isinstance(value, bool):
        raise PolicyInvalid(f"'min_age' is {value}: wanted a duration such as 24h or 7d.")
    return age_seconds(str(value))


def _choice(value: Any, name: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise PolicyInvalid(f"'{name}' is {str(value)[:100]!r}: wanted {', '.join(choices)}.")
    return str(value)


def _choices(value: Any) -> tuple[str, ...]:
    found = tuple(_choice(each, "age_from", AGE_SOURCES) for each in _texts(value, "age_from"))
    if not found or len(set(found)) < len(found):
        raise PolicyInvalid("'age_from' is empty or names a source twice.", f"Wanted some of {', '.join(AGE_SOURCES)}.")
    return found


def _digest(text: str) -> str:
    parse_digest(text)
    return text


def _tag_rule(value: Any, name: str) -> TagRule:
    if value is True and name == "immutable_tags":
        return TagRule(versions=True)
    if value is False and name == "immutable_tags":
        return TagRule()
    texts = _texts(value, name)
    names = frozenset(filter(is_tag, texts))
    expressions = [text for text in texts if text not in names]
    if "" in expressions:
        raise PolicyInvalid(f"'{name}' has an empty entry.")
    if not expressions:
        return TagRule(names)
    from .._oci.bounded_regex import BoundedRegex

    try:
        return TagRule(names, tuple(BoundedRegex(text, f"'{name}' of the policy") for text in expressions))
    except InvalidSelection as exc:
        raise PolicyInvalid(exc.message, exc.hint) from None


def _window(value: Any) -> Schedule:
    from .window import parse_schedule

    return parse_schedule(value)
