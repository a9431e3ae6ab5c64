# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the controller hands over as one text, so that nothing in them is logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption


def mapping(value: Any, name: str) -> dict[str, Any]:
    """A mapping, or the JSON text of one.

    :raises InvalidOption: when it is neither; ``name`` is in the plural.
    """
    if isinstance(value, (str, bytes)):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, Mapping):
        raise InvalidOption(f"The {name} are not a mapping.")
    return dict(value)
