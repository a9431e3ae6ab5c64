# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags are moved and removed under conditions, in layouts and in a registry that honours, or ignores, conditions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    InvalidContent,
    InvalidOption,
    InvalidReference,
    NotFound,
    OciError,
    TagImmutable,
    TagMoved,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.tags import LayoutTags
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import canonical_json, parse_manifest
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import (
    AuthOptions,
    ConnectionOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.tag_store import DeletionRefused
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import time_text
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.sign import SigningOptions, SignOptions, sign
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag import conditions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.conditions import NotSoaked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.options import Requirements, TagOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.record import (
    ARTIFACT_TYPE,
    RecordOptions,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.tag.tag import tag
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.refusals import (
    AgeUnknown,
    DowngradeDenied,
    TooYoung,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import parse_policy
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
)
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._registry.registry_harness import (
    manifest_of,
    source_of,
)

DAY = 86400.0
KEYS = Path(__file__).resolve().parents[5] / "vectors/keys"


class Layout:
    """A layout with artifacts that differ in an annotation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"oci-layout:{path}"
        self.repository = LayoutTags(parse_reference(self.name))
        self.repository.push_blob(source_of(b"{}"))

    def publish(self, text: str, *tags: str, **annotations: str) -> str:
        manifest = manifest_of(annotations={"text": text, **annotations})
        for each in tags or ("",):
            self.repository.push_manifest(manifest, each)
        return manifest.descriptor.digest

    def at(self, name: str) -> str:
        return self.repository.resolve(name).digest

    def tag(self, ref: str, *tags: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        given = TagOptions(ReferenceOptions(ref=self.name + ref), tags, **options)
        return tag(given, check_mode=check_mode, want_diff=True)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(tmp_path / "state"))
    return Layout(tmp_path / "layout")


def created(age: float) -> dict[str, str]:
    return {media.ANNOTATION_CREATED: time_text(time.time() - age)}


def test_a_channel_moves_once_and_says_what_was_there(layout: Layout) -> None:
    old, new = layout.publish("old", "prod"), layout.publish("new", "stage")
    foreseen = layout.tag(":stage", "prod", "canary", check_mode=True)
    assert layout.at("prod") == old and foreseen["changed"]
    moved = layout.tag(":stage", "prod", "canary")
    assert {key: moved[key] for key in foreseen} == foreseen
    assert moved["tags"] == {"prod": "moved", "canary": "created"} and moved["before"] == {"prod": old, "canary": ""}
    assert moved["diff"][0]["before"] == f"prod {old}\n" and f"canary {new}\n" in moved["diff"][0]["after"]
    assert layout.at("prod") == layout.at("canary") == layout.at("stage") == new
    again = layout.tag(":stage", "prod", "canary")
    assert (again["changed"], again["reason"]) == (False, "TagsUpToDate") and "diff" not in again
    # the old one is still listed, to go back to
    back = layout.tag(f"@{moved['before']['prod']}", "prod")
    assert back["tags"] == {"prod": "moved"} and layout.at("prod") == old


def test_nothing_moves_where_an_expectation_does_not_hold(layout: Layout) -> None:
    old, new = layout.publish("old", "prod"), layout.publish("new", "stage")
    for expect in ({"prod": new[:-1] + "0"}, {"prod": None}, {"other": f"x@{old}"}, {"prod": old, "canary": old}):
        with pytest.raises(TagMoved):
            layout.tag(":stage", "canary", "prod", expect=expect)
        assert layout.at("prod") == old and "canary" not in layout.repository.list_tags()
    with pytest.raises(NotFound):
        layout.tag(f"@{new[:-1]}0" if new[-1] != "0" else f"@{new[:-1]}1", "prod", check_mode=True)
    expect = {"prod": f"1.0.0@{old}", "canary": "", "stage": new}
    assert layout.tag(":stage", "canary", "prod", expect=expect)["changed"]
    # the same task again: what is where it is to be needs no explanation
    assert not layout.tag(":stage", "canary", "prod", expect=expect)["changed"]
    for wrong, error in (({"prod": "latest"}, InvalidReference), ({"prod": ["x"]}, InvalidOption)):
        with pytest.raises(error, match=".prod. in 'expect' is"):
            layout.tag(":stage", "prod", expect=wrong)


def test_versions_stay_without_force(layout: Layout) -> None:
    old, new = layout.publish("old", "1.2.3", "v1.2.3_b"), layout.publish("new", "stage")
    for name in ("1.2.3", "v1.2.3_b"):
        with pytest.raises(TagImmutable):
            layout.tag(":stage", "fresh", name)
        with pytest.raises(TagImmutable, match="Say force: true if nobody"):
            layout.tag("", name, state="absent")
    assert "fresh" not in layout.repository.list_tags() and layout.at("1.2.3") == old
    assert layout.tag(":stage", "1.2.4")["tags"] == {"1.2.4": "created"}
    assert layout.tag(":stage", "1.2.3", force=True)["changed"] and layout.at("1.2.3") == new


def later(path: Path, seconds: float) -> None:
    """Let the time pass for what was seen."""
    (file,) = (path / "state").glob("*.json")
    document = json.loads(file.read_text())
    document["digests"] = {digest: moment - seconds for digest, moment in document["digests"].items()}
    file.write_text(json.dumps(document))


def test_age(layout: Layout, tmp_path: Path) -> None:
    """1970 tells no age, a time of creation does where it is named, and the first look is recorded."""
    layout.publish("reproducible", "stage", **{media.ANNOTATION_CREATED: "1970-01-01T00:00:00Z"})
    layout.publish("young", "young", **created(DAY / 2))
    layout.publish("old", "old", **created(2 * DAY))
    day = Requirements(min_age=DAY, age_from=("created",))
    for name, error in (("stage", AgeUnknown), ("young", TooYoung)):
        with pytest.raises(error) as refused:
            layout.tag(f":{name}", "prod", require=day)
        assert refused.value.retryable == (error is TooYoung) and "'require'" in refused.value.message
        assert "refused_by" not in refused.value.details
    with pytest.raises(AgeUnknown):
        layout.tag(":old", "prod", require=Requirements(min_age=DAY, age_from=("signature",)))
    assert layout.tag(":old", "prod", require=day)["changed"]
    seen = Requirements(min_age=DAY, age_from=("first_seen", "created"))
    for name in ("stage", "old"):  # the first source that knows it counts
        with pytest.raises(TooYoung, match="saw it first"):
            layout.tag(f":{name}", "canary", require=seen, check_mode=True)
        with pytest.raises(TooYoung, match="saw it first"):
            layout.tag(f":{name}", "canary", require=seen)
        later(tmp_path, DAY - 60)
        with pytest.raises(TooYoung, match="23h 59min old"):
            layout.tag(f":{name}", "canary", require=seen)
        later(tmp_path, 60)
        assert layout.tag(f":{name}", "canary", require=seen)["changed"]


def test_the_age_of_an_image_is_in_its_config(layout: Layout) -> None:
    config = source_of(json.dumps({"created": time_text(time.time() - 2 * DAY)}).encode())
    layout.repository.push_blob(config)
    image = manifest_of(config={**config.descriptor.as_json(), "mediaType": media.OCI_CONFIG})
    layout.repository.push_manifest(image, "image")
    require = Requirements(min_age=DAY, age_from=("created",))
    assert layout.tag(":image", "prod", require=require)["changed"]


def test_soaked(layout: Layout) -> None:
    new = layout.publish("new", "next", **created(2 * DAY))
    soaked = Requirements(soaked_in="stage")
    with pytest.raises(NotSoaked):
        layout.tag(":next", "prod", require=soaked)
    layout.publish("other", "stage")
    with pytest.raises(NotSoaked):
        layout.tag(":next", "prod", require=soaked)
    record = RecordOptions(who="alice", run="https://ci.example.com/7")
    moved = layout.tag(":next", "stage", record=record)
    (entry,) = layout.repository.list_referrers(new, ARTIFACT_TYPE)
    assert [entry.digest] == moved["records"] and entry.annotations["cloudnative.artifacts/who"] == "alice"
    # the record outranks the age of the artifact: it is two days old, and has been on stage for a moment
    with pytest.raises(NotSoaked) as refused:
        layout.tag(":next", "prod", require=Requirements(soaked_in="stage", min_age=DAY))
    assert refused.value.retryable
    assert layout.tag(":next", "prod", require=soaked)["warnings"] == []
    # moved by another tool: what is known is the age, and that is said
    layout.publish("foreign", "stage", **created(2 * DAY))
    result = layout.tag(":stage", "prod", require=Requirements(None, DAY, ("created",), "stage"))
    assert result["changed"] and "record: true" in result["warnings"][0]
    layout.publish("foreign and young", "stage", **created(DAY / 2))
    with pytest.raises(TooYoung):
        layout.tag(":stage", "prod", require=Requirements(None, DAY, ("created",), "stage"))


def test_a_record_that_is_old_enough_is_all_that_is_asked(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact itself tells no age."""
    layout.publish("next", "next")
    with monkeypatch.context() as patched:
        then = time.time() - 2 * DAY
        patched.setattr(time, "time", lambda: then)
        layout.tag(":next", "stage", record=RecordOptions(who="alice"))
    result = layout.tag(":next", "prod", require=Requirements(None, DAY, ("created",), "stage"))
    assert result["changed"] and not result["warnings"]
    with pytest.raises(NotSoaked):
        layout.tag(":next", "canary", require=Requirements(None, 3 * DAY, ("created",), "stage"))


def test_a_record_names_account_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}
    for name in (*github, "CI_JOB_URL", "BUILD_URL", "BUILD_BUILDURI", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    filled = RecordOptions().checked()
    assert filled.run == "" and "@" in filled.who
    monkeypatch.setenv("JOB_ID", "42")
    assert RecordOptions(who="alice").checked() == RecordOptions("alice", "42")
    for name, value in github.items():
        monkeypatch.setenv(name, value)
    assert RecordOptions().checked().run == "https://github.com/o/r/actions/runs/7"
    assert RecordOptions(run="mine").checked().run == "mine"
    with pytest.raises(InvalidOption):
        RecordOptions(who="x" * 1001).checked()


def test_downgrade(layout: Layout) -> None:
    layout.publish("one", "1.0.0")
    layout.publish("two", "prod", "2.0.0-rc.1")
    layout.publish("three", "next", **{media.ANNOTATION_VERSION: "3.0.0"})
    layout.publish("none", "nameless")
    never = Requirements(never_downgrade=True)
    for ref in (":1.0.0", ":nameless"):
        with pytest.raises(DowngradeDenied):
            layout.tag(ref, "prod", require=never)
    layout.publish("also none", "unnamed")
    with pytest.raises(DowngradeDenied, match="neither says its version"):
        layout.tag(":nameless", "new-channel", "unnamed", require=never)
    assert layout.tag(":nameless", "new-channel", require=never)["changed"]
    assert layout.tag(":next", "prod", require=never)["changed"]
    with pytest.raises(DowngradeDenied, match=r"2\.0\.0-rc\.1 is older than 3\.0\.0"):
        layout.tag(":2.0.0-rc.1", "prod", require=never)
    for name, age in (("january", 40), ("february", 10)):
        layout.publish(name, name, **created(age * DAY))
    assert layout.tag(":january", "dated")["changed"] and layout.tag(":february", "dated", require=never)["changed"]
    with pytest.raises(DowngradeDenied):
        layout.tag(":january", "dated", require=never)
    assert layout.tag(":1.0.0", "prod")["changed"]


def test_a_removed_tag_leaves_what_it_named(layout: Layout) -> None:
    digest = layout.publish("x", "old", "older", "kept")
    removed = layout.tag("", "old", "absent", state="absent", record=RecordOptions())
    assert removed["tags"] == {"old": "removed", "absent": "unchanged"} and removed["before"]["old"] == digest
    assert layout.repository.list_tags() == ["kept", "older"] and layout.at("kept") == digest
    assert len(layout.repository.list_referrers(digest, ARTIFACT_TYPE)) == 1
    assert layout.tag(":older", state="absent")["reason"] == "TagsRemoved"
    assert not layout.tag(":older", state="absent")["changed"]
    assert layout.tag("", "kept", state="absent")["changed"] and layout.at(digest) == digest
    for ref, tags in (("", ()), (":a", ("b",)), (f"@{digest}", ("b",))):
        with pytest.raises(InvalidOption):
            layout.tag(ref, *tags, state="absent")
    with pytest.raises(InvalidOption, match="'require'"):
        layout.tag("", "older", state="absent", require=Requirements(never_downgrade=True))


CLOSED = {"window": "Mon 01:00-01:01"}


def refusal(layout: Layout, rule: dict[str, Any], ref: str, *tags: str, **options: Any) -> str:
    """The reason of a refusal, in check mode and without it; empty when the task may be done."""
    policy = rules_of([{"match": layout.name, **rule}, {"match": "*"}])
    reasons = []
    for check_mode in (True, False):
        try:
            layout.tag(ref, *tags, check_mode=check_mode, policy=policy, force=True, **options)
            reasons.append("")
        except OciError as exc:
            reasons.append(exc.reason)
            assert exc.details["refused_by"]["match"] == layout.name
    assert reasons[0] == reasons[1]
    return reasons[0]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"deny_tags": ["prod"]}, "TagDenied"),
        ({"deny_tags": ["stage"]}, "TagDenied"),
        ({"deny_digests": ["{new}"]}, "DigestDenied"),
        ({"deny_digests": ["{layer}"]}, "DigestDenied"),
        ({"immutable_tags": ["prod"]}, "TagImmutable"),
        ({"never_downgrade": True}, "DowngradeDenied"),
        ({"min_age": "1h"}, "TooYoung"),
        ({"min_age": "1h", "age_from": ["signature"]}, "AgeUnknown"),
        (CLOSED, "OutsideWindow"),
        ({"deny_tags": ["other"], "min_age": "1h", "age_from": ["created"]}, ""),
    ],
)
def test_a_policy_is_checked_before_anything_moves(layout: Layout, rule: dict[str, Any], reason: str) -> None:
    layer = source_of(b"layer")
    layout.repository.push_blob(layer)
    newest = {media.ANNOTATION_VERSION: "2.0.0"}
    old = layout.publish("old", "prod", "canary", **newest)
    annotations = {media.ANNOTATION_VERSION: "1.0.0", **created(DAY)}
    made = manifest_of(layers=[layer.descriptor.as_json()], annotations=annotations)
    layout.repository.push_manifest(made, "stage")
    texts = {"{new}": made.descriptor.digest, "{layer}": layer.descriptor.digest}
    if "deny_digests" in rule:
        rule = {"deny_digests": [texts[each] for each in rule["deny_digests"]]}
    found = refusal(layout, rule, ":stage", "fresh", "prod")
    assert found == reason
    assert layout.at("prod") == (made.descriptor.digest if not reason else old)
    assert ("fresh" in layout.repository.list_tags()) == (not reason)


def test_a_policy_looks_into_an_index(layout: Layout) -> None:
    part = manifest_of(annotations={"text": "part"})
    layout.repository.push_manifest(part)
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [part.descriptor.as_json()]}
    layout.repository.push_manifest(parse_manifest(canonical_json(document), media.OCI_INDEX, "The index"), "stage")
    assert part.config is not None
    for digest in (part.descriptor.digest, part.config.digest):
        assert refusal(layout, {"deny_digests": [digest]}, ":stage", "prod") == "DigestDenied"


def test_a_policy_looks_at_platforms_that_are_not_there(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their digests are denied as well; the others keep nothing from being moved."""
    parts = [manifest_of(annotations={"text": each}) for each in ("first", "second")]
    for each in parts:
        layout.repository.push_manifest(each)
    listed = [each.descriptor.as_json() for each in parts]
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}
    layout.repository.push_manifest(parse_manifest(canonical_json(document), media.OCI_INDEX, "The index"), "stage")
    Path(layout.repository.store.path(parts[0].descriptor.digest)).unlink()
    assert refusal(layout, {"deny_digests": [parts[0].descriptor.digest]}, ":stage", "prod") == "DigestDenied"
    other = {"deny_digests": ["sha256:" + "0" * 64]}
    with monkeypatch.context() as patched:
        patched.setattr(conditions, "MAX_PARTS", 1)
        with pytest.raises(InvalidContent, match="2 parts"):
            layout.tag(":stage", "prod", policy=rules_of([{"match": layout.name, **other}]))
    assert refusal(layout, other, ":stage", "prod") == ""


def test_what_is_in_place_needs_no_leave_and_what_is_denied_may_go(layout: Layout) -> None:
    layout.publish("x", "prod", "1.0.0", "canary")
    assert refusal(layout, {**CLOSED, "min_age": "1h", "immutable_tags": True}, ":prod", "canary") == ""
    assert refusal(layout, {"deny_tags": ["prod"]}, ":canary", "prod") == "TagDenied"
    assert refusal(layout, {"deny_digests": [layout.at("prod")]}, ":canary", "prod") == "DigestDenied"
    assert refusal(layout, CLOSED, "", "canary", state="absent") == "OutsideWindow"
    assert refusal(layout, {"immutable_tags": True}, "", "1.0.0", state="absent") == "TagImmutable"
    assert layout.repository.list_tags() == ["1.0.0", "canary", "prod"]
    assert refusal(layout, {"deny_tags": ["prod", "canary"]}, ":canary", state="absent") == ""
    assert layout.repository.list_tags() == ["1.0.0", "prod"]


def test_what_a_task_requires_adds_to_its_policy(layout: Layout) -> None:
    """Each by itself: an age that the task wants longer, and one that the policy does."""
    layout.publish("x", "stage", **created(3600))
    policy = {"min_age": "1s", "age_from": ["created"]}
    loose = Requirements(min_age=1, age_from=("created",))
    assert refusal(layout, {**policy, "min_age": "2h"}, ":stage", "prod", require=loose) == "TooYoung"
    with pytest.raises(TooYoung, match="'require'"):
        layout.tag(
            ":stage",
            "prod",
            policy=rules_of([{"match": layout.name, **policy}]),
            require=Requirements(min_age=7200, age_from=("created",)),
        )
    layout.publish("newer", "canary", **{media.ANNOTATION_VERSION: "2.0.0"})
    layout.publish("older", "older", **{media.ANNOTATION_VERSION: "1.0.0", **created(3600)})
    assert refusal(layout, {"never_downgrade": True}, ":older", "canary", require=loose) == "DowngradeDenied"
    assert refusal(layout, policy, ":stage", "prod", require=loose) == ""


def test_what_is_required_is_checked_before_anything_is_asked(layout: Layout) -> None:
    with pytest.raises(InvalidReference, match="'-stage' is not a tag"):
        layout.tag(":nothing", "prod", require=Requirements(soaked_in="-stage"))
    require = Requirements(verify=parse_policy({"public_keys": ["/nowhere/release.pub"]}))
    with pytest.raises(OciError, match="/nowhere/release.pub"):
        layout.tag(":nothing", "prod", require=require)


def test_signatures_satisfy_the_policy_and_the_task(layout: Layout) -> None:
    digest = layout.publish("x", "stage")
    sign(SignOptions(ReferenceOptions(ref=f"{layout.name}:stage"), SigningOptions(str(KEYS / "ed25519.raw.pem"))))
    signed, foreign = ({"public_keys": [str(KEYS / name)]} for name in ("ed25519.pub", "p384.pub"))
    for rule, own in ((foreign, None), (signed, foreign), (foreign, signed)):
        require = Requirements(verify=parse_policy(own) if own else None)
        with pytest.raises(VerificationFailed):
            layout.tag(":stage", "prod", policy=rules_of([{"match": "*", "verify": rule}]), require=require)
    assert "prod" not in layout.repository.list_tags()
    policy = rules_of([{"match": "*", "verify": signed}])
    done = layout.tag(":stage", "prod", policy=policy, require=Requirements(verify=parse_policy(signed)))
    assert done["verification"]["verified"] and layout.at("prod") == digest


# a registry


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def manifests(server: FaultServer) -> tuple[str, str, str]:
    server.add_blob(b"{}")
    raws = [manifest_of(annotations={"text": each}).raw for each in ("old", "new", "other")]
    old, new, other = (server.add_manifest(raw) for raw in raws)
    server.tags.update(prod=old, stage=new)
    return old, new, other


def move(server: FaultServer, *tags: str, ref: str = ":stage", **options: Any) -> dict[str, Any]:
    given = TagOptions(
        ReferenceOptions(ref=f"{server.host}/org/app{ref}"),
        tags,
        connection=ConnectionOptions(insecure=True, timeout=60, retries=0),
        auth=AuthOptions(auth_config={"auths": {}}),
        **options,
    )
    return tag(given)


def moving(server: FaultServer, digest: str) -> Callable[[Any], Answer | None]:
    """What answers as the registry would, after somebody else has moved prod."""

    def script(seen: Any) -> Answer | None:
        server.tags["prod"] = digest
        return None

    return script


def test_the_race_for_a_tag(fault_server: FaultServer) -> None:
    """Between the look and the write; on the way of the write, where the registry honours conditions; after it."""
    old, new, other = manifests(fault_server)
    # the first HEAD is the look of the task, the second the one before the write
    fault_server.script("HEAD", "/manifests/prod", lambda seen: None, moving(fault_server, other))
    with pytest.raises(TagMoved, match="meantime"):
        move(fault_server, "prod")
    assert not fault_server.requests("PUT") and fault_server.tags["prod"] == other

    fault_server.tags["prod"] = old
    headers = {"ETag": '"one"', "Docker-Content-Digest": old, "Content-Length": "9", "Content-Type": media.OCI_MANIFEST}
    fault_server.script("HEAD", "/manifests/prod", lambda seen: None, Answer(200, headers))

    def refusing(seen: Any) -> Answer:
        assert seen.headers["If-Match"] == '"one"'
        fault_server.tags["prod"] = other
        return Answer(412)

    fault_server.script("PUT", "/manifests/prod", refusing)
    with pytest.raises(TagMoved, match="meantime"):
        move(fault_server, "prod")
    assert fault_server.tags["prod"] == other

    # a gateway that makes up ETags: the tag is where it was, and is moved without a condition
    fault_server.tags["prod"] = old
    fault_server.script("HEAD", "/manifests/prod", lambda seen: None, Answer(200, headers))
    fault_server.script("PUT", "/manifests/prod", Answer(412))
    assert move(fault_server, "prod")["changed"] and fault_server.tags["prod"] == new
    assert "If-Match" not in fault_server.requests("PUT", "prod")[-1].headers

    # somebody else right after
    fault_server.tags["prod"] = old
    fault_server.script("HEAD", "/manifests/prod", *[lambda seen: None] * 2, moving(fault_server, other))
    with pytest.raises(TagMoved, match="meantime"):
        move(fault_server, "prod")


@pytest.mark.parametrize("status", [401, 403, 405, 501, 503])
def test_a_gateway_that_refuses_to_answer_head(fault_server: FaultServer, status: int) -> None:
    _old, new, _other = manifests(fault_server)
    fault_server.always("HEAD", "", lambda _seen: Answer(status))
    assert move(fault_server, "prod", "fresh")["tags"] == {"prod": "moved", "fresh": "created"}
    assert (fault_server.tags["prod"], fault_server.tags["fresh"]) == (new, new)


@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_a_registry_that_refuses_each_tag_that_is_not_there(fault_server: FaultServer, status: int) -> None:
    _old, new, _other = manifests(fault_server)

    def missing(seen: Any) -> Answer | None:
        return None if seen.method == "PUT" or "fresh" in fault_server.tags else Answer(status)

    fault_server.always("", "/manifests/fresh", missing)
    assert move(fault_server, "fresh")["changed"] and fault_server.tags["fresh"] == new


def test_an_unchanged_tag_takes_a_request_each_and_a_new_one_is_not_replaced(fault_server: FaultServer) -> None:
    manifests(fault_server)
    fault_server.tags["prod"] = fault_server.tags["stage"]
    assert not move(fault_server, "prod")["changed"]
    assert [seen.method for seen in fault_server.requests()] == ["HEAD", "HEAD"]
    assert move(fault_server, "fresh")["tags"] == {"fresh": "created"}
    assert fault_server.requests("PUT")[-1].headers["If-None-Match"] == "*"


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_registry_that_removes_no_tag_keeps_all(fault_server: FaultServer, status: int) -> None:
    """The digest is never deleted in place of the tag: its other tags would go with it."""
    old, _new, _other = manifests(fault_server)
    fault_server.always("DELETE", "", Answer(status))
    with pytest.raises(DeletionRefused) as refused:
        move(fault_server, "prod", ref="", state="absent")
    assert not refused.value.retryable and fault_server.tags["prod"] == old
    assert [seen.path.rpartition("/")[2] for seen in fault_server.requests("DELETE")] == ["prod"]
    # a yes that is none
    fault_server.always("DELETE", "", Answer(202))
    with pytest.raises(OciError, match="still there"):
        move(fault_server, "prod", ref="", state="absent")


def test_a_failure_says_what_was_written_before(fault_server: FaultServer) -> None:
    _old, new, _other = manifests(fault_server)
    fault_server.always("PUT", "/manifests/second", Answer(500))
    with pytest.raises(OciError) as failed:
        move(fault_server, "prod", "second")
    assert failed.value.details["tags"] == {"prod": "moved"} and fault_server.tags["prod"] == new
