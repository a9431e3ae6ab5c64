# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Type and name of a Secret in the body of a request: in JSON, or in the protobuf of Kubernetes, as newer Helms do.

Source: k8s.io/apimachinery, pkg/runtime/serializer/protobuf (the envelope); k8s.io/api/core/v1/generated.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

_MAGIC = b"k8s\x00"
# fields of runtime.Unknown, Secret and ObjectMeta
_RAW = 2
_METADATA, _TYPE = 1, 3
_NAME = 1
# wire types of protobuf
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_WIDTHS = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def secret_type_and_name(body: bytes) -> tuple[str, str]:
    """Return type and name of a Secret; empty where it has none.

    :raises ValueError: when the body is neither an object in JSON nor one in protobuf.
    """
    if body.startswith(_MAGIC):
        secret = _field(body[len(_MAGIC) :], _RAW)
        return _field(secret, _TYPE).decode("utf-8"), _field(_field(secret, _METADATA), _NAME).decode("utf-8")
    try:
        document = json.loads(body)
        return str(document.get("type") or ""), str(document["metadata"].get("name") or "")
    except (AttributeError, KeyError, TypeError, RecursionError):
        raise ValueError("it is not an object in JSON") from None


def _field(message: bytes, number: int) -> bytes:
    """Return the last field of a message with this number, as protobuf wants it; empty when there is none."""
    found = b""
    for each, value in _fields(message):
        if each == number:
            found = value
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that have a length: texts, bytes, and messages."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire = key & 7
        if wire == _VARINT:
            _value, position = _varint(message, position)
            continue
        if wire == _LENGTH:
            size, position = _varint(message, position)
        elif wire in _WIDTHS:
            size = _WIDTHS[wire]
        else:
            raise ValueError("it is not protobuf")
        if position + size > len(message):
            raise ValueError("its protobuf is cut off")
        if wire == _LENGTH:
            yield key >> 3, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = 0
    for count, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            return value, position + count + 1
    raise ValueError("its protobuf is cut off")
