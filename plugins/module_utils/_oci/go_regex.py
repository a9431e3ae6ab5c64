# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Translation of Go (RE2) regular expressions, as Flux's users write them, to Python's ``re``.

Source: Go's regexp/syntax ("Syntax") and regexp.Expand. Syntax that differs in Go is rewritten: ``(?<name>…)``,
``\\z``, ``\\Q…\\E``, ``\\x{61}``, ``[[:alpha:]]``, flags in the middle as in ``^(?i)main``, a ``{`` that begins no
count, and
``$``, which in Go is the very end of the text, not the place before a last newline. Syntax that only Python has
(look-around, back references) is left unchanged and works.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Optional

#: The text of the whole match and of each group; None for a group that did not take part in the match.
Groups = tuple[Optional[str], ...]

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\x20-~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r\x20",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_LONG_HEX = re.compile(r"\\x\{([0-9A-Fa-f]{1,8})\}")
_COUNT = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_NAMED = re.compile(r"\(\?<(?![=!])")
_FLAGS = re.compile(r"\(\?([imsU]*(?:-[imsU]+)?)\)")
_GROUP_FLAGS = re.compile(r"\(\?([imsU]*(?:-[imsU]+)?):")


def to_python(pattern: str) -> str:
    """Rewrite an expression of Go for Python's ``re``.

    :raises re.error: when a character class names an unknown POSIX class or never ends. Other mistakes are copied;
        ``re.compile`` finds them.
    """
    return _Translator(pattern).translate()


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0
        self._output: list[str] = []
        # for each group that is open, the flags that were switched inside it: "(?i)" holds up to the group's end
        self._flags: list[list[str]] = [[]]
        # for each group that is open, whether "$" is the end of a line there, not only of the text
        self._multiline = [False]

    def translate(self) -> str:
        while self._position < len(self._pattern):
            self._step()
        self._output.append(")" * len(self._flags[-1]))
        return "".join(self._output)

    def _take(self, length: int, text: str) -> None:
        self._position += length
        self._output.append(text)

    def _step(self) -> None:
        character = self._pattern[self._position]
        if character == "\\":
            self._escape()
        elif character == "[":
            self._character_class()
        elif character == "(":
            self._open_group()
        elif character == ")":
            self._take(1, ")" * (len(self._flags[-1]) + 1))
            if len(self._flags) > 1:
                self._flags.pop()
                self._multiline.pop()
        elif character == "|":
            # the flags apply in the next alternative too, but their groups must not span both
            self._take(1, ")" * len(self._flags[-1]) + "|" + "".join(f"(?{flags}:" for flags in self._flags[-1]))
        elif character == "$" and not self._multiline[-1]:
            self._take(1, r"\Z")
        elif character == "{" and not _COUNT.match(self._pattern, self._position):
            self._take(1, r"\{")
        else:
            self._take(1, character)

    def _escape(self) -> None:
        rest = self._pattern[self._position : self._position + 2]
        long_hex = _LONG_HEX.match(self._pattern, self._position)
        if long_hex:
            self._take(len(long_hex[0]), _character(long_hex[1]))
        elif rest == r"\z":
            self._take(2, r"\Z")
        elif rest == r"\Q":
            end = self._pattern.find(r"\E", self._position)
            literal = self._pattern[self._position + 2 : end if end >= 0 else None]
            self._take(len(literal) + (4 if end >= 0 else 2), re.escape(literal))
        else:
            self._take(2, rest)

    def _open_group(self) -> None:
        flags = _FLAGS.match(self._pattern, self._position)
        if flags:
            self._flags[-1].append(flags[1])
            self._multiline[-1] = self._switch(flags[1])
            self._take(len(flags[0]), f"(?{flags[1]}:")
            return
        group_flags = _GROUP_FLAGS.match(self._pattern, self._position)
        self._flags.append([])
        self._multiline.append(self._switch(group_flags[1]) if group_flags else self._multiline[-1])
        if _NAMED.match(self._pattern, self._position):
            self._take(3, "(?P<")
        else:
            self._take(1, "(")

    def _switch(self, flags: str) -> bool:
        switched_on, _minus, switched_off = flags.partition("-")
        return "m" in switched_on or (self._multiline[-1] and "m" not in switched_off)

    def _character_class(self) -> None:
        self._take(1, "[")
        if self._pattern.startswith("^", self._position):
            self._take(1, "^")
        if self._pattern.startswith("]", self._position):
            self._take(1, r"\]")
        while not self._pattern.startswith("]", self._position):
            if self._position >= len(self._pattern):
                raise re.error("unterminated character set", self._pattern, len(self._pattern))
            self._class_member()
        self._take(1, "]")

    def _class_member(self) -> None:
        posix = _POSIX_CLASS.match(self._pattern, self._position)
        character = self._pattern[self._position]
        if posix:
            if posix[2] not in _POSIX:
                raise re.error(f"unknown character class {posix[0]}", self._pattern, self._position)
            self._take(len(posix[0]), _complement(posix[2]) if posix[1] else _POSIX[posix[2]])
        elif character == "\\":
            long_hex = _LONG_HEX.match(self._pattern, self._position)
            if long_hex:
                self._take(len(long_hex[0]), _character(long_hex[1]))
            else:
                self._take(2, self._pattern[self._position : self._position + 2])
        else:
            # Python reserves doubled &, ~ and | and nested sets for a meaning that Go does not give them
            self._take(1, "\\" + character if character in "[&~|" else character)


def _character(digits: str) -> str:
    number = int(digits, 16)
    if number > 0x10FFFF:
        raise re.error(f"unknown character: \\x{{{digits}}}")
    return f"\\U{number:08x}"


def _complement(name: str) -> str:
    member = re.compile(f"[{_POSIX[name]}]", re.ASCII)
    return "".join(f"\\x{code:02x}" for code in range(128) if not member.match(chr(code))) + r"\x80-\U0010ffff"


def compile_template(template: str, names: Mapping[str, int]) -> Callable[[Groups], str]:
    """Compile a template of Go's ``Expand``: ``$name``, ``${name}``, ``$1``, ``$$``; unknown groups are empty.

    ``$name`` takes the longest run of letters, digits and ``_``: ``$1x`` is the group ``1x``, ``${1}x`` is not.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(template):
        dollar = template.find("$", position)
        if dollar < 0:
            parts.append(template[position:])
            break
        parts.append(template[position:dollar])
        name, position = _name_at(template, dollar + 1)
        if name:
            parts.append(_group_number(name, names))
        else:
            # "$$" is one "$", and so is a "$" that begins no name
            parts.append("$")
            position = dollar + (2 if template.startswith("$", dollar + 1) else 1)
    return lambda groups: "".join(
        part if isinstance(part, str) else (groups[part] or "") if part < len(groups) else "" for part in parts
    )


def _name_at(template: str, start: int) -> tuple[str, int]:
    brace = template.startswith("{", start)
    end = begin = start + brace
    while end < len(template) and (template[end] == "_" or template[end].isalpha() or template[end].isdecimal()):
        end += 1
    if brace and not template.startswith("}", end):
        return "", start
    return template[begin:end], end + brace


def _group_number(name: str, names: Mapping[str, int]) -> str | int:
    if re.fullmatch(r"0|[1-9][0-9]{0,7}", name):
        return int(name)
    return names.get(name, "")
