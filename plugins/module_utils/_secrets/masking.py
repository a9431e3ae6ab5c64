# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts without the secrets that are known: as they are, escaped, quoted, percent-encoded, wrapped or in base64."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

HIDDEN = "(hidden)"
# A shorter secret counts only where it stands by itself: "abc" hides no part of "abcess".
SHORT = 6
# Secrets that any text may hold by chance: hidden where a value is nothing else, and not in sentences.
_TRIVIAL = re.compile(r"true|false|null|yes|no|on|off|[0-9]{1,2}", re.IGNORECASE)
# Characters of an opaque secret that give it away: half a token is hidden, too.
FRAGMENT = 8
# How many encodings may lie in each other, and how many readings of one text are tried.
MAX_DEPTH = 3
MAX_VIEWS = 64

_SPACE = re.compile(r"\s+")
_ARMOR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
_SPACE_PATTERN = r"(?:\s|\\+[nrt]|\+|%(?:25)*(?:20|0[AaDd9]))+"
_ENTITIES = {'"': "quot", "'": "apos", "&": "amp", "<": "lt", ">": "gt"}


class Mask:
    """Secrets, and what hides them in texts. Safe for threads.

    A secret of several lines is hidden line by line, one of fewer than six characters where neither a letter nor a
    digit is next to it. Booleans, and numbers below 100, are hidden by :meth:`is_in_value` alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._long: dict[str, str] = {}
        self._starts: dict[str, list[str]] = {}
        self._short: set[str] = set()
        self._trivial: set[str] = set()
        self._fragments: set[str] = set()
        # made when they are needed: most texts hold no secret, and that is found without the long one
        self._short_pattern: re.Pattern[str] | None = None
        self._long_pattern: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return bool(self._long or self._short or self._trivial)

    def add(self, secret: str, *, opaque: bool = False) -> None:
        """Hide this text from now on. Of one that is ``opaque``, as a token is, parts are hidden, too."""
        texts = [secret]
        if "\n" in secret:
            # the lines of a key may be shown one by one, or with an indent
            lines = [line.strip() for line in secret.splitlines()]
            texts += [line for line in lines if len(line) >= SHORT and not _ARMOR.fullmatch(line)]
        with self._lock:
            for text in texts:
                self._add(text.strip())
            if opaque and len(secret) >= 2 * FRAGMENT:
                parts = {secret[start : start + FRAGMENT] for start in range(len(secret) - FRAGMENT + 1)}
                # a part that could be a word of a sentence is not hidden
                self._fragments |= {part for part in parts if re.search("[A-Z0-9]", part)}
            self._short_pattern = self._long_pattern = None

    def add_value(self, value: Any) -> None:
        """Hide all texts, numbers and booleans in a value; not the keys of mappings."""
        for leaf in leaves(value):
            if isinstance(leaf, str):
                self.add(leaf)
            else:
                for spelling in _spellings_of_number(leaf):
                    self.add(spelling)

    def holds(self, text: str) -> bool:
        """Return whether a secret is in a text, in whatever spelling, also in text that is encoded in it."""
        return bool(self) and any(self._is_in(view, is_text) for view, is_text in _views(text))

    def is_in_value(self, value: Any) -> bool:
        """Return whether a value of a document, a text, number or boolean, is a secret or holds one."""
        if isinstance(value, str):
            return value.strip() in self._trivial or self.holds(value)
        known = self._trivial, self._short, self._long
        return any(text in each for text in _spellings_of_number(value) for each in known)

    def text(self, text: str) -> str:
        """The text with a mark in place of each secret. A line whose secret cannot be told apart is hidden whole."""
        if not self or not text:
            return text
        if not self.holds(text):
            return self._without_fragments(text)
        shown = self._spelled_long().sub(HIDDEN, text) if self._long else text
        shown = self._spelled_short().sub(HIDDEN, shown) if self._short else shown
        shown = self._without_fragments(shown)
        if self.holds(shown):
            shown = "\n".join(HIDDEN if self.holds(line) else line for line in shown.split("\n"))
        return HIDDEN if self.holds(shown) else shown

    def _add(self, text: str) -> None:
        squeezed = _SPACE.sub("", text)
        if len(squeezed) >= SHORT:
            if squeezed not in self._long:
                self._starts.setdefault(squeezed[:SHORT], []).append(squeezed)
            self._long[squeezed] = text
        elif _TRIVIAL.fullmatch(text):
            self._trivial.add(text)
        elif text and text != HIDDEN:
            self._short.add(text)
            raw = text.encode("utf-8", "surrogateescape")
            # too short to be found by decoding
            for encoded in (base64.b64encode(raw).decode(), base64.b64encode(raw + b"\n").decode()):
                self._short |= {encoded, encoded.rstrip("=")}

    def _is_in(self, view: str, is_text: bool) -> bool:
        view = view.replace(HIDDEN, "\0")
        squeezed = _SPACE.sub("", view)
        for at in range(len(squeezed) - SHORT + 1):
            secrets = self._starts.get(squeezed[at : at + SHORT])
            if secrets and any(squeezed.startswith(secret, at) for secret in secrets):
                return True
        return bool(is_text and self._short and self._spelled_short().search(view))

    def _spelled_short(self) -> re.Pattern[str]:
        with self._lock:
            if self._short_pattern is None:
                short = "|".join(map(_pattern, sorted(self._short, key=len, reverse=True)))
                self._short_pattern = re.compile(rf"(?<![^\W_])(?:{short})(?![^\W_])")
            return self._short_pattern

    def _spelled_long(self) -> re.Pattern[str]:
        with self._lock:
            if self._long_pattern is None:
                # a longer text first: one may be part of another
                spelled = sorted(self._long.values(), key=len, reverse=True)
                encoded = [core for text in spelled for core in _base64_patterns(text)]
                self._long_pattern = re.compile("|".join([*map(_pattern, spelled), *encoded]))
            return self._long_pattern

    def _without_fragments(self, text: str) -> str:
        if not self._fragments:
            return text
        shown, start, at = [], 0, 0
        while at + FRAGMENT <= len(text):
            if text[at : at + FRAGMENT] not in self._fragments:
                at += 1
                continue
            shown += [text[start:at], HIDDEN]
            end = at + FRAGMENT
            while end < len(text) and text[end - FRAGMENT + 1 : end + 1] in self._fragments:
                end += 1
            start = at = end
        return "".join([*shown, text[start:]])


def leaves(value: Any) -> Iterator[str | int | float]:
    """The texts, numbers and booleans in a value."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set)):
            stack.extend(item)
        elif isinstance(item, (str, int, float)):
            yield item
        elif isinstance(item, bytes):
            yield item.decode("utf-8", "surrogateescape")


def is_trivial(value: Any) -> bool:
    """Return whether a text, number or boolean is so short or common that any text may hold it by chance."""
    return _TRIVIAL.fullmatch(str(value).strip()) is not None


def _spellings_of_number(value: Any) -> set[str]:
    """Return how JSON, YAML and Go's templates spell a number or boolean; Go writes 1.2345678e+07."""
    if isinstance(value, bool):
        return {str(value).lower()}
    if not isinstance(value, (int, float)):
        return set()
    found = {str(value), json.dumps(value)}
    try:
        mantissa, _e, exponent = repr(float(f"{value:.17g}")).partition("e")
        digits = mantissa.replace(".", "").replace("-", "").strip("0") or "0"
        power = int(f"{float(value):e}".partition("e")[2])
        point = "." if len(digits) > 1 else ""
        found.add(f"{'-' if value < 0 else ''}{digits[0]}{point}{digits[1:]}e{power:+03d}")
    except (OverflowError, ValueError):
        pass
    return found


def _views(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the text and its decoded forms, each with whether it is text as a whole."""
    level, seen = [text], {text}
    yield text, True
    for _depth in range(MAX_DEPTH):
        below = []
        for view in level:
            for decoded, is_text in _decoded(view):
                if decoded in seen or len(seen) >= MAX_VIEWS:
                    continue
                seen.add(decoded)
                yield decoded, is_text
                if is_text:
                    below.append(decoded)
        level = below


def _decoded(text: str) -> Iterator[tuple[str, bool]]:
    if "%" in text:
        yield unquote(text), True
    if "%" in text or "+" in text:
        yield unquote_plus(text), True
    if "\\" in text:
        unescaped = _ESCAPE.sub(_unescaped, text)
        # the two halves of a character beyond the first 65,536 become one
        yield unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), True
    if "''" in text:
        yield text.replace("''", "'"), True
    if "&" in text:
        yield html.unescape(text), True
    for form in dict.fromkeys((text, _SPACE.sub("", text))):
        for run in _BASE64_RUN.findall(form):
            # what stands before it without a gap may not belong to it
            for start in range(4):
                yield from _from_base64(run[start:])


def _from_base64(run: str) -> Iterator[tuple[str, bool]]:
    digits = run.rstrip("=").replace("-", "+").replace("_", "/")
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    try:
        raw = base64.b64decode(digits + "=" * (-len(digits) % 4))
    except (ValueError, binascii.Error):
        return
    decoded = raw.decode("utf-8", "replace")
    yield decoded, "\ufffd" not in decoded and all(char.isprintable() or char.isspace() for char in decoded)


def _unescaped(match: re.Match[str]) -> str:
    number = match[1] or match[2] or match[3]
    if number is None:
        return _PLAIN_ESCAPES.get(match[4], match[4])
    return chr(int(number, 16)) if int(number, 16) <= 0x10FFFF else ""


def _pattern(secret: str) -> str:
    """A regular expression for a text as it is, quoted, escaped, percent-encoded, or with other white space in it."""
    return _SPACE_PATTERN.join("".join(map(_character, chunk)) for chunk in secret.split())


def _character(char: str) -> str:
    if char.isascii() and (char.isalnum() or char == "_"):
        return char
    raw = char.encode("utf-8", "surrogateescape")
    forms = [re.escape(char), "".join(f"%(?:25)*{_hex(byte, 2)}" for byte in raw)]
    units = char.encode("utf-16-be", "surrogatepass")
    forms.append("".join(rf"\\+u{_hex(units[at] << 8 | units[at + 1], 4)}" for at in range(0, len(units), 2)))
    forms.append("".join(rf"\\+x{_hex(byte, 2)}" for byte in raw))
    forms.append(f"&(?:amp;)*#(?:{ord(char)}|[xX]{_hex(ord(char), 1)});")
    if char in _ENTITIES:
        forms.append(f"&(?:amp;)*{_ENTITIES[char]};")
    if char == "\\":
        return rf"(?:\\+|{'|'.join(forms[1:])})"
    if char in "\"'/$`":
        forms[0] = r"''" + "|" + rf"\\*{re.escape(char)}" if char == "'" else rf"\\*{re.escape(char)}"
    return f"(?:{'|'.join(forms)})"


def _hex(number: int, digits: int) -> str:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{number:0{digits}x}")


def _base64_patterns(secret: str) -> Iterator[str]:
    """Base64 of the text, and of any text that it is a part of: what does not share bits with its neighbours."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {base64.b64encode(raw).decode("ascii").rstrip("=")}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode("ascii")
        core = encoded[(before * 4 + 2) // 3 : (before + len(raw)) * 8 // 6]
        if len(core) >= FRAGMENT:
            found.add(core)
    for core in sorted(found, key=len, reverse=True):
        for spelled in dict.fromkeys((core, core.replace("+", "-").replace("/", "_"))):
            yield re.escape(spelled) + "={0,2}"
