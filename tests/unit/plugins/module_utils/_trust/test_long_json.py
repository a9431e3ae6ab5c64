# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents with one very long string, read in pieces of any size."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust import long_json
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.formats import Document, decode_base64
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.long_json import read_document
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verdict import Rejected

SHORT = 64
CONTENT = bytes(range(256)) * 2


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_json, "MAX_STRING", SHORT)
    monkeypatch.setattr(long_json, "MAX_TEXT", 2000)


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def read(text: bytes, size: int = 7) -> Document:
    return read_document(pieces(text, size), "The bundle")


def code_of(text: bytes, size: int = 7) -> str:
    with pytest.raises(Rejected) as caught:
        document = read(text, size)
        document.decode(document.parse("The bundle")["payload"], "The payload")
    return caught.value.code


@settings(max_examples=80, deadline=None)
@given(
    content=st.binary(min_size=0, max_size=300),
    others=st.dictionaries(
        st.text(max_size=4), st.text(max_size=5) | st.integers() | st.lists(st.text(max_size=5)), max_size=4
    ),
    size=st.integers(1, 400),
    spelling=st.sampled_from(["plain", "lines", "url", "slashes", "unicode"]),
    indent=st.sampled_from([None, 2]),
)
def test_the_document_is_that_of_python(
    content: bytes, others: dict[str, Any], size: int, spelling: str, indent: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_json, "MAX_STRING", SHORT)
        patch.setattr(long_json, "MAX_TEXT", 10**6)
        encoded = base64.b64encode(content).decode("ascii")
        if spelling == "lines":
            encoded = base64.encodebytes(content).decode("ascii").replace("\n", "\r\n")
        if spelling == "url":
            encoded = base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")
        document = {**others, "payload": encoded, "last": "x"}
        text = json.dumps(document, indent=indent)
        if spelling == "slashes":
            text = text.replace("/", "\\/")
        if spelling == "unicode":
            text = text.replace("A", "\\u0041").replace("+", "\\u002b").replace("=", "\\u003d")
        raw = text.encode("ascii")
        wanted = json.loads(raw)
        found = read(raw, size)
    assert found.sha256 == hashlib.sha256(raw).hexdigest()
    is_long = len(json.dumps(document["payload"])) - 2 > SHORT
    parsed = found.parse("The bundle")
    assert found.decode(parsed["payload"], "The payload") == content
    assert {**parsed, "payload": ""} == {**wanted, "payload": ""}
    if spelling == "plain":
        assert bool(found.mark) == is_long
    assert decode_base64(json.loads(found.whole_text())["payload"], "It", any_alphabet=True) == content


@pytest.mark.parametrize("size", [1, 5, 10**6])
def test_what_cannot_be_a_payload(size: int) -> None:
    good = base64.b64encode(CONTENT)
    start, end = b'{"payload":"', b'"}'
    assert read(start + good + end, size).long_value == CONTENT
    for wrong in (
        good + b"*",
        b"*" + good,
        good[:-8] + b"====" + good[-8:],
        good[:80] + b"\n" + good[80:],
        good[:80] + b" " + good[80:],
        good + b"\\x",
        good + b"\\u00g0",
        good + b"\\u00e9",
        good + b"QQ==QQ==",
        good + b"A",
    ):
        assert code_of(start + wrong + end, size) == "malformed", wrong
    # no end, or another one
    for cut in (start + good, start + good + b'"', start + good + b"\\", start + good + b"\\u0", start + good + b'"}]'):
        assert code_of(cut, size) == "malformed", cut
    # it is not the only one
    both = b'{"payload":"' + good + b'","other":"' + good + b'"}'
    with pytest.raises(Rejected, match="two strings of more than 64 bytes"):
        read(both, size)


def test_a_text_that_stands_for_it_cannot_be_foreseen() -> None:
    raw = b'{"payload":"' + base64.b64encode(CONTENT) + b'"}'
    marks = {read(raw).mark for _time in range(3)}
    assert len(marks) == 3 and all(len(each) == 32 for each in marks)
    # without a long string nothing stands for one
    document = read(b'{"payload":""}')
    assert document.mark == "" and document.decode("", "The payload") == b""


def test_how_large_the_rest_may_be() -> None:
    good = base64.b64encode(CONTENT * 100)
    start = b'{"payload":"' + good + b'","other":['
    room = 2000 - len(b'{"payload":"","other":[]}') - 32
    assert read(start + b" " * room + b"]}").long_value == CONTENT * 100
    with pytest.raises(Rejected, match="more than 2000 bytes beside its payload") as caught:
        read(start + b" " * (room + 1) + b"]}")
    assert caught.value.code == "too-large"

    def endless() -> Iterator[bytes]:
        yield b'{"a":['
        for _piece in range(100):
            yield b"[]," * 10
        raise AssertionError("it should not be read to its end")

    with pytest.raises(Rejected, match="too-large|beside its payload"):
        read_document(endless(), "The bundle")


def test_an_error_of_the_source_is_passed_on() -> None:
    def broken() -> Iterator[bytes]:
        yield b'{"payload":"'
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        read_document(broken(), "The bundle")
