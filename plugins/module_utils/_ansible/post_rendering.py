# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that change manifests before they are applied, of releases and of manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .specs import string_values, without_none
from .targets import TARGET_SPEC

RENDERING_SPEC: dict[str, Any] = {
    "common_metadata": {"type": "dict", "options": {"labels": {"type": "dict"}, "annotations": {"type": "dict"}}},
    "images": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "new_name": {"type": "str"},
            "new_tag": {"type": "str"},
            "digest": {"type": "str"},
        },
    },
    "patches": {
        "type": "list",
        "elements": "dict",
        "options": {
            "patch": {"type": "raw", "required": True},
            "target": TARGET_SPEC,
        },
    },
}


def rendering_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return these options without what is not given, and with labels and annotations as texts.

    :raises InvalidOption: when a label or an annotation is neither a text nor a number or boolean.
    """
    common = given.get("common_metadata")
    if common:
        common = {part: string_values(values, part) for part, values in common.items() if values}
    return {
        "common_metadata": common,
        "images": [without_none(each) for each in given.get("images") or ()],
        # a null in a patch takes a field away
        "patches": [
            {"patch": each["patch"], "target": without_none(each.get("target")) or {}}
            for each in given.get("patches") or ()
        ],
    }
