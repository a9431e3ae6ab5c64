# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fields of which objects are ignored, for releases and for sets of manifests."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.manifests import MANIFESTS_OPTIONS
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.releases import RELEASE_SPEC
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import ObjectLocation
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.ignored_fields import (
    ignored_fields,
    parse_drift_rule,
)

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"team": "a"}}}
PLACE = ObjectLocation("", "", "Deployment", "prod", "web")


@pytest.mark.parametrize(
    ("rule", "concerns"),
    [
        ({}, True),
        ({"kind": "Deployment", "name": "web", "target": None}, True),
        ({"kind": "Service"}, False),
        ({"name": "we"}, False),
        ({"target": {"group": "apps", "version": "v1", "kind": "Deploy.*", "namespace": "prod", "name": "w.b"}}, True),
        ({"target": {"name": "we"}}, False),
        ({"target": {"namespace": "dev|test"}}, False),
        ({"target": {"label_selector": "team in (a,b)"}}, True),
        ({"target": {"label_selector": "team=b"}}, False),
        ({"target": {"annotation_selector": "!fixed"}}, True),
        ({"kind": "Deployment", "target": {"name": "other"}}, False),
    ],
)
def test_which_objects_a_rule_is_for(rule: dict[str, Any], concerns: bool) -> None:
    parsed = parse_drift_rule({"paths": ["/spec/replicas", ""], **rule}, "it")
    found = list(ignored_fields([parsed], PLACE, DEPLOYMENT, is_secret=False))
    assert found == ([("spec", "replicas"), ()] if concerns else [])


def test_what_a_secret_says_in_text_is_among_its_data() -> None:
    rule = parse_drift_rule({"paths": ["/stringData/a", "/data/b"]}, "it")
    assert list(ignored_fields([rule], PLACE, DEPLOYMENT, is_secret=True)) == [("data", "a"), ("data", "b")]
    assert list(ignored_fields([rule], PLACE, DEPLOYMENT, is_secret=False))[0] == ("stringData", "a")


def test_both_modules_have_the_same_suboptions() -> None:
    assert MANIFESTS_OPTIONS["drift_ignore"] == RELEASE_SPEC["drift_ignore"]
    assert set(MANIFESTS_OPTIONS["drift_ignore"]["options"]) == {"paths", "kind", "name", "target"}
