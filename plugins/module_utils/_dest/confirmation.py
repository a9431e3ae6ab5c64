# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time when the registry last confirmed which revision a request stands for.

One line of fixed length in a separate file, written in place: each run of a task that needs it writes it, without
writing the record, which can be large. The time is in the file, since modification times change when directories are
copied or restored.
"""

from __future__ import annotations

import errno
import os
import re

from .._files.directory_handles import open_file_at
from .destination import Destination

FILE_NAME = "confirmed"

_LINE = re.compile(rb"([0-9a-f]{64}) ([0-9]{20}) ([0-9a-f]{64})\n\Z")
_NO_TERMS = "0" * 64


def confirm(destination: Destination, fingerprint: str, moment: float, terms: str = "") -> None:
    """Store the time of a confirmation.

    :param fingerprint: identifies the request and its result, 64 hexadecimal digits.
    :param moment: seconds since 1970.
    :param terms: identifies the rules under which the registry was asked, 64 hexadecimal digits; empty when it was not.
    :raises OSError: when a file operation fails; ENOENT when ``dest`` has no record.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with destination.opened() as held:
        if held.control < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        descriptor = os.open(FILE_NAME, flags, 0o600, dir_fd=held.control)
        try:
            line = f"{fingerprint} {int(moment):020d} {terms or _NO_TERMS}\n"
            os.pwrite(descriptor, line.encode("ascii"), 0)
        finally:
            os.close(descriptor)


def last_confirmed(destination: Destination, fingerprint: str, terms: str = "") -> float | None:
    """Return the time of the last confirmation (seconds since 1970); None when there is none that can be read.

    :param terms: only a confirmation under these rules counts; empty for any.
    """
    with destination.opened() as held:
        return _read_note(held.control, fingerprint, terms) if held.control >= 0 else None


def _read_note(control: int, fingerprint: str, terms: str) -> float | None:
    try:
        with os.fdopen(open_file_at(os.fsencode(FILE_NAME), control), "rb") as stream:
            match = _LINE.match(stream.read(200))
    except OSError:
        return None
    if match is None or match[1].decode("ascii") != fingerprint or (terms and match[3].decode("ascii") != terms):
        return None
    return float(match[2])
