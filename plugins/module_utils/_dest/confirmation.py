# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the registry last confirmed that what is in ``dest`` is what was asked for.

One line of fixed length in a file of its own, written in place: each run of a task that wants it writes it, and the
record itself, which can be large, need not be written for it. The time is in the file, since times of files change
when directories are copied or restored.
"""

from __future__ import annotations

import errno
import os
import re

from .._files.directory_handles import open_file_at
from .destination import Destination

FILE_NAME = "confirmed"

_LINE = re.compile(rb"([0-9a-f]{64}) ([0-9]{20})\n\Z")


def confirm(destination: Destination, fingerprint: str, moment: float) -> None:
    """Note when something was confirmed.

    :param fingerprint: what it stands for, 64 hexadecimal digits.
    :param moment: seconds since 1970.
    :raises OSError: as the file system says; when there is no record that this would belong to (ENOENT).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with destination.opened() as held:
        if held.control < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        descriptor = os.open(FILE_NAME, flags, 0o600, dir_fd=held.control)
        try:
            os.pwrite(descriptor, b"%s %020d\n" % (fingerprint.encode("ascii"), int(moment)), 0)
        finally:
            os.close(descriptor)


def last_confirmed(destination: Destination, fingerprint: str) -> float | None:
    """Return when that was confirmed last (seconds since 1970); None when it never was, or no note can be read."""
    with destination.opened() as held:
        return _read_note(held.control, fingerprint) if held.control >= 0 else None


def _read_note(control: int, fingerprint: str) -> float | None:
    try:
        with os.fdopen(open_file_at(os.fsencode(FILE_NAME), control), "rb") as stream:
            match = _LINE.match(stream.read(200))
    except OSError:
        return None
    return float(match[2]) if match and match[1].decode("ascii") == fingerprint else None
