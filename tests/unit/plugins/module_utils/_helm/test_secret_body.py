# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in the two forms in which Helm sends them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.secret_body import secret_type_and_name


def varint(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def message(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(varint(number << 3 | 2) + varint(len(value)) + value for number, value in fields)


def in_protobuf(kind: str, name: str, data: bytes = b"x") -> bytes:
    entry = (2, message((1, b"release"), (2, data)))
    metadata = message((1, name.encode()), (3, b"")) + varint(7 << 3) + varint(300)
    secret = message((1, metadata), entry, (3, kind.encode()))
    return b"k8s\x00" + message((1, message((1, b"v1"), (2, b"Secret"))), (2, secret), (3, b""), (4, b""))


def in_json(kind: str, name: str) -> bytes:
    return json.dumps({"type": kind, "metadata": {"name": name}}).encode()


@given(st.text(max_size=300), st.text(max_size=300), st.binary(max_size=300))
def test_both_forms(kind: str, name: str, data: bytes) -> None:
    kind, name = (text.encode("utf-8", "ignore").decode() for text in (kind, name))
    assert secret_type_and_name(in_json(kind, name)) == (kind, name)
    assert secret_type_and_name(in_protobuf(kind, name, data)) == (kind, name)


def test_without_a_type_or_name() -> None:
    assert secret_type_and_name(b'{"metadata": {}}') == ("", "")
    assert secret_type_and_name(b"k8s\x00") == ("", "")
    # fields of a fixed width, which Secrets do not have by now
    fixed = varint(9 << 3 | 1) + b"12345678" + varint(9 << 3 | 5) + b"1234"
    assert secret_type_and_name(b"k8s\x00" + message((2, fixed + message((3, b"Opaque"))))) == ("Opaque", "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"metadata": []}',
        b"[" * 100_000,
        b"metadata: {name: x}",
        b"\xff",
        in_protobuf("Opaque", "x")[:-6],
        b"k8s\x00" + b"\xff" * 20,
        b"k8s\x00" + varint(2 << 3 | 2) + varint(1 << 40),
        b"k8s\x00" + varint(2 << 3 | 3),
        b"k8s\x00" + message((2, message((3, b"\xff")))),
    ],
)
def test_anything_else(body: bytes) -> None:
    """Not guessed: a record in the wrong namespace would be one that nobody finds."""
    with pytest.raises(ValueError):
        secret_type_and_name(body)
