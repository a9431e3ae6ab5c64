# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values in a result: what came from a Secret, holds a secret, or is named like one is not among them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.values import masked_values
from ansible_collections.cloudnative.artifacts.plugins.module_utils._secrets.masking import Mask

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "value",
    ["s3cret-word", "https://a:s3cret-word@b/", "czNjcmV0LXdvcmQ=", ["x", {"y": "s3cret-word"}], 4711, "4711"],
)
def test_what_a_secret_holds_is_hidden_wherever_it_is(value: Any) -> None:
    mask = Mask()
    mask.add("s3cret-word")
    mask.add_value(4711)
    shown = repr(masked_values({"a": {"b": value}, "s3cret-word": 1}, mask, frozenset()))
    assert "(hidden" in shown
    assert not any(word in shown for word in ("s3cret-word", "czNjcmV0", "4711"))


def test_what_came_from_a_secret_is_hidden_by_its_place() -> None:
    secret = frozenset({("a", "b"), ("list",)})
    values = {"a": {"b": "yes", "c": "yes"}, "list": [1, 2], "b": "yes", "none": None}
    shown = masked_values(values, Mask(), secret)
    assert (shown["a"]["c"], shown["b"], shown["none"]) == ("yes", "yes", None)
    assert shown["a"]["b"].startswith("(hidden") and shown["list"].startswith("(hidden")


def test_names_of_secrets() -> None:
    values = {"db": {"password": "x", "port": 1, "token": ""}, "keys": ["a"], "secretName": "n", "on": True}
    shown = masked_values(values, Mask(), frozenset())
    assert shown["db"]["password"].startswith("(hidden") and shown["secretName"].startswith("(hidden")
    assert shown["keys"][0].startswith("(hidden")
    assert (shown["db"]["port"], shown["db"]["token"], shown["on"]) == (1, "", True)
