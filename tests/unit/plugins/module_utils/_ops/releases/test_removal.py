# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removals that Helm does not end well, although the record is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import HelmFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.helm_binary import Outcome
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import Revision
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import ReleaseKey, ReleaseSpec
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.work import ReleaseWork

KEY = ReleaseKey("ns", "one")
HOOK = "Error: uninstallation completed with 1 error(s): 1 error occurred:\n\t* pod one-hook failed"
NOT_THERE = "Error: uninstall: Release not loaded: one: release: not found"
PURGED = "Error: uninstallation completed with 1 error(s): uninstall: Failed to purge the release: release: not found"


class Context:
    """A cluster with one deployed release, and a Helm that removes its record in any case."""

    want_diff = False

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._is_there = True
        self.helm = self

    @contextmanager
    def locked(self, _key: ReleaseKey) -> Iterator[tuple[bool, bool]]:
        yield True, False

    def last(self, _key: ReleaseKey) -> Revision | None:
        return Revision("ns", "one", 1, "deployed", "", {}) if self._is_there else None

    def target_of(self, _revision: Revision) -> str:
        return "ns"

    def helm_for(self, _key: ReleaseKey, _namespace: str) -> Context:
        return self

    def noting(self, _commands: Sequence[str], *, rehearse: bool) -> Context:
        assert not rehearse
        return self

    def uninstall(self, *_arguments: Any) -> Outcome:
        self._is_there = False
        return self._outcome

    def said(self, outcome: Outcome, _key: ReleaseKey) -> str:
        return outcome.words


def removed(words: str) -> ReleasePlan:
    plan = ReleasePlan(dataclasses.replace(ReleaseSpec(KEY), present=False))
    ReleaseWork(cast(Any, Context(Outcome(not words, words))), plan).carry_out()
    return plan


def test_what_fails_after_the_record_is_gone_is_a_failure() -> None:
    with pytest.raises(HelmFailed) as caught:
        removed(HOOK)
    assert caught.value.reason == "UninstallFailed"
    assert "pod one-hook failed" in str(caught.value) and "Its record is gone" in str(caught.value)


@pytest.mark.parametrize("words", ["", NOT_THERE, PURGED])
def test_who_removed_the_record_makes_no_difference(words: str) -> None:
    plan = removed(words)
    assert plan.reason == "UninstallSucceeded" and plan.changed and not plan.warnings
