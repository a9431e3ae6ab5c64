# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two states of an object."""

from __future__ import annotations

from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.lease import is_gone, my_identity
from ansible_collections.cloudnative.artifacts.plugins.module_utils._kube.objects import comparable


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
