# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options about what a host remembers and runs, which most pulls lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import InvalidOption
from .options import PullOptions

# as in _dest.history, which an unchanged pull does without
MAX_KEPT = 100
MAX_TOKEN = 200


def with_host_options(options: PullOptions, params: Mapping[str, Any]) -> PullOptions:
    """Return the options of a pull with ``keep``, ``validate``, ``health`` and ``requested_at``.

    :raises InvalidOption: when one of them cannot be used.
    """
    keep, token = params["keep"], params["requested_at"] or ""
    if keep is not None and not 0 <= keep <= MAX_KEPT:
        raise InvalidOption(f"'keep' is {keep}: wanted 0 to {MAX_KEPT}.")
    if len(token) > MAX_TOKEN:
        raise InvalidOption(f"'requested_at' has {len(token)} characters: wanted at most {MAX_TOKEN}.")
    options = options._replace(keep=keep, requested_at=token)
    if params["validate"] is not None or params["health"] is not None:
        from .checks import parse_health, parse_validate

        validate = () if params["validate"] is None else parse_validate(params["validate"])
        health = None if params["health"] is None else parse_health(params["health"])
        options = options._replace(validate=validate, health=health)
    return options
