# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pull with a trust policy: what is in place already counts only as far as this very policy was satisfied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
KEY_A, KEY_B = (parse_policy({"public_keys": [str(VECTORS / f"keys/key-{name}.pub")]}) for name in "ab")
BY_TAG, BY_DIGEST, BY_PIN = "tag", "digest", "pin"


class Lab:
    """A signed artifact in an image layout, with key A unless said otherwise, and where it is pulled to."""

    def __init__(self, folder: Path, name: str = "chart-legacy-a") -> None:
        self.layout, self.dest = folder / "layout", folder / "dest"
        shutil.copytree(VECTORS / "layouts" / name, self.layout)
        (entry,) = (each for each in self._manifests() if not self._tag(each).startswith("sha256-"))
        self.tag, self.digest = self._tag(entry), str(entry["digest"])

    def pull(self, by: str = BY_TAG, check_mode: bool = False, **options: Any) -> PullResult:
        ref, pin = f"oci-layout:{self.layout}:{self.tag}", ""
        if by == BY_DIGEST:
            ref = f"oci-layout:{self.layout}@{self.digest}"
        elif by == BY_PIN:
            pin = f"{self.tag}@{self.digest}"
        reference = ReferenceOptions(ref=ref, pin=pin)
        wanted = PullOptions(reference, str(self.dest), LayerSelector(), Limits(1 << 20, 100), **options)
        return pull(wanted, check_mode=check_mode)

    def refuse(self, error: type[OciError] = VerificationFailed, **options: Any) -> None:
        """See that a pull fails, and changes nothing."""
        before = self.content()
        with pytest.raises(error):
            self.pull(**options)
        assert self.content() == before

    def forget_signatures(self) -> None:
        kept = [each for each in self._manifests() if not self._tag(each).startswith("sha256-")]
        (self.layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": kept}))

    def content(self) -> Mapping[str, bytes]:
        return {str(path): path.read_bytes() for path in self.dest.rglob("*") if path.is_file()}

    @property
    def file(self) -> Path:
        return next(self.dest.rglob("Chart.yaml"))

    @property
    def record(self) -> Path:
        return self.dest / ".oci-artifact/state"

    def _manifests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.layout / "index.json").read_text())["manifests"]
        return found

    @staticmethod
    def _tag(entry: Mapping[str, Any]) -> str:
        return str(entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


every_way = pytest.mark.parametrize("by", [BY_TAG, BY_DIGEST, BY_PIN])


@every_way
def test_nothing_is_placed_without_a_good_signature(lab: Lab, by: str) -> None:
    lab.refuse(by=by, verify=KEY_B)
    assert not lab.content()
    result = lab.pull(by, verify=KEY_A)
    assert result.changed and result.verification["verified"] is True


@every_way
def test_what_is_in_place_unverified_is_not_accepted(lab: Lab, by: str) -> None:
    lab.pull(by)
    lab.refuse(by=by, verify=KEY_B)
    result = lab.pull(by, verify=KEY_A)
    assert not result.changed and result.reason == "ArtifactUpToDate" and result.verification["verified"] is True


@every_way
def test_what_was_verified_under_another_policy_is_not_accepted(lab: Lab, by: str) -> None:
    lab.pull(by, verify=KEY_A)
    lab.refuse(by=by, verify=KEY_B)


@every_way
@pytest.mark.parametrize("verify_first", [True, False], ids=["pulled with the policy", "verified in place"])
def test_a_satisfied_policy_is_on_record(lab: Lab, by: str, verify_first: bool) -> None:
    first = lab.pull(by, verify=KEY_A if verify_first else None)
    first = lab.pull(by, verify=KEY_A)
    lab.forget_signatures()
    again = lab.pull(by, verify=KEY_A)
    assert not again.changed and again.verification == first.verification
    assert again.verification["verified"] is True
    lab.refuse(by=by, verify=KEY_A, force=True)


@pytest.mark.parametrize("by", [BY_DIGEST, BY_PIN])
def test_a_digest_that_is_in_place_and_verified_takes_no_repository(lab: Lab, by: str) -> None:
    lab.pull(by, verify=KEY_A)
    shutil.rmtree(lab.layout)
    result = lab.pull(by, verify=KEY_A)
    assert (result.changed, result.reason, result.verification["verified"]) == (False, "ArtifactUpToDate", True)
    lab.refuse(OciError, by=by, verify=KEY_B)
    lab.file.unlink()
    lab.refuse(OciError, by=by, verify=KEY_A)


@every_way
def test_altered_content_is_replaced_by_verified_content_alone(lab: Lab, by: str) -> None:
    lab.pull(by, verify=KEY_A)
    lab.file.write_text("altered")
    lab.forget_signatures()
    lab.refuse(by=by, verify=KEY_A)
    assert lab.pull(by).reason == "DriftCorrected"


@every_way
def test_a_mode_is_set_right_under_the_verification_on_record(lab: Lab, by: str) -> None:
    permissions = Permissions(mode="0644")
    lab.pull(by, verify=KEY_A, permissions=permissions)
    lab.forget_signatures()
    lab.file.chmod(0o600)
    result = lab.pull(by, verify=KEY_A, permissions=permissions)
    assert result.reason == "DriftCorrected" and result.verification["verified"] is True
    lab.file.chmod(0o600)
    lab.refuse(by=by, verify=KEY_B, permissions=permissions)
    assert lab.file.stat().st_mode & 0o777 == 0o600


@every_way
def test_check_mode_verifies_and_records_nothing(lab: Lab, by: str) -> None:
    lab.pull(by)
    before = lab.content()
    result = lab.pull(by, check_mode=True, verify=KEY_A)
    assert not result.changed and result.verification["verified"] is True
    assert lab.content() == before
    lab.refuse(by=by, check_mode=True, verify=KEY_B)
    lab.forget_signatures()
    lab.refuse(by=by, verify=KEY_A)


def test_check_mode_refuses_what_is_not_there_yet(lab: Lab) -> None:
    lab.refuse(check_mode=True, verify=KEY_B)
    result = lab.pull(check_mode=True, verify=KEY_A)
    assert result.changed and result.verification["verified"] is True
    assert not lab.dest.exists()


def interrupt(monkeypatch: pytest.MonkeyPatch, lab: Lab, change: Mapping[str, Any]) -> None:
    """While signatures are checked, let another run change the record."""
    verify = Task.verify

    def verify_slowly(*arguments: Any, **options: Any) -> Any:
        found = verify(*arguments, **options)
        state = json.loads(lab.record.read_text())
        lab.record.write_text(json.dumps({**state, **change}))
        return found

    monkeypatch.setattr(Task, "verify", verify_slowly)


@pytest.mark.parametrize("what", ["key", "pending"])
def test_a_verification_is_recorded_for_what_was_verified_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    lab.pull()
    record = json.loads(lab.record.read_text())
    changes = {
        "key": {**record["key"], "revision": f"{lab.tag}@sha256:{'0' * 64}"},
        "pending": {"left": ["file", 0o644, 1, "", ""]},
    }
    with monkeypatch.context() as patch:
        interrupt(patch, lab, {what: changes[what]})
        lab.pull(verify=KEY_A)
    assert json.loads(lab.record.read_text())["verification"] == {}


def test_altered_content_is_not_recorded_as_verified(lab: Lab) -> None:
    lab.pull()
    lab.file.write_text("altered")
    for blob in (lab.layout / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.unlink()
    lab.refuse(OciError, verify=KEY_A)


def test_what_a_verification_has_to_say(lab: Lab) -> None:
    assert lab.pull(verify=KEY_A).warnings == []
    keyless = Lab(lab.dest.parent / "keyless", "chart-keyless-legacy-cosign31-email")
    identity = {"issuer": "issuer.example.com", "subject": "^release@example\\.com$"}
    policy = parse_policy({"trusted_root": str(VECTORS / "trusted_root.json"), "identities": [identity]})
    result = keyless.pull(verify=policy)
    (warning,) = result.warnings
    assert result.changed and "is not anchored" in warning


def test_a_policy_that_ignores_failures_says_so(lab: Lab) -> None:
    statement = {
        "name": "none",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "skip"},
    }
    policy = parse_policy({"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement]}})
    result = lab.pull(verify=policy)
    assert result.changed and result.verification["verified"] is False
    (warning,) = (each for each in result.warnings if "is used without a verified signature" in each)
    assert lab.digest in warning


def test_without_a_policy_nothing_is_verified(lab: Lab) -> None:
    result = lab.pull()
    assert not result.verification and "verification" not in result.as_result()
