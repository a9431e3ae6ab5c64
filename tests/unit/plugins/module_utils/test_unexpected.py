# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions that nobody foresaw."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._unexpected import InternalError, as_error


def deep(levels: int, value: Any) -> Any:
    return deep(levels - 1, value) if levels else value["password"]


def test_the_place_and_no_words() -> None:
    with pytest.raises(TypeError) as caught:
        deep(50, {"hush-hush": 1}["hush-hush"])
    error = as_error(caught.value, "The work on it")
    assert isinstance(error, InternalError) and error.reason == "InternalError"
    assert str(error).startswith("The work on it ended with an unexpected TypeError (test_unexpected.py:")
    assert "in deep" in str(error) and str(error).count(".py") == 4

    for secret in (KeyError("hush-hush"), ValueError("hush-hush"), Exception("hush-hush", b"hush-hush")):
        text = str(as_error(secret, "It"))
        assert "hush" not in text and "no traceback" in text


def test_errors_of_the_core_stay() -> None:
    known = NotFound("It is not there.")
    assert as_error(known, "It") is known
