# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which objects a target is for."""

from __future__ import annotations

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.targets import (
    check_target,
    identity_of,
    is_target,
)

DEPLOYMENT = identity_of(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web-1", "labels": {"app": "web", "tier": "front"}, "annotations": {"owner": "a"}},
    },
    "shop",
)
CORE = identity_of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}, "")


@pytest.mark.parametrize(
    ("target", "deployment", "core"),
    [
        ({}, True, True),
        ({"group": "apps"}, True, False),
        ({"group": "app"}, False, False),
        ({"group": "app.*", "version": "v1"}, True, False),
        ({"version": "v1"}, True, True),
        ({"version": "v"}, False, False),
        ({"kind": "Deployment|StatefulSet"}, True, False),
        ({"kind": "Deployment", "name": "web"}, False, False),
        ({"kind": "Deployment", "name": "web-[0-9]+"}, True, False),
        ({"namespace": "shop"}, True, False),
        ({"namespace": "other"}, False, False),
        ({"label_selector": "app=web,tier in (front, back)"}, True, False),
        ({"label_selector": "app!=web"}, False, True),
        ({"label_selector": "!app"}, False, True),
        ({"annotation_selector": "owner"}, True, False),
        ({"annotation_selector": "owner=b"}, False, False),
        ({"kind": "Deployment", "label_selector": "tier notin (front)"}, False, False),
    ],
)
def test_targets(target: dict[str, str], deployment: bool, core: bool) -> None:
    checked = check_target(target, "'target'")
    assert (is_target(checked, DEPLOYMENT), is_target(checked, CORE)) == (deployment, core)


@pytest.mark.parametrize("target", [{"name": "web("}, {"kind": "*"}, {"label_selector": "app is web"}])
def test_targets_that_cannot_be_used(target: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="'target' of a rule"):
        check_target(target, "'target' of a rule")


def test_an_expression_that_would_not_end_is_refused() -> None:
    endless = identity_of({"apiVersion": "v1", "kind": "A", "metadata": {"name": "a" * 60}}, "")
    with pytest.raises(InvalidOption, match="did not finish"):
        is_target(check_target({"name": "(a+)+b"}, "'target'"), endless)
