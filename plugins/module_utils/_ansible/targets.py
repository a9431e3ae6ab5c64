# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options ``target``, which selects objects, and ``drift_ignore``, which has it beside patches."""

from __future__ import annotations

from typing import Any

TARGET_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        name: {"type": "str"}
        for name in ("group", "version", "kind", "name", "namespace", "label_selector", "annotation_selector")
    },
}

DRIFT_IGNORE_SPEC: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "paths": {"type": "list", "elements": "str", "required": True},
        "kind": {"type": "str"},
        "name": {"type": "str"},
        "target": TARGET_SPEC,
    },
}
