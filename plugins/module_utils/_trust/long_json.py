# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads JSON documents of which one string may be very long: envelopes and bundles, whose payload may be an SBOM.

The document is read in pieces as they arrive. A string of more than ``MAX_STRING`` bytes is taken out of the text and
decoded from base64 piece by piece, so that neither the document nor the encoded payload is ever held as a whole. All
that is left has to be small. Nothing of it may be used before the caller has checked the digest of what was read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable

from .formats import Document, decode_base64
from .verdict import Rejected

#: Bytes of the longest string that stays in the text, and of the text that is left.
MAX_STRING = 1024 * 1024
MAX_TEXT = 4 * 1024 * 1024

_PART = re.compile(rb'[^"\\]*(?:\\(?:[^u]|u[0-9a-fA-F]{4})[^"\\]*){0,256}', re.DOTALL)
#: Bytes of the longest escape sequence: a backslash, u, and four digits.
_LONGEST_ESCAPE = 6
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")


def read_document(chunks: Iterable[bytes], what: str) -> Document:
    """Return the document whose bytes ``chunks`` yields; errors of the iterator are passed on.

    :param what: what it is, for messages, as in "The bundle".
    :raises Rejected: ``too-large`` for more than ``MAX_TEXT`` bytes beside the long string; ``malformed`` for a second
        long string, or one that is not base64. :meth:`~.formats.Document.parse` finds other mistakes in the JSON.
    """
    reader, digest = _Reader(what), hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        reader.feed(chunk)
    return reader.finish(digest.hexdigest())


class _Reader:
    """Takes the long string out of a JSON text. ``_start`` is where a string begins in the text, -1 between strings."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._text = bytearray()
        self._rest = b""
        self._start = -1
        self._long: _LongString | None = None
        self._mark = b""

    def feed(self, chunk: bytes) -> None:
        data, position = self._rest + chunk, 0
        self._rest = b""
        while position < len(data):
            if self._start < 0:
                quote = data.find(b'"', position)
                end = len(data) if quote < 0 else quote + 1
                self._text += data[position:end]
                self._start = -1 if quote < 0 else len(self._text)
                position = end
            else:
                position = self._feed_string(data, position)
                if self._rest:
                    break
            if len(self._text) > MAX_TEXT:
                raise Rejected("too-large", f"{self._what} has more than {MAX_TEXT} bytes beside its payload")

    def _feed_string(self, data: bytes, position: int) -> int:
        """Take in what belongs to the string that was begun; return where to go on."""
        match = _PART.match(data, position)
        end = match.end() if match else position
        self._add(data[position:end])
        if data[end : end + 1] == b'"':
            if self._long is not None and not self._mark:
                self._mark = self._long.finish()
                self._text += self._mark
            self._text += b'"'
            self._start = -1
            return end + 1
        if end == position and end < len(data):
            if len(data) - end >= _LONGEST_ESCAPE:
                raise Rejected("malformed", f"{self._what} is not JSON: a string has a bad escape sequence")
            # an escape sequence that the next chunk completes
            self._rest = data[end:]
        return end

    def _add(self, part: bytes) -> None:
        if self._long is not None and not self._mark:
            self._long.feed(part)
            return
        self._text += part
        if len(self._text) - self._start > MAX_STRING:
            if self._mark:
                raise Rejected("malformed", f"{self._what} has two strings of more than {MAX_STRING} bytes")
            self._long = _LongString(self._what)
            self._long.feed(bytes(self._text[self._start :]))
            del self._text[self._start :]

    def finish(self, sha256: str) -> Document:
        text = bytes(self._text + self._rest)
        if self._long is None:
            return Document(text, sha256)
        if not self._mark:
            raise Rejected("malformed", f"{self._what} is not JSON: its last string has no end")
        return Document(text, sha256, self._mark.decode("ascii"), self._long.value)


class _LongString:
    """Decodes the content of a JSON string that is base64, in pieces that split no escape sequence."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._decoded = io.BytesIO()
        self._rest = b""
        self._has_ended = False

    @property
    def value(self) -> bytes:
        # BytesIO hands its buffer out without a copy
        return self._decoded.getvalue()

    def feed(self, part: bytes) -> None:
        if b"\\" in part:
            try:
                part = json.loads(b'"' + part + b'"').encode("ascii").replace(b"\r", b"").replace(b"\n", b"")
            except ValueError:
                raise self._malformed() from None
        elif b"\n" in part or b"\r" in part:
            raise self._malformed()
        self._rest += part.translate(_URL_ALPHABET)
        size = len(self._rest) // 4 * 4
        self._decode(self._rest[:size])
        self._rest = self._rest[size:]

    def finish(self) -> bytes:
        """Decode what is left; return a mark for the text, which nobody can have foreseen."""
        self._decode(self._rest + b"=" * (-len(self._rest) % 4))
        return os.urandom(16).hex().encode("ascii")

    def _decode(self, encoded: bytes) -> None:
        if encoded and self._has_ended:
            raise self._malformed()
        self._has_ended = self._has_ended or b"=" in encoded
        try:
            self._decoded.write(decode_base64(encoded.decode("ascii"), "It"))
        except (Rejected, ValueError):
            raise self._malformed() from None

    def _malformed(self) -> Rejected:
        return Rejected("malformed", f"{self._what} has a string of more than {MAX_STRING} bytes that is not base64")
