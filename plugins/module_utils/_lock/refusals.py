# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of lock files. They are apart from :mod:`.._errors` so that a task without a lock file does not load
them."""

from __future__ import annotations

from .._errors import InvalidOption, OciError


class LockInvalid(InvalidOption):
    """A lock file that cannot be used: another format, unreadable, writable by others, an entry that makes no sense."""

    reason = "LockInvalid"


class LockMissing(OciError):
    """A reference that the lock file has no entry for, or a lock file that is not there."""

    reason = "LockMissing"


class LockOutdated(OciError):
    """A reference that stands for another digest than the one in the lock file."""

    reason = "LockOutdated"
