# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parser for the syntax of ``helm --set``: ``a.b[0].c=value``, lists in braces, commas between assignments; and for
those of ``--set-string``, ``--set-json``, ``--set-file`` and ``--set-literal``.

Source: helm, pkg/strvals/parser.go and literal_parser.go; pkg/cli/values/options.go for a JSON object.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable

from .._errors import ValuesError

MAX_INDEX = 65536
MAX_DEPTH = 30

_INT64 = range(-(1 << 63), 1 << 63)
_INDEX = re.compile(r"\+?[0-9]{1,9}", re.ASCII)
# integers beyond this are floating point numbers in Helm, which has no others in JSON
_EXACT = 1 << 53
# what Python takes for blanks and Go does not
_NO_BLANKS = "\x1c\x1d\x1e\x1f"

# how the text of one assignment becomes its value
Convert = Callable[[str], Any]


def set_value(values: dict[str, Any], path: str, text: str) -> None:
    """Set ``text`` at ``path`` in place, as ``helm --set path=text`` does: numbers, booleans and null are recognised.

    :raises ValuesError: for a syntax that Helm does not accept.
    """
    _run(values, path, text, as_text=False)


def set_string(values: dict[str, Any], path: str, text: str, *, literal: bool = False) -> None:
    """Set ``text`` at ``path`` in place, as ``helm --set-string`` does.

    :param literal: commas, braces and backslashes have no special meaning, as in ``--set-literal``.
    :raises ValuesError: for a syntax that Helm does not accept.
    """
    if literal:
        text = "".join("\\" + char if char in "\\,{}" else char for char in text)
    _run(values, path, text, as_text=True)


def assign(values: dict[str, Any], text: str, value_type: str, read: Convert) -> None:
    """Make one or more assignments, in place, as an option of ``helm`` does.

    :param value_type: raw for ``--set``, or string, json, file or literal for the option ``--set-…`` of that name.
    :param read: returns the text of a file by its path, for the type file.
    :raises ValueError: for a syntax that Helm does not accept; the message repeats nothing of the text.
    """
    parser = {"literal": _LiteralParser, "json": _JsonParser}.get(value_type, _Parser)(text, value_type != "raw")
    if value_type == "file":
        parser.convert = read
    parser.run(values)


def json_object(text: str) -> dict[str, Any] | None:
    """Return the values in a text of the type json that is an object, as Helm 4 takes it; None for assignments.

    :raises ValueError: when it is not JSON; the message repeats nothing of the text.
    """
    text = text.strip()
    if not text.startswith("{"):
        return None
    value, end = _decoded(text, 0)
    if end < len(text):
        raise ValueError("other text follows the JSON object")
    found: dict[str, Any] = value
    return found


def file_paths(text: str) -> list[str]:
    """Return the paths in an assignment of the type file; none of one that Helm does not accept."""
    found: list[str] = []

    def noted(path: str) -> str:
        found.append(path)
        return path

    try:
        assign({}, text, "file", noted)
    except ValueError:
        return []
    return found


def _run(values: dict[str, Any], path: str, text: str, as_text: bool) -> None:
    try:
        _Parser(f"{path}={text}", as_text).run(values)
    except ValueError as exc:
        # the text may be a secret: the message must not repeat it
        problem = f"The path {path[:200]!r} cannot be set in the values: {exc}."
    else:
        return
    raise ValuesError(problem, "Correct 'target_path', or the text that is set there.")


class _Parser:
    KEY_STOPS = "=[,."
    ESCAPES = True

    def __init__(self, text: str, as_text: bool) -> None:
        self._text = text
        self._at = 0
        self.convert: Convert = str if as_text else _typed

    def run(self, values: dict[str, Any]) -> None:
        while self._at < len(self._text):
            self._key(values, 0)

    def _key(self, data: dict[str, Any], depth: int) -> None:
        name, stop = self._until(self.KEY_STOPS)
        if stop == "=":
            _assign(data, name, self._value())
        elif stop == "[":
            index = self._index()
            items = data.get(name, [])
            if not isinstance(items, list):
                raise ValueError("there is no list where an index is given")
            _assign(data, name, self._item(items, index, depth))
        elif stop == ".":
            if depth >= MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
            inner = data.get(name, {})
            if not isinstance(inner, dict):
                raise ValueError("there is no mapping where a key below it is given")
            self._key(inner, depth + 1)
            if not inner:
                raise ValueError("a key has no value")
            _assign(data, name, inner)
        elif stop or name:
            raise ValueError("a key has no value")

    def _item(self, items: list[Any], index: int, depth: int) -> list[Any]:
        """Return the list with the value after its index set."""
        name, stop = self._until("[.=")
        if name or not stop:
            raise ValueError("there is other text after the index of a list")
        # a list is never changed in place, so that an assignment that fails does not change it
        items = items + [None] * (index + 1 - len(items))
        if stop == "=":
            items[index] = self._value()
        elif stop == "[":
            below = self._index()
            if not isinstance(items[index], (list, type(None))):
                raise ValueError("there is no list where an index is given")
            if depth >= MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
            items[index] = self._item(items[index] or [], below, depth + 1)
        else:
            inner = items[index] if isinstance(items[index], dict) else {}
            self._key(inner, depth)
            items[index] = inner
        return items

    def _value(self) -> Any:
        if self._at >= len(self._text):
            return ""
        if self._text[self._at] != "{":
            return self.convert(self._until(",")[0])
        self._at += 1
        items = []
        while True:
            text, stop = self._until(",}")
            if not stop:
                raise ValueError("a list must end with '}'")
            items.append(self.convert(text))
            if stop == "}":
                if self._text[self._at : self._at + 1] == ",":
                    self._at += 1
                return items

    def _index(self) -> int:
        text = self._until("]")[0]
        if not _INDEX.fullmatch(text) or int(text) > MAX_INDEX:
            raise ValueError(f"the index of a list is not a number from 0 to {MAX_INDEX}")
        return int(text)

    def _until(self, stops: str) -> tuple[str, str]:
        """Return the text up to one of these characters, and that character; it is empty at the end of the text.

        A backslash escapes the next character.
        """
        found: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char in stops:
                return "".join(found), char
            if char == "\\" and self.ESCAPES:
                char = self._text[self._at : self._at + 1]
                self._at += 1
            found.append(char)
        return "".join(found), ""


class _LiteralParser(_Parser):
    """The value is all that follows, and nothing is escaped, in keys either."""

    KEY_STOPS = "=[."
    ESCAPES = False

    def _value(self) -> Any:
        rest, self._at = self._text[self._at :], len(self._text)
        return rest


class _JsonParser(_Parser):
    """Values are JSON; one that is missing is null."""

    def _value(self) -> Any:
        if self._is_empty():
            return None
        value, self._at = _decoded(self._text, self._at)
        self._is_empty()
        return value

    def _is_empty(self) -> bool:
        """Go past blanks and one comma; return False when something else follows."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == ",":
                self._at += 1
                return True
            if not char.isspace() or char in _NO_BLANKS:
                return False
            self._at += 1
        return True


def _typed(text: str) -> Any:
    folded = text.lower()
    if folded in ("true", "false"):
        return folded == "true"
    if folded == "null":
        return None
    if text == "0":
        return 0
    digits = text[1:] if text[:1] in ("+", "-") else text
    if text[:1] != "0" and digits.isascii() and digits.isdigit() and len(digits) < 20 and int(text) in _INT64:
        return int(text)
    return text


def _decoded(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        # the message of the decoder may repeat the text
        problem = "a value is not JSON"
    raise ValueError(problem)


def _integer(text: str) -> int | float:
    # Python has a limit on digits, which raises ValueError
    number = int(text)
    return number if abs(number) <= _EXACT else _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_finite, parse_constant=_no_number)


def _assign(data: dict[str, Any], name: str, value: Any) -> None:
    if name:
        data[name] = value
