# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``policy`` as plain mappings: a file on the host that runs the module, or its content.

A file decides what the task may do, so whoever may write to it, or to a directory on the way to it, would decide that.
It is refused unless only root and the user of the task may.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._errors import StorageError
from .._files.bounded import MAX_POLICY_FILE, expanded
from .._files.names import shown
from .refusals import GIVEN, PolicyInvalid

MAX_RULES = 1000
#: Values in a policy, also those that YAML's aliases stand for.
MAX_VALUES = 100_000
RULES = "rules"


class Document(NamedTuple):
    """The rules of a policy, unchecked; ``source`` is the path of its file, or says that the task has its content."""

    source: str
    rules: list[Mapping[str, Any]]


def read_policy(option: Any) -> Document:
    """Read the option ``policy``: a path, a list of rules, one rule, ``rules: […]``, or rules by their ``match``.

    :raises PolicyInvalid: when the file cannot be read or others may write to it, or it is none of these.
    """
    source, content = GIVEN, option
    if isinstance(option, str):
        text = option
        if not text.strip():
            raise PolicyInvalid(
                "The option 'policy' is empty.",
                "Give a path or rules; {match: '*'} as the only rule permits everything.",
            )
        if not option.lstrip().startswith(("[", "{")) and "\n" not in option:
            source = os.path.abspath(expanded(option))
            text = _read_file(source)
        content = _parse(text, source)
    _count(content, source)
    return Document(source, _rules(content, source))


def _rules(content: Any, source: str) -> list[Mapping[str, Any]]:
    if isinstance(content, Mapping) and RULES in content:
        unknown = sorted(str(name) for name in content if name != RULES)
        if unknown:
            raise PolicyInvalid(f"The policy in {source} has {unknown[0][:100]!r} beside 'rules'.", "Remove it.")
        content = content[RULES]
    elif isinstance(content, Mapping) and "match" in content:
        content = [content]
    elif isinstance(content, Mapping):
        content = [_with_match(rule, match, source) for match, rule in content.items()]
    if not isinstance(content, list) or not all(isinstance(rule, Mapping) for rule in content):
        raise PolicyInvalid(
            f"The policy in {source} is not a list of rules.",
            "Each rule is a mapping such as {match: ghcr.io/org, min_age: 24h}.",
        )
    if not 0 < len(content) <= MAX_RULES:
        raise PolicyInvalid(f"The policy in {source} has {len(content)} rules: wanted 1 to {MAX_RULES:,}.")
    return content


def _with_match(rule: Any, match: Any, source: str) -> Any:
    if isinstance(rule, Mapping) and "match" in rule:
        raise PolicyInvalid(f"The rule for {str(match)[:200]!r} in {source} has a 'match' of its own.", "Say it once.")
    if rule is None:
        return {"match": match}
    return {**rule, "match": match} if isinstance(rule, Mapping) else rule


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except _Twice as exc:
        raise _twice(source, exc.key) from None
    except (ValueError, RecursionError):
        pass
    from .._packages import require

    yaml = require("PyYAML", "Reading a policy in YAML", hint="A policy in JSON needs no package.")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined]  # a class of a package that may be missing
        """Refuses two values for one key, of which YAML would take the last."""

        def compose_mapping_node(self, anchor: Any) -> Any:
            # as it is written: once merge keys are resolved, what is merged stands beside what replaces it
            node = super().compose_mapping_node(anchor)
            found: set[str] = set()
            for key, _value in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and isinstance(key.value, str):
                    if key.value in found:
                        raise _Twice(key.value)
                    found.add(key.value)
            return node

    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except _Twice as exc:
        raise _twice(source, exc.key) from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise PolicyInvalid(
            f"The policy in {source} is neither YAML nor JSON{where}: {getattr(exc, 'problem', None) or 'unreadable'}."
        ) from None
    except (ValueError, RecursionError, TypeError):
        raise PolicyInvalid(f"The policy in {source} is neither YAML nor JSON.") from None


class _Twice(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _twice(source: str, key: str) -> PolicyInvalid:
    return PolicyInvalid(f"The policy in {source} has the key {key[:100]!r} twice in one mapping.", "Say it once.")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def _count(content: Any, source: str) -> None:
    """Check the number of values; aliases of YAML may stand for far more than the file has bytes."""
    pending, count = [content], 0
    while pending:
        value = pending.pop()
        count += 1
        if count > MAX_VALUES:
            raise PolicyInvalid(f"The policy in {source} has more than {MAX_VALUES:,} values.")
        if isinstance(value, Mapping):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _read_file(path: str) -> str:
    """The text of a file that only root and the user of this task can change.

    :raises PolicyInvalid: when it cannot be read, or others can change it.
    """
    from .._files.trusted_file import open_trusted_file

    try:
        descriptor = open_trusted_file(path, "what it permits")
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(MAX_POLICY_FILE + 1)
    except StorageError as exc:
        raise PolicyInvalid(f"The policy {shown(path)} is not used. {exc.message}", exc.hint) from None
    except (OSError, ValueError) as exc:
        problem = getattr(exc, "strerror", None) or str(exc)
        raise PolicyInvalid(
            f"The policy {shown(path)} cannot be read on the host that runs the module: {problem}.",
            "Put it there, or hand over its content: policy: \"{{ lookup('file', 'policy.yml') | from_yaml }}\".",
        ) from None
    if len(content) > MAX_POLICY_FILE:
        raise PolicyInvalid(f"The policy {shown(path)} has more than {MAX_POLICY_FILE:,} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyInvalid(f"The policy {shown(path)} is not text in UTF-8.") from None
