# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CBOR decoder for untrusted input, limited to what COSE signatures need.

Refused are items of indefinite length, as in COSE libraries, duplicate keys (section 5.6: decoders differ in which one
they use) and unassigned simple values. Source: RFC 8949, section 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from .verdict import Rejected

MAX_DEPTH = 16
MAX_ITEMS = 10_000

_CONSTANTS = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


@dataclass(frozen=True)
class Tag:
    """A tagged item (section 3.4)."""

    number: int
    value: Any


def decode(data: bytes, what: str) -> Any:
    """Decode ``data``, which has to be exactly one item.

    Integers, byte strings, text, arrays, maps and constants become ``int``, ``bytes``, ``str``, ``list``, ``dict`` and
    ``bool`` or ``None``; ``undefined`` becomes ``None`` too. Keys of maps are integers, text or byte strings.

    :param what: name of the data, with which the message begins.
    :raises Rejected: ``malformed``, when it is not such an item, bytes follow it, or it has more than ``MAX_ITEMS``
        items or ``MAX_DEPTH`` levels.
    """
    reader = _Reader(data, what)
    value = reader.item(0)
    if reader.position != len(data):
        raise reader.refuse("bytes follow it")
    return value


def is_integer(value: Any) -> bool:
    """Return True when a decoded item is an integer. A boolean is not, although it is an ``int`` in Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def encode_bytes(data: bytes) -> bytes:
    """Encode a byte string in its shortest form (section 4.1)."""
    size = len(data)
    for limit, form, head in ((24, "", 0), (2**8, ">B", 24), (2**16, ">H", 25), (2**32, ">I", 26)):
        if size < limit:
            return bytes([0x40 | (head or size)]) + (struct.pack(form, size) if form else b"") + data
    return b"\x5b" + struct.pack(">Q", size) + data


class _Reader:
    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._items = 0
        self.position = 0

    def refuse(self, why: str) -> Rejected:
        return Rejected("malformed", f"{self._what} is not usable CBOR: {why}")

    def item(self, depth: int) -> Any:
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise self.refuse("it is nested too deep" if depth > MAX_DEPTH else "it has too many items")
        initial = self._take(1)[0]
        major, info = initial >> 5, initial & 31
        if major == 7:
            return self._simple(info)
        argument = self._argument(info)
        if major < 2:
            return argument if major == 0 else -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._text(argument)
        if major == 4:
            self._expect(argument)
            return [self.item(depth + 1) for _number in range(argument)]
        if major == 5:
            self._expect(2 * argument)
            return self._map(argument, depth + 1)
        return Tag(argument, self.item(depth + 1))

    def _map(self, count: int, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for _number in range(count):
            key = self.item(depth)
            # True and 1.0 would be the same key as 1
            if type(key) not in (int, str, bytes):
                raise self.refuse("a key is neither a number nor a string")
            if key in result:
                raise self.refuse("a key occurs twice")
            result[key] = self.item(depth)
        return result

    def _simple(self, info: int) -> Any:
        if info in _FLOATS:
            return struct.unpack(_FLOATS[info], self._take(1 << (info - 24)))[0]
        if info in _CONSTANTS:
            return _CONSTANTS[info]
        raise self.refuse("it has an unknown simple value")

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise self.refuse("it has an item of indefinite or unknown length")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse("it has text that is not UTF-8") from None

    def _take(self, size: int) -> bytes:
        self._expect(size)
        self.position += size
        return self._data[self.position - size : self.position]

    def _expect(self, size: int) -> None:
        if size > len(self._data) - self.position:
            raise self.refuse("it ends too early")
