# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that choose the layers of an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .._errors import InvalidOption

EXTRACT = "extract"
COPY = "copy"
AUTO = "auto"
FIRST = "first"
ALL = "all"


class LayerSelector(NamedTuple):
    """The choice of layers (Flux's ``layerSelector``, and ``layers``), and the operation on them."""

    media_type: str = ""
    operation: str = EXTRACT
    layers: str = AUTO


class Limits(NamedTuple):
    """Limits of the unpacked content of one artifact: ``max_size`` in bytes and ``max_files``."""

    max_size: int
    max_files: int


def parse_layer_selector(option: Mapping[str, str | None] | None, layers: str) -> LayerSelector:
    """Check the options ``layer_selector`` and ``layers``.

    :raises InvalidOption: when a value is unknown.
    """
    option = option or {}
    operation = option.get("operation") or EXTRACT
    if operation not in (EXTRACT, COPY):
        raise InvalidOption(f"The layer operation {operation!r} is unknown: wanted extract or copy.")
    if layers not in (AUTO, FIRST, ALL):
        raise InvalidOption(f"'layers' is {layers!r}: wanted auto, first or all.")
    return LayerSelector(option.get("media_type") or "", operation, layers)


def parse_platform(text: str | None) -> str:
    """Check the option ``platform``; empty when it is not given.

    :raises InvalidOption: when it is malformed.
    """
    if not text:
        return ""
    from .._oci import platforms

    return platforms.check(text)
