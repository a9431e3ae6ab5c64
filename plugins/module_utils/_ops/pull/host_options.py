# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options about what a host remembers and runs, and when it asks, which most pulls lack."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..._errors import InvalidOption
from ..._oci.options import parse_duration
from ..layer_selector import COPY

ROLLBACK = "rollback"
IN_PLACE = "in_place"

# as in _dest.history, which an unchanged pull does without
MAX_KEPT = 100
MAX_TOKEN = 200


class Health(NamedTuple):
    """The command that is run once a revision is in place, its time in seconds, and what its failure leads to."""

    words: tuple[str, ...]
    timeout: float
    remediation: str


def host_options(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``keep``, ``layout``, ``validate``, ``health``, ``requested_at`` and ``interval`` of a pull's options.

    :raises InvalidOption: when one of them cannot be used.
    """
    keep, token = params["keep"], params["requested_at"] or ""
    layout = "" if params["layout"] == IN_PLACE else params["layout"]
    if layout:
        from ..._dest.releases import KEEP

        keep = KEEP if keep is None else keep
        if keep == 0 or (params["layer_selector"] or {}).get("operation") == COPY:
            raise InvalidOption(
                "With 'layout: releases' the content is unpacked into a directory of its own, and that one is kept: "
                "'keep' is at least 1, and layer_selector.operation is extract."
            )
    if keep is not None and not 0 <= keep <= MAX_KEPT:
        raise InvalidOption(f"'keep' is {keep}: wanted 0 to {MAX_KEPT}.")
    if len(token) > MAX_TOKEN:
        raise InvalidOption(f"'requested_at' has {len(token)} characters: wanted at most {MAX_TOKEN}.")
    validate, health, interval = params["validate"], params["health"], params["interval"]
    return {
        "keep": keep,
        "layout": layout,
        "requested_at": token,
        "interval": 0.0 if interval is None else parse_duration(interval, "interval"),
        "validate": () if validate is None else parse_validate(validate),
        "health": None if health is None else parse_health(health),
    }


def parse_validate(text: str) -> tuple[str, ...]:
    """Return the words of the option ``validate``.

    :raises InvalidOption: when it is no command, or has no place for the path.
    """
    words = _words("validate", text)
    if not any("%s" in word for word in words):
        raise InvalidOption("'validate' has to say with %s where the path of the new content goes.")
    return words


def parse_health(option: Mapping[str, Any]) -> Health:
    """Return the option ``health``.

    :raises InvalidOption: when its command or its time cannot be used.
    """
    timeout = parse_duration(option["timeout"], "health.timeout")
    return Health(_words("health.command", option["command"]), timeout, option["remediation"])


def _words(option: str, text: str) -> tuple[str, ...]:
    """Split a command line as a shell would."""
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise InvalidOption(f"'{option}' is not a command: {exc}.") from None
    if not words:
        raise InvalidOption(f"'{option}' is empty: wanted a command.")
    return tuple(words)
