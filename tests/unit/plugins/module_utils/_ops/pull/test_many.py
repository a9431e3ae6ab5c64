# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several artifacts pulled and verified in one task, from image layouts: results, failures, and what is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.many import ItemsFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.many import pull_many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify_many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
SIGNED = VECTORS / "layouts/chart-legacy-a"


def key(name: str) -> Any:
    return parse_policy({"public_keys": [str(VECTORS / f"keys/key-{name}.pub")]})


def tag() -> str:
    return next(
        name
        for name in (each.split('"')[0] for each in (SIGNED / "index.json").read_text().split('ref.name": "')[1:])
        if not name.startswith("sha256-")
    )


REF = f"oci-layout:{SIGNED}:{tag()}"


def item(dest: Path, ref: str = REF, **options: Any) -> tuple[PullOptions, Mapping[str, Any]]:
    selector = LayerSelector("", options.pop("operation", "extract"))
    pulled = PullOptions(ReferenceOptions(ref=ref), str(dest), selector, Limits(1 << 30, 1000), **options)
    return pulled, {"dest": str(dest)}


def test_each_has_its_own_result(tmp_path: Path) -> None:
    items = [item(tmp_path / "a", verify=key("a")), item(tmp_path / "b"), item(tmp_path / "c.tgz", operation="copy")]
    first = pull_many(items, CacheOptions(), 3)
    assert first["changed"] and first["reason"] == "NewRevision" and first["degraded"] is False
    assert [each["item"]["dest"] for each in first["results"]] == [str(tmp_path / name) for name in ("a", "b", "c.tgz")]
    assert [("verification" in each) for each in first["results"]] == [True, False, False]
    assert len({each["artifact"]["revision"] for each in first["results"]}) == 1
    assert (tmp_path / "c.tgz").is_file() and list((tmp_path / "a").rglob("Chart.yaml"))
    shutil.rmtree(tmp_path / "b")
    again = pull_many(items, CacheOptions(), 3)
    assert [each["changed"] for each in again["results"]] == [False, True, False]
    assert [each["reason"] for each in again["results"]] == ["ArtifactUpToDate", "NewRevision", "ArtifactUpToDate"]


def test_one_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    items = [item(tmp_path / "a", verify=key("b")), item(tmp_path / "b"), item(tmp_path / "c", f"{REF}-not")]
    with pytest.raises(ItemsFailed, match="2 of 3 artifacts failed, the first is item 1: .*signature") as caught:
        pull_many(items, CacheOptions(), 2)
    assert caught.value.reason == "VerificationError"
    results = caught.value.details["results"]
    assert [each.get("failed", False) for each in results] == [True, False, True]
    assert results[0]["verification"]["refused"] and caught.value.details["changed"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_check_mode(tmp_path: Path) -> None:
    items = [item(tmp_path / "a"), item(tmp_path / "b", suspend=True)]
    answer = pull_many(items, CacheOptions(), 2, check_mode=True, want_diff=True)
    assert [each["reason"] for each in answer["results"]] == ["NewRevision", "Suspended"]
    assert answer["changed"] and answer["diff"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (("b", {"ref": "oci-layout:"}), "Item 2 of 'artifacts': "),
        (("a/b", {}), "The 'dest' of item 2"),
        (("a", {}), "Items 1 and 2"),
    ],
)
def test_nothing_is_done_before_all_are_checked(tmp_path: Path, second: tuple[str, Any], words: str) -> None:
    with pytest.raises(OciError, match=words):
        pull_many([item(tmp_path / "a"), item(tmp_path / second[0], **second[1])], CacheOptions(), 2)
    assert not list(tmp_path.iterdir())


def test_several_are_verified() -> None:
    def wanted(ref: str, policy: Any) -> tuple[VerifyOptions, Mapping[str, Any]]:
        return VerifyOptions(ReferenceOptions(ref=ref), policy), {"ref": ref}

    good = wanted(REF, key("a"))
    answer = verify_many([good, good], CacheOptions(), 2)
    assert not answer["changed"] and answer["reason"] == "Verified"
    assert all(each["verification"]["verified"] for each in answer["results"])
    with pytest.raises(ItemsFailed, match="1 of 3 artifacts failed, the first is item 2") as caught:
        verify_many([good, wanted(REF, key("b")), good], CacheOptions(), 3)
    results = caught.value.details["results"]
    assert [each.get("reason") for each in results] == ["Verified", "VerificationError", "Verified"]
    with pytest.MonkeyPatch.context() as patch:
        announced: list[Any] = []
        patch.setattr(Task, "expect", lambda _task, target, _auth, _connection: announced.append(target.reference))
        verify_many([good, good], CacheOptions(), 1)
    # so that what several need is fetched once, and a registry that is down is waited for once
    assert [str(each.layout) for each in announced] == [str(SIGNED)] * 2
    with pytest.raises(OciError, match="Item 2 of 'artifacts': "):
        verify_many([good, wanted(REF, parse_policy({"public_keys": ["/nowhere.pub"]}))], CacheOptions(), 1)
