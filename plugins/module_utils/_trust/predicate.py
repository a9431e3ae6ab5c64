# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions on the predicate of a signed statement, and the predicate itself for a result.

Only the values on a path are built, so a predicate may be large.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .._errors import InvalidPolicy, InvalidSelection
from .._oci.bounded_regex import BoundedRegex
from .._oci.nesting import MAX_LEVELS, is_nested_too_deep
from . import json_scan
from .formats import Statement
from .policy import AttestationRule, Condition
from .predicate_path import EACH, Step, parse_path
from .verdict import Rejected

#: Values at one path of one predicate that are compared, and bytes of the longest.
MAX_VALUES = 100_000
MAX_VALUE = 4096
#: Bytes of the predicates that one verification returns.
MAX_RETURNED = 1024 * 1024
#: Seconds of CPU time for one expression on one predicate.
SECONDS_PER_MATCH = 2.0
# in messages
_MAX_SHOWN = 3
_MAX_TEXT = 100


class Conditions:
    """The conditions of one entry of ``attestations``, compiled once.

    ``warnings`` names the expressions that are not anchored at both ends.

    :raises InvalidPolicy: when an expression does not parse.
    """

    def __init__(self, rule: AttestationRule) -> None:
        self.warnings: list[str] = []
        self._compiled = [_Compiled(each, self.warnings) for each in rule.match]

    def check(self, statement: Statement) -> None:
        """Check that the predicate of a verified statement meets all conditions.

        :raises Rejected: ``predicate`` when it does not; ``malformed`` when it is ambiguous.
        """
        for condition in self._compiled:
            condition.check(statement)


class _Compiled:
    def __init__(self, condition: Condition, warnings: list[str]) -> None:
        self._path = condition.path
        self._steps = parse_path(condition.path)
        self._value = condition.value
        self._regex: BoundedRegex | None = None
        if condition.is_pattern:
            from .identity import is_anchored

            where = f"'match' for {condition.path[:200]!r}"
            try:
                self._regex = BoundedRegex(condition.value, where, SECONDS_PER_MATCH)
            except InvalidSelection as exc:
                raise InvalidPolicy(exc.message, exc.hint) from None
            if not is_anchored(condition.value):
                warnings.append(
                    f"The regular expression {condition.value[:200]!r} in {where} is not anchored: it also accepts "
                    "longer texts that contain a match. Begin it with ^ and end it with $."
                )

    def check(self, statement: Statement) -> None:
        found = self._found(statement)
        if self._regex is None:
            if any(_is_same(each, self._value) for each in found):
                return
            wanted = json.dumps(self._value)[: 2 * _MAX_TEXT]
        else:
            texts = [each for each in found if isinstance(each, str) and each.isprintable()]
            try:
                if texts and self._regex.search_all(texts):
                    return
            except InvalidSelection:
                raise Rejected(
                    "predicate", f"The regular expression for {self._path[:200]!r} takes too long on this predicate"
                ) from None
            wanted = f"text that matches {self._regex.pattern[: 2 * _MAX_TEXT]!r}"
        shown = ", ".join(_show(each) for each in found[:_MAX_SHOWN]) or "nothing"
        if len(found) > _MAX_SHOWN:
            shown += f" and {len(found) - _MAX_SHOWN} more"
        raise Rejected("predicate", f"The predicate has {shown} at {self._path[:200]!r}, wanted {wanted}")

    def _found(self, statement: Statement) -> list[Any]:
        """Return the values at the path. An object, a list or a long value is an ellipsis, which equals nothing."""
        values: list[Any] = []
        try:
            for start, end in _walk(statement.text, statement.predicate, self._steps):
                if len(values) == MAX_VALUES:
                    raise Rejected(
                        "predicate", f"The predicate has more than {MAX_VALUES} values at {self._path[:200]!r}"
                    )
                is_plain = statement.text[start] not in b"{[" and end - start <= MAX_VALUE
                values.append(json_scan.read_value(statement.text, start, end) if is_plain else ...)
        except json_scan.NotJson as exc:
            raise Rejected("malformed", f"The predicate cannot be searched: {exc}") from None
        return values


def _walk(text: bytes, span: tuple[int, int] | None, steps: Sequence[Step]) -> Iterator[tuple[int, int]]:
    """Yield where the values at a path begin and end; where there is nothing on the path, nothing is yielded.

    :raises NotJson: when an object on the path has a name twice: other readers could take the other value.
    """
    if span is None:
        return
    if not steps:
        yield span
        return
    start, step, rest = span[0], steps[0], steps[1:]
    if isinstance(step, str):
        if not json_scan.is_object(text, start):
            return
        found = None
        for name, begins, ends in json_scan.members(text, start):
            if name == step:
                if found is not None:
                    raise json_scan.NotJson(f"the name {name[:100]!r} comes twice")
                found = (begins, ends)
        yield from _walk(text, found, rest)
    elif json_scan.is_list(text, start):
        for number, element in enumerate(json_scan.elements(text, start)):
            if step is EACH or number == step:
                yield from _walk(text, element, rest)


def _is_same(found: Any, wanted: Any) -> bool:
    """Compare as JSON does: true is no number, and text is never a number."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, (int, float)) and isinstance(wanted, (int, float)):
        return found == wanted
    return type(found) is type(wanted) and bool(found == wanted)


def _show(value: Any) -> str:
    """Return a value of a predicate for a message, in ASCII and of bounded length."""
    if value is ...:
        return "an object, a list or a long text"
    text = json.dumps(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def read_predicate(statement: Statement, room: int) -> Any:
    """Return the predicate of a verified statement for a result; None where it has none.

    :param room: bytes that it may have.
    :raises Rejected: ``too-large`` or ``malformed``.
    """
    if statement.predicate is None:
        return None
    start, end = statement.predicate
    if end - start > room:
        raise Rejected("too-large", f"The predicate has {end - start} bytes, and {room} are left for the result")
    try:
        predicate = json_scan.read_value(statement.text, start, end)
    except json_scan.NotJson as exc:
        raise Rejected("malformed", f"The predicate cannot be returned: {exc}") from None
    if is_nested_too_deep(predicate):
        raise Rejected("malformed", f"The predicate cannot be returned: it has more than {MAX_LEVELS} levels")
    return predicate
