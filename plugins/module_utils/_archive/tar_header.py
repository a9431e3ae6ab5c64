# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reproducible headers of tar entries.

The layout is that of Go's archive/tar: ustar headers, a pax header for what ustar cannot hold and only then. Owners and
times are zero. They are written by hand because tarfile's headers differ between versions.
"""

from __future__ import annotations

from .._files.names import encoded
from .tar_reader import BLOCK

_MAX_NAME_FIELD = 100
_MAX_PREFIX_FIELD = 155
_MAX_SIZE_FIELD = 0o77777777777


def tar_header(path: str, flag: bytes, mode: int, size: int = 0, target: str = "") -> bytes:
    """Return the header of an entry, preceded by a pax header where it needs one.

    :param path: ends in a slash for a directory.
    :param flag: the type of the entry (POSIX.1-2017, pax, "ustar Interchange Format").
    """
    records = {}
    name, prefix = encoded(path), b""
    if len(name) > _MAX_NAME_FIELD and path.isascii():
        prefix, name = _split(name)
    if len(name) > _MAX_NAME_FIELD or not path.isascii():
        records["path"] = path
        name = _legacy(path)
    link = encoded(target)
    if len(link) > _MAX_NAME_FIELD or not target.isascii():
        records["linkpath"] = target
        link = _legacy(target)
    if size > _MAX_SIZE_FIELD:
        records["size"] = str(size)
        size = 0
    extended = b""
    if records:
        body = b"".join(pax_record(key, records[key]) for key in sorted(records))
        extended = _ustar(b"././@PaxHeader", b"x", 0o644, len(body), b"", b"") + body + bytes(-len(body) % BLOCK)
    return extended + _ustar(name, flag, mode, size, link, prefix)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name for a ustar header; no prefix when there is no slash in the right place."""
    slash = name.rfind(b"/", 0, min(_MAX_PREFIX_FIELD + 1, len(name) - 1))
    if slash > 0 and len(name) - slash - 1 <= _MAX_NAME_FIELD:
        return name[:slash], name[slash + 1 :]
    return b"", name


def _legacy(name: str) -> bytes:
    """Return the name for readers that do not know pax headers."""
    return name.encode("ascii", "replace")[:_MAX_NAME_FIELD]


def pax_record(key: str, value: str) -> bytes:
    body = b" " + key.encode() + b"=" + encoded(value) + b"\n"
    length = len(body)
    # The length counts its own digits.
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _ustar(name: bytes, flag: bytes, mode: int, size: int, link: bytes, prefix: bytes) -> bytes:
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"0000000\0" * 2,
        b"%011o\0" % size,
        b"00000000000\0",
        b"        ",
        flag,
        link.ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"0000000\0" * 2,
        prefix.ljust(167, b"\0"),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
