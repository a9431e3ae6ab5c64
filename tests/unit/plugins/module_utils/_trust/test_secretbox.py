# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NaCl's own test vectors, and that nothing altered is opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.secretbox import (
    hsalsa20,
    open_box,
    seal,
    xsalsa20,
)

# NaCl 20110221: tests/core1.c, core2.c, stream3.c, secretbox.c
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
SECOND_KEY = "dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4"
STREAM = "eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"
MESSAGE = bytes.fromhex(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4"
    "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52"
    "f0a089bc76897040e082f937763848645e0705"
)
BOX = bytes.fromhex(
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
    "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
)


def test_published_vectors() -> None:
    assert hsalsa20(SHARED, bytes(16)) == KEY
    assert hsalsa20(KEY, NONCE[:16]).hex() == SECOND_KEY
    assert xsalsa20(KEY, NONCE, 32).hex() == STREAM
    assert seal(MESSAGE, NONCE, KEY) == BOX
    assert open_box(BOX, NONCE, KEY) == MESSAGE


@given(st.binary(max_size=300), st.binary(min_size=24, max_size=24), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens(message: bytes, nonce: bytes, key: bytes) -> None:
    assert open_box(seal(message, nonce, key), nonce, key) == message


@given(st.integers(0, len(BOX) * 8 - 1))
def test_an_altered_box_does_not_open(bit: int) -> None:
    altered = bytearray(BOX)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="not made with this key"):
        open_box(bytes(altered), NONCE, KEY)


@pytest.mark.parametrize("length", [0, 1, 15, 16, len(BOX) - 1])
def test_a_cut_box_does_not_open(length: int) -> None:
    with pytest.raises(ValueError):
        open_box(BOX[:length], NONCE, KEY)


def test_sizes_are_checked() -> None:
    for nonce, key in ((NONCE[1:], KEY), (NONCE, KEY[1:]), (b"", KEY), (NONCE, KEY + b"0")):
        with pytest.raises(ValueError, match="24 bytes"):
            open_box(BOX, nonce, key)
        with pytest.raises(ValueError, match="24 bytes"):
            seal(MESSAGE, nonce, key)
