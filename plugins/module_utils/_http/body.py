# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of answers, read with bounds: on their size, on what they unpack to, on how slowly they may come.

``requests`` bounds only the wait for the next byte, and ``urllib3`` before 2.6 unpacks without limit.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Any

from .._errors import RegistryError
from .pace import MIN_RATE, TooSlow
from .url import redacted_url

CHUNK_SIZE = 256 * 1024
# bytes that are asked for at once: few large pieces cost less than many small ones
MIN_ROOM, MAX_ROOM = 64 * 1024, 1024 * 1024

MAX_DISCARDED = 64 * 1024
# seconds: for a new connection no more is waited than that
DISCARD_TIME = 2.0

# zlib.decompressobj: either of the gzip and zlib formats
_GZIP_OR_ZLIB = 47
_COMPRESSED = frozenset(["gzip", "x-gzip", "deflate"])


class BodyBroken(Exception):
    """The connection broke, or nearly stood still, while a body was read."""


def is_encoded(response: Any) -> bool:
    """Return whether the bytes on the wire are a compressed form of the body, although only ``identity`` was asked for.

    Other words in Content-Encoding (``aws-chunked``, ``binary``, ``utf-8``) say nothing of the bytes: what they are is
    for their digest to decide.
    """
    codings = response.headers.get("Content-Encoding", "").lower().split(",")
    return not _COMPRESSED.isdisjoint(coding.strip() for coding in codings)


def raw_chunks(response: Any, timeout: float, buffer: memoryview | None = None) -> Iterator[bytes]:
    """The bytes of a body as they come over the wire, in pieces of at most 1 MiB.

    ``response`` is one of requests, of urllib3 or of :mod:`._http.direct`. With a ``buffer`` the pieces may be views
    of it, good until the next one is asked for.

    :raises BodyBroken: when they end early, or come too slowly.
    """
    if hasattr(response, "pieces"):
        yield from response.pieces(buffer)
        return
    raw = getattr(response, "raw", response)
    # read1 gives what is there instead of waiting for a full piece; urllib3 has it since 2.1. Before, a piece that
    # breaks off is lost: it is kept small.
    read = getattr(raw, "read1", None) or raw.read
    most = MAX_ROOM if hasattr(raw, "read1") else MIN_ROOM
    promised = content_length(response)
    total, waited, recent, room = 0, 0.0, 0, MIN_ROOM
    while promised is None or total < promised:
        # never more than what was promised: some Pythons' read1 would read on into what follows
        wanted = room if promised is None else min(room, promised - total)
        start = time.monotonic()
        try:
            chunk = read(wanted, decode_content=False)
        except Exception as exc:  # urllib3's and http.client's trees have no common root below Exception
            slow = next((each for each in (exc, exc.__cause__, exc.__context__) if isinstance(each, TooSlow)), None)
            raise BodyBroken(str(slow) if slow else type(exc).__name__) from None
        # only waiting for the peer counts, not what the caller does with the bytes
        waited += time.monotonic() - start
        if not chunk:
            break
        total += len(chunk)
        recent += len(chunk)
        # over TLS at most 16 KiB come at once: memory for more would be taken and given back each time
        room = min(most, max(MIN_ROOM, 4 * len(chunk)))
        yield chunk
        if waited > timeout:
            if recent < MIN_RATE * waited:
                raise BodyBroken(f"{recent} bytes in {waited:.0f} s")
            waited, recent = 0.0, 0
    if promised is not None and total < promised:
        raise BodyBroken(f"{total} of {promised} bytes")


def unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the decompressed content of gzip or zlib bytes, in pieces of at most 256 KiB.

    :raises BodyBroken: when they are something else, or end early.
    """
    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for chunk in chunks:
            while chunk and not decoder.eof:
                piece = decoder.decompress(chunk, CHUNK_SIZE)
                chunk = decoder.unconsumed_tail
                if piece:
                    yield piece
        rest = decoder.flush()
    except zlib.error:
        raise BodyBroken("its compression is garbled") from None
    if rest:
        yield rest
    if not decoder.eof:
        raise BodyBroken("its compressed form ends early")


def read_body(response: Any, limit: int, timeout: float) -> bytes:
    """The body of an answer, up to ``limit`` bytes; the connection goes back to its pool.

    :raises RegistryError: when there is more.
    :raises BodyBroken: when the connection breaks.
    """
    parts: list[bytes] = []
    size = 0
    with response:
        chunks = raw_chunks(response, timeout)
        for chunk in unpacked(chunks) if is_encoded(response) else chunks:
            size += len(chunk)
            if size > limit:
                raise RegistryError(
                    f"{response.request.method} {redacted_url(response.url)} answered with more than {limit} bytes."
                )
            parts.append(chunk)
    return b"".join(parts)


def read_plain(response: Any, limit: int, timeout: float) -> bytes:
    """The body of an answer of urllib3 that is not compressed, up to ``limit`` bytes; further bytes are not read.

    :raises BodyBroken: when the connection breaks, or nearly stands still.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in raw_chunks(response, timeout):
        parts.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    return b"".join(parts)[:limit]


def end_after(response: Any, seconds: float) -> None:
    """Bound the time for the rest of a body; a read beyond it fails like a connection that breaks."""
    # an answer of tests, or one that is read already, has no such source
    source: Any = response if hasattr(response, "end_after") else getattr(response.raw, "_fp", None)
    if hasattr(source, "end_after"):
        source.end_after(seconds)


def discard(response: Any, timeout: float) -> None:
    """Finish an answer whose body does not matter; a short one is read, which keeps the connection, unless that
    takes longer than ``timeout`` or 2 s.
    """
    end_after(response, min(timeout, DISCARD_TIME))
    try:
        if (content_length(response) or 0) <= MAX_DISCARDED:
            read_body(response, MAX_DISCARDED, timeout)
    except (BodyBroken, RegistryError):
        pass
    finally:
        response.close()


def content_length(response: Any) -> int | None:
    """Return the bytes of the body; None if the header is missing, malformed or overruled by chunked coding."""
    text = response.headers.get("Content-Length", "")
    if response.headers.get("Transfer-Encoding") or not (text.isascii() and text.isdigit() and len(text) < 19):
        return None
    return int(text)
