# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each verb refuses under a policy, in an image layout: nothing is changed then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    OciError,
    TagImmutable,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, parse_inputs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import (
    PushOptions,
    PushResult,
    push,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions, SignOptions, sign
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy, parse_policy

KEYS = Path(__file__).resolve().parents[4] / "vectors/keys"
KEY, OTHER = ({"public_keys": [str(KEYS / name)]} for name in ("ed25519.pub", "p384.pub"))
VERSION = "org.opencontainers.image.version"
NEVER, CLOSED = {"never_downgrade": True}, {"window": "Mon 01:00-01:01"}


class Place:
    """A layout, a directory that is published in it, and one to pull into."""

    def __init__(self, folder: Path) -> None:
        self.files, self.dest = folder / "files", folder / "dest"
        self.name = f"oci-layout:{folder / 'layout'}"
        self.files.mkdir()

    def policy(self, rule: dict[str, Any] | None) -> Any:
        return None if rule is None else rules_of([{"match": self.name, **rule}, {"match": "*"}])

    def push(self, text: str, tag: str, version: str = "1.0.0", rule: dict[str, Any] | None = None) -> PushResult:
        (self.files / "a").write_text(text)
        build = BuildOptions(
            inputs=parse_inputs(str(self.files), "flux"),
            type="flux",
            annotations={VERSION: version},
            source="s",
            revision="r",
        )
        options = PushOptions(self.reference(tag), build, policy=self.policy(rule), force=True)
        return push(options)

    def pull(self, tag: str, rule: dict[str, Any] | None = None, **options: Any) -> PullResult:
        check_mode = options.pop("check_mode", False)
        wanted = PullOptions(
            self.reference(tag),
            str(self.dest),
            LayerSelector(),
            Limits(1 << 20, 100),
            policy=self.policy(rule),
            **options,
        )
        return pull(wanted, check_mode=check_mode)

    def reference(self, tag: str) -> ReferenceOptions:
        return ReferenceOptions(ref=f"{self.name}{tag if tag.startswith('@') else ':' + tag}")

    @property
    def content(self) -> str:
        return (self.dest / "a").read_text() if self.dest.exists() else ""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(tmp_path / "state"))
    return Place(tmp_path)


def reason(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(OciError) as caught:
        call(*arguments, **options)
    return caught.value.reason


def test_a_pull_places_what_the_rule_permits(place: Place) -> None:
    digest = place.push("two", "stable", "1.2.0").artifact["digest"]
    for rule, wanted in (
        ({"deny_tags": ["stable"]}, "TagDenied"),
        ({"deny_digests": [digest]}, "DigestDenied"),
        ({"min_age": "1h"}, "TooYoung"),
        ({"min_age": "1h", "age_from": ["signature", "created"]}, "AgeUnknown"),
        ({"verify": KEY}, "VerificationError"),
        (CLOSED, "OutsideWindow"),
    ):
        for check_mode in (True, False):
            assert reason(place.pull, "stable", rule, check_mode=check_mode) == wanted
        if wanted == "DigestDenied":
            assert reason(place.pull, f"@{digest}", rule) == wanted
    assert not place.dest.exists()

    assert place.pull("stable", NEVER).changed
    assert not place.pull("stable", CLOSED).changed
    (place.dest / "a").write_text("drift")
    assert place.pull("stable", CLOSED).reason == "DriftCorrected"
    assert reason(place.pull, "stable", {"deny_digests": [digest]}) == "DigestDenied"

    place.push("one", "stable", "1.1.0")
    for rule, wanted in ((NEVER, "DowngradeDenied"), ({"immutable_tags": ["stable"]}, "TagImmutable")):
        assert reason(place.pull, "stable", rule, force=True) == wanted
    assert place.content == "two"
    assert place.pull("stable", {}).changed and place.content == "one"


def test_a_layer_is_denied_by_its_digest(place: Place) -> None:
    layer = place.push("one", "1.0.0").artifact["layer"]["digest"]
    assert reason(place.pull, "1.0.0", {"deny_digests": [layer]}) == "DigestDenied"
    assert reason(place.push, "one", "1.0.1", "1.0.0", {"deny_digests": [layer]}) == "DigestDenied"


def test_a_push_writes_the_tags_that_the_rule_permits(place: Place) -> None:
    place.push("two", "stable", "1.2.0")
    before = place.pull("stable").artifact["digest"]
    for rule, wanted in (
        ({"deny_tags": ["stable"]}, "TagDenied"),
        ({"immutable_tags": ["stable"]}, "TagImmutable"),
        (NEVER, "DowngradeDenied"),
        (CLOSED, "OutsideWindow"),
    ):
        assert reason(place.push, "one", "stable", "1.1.0", rule) == wanted
        assert place.pull("stable").artifact["digest"] == before
    assert not place.push("two", "stable", "1.2.0", CLOSED).changed
    assert place.push("three", "stable", "1.3.0", NEVER).changed


def test_signatures_satisfy_the_rule_and_the_task(place: Place) -> None:
    place.push("one", "1.0.0")
    signing = SigningOptions(str(KEYS / "ed25519.raw.pem"))
    denied = SignOptions(place.reference("1.0.0"), signing, policy=place.policy({"deny_tags": ["1.0.0"]}))
    assert reason(sign, denied) == "TagDenied"
    assert sign(SignOptions(place.reference("1.0.0"), signing))["changed"]

    both = parse_policy(OTHER)
    with pytest.raises(VerificationFailed):
        place.pull("1.0.0", {"verify": KEY}, verify=both)
    with pytest.raises(VerificationFailed):
        place.pull("1.0.0", {"verify": OTHER}, verify=parse_policy(KEY))
    assert not place.dest.exists()
    pulled = place.pull("1.0.0", {"verify": KEY})
    assert pulled.verification["verified"] and pulled.changed
    assert not place.pull("1.0.0", {"verify": KEY}, verify=parse_policy(KEY)).changed
    assert not place.pull("1.0.0", {"verify": KEY}).changed

    def check(policy: VerifyPolicy, rule: dict[str, Any]) -> dict[str, Any]:
        return verify(VerifyOptions(place.reference("1.0.0"), policy, rules=place.policy(rule)))

    for result in (check(VerifyPolicy(), {"verify": KEY}), check(parse_policy(KEY), {})):
        assert result["verification"]["verified"]
        assert len({signer["key"] for signer in result["verification"]["signers"]}) == 1
    for policy, rule in ((both, {"verify": KEY}), (VerifyPolicy(), {})):
        assert reason(check, policy, rule) == "VerificationError"


def test_what_a_rule_asks_for_is_refused_in_its_name(place: Place) -> None:
    place.push("one", "1.0.0")
    first = place.push("two", "2.0.0").artifact["digest"]
    place.push("three", "2.0.0")
    moved, unsigned = f"2.0.0@{first}", "1.0.0"
    for rule, tag, wanted in (
        ({"verify": KEY}, unsigned, "VerificationError"),
        ({"tag_moved": "fail"}, moved, "TagMoved"),
        ({"verify": {"public_keys": ["/nonexistent.pub"]}}, unsigned, "PolicyInvalid"),
        ({"verify": {**KEY, "min_signers": 2}}, unsigned, "PolicyInvalid"),
        ({"verify": {}}, unsigned, "PolicyInvalid"),
    ):
        (check,) = rule
        with pytest.raises(
            OciError, match=f"rule '{place.name}' of the policy in the option 'policy', '{check}'"
        ) as caught:
            place.pull(tag, rule)
        assert caught.value.reason == wanted
        assert caught.value.details["refused_by"] == {"policy": "", "match": place.name, "check": check}
        assert "tag_moved: warn" not in caught.value.hint
    # what the task asks for itself is no rule's, unless the rule asks for the same
    with pytest.raises(VerificationFailed) as caught:
        place.pull("1.0.0", {}, verify=parse_policy(KEY))
    assert "refused_by" not in caught.value.details
    with pytest.raises(VerificationFailed) as caught:
        place.pull("1.0.0", {"verify": KEY}, verify=parse_policy(KEY))
    assert caught.value.details["refused_by"]["check"] == "verify"


def test_what_force_does_to_a_protected_tag(place: Place) -> None:
    place.push("one", "1.0.0")
    place.pull("1.0.0", {"immutable_tags": True})
    place.push("two", "1.0.0")
    with pytest.raises(TagImmutable) as caught:
        place.pull("1.0.0", {"immutable_tags": True}, force=True)
    assert caught.value.details["refused_by"] == {"policy": "", "match": place.name, "check": "immutable_tags"}
