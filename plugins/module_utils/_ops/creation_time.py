# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The creation time in the annotations of an artifact."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime

from .._errors import InvalidOption

EPOCH = "1970-01-01T00:00:00Z"
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)\Z", re.ASCII)


def creation_time(given: str) -> str:
    """The value of ``org.opencontainers.image.created``: as given, from SOURCE_DATE_EPOCH, or 1970.

    :raises InvalidOption: when it is not an RFC 3339 time, or the variable is not a number of seconds.
    """
    if given:
        match = _RFC3339.match(given)
        try:
            if not match or not datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S"):
                raise ValueError
        except ValueError:
            raise InvalidOption(
                f"'created' is {given[:100]!r}: wanted a time such as 2026-11-21T02:00:00Z (RFC 3339)."
            ) from None
        return f"{match[1]}T{match[2]}{match[3] or ''}{match[4].upper()}"
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return EPOCH
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) < 12):
        raise InvalidOption(f"SOURCE_DATE_EPOCH is {epoch[:50]!r}: wanted a number of seconds since 1970.")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch)))
