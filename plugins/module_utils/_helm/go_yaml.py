# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads YAML as Helm does, which differs from both PyYAML and YAML 1.2.

Helm uses sigs.k8s.io/yaml on go.yaml.in/yaml/v2 (resolve.go, decode.go): YAML 1.1 with its own rules for numbers.
PyYAML is used as the parser only; scalars are resolved here.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any, Union

from .._errors import BuildError
from .._packages import require

MAX_DEPTH = 100
# A limit, because aliases let a short document merge the same keys many times.
MAX_MERGED = 100_000

_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset("y Y yes Yes YES true True TRUE on On ON".split())
_FALSE = frozenset("n N no No NO false False FALSE off Off OFF".split())
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_SPECIAL = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + text: math.inf for sign in ("", "+") for text in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_POINT_FLOAT = re.compile(rf"\.{_DIGITS}(?:[eE][-+]?{_DIGITS})?")


@dataclass(frozen=True)
class Plain:
    """A boolean or a number, with its spelling in the document."""

    value: bool | int | float
    text: str


# Keys of mappings are text, as in JSON.
Value = Union[None, str, Plain, "list[Any]", "dict[str, Any]"]


def load(data: bytes, what: str, unique: bool = True, quote: bool = True) -> Value:
    """Return the first document of YAML text. Aliases refer to the same object, which is not copied.

    :param what: name of the file in errors.
    :param unique: refuse a mapping with duplicate keys, of which Helm uses the last one.
    :param quote: errors may quote the document; to be false for documents that may hold secrets.
    :raises BuildError: when it is not YAML, or nested more than :data:`MAX_DEPTH` deep.
    :raises MissingDependency: without PyYAML.
    """
    yaml = pyyaml()
    builder = Builder(what, unique, quote)
    # the C parser is ten times as fast; neither parser is recursive
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(data, Loader=parser):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            builder.take(yaml, event)
    except yaml.YAMLError as exc:
        problem = _problem(exc)
        raise BuildError(f"{what} is not YAML: {problem if quote else without_quotes(problem)}.") from None
    except (UnicodeDecodeError, RecursionError) as exc:
        raise BuildError(f"{what} is not YAML: {type(exc).__name__}.") from None
    return builder.result


@dataclass
class Frame:
    """A collection that is being read. In a mapping, keys and values alternate."""

    value: Any
    anchor: str | None = None
    seen: set[str] = field(default_factory=set)
    key: str | None = None
    merging: bool = False


class Builder:
    """Builds the value of a document out of the events of a parser; readers of other YAML replace what differs."""

    def __init__(self, what: str, unique: bool, quote: bool) -> None:
        self.result: Value = None
        self._what = what
        self._unique = unique
        self._quote = quote
        self._stack: list[Frame] = []
        self.anchors: dict[str, Value] = {}
        self._merged = 0

    def take(self, yaml: Any, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            merging = event.value == "<<" and (event.implicit[0] or event.tag == _TAG + "merge")
            if merging and self._expects_key():
                self._stack[-1].merging, self._stack[-1].key = True, "<<"
                return
            try:
                value = self.scalar(event)
            except ValueError as exc:
                raise self._error(event, str(exc)) from None
            self._anchor(event, value)
            self._add(value, event)
        elif isinstance(event, yaml.AliasEvent):
            if any(frame.anchor == event.anchor for frame in self._stack):
                raise self._error(event, f"the anchor {event.anchor!r} contains itself")
            if event.anchor not in self.anchors:
                raise self._error(event, f"the anchor {event.anchor!r} is not defined")
            self._add(self.anchors[event.anchor], event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(self._stack) >= MAX_DEPTH:
                raise self._error(event, f"it is nested more than {MAX_DEPTH} deep")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._anchor(event, value)
            self._stack.append(Frame(value, event.anchor))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            frame = self._stack.pop()
            self._add(frame.value, event)

    def scalar(self, event: Any) -> Value:
        """Return the value of a scalar.

        :raises ValueError: as :func:`scalar`.
        """
        return scalar(event.value, event.tag, event.implicit[0])

    def merge(self, event: Any, frame: Frame, mappings: list[dict[str, Any]]) -> None:
        """Merge mappings into one that is being read: as in Helm, and unlike the YAML specification, their keys replace
        those before the merge."""
        for mapping in reversed(mappings):
            frame.value.update(mapping)

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _anchor(self, event: Any, value: Value) -> None:
        if event.anchor is not None:
            self.anchors[event.anchor] = value

    def _add(self, value: Value, event: Any) -> None:
        if not self._stack:
            self.result = value
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is None:
            try:
                frame.key = _key(value)
            except ValueError as exc:
                raise self._error(event, str(exc)) from None
            if frame.key in frame.seen and self._unique:
                raise self._error(event, f"the key {frame.key[:100]!r} comes twice")
            frame.seen.add(frame.key)
        elif frame.merging:
            mappings: Any = value if isinstance(value, list) else [value]
            for mapping in mappings:
                if not isinstance(mapping, dict):
                    raise self._error(event, "what is merged with '<<' is not a mapping")
                self._merged += len(mapping)
                if self._merged > MAX_MERGED:
                    raise self._error(event, f"more than {MAX_MERGED} keys are merged with '<<'")
            self.merge(event, frame, mappings)
            frame.key, frame.merging = None, False
        else:
            frame.value[frame.key] = value
            frame.key = None

    def _error(self, event: Any, problem: str) -> BuildError:
        shown = problem if self._quote else without_quotes(problem)
        return BuildError(f"{self._what}, line {event.start_mark.line + 1}: {shown}.")


def scalar(text: str, tag: str | None, plain: bool) -> Value:
    """Return the value of a scalar.

    :param plain: True for a scalar without quotes.
    :raises ValueError: when it does not match its tag, or is not valid text.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text has half a surrogate pair") from None
    if not tag and not plain:
        return text
    short = (tag or "").replace(_TAG, "!!", 1)
    if short == "!!binary":
        raise ValueError("binary data is not supported")
    if short not in ("", "!!bool", "!!int", "!!float", "!!null"):
        return text
    value = resolve(text)
    is_number = isinstance(value, Plain) and isinstance(value.value, int) and not isinstance(value.value, bool)
    if short == "!!float" and isinstance(value, Plain) and is_number:
        value = Plain(float(value.value), text)
    found = {bool: "!!bool", int: "!!int", float: "!!float"}.get(
        type(value.value) if isinstance(value, Plain) else type(None), "!!null" if value is None else "!!str"
    )
    if short and short != found:
        raise ValueError(f"{text[:100]!r} is not a valid {short}")
    return value


def resolve(text: str) -> Value:
    """Return the value of a text without quotes and tag."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return Plain(text in _TRUE, text)
    if text in _SPECIAL:
        return Plain(_SPECIAL[text], text)
    first = text[0]
    if first == ".":
        if _POINT_FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return Plain(float(text), text)
    elif first in "+-0123456789":
        digits = text.replace("_", "")
        integer = _integer(digits)
        if integer is not None:
            return Plain(integer, text)
        if _FLOAT.fullmatch(digits) and math.isfinite(float(digits)):
            return Plain(float(digits), text)
    return text


def _integer(digits: str) -> int | None:
    """Return the integer that ``strconv.ParseInt`` and ``ParseUint`` read with base 0, None when it is not one."""
    match = _INTEGER.fullmatch(digits)
    # no 64 bit integer is longer in any base
    if match is None or len(digits.lstrip("+-0xXbBoO")) > 64:
        return None
    sign, hexadecimal, binary, octal, decimal = match.groups()
    base = 16 if hexadecimal else 2 if binary else 8 if octal else 10
    number = int(hexadecimal or binary or octal or decimal, base)
    if sign == "-":
        return -number if number <= 1 << 63 else None
    return number if number < (1 << 63 if sign else 1 << 64) else None


def scalar_text(value: bool | int | float) -> str:
    """Return a boolean or a number as Helm writes it as text: floating point as 32 bits, like ``%g``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _float32(value)


def _key(value: Value) -> str:
    """Return a key of a mapping as text, which JSON requires.

    :raises ValueError: when it is empty, a list or a mapping.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Plain):
        text = scalar_text(value.value)
        return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(text, text)
    raise ValueError(f"a key is {'empty' if value is None else 'a list or mapping'}, wanted is text")


def _float32(value: float) -> str:
    """Return ``strconv.FormatFloat(value, 'g', -1, 32)``."""
    single = _single(value)
    number = struct.unpack(">f", single)[0]
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    spelled = next(text for digits in range(9) if _single(float(text := f"{number:.{digits}e}")) == single)
    mantissa, _e, exponent = spelled.partition("e")
    power = int(exponent)
    if power < -4 or power >= 6:
        return spelled
    places = max(len(mantissa.lstrip("-").replace(".", "")) - 1 - power, 0)
    return f"{float(spelled):.{places}f}"


def _single(value: float) -> bytes:
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", math.copysign(math.inf, value))


def without_quotes(problem: str) -> str:
    """Return the message of a parser without what it quotes of the document."""
    return re.sub("""(['"]).{2,}\\1""", "(hidden)", problem)


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    text = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    line = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{line}{' '.join(str(text).split())[:200]}"


def pyyaml() -> Any:
    """Return the package PyYAML.

    :raises MissingDependency: without it.
    """
    return require("PyYAML", "Reading a Helm chart or its values")
