# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The users that a task trusts: root and the user that runs it."""

from __future__ import annotations

import os
import stat

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_trusted(uid: int) -> bool:
    """Return whether a file of this user is as good as one of root's or the task's own user."""
    if uid in (0, os.geteuid()):
        return True
    from .user_namespace import is_outside

    return is_outside(uid)


def belongs_to_us(status: os.stat_result) -> bool:
    """Return whether a file or directory belongs to the user that runs the task and nobody else may write to it."""
    return status.st_uid == os.geteuid() and not status.st_mode & OTHERS_WRITE
