# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names, as used for the trusted identities of Notary Project trust policies.

Sources: RFC 4514, section 3; Notary Project, trust-store-trust-policy.md, "Trusted Identities Constraints";
notation-go, internal/pkix. A name is a set of attributes, each of which occurs once; the order does not matter. The
attributes are those that notation knows by name: it compares no identity with a subject that has others, and neither
does this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_LENGTH = 4096
REQUIRED = ("C", "ST", "O")

_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.17": "POSTALCODE",
}
_ALIASES = {"S": "ST"}
_ESCAPED = ' "#+,;<=>\\'
_HEX_PAIR = re.compile(r"[0-9a-fA-F]{2}")


def parse_distinguished_name(text: str) -> dict[str, str]:
    """Return the attributes of a name such as ``C=US, ST=WA, O=wabbit-networks.io, OU=a\\, b``.

    :raises ValueError: with a readable clause, when the text does not match the grammar, has values in hexadecimal
        (``=#``), several attributes in one part (``+``), an attribute twice or one that is unknown, or lacks C, ST (or
        S) or O.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    attributes: dict[str, str] = {}
    for part in _parts(text):
        # names of attributes have no escapes, and values may contain "="
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part.strip()!r} is not of the form NAME=value")
        if value.lstrip(" ").startswith("#"):
            raise ValueError("values in hexadecimal (=#) are not supported")
        _add(attributes, name.strip(), _unescape(value))
    return _complete(attributes)


def name_of_subject(subject: Any) -> dict[str, str]:
    """Return the attributes of a certificate's subject (``cryptography.x509.Name``).

    :raises ValueError: as :func:`parse_distinguished_name`.
    """
    attributes: dict[str, str] = {}
    for attribute in subject:
        number, value = attribute.oid.dotted_string, attribute.value
        _add(attributes, _NAMES.get(number, number), value if isinstance(value, str) else "")
    return _complete(attributes)


def is_subset(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Return True when every attribute of ``wanted`` is in ``found`` with exactly the same value."""
    return all(found.get(name) == value for name, value in wanted.items())


def _add(attributes: dict[str, str], name: str, value: str) -> None:
    name = _ALIASES.get(name, name)
    if name not in _NAMES.values():
        known = ", ".join(sorted(_NAMES.values()))
        raise ValueError(f"it has an attribute {name!r}, and only {known} are known")
    if name in attributes:
        raise ValueError(f"it has more than one {name}")
    if not value:
        raise ValueError(f"its {name} is empty")
    attributes[name] = value


def _complete(attributes: dict[str, str]) -> dict[str, str]:
    missing = [name for name in REQUIRED if name not in attributes]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}: C, ST (or S) and O are required")
    return attributes


def _parts(text: str) -> Iterator[str]:
    """Yield the parts between unescaped commas (or semicolons, as in RFC 2253), with their escapes."""
    start = position = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter in ",;":
            yield text[start:position]
            start = position + 1
        elif letter == "+":
            raise ValueError("it has several attributes in one part (+), which is not supported")
        position += 1
    yield text[start:]


def _unescape(value: str) -> str:
    """Return a value without escapes and unescaped surrounding spaces; ``\\XX`` are bytes of UTF-8."""
    result = bytearray()
    end = 0
    position = len(value) - len(value.lstrip(" "))
    while position < len(value):
        letter = value[position]
        position += 1
        if letter != "\\":
            result += letter.encode("utf-8", "surrogatepass")
            end = end if letter == " " else len(result)
            continue
        pair = _HEX_PAIR.match(value, position)
        if position < len(value) and value[position] in _ESCAPED:
            result += value[position].encode("ascii")
            position += 1
        elif pair:
            result.append(int(pair[0], 16))
            position += 2
        else:
            raise ValueError("it has a backslash that escapes nothing")
        end = len(result)
    try:
        return bytes(result[:end]).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it has bytes that are not UTF-8") from None
