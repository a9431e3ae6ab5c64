# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of the deployed revision below those of the playbook."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import Revision, encode_release
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.values import values_digest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.rest import KubeRest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.plan import ReleasePlan
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.preserved import preserve_values
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.releases.spec import ReleaseKey, ReleaseSpec


class Records:
    """Answers as the API server does for the records of one release, by number: status and the user's values."""

    def __init__(self, **revisions: tuple[str, dict[str, Any] | None]) -> None:
        self._revisions = {int(name[1:]): each for name, each in revisions.items()}

    def revision(self, number: int) -> Revision:
        return Revision("ns", "one", number, self._revisions[number][0], f"v{number}", {})

    def list_metadata(self, path: str, selector: str) -> list[dict[str, Any]]:
        assert path == "/api/v1/namespaces/ns/secrets" and selector == "owner=helm,name=one,status=deployed"
        labels = {"owner": "helm", "name": "one"}
        return [
            {"namespace": "ns", "name": f"v{number}", "labels": {**labels, "version": str(number), "status": status}}
            for number, (status, _values) in self._revisions.items()
            if status == "deployed"
        ]

    def get(self, path: str) -> dict[str, Any]:
        config = self._revisions[int(path.rpartition("/v")[2])][1]
        return {"data": {"release": encode_release({"config": config})}}


def preserved(records: Records, last: int, given: dict[str, Any]) -> tuple[dict[str, Any], ReleasePlan]:
    plan = ReleasePlan(ReleaseSpec(ReleaseKey("ns", "one")), last=records.revision(last) if last else None)
    preserve_values(cast(KubeRest, records), plan, json.dumps(given).encode())
    values: dict[str, Any] = json.loads(plan.values)
    return values, plan


def test_what_is_given_wins_and_a_second_run_finds_nothing_new() -> None:
    old = {"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": "x", "number": 1e6}
    given = {"a": {"x": None}, "list": [3], "gone": None}
    wanted = {"a": {"x": None, "y": 2}, "list": [3], "gone": None, "number": 1000000}
    found, plan = preserved(Records(v1=("deployed", old)), 1, given)
    assert found == wanted and plan.values_digest == values_digest(plan.values)
    again, second = preserved(Records(v2=("deployed", json.loads(plan.values))), 2, given)
    assert again == wanted and second.values_digest == plan.values_digest
    # what is not set any more stays
    assert preserved(Records(v2=("deployed", wanted)), 2, {})[1].values_digest == plan.values_digest


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        (["superseded", "deployed"], 2),
        (["deployed", "failed"], 1),
        (["deployed", "pending-upgrade"], 1),
        (["superseded", "deployed", "failed", "failed"], 2),
        (["failed"], 1),
        (["superseded", "failed"], 2),
        (["uninstalled"], 0),
        (["deployed", "uninstalling"], 0),
        ([], 0),
    ],
)
def test_the_revision_whose_values_are_kept(statuses: list[str], wanted: int) -> None:
    records = Records(**{f"v{number}": (status, {"of": number}) for number, status in enumerate(statuses, 1)})
    assert preserved(records, len(statuses), {})[0] == ({"of": wanted} if wanted else {})


def test_a_release_without_values_of_a_user() -> None:
    assert preserved(Records(v1=("deployed", None)), 1, {"a": 1})[0] == {"a": 1}
