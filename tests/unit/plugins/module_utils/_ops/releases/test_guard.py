# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy refuses of releases: when they change, which charts they are made of, and older versions."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import decision as decisions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import (
    CHART_LABEL,
    REVISION_LABEL,
    Revision,
    digest_label,
    encode_release,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.guard import check_release
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import (
    FetchedChart,
    ReleaseKey,
    ReleaseSpec,
)

A, B, LAYER = (f"sha256:{letter * 64}" for letter in "abc")
URL = "oci://registry.example.com/charts/demo"


class Cluster:
    """The record of one revision, as Helm writes it."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.asked: list[str] = []

    def get(self, path: str, query: Any = None) -> dict[str, Any]:
        self.asked.append(path)
        return {"data": {"release": encode_release({"chart": {"metadata": {"version": self._version}}})}}


def refused(
    rule: dict[str, Any], action: str, version: str = "1.0.0", held: str = "", is_same: bool = False
) -> tuple[str, int]:
    """The reason of the refusal, empty without one, and the number of requests."""
    labels = {REVISION_LABEL: "1", CHART_LABEL: digest_label(A if is_same else B)}
    last = Revision("apps", "demo", 1, "deployed", "sh.helm.release.v1.demo.v1", labels) if held else None
    chart = FetchedChart("/cache/chart", LAYER, A, f"{version}@{A}", URL, "demo", version)
    plan = ReleasePlan(
        ReleaseSpec(ReleaseKey("apps", "demo")), chart, last, decision=decisions.Decision(action, "because")
    )
    cluster, policy = Cluster(held), rules_of([{"match": "registry.example.com", **rule}])
    assert policy is not None
    try:
        check_release(policy, cast(KubeRest, cluster), plan)
    except OciError as exc:
        return exc.reason, len(cluster.asked)
    return "", len(cluster.asked)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"window": "Mon 01:00-01:01"}, "OutsideWindow"),
        ({"window": {"deny": ["00:00-24:00"], "outside": "fail"}}, "OutsideWindow"),
        ({"window": {"deny": ["00:00-24:00"]}}, "NewRevisionPending"),
        ({"deny_digests": [A]}, "DigestDenied"),
        ({"deny_digests": [LAYER]}, "DigestDenied"),
        ({"deny_tags": ["1.0.0"]}, "TagDenied"),
    ],
)
def test_a_release_that_would_change_is_refused(rule: dict[str, Any], wanted: str) -> None:
    for action in (decisions.INSTALL, decisions.UPGRADE, decisions.ROLLBACK):
        assert refused(rule, action) == (wanted, 0)
    for action in (decisions.NONE, decisions.UNINSTALL, decisions.TEST, decisions.LABEL):
        assert refused(rule, action) == ("", 0)


def test_a_release_never_goes_to_an_older_chart() -> None:
    never = {"never_downgrade": True}
    assert refused(never, decisions.UPGRADE, "1.0.0", "1.1.0") == ("DowngradeDenied", 1)
    assert refused(never, decisions.UPGRADE, "1.2.0", "1.1.0") == ("", 1)
    assert refused(never, decisions.UPGRADE, "1.2.0", "none") == ("DowngradeDenied", 1)
    assert refused(never, decisions.UPGRADE, "1.1.0", "1.1.0", is_same=True) == ("", 0)
    assert refused(never, decisions.INSTALL, "1.0.0") == ("", 0)
    assert refused({}, decisions.UPGRADE, "1.0.0", "1.1.0") == ("", 0)
