# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes YAML with the bytes that kustomize and Flux write: those of sigs.k8s.io/yaml, keys in its order.

Source: go.yaml.in/yaml/v2, ``encode.go`` (which style a text gets), ``emitterc.go`` (how it is written), ``sorter.go``.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .._errors import ManifestsInvalid
from .._helm.go_yaml import Plain, resolve
from .kustomize_yaml import Moment, timestamp

_INDENT = 2
# A line that is longer than this is broken at the next single space.
_WIDTH = 80
# Bytes up to which a key stands before its colon; a longer one gets a line with "?".
_SIMPLE_KEY = 128

_SAFE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*\Z")
_BREAKS = "\n\r\x85\u2028\u2029"
_UNPRINTABLE = re.compile("[^\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
_INDICATORS = re.compile(r"""[#,\[\]{}&*!|>'"%@`]|[?:-](?:[ \t]|\Z)|---|\.\.\.""")
_INNER = re.compile(rf":(?:[ \t]|\Z)|[ \t{_BREAKS}]\#")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_NEXT_LINE = re.compile(" *\x85[ \x85]*")
_ESCAPES = {
    "\0": "0", "\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e", '"': '"',
    "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P",
}  # fmt: skip
_ESCAPED = re.compile('[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]|["\\\\]')


def dump_go(document: Mapping[str, Any]) -> str:
    """Return a document as kustomize writes it, with a line break at its end.

    :raises ManifestsInvalid: for a number that JSON has not.
    """
    if not document:
        return "{}\n"
    out: list[str] = []
    _write_mapping(out, document, 0, 0)
    return "".join(out)


def _write_mapping(out: list[str], mapping: Mapping[str, Any], indent: int, column: int) -> None:
    """Write a mapping, of which the first key comes at ``column`` of the present line."""
    for key in sorted(mapping, key=_ORDER):
        out.append(" " * (indent - column))
        column = 0
        text = _key_text(key)
        if text is None:
            out.append("? ")
            out.append(_ended(_text(key, indent + _INDENT, indent + 2)))
            out.append(f"{' ' * indent}:")
            _write_value(out, mapping[key], indent, indent + 1, False)
        else:
            out.append(f"{text}:")
            _write_value(out, mapping[key], indent, indent + len(text) + 1, True)


def _write_sequence(out: list[str], items: list[Any], indent: int, column: int) -> None:
    for item in items:
        out.append(f"{' ' * (indent - column)}-")
        column = 0
        _write_value(out, item, indent, indent + 1, False)


def _write_value(out: list[str], value: Any, indent: int, column: int, in_mapping: bool) -> None:
    """Write a value behind the colon or the hyphen that ends at ``column``, to the end of its last line."""
    if isinstance(value, Mapping):
        if not value:
            out.append(" {}\n")
        elif in_mapping:
            out.append("\n")
            _write_mapping(out, value, indent + _INDENT, 0)
        else:
            out.append(" ")
            _write_mapping(out, value, indent + _INDENT, column + 1)
    elif isinstance(value, (list, tuple)):
        if not value:
            out.append(" []\n")
        elif in_mapping:
            out.append("\n")
            _write_sequence(out, list(value), indent, 0)
        else:
            out.append(" ")
            _write_sequence(out, list(value), indent + _INDENT, column + 1)
    else:
        out.append(" ")
        out.append(_ended(_scalar(value, indent + _INDENT, column + 1)))


def _ended(text: str) -> str:
    return text if text[-1] in _BREAKS else f"{text}\n"


def _scalar(value: Any, indent: int, column: int) -> str:
    if isinstance(value, (Plain, Moment)):
        value = value.value
    if isinstance(value, str):
        return _text(_folded(value), indent, column)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    return "null"


def _folded(text: str) -> str:
    """Return a text after its way through JSON that is read as YAML, where U+0085 breaks a line, which is folded."""
    return _NEXT_LINE.sub(lambda found: "\n" * (found[0].count("\x85") - 1) or " ", text) if "\x85" in text else text


def _number(value: float) -> str:
    """Return a number after its way through JSON: whole numbers lose their point, as far as they have 64 bits."""
    if not math.isfinite(value):
        raise ManifestsInvalid(f"A manifest holds the number {value}, which Kubernetes cannot take.")
    if value.is_integer() and abs(value) < 1e21 and -(1 << 63) <= int(value) < 1 << 64:
        return str(int(value))
    _sign, numbers, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, numbers))
    power = len(digits) + int(exponent) - 1
    digits = digits.rstrip("0")
    if -4 <= power < 6:
        return format(Decimal(repr(value)), "f")
    point = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{point}e{'-' if power < 0 else '+'}{abs(power):02d}"


# -- texts


def _key_text(key: str) -> str | None:
    """Return a key as it stands before its colon; None for one that is too long for that, or has several lines."""
    if any(char in key for char in _BREAKS) or len(key.encode("utf-8", "surrogatepass")) > _SIMPLE_KEY:
        return None
    return _text(key, 0, 0, is_key=True)


def _text(text: str, indent: int, column: int, *, is_key: bool = False) -> str:
    """Return a text in the style that it gets; without a line break at its end, unless it is a block."""
    is_plain = is_plain_text(text)
    is_plain = is_plain_text(text)
    if _SAFE.match(text) and is_plain and len(text) < _WIDTH:
        return text
    has_special = _UNPRINTABLE.search(text) is not None
    has_break = any(char in text for char in _BREAKS)
    space_break = has_break and re.search(f" [{_BREAKS}]", text) is not None
    if "\n" in text:
        if has_special or space_break or text.endswith(" ") or is_key:
            return _double_quoted(text, indent, column, is_key=is_key)
        return _literal(text, indent)
    if not is_plain or has_special or space_break:
        return _double_quoted(text, indent, column, is_key=is_key)
    if has_break and re.search(f"[{_BREAKS}] ", text):
        return _double_quoted(text, indent, column, is_key=is_key)
    is_edged = text[0] == " " or text[-1] == " " or has_break
    if is_edged or _INDICATORS.match(text) or _INNER.search(text):
        return f"'{_broken(text.replace(chr(39), chr(39) * 2), indent, column + 1, is_key=is_key)}'"
    return _broken(text, indent, column, is_key=is_key, is_plain=True)


def is_plain_text(text: str) -> bool:
    """Return True when a text without quotes is read as that text, by what reads YAML 1.1 as well."""
    if _BASE_60.match(text) or timestamp(text) is not None:
        return False
    return isinstance(resolve(text), str)


def _broken(text: str, indent: int, column: int, *, is_key: bool, is_plain: bool = False) -> str:
    """Return a text with line breaks at single spaces behind the width of a line."""
    if is_key or (column + len(text) <= _WIDTH and not any(char in text for char in _BREAKS)):
        return text
    parts, has_spaces, has_breaks = [], False, False
    for number, char in enumerate(text):
        if char == " ":
            follows = text[number + 1 : number + 2]
            inner = is_plain or 0 < number < len(text) - 1
            if not has_spaces and column > _WIDTH and inner and follows != " ":
                parts.append("\n" + " " * indent)
                column = indent
            else:
                parts.append(char)
                column += 1
            has_spaces = True
        elif char in _BREAKS:
            parts.append(char)
            column, has_breaks = 0, True
        else:
            if has_breaks:
                parts.append(" " * indent)
                column = indent
            parts.append(char)
            column += 1
            has_spaces = has_breaks = False
    return "".join(parts)


def _double_quoted(text: str, indent: int, column: int, *, is_key: bool) -> str:
    if is_key or " " not in text:
        return f'"{_ESCAPED.sub(_escape, text)}"'
    parts, has_spaces = ['"'], False
    column += 1
    for number, char in enumerate(text):
        if char == " ":
            if not has_spaces and column > _WIDTH and 0 < number < len(text) - 1:
                parts.append("\n" + " " * indent)
                column = indent
                if text[number + 1] == " ":
                    parts.append("\\")
                    column += 1
            else:
                parts.append(char)
                column += 1
            has_spaces = True
        else:
            written = _ESCAPED.sub(_escape, char)
            parts.append(written)
            column += len(written)
            has_spaces = False
    return "".join(parts) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _ESCAPES:
        return f"\\{_ESCAPES[char]}"
    number = ord(char)
    if number <= 0xFF:
        return f"\\x{number:02X}"
    return f"\\u{number:04X}" if number <= 0xFFFF else f"\\U{number:08X}"


def _literal(text: str, indent: int) -> str:
    hint = str(_INDENT) if text[0] == " " or text[0] in _BREAKS else ""
    body = text.rstrip(_BREAKS)
    ending = text[len(body) :]
    hint += "-" if not ending else "+" if len(ending) > 1 or not body else ""
    padding = " " * indent
    lines = re.sub(f"(?:\\A|(?<=[{_BREAKS}]))(?=[^{_BREAKS}])", padding, text)
    return f"|{hint}\n{lines}"


# -- the order of keys


def _compare(one: str, other: str) -> int:
    """Return which of two keys comes first: digits count as numbers, letters come after everything else."""
    for at, (left, right) in enumerate(zip(one, other)):
        if left == right:
            continue
        is_letter = left.isalpha(), right.isalpha()
        if all(is_letter):
            return -1 if left < right else 1
        if any(is_letter):
            return -1 if is_letter[1] else 1
        start = 0
        if "0" in (left, right):
            before = at - 1
            while before >= 0 and _is_digit(one[before]):
                if one[before] != "0":
                    start = 1
                    break
                before -= 1
        left_number, left_end = _digits(one, at, start)
        right_number, right_end = _digits(other, at, start)
        if left_number != right_number:
            return -1 if left_number < right_number else 1
        if left_end != right_end:
            return -1 if left_end < right_end else 1
        return -1 if left < right else 1
    return len(one) - len(other)


def _is_digit(char: str) -> bool:
    return char.isdecimal()


def _digits(text: str, at: int, start: int) -> tuple[int, int]:
    number = start
    while at < len(text) and _is_digit(text[at]):
        number = _wrapped(number * 10 + ord(text[at]) - 48)
        at += 1
    return number, at


def _wrapped(number: int) -> int:
    """Return a number as Go's int64 holds it."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


_ORDER = functools.cmp_to_key(_compare)
