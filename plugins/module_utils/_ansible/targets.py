# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ``target``, which selects objects: of patches, and of fields that may differ."""

from __future__ import annotations

from typing import Any

TARGET_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        name: {"type": "str"}
        for name in ("group", "version", "kind", "name", "namespace", "label_selector", "annotation_selector")
    },
}
