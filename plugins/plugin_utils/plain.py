# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's own kinds of text, mapping and list as those of Python."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The value without what Ansible attaches to it; vaulted texts are decrypted, dates spelt as in ISO 8601."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, (int, float, bool)) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    # also a vaulted text, which is no str in ansible-core before 2.19
    return str(value)


def sealed(value: Any) -> str:
    """The value as one JSON text: a module that takes it as a secret hides this text, and not each word in it."""
    return json.dumps(plain(value), ensure_ascii=False)
