# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull keeps when its registry fails: which failures count, what content will do, what is said of it."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.destination import Destination
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.drift import Drift
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import State
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidOption,
    NotFound,
    OciError,
    RegistryError,
    TlsFailed,
    is_outage,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import AuthOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    Limits,
    parse_layer_selector,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull import last_good
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import (
    Degradation,
    LastGood,
    parse_last_good,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import (
    ReferenceOptions,
    Resolved,
    parse_target,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verdicts import Finding
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    Harness,
    manifest_of,
)

KEEP = LastGood()
HEAD, MANIFEST, BLOB = ("HEAD", "/manifests/"), ("GET", "/manifests/"), ("GET", "/blobs/")
OTHER = "was pulled for another reference or selection, or with other options."


def archive(text: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name in ("app", "sub/data"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return target.getvalue()


class Place:
    """A registry with one artifact under several tags, and a task that pulls it."""

    def __init__(self, server: FaultServer, dest: Path) -> None:
        self.server = server
        self.dest = dest
        self.publish("one", "stable", "1.0.0", "latest")

    def publish(self, text: str, *tags: str) -> str:
        layer = archive(text)
        descriptor = {"mediaType": media.FLUX_LAYER, "digest": self.server.add_blob(layer), "size": len(layer)}
        for tag in tags:
            digest = self.server.add_manifest(manifest_of(layers=[descriptor]).raw, tag)
        return digest

    def pull(self, check_mode: bool = False, **options: Any) -> PullResult:
        reference = {name: options.pop(name) for name in ("url", "tag", "digest", "semver", "ref") if name in options}
        layers = options.pop("layers", "first")
        wanted = PullOptions(
            reference=ReferenceOptions(**(reference or {"ref": f"{self.server.host}/org/app:stable"})),
            dest=str(self.dest),
            selector=parse_layer_selector(None, layers),
            limits=Limits(1 << 20, 100),
            auth=AuthOptions(auth_config={"auths": {}}),
            connection=ConnectionOptions(insecure=True, timeout=60, retries=0),
            **{"last_good": KEEP, **options},
        )
        return pull(wanted, check_mode=check_mode)

    def refused(self, error: type[OciError] = RegistryError, **options: Any) -> str:
        """Why nothing was kept."""
        before = self.snapshot()
        with pytest.raises(error) as failure:
            self.pull(**options)
        assert self.snapshot() == before
        return str(failure.value).partition("'on_registry_error' has no effect: ")[2]

    def fail(self, where: tuple[str, str] = ("", ""), answer: Answer | None = None) -> None:
        self.server.always(*where, answer or Answer(503))

    def snapshot(self) -> Mapping[str, bytes]:
        return {str(path): path.read_bytes() for path in self.dest.rglob("*") if path.is_file()}

    @property
    def control(self) -> Path:
        return self.dest / ".oci-artifact"

    def edit(self, change: Any) -> None:
        state = json.loads((self.control / "state").read_text())
        change(state)
        (self.control / "state").write_text(json.dumps(state))


class Clock:
    """Wall-clock time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made, gmtime = Clock(), time.gmtime
    monkeypatch.setattr(time, "time", made)
    # of a placement, too: the next second may begin during a pull
    monkeypatch.setattr(time, "gmtime", lambda seconds=None: gmtime(made.now if seconds is None else seconds))
    return made


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer() as server:
        yield Place(server, tmp_path / "dest")


# Which failures count


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ConnectionFailed("x"), True),
        (ConnectionFailed("x", is_lasting=True), False),
        (TlsFailed("x"), True),
        (TlsFailed("x", is_lasting=True), False),
        *((RegistryError("x", "", status), True) for status in (408, 425, 429, 500, 502, 503, 504, 507, 521)),
        *((RegistryError("x", "", status), False) for status in (0, 400, 405, 407, 416, 418)),
        (AuthenticationFailed("x"), False),
        (NotFound("x"), False),
    ],
)
def test_outages(error: OciError, counts: bool) -> None:
    assert is_outage(error) is counts


def outage_of(server: FaultServer, **options: Any) -> bool:
    with pytest.raises(OciError) as failure:
        Harness(server, retries=0, **options).repository.resolve("1")
    return is_outage(failure.value)


def test_what_no_waiting_cures_is_no_outage() -> None:
    with FaultServer() as server, FaultServer() as proxy:
        assert not outage_of(server, insecure=False), "no TLS on this port"
        proxy.always("CONNECT", "", Answer(407))
        assert not outage_of(server, insecure=False, proxy=proxy.url), "a proxy that wants a password"
        assert not outage_of(server, host="x" * 70 + ".example"), "a name that no host can have"
    assert outage_of(server, insecure=False, proxy=proxy.url), "a proxy that is down"
    assert outage_of(server), "a registry that is down"


def test_a_handshake_that_breaks_off_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            connection, _address = listener.accept()
            connection.recv(10_000)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with FaultServer() as server:
            assert outage_of(server, insecure=False, host=f"127.0.0.1:{port}")


@pytest.mark.parametrize("where", [HEAD, MANIFEST, BLOB], ids=["resolve", "manifest", "blob"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(429), "OCIArtifactPullFailed"),
        (Answer(429, {"Retry-After": "3600"}), "OCIArtifactPullFailed"),
        (Answer(500), "OCIArtifactPullFailed"),
        (Answer(503), "OCIArtifactPullFailed"),
        (Answer(521), "OCIArtifactPullFailed"),
        (Answer(is_silent=True), "ConnectionFailed"),
    ],
    ids=["429", "429 for an hour", "500", "503", "521", "silent"],
)
def test_an_outage_in_any_step_keeps_what_is_there(
    place: Place, where: tuple[str, str], answer: Answer, reason: str
) -> None:
    first = place.pull()
    before = place.snapshot()
    newer = place.publish("two", "stable")
    place.fail(where, answer)
    if where == HEAD and answer.status >= 500:
        # HEAD alone is no outage: what it was to save is asked for
        place.fail(MANIFEST, answer)
    result = place.pull()
    assert (result.changed, result.reason, result.artifact) == (False, "LastGoodKept", first.artifact)
    assert place.snapshot() == before
    found = result.degradation
    assert found is not None and found.reason == reason and place.server.host in found.message
    assert time.time() - 60 < found.since <= time.time() and 0 <= found.seconds < 60
    (warning,) = result.warnings
    assert warning.startswith(f"{first.artifact['revision']} of {place.server.host}/org/app is kept")
    assert (f"It names stable@{newer} now, which is not used." in warning) is (where != HEAD)


@pytest.mark.parametrize("answer", [Answer(503), Answer(429), Answer(is_silent=True)], ids=["503", "429", "silent"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_token_server_that_is_down_counts(place: Place, answer: Answer, moved: bool) -> None:
    place.pull()
    if moved:
        place.publish("two", "stable")
    realm = f'Bearer realm="{place.server.url}/token",service="s"'
    # as for a registry that is asked for the manifest at once, without a HEAD
    place.server.always("HEAD", "^/v2/", Answer(405))
    place.server.always("GET", "^/v2/", Answer(401, {"WWW-Authenticate": realm}))
    place.server.always("GET", "^/token", answer)
    assert place.pull().degradation is not None


# HEAD alone settles nothing
@pytest.mark.parametrize("where", [("", MANIFEST[1]), MANIFEST, BLOB], ids=["resolve", "manifest", "blob"])
@pytest.mark.parametrize("status", [401, 403, 404, 418])
def test_an_answer_is_no_outage(place: Place, where: tuple[str, str], status: int) -> None:
    place.pull()
    place.publish("two", "stable")
    place.fail(where, Answer(status))
    assert place.refused(OciError) == ""


def test_a_token_server_that_refuses_is_no_outage(place: Place) -> None:
    place.pull()
    realm = f'Bearer realm="{place.server.url}/token",service="s"'
    place.server.always("", "^/v2/", Answer(401, {"WWW-Authenticate": realm}))
    place.server.always("GET", "^/token", Answer(401))
    assert place.refused(AuthenticationFailed) == ""


@pytest.mark.parametrize("where", [MANIFEST, BLOB], ids=["manifest", "blob"])
def test_other_bytes_are_no_outage(place: Place, where: tuple[str, str]) -> None:
    place.pull()
    place.publish("two", "stable")
    place.fail(where, Answer(body=archive("bad")))
    assert place.refused(OciError) == ""


def test_a_registry_that_is_not_there_counts(tmp_path: Path) -> None:
    with FaultServer() as server:
        place = Place(server, tmp_path / "dest")
        place.pull()
    result = place.pull()
    assert result.degradation is not None and "Connection refused" in result.degradation.message


def test_a_warning_of_the_policy_is_said_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tag names now was verified before the registry failed, and what is kept was verified before that."""
    found = Finding({"verified": True}, ["The policy accepts everybody."])
    monkeypatch.setattr(Task, "verify", lambda *_arguments, **_options: found)
    policy = VerifyPolicy(any_identity=True)
    assert place.pull(verify=policy).warnings == found.warnings
    place.publish("two", "stable")
    place.fail(BLOB)
    result = place.pull(verify=policy)
    assert result.degradation is not None and result.warnings[:-1] == found.warnings


def test_without_the_option_a_failure_is_a_failure(place: Place) -> None:
    place.pull()
    place.fail()
    assert place.refused(last_good=None) == ""


# What will do


def test_what_was_asked_for_in_the_same_way_will_do(place: Place) -> None:
    url = f"oci://{place.server.host}/org/app"
    place.pull(url=url, semver="1.x", last_good=None)
    place.fail()
    assert place.pull(url=url, semver="1.x").degradation, "how it was asked for is on record without the option"
    assert place.pull(url=url, tag="1.0.0").degradation, "the tag is the one that was chosen"
    assert place.refused(url=url, semver="1.0.x") == f"what is there {OTHER}"
    assert place.refused(url=url, tag="stable") == f"what is there {OTHER}"


def test_a_request_that_was_confirmed_will_do_however_the_content_came(place: Place) -> None:
    url = f"oci://{place.server.host}/org/app"
    place.pull(url=url, tag="1.0.0")
    assert not place.pull(url=url, semver="1.x").changed
    place.fail()
    assert place.pull(url=url, semver="1.x").degradation
    (place.control / "confirmed").unlink()
    assert place.refused(url=url, semver="1.x") == f"what is there {OTHER}"


def test_the_default_tag_is_a_tag(place: Place) -> None:
    ref = f"{place.server.host}/org/app"
    place.pull(ref=ref, last_good=None)
    place.fail()
    assert place.pull(ref=ref).degradation
    assert place.pull(ref=f"{ref}:latest").degradation


@pytest.mark.parametrize(
    "options",
    [
        {"ref": "{host}/org/app:1.0.0"},
        {"ref": "{host}/org/other:stable"},
        {"ref": "{host}/org/app", "semver": "1.x"},
        {"layers": "all"},
        {"platform": "linux/s390x"},
        {"ignore": "sub/"},
    ],
    ids=str,
)
def test_what_was_asked_for_in_another_way_will_not(place: Place, options: dict[str, Any]) -> None:
    place.pull()
    place.fail()
    if "ref" in options:
        options = {**options, "ref": options["ref"].format(host=place.server.host)}
    assert place.refused(**options) == f"what is there {OTHER}"


def test_a_digest_needs_nobody(place: Place) -> None:
    digest = place.server.tags["stable"]
    options = {"ref": f"{place.server.host}/org/app@{digest}"}
    place.pull(**options)
    place.fail()
    result = place.pull(**options)
    assert result.degradation is None and result.reason == "ArtifactUpToDate" and result.warnings == []
    other = place.publish("two", "other")
    assert place.refused(ref=f"{place.server.host}/org/app@{other}") == f"what is there {OTHER}"
    (place.dest / "app").unlink()
    assert place.refused(**options).startswith("what is there was altered (app)")


def test_nothing_that_will_not_do_is_kept(place: Place) -> None:
    place.fail()
    assert place.refused() == "nothing that was pulled before is there."
    assert not place.dest.exists()


def test_damaged_records_and_runs_that_did_not_end_will_not(place: Place) -> None:
    place.pull()
    place.fail()
    place.edit(lambda state: state["pending"].update({"x": ["file", 420, 1, "d", ""]}))
    assert place.refused() == "the last run into it did not end."
    (place.control / "state").write_text("{")
    assert place.refused() == "nothing that was pulled before is there."


def test_force_will_not(place: Place) -> None:
    place.pull()
    place.fail()
    assert place.refused(force=True) == "with 'force' the artifact is always fetched."


@pytest.mark.parametrize("check_content", [False, True])
def test_altered_files_will_not(place: Place, check_content: bool) -> None:
    place.pull()
    place.fail()
    status = (place.dest / "app").stat()
    (place.dest / "app").write_text("ten")
    os.utime(place.dest / "app", ns=(status.st_atime_ns, status.st_mtime_ns))
    if not check_content:
        assert place.pull().degradation, "size and time are those of the record"
        (place.dest / "app").write_text("eleven")
        (place.dest / "sub/data").unlink()
    named = "app" if check_content else "app, sub/data"
    words = f"what is there was altered ({named}), and only the registry has the original."
    assert place.refused(check_content=check_content) == words


def test_modes_are_set_right(place: Place) -> None:
    place.pull()
    place.fail()
    os.chmod(place.dest / "app", 0o600)
    foreseen = place.pull(check_mode=True)
    assert foreseen.changed and foreseen.degradation and stat.S_IMODE((place.dest / "app").stat().st_mode) == 0o600
    result = place.pull()
    assert result.changed and result.reason == "DriftCorrected" and result.degradation and result.warnings
    assert result.changes["permissions"] == ["app"]
    assert stat.S_IMODE((place.dest / "app").stat().st_mode) == 0o644
    assert not place.pull().changed


# Verified


def verified(place: Place, policy: VerifyPolicy) -> None:
    """Put on record that the signatures satisfied a policy."""
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verdicts import policy_fingerprint

    record = {"policy": policy_fingerprint(policy), "verdict": {"verified": True}, "warnings": ["Mind this."]}
    place.edit(lambda state: state.update(verification=record))


def test_only_what_satisfied_the_policy_will_do(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "release.pub"
    key.write_text("a key")
    policy = VerifyPolicy(public_keys=(str(key),))
    place.pull()
    place.fail()
    unverified = "what is there was not verified under this policy."
    assert place.refused(verify=policy) == unverified
    verified(place, policy)
    result = place.pull(verify=policy)
    assert result.degradation and result.verification == {"verified": True} and result.warnings[0] == "Mind this."
    assert place.refused(verify=VerifyPolicy(public_keys=(str(key),), curve_hash=True)) == unverified
    key.write_text("another key")
    assert place.refused(verify=policy) == unverified
    result = place.pull()
    assert result.degradation, "without a policy nothing is demanded"
    assert result.verification == {} and len(result.warnings) == 1, "and nothing is claimed"


# For how long


def test_age_is_since_the_last_confirmation(place: Place, clock: Clock) -> None:
    place.pull()
    clock.now += 1000
    place.pull()
    place.fail()
    clock.now += 500
    found = place.pull().degradation
    assert found is not None and found.seconds == 500
    assert place.pull(last_good=LastGood(510)).degradation
    words = "the registry last confirmed what is there 8min 20s ago, and 'max_age' is 8min 10s."
    assert place.refused(last_good=LastGood(490)) == words
    result = found.as_result()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.since))
    assert (result["degraded_since"], result["degraded_seconds"]) == (since, found.seconds)
    clock.now -= 2500
    found = place.pull().degradation
    assert found is not None and found.seconds == 0, "a clock that was set back"


def test_content_may_be_as_old_as_max_age(place: Place, clock: Clock) -> None:
    place.pull()
    place.fail()
    clock.now += 500
    assert place.pull(last_good=LastGood(500)).degradation
    assert "'max_age' is 8min 19s" in place.refused(last_good=LastGood(499))


def test_a_degraded_run_and_a_check_confirm_nothing(place: Place, clock: Clock) -> None:
    place.pull()
    noted = (place.control / "confirmed").read_text()
    clock.now += 1000
    place.pull(check_mode=True)
    place.pull(last_good=None)
    place.fail(BLOB)
    place.publish("two", "stable")
    assert place.pull().degradation
    assert (place.control / "confirmed").read_text() == noted


def test_without_a_note_the_placement_counts(place: Place) -> None:
    place.pull(last_good=None)
    assert not (place.control / "confirmed").exists()
    place.fail()
    place.edit(lambda state: state["artifact"].update(last_update_time="2026-01-01T00:00:00Z"))
    found = place.pull().degradation
    assert found is not None and found.as_result()["degraded_since"] == "2026-01-01T00:00:00Z"
    assert "'max_age' is 1d" in place.refused(last_good=LastGood(86400))
    place.edit(lambda state: state["artifact"].update(last_update_time="some day"))
    assert place.refused() == "the record does not say since when it is there."


def test_a_note_that_cannot_be_written_is_a_warning(place: Place, tmp_path: Path) -> None:
    place.pull()
    note = place.control / "confirmed"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    note.unlink()
    note.symlink_to(tmp_path / "elsewhere")
    (warning,) = place.pull().warnings
    assert "could not be noted" in warning and not (tmp_path / "elsewhere").exists()


def test_an_unchanged_run_removes_what_a_killed_one_left(place: Place) -> None:
    place.pull(last_good=None)
    (place.control / "stage/content").mkdir(parents=True)
    place.pull(last_good=None, check_mode=True)
    assert (place.control / "stage/content").exists()
    assert place.pull(last_good=None).reason == "ArtifactUpToDate"
    assert sorted(os.listdir(place.control)) == ["lock", "state"]


def test_unchanged_runs_without_the_option_write_nothing(place: Place) -> None:
    place.pull(last_good=None)
    before = {path: path.stat().st_mtime_ns for path in place.dest.rglob("*")}
    place.pull(last_good=None)
    assert {path: path.stat().st_mtime_ns for path in place.dest.rglob("*")} == before


# Parts


def test_a_digest_that_is_held_is_what_is_asked_for(tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    artifact = {"digest": digest, "tag": "", "last_update_time": "2026-01-01T00:00:00Z"}
    state = State(key={"url": "x"}, artifact=artifact)

    def judge(asked: str) -> Degradation:
        target = parse_target(ReferenceOptions(ref=f"r.example/org/app@{asked}"))
        error = RegistryError("It fails.")
        drift = Drift([], [])
        dest = Destination(str(tmp_path), Permissions())
        return last_good.judge(KEEP, dest, state, drift, target, is_forced=False, is_verified=True, error=error)

    assert judge(digest).message.startswith("It fails.")
    with pytest.raises(RegistryError, match="another reference or selection"):
        judge("sha256:" + "2" * 64)


def test_what_the_registry_names_by_now_is_said_when_it_is_something_else() -> None:
    target = parse_target(ReferenceOptions(ref="r.example/org/app:stable"))
    found = Degradation(0.0, 60, "", "It fails.")
    held, newer = (Resolved(f"sha256:{digit * 64}", "stable", None) for digit in "12")
    assert "It names" not in last_good.warning(found, target, held, None)
    assert "It names" not in last_good.warning(found, target, held, held)
    assert f"It names {newer.revision} now" in last_good.warning(found, target, held, newer)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (None, None),
        ({"use": "fail", "max_age": None}, None),
        ({"use": "last_good", "max_age": None}, LastGood()),
        ({"use": "last_good", "max_age": "24h"}, LastGood(86400.0)),
        ({"use": "last_good", "max_age": "90"}, LastGood(90.0)),
    ],
)
def test_the_option(option: Any, expected: LastGood | None) -> None:
    assert parse_last_good(option) == expected


@pytest.mark.parametrize("max_age", ["soon", "0s", "-1h", "1d"])
def test_ages_that_are_none(max_age: str) -> None:
    for use in ("last_good", "fail"):
        with pytest.raises(InvalidOption):
            parse_last_good({"use": use, "max_age": max_age})
