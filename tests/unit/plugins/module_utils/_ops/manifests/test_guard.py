# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a policy for sets of manifests."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._manifests.applyset import parse_parent
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.guard import check_set
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.manifests.spec import (
    FetchedArtifact,
    ManifestsSpec,
    SetKey,
)

URL = "oci://registry.example.com/manifests/podinfo"
OLD, NEW, LAYER = (f"sha256:{digit * 64}" for digit in "abc")


def spec_of(revision: str, digest: str = NEW, **said: str) -> ManifestsSpec:
    artifact = FetchedArtifact(digest, revision, URL, ({"digest": LAYER},), **said)
    return ManifestsSpec(SetKey("apps", "podinfo"), parse_parent("podinfo", "apps"), artifact, True, {}, (), (), 1.0)


def entry(revision: str, digest: str = OLD, **said: str) -> dict[str, str]:
    return {"url": URL, "digest": digest, "revision": revision, **said}


def check(rule: dict[str, Any], spec: ManifestsSpec, *history: dict[str, str], is_repair: bool = False) -> str:
    """The reason of the refusal; empty when there is none."""
    policy = rules_of([{"match": "registry.example.com", **rule}])
    assert policy is not None
    try:
        check_set(policy, spec, history, is_repair=is_repair)
    except OciError as exc:
        return exc.reason
    return ""


@pytest.mark.parametrize(
    ("spec", "history", "reason"),
    [
        (spec_of(f"6.7.1@{NEW}"), [], ""),
        (spec_of(f"6.7.1@{NEW}"), [entry(f"6.7.0@{OLD}")], ""),
        (spec_of(f"6.7.0@{NEW}"), [entry(f"6.7.1@{OLD}")], "DowngradeDenied"),
        # what a channel names, by what the artifact says
        (spec_of(f"stable@{NEW}", version="6.7.0"), [entry(f"stable@{OLD}", version="6.7.1")], "DowngradeDenied"),
        (spec_of(f"stable@{NEW}", version="6.7.2"), [entry(f"stable@{OLD}", version="6.7.1")], ""),
        (spec_of(f"stable@{NEW}"), [entry(f"stable@{OLD}")], "DowngradeDenied"),
        (
            spec_of(f"stable@{NEW}", created="2026-02-01T00:00:00Z"),
            [entry(f"stable@{OLD}", created="2026-01-01T00:00:00Z")],
            "",
        ),
        # the last one that was applied counts, and no other repository
        (spec_of(f"6.7.0@{NEW}"), [entry(f"6.7.0@{NEW}", NEW), entry(f"6.7.1@{OLD}")], ""),
        (spec_of(f"6.7.0@{NEW}"), [{**entry(f"6.7.1@{OLD}"), "url": f"{URL}-other"}], ""),
    ],
)
def test_no_older_version(spec: ManifestsSpec, history: list[dict[str, str]], reason: str) -> None:
    assert check({"never_downgrade": True}, spec, *history) == reason
    assert check({"never_downgrade": True}, spec, *history, is_repair=True) == ""


def test_a_window_is_for_changes_and_what_is_denied_is_denied_always() -> None:
    hour = (datetime.datetime.now(datetime.timezone.utc).hour + 12) % 24
    closed = {"window": f"{hour:02}:00-{hour:02}:01"}
    spec = spec_of(f"6.7.1@{NEW}")
    assert check(closed, spec) == "OutsideWindow"
    assert check(closed, spec, is_repair=True) == ""
    waits = {"window": {"allow": [closed["window"]]}}
    assert check(waits, spec) == "NewRevisionPending" and check(waits, spec, is_repair=True) == ""
    assert check({"window": "00:00-24:00"}, spec) == ""
    for rule, reason in (({"deny_digests": [LAYER]}, "DigestDenied"), ({"deny_tags": ["6.7.1"]}, "TagDenied")):
        assert check(rule, spec, is_repair=True) == reason
    assert check({**closed, "match": "other.example.com"}, spec) == ""
