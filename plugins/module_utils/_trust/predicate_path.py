# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths into the predicate of an attestation.

A path is written as in JSONPath and kubectl, from the predicate on: ``builder.id``, ``materials[0].uri``, with ``[*]``
for every element of a list, and ``["a.name"]`` for a name that is not plain.
"""

from __future__ import annotations

import json
import re
from typing import Union

from .._errors import InvalidPolicy

MAX_PATH = 500

#: Stands for every element of a list.
EACH = None
#: A name in an object, an index in a list, or EACH.
Step = Union[str, int, None]

_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]"'*\s]+)|\[(?P<index>[0-9]{1,9}|\*)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*"|'[^']*')\]"""
)


def parse_path(path: str) -> list[Step]:
    """Return the steps of a path.

    :raises InvalidPolicy: when it is not one.
    """
    steps: list[Step] = []
    position = 0
    while position < len(path) <= MAX_PATH:
        match = _STEP.match(path, position)
        # a dot stands between steps, not before the first
        if match is None or (match["name"] and (path[position] == ".") != (position > 0)):
            break
        steps.append(_step(match, path))
        position = match.end()
    if not steps or position < len(path):
        raise InvalidPolicy(
            f"{path[:200]!r} is not a path into a predicate.",
            "Write names with dots between them, as in builder.id, with an index or [*] for lists, as in "
            'materials[*].uri, and ["…"] around a name with other characters.',
        )
    return steps


def _step(match: re.Match[str], path: str) -> Step:
    if match["name"]:
        return match["name"]
    if match["index"]:
        return EACH if match["index"] == "*" else int(match["index"])
    quoted = match["quoted"]
    if quoted[0] == "'":
        return quoted[1:-1]
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise InvalidPolicy(f"{path[:200]!r} is not a path into a predicate: {quoted[:100]} is not a name.") from None
