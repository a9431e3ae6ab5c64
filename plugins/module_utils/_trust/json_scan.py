# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds values in a JSON text (RFC 8259) without building the text's objects, which take many times its size.

Everything that is skipped is checked: :func:`skip_value` accepts just what ``json.loads`` does, without NaN and
Infinity. Positions are indexes of bytes. The caller has made sure that the text is UTF-8.

In a large text, expressions match many small values at once: a step of Python for each would take too long for an
SBOM. All repetitions of groups are bounded, since ``re`` keeps a record of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

#: Objects and lists inside each other, as in Go's encoding/json.
MAX_DEPTH = 10_000
#: Bytes of a text that is read value by value.
SMALL_TEXT = 256 * 1024

_OBJECT, _LIST = ord("{"), ord("[")
_CLOSING = {_OBJECT: ord("}"), _LIST: ord("]")}

_ESCAPE = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_PLAIN = rb'[^"\\\x00-\x1f]*'
# the part without escapes comes first, and a character of its own ends each part: expressions that fail do so quickly
_SHORT_STRING = rb'(?:"' + _PLAIN + rb'"|"' + _PLAIN + _ESCAPE + _PLAIN + rb"(?:" + _ESCAPE + _PLAIN + rb'){0,32}")'
_NUMBER = rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_SCALAR = _SHORT_STRING + rb"|" + _NUMBER + rb"|true|false|null"
_GAP = rb"[ \t\r\n]*"
_COMMA = _GAP + rb"," + _GAP
_NAME = _SHORT_STRING + _GAP + rb":" + _GAP


def _with_containers(value: bytes, most: int) -> bytes:
    """Return an expression for a value, and for objects and lists of up to ``most`` such values."""
    expressions = [value]
    for opening, closing, name in ((rb"\[", rb"\]", b""), (rb"\{", rb"\}", _NAME)):
        ending = rb"(?:," + _GAP + rb"(?!" + closing + rb")|(?=" + closing + rb"))"
        entry = name + rb"(?:" + value + rb")" + _GAP + ending
        expressions.append(opening + _GAP + rb"(?:" + entry + rb"){0,%d}" % most + closing)
    return rb"|".join(expressions)


_SPACE = re.compile(_GAP)
_LITERAL = re.compile(rb"true|false|null|" + _NUMBER)
_STRING_PART = re.compile(_PLAIN + rb"(?:" + _ESCAPE + _PLAIN + rb"){0,256}")


@cache
def _runs(in_object: bool) -> re.Pattern[bytes]:
    """Return an expression for small values with the comma behind them, so that another one has to follow.

    To compile it takes longer than to do without it for a small text.
    """
    small = _with_containers(_with_containers(_with_containers(_SCALAR, 8), 8), 16)
    name = _NAME if in_object else b""
    return re.compile(rb"(?:" + name + rb"(?:" + small + rb")" + _COMMA + rb"){1,32}")


class NotJson(ValueError):
    """The text is not JSON, or is nested too deeply."""


def skip_space(text: bytes, position: int = 0) -> int:
    """Return the position of the next character that is no white space."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def is_object(text: bytes, position: int) -> bool:
    """Return True when an object begins there."""
    return text[position : position + 1] == b"{"


def is_list(text: bytes, position: int) -> bool:
    """Return True when a list begins there."""
    return text[position : position + 1] == b"["


def skip_value(text: bytes, position: int) -> int:
    """Return the end of the value that begins at ``position``.

    :raises NotJson: when there is none, or it has more than ``MAX_DEPTH`` levels.
    """
    open_ends = bytearray()
    while True:
        # a value begins here
        opening = text[position] if position < len(text) else 0
        if opening in _CLOSING:
            if len(open_ends) == MAX_DEPTH:
                raise NotJson(f"more than {MAX_DEPTH} levels")
            open_ends.append(_CLOSING[opening])
            position = skip_space(text, position + 1)
            if text[position : position + 1] != open_ends[-1:]:
                position = _next_value(text, position, opening == _OBJECT)
                continue
        else:
            position = _skip_scalar(text, position)
            if not open_ends:
                return position
            position = skip_space(text, position)
        # a value has ended: close what ends with it
        while text[position : position + 1] == open_ends[-1:]:
            open_ends.pop()
            position += 1
            if not open_ends:
                return position
            position = skip_space(text, position)
        if text[position : position + 1] != b",":
            raise NotJson(f"no comma or end at byte {position}")
        position = _next_value(text, skip_space(text, position + 1), open_ends[-1] == _CLOSING[_OBJECT])


def members(text: bytes, position: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, start and end of the value of each member of the object that begins at ``position``.

    After the last one everything up to the object's end was checked.

    :raises NotJson: when it is no object.
    """
    if not is_object(text, position):
        raise NotJson(f"no object at byte {position}")
    position = skip_space(text, position + 1)
    if text[position : position + 1] == b"}":
        return
    while True:
        end = _skip_string(text, position)
        name: str = json.loads(text[position:end])
        start = _after(text, end, b":")
        position = skip_value(text, start)
        yield name, start, position
        position = skip_space(text, position)
        if text[position : position + 1] == b"}":
            return
        position = _after(text, position, b",")


def elements(text: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each element of the list that begins at ``position``.

    :raises NotJson: when it is no list.
    """
    if not is_list(text, position):
        raise NotJson(f"no list at byte {position}")
    position = skip_space(text, position + 1)
    if text[position : position + 1] == b"]":
        return
    while True:
        start = position
        position = skip_value(text, start)
        yield start, position
        position = skip_space(text, position)
        if text[position : position + 1] == b"]":
            return
        position = _after(text, position, b",")


def read_value(text: bytes, start: int, end: int) -> Any:
    """Return the value between two positions, whose syntax was checked; the caller bounds its size.

    :raises NotJson: when it is nested too deeply for Python's parser, or has a number with too many digits.
    """
    try:
        return json.loads(text[start:end])
    except (ValueError, RecursionError) as exc:
        raise NotJson(str(exc)[:100]) from None


def _next_value(text: bytes, position: int, in_object: bool) -> int:
    """Skip small values that others follow, and in an object the next name; return where a value begins."""
    if len(text) > SMALL_TEXT:
        expression = _runs(in_object)
        match = expression.match(text, position)
        while match:
            position = match.end()
            match = expression.match(text, position)
    return _after(text, _skip_string(text, position), b":") if in_object else position


def _after(text: bytes, position: int, mark: bytes) -> int:
    """Return what follows a mark that has to be there, white space around it skipped."""
    position = skip_space(text, position)
    if text[position : position + 1] != mark:
        raise NotJson(f"no {mark.decode('ascii')!r} at byte {position}")
    return skip_space(text, position + 1)


def _skip_scalar(text: bytes, position: int) -> int:
    if text[position : position + 1] == b'"':
        return _skip_string(text, position)
    match = _LITERAL.match(text, position)
    if match is None:
        raise NotJson(f"no value at byte {position}")
    return match.end()


def _skip_string(text: bytes, position: int) -> int:
    if text[position : position + 1] != b'"':
        raise NotJson(f"no string at byte {position}")
    position += 1
    while True:
        match = _STRING_PART.match(text, position)
        end = match.end() if match else position
        if text[end : end + 1] == b'"':
            return end + 1
        if end == position:
            raise NotJson(f"a string with a bad or no end at byte {position}")
        position = end
