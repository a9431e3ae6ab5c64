# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decompression of a layer whose bytes are pushed in as they arrive, in bounded memory whatever they expand to.

The format is told from the bytes (gzip: RFC 1952, Zstandard: RFC 8878), never from the media type: publishers get it
wrong. The result is handed on in pieces of at most 1 MiB.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from typing import Any, Callable, Protocol

from .._errors import LayerError
from .._packages import find, require
from .tar_reader import BLOCK, has_header_checksum

Sink = Callable[["bytes | memoryview"], None]

MAX_PIECE = 1 << 20
# Bytes that a zstd frame may refer back to: the default limit of the zstd tool and of the library.
MAX_WINDOW = 128 << 20

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE = 8
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_FIXED_HEADER = 10
_TRAILER_LENGTH = 8
# Bytes of a gzip header, in which names and comments have no limit of their own, and of the pieces it is looked for in.
_MAX_HEADER = 128 << 10
_HEADER_PIECE = 512
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAGIC_LENGTH = 4
_DAMAGED_HINT = "Have its publisher build and push it again."

# zlib copies the input that it leaves over at each output limit and at each member's end. Small pieces keep that cheap.
_MIN_INPUT = 4 << 10
_MAX_INPUT = 64 << 10
# What one call gives stays in a processor's cache until its checksum and its consumer have read it.
_GZIP_PIECE = 256 << 10
# A zstd block expands to at most 128 KiB.
_BLOCKS_AT_ONCE = MAX_PIECE // (128 << 10)


def sniff(first_bytes: bytes) -> str:
    """The format of a blob from its first bytes (512 suffice): "gzip", "zstd", "tar", or "" for anything else."""
    if first_bytes.startswith(_GZIP_MAGIC):
        return "gzip"
    if first_bytes.startswith(_ZSTD_MAGIC) or _is_skippable(first_bytes[:_MAGIC_LENGTH]):
        return "zstd"
    block = bytes(first_bytes[:BLOCK])
    if len(block) == BLOCK and (has_header_checksum(block) or not any(block)):
        return "tar"
    return "tar" if block[257:262] == b"ustar" else ""


def _is_skippable(magic: bytes) -> bool:
    """Return whether a zstd frame of user data begins here (RFC 8878, 3.1.2); parallel compressors write them first."""
    return len(magic) == _MAGIC_LENGTH and magic[0] & 0xF0 == 0x50 and magic[1:] == b"\x2a\x4d\x18"


class _Stage(Protocol):
    def write(self, view: memoryview) -> None: ...

    def close(self) -> None: ...


class Decompressor:
    """Passes what is written to ``sink``, decompressed. ``what`` names the blob in errors.

    ``format`` is "gzip", "zstd" or "" (passed on unchanged) once four bytes have come.
    """

    def __init__(self, sink: Sink, what: str) -> None:
        self.format = ""
        self._sink = sink
        self._what = what
        self._first = b""
        self._stage: _Stage | None = None

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the blob.

        :raises LayerError: when they are damaged.
        :raises MissingDependency: when they are zstd and no package is installed that reads it.
        """
        if self._stage is None:
            self._first += chunk
            if len(self._first) < _MAGIC_LENGTH:
                return
            chunk, self._first = self._first, b""
            self._stage = self._choose(chunk)
        self._stage.write(memoryview(chunk))

    def close(self) -> None:
        """Declare the end of the blob.

        :raises LayerError: when it is truncated.
        """
        if self._stage is None:
            self._stage = self._choose(self._first)
            self._stage.write(memoryview(self._first))
        self._stage.close()

    def _choose(self, first: bytes) -> _Stage:
        kind = sniff(first[:_MAGIC_LENGTH])
        self.format = kind
        if kind == "gzip":
            return _Gunzip(self._sink, self._what)
        if kind == "zstd":
            return _Unzstd(self._sink, self._what)
        return _Plain(self._sink)


class _Plain:
    def __init__(self, sink: Sink) -> None:
        self.write = sink

    def close(self) -> None:
        """Plain bytes have no end of their own."""


class _Gunzip:
    """One or more gzip members; zero bytes between and after them are padding (gzip manual, "Tapes").

    The libraries differ in which headers they accept, and in how these may be split. Given the deflate data alone, with
    headers and checksums read here, they give one answer.
    """

    def __init__(self, sink: Sink, what: str) -> None:
        self._sink = sink
        self._what = what
        self._zlib = _fast_zlib()
        self._member: Any = None
        self._members = 0
        self._input = _MIN_INPUT
        # of the next member, as far as it came
        self._header = b""
        # of the last member; None while there is nothing to wait for
        self._trailer: bytes | None = None
        self._checksum = self._size = 0

    def write(self, view: memoryview) -> None:
        position = 0
        while position < len(view):
            if self._member is not None:
                piece = view[position : position + self._input]
                self._input = min(2 * self._input, _MAX_INPUT)
                position += len(piece) - self._inflate(piece)
            elif self._trailer is not None:
                piece = view[position : position + _TRAILER_LENGTH - len(self._trailer)]
                position += len(piece)
                self._end(self._trailer + piece)
            else:
                position = self._begin(view, position)

    def _begin(self, view: memoryview, position: int) -> int:
        """Read a header; the position behind what was taken of it."""
        if self._members and not self._header:
            position = _after_zeros(view, position)
        piece = view[position : position + _HEADER_PIECE]
        self._header += piece
        if self._members and not _GZIP_MAGIC.startswith(self._header[: len(_GZIP_MAGIC)]):
            raise LayerError(f"{self._what} has other bytes after the end of its gzip data.", _DAMAGED_HINT)
        try:
            length = _header_length(self._header)
        except ValueError as exc:
            raise self._damaged(str(exc)) from None
        if length is None:
            return position + len(piece)
        position += len(piece) - (len(self._header) - length)
        self._header = b""
        self._member = self._zlib.decompressobj(-zlib.MAX_WBITS)
        self._members += 1
        self._input = _MIN_INPUT
        self._checksum = self._size = 0
        return position

    def _inflate(self, piece: memoryview) -> int:
        """Decompress a piece; the number of bytes at its end that lie behind the member."""
        member = self._member
        pending: bytes | memoryview = piece
        while True:
            try:
                data = member.decompress(pending, _GZIP_PIECE)
            except self._zlib.error as exc:
                raise self._damaged(str(exc)) from None
            if data:
                self._checksum = self._zlib.crc32(data, self._checksum)
                self._size += len(data)
                self._sink(data)
            if member.eof:
                self._member, self._trailer = None, b""
                return len(member.unused_data)
            pending = member.unconsumed_tail
            # A full piece may mean that more is waiting inside although the input is used up.
            if not pending and len(data) < _GZIP_PIECE:
                return 0

    def _end(self, trailer: bytes) -> None:
        if len(trailer) < _TRAILER_LENGTH:
            self._trailer = trailer
            return
        self._trailer = None
        if int.from_bytes(trailer[:4], "little") != self._checksum:
            raise self._damaged("it has another checksum than it says")
        if int.from_bytes(trailer[4:], "little") != self._size & 0xFFFFFFFF:
            raise self._damaged("it has another length than it says")

    def close(self) -> None:
        if self._member is not None or self._trailer is not None or self._header:
            raise LayerError(f"{self._what} is truncated gzip data.", _DAMAGED_HINT)

    def _damaged(self, reason: str) -> LayerError:
        return LayerError(f"{self._what} is damaged gzip data: {reason}.", _DAMAGED_HINT)


def _header_length(header: bytes) -> int | None:
    """The bytes of the gzip header at the start (RFC 1952, 2.3); None when more is needed to tell.

    :raises ValueError: when it is not a gzip header; its text says why.
    """
    if len(header) > _MAX_HEADER:
        raise ValueError(f"a header of more than {_MAX_HEADER} bytes")
    if len(header) < _FIXED_HEADER:
        return None
    if header[2] != _DEFLATE:
        raise ValueError(f"an unknown method of compression ({header[2]})")
    flags = header[3]
    if flags & _RESERVED:
        raise ValueError(f"reserved flags in its header ({flags:#x})")
    position = _FIXED_HEADER
    if flags & _FEXTRA:
        position += 2 + int.from_bytes(header[position : position + 2], "little")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            end = header.find(b"\0", position)
            if end < 0:
                return None
            position = end + 1
    if flags & _FHCRC:
        position += 2
        wanted = zlib.crc32(header[: position - 2]) & 0xFFFF
        if len(header) >= position and int.from_bytes(header[position - 2 : position], "little") != wanted:
            raise ValueError("its header has another checksum than it says")
    return position if len(header) >= position else None


def _after_zeros(view: memoryview, position: int) -> int:
    while position < len(view):
        piece = bytes(view[position : position + _MAX_INPUT])
        rest = len(piece.lstrip(b"\0"))
        position += len(piece) - rest
        if rest:
            break
    return position


def _fast_zlib() -> Any:
    """The quickest zlib there is: isal and zlib-ng inflate two to three times as fast, to the same bytes."""
    return find("isal", "isal_zlib") or find("zlib-ng", "zlib_ng") or zlib


class _Unzstd:
    """One or more zstd frames, taken apart block by block (RFC 8878, 3.1.1).

    The packages differ in how, and whether, they bound the output of one call, tell a truncated frame, and go on with
    the next one. Given a few blocks at a time, they all behave alike.
    """

    def __init__(self, sink: Sink, what: str) -> None:
        self._sink = sink
        self._what = what
        self._new_frame, self._errors = _zstd()
        self._frame: Any = None
        self._head = b""
        self._wanted = _MAGIC_LENGTH
        self._next: Callable[[bytes], None] = self._magic
        self._body = 0
        self._blocks = 0
        self._last_block = False
        self._checksum = False
        self._single = False
        self._dictionary = 0

    def write(self, view: memoryview) -> None:
        start = position = 0
        while position < len(view):
            if self._body:
                size = min(self._body, len(view) - position)
                self._body -= size
                position += size
                if self._body:
                    break
                self._block_ends()
            else:
                size = min(self._wanted - len(self._head), len(view) - position)
                self._head += view[position : position + size]
                position += size
                if len(self._head) < self._wanted:
                    break
                head, self._head = self._head, b""
                begins = self._next == self._magic
                self._next(head)
                if begins:
                    start = position
            if self._blocks >= _BLOCKS_AT_ONCE or self._next == self._magic:
                self._decompress(view[start:position])
                start = position
        self._decompress(view[start:])

    def close(self) -> None:
        if self._next != self._magic or self._head:
            raise LayerError(f"{self._what} is truncated zstd data.", _DAMAGED_HINT)

    def _decompress(self, view: memoryview) -> None:
        self._blocks = 0
        if self._frame is None:
            return
        try:
            data = self._frame.decompress(view)
        except self._errors as exc:
            raise self._damaged(str(exc)) from None
        if data:
            self._sink(data)
        if self._next == self._magic:
            if not self._frame.eof:
                raise self._damaged("its parts do not add up")
            self._frame = None

    def _expect(self, count: int, then: Callable[[bytes], None]) -> None:
        self._wanted, self._next = count, then

    def _magic(self, head: bytes) -> None:
        if _is_skippable(head):
            self._expect(4, self._skippable)
        elif head == _ZSTD_MAGIC:
            self._frame = self._new_frame()
            # Part of it may have come with an earlier chunk, when there was no frame to take it.
            self._frame.decompress(head)
            self._expect(1, self._descriptor)
        else:
            raise LayerError(f"{self._what} has other bytes after the end of its zstd data.", _DAMAGED_HINT)

    def _skippable(self, head: bytes) -> None:
        self._last_block, self._checksum = True, False
        self._begin_body(int.from_bytes(head, "little"))

    def _descriptor(self, head: bytes) -> None:
        flags = head[0]
        self._single = bool(flags & 0x20)
        self._checksum = bool(flags & 0x04)
        self._dictionary = (0, 1, 2, 4)[flags & 0x03]
        size = (int(self._single), 2, 4, 8)[flags >> 6]
        self._expect((not self._single) + self._dictionary + size, self._frame_header)

    def _frame_header(self, head: bytes) -> None:
        if self._single:
            size = head[self._dictionary :]
            window = int.from_bytes(size, "little") + (256 if len(size) == 2 else 0)
        else:
            window = (8 + (head[0] & 0x07)) << (head[0] >> 3) + 7
        if window > MAX_WINDOW:
            raise LayerError(
                f"{self._what} is zstd data that takes {window} bytes of memory to read, more than {MAX_WINDOW}.",
                "Have its publisher compress it without --long and --ultra.",
            )
        self._expect(3, self._block_header)

    def _block_header(self, head: bytes) -> None:
        fields = int.from_bytes(head, "little")
        kind = fields >> 1 & 3
        if kind == 3:
            raise self._damaged("a block of a reserved type")
        self._last_block = bool(fields & 1)
        # A block of type 1 is one byte, repeated.
        self._begin_body(1 if kind == 1 else fields >> 3)

    def _begin_body(self, size: int) -> None:
        self._body = size
        if not size:
            self._block_ends()

    def _block_ends(self) -> None:
        self._blocks += 1
        if not self._last_block:
            self._expect(3, self._block_header)
        elif self._checksum:
            self._expect(4, self._frame_ends)
        else:
            self._frame_ends()

    def _frame_ends(self, _checksum: bytes = b"") -> None:
        self._expect(_MAGIC_LENGTH, self._magic)

    def _damaged(self, reason: str) -> LayerError:
        return LayerError(f"{self._what} is damaged zstd data: {reason}.", _DAMAGED_HINT)


def check_zstd() -> None:
    """Check that zstd can be read here, without reading any.

    :raises MissingDependency: when no package that reads zstd is installed.
    """
    _zstd()


def _zstd() -> tuple[Callable[[], Any], type[Exception]]:
    """Return a factory of decompressors for one frame, and the class of errors that they raise.

    :raises MissingDependency: when no package that reads zstd is installed.
    """
    module: Any = None
    with contextlib.suppress(ImportError):
        module = importlib.import_module("compression.zstd")
    if module is None and find("zstandard") is None:
        module = find("backports.zstd")
    if module is not None:
        return module.ZstdDecompressor, module.ZstdError
    module = require("zstandard", "A layer is compressed with zstd, and reading it", hint="Python 3.14 needs none.")
    return module.ZstdDecompressor().decompressobj, module.ZstdError
