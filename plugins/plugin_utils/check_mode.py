# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode for a part of a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def in_check_mode(task: Any) -> Iterator[None]:
    """Have modules run in check mode, without diffs, until the block ends: they say what is, and change nothing."""
    modes = task.check_mode, task.diff
    task.check_mode, task.diff = True, False
    try:
        yield
    finally:
        task.check_mode, task.diff = modes
