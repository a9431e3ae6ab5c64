# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ages, as the option max_age of a cache takes them."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.cache import parse_age


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("4w", 2_419_200),
        (" 7 ", 7),
    ],
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5d", "1d12h", "d", "1y", "1 d", "9" * 400, "\u0663", "1D"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not an age") as failure:
        parse_age(text)
    assert len(str(failure.value)) < 300
