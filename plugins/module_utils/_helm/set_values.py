# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parser for the syntax of ``helm --set``: ``a.b[0].c=value``, lists in braces, commas between assignments.

Source: helm, pkg/strvals/parser.go (``ParseInto``, ``ParseIntoString``) and literal_parser.go.
"""

from __future__ import annotations

from typing import Any

from .._errors import ValuesError

MAX_INDEX = 65536
MAX_DEPTH = 30

_INT64 = range(-(1 << 63), 1 << 63)


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
    def __init__(self, text: str, as_text: bool) -> None:
        self._text = text
        self._at = 0
        self._as_text = as_text

    def run(self, values: dict[str, Any]) -> None:
        while self._at < len(self._text):
            self._key(values, 0)

    def _key(self, data: dict[str, Any], depth: int) -> None:
        name, stop = self._until("=[,.")
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
                raise ValueError(f"the value of {name[:100]!r} is not a mapping")
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
            items[index] = self._item(items[index] or [], below, depth)
        else:
            inner = items[index] if isinstance(items[index], dict) else {}
            self._key(inner, depth)
            items[index] = inner
        return items

    def _value(self) -> Any:
        if self._text[self._at : self._at + 1] != "{":
            return self._typed(self._until(",")[0])
        self._at += 1
        items = []
        while True:
            text, stop = self._until(",}")
            if not stop:
                raise ValueError("a list must end with '}'")
            items.append(self._typed(text))
            if stop == "}":
                if self._text[self._at : self._at + 1] == ",":
                    self._at += 1
                return items

    def _index(self) -> int:
        text = self._until("]")[0]
        if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > MAX_INDEX:
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
            if char == "\\":
                char = self._text[self._at : self._at + 1]
                self._at += 1
            found.append(char)
        return "".join(found), ""

    def _typed(self, text: str) -> Any:
        if self._as_text:
            return text
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


def _assign(data: dict[str, Any], name: str, value: Any) -> None:
    if name:
        data[name] = value
