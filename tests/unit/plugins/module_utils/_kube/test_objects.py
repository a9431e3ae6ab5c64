# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two states of an object."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidContent
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.lease import is_gone, my_identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import ObjectLocator, comparable


class Resources:
    """The part of the API that is asked."""

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1"
        return {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True}]}


def test_no_name_leads_to_another_object() -> None:
    api: Any = Resources()
    locator = ObjectLocator(api)
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a:b", "namespace": "c"}}
    assert locator.find(plain, "").path == "/api/v1/namespaces/c/pods/a:b"
    for name, namespace, version in (
        ("../secrets/a", "c", "v1"), ("..", "c", "v1"), ("a?b", "c", "v1"), ("a", "c/../d", "v1"),
        ("a", "c", "a/../v1"),
    ):  # fmt: skip
        bad = {"apiVersion": version, "kind": "Pod", "metadata": {"name": name, "namespace": namespace}}
        with pytest.raises(InvalidContent, match="cannot be a part of a name"):
            locator.find(bad, "")


def test_what_the_server_keeps_is_not_compared() -> None:
    live = {
        "kind": "ConfigMap",
        "status": {"x": 1},
        "metadata": {"name": "a", "uid": "1", "resourceVersion": "2", "finalizers": ["x"], "labels": {"a": "b"}},
    }
    assert comparable(live) == {"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"a": "b"}}}
    assert "uid" in live["metadata"]  # type: ignore[operator]
    for metadata in ({"name": "a", "annotations": None}, {"name": "a", "labels": {}}):
        assert comparable({"metadata": metadata}) == {"metadata": {"name": "a"}}
    assert comparable({"kind": "X", "metadata": None}) == {"kind": "X"}


def test_holders_of_leases() -> None:
    mine = my_identity()
    host, place, pid, start, chance = mine.split("/")
    assert place and pid and start and chance
    assert not is_gone(mine)
    assert is_gone(f"{host}/{place}/{pid}/1/{chance}"), "a process number that is in use again"
    assert is_gone(f"{host}/{place}/999999999/1/{chance}")
    assert not is_gone(f"{host}/elsewhere/999999999/1/{chance}"), "a process of another host"
    for other in ("", "somebody", "a/b/c", f"{host}//999999999/1/x"):
        assert not is_gone(other)
