# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are hidden in every spelling, and other text is left as it is."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from typing import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import HIDDEN, Mask

KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIIrYSSNQFaA2Hwf1
duRSxKtLYX5CB04fSeQ6tF1a
Y8=
-----END EC PRIVATE KEY-----
"""
SECRETS = [
    "correct horse battery",
    "quo\"ted\\back'slash",
    "p@ss/w%rd?&=+#;:<>",
    "grüße-in-mainz-🔑",
    "$ecret`with`{{braces}}",
    "l3tters0nly",
]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def go_quoted(text: str) -> str:
    """``%q`` for what is printable; JSON's escapes beyond."""
    return json.dumps(text, ensure_ascii=False)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda s: f"password is {s}, sorry",
    "quoted": lambda s: f"got {go_quoted(s)}: wrong",
    "quoted twice": lambda s: f"got {json.dumps(go_quoted(s))}: wrong",
    "json": lambda s: json.dumps({"a": {"password": s}}),
    "go json": lambda s: json.dumps(s).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003E"),
    "single quoted": lambda s: "a: '" + s.replace("'", "''") + "'",
    "python": repr,
    "html": lambda s: f"<b>{html.escape(s)}</b>",
    "query": lambda s: f"GET /token?p={quote_plus(s)}&a=b",
    "path": lambda s: f"https://user:{quote(s, safe='')}@host/path",
    "lower percent": lambda s: "x=" + "".join(f"%{byte:02x}" for byte in s.encode()),
    "twice percent": lambda s: "x=" + quote(quote(s, safe=""), safe=""),
    "base64": lambda s: f"Authorization: Basic {b64(s)}",
    "base64 behind user": lambda s: f"Basic {b64('user:' + s)}",
    "base64 behind users": lambda s: f"Basic {b64('users:' + s)}",
    "base64 in the middle": lambda s: b64(json.dumps({"auths": {"host": {"password": s}}}, ensure_ascii=False)),
    "base64 of base64": lambda s: b64(json.dumps({"auth": b64("user:" + s)})),
    "url base64": lambda s: "t=" + b64("user:" + s).replace("+", "-").replace("/", "_").rstrip("="),
    "wrapped base64": lambda s: "a: |\n    " + "\n    ".join(textwrap.wrap(b64("x" * 50 + s + "y" * 30), 16)),
    "indented": lambda s: textwrap.indent(s, "        "),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", SECRETS)
def test_every_spelling_is_hidden(secret: str, spelling: str) -> None:
    mask = Mask()
    mask.add(secret)
    text = SPELLINGS[spelling](secret)
    shown = mask.text(text)
    assert HIDDEN in shown
    assert mask.holds(text) and not mask.holds(shown)
    for left in (secret, b64(secret)[:-3], quote(secret, safe=""), json.dumps(secret)[1:-1]):
        assert left not in shown


LONG_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6)


@given(LONG_TEXTS.filter(lambda secret: len("".join(secret.split())) >= 6))
def test_any_text_is_hidden_in_the_usual_spellings(secret: str) -> None:
    mask = Mask()
    mask.add(secret)
    for name in ("plain", "quoted", "json", "single quoted", "path", "base64", "base64 behind user", "html"):
        assert not mask.holds(mask.text(SPELLINGS[name](secret))), name
        assert secret not in mask.text(SPELLINGS[name](secret))


def test_a_key_is_hidden_line_by_line() -> None:
    mask = Mask()
    mask.add(KEY)
    lines = KEY.splitlines()[1:3]
    texts = [
        textwrap.indent(KEY, "      "),
        json.dumps(KEY),
        json.dumps(json.dumps({"key": KEY})),
        " ".join(KEY.split()),
        f"error: bad key {lines[1]}",
        b64(KEY),
        b64("x" + KEY),
    ]
    for text in texts:
        shown = mask.text(text)
        assert not any(line in shown for line in lines) and not mask.holds(shown), text
    assert mask.text("-----BEGIN EC PRIVATE KEY-----") == "-----BEGIN EC PRIVATE KEY-----"


def test_short_secrets_are_hidden_where_they_stand_by_themselves() -> None:
    mask = Mask()
    for secret in ("abc", "x+y", "777"):
        mask.add(secret)
    assert mask.text("abcess: abc, 'abc' postgres://u:abc@host 1777 777 x+y") == (
        "abcess: (hidden), '(hidden)' postgres://u:(hidden)@host 1777 (hidden) (hidden)"
    )
    assert mask.text(f"Basic {b64('abc')} {b64('user:abc')}") == "(hidden)"  # the second cannot be told apart
    assert mask.text(f"a: {b64('abc')}") == "a: (hidden)"
    assert mask.text("http://h/?p=x%2By") == "http://h/?p=(hidden)"


def test_numbers_and_booleans() -> None:
    mask = Mask()
    mask.add_value({"pin": [12345678, 4711], "on": True, "size": 2, "ratio": 0.25, "none": None})
    text = "12345678 1.2345678e+07 4711 0.25 12345"
    assert mask.text(text) == "(hidden) (hidden) (hidden) (hidden) 12345"
    for value in (4711, True, "true", 2, "2", "pin: 4711", 4711.0):
        assert mask.is_in_value(value), value
    for value in (False, "false", 4712, 20, "it is true that 2 are there"):
        assert not mask.is_in_value(value), value
    # a sentence says them by chance
    assert mask.text("2 errors: true") == "2 errors: true"


def test_halves_of_what_is_opaque_are_hidden() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvcHMifQ.c2lnbmF0dXJlLW9mLXRva2Vu"
    mask = Mask()
    mask.add(token, opaque=True)
    half = len(token) // 2
    shown = mask.text(f"begin {token[:half]} middle {token[half:]} end")
    assert shown == "begin (hidden) middle (hidden) end"
    assert mask.text(f"cut: {token[:20]}") == "cut: (hidden)"
    # what is no secret of a program is hidden as a whole only
    mask = Mask()
    mask.add("Registry-password-2024")
    assert mask.text("the Registry has a password-policy") == "the Registry has a password-policy"


@given(st.text(), st.lists(st.text(max_size=12), max_size=4))
def test_nothing_known_is_left_and_no_text_breaks_it(text: str, secrets: list[str]) -> None:
    mask = Mask()
    assert mask.text(text) == text
    for secret in secrets:
        mask.add(secret)
    shown = mask.text(text + "".join(secrets))
    assert not mask.holds(shown)
    assert mask.text(shown) == shown or mask.text(shown) == HIDDEN


def test_other_text_is_left_as_it_is() -> None:
    mask = Mask()
    mask.add("hunter2-hunter2")
    text = "kind: Deployment # 100% \\n 'it''s' &amp; dGhpcyBpcyBub3QgaXQ=\n"
    assert mask.text(text) == text
