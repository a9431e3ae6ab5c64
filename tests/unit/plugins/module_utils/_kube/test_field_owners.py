# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import Conflict
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.field_owners import (
    MAX_ATTEMPTS,
    take_over,
    taken_over,
    without_taken_over,
)

OURS = "cloudnative.artifacts"
MARK = "f:cloudnative.artifacts/prune"


def entry(manager: str, fields: Mapping[str, Any], operation: str = "Update", **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*entries: Mapping[str, Any], **document: Any) -> dict[str, Any]:
    return {**document, "metadata": {"name": "a", "resourceVersion": "1", "managedFields": list(entries)}}


def data(*names: str) -> dict[str, Any]:
    return {"f:data": {f"f:{name}": {} for name in names}}


def owners(entries: list[dict[str, Any]] | None) -> dict[tuple[str, str], Any]:
    assert entries is not None
    return {(each["manager"], each["operation"]): each["fieldsV1"] for each in entries}


def test_what_kubectl_owns_is_taken_over() -> None:
    found = taken_over(
        live(
            entry("kubectl-client-side-apply", data("a")),
            entry("kubectl", data("b"), "Apply"),
            entry("before-first-apply", data("c")),
            entry("other", data("d")),
        ),
        "v1",
        OURS,
    )
    assert owners(found) == {(OURS, "Apply"): data("a", "b", "c"), ("other", "Update"): data("d")}
    found = taken_over(live(entry(OURS, data("e"), "Apply"), entry("kubectl-edit", data("a"))), "v1", OURS)
    assert owners(found) == {(OURS, "Apply"): data("e", "a")}


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("other", data("a")), entry("before-first-apply", data("a"), "Apply")],
        # the number of replicas, by kubectl scale
        [entry("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale")],
        # fields of another API version may have other names
        [entry("kubectl-edit", data("a"), apiVersion="v2")],
        [entry("kubectl-edit", data("a")), entry(OURS, data("b"), "Apply", apiVersion="v2")],
        # nothing but a mark
        [entry("kubectl-annotate", {"f:metadata": {"f:annotations": {MARK: {}}}})],
    ],
)
def test_nothing_to_take_over(entries: list[dict[str, Any]]) -> None:
    assert taken_over(live(*entries), "v1", OURS) is None


def test_marks_keep_their_owner() -> None:
    fields = {"f:metadata": {"f:annotations": {".": {}, MARK: {}, "f:ops": {}}, "f:labels": {"f:old": {}}}}
    found = owners(taken_over(live(entry("kubectl-annotate", fields)), "v1", OURS))
    assert found[("kubectl-annotate", "Update")] == {"f:metadata": {"f:annotations": {MARK: {}}}}
    assert found[(OURS, "Apply")] == {"f:metadata": {"f:annotations": {"f:ops": {}}, "f:labels": {"f:old": {}}}}


def test_what_would_be_left() -> None:
    document = {
        "data": {"ours": 1, "theirs": 2, "gone": 3},
        "spec": {"list": [{"name": "a", "x": 1}, {"name": "b", "x": 1, "y": 2}], "set": ["p", "q"], "empty": {"z": 1}},
    }
    given = {
        **data("theirs", "gone"),
        "f:spec": {
            "f:list": {'k:{"name":"a"}': {".": {}, "f:x": {}}, 'k:{"name":"b"}': {"f:y": {}}},
            "f:set": {'v:"p"': {}, 'v:"none"': {}},
            "f:empty": {"f:z": {}},
            "f:nowhere": {},
        },
    }
    found = without_taken_over(
        live(entry("kubectl-edit", given), entry(OURS, data("ours"), "Apply"), entry("o", data("theirs")), **document),
        "v1",
    )
    assert found["data"] == {"ours": 1, "theirs": 2}
    assert found["spec"] == {"list": [{"name": "b", "x": 1}], "set": ["q"]}
    assert document["spec"] != found["spec"]


class Api:
    """Answers the first patches with a conflict."""

    def __init__(self, conflicts: int, document: Mapping[str, Any]) -> None:
        self.conflicts, self.document, self.patches = conflicts, document, 0

    def patch(self, _path: str, _operations: Any, _version: str, _manager: str) -> None:
        self.patches += 1
        if self.patches <= self.conflicts:
            raise Conflict("changed")

    def get(self, _path: str) -> Mapping[str, Any]:
        return self.document


def test_an_object_that_changes_meanwhile_is_read_again() -> None:
    document = live(entry("kubectl-edit", data("a")))
    api: Any = Api(2, document)
    take_over(api, "/a", document, "v1", OURS)
    assert api.patches == 3
    api = Api(MAX_ATTEMPTS, document)
    with pytest.raises(Conflict):
        take_over(api, "/a", document, "v1", OURS)
    api = Api(1, live())
    take_over(api, "/a", document, "v1", OURS)
    assert api.patches == 1
