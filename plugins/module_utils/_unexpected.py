# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions that nobody foresaw, as errors of the core: where one of several things fails, the others go on."""

from __future__ import annotations

import os
import traceback
from types import TracebackType

from ._errors import OciError

# How many calls a message names, the innermost last.
MAX_FRAMES = 4


class InternalError(OciError):
    """An exception that this collection did not expect: a fault in it, or in a library that it calls."""

    reason = "InternalError"


def as_error(exc: Exception, what: str) -> OciError:
    """Return the exception itself if it is an error of the core, else an InternalError that stands for it.

    The message names the type of the exception and the lines of code it came through. It does not repeat the words of
    the exception, which may hold a secret.

    :param what: what was being done, as the beginning of a sentence ("The work on the release default/web").
    """
    if isinstance(exc, OciError):
        return exc
    return InternalError(
        f"{what} ended with an unexpected {type(exc).__name__} ({_places(exc.__traceback__)}).",
        "This is a fault in the collection: please report this message.",
    )


def _places(trace: TracebackType | None) -> str:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(trace)][-MAX_FRAMES:]
    named = [f"{os.path.basename(code.co_filename)}:{line} in {code.co_name}" for code, line in frames]
    return ", ".join(named) or "no traceback"
