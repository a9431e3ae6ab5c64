# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar parser that is fed the bytes as they come, for archives that nobody vouches for.

Reads V7, ustar, pax and GNU archives (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar
manual, "Basic Tar Format"; star's prefix field as Go's archive/tar reads it). Wherever readers are known to disagree
on what an archive means, it is refused rather than guessed at: what was checked before it was packed would not be what
is unpacked. Compared were Go 1.26, Python 3.13, GNU tar 1.34 and libarchive 3.6.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Callable, Protocol

from .._errors import LayerError
from .._files.names import decoded
from .._files.tree import DIRECTORY, FILE, SYMLINK

HARDLINK = "hard link"

BLOCK = 512
# Bytes of one pax header or GNU long name: as much as Go's archive/tar accepts.
MAX_RECORD = 1 << 20
# The length of a pax line, a space and more: MAX_RECORD has seven digits.
_LENGTH_DIGITS = 9

_ZEROS = bytes(BLOCK)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*\Z")
# Owner, group, size and time of most writers.
_PLAIN_NUMBERS = re.compile(rb"[0-7]{7}\0[0-7]{7}\0.{12}[0-7]{11}\0", re.DOTALL)
# From the mode on, a header of a file as most writers make it, without a link name: its mode, size and checksum.
_PLAIN_FILE = re.compile(rb"([0-7]{7})\0[0-7]{7}\0[0-7]{7}\0([0-7]{11})\0[0-7]{11}\0([0-7]{6})\0 0\0")
# "[0-7]{11}[ \0]" or twelve NUL bytes; rarely needed, and therefore not compiled here
_TIME = rb"\0{12}|[0-7]{11}[ \0]"
_COPY_HINT = "Use layer_selector.operation=copy to keep the bytes as they are."
_REPACK_HINT = "Have its publisher pack the files with another tool, or use layer_selector.operation=copy."

_KINDS = {0x30: FILE, 0: FILE, 0x37: FILE, 0x31: HARDLINK, 0x32: SYMLINK, 0x35: DIRECTORY}
_REFUSED = {
    0x33: "a character device",
    0x34: "a block device",
    0x36: "a fifo",
    0x53: "a sparse file",
    # files for some readers, and no entries for others
    0x56: "a volume label",
    0x58: "an extended header of Solaris",
}
# x: pax; g: pax for all that follow; L, K: GNU long name and long link name.
_RECORDS = {0x78: "x", 0x67: "g", 0x4C: "L", 0x4B: "K"}
# pax keys by which star and Solaris describe sparse files, beside those of GNU.
_SPARSE_KEYS = (b"SCHILY.realsize", b"SUN.holesdata")


class NotAnArchive(LayerError):
    """The bytes are not an archive of any kind."""


class Handler(Protocol):
    """The receiver of the entries. If a method raises, the reader cannot be used any more."""

    def record(self, size: int) -> None:
        """A header of any kind was read; ``size`` is the bytes of the pax or GNU record that belongs to it."""

    def entry(self, kind: str, name: str, size: int, mode: int, target: str) -> None:
        """An entry begins. ``name`` and ``target`` are as the archive has them: they may be hostile, and their bytes
        need not be UTF-8 (see :func:`~._files.names.decoded`).

        ``kind`` is one of FILE, DIRECTORY, SYMLINK and HARDLINK, ``size`` the bytes that follow (0 but for FILE),
        ``mode`` the mode field (not negative, otherwise unchecked).
        """

    def data(self, view: memoryview) -> None:
        """The next bytes of a FILE; only valid during the call."""

    def finish(self) -> None:
        """All bytes of a FILE came; also called for an empty one."""

    def trailing(self, count: int) -> None:
        """So many bytes came after the end of the archive."""


# Takes name, size, mode and content of a FILE that lies whole in one piece; the content is only valid during the call.
TakeFile = Callable[[str, int, int, memoryview], None]


class TarReader:
    """Takes the archive's bytes in pieces of any length. ``what`` names the archive in errors, which say that it cannot
    be ``done``.

    With ``take_file``, that may be called for a FILE in place of ``record``, ``entry``, ``data`` and ``finish`` of the
    handler, which takes less time for many small ones.
    """

    def __init__(
        self, handler: Handler, what: str, take_file: TakeFile | None = None, *, done: str = "unpacked"
    ) -> None:
        self._handler = handler
        self._what = what
        self._take_file = take_file
        self._done = done
        self._left = 0
        self._padding = 0
        self._partial = b""
        self._record: bytearray | None = None
        self._record_kind = ""
        self._record_size = 0
        self._override: dict[str, str] = {}
        self._headers = 0
        self._is_pax = False
        self._ended = False
        # of the second block of zeros
        self._end_left = BLOCK

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        :raises LayerError: when they are not an archive, or one that is damaged or not supported.
        """
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end:
            if self._left:
                size = min(self._left, end - position)
                part = view[position : position + size]
                if self._record is None:
                    self._handler.data(part)
                else:
                    self._record += part
                self._left -= size
                position += size
                if not self._left:
                    self._complete()
            elif self._padding:
                size = min(self._padding, end - position)
                self._padding -= size
                position += size
            elif self._ended:
                self._end(view[position:])
                return
            elif not self._partial and end - position >= BLOCK:
                if self._take_file is not None and not self._override:
                    position = self._plain_files(view, position, self._take_file)
                    if end - position < BLOCK:
                        continue
                self._header(bytes(view[position : position + BLOCK]))
                position += BLOCK
            else:
                size = min(BLOCK - len(self._partial), end - position)
                self._partial += view[position : position + size]
                position += size
                if len(self._partial) == BLOCK:
                    block, self._partial = self._partial, b""
                    self._header(block)

    def _plain_files(self, view: memoryview, position: int, take: TakeFile) -> int:
        """Take the files, one after the other, that lie whole in a piece and mean the same to every reader.

        :param position: where a header begins.
        :return: where the first header begins that :meth:`_header` has to look at; the end of the piece, perhaps.
        """
        end = len(view)
        while end - position >= BLOCK:
            block = bytes(view[position : position + BLOCK])
            match = _PLAIN_FILE.match(block, 100)
            # a prefix is a part of the name; without bytes above 127 all readers add up the same checksum
            if match is None or block[345] or not block.isascii():
                break
            mode, size, checksum = match.groups()
            start = position + BLOCK
            length = int(size, 8)
            stop = start + length
            # Adler-32's low half is 1 + the sum modulo 65521, which 512 bytes below 128 do not reach. In the sum, the
            # checksum's own field counts as eight blanks.
            total = (zlib.adler32(block) & 0xFFFF) - 1 - sum(checksum) + 7 * 0x20
            name = block[:100].partition(b"\0")[0]
            padded = stop + (-length % BLOCK)
            if padded > end or total != int(checksum, 8) or not name or name.endswith(b"/"):
                break
            self._headers += 1
            take(name.decode("ascii"), length, int(mode, 8), view[start:stop])
            position = padded
        return position

    @property
    def has_ended(self) -> bool:
        """Return True when the two blocks of zeros came that end an archive."""
        return self._ended and not self._end_left

    def skip(self) -> int:
        """Pass over the rest of the current file; return the number of bytes that are not fed, padding included."""
        if self._record is not None:
            return 0
        left, count = self._left, self._left + self._padding
        self._left = self._padding = 0
        if left:
            self._complete()
        return count

    def close(self) -> None:
        """Declare the end of the bytes. The two zero blocks at the end may be missing, as in Go's archive/tar.

        :raises LayerError: when an entry, or what belongs to one, is incomplete.
        """
        if self._ended:
            return
        if not self._headers:
            raise self._no_archive(self._partial)
        if self._left or self._padding or self._partial or self._record is not None or self._override:
            raise LayerError(f"{self._what} is a truncated archive: it ends in the middle of an entry.", _REPACK_HINT)

    def _no_archive(self, found: bytes) -> NotAnArchive:
        beginning = f"begins with {bytes(found[:16])!r}, which is not a tar header" if found else "is empty"
        return NotAnArchive(f"{self._what} is not an archive: it {beginning}.", _COPY_HINT)

    def _refuse(self, problem: str) -> LayerError:
        return LayerError(f"{self._what} cannot be {self._done}: {problem}.", _REPACK_HINT)

    def _end(self, view: memoryview) -> None:
        """Take what follows the first block of zeros: a second one, and then anything."""
        if self._end_left:
            second = view[: self._end_left]
            self._end_left -= len(second)
            if any(second):
                raise self._refuse("a block of zeros ends it for some readers, and more follows")
        self._handler.trailing(len(view))

    def _header(self, block: bytes) -> None:
        if block == _ZEROS:
            if self._override:
                raise self._refuse("the archive ends after an extended header that belongs to no entry")
            self._ended = True
            return
        if not has_header_checksum(block):
            if not self._headers:
                raise self._no_archive(block)
            raise self._refuse(f"the header after entry {self._headers} is damaged (wrong checksum)")
        self._headers += 1
        flag = block[156]
        size = self._number(block[124:136], "size")
        if not _PLAIN_NUMBERS.match(block, 108):
            self._check_unused(block)
        record = _RECORDS.get(flag)
        if record is not None:
            self._begin_record(record, size)
            return
        self._handler.record(0)
        override, self._override = self._override, {}
        name, target = self._named(block, override)
        kind = _KINDS.get(flag)
        if kind is None:
            problem = _REFUSED.get(flag, f"of the unsupported type {chr(flag)!r}")
            raise self._refuse(f"its entry {name[:200]!r} is {problem}")
        mode = self._number(block[100:108], "mode")
        size = self._size(name, kind, size, override.get("size"))
        if kind == FILE and self._is_directory(block, name):
            kind = DIRECTORY
            if size:
                raise self._refuse(f"its entry {name[:200]!r} has the name of a directory and the content of a file")
        if kind != FILE:
            self._handler.entry(kind, name, 0, mode, target)
            return
        self._handler.entry(FILE, name, size, mode, "")
        if size:
            self._left, self._padding = size, -size % BLOCK
        else:
            self._handler.finish()

    def _named(self, block: bytes, override: Mapping[str, str]) -> tuple[str, str]:
        """Name and link target of an entry, from its header and the extended headers before it."""
        name, target = override.get("path"), override.get("linkpath")
        if name is None:
            raw = block[:100].split(b"\0", 1)[0]
            name = self._text(self._prefix(block, raw) + raw if block[345] else raw)
        if target is None:
            target = self._text(block[157:257].split(b"\0", 1)[0]) if block[157] else ""
        return name, target

    def _prefix(self, block: bytes, name: bytes) -> bytes:
        """Return the text that a prefix field that is not empty puts before the name, with its slash."""
        magic = block[257:265]
        if magic.startswith(b"ustar\0"):
            # star has times in the last bytes of it, and ends what is before them
            prefix, nul, _times = block[345 : 476 if block[508:] == b"tar\0" else 500].partition(b"\0")
            if nul or block[508:] != b"tar\0":
                return prefix + b"/"
        # An incremental archive of GNU tar has two times there.
        elif magic == b"ustar  \0" and _is_time(block[345:357]) and _is_time(block[357:369]):
            return b""
        shown = name.decode("utf-8", "replace")
        raise self._refuse(
            f"the header of its entry {shown!r} has text that is a part of the name for some readers and not for others"
        )

    def _is_directory(self, block: bytes, name: str) -> bool:
        """Return whether a name marks a directory, as in V7, which has no type for them."""
        is_slashed = name.endswith("/")
        # Some go by the name field alone, and some do so whatever the type.
        has_slashed_field = block[156] == 0 and block[:100].split(b"\0", 1)[0].endswith(b"/")
        if is_slashed != has_slashed_field:
            raise self._refuse(f"its entry {name[:200]!r} is a file for some readers and a directory for others")
        return is_slashed

    def _size(self, name: str, kind: str, size: int, override: str | None) -> int:
        """The bytes of an entry, from its header unless an extended header says it."""
        if override is not None:
            if not (override.isascii() and override.isdigit() and len(override) <= 20):
                raise self._refuse(f"the entry {name[:200]!r} has a size that is not a number: {override[:40]!r}")
            size = self._sensible(int(override), "size")
        if kind == FILE:
            return size
        # POSIX: links and directories have no data, whatever their size field says. In pax archives, to some readers,
        # links do.
        if size and (override is not None or (kind == HARDLINK and self._is_pax)):
            raise self._refuse(f"its entry {name[:200]!r} is a {kind}, and has a size")
        return 0

    def _begin_record(self, record: str, size: int) -> None:
        if size > MAX_RECORD:
            raise self._refuse(f"it has an extended header of {size} bytes, more than {MAX_RECORD}")
        if record == "g" and self._override:
            raise self._refuse("an extended header is followed by one for all entries")
        self._handler.record(size)
        self._is_pax = self._is_pax or record in "xg"
        self._record, self._record_kind, self._record_size = bytearray(), record, size
        self._left, self._padding = size, -size % BLOCK
        if record in "LK":
            self._left, self._padding = size + self._padding, 0
        if not size:
            self._complete()

    def _complete(self) -> None:
        if self._record is None:
            self._handler.finish()
            return
        record, self._record = bytes(self._record), None
        if self._record_kind in "LK":
            text = record[: self._record_size]
            # Without a NUL at its end, some readers go on in the padding.
            if any(record[self._record_size :]) and not text.endswith(b"\0"):
                raise self._refuse("it has a long name of another length than its header says")
            text = text.rstrip(b"\0")
            if not text:
                raise self._refuse("it has an empty long name")
            self._set("path" if self._record_kind == "L" else "linkpath", self._text(text))
            return
        # Marks that an entry has to follow, even when the header says nothing that matters here.
        if self._record_kind == "x":
            self._set("", "x")
        for key, value in self._pax(record):
            if key.startswith(b"GNU.sparse.") or key in _SPARSE_KEYS:
                raise self._refuse("it holds a sparse file")
            if key in (b"path", b"linkpath", b"size"):
                if self._record_kind == "g":
                    raise self._refuse(f"it sets {key.decode()!r} for all its entries")
                if not value:
                    raise self._refuse(f"an extended header has an empty {key.decode()!r}")
                self._set(key.decode(), self._text(value))

    def _set(self, key: str, value: str) -> None:
        if key in self._override:
            raise self._refuse("an entry is described by two extended headers that rule each other out")
        self._override[key] = value

    def _pax(self, record: bytes) -> list[tuple[bytes, bytes]]:
        """The "length key=value" lines of a pax header."""
        found, position = [], 0
        while position < len(record):
            digits, _space, rest = record[position : position + _LENGTH_DIGITS].partition(b" ")
            start = position + len(digits) + 1
            stop = position + int(digits) if digits.isdigit() and rest else 0
            key, equals, value = record[start : stop - 1].partition(b"=")
            if not (start < stop <= len(record) and record[stop - 1] == 0x0A and key and equals) or b"\0" in key:
                raise self._refuse("it has a damaged pax header")
            found.append((key, value))
            position = stop
        return found

    def _number(self, field: bytes, what: str) -> int:
        """A number in octal, or in GNU's base 256."""
        if field[0] & 0x80:
            if field[0] != 0x80:
                raise self._refuse(f"an entry has a negative or absurd {what}")
            return self._sensible(int.from_bytes(field[1:], "big"), what)
        match = _OCTAL.match(field)
        if match is None:
            # Old archives leave garbage after the NUL that ends the number. Some readers skip one before it.
            match = _OCTAL.match(field.split(b"\0", 1)[0])
            match = match if match and match.group(1) else None
        if match is None:
            raise self._refuse(f"an entry has a {what} that is not a number: {field!r}")
        return int(match.group(1) or b"0", 8)

    def _check_unused(self, block: bytes) -> None:
        """Check the numbers that are not used here: some readers take a damaged one for the end of the archive."""
        for what, field in (("owner", block[108:116]), ("group", block[116:124]), ("time", block[136:148])):
            if not field[0] & 0x80:
                self._number(field, what)

    def _sensible(self, number: int, what: str) -> int:
        if number >= 1 << 63:
            raise self._refuse(f"an entry has a negative or absurd {what}")
        return number

    def _text(self, raw: bytes) -> str:
        if b"\0" in raw:
            raise self._refuse(f"the name {raw[:200]!r} holds a NUL byte")
        return decoded(raw)


def _is_time(field: bytes) -> bool:
    """Return whether a field is a time as GNU tar writes it: blank, in octal or in base 256."""
    return field[0] in (0x80, 0xFF) or re.match(_TIME, field) is not None


def has_header_checksum(block: bytes) -> bool:
    """Return whether 512 bytes carry the checksum of a tar header; sums of signed bytes (old Sun tar) count as well."""
    match = _OCTAL.match(block[148:156])
    if match is None or not match.group(1):
        return False
    wanted = int(match.group(1), 8)
    zeroed = block[:148] + b"        " + block[156:]
    # Adler-32's low half is 1 + the sum modulo 65521: exact for 256 bytes, and six times as fast as sum().
    total = (zlib.adler32(zeroed[:256]) & 0xFFFF) + (zlib.adler32(zeroed[256:]) & 0xFFFF) - 2
    return total == wanted or total - 256 * sum(byte > 127 for byte in zeroed) == wanted
