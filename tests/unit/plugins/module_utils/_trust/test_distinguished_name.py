# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Distinguished names: their text form, certificates' subjects, and what is part of what."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.distinguished_name import (
    MAX_LENGTH,
    is_subset,
    name_of_subject,
    parse_distinguished_name,
)

from .notation_lab import name

BASE = {"C": "US", "ST": "WA", "O": "example"}
VALUES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)


def escaped(value: str) -> str:
    """RFC 4514, section 2.4."""
    text = "".join("\\" + letter if letter in '"+,;<>\\' else letter for letter in value)
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and text != "\\ " else text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("C=US, ST=WA, O=example", BASE),
        (" C=US,ST=WA,O=example", BASE),
        ("O=example;ST=WA;C=US", BASE),
        ("C=US, S=WA, O=example", BASE),
        ("C = US , ST = WA , O = example ", BASE),
        (r"C=US, ST=WA, O=a\, b", {**BASE, "O": "a, b"}),
        (r"C=US, ST=WA, O=a\2c b", {**BASE, "O": "a, b"}),
        (r"C=US, ST=WA, O=a\+b\;c\=d\<\>\"\\", {**BASE, "O": 'a+b;c=d<>"\\'}),
        (r"C=US, ST=WA, O=\ a\ ", {**BASE, "O": " a "}),
        (r"C=US, ST=WA, O=\#1", {**BASE, "O": "#1"}),
        (r"C=US, ST=WA, O=M\c3\bcller", {**BASE, "O": "Müller"}),
        ("C=US, ST=WA, O=Müller", {**BASE, "O": "Müller"}),
        ("C=US, ST=WA, O=a=b", {**BASE, "O": "a=b"}),
        ("C=US, ST=WA, O=a  b", {**BASE, "O": "a  b"}),
        ("CN=x,OU=y,L=z,STREET=s,POSTALCODE=1,SERIALNUMBER=2,C=US,ST=WA,O=example",
         {**BASE, "CN": "x", "OU": "y", "L": "z", "STREET": "s", "POSTALCODE": "1", "SERIALNUMBER": "2"}),
    ],
)  # fmt: skip
def test_text_is_read(text: str, wanted: dict[str, str]) -> None:
    assert parse_distinguished_name(text) == wanted


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not of the form"),
        ("C", "not of the form"),
        ("=US, ST=WA, O=example", "not of the form"),
        ("C=US,, ST=WA, O=example", "not of the form"),
        ("C=US, ST=WA, O=example,", "not of the form"),
        ("C=US, ST=WA", "no O"),
        ("C=US, O=example", "no ST"),
        ("CN=x", "no C and no ST and no O"),
        ("C=US, ST=WA, O=", "O is empty"),
        ("C=US, ST=WA, O= ", "O is empty"),
        ("C=US, ST=WA, S=WA, O=example", "more than one ST"),
        ("C=US, C=US, ST=WA, O=example", "more than one C"),
        ("C=US, ST=WA, O=example, OU=a + CN=b", r"several attributes in one part \(\+\)"),
        ("C=US, ST=WA, O=#04024869", "hexadecimal"),
        ("C=US, ST=WA, O=example, DC=x", "an attribute 'DC'"),
        ("c=US, st=WA, o=example", "an attribute 'c'"),
        ("C=US, ST=WA, 2.5.4.10=example", "an attribute '2.5.4.10'"),
        ("C=US, ST=WA, O=a\\", "escapes nothing"),
        (r"C=US, ST=WA, O=a\x", "escapes nothing"),
        (r"C=US, ST=WA, O=a\c", "escapes nothing"),
        (r"C=US, ST=WA, O=a\ff", "not UTF-8"),
        ("C=US, ST=WA, O=" + "x" * (MAX_LENGTH - 14), "longer than"),
    ],
)
def test_text_that_is_refused(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        parse_distinguished_name(text)


@given(st.dictionaries(st.sampled_from(["CN", "OU", "L"]), VALUES), VALUES)
def test_what_was_escaped_is_read(more: dict[str, str], organization: str) -> None:
    wanted = {**BASE, "O": organization, **more}
    assert parse_distinguished_name(", ".join(f"{key}={escaped(value)}" for key, value in wanted.items())) == wanted


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for attempt in (text, f"C=US,ST=WA,O={text}"):
        try:
            found = parse_distinguished_name(attempt)
        except ValueError as exc:
            assert str(exc)
        else:
            assert {"C", "ST", "O"} <= set(found)


def test_the_longest_text() -> None:
    assert len(parse_distinguished_name("C=US, ST=WA, O=" + "x" * (MAX_LENGTH - 15))["O"]) == MAX_LENGTH - 15


def test_a_value_that_is_no_text() -> None:
    with pytest.raises(ValueError, match="its CN is empty"):
        name_of_subject([*name(BASE), SimpleNamespace(oid=NameOID.COMMON_NAME, value=b"x")])


def test_a_subject() -> None:
    assert name_of_subject(name({**BASE, "CN": "a, b"})) == {**BASE, "CN": "a, b"}


def test_a_part_of_a_subject_may_have_several_attributes() -> None:
    parts = [[(NameOID.COUNTRY_NAME, "US")], [(NameOID.STATE_OR_PROVINCE_NAME, "WA"), (NameOID.COMMON_NAME, "x")]]
    parts.append([(NameOID.ORGANIZATION_NAME, "example")])
    subject = x509.Name(
        [x509.RelativeDistinguishedName([x509.NameAttribute(*each) for each in part]) for part in parts]
    )
    assert name_of_subject(subject) == {**BASE, "CN": "x"}


@pytest.mark.parametrize(
    ("subject", "cause"),
    [
        ([*BASE.items(), ("OU", "a"), ("OU", "b")], "more than one OU"),
        ([*BASE.items(), ("E", "me@example.com")], "an attribute '1.2.840.113549.1.9.1'"),
        ([*BASE.items(), ("DC", "com")], "an attribute '0.9.2342"),
        ([("CN", "x")], "no C and no ST and no O"),
    ],
)
def test_a_subject_that_is_refused(subject: list[tuple[str, str]], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        name_of_subject(name(subject))


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        (BASE, BASE, True),
        (BASE, {**BASE, "CN": "x"}, True),
        ({**BASE, "CN": "x"}, BASE, False),
        ({**BASE, "CN": "x"}, {**BASE, "CN": "X"}, False),
        ({**BASE, "O": "exam"}, BASE, False),
        ({**BASE, "CN": "x"}, {**BASE, "OU": "x"}, False),
    ],
)
def test_subset(wanted: dict[str, str], found: dict[str, str], expected: bool) -> None:
    assert is_subset(wanted, found) is expected
