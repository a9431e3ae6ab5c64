# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CBOR: what is read, and that hostile bytes are only ever refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import cbor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.cbor import Tag, decode, encode_bytes
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

from .notation_lab import cbor_encode

KEYS = st.one_of(st.integers(-(2**64), 2**64 - 1), st.text(max_size=5), st.binary(max_size=5))
LEAVES = st.one_of(KEYS, st.booleans(), st.none(), st.floats(allow_nan=False))
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.builds(Tag, st.integers(0, 2**64 - 1), inner),
    ),
    max_leaves=8,
)


@given(ITEMS)
def test_what_was_written_is_read(value: Any) -> None:
    assert decode(cbor_encode(value), "It") == value


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode(data, "It")
    except Rejected as exc:
        assert exc.code == "malformed"
        assert exc.message.startswith("It is not usable CBOR")


@settings(max_examples=300)
@given(ITEMS, st.data())
def test_a_prefix_is_refused(value: Any, data: st.DataObject) -> None:
    encoded = cbor_encode(value)
    length = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(Rejected):
        decode(encoded[:length], "It")


@given(st.binary(max_size=70000))
def test_byte_strings_are_written_in_their_shortest_form(data: bytes) -> None:
    assert encode_bytes(data) == cbor_encode(data)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65535, 65536])
def test_the_head_of_a_byte_string(size: int) -> None:
    assert encode_bytes(b"x" * size) == cbor_encode(b"x" * size)
    assert decode(encode_bytes(b"x" * size), "It") == b"x" * size


# RFC 8949, appendix A
@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1b000000e8d4a51000", 1000000000000),
        ("1bffffffffffffffff", 18446744073709551615),
        ("3bffffffffffffffff", -18446744073709551616),
        ("20", -1),
        ("3903e7", -1000),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("fbc010666666666666", -4.1),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("f7", None),
        ("c11a514b67b0", Tag(1, 1363896240)),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("62c3bc", "ü"),
        ("6161", "a"),
        ("83010203", [1, 2, 3]),
        ("a201020304", {1: 2, 3: 4}),
        ("826161a161626163", ["a", {"b": "c"}]),
    ],
)
def test_examples_of_the_standard(encoded: str, value: Any) -> None:
    found = decode(bytes.fromhex(encoded), "It")
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read() -> None:
    assert math.isnan(decode(bytes.fromhex("f97e00"), "It"))


@pytest.mark.parametrize(
    ("encoded", "cause"),
    [
        ("", "ends too early"),
        ("18", "ends too early"),
        ("42ff", "ends too early"),
        ("9affffffff", "ends too early"),
        ("bb7fffffffffffffff", "ends too early"),
        ("5bffffffffffffffff", "ends too early"),
        ("8102ff", "bytes follow"),
        ("0000", "bytes follow"),
        ("5f42010243030405ff", "indefinite"),
        ("9fff", "indefinite"),
        ("bf61610161629f0203ffff", "indefinite"),
        ("7f657374726561646d696e67ff", "indefinite"),
        ("1c", "indefinite or unknown"),
        ("ff", "unknown simple value"),
        ("f0", "unknown simple value"),
        ("f8ff", "unknown simple value"),
        ("61ff", "not UTF-8"),
        ("63eda080", "not UTF-8"),
        ("a201020103", "a key occurs twice"),
        ("a20102180103", "a key occurs twice"),
        ("a1f501", "neither a number nor a string"),
        ("a1f93c0001", "neither a number nor a string"),
        ("a18001", "neither a number nor a string"),
    ],
)
def test_what_is_refused(encoded: str, cause: str) -> None:
    with pytest.raises(Rejected, match=cause):
        decode(bytes.fromhex(encoded), "It")


def test_true_is_not_the_key_one() -> None:
    with pytest.raises(Rejected, match="neither a number nor a string"):
        decode(bytes.fromhex("a2010af50b"), "It")


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x01", b"\xc1"])
def test_depth_is_bounded(opening: bytes) -> None:
    decode(opening * cbor.MAX_DEPTH + b"\x01", "It")
    with pytest.raises(Rejected, match="too deep"):
        decode(opening * (cbor.MAX_DEPTH + 1) + b"\x01", "It")
    with pytest.raises(Rejected, match="too deep"):
        decode(opening * 100_000 + b"\x01", "It")


def test_the_number_of_items_is_bounded() -> None:
    decode(cbor_encode([0] * (cbor.MAX_ITEMS - 1)), "It")
    with pytest.raises(Rejected, match="too many items"):
        decode(cbor_encode([0] * cbor.MAX_ITEMS), "It")
