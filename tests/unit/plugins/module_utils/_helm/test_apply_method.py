# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags that Helm 4 accepts for the one way of applying objects, and refuses for the other."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.apply_method import (
    accepted_flags,
    conflict_hint,
    depends_on_record,
    is_server_side,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.flags import DeployFlags

FORCED = DeployFlags(force_conflicts=True)


def test_what_is_recorded() -> None:
    assert is_server_side({"apply_method": "ssa"})
    # Helm 3 records nothing
    assert not is_server_side({"apply_method": "csa"}) and not is_server_side({})


@pytest.mark.parametrize(
    ("server_side", "force", "of_server", "of_client"),
    [("", False, True, False), ("auto", False, True, False), ("true", False, True, True),
     ("false", False, False, False), ("", True, False, False)],
)  # fmt: skip
def test_conflicts_are_forced_where_there_are_some(
    server_side: str, force: bool, of_server: bool, of_client: bool
) -> None:
    flags = DeployFlags(force_conflicts=True, server_side=server_side, force=force)
    assert accepted_flags(flags, recorded=True).force_conflicts is of_server
    assert accepted_flags(flags, recorded=False).force_conflicts is of_client
    # a record is read where it makes a difference, and only there
    assert depends_on_record(flags) is (of_server != of_client)
    assert not depends_on_record(DeployFlags(server_side=server_side, force=force))


def test_other_flags_stay() -> None:
    flags = DeployFlags(force_conflicts=True, timeout=7.0, server_side="auto")
    assert accepted_flags(flags, recorded=False) == DeployFlags(timeout=7.0, server_side="auto")
    plain = DeployFlags(server_side="true")
    assert accepted_flags(plain, recorded=False) == plain


def test_hints() -> None:
    words = 'Apply failed with 1 conflict: conflict with "{}" using v1: .data.edition'
    assert "or leave 'server_side' out" in conflict_hint(words.format("helm"), DeployFlags(server_side="true"))
    assert conflict_hint(words.format("helm"), DeployFlags()).endswith("with 'force_conflicts'.")
    assert "'force_conflicts'" in conflict_hint(words.format("kubectl-edit"), DeployFlags())
    assert "Helm itself" not in conflict_hint(words.format("kubectl-edit"), DeployFlags())
    several = 'Apply failed with 2 conflicts: conflicts with "kubectl":\n- .a\nconflicts with "helm" using v1:\n- .b'
    assert "Helm itself" in conflict_hint(several, DeployFlags())
    assert conflict_hint(words.format("helm"), FORCED) == ""
    assert conflict_hint("timed out waiting for the condition", DeployFlags()) == ""
