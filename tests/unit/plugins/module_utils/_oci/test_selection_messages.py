# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a selection without a match says: the newest tags that were passed over, and why."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import NoMatch
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.selection import (
    FilterTags,
    Selection,
    TagSelector,
)

DIGEST = "sha256-" + "0a" * 32


def message(tags: list[str], *, chart_tags: bool = False, **options: Any) -> str:
    with pytest.raises(NoMatch) as caught:
        TagSelector(Selection(**options), chart_tags=chart_tags).select(tags)
    assert caught.value.reason == "ReadOperationFailed"
    return str(caught.value)


def test_no_match_names_what_was_passed_over_and_why() -> None:
    text = message(["1.0.0-rc.1", "0.9.0", "latest"], semver=">=1.0.0")
    assert "semver '>=1.0.0'" in text and "of 3 that" in text
    assert "1.0.0-rc.1 (a pre-release), 0.9.0 (outside the range), latest (no version of three parts)" in text
    assert ">=1.0.0-0" in text


def test_no_match_explains_expressions_and_charts() -> None:
    assert "1.0.0 (not matched by semver_filter)" in message(["1.0.0"], semver="*", semver_filter="^v")
    options = FilterTags(pattern="^v", policy="numerical")
    assert "1.0.0 (not matched by filter_tags.pattern)" in message(["1.0.0"], filter_tags=options)
    assert "main (no number)" in message(["main"], filter_tags=FilterTags(policy="numerical"))
    assert "only for Helm charts" in message(["1.0.0_a"], semver="*")
    assert "only for Helm charts" not in message(["1.0.0_a"], semver="2", chart_tags=True)
    assert "pre-release" not in message(["1.0.0"], semver=">=2.0.0-0")


def test_no_match_without_tags_and_with_many() -> None:
    assert "0 tags" in message([], semver="*")
    assert "none names a release" in message([DIGEST + ".sig", "a+b"], semver="*")
    many = message([f"1.0.{number}" for number in range(1000)], semver="2")
    assert "1.0.999" in many and "1.0.990" not in many
