# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of deployments: who is believed about what, when one is made anew, and what retention makes of them."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import parse_manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import time_text
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import deployments
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.clients import Clients
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.deployments import last_deployed, recorder
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.prune.test_prune import (
    ALL,
    DAY,
    Layout,
    gone,
    index_of,
    kept,
)

pytestmark = pytest.mark.usefixtures("state")
SINCE = "2026-01-05T09:00:00Z"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where retention remembers what it has seen."""
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def new_key() -> str:
    private = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return private.private_bytes(encoding, form, serialization.NoEncryption()).decode("ascii")


def record(
    layout: Layout, digest: str, key: str, fleet: str = "prod", since: str = SINCE, **more: Any
) -> dict[str, Any]:
    made = recorder(fleet, key, None, {"verify": None})
    options = {"passed": True, **more}
    return made.record(
        f"oci-layout:{layout.path}", digest, since, AuthOptions(), ConnectionOptions(), Clients(), **options
    )


def records(layout: Layout, digest: str) -> list[str]:
    return [each.digest for each in layout.repository.list_referrers(digest, deployments.ARTIFACT_TYPE)]


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    moment = time.time() + days * DAY
    monkeypatch.setattr(time, "time", lambda: moment)


def test_a_record_is_a_signed_summary_of_a_verification(layout: Layout) -> None:
    digest, key = layout.publish("a", "1.0.0").descriptor.digest, new_key()
    assert record(layout, digest, key, check_mode=True)["status"] == "created"
    assert records(layout, digest) == []
    made = record(layout, digest, key)
    assert records(layout, digest) == [made["digest"]]
    assert (made["fleet"], made["since"], made["result"], made["status"]) == ("prod", SINCE, "PASSED", "created")
    manifest = layout.repository.fetch_manifest(made["digest"])
    (layer,) = manifest.layers
    envelope = json.loads(b"".join(layout.repository.stream_blob(layer)))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert statement["subject"][0]["digest"] == {"sha256": digest[7:]}
    predicate = statement["predicate"]
    wanted = {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"}
    assert wanted < set(predicate) and predicate["verificationResult"] == "PASSED"
    assert predicate[deployments.EXTENSION] == {"fleet": "prod", "since": SINCE}


def test_a_record_is_made_anew_when_it_is_old_or_says_something_else(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, key = layout.publish("a", "1.0.0").descriptor.digest, new_key()
    first = record(layout, digest, key)
    assert record(layout, digest, key, since="2026-02-01T00:00:00Z") == {**first, "status": "unchanged"}
    # another fleet, and another key, whose word about the fleet is not believed
    assert record(layout, digest, key, "stage", since="2026-02-01T00:00:00Z")["since"] == "2026-02-01T00:00:00Z"
    assert record(layout, digest, new_key(), since="2026-02-01T00:00:00Z")["since"] == "2026-02-01T00:00:00Z"
    later(monkeypatch, 6)
    assert record(layout, digest, key)["status"] == "unchanged"
    assert record(layout, digest, key, passed=False)["result"] == "FAILED"
    later(monkeypatch, 8)
    again = record(layout, digest, key, since="2026-02-01T00:00:00Z", passed=False)
    # since when is known from the first one
    assert (again["status"], again["since"]) == ("created", SINCE)
    assert len(records(layout, digest)) == 5


def test_a_record_of_another_digest_is_not_taken_for_one_of_this(layout: Layout) -> None:
    one, other = layout.publish("a", "1.0.0"), layout.publish("b", "2.0.0")
    key = new_key()
    made = layout.repository.fetch_manifest(record(layout, one.descriptor.digest, key)["digest"])
    document = json.loads(made.raw)
    document["subject"] = other.descriptor.as_json()
    moved = parse_manifest(json.dumps(document).encode(), made.descriptor.media_type, "moved")
    layout.push(moved)
    assert record(layout, other.descriptor.digest, key, since="2026-02-01T00:00:00Z")["since"] == "2026-02-01T00:00:00Z"


@pytest.mark.parametrize("fleet", ["", "x" * 201, "a\nb"], ids=["empty", "long", "lines"])
def test_a_fleet_has_a_name(fleet: str) -> None:
    with pytest.raises(InvalidOption, match="'fleet'"):
        recorder(fleet, new_key(), None, {})


def test_retention_keeps_what_a_fleet_runs(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    running, old = layout.publish("a", "1.0.0").descriptor.digest, layout.publish("b", "2.0.0").descriptor.digest
    record(layout, running, new_key())
    assert gone(layout.prune(ALL, state="report")) == ["1.0.0", "2.0.0"]
    result = layout.prune(ALL, keep_deployed=30 * DAY)
    assert (kept(result), gone(result)) == ({"1.0.0": "deployed"}, ["2.0.0"])
    assert last_deployed(layout.repository, old) is None
    later(monkeypatch, 31)
    assert gone(layout.prune(ALL, keep_deployed=30 * DAY)) == ["1.0.0"]
    assert records(layout, running) == []


def test_retention_keeps_the_index_of_a_platform_that_a_fleet_runs(layout: Layout) -> None:
    arm, amd = layout.publish("arm"), layout.publish("amd")
    index = layout.push(index_of(layout.push(index_of(arm))), "nested")
    layout.push(index_of(amd), "2.0.0")
    record(layout, arm.descriptor.digest, new_key())
    result = layout.prune(ALL, keep_deployed=30 * DAY)
    assert (kept(result), gone(result)) == ({"nested": "deployed"}, ["2.0.0"])
    assert layout.holds(arm) and layout.holds(index)


def test_a_time_that_cannot_be_is_now(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = layout.publish("a", "1.0.0").descriptor.digest
    monkeypatch.setattr(deployments, "time_text", lambda moment: time_text(moment + 40 * DAY))
    record(layout, digest, new_key())
    assert last_deployed(layout.repository, digest) == pytest.approx(time.time(), abs=3600)
