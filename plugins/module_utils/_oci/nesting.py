# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How deep a document may be nested that others wrote, and that a result may hold.

How deep Python itself reads and writes depends on its release, and what Ansible does with results on its own.
"""

from __future__ import annotations

from typing import Any

#: Levels of objects and lists. No format that is known here needs more than ten.
MAX_LEVELS = 100


def is_nested_too_deep(value: Any) -> bool:
    """Return True when objects and lists lie in one another more than ``MAX_LEVELS`` times."""
    level = [value]
    for _depth in range(MAX_LEVELS + 1):
        containers = [each for each in level if isinstance(each, (dict, list))]
        if not containers:
            return False
        level = [child for each in containers for child in (each.values() if isinstance(each, dict) else each)]
    return True
