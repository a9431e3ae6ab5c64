# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML of text, lists and mappings, with the lines where each stands.

Nothing in it means anything but itself: no anchors, no tags, no numbers, and no key twice in one mapping.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._packages import require

MAX_DEPTH = 10


class NotYaml(Exception):
    """Why a text is not read. It continues the file's name in a message: "is not YAML (line 3): …"."""


class Node(NamedTuple):
    """A value, and its first and last line, counted from 0."""

    value: str | list[Node] | dict[str, Node]
    line: int
    last: int

    def plain(self) -> Any:
        """The value alone, with all that is in it."""
        if isinstance(self.value, list):
            return [each.plain() for each in self.value]
        if isinstance(self.value, dict):
            return {key: each.plain() for key, each in self.value.items()}
        return self.value


def read_nodes(text: str) -> Node:
    """Return the one document of a text.

    :raises NotYaml: when it is anything else.
    :raises MissingDependency: when there is no PyYAML.
    """
    yaml = require("PyYAML", "Reading a lock file")
    # that of libyaml is ten times as fast
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return _Reader(iter(yaml.parse(text, Loader=loader))).document()
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problem = getattr(exc, "problem", None)
        raise NotYaml(f"is not YAML{where}{f': {problem}' if problem else ''}") from None
    except (ValueError, RecursionError):
        raise NotYaml("is not YAML") from None


class _Reader:
    """Reads the events of a parser."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def document(self) -> Node:
        for kind in ("StreamStart", "DocumentStart"):
            if _kind(next(self._events)) != kind:
                raise NotYaml("is empty")
        found = self._value(next(self._events), 0)
        next(self._events)  # the end of the document
        if _kind(next(self._events)) != "StreamEnd":
            raise NotYaml("has several YAML documents: wanted one")
        return found

    def _value(self, event: Any, depth: int) -> Node:
        line, kind = event.start_mark.line, _kind(event)
        if depth > MAX_DEPTH:
            raise NotYaml(f"is nested too deep (line {line + 1})")
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise NotYaml(f"has an anchor, alias or tag of YAML (line {line + 1}), which have no place in it")
        if kind == "Scalar":
            end = event.end_mark
            # a text of several lines ends where the next line begins
            return Node(event.value, line, max(line, end.line - (1 if not end.column else 0)))
        parts = self._mapping(depth) if kind == "MappingStart" else self._sequence(depth)
        values: list[Node] = list(parts.values()) if isinstance(parts, dict) else parts
        return Node(parts, line, max([line, *(each.last for each in values)]))

    def _sequence(self, depth: int) -> list[Node]:
        found = []
        for event in self._events:
            if _kind(event) == "SequenceEnd":
                break
            found.append(self._value(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for event in self._events:
            if _kind(event) == "MappingEnd":
                break
            key = self._value(event, depth + 1)
            if not isinstance(key.value, str):
                raise NotYaml(f"has a key that is not text (line {key.line + 1})")
            if key.value in found:
                raise NotYaml(f"has the key {key.value[:100]!r} twice in one mapping (line {key.line + 1})")
            value = self._value(next(self._events), depth + 1)
            found[key.value] = Node(value.value, value.line, max(value.last, key.last))
        return found


def _kind(event: Any) -> str:
    return type(event).__name__[: -len("Event")]
