# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull says of signatures: what was asked of it and nothing else, and each time that it relies on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidPolicy, OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.charts.sources import (
    SourceOptions,
    fetch_charts,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.many import pull_many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
DIGEST = "sha256:1139d0d0088435dfe42c9293107eb8df4a31537f7b9a556ae59cdf96818e6e16"
SKIP = {
    "provider": "notation",
    "trust_policy": {
        "version": "1.0",
        "trustPolicies": [
            {"name": "off", "registryScopes": ["*"], "signatureVerification": {"level": "skip"}},
        ],
    },
}
# the expression for the subject has no anchors
LOOSE = {
    "identities": [{"issuer": "^https://issuer\\.example\\.com$", "subject": "release@example"}],
    "trusted_root": str(VECTORS / "trusted_root.json"),
}
IGNORED = "is used without a verified signature, because the trust policy ignores the result."
ANCHOR = "is not anchored"
REFERENCES = pytest.mark.parametrize("reference", [":1.0.0", f"@{DIGEST}"], ids=["tag", "digest"])
POLICIES = pytest.mark.parametrize(("policy", "warning"), [(SKIP, IGNORED), (LOOSE, ANCHOR)], ids=["skip", "loose"])


class Place:
    def __init__(self, folder: Path) -> None:
        self.layout, self.dest = folder / "layout", folder / "dest"
        shutil.copytree(VECTORS / "layouts/chart-keyless-legacy-good", self.layout)

    def options(self, reference: str = ":1.0.0", policy: Mapping[str, Any] | None = None, **more: Any) -> PullOptions:
        if policy is not None:
            more["verify"] = parse_policy(policy)
        wanted = ReferenceOptions(ref=f"oci-layout:{self.layout}{reference}")
        return PullOptions(wanted, str(self.dest), LayerSelector(), Limits(1 << 20, 100), **more)

    def pull(self, *arguments: Any, **more: Any) -> PullResult:
        return pull(self.options(*arguments, **more))

    def forget_signatures(self) -> None:
        index = json.loads((self.layout / "index.json").read_text())
        kept = [each for each in index["manifests"] if ".sig" not in json.dumps(each.get("annotations", {}))]
        (self.layout / "index.json").write_text(json.dumps({**index, "manifests": kept}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@REFERENCES
@POLICIES
def test_a_warning_is_said_on_every_run(place: Place, reference: str, policy: Mapping[str, Any], warning: str) -> None:
    for changed in (True, False, False):
        result = place.pull(reference, policy)
        assert (result.changed, len(result.warnings)) == (changed, 1)
        assert warning in result.warnings[0]
        assert result.verification["verified"] is (policy is LOOSE)
    # modes are set right, which asks the registry for nothing
    repaired = place.pull(reference, policy, permissions=Permissions("0640"))
    assert repaired.changed and [warning in each for each in repaired.warnings] == [True]
    (next(place.dest.rglob("Chart.yaml"))).write_text("altered")
    restored = place.pull(reference, policy)
    assert restored.reason == "DriftCorrected" and [warning in each for each in restored.warnings] == [True]


@POLICIES
def test_a_warning_is_said_of_what_was_there_already(place: Place, policy: Mapping[str, Any], warning: str) -> None:
    place.pull()
    for _run in range(2):
        result = place.pull(policy=policy)
        assert not result.changed and [warning in each for each in result.warnings] == [True]


@POLICIES
def test_a_warning_is_said_of_what_a_cache_remembers(
    place: Place, tmp_path: Path, policy: Mapping[str, Any], warning: str
) -> None:
    """Of a layout nothing is remembered, so that the verification of the same digest as a chart source is."""
    source = SourceOptions(
        "demo", ReferenceOptions(ref=f"oci-layout:{place.layout}:1.0.0"), verify=parse_policy(policy)
    )
    for _run in range(2):
        result = fetch_charts([source], str(tmp_path / "cache"))
        assert [each for each in result["warnings"] if warning in each], result["warnings"]
        if policy is LOOSE:
            # the second time there is nothing to look at
            place.forget_signatures()


@REFERENCES
@pytest.mark.parametrize("warnings", [None, "text", {}])
def test_a_record_without_warnings_is_relied_on(place: Place, reference: str, warnings: Any) -> None:
    place.pull(reference, LOOSE)
    record = place.dest / ".oci-artifact/state"
    document = json.loads(record.read_text())
    document["verification"]["warnings"] = warnings
    record.write_text(json.dumps(document))
    place.forget_signatures()
    result = place.pull(reference, LOOSE)
    assert not result.changed and result.verification["verified"] is True and result.warnings == []


def test_two_sources_of_one_policy_warn_once(place: Place, tmp_path: Path) -> None:
    wanted = ReferenceOptions(ref=f"oci-layout:{place.layout}:1.0.0")
    sources = [SourceOptions(name, wanted, verify=parse_policy(LOOSE)) for name in ("one", "two")]
    assert len(fetch_charts(sources, str(tmp_path / "cache"))["warnings"]) == 1


@POLICIES
def test_the_items_of_a_task_warn_too(place: Place, policy: Mapping[str, Any], warning: str) -> None:
    for _run in range(2):
        answer = pull_many([(place.options(policy=policy), {"dest": "x"})], CacheOptions(), 1)
        assert [warning in each for each in answer["warnings"]] == [True]


def test_verifying_alone_warns_of_the_policy(place: Place) -> None:
    wanted = ReferenceOptions(ref=f"oci-layout:{place.layout}:1.0.0")
    for _run in range(2):
        assert [ANCHOR in each for each in verify(VerifyOptions(wanted, parse_policy(LOOSE)))["warnings"]] == [True]


@REFERENCES
def test_what_was_not_asked_for_is_not_claimed(place: Place, reference: str) -> None:
    assert place.pull(reference, LOOSE).verification["verified"] is True
    for more in ({}, {"permissions": Permissions("0600")}, {"force": True}):
        result = place.pull(reference, **more)
        assert "verification" not in result.as_result() and not result.warnings
    answer = pull_many([(place.options(reference), {"dest": "x"})], CacheOptions(), 1)
    assert "verification" not in answer["results"][0]


@REFERENCES
def test_what_was_verified_once_is_still_on_record(place: Place, reference: str) -> None:
    """A run without a policy does not take away what is known of content that it leaves in place."""
    place.pull(reference, LOOSE)
    place.pull(reference)
    place.forget_signatures()
    assert place.pull(reference, LOOSE).verification["verified"] is True
    with pytest.raises(OciError, match="has no signature"):
        place.pull(reference, {**LOOSE, "curve_hash": True})


@pytest.mark.parametrize(
    "policy",
    [
        {**LOOSE, "min_signers": 2},
        {"public_keys": [str(VECTORS / "keys/key-a.pub")] * 2, "min_signers": 2},
        {"any_identity": True, "trusted_root": LOOSE["trusted_root"], "min_signers": 2},
        {
            "provider": "notation",
            "min_signers": 2,
            "trust_store": [str(VECTORS / "keys/notation/ca-good.crt")],
            "trust_policy": {
                "version": "1.0",
                "trustPolicies": [
                    {
                        "name": "one",
                        "registryScopes": ["*"],
                        "signatureVerification": {"level": "strict"},
                        "trustStores": ["ca:x"],
                        "trustedIdentities": ["x509.subject:C=US, ST=WA, O=example"],
                    }
                ],
            },
        },
    ],
    ids=["identities", "keys", "any", "notation"],
)
def test_too_many_signers_are_refused_before_any_request(tmp_path: Path, policy: Mapping[str, Any]) -> None:
    """There is no such layout: whatever asked for it would say so."""
    wanted = ReferenceOptions(ref=f"oci-layout:{tmp_path / 'absent'}:1")
    parsed = parse_policy(policy)
    counted = "statement 'one'" if parsed.provider == "notation" else "policy has only 1 distinct entry"
    options = PullOptions(wanted, str(tmp_path / "dest"), LayerSelector(), Limits(1, 1), verify=parsed)
    for call in (
        lambda: pull(options),
        lambda: pull_many([(options, {})], CacheOptions(), 1),
        lambda: fetch_charts([SourceOptions("demo", wanted, verify=parsed)], str(tmp_path / "cache")),
        lambda: verify(VerifyOptions(wanted, parsed)),
    ):
        with pytest.raises(InvalidPolicy, match=f"'min_signers' is 2, but the {counted}"):
            call()
