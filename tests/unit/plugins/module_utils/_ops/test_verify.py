# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verifying an artifact under a policy returns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidPolicy,
    NotFound,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import Descriptor
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import VerifyOptions, verify
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import (
    parse_policy,
)

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
KEY_A, KEY_B = ({"public_keys": [str(VECTORS / f"keys/key-{name}.pub")]} for name in "ab")


class Watched(LayoutRepository):
    """A repository that says whether it was closed, and by whom it was served."""

    closed = 0

    def close(self) -> None:
        type(self).closed += 1
        super().close()

    @property
    def served_by(self) -> list[str]:  # type: ignore[override]
        return ["mirror.example"]

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        return ["of the repository"]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Watched, "closed", 0)
    monkeypatch.setattr(Task, "open", lambda _task, target, *_options: Watched(target.reference))
    return Path(shutil.copytree(VECTORS / "layouts/chart-legacy-a", tmp_path / "layout"))


def tag_of(layout: Path) -> str:
    manifests = json.loads((layout / "index.json").read_text())["manifests"]
    names = [str(each.get("annotations", {}).get("org.opencontainers.image.ref.name", "")) for each in manifests]
    (tag,) = (name for name in names if name and not name.startswith("sha256-"))
    return tag


def check(layout: Path, policy: dict[str, Any], **reference: str) -> dict[str, Any]:
    options = {"ref": f"oci-layout:{layout}:{tag_of(layout)}", **reference}
    return verify(VerifyOptions(ReferenceOptions(**options), parse_policy(policy)))


def test_a_good_signature(layout: Path) -> None:
    result = check(layout, KEY_A, semver_filter="x")
    assert (result["changed"], result["reason"], result["served_by"]) == (False, "Verified", ["mirror.example"])
    artifact = result["artifact"]
    assert artifact["tag"] == tag_of(layout)
    assert artifact["revision"] == f"{artifact['tag']}@{artifact['digest']}"
    assert result["verification"]["verified"] is True and result["verification"]["remembered"] is False
    assert "'semver_filter' has no effect" in result["warnings"][0] and result["warnings"][-1] == "of the repository"
    assert Watched.closed == 1


def test_a_signature_by_another_key(layout: Path) -> None:
    with pytest.raises(VerificationFailed):
        check(layout, KEY_B)
    with pytest.raises(NotFound):
        check(layout, KEY_A, ref=f"oci-layout:{layout}:none")
    assert Watched.closed == 2


def test_a_policy_is_checked_before_anything_is_asked(layout: Path) -> None:
    with pytest.raises(InvalidPolicy):
        check(layout, {"public_keys": ["/nowhere.pub"]})
    with pytest.raises(InvalidPolicy, match="embedded null"):
        check(layout, {"public_keys": ["key\0.pub"]})
    assert Watched.closed == 0


def statement(level: str) -> dict[str, Any]:
    return {"name": "all", "registryScopes": ["*"], "signatureVerification": {"level": level}}


def test_a_policy_that_skips_is_not_verified(layout: Path) -> None:
    policy = {"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement("skip")]}}
    result = check(layout, policy)
    assert result["reason"] == "VerificationIgnored" and result["verification"]["verified"] is False


def test_a_repository_that_is_skipped_is_not_asked(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "list_referrers", None)
    policy = {"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement("skip")]}}
    assert check(layout, policy)["reason"] == "VerificationIgnored"


# Notary Project


NOTATION = next(
    row
    for row in json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
    if row["kind"] == "notation" and row["expected"] == "pass"
)


def check_notation(monkeypatch: pytest.MonkeyPatch, repository: Any, reference: str = "") -> dict[str, Any]:
    monkeypatch.setattr(Task, "open", lambda _task, target, *_options: repository(target.reference))
    policy = {
        "provider": "notation",
        "trust_policy": str(VECTORS / NOTATION["notation"]["trust_policy"]),
        "trust_store": [str(VECTORS / certificate) for certificate in NOTATION["notation"]["certs"]],
    }
    layout = VECTORS / NOTATION["path"]
    ref = f"oci-layout:{layout}{reference or '@' + NOTATION['digest']}"
    return verify(VerifyOptions(ReferenceOptions(ref=ref), parse_policy({**NOTATION["options"], **policy})))


def test_a_notation_signature_of_a_digest_and_of_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Counting(LayoutRepository):
        def resolve(self, identifier: str) -> Any:
            asked.append(identifier)
            return super().resolve(identifier)

    assert check_notation(monkeypatch, Counting)["verification"]["verified"] is True
    assert asked.count(NOTATION["digest"]) == 1
    asked.clear()
    tag = tag_of(VECTORS / NOTATION["path"])
    assert check_notation(monkeypatch, Counting, f":{tag}")["verification"]["verified"] is True
    assert (asked.count(tag), asked.count(NOTATION["digest"])) == (1, 0), "what was resolved is what is verified"


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_attached_manifests_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    class Incomplete(LayoutRepository):
        def list_referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
            return [Descriptor("a/b", f"sha256:{number:064x}", 1) for number in range(count)]

    with pytest.raises(VerificationFailed) as failure:
        check_notation(monkeypatch, Incomplete)
    message = failure.value.message
    assert message.count("malformed: ") == min(count, 5)
    assert ("Not usable" in message) is bool(count)
    assert ("Not usable: referrer sha256:000000000000 (malformed: " in message) is bool(count)
