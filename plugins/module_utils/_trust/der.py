# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads DER (X.690): what the timestamps of RFC 3161 are encoded in. BER's other encodings are refused.

Values are read one level at a time, so that the depth of hostile input costs nothing; the caller bounds its size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INTEGER, OCTET_STRING, OBJECT_IDENTIFIER, GENERALIZED_TIME = 0x02, 0x04, 0x06, 0x18
SEQUENCE, SET = 0x30, 0x31
#: The values that one constructed value may have.
MAX_VALUES = 1000


def context(number: int, constructed: bool = True) -> int:
    """Return the tag of a context-specific value."""
    return (0xA0 if constructed else 0x80) | number


@dataclass(frozen=True)
class Value:
    """One encoded value. ``content`` is without, ``encoded`` with its tag and length."""

    tag: int
    content: bytes = field(repr=False)
    encoded: bytes = field(repr=False)

    def children(self) -> list[Value]:
        """Return the values inside a constructed one.

        :raises ValueError: when they cannot be read, or are more than 1000.
        """
        found: list[Value] = []
        position = 0
        while position < len(self.content):
            if len(found) == MAX_VALUES:
                raise ValueError(f"A value in DER has more than {MAX_VALUES} values in it")
            value = _read(self.content, position)
            found.append(value)
            position += len(value.encoded)
        return found

    def oid(self) -> str:
        """Return an object identifier as numbers with dots.

        :raises ValueError: also for any other value.
        """
        content = self.content
        if self.tag != OBJECT_IDENTIFIER or not content or content[-1] & 0x80 or len(content) > 64:
            raise ValueError("A value in DER is not an object identifier")
        numbers, number = [], 0
        for octet in content:
            number = number << 7 | octet & 0x7F
            if not octet & 0x80:
                numbers.append(number)
                number = 0
        first = min(numbers[0] // 40, 2)
        return ".".join(str(each) for each in (first, numbers[0] - 40 * first, *numbers[1:]))

    def integer(self) -> int:
        """Return a whole number of at most 64 bytes.

        :raises ValueError: also for any other value.
        """
        if self.tag != INTEGER or not 0 < len(self.content) <= 64:
            raise ValueError("A value in DER is not a whole number")
        return int.from_bytes(self.content, "big", signed=True)

    def octets(self) -> bytes:
        """Return the content of an octet string.

        :raises ValueError: for any other value.
        """
        return self.expect(OCTET_STRING, "an octet string").content

    def expect(self, tag: int, what: str) -> Value:
        """Return the value itself.

        :raises ValueError: when it has another tag.
        """
        if self.tag != tag:
            raise ValueError(f"A value in DER is not {what}")
        return self


def read(encoded: bytes, what: str) -> Value:
    """Return the one value that the bytes are, with nothing behind it.

    :raises ValueError: for anything else.
    """
    value = _read(encoded, 0)
    if len(value.encoded) != len(encoded):
        raise ValueError(f"{what} has something behind its end")
    return value


def _read(data: bytes, start: int) -> Value:
    if len(data) < start + 2:
        raise ValueError("A value in DER ends early")
    tag, length, begin = data[start], data[start + 1], start + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("A value in DER has a tag that is not known")
    if length & 0x80:
        size = length & 0x7F
        raw = data[begin : begin + size]
        length = int.from_bytes(raw, "big")
        if not 1 <= size <= 4 or len(raw) != size or length < 0x80 or raw[0] == 0:
            raise ValueError("A value is not in DER: its length is indefinite, or not the shortest")
        begin += size
    if begin + length > len(data):
        raise ValueError("A value in DER ends early")
    return Value(tag, data[begin : begin + length], data[start : begin + length])
