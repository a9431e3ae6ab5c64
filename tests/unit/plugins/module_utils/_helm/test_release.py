# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm's records, and what is decided from them."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidContent, InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import decision as decisions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import release as releases
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.decision import Decision, DesiredState, decide
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.release import (
    Fingerprint,
    Revision,
    check_driver,
)

CHART, OTHER = f"sha256:{'c' * 64}", f"sha256:{'d' * 64}"
VALUES, OTHER_VALUES = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
MADE = Fingerprint(CHART, VALUES)


def metadata(**labels: str) -> dict[str, Any]:
    own = {"owner": "helm", "name": "one", "version": "3", "status": "deployed", **labels}
    created = "2026-01-01T00:00:00Z"
    return {"name": "sh.helm.release.v1.one.v3", "namespace": "ns", "labels": own, "creationTimestamp": created}


def revision(
    fingerprint: Fingerprint | None = MADE, recorded_for: int = 3, status: str = "deployed", **labels: str
) -> Revision:
    own = fingerprint.as_labels(recorded_for) if fingerprint else {}
    found = releases.parse_revision(metadata(status=status, **own, **labels))
    assert found is not None
    return found


def want(**fields: Any) -> DesiredState:
    return DesiredState(**{"present": True, "fingerprint": MADE, **fields})


def test_a_revision_is_what_its_labels_say() -> None:
    found = revision(team="blue")
    assert (found.namespace, found.name, found.number, found.status) == ("ns", "one", 3, "deployed")
    assert found.is_recorded and found.has_chart(CHART) and found.has_values(VALUES) and found.labels["team"] == "blue"
    assert all(len(value) <= 63 for value in found.labels.values())
    now = datetime.datetime(2026, 1, 1, 0, 1, tzinfo=datetime.timezone.utc)
    assert found.age(now) == 60
    assert Revision("ns", "one", 1, "", "", {}, "yesterday").age(now) == 0


@pytest.mark.parametrize(
    "labels", [{"owner": "somebody"}, {"version": "x"}, {"version": "-1"}, {"version": "1" * 20}, {"name": ""}]
)
def test_secrets_that_are_not_helms(labels: dict[str, str]) -> None:
    assert releases.parse_revision(metadata(**labels)) is None
    assert releases.parse_revision({"name": "x"}) is None


def test_the_last_revision_is_the_one_with_the_highest_number() -> None:
    found = [releases.parse_revision(metadata(version=number)) for number in ("9", "10", "2")]
    last = releases.last_revisions([each for each in found if each])
    assert last[("ns", "one")].number == 10


def test_descriptions_hold_the_full_digests() -> None:
    text = releases.revision_description("upgrade", f"oci://host/a,b c 1.0@{CHART}", MADE)
    assert text == f"Upgrade complete: oci://host/a,b c 1.0@{CHART}, values {VALUES}"
    assert releases.parse_description(text) == MADE
    for other in ("Upgrade complete", "Rollback to 1", text + " and more", f"x {text}", ""):
        assert releases.parse_description(other) is None


def secret(release: Any, **changes: Any) -> dict[str, Any]:
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    data = {"release": base64.b64encode(packed).decode()}
    return {"kind": "Secret", "metadata": metadata(status="pending-upgrade"), "data": data, **changes}


def test_a_pending_revision_becomes_a_failed_one() -> None:
    stored = secret({"name": "one", "info": {"status": "pending-upgrade", "notes": "kept ü"}, "version": 3})
    stored["metadata"].update(resourceVersion="77", managedFields=[{"manager": "helm"}])
    changed = releases.mark_failed(stored, "unlocked", "the release")
    assert changed["metadata"]["labels"]["status"] == "failed"
    assert changed["metadata"]["resourceVersion"] == "77"
    release = releases.decode_release(changed, "the release")
    assert release["info"] == {"status": "failed", "description": "unlocked", "notes": "kept ü"}
    assert stored["metadata"]["labels"]["status"] == "pending-upgrade"


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"release": 1},
        {"release": "%%%"},
        {"release": base64.b64encode(b"%%%").decode()},
        {"release": base64.b64encode(base64.b64encode(b"no json")).decode()},
        {"release": base64.b64encode(base64.b64encode(b"[]")).decode()},
        {"release": base64.b64encode(base64.b64encode(b"\x1f\x8bno gzip")).decode()},
        {"release": base64.b64encode(base64.b64encode(gzip.compress(b" " * 300_000_000))).decode()},
    ],
    ids=range(9),
)
def test_records_that_cannot_be_read(data: Any) -> None:
    with pytest.raises(InvalidContent, match="The record of revision 3 in the cluster cannot be read"):
        releases.decode_release({"data": data}, "revision 3")


NOTHING = Decision(decisions.NONE, decisions.UP_TO_DATE)


@pytest.mark.parametrize(
    ("wanted", "last", "decision"),
    [
        (want(), None, Decision("install", "NotInstalled")),
        (want(), revision(status="uninstalled"), Decision("install", "NotInstalled")),
        (want(), revision(status="uninstalling"), Decision("install", "NotInstalled", recover=True)),
        (want(), revision(), NOTHING),
        (want(), revision(None), Decision("upgrade", "Unmanaged")),
        # labels that another revision handed on
        (want(), revision(recorded_for=2), Decision("upgrade", "Unmanaged")),
        (want(), revision(Fingerprint(OTHER, VALUES)), Decision("upgrade", "ChartChanged")),
        (want(), revision(Fingerprint(CHART, OTHER_VALUES)), Decision("upgrade", "ValuesChanged")),
        (want(), revision(Fingerprint(CHART, VALUES, OTHER)), Decision("upgrade", "PostRendererChanged")),
        (want(fingerprint=Fingerprint(CHART, VALUES, OTHER)), revision(), Decision("upgrade", "PostRendererChanged")),
        (want(fingerprint=Fingerprint(CHART, VALUES, OTHER)), revision(Fingerprint(CHART, VALUES, OTHER)), NOTHING),
        (want(), revision(status="failed"), Decision("upgrade", "LastActionFailed")),
        (want(), revision(status="superseded"), Decision("upgrade", "LastActionFailed")),
        (want(), revision(status="unknown"), Decision("upgrade", "LastActionFailed")),
        *((want(), revision(status=each), Decision("upgrade", "Pending", recover=True)) for each in releases.PENDING),
        (want(suspended=True), None, Decision("none", "Suspended")),
        (want(suspended=True, present=False), revision(status="failed"), Decision("none", "Suspended")),
        (want(present=False), None, Decision("none", "NotInstalled")),
        (want(present=False), revision(status="uninstalled"), Decision("uninstall", "Unwanted")),
        (want(present=False, keep_history=True), revision(status="uninstalled"), Decision("none", "NotInstalled")),
        (want(present=False, keep_history=True), revision(), Decision("uninstall", "Unwanted")),
        (want(present=False), revision(None), Decision("uninstall", "Unwanted")),
        (want(present=False), revision(status="failed"), Decision("uninstall", "Unwanted")),
        (want(present=False), revision(status="pending-install"), Decision("uninstall", "Unwanted", recover=True)),
        (want(present=False), revision(status="uninstalling"), Decision("uninstall", "Unwanted")),
        (want(tests=("passed",)), revision(), Decision("test", "Untested")),
        (want(tests=("passed",)), revision(**{releases.TEST_LABEL: "passed"}), NOTHING),
        (want(tests=("passed",)), revision(**{releases.TEST_LABEL: "failed"}), Decision("upgrade", "LastActionFailed")),
        (want(tests=("passed", "failed")), revision(**{releases.TEST_LABEL: "failed"}), NOTHING),
        (want(), revision(**{releases.TEST_LABEL: "failed"}), NOTHING),
        (want(labels={"team": "blue"}), revision(), Decision("label", "LabelsChanged")),
        (want(labels={"team": "blue"}), revision(team="blue"), NOTHING),
        (want(labels={"team": None}), revision(), NOTHING),
        (want(labels={"team": None}), revision(team="blue"), Decision("label", "LabelsChanged")),
        (want(rollback_to=CHART, fingerprint=Fingerprint(OTHER, "")), revision(), NOTHING),
        (want(rollback_to=OTHER), revision(), Decision("rollback", "RollbackWanted")),
        (want(rollback_to=CHART), revision(status="failed"), Decision("rollback", "RollbackWanted")),
        (want(rollback_to=CHART), None, Decision("install", "NotInstalled")),
    ],
)  # fmt: skip
def test_decisions(wanted: DesiredState, last: Revision | None, decision: Decision) -> None:
    assert decide(wanted, last) == decision


@pytest.mark.parametrize("driver", ["", "secret", "secrets"])
def test_records_in_secrets(driver: str) -> None:
    check_driver(driver)


@pytest.mark.parametrize(
    ("driver", "place"),
    [
        ("configmap", "in ConfigMaps"),
        ("configmaps", "in ConfigMaps"),
        ("sql", "in an SQL database"),
        ("memory", "in the memory"),
        ("Secret", "does not know"),
    ],
)
def test_records_that_are_elsewhere(driver: str, place: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_driver(driver)
    message = str(caught.value)
    assert place in message and repr(driver) in message and "HELM_DRIVER" in message and "helm_driver" in message


def test_objects_in_another_namespace() -> None:
    """A release whose objects are to be elsewhere is removed from where they are, and installed anew."""
    there = Fingerprint(CHART, VALUES, target="there")
    here = revision()
    moved = revision(there)
    assert (here.target, moved.target) == ("ns", "there")
    assert decide(DesiredState(True, MADE), here).action == decisions.NONE
    assert decide(DesiredState(True, there), moved).action == decisions.NONE
    wanted = Decision(decisions.INSTALL, decisions.TARGET_CHANGED)
    assert decide(DesiredState(True, there), here) == wanted
    assert decide(DesiredState(True, MADE), moved) == wanted
    assert decide(DesiredState(True, MADE), revision(there, status="failed")) == wanted
    # by whom else it was made says nothing about where its objects are
    assert decide(DesiredState(True, there), revision(MADE, recorded_for=2)).reason == decisions.UNMANAGED
    assert decide(DesiredState(True, there, rollback_to=OTHER), here).action == decisions.ROLLBACK
    assert decide(DesiredState(False), moved).action == decisions.UNINSTALL
    assert decide(DesiredState(True, there), revision(status="uninstalled")).reason == decisions.NOT_INSTALLED
    assert decide(DesiredState(True, there), revision(status="pending-upgrade")).reason == decisions.PENDING
