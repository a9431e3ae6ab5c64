# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rule of a policy is for a repository, and what its rules refuse."""

from __future__ import annotations

import calendar
import dataclasses
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError, StorageError, TagImmutable
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.refusals import (
    AgeUnknown,
    ChangePending,
    DigestDenied,
    DowngradeDenied,
    OutsideWindow,
    PolicyInvalid,
    TagDenied,
    TooYoung,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.rules import (
    Artifact,
    Policy,
    Rules,
    rules_for,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.seen import Seen

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
REFERENCE = parse_reference("registry.example.com/org/app")
MADE, VERSION, REVISION = (f"org.opencontainers.image.{name}" for name in ("created", "version", "revision"))

EPOCH, JANUARY, FEBRUARY, MARCH = "1970-01-01T00:00:00Z", *(f"2026-0{month}-01T00:00:00Z" for month in (1, 2, 3))

MERGED = """
- &one {match: quay.io, deny_tags: [b]}
- &two {<<: *one, deny_tags: [a], match: registry.example.com}
- {<<: *two, match: ghcr.io}
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("OCI_ARTIFACT_STATE_DIR", str(folder))
    return folder


def read_rules(option: Any) -> Policy:
    policy = rules_of(option)
    assert policy is not None
    return policy


def rules(now: str = "2026-11-25T12:00:00Z", **rule: Any) -> Rules:
    policy = read_rules([{"match": "registry.example.com", **rule}])
    found = rules_for(policy, REFERENCE)
    assert found is not None
    return Rules(found.source, found.rule, found.reference, now=lambda: at(now))


def at(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


@pytest.mark.parametrize(
    ("matches", "name", "wanted"),
    [
        (["ghcr.io", "ghcr.io/org", "*"], "ghcr.io/org/app", "ghcr.io/org"),
        (["ghcr.io", "ghcr.io/org", "*"], "ghcr.io/organ/app", "ghcr.io"),
        (["ghcr.io", "ghcr.io/org", "*"], "quay.io/org/app", "*"),
        (["ghcr.io/org"], "quay.io/org/app", None),
        (["ghcr.io/org/app"], "ghcr.io/org/app", "ghcr.io/org/app"),
        (["ghcr.io/org/app"], "ghcr.io/org/app2", None),
        (["oci://ghcr.io/org/"], "ghcr.io/org/app", "oci://ghcr.io/org/"),
        (["ghcr.io/*/charts", "ghcr.io"], "ghcr.io/org/charts/demo", "ghcr.io/*/charts"),
        (["ghcr.io/*/charts", "ghcr.io"], "ghcr.io/a/b/charts/demo", "ghcr.io"),
        (["ghcr.io/**/charts"], "ghcr.io/a/b/charts/demo", "ghcr.io/**/charts"),
        (["*.example.com"], "eu.example.com/app", "*.example.com"),
        (["*.example.com"], "example.com/app", None),
        (["*.example.com", "eu.example.com"], "eu.example.com/app", "eu.example.com"),
        (["ghcr.io/org/app-?"], "ghcr.io/org/app-1", "ghcr.io/org/app-?"),
        (["ghcr.io/org/*", "ghcr.io/org/app"], "ghcr.io/org/app", "ghcr.io/org/app"),
        (["registry.example.com"], "registry.example.com:443/app", "registry.example.com"),
        (["registry.example.com:443"], "REGISTRY.example.com/app", "registry.example.com:443"),
        (["registry.example.com"], "registry.example.com:5000/app", None),
        (["docker.io"], "index.docker.io/nginx", "docker.io"),
        (["docker.io/nginx"], "docker.io/nginx", "docker.io/nginx"),
        (["docker.io/library/nginx"], "docker.io/nginx", "docker.io/library/nginx"),
        (["docker.io/bitnami"], "docker.io/bitnami/redis", "docker.io/bitnami"),
        (["oci-layout:/srv/oci"], "oci-layout:/srv/oci/app", "oci-layout:/srv/oci"),
        (["oci-layout:/srv/oci"], "oci-layout:/srv/x/../oci", "oci-layout:/srv/oci"),
        (["oci-layout:/srv/oci"], "oci-layout:/srv/oci2", None),
        (["*"], "oci-layout:/srv/oci", "*"),
    ],
)
def test_the_most_specific_match_applies(matches: list[str], name: str, wanted: str | None) -> None:
    policy = read_rules([{"match": match} for match in matches])
    found = rules_for(policy, parse_reference(name))
    assert (found and found.rule.match.text) == wanted


def test_a_layout_has_one_place_whatever_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "oci").mkdir()
    (tmp_path / "link").symlink_to("oci")
    monkeypatch.setenv("HOME", str(tmp_path))
    policy = read_rules([{"match": f"oci-layout:{tmp_path}/oci", "deny_tags": ["a"]}, {"match": "*"}])
    for name in (f"{tmp_path}/oci", f"{tmp_path}/link", f"{tmp_path}/x/../oci/", "~/link", "$HOME/oci"):
        found = rules_for(policy, parse_reference(f"oci-layout:{name}:1.0"))
        assert found is not None and found.rule.match.text != "*", name


def test_two_rules_of_which_neither_is_more_specific_are_refused() -> None:
    policy = read_rules([{"match": "ghcr.io/*/app"}, {"match": "ghcr.io/**/app"}, {"match": "quay.io"}])
    assert rules_for(policy, parse_reference("quay.io/app"))
    policy = read_rules([{"match": "ghcr.io/a*c"}, {"match": "ghcr.io/a?c"}])
    with pytest.raises(PolicyInvalid, match=r"'ghcr.io/a\*c' and 'ghcr.io/a\?c'"):
        rules_for(policy, parse_reference("ghcr.io/abc"))


@pytest.mark.parametrize(
    "policy",
    [
        [{"match": "ghcr.io", "deny_tags": ["a"]}],
        {"match": "ghcr.io", "deny_tags": "a"},
        {"rules": [{"match": "ghcr.io", "deny_tags": ["a"]}]},
        {"ghcr.io": {"deny_tags": ["a"]}, "quay.io": None},
        '[{"match": "ghcr.io", "deny_tags": ["a"]}]',
        "- match: ghcr.io\n  deny_tags: [a]\n",
        MERGED,
    ],
)
def test_the_forms_of_a_policy(policy: Any, tmp_path: Path) -> None:
    found = rules_for(read_rules(policy), parse_reference("ghcr.io/app"))
    assert found is not None
    with pytest.raises(TagDenied) as caught:
        found.check_identity("a")
    assert caught.value.details["refused_by"] == {"policy": "", "match": "ghcr.io", "check": "deny_tags"}
    file = tmp_path / "policy.yml"
    file.write_text(policy if isinstance(policy, str) else json.dumps(policy))
    again = rules_for(read_rules(str(file)), parse_reference("ghcr.io/app"))
    assert again is not None
    assert (again.source, again.rule.match.text, again.rule.deny_tags) == (str(file), "ghcr.io", found.rule.deny_tags)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ([], "has 0 rules"),
        ("", "is empty"),
        (" ", "is empty"),
        (5, "not a list of rules"),
        ([5], "not a list of rules"),
        ({"rules": [], "more": 1}, "'more' beside"),
        ({"ghcr.io": {"match": "quay.io"}}, "a 'match' of its own"),
        ([{}], "has no 'match'"),
        ([{"match": "ghcr.io", "min-age": "1h"}], "unknown key 'min-age'"),
        ([{"match": "ghcr.io"}, {"match": "oci://ghcr.io/"}], "is for the same"),
        ([{"match": "library/nginx"}], "no registry host"),
        ([{"match": "ghcr.io/app:1.0"}], "cannot be used: it has a tag or a digest"),
        ([{"match": "ghcr.io/*:1.0"}], "cannot be used"),
        ([{"match": f"ghcr.io/*@{A}"}], "cannot be used"),
        ([{"match": "ghcr.io", "never_downgrade": "yes"}], "wanted true or false"),
        ([{"match": "ghcr.io", "min_age": "soon"}], "not a duration"),
        ([{"match": "ghcr.io", "min_age": True}], "wanted a duration"),
        ([{"match": "ghcr.io", "min_age": "0d"}], "not a duration"),
        ([{"match": "ghcr.io", "age_from": ["created"]}], "without 'min_age'"),
        ([{"match": "ghcr.io", "min_age": "1h", "age_from": []}], "is empty"),
        ([{"match": "ghcr.io", "min_age": "1h", "age_from": ["created", "created"]}], "twice"),
        ([{"match": "ghcr.io", "min_age": "1h", "age_from": ["pushed"]}], "wanted signature, first_seen, created"),
        ([{"match": "ghcr.io", "deny_digests": ["sha256:1"]}], "sha256"),
        ([{"match": "ghcr.io", "deny_tags": [1.0]}], "not a list"),
        ([{"match": "ghcr.io", "deny_tags": ["*-rc"]}], "does not parse"),
        ([{"match": "ghcr.io", "tag_moved": "shout"}], "wanted ignore, warn, fail"),
        ([{"match": "ghcr.io", "window": "always"}], "not a window"),
        ([{"match": "ghcr.io", "window": []}], "an empty list"),
        ([{"match": "ghcr.io", "verify": None}], "'verify' has no value"),
        ([{"match": "ghcr.io", "window": "Mon 09:00-09:00"}], "never opens"),
        ([{"match": "ghcr.io", "window": "Mon 09:00-10:00 Europe/Bärlin"}], "which there is not"),
        ([{"match": "ghcr.io", "window": "Mon 09:00-10:00 ../etc/passwd"}], "which there is not"),
        ([{"match": "ghcr.io", "verify": {"public_key": "x"}}], "'verify' has the unknown key 'public_key'"),
        ([{"match": "ghcr.io", "verify": {"identities": [{"sub": "x"}]}}], "has the unknown key 'identities.sub'"),
        ([{"match": "ghcr.io", "verify": {"trust_policy": {}, "trust_store": ["x"]}}], "no meaning"),
        ([{"match": "ghcr.io", "verify": "always"}], "not a mapping"),
        ("a: 1\na: 2\n", "the key 'a' twice"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ("- [\n", "neither YAML nor JSON"),
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
        ), "more than 100,000 values"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_used(policy: Any, said: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        read_rules(policy)
    assert said in str(caught.value)
    assert caught.value.reason == "PolicyInvalid"


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.yml"
    file.write_text("- match: ghcr.io\n")
    link = tmp_path / "link.yml"
    link.symlink_to("policy.yml")
    assert read_rules(str(link)).rules[0].match.text == "ghcr.io"

    file.chmod(0o666)
    for path in (file, link):
        with pytest.raises(PolicyInvalid, match="may be written to by everybody"):
            read_rules(str(path))
    file.chmod(0o644)
    os.chmod(tmp_path, stat.S_IMODE(tmp_path.stat().st_mode) | stat.S_IWOTH)
    with pytest.raises(PolicyInvalid, match="may be written to by everybody"):
        read_rules(str(file))
    os.chmod(tmp_path, 0o700)
    with pytest.raises(PolicyInvalid, match="cannot be read on the host"):
        read_rules(str(tmp_path / "none.yml"))
    with pytest.raises(PolicyInvalid):
        read_rules(str(tmp_path))
    file.write_bytes(b"- match: \xff\n")
    with pytest.raises(PolicyInvalid, match="UTF-8"):
        read_rules(str(file))


def test_denied_tags_and_digests() -> None:
    found = rules(deny_tags=["latest", "1.0", "-rc[0-9]*$"], deny_digests=[A])
    for tag in ("latest", "1.0", "2.0.0-rc1"):
        with pytest.raises(TagDenied):
            found.check_identity(tag)
    for tag in ("", "latest-1", "1.0.1", "1x0", "2.0.0"):
        found.check_identity(tag, [B])
    with pytest.raises(DigestDenied, match="rule 'registry.example.com'"):
        found.check_identity("2.0.0", [B, A])


def test_what_has_no_tag_is_denied_by_its_digest_alone() -> None:
    found = rules(deny_tags=[".*", "^$"], deny_digests=[A])
    found.check_identity("", [B])
    with pytest.raises(DigestDenied):
        found.check_identity("", [A])
    assert sorted(found.rule.deny_tags.texts) == [".*", "^$"]


@pytest.mark.parametrize(
    ("rule", "compares", "asks_for_creation"),
    [
        ({}, False, False),
        ({"never_downgrade": True}, True, False),
        ({"min_age": "1h", "age_from": ["first_seen"]}, False, False),
        ({"min_age": "1h", "age_from": ["signature", "created"]}, False, True),
    ],
)
def test_what_has_to_be_found_out_for_a_rule(rule: dict[str, Any], compares: bool, asks_for_creation: bool) -> None:
    found = rules(**rule)
    assert (found.never_downgrade, found.asks_for_creation) == (compares, asks_for_creation)


def test_a_refusal_names_the_file_of_the_policy() -> None:
    found = dataclasses.replace(rules(deny_tags=["a"]), source="/etc/policy.yml")
    with pytest.raises(TagDenied, match="of the policy in /etc/policy.yml, 'deny_tags'") as caught:
        found.check_identity("a")
    assert caught.value.details["refused_by"]["policy"] == "/etc/policy.yml"


def test_only_who_reports_a_change_that_waits_is_told_of_one() -> None:
    found = rules(window={"deny": "00:00-24:00"})
    for may_wait in (True, False):
        with pytest.raises(OutsideWindow) as caught:
            found.check_change(Artifact(B, "1"), may_wait=may_wait)
        assert isinstance(caught.value, ChangePending) == may_wait
    for refused in (
        lambda: found.check_change(Artifact(B, "1")),
        lambda: found.check_write("1", B),
        lambda: found.check_removal("1", B),
    ):
        with pytest.raises(OutsideWindow) as caught:
            refused()
        assert not isinstance(caught.value, ChangePending)


@pytest.mark.parametrize(
    ("new", "old", "is_refused"),
    [
        (Artifact(B, "1.1.0"), Artifact(A, "1.0.0"), False),
        (Artifact(B, "1.0.0"), Artifact(A, "1.1.0"), True),
        (Artifact(B, "1.1.0-rc.1"), Artifact(A, "1.1.0"), True),
        (Artifact(B, "v1.10.0"), Artifact(A, "v1.9.0"), False),
        (Artifact(B, "stable", {VERSION: "1.0.0"}), Artifact(A, "stable", {VERSION: "1.1.0"}), True),
        (Artifact(B, "stable", {VERSION: "1.2.0"}), Artifact(A, "stable", {VERSION: "1.1.0"}), False),
        (Artifact(B, "stable"), Artifact(A, "1.1.0"), True),
        (Artifact(B, "1.1.0"), Artifact(A, "stable"), True),
        (Artifact(B, version="1.0.0"), Artifact(A, version="1.1.0"), True),
        (Artifact(B, "a", {REVISION: "v1.0.0@sha1:b"}), Artifact(A, "a", {REVISION: "v1.1.0@sha1:a"}), True),
        (Artifact(B, "a", {REVISION: "v1.2.0@sha1:b"}), Artifact(A, "a", {REVISION: "v1.1.0@sha1:a"}), False),
        (Artifact(B, "a", {REVISION: "main@sha1:b"}), Artifact(A, "a", {REVISION: "main@sha1:a"}), True),
        (Artifact(B, "a", {MADE: JANUARY}), Artifact(A, "a", {MADE: FEBRUARY}), True),
        (Artifact(B, "a", {MADE: MARCH}), Artifact(A, "a", {MADE: FEBRUARY}), False),
        (Artifact(B, "a", {MADE: EPOCH}), Artifact(A, "a", {MADE: FEBRUARY}), True),
    ],
)  # fmt: skip
def test_never_downgrade(new: Artifact, old: Artifact, is_refused: bool) -> None:
    rules().check_change(new, old)
    if not is_refused:
        rules(never_downgrade=True).check_change(new, old)
        return
    with pytest.raises(DowngradeDenied) as caught:
        rules(never_downgrade=True).check_change(new, old)
    assert not caught.value.retryable
    with pytest.raises(DowngradeDenied):
        rules(never_downgrade=True).check_write(new.tag, B, A, new=new, old=old)


def test_the_first_time_that_a_digest_was_seen_makes_its_age(state: Path) -> None:
    now = "2027-03-01T00:00:00Z"
    new = Artifact(A, "1.0.0", {MADE: EPOCH})
    with pytest.raises(TooYoung) as caught:
        rules(min_age="24h").check_change(new, check_mode=True)
    assert not state.exists()
    assert caught.value.retryable

    with pytest.raises(TooYoung):
        rules(min_age="24h").check_change(new)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    (file,) = state.glob("*.json")
    document = json.loads(file.read_text())
    assert list(document["digests"]) == [A]
    document["digests"][A] = int(at(now)) - 86_399
    file.write_text(json.dumps(document))
    with pytest.raises(TooYoung, match="23h 59min old by the time at which this host saw it first, and has to be 1d "):
        rules(now, min_age="24h").check_change(new)
    document["digests"][A] -= 1
    file.write_text(json.dumps(document))
    rules(now, min_age="24h").check_change(new)
    rules(now, min_age="1d").check_change(new)
    with pytest.raises(TooYoung):
        rules(now, min_age="1w").check_change(new)
    with pytest.raises(TooYoung):
        rules(now, min_age="24h").check_change(Artifact(B, "1.0.0"))

    file.write_text("{")
    with pytest.raises(StorageError, match="cannot be understood"):
        rules(now, min_age="24h").check_change(new)


def test_a_clock_that_was_wrong_does_not_count(state: Path) -> None:
    with pytest.raises(TooYoung):
        rules("2027-03-01T00:00:00Z", min_age="1h").check_change(Artifact(A, "1"))
    with pytest.raises(TooYoung):
        rules("2026-11-25T12:00:00Z", min_age="1h").check_change(Artifact(A, "1"))
    rules("2026-11-25T13:00:00Z", min_age="1h").check_change(Artifact(A, "1"))


def test_what_is_offered_outside_of_a_window_is_seen(state: Path) -> None:
    with pytest.raises(TooYoung):
        rules("2026-11-24T12:00:00Z", min_age="1h", window="Wed 12:00-13:00").check_change(Artifact(A, "1"))
    with pytest.raises(OutsideWindow):
        rules("2026-11-24T13:00:00Z", min_age="1h", window="Wed 12:00-13:00").check_change(Artifact(A, "1"))
    rules("2026-11-25T12:00:00Z", min_age="1h", window="Wed 12:00-13:00").check_change(Artifact(A, "1"))


def test_the_sources_of_an_age_are_tried_in_their_order(state: Path) -> None:
    created = Artifact(A, "1.0.0", {MADE: "2026-11-24T11:00:00Z"})
    signed = ["2026-11-25T11:30:00Z", "2026-11-23T00:00:00.5Z"]
    rules(min_age="24h", age_from=["created"]).check_change(created)
    rules(min_age="24h", age_from=["signature"]).check_change(created, signed_at=signed)
    rules(min_age="24h").check_change(created, signed_at=signed)
    assert not state.exists()
    with pytest.raises(TooYoung, match="signature"):
        rules(min_age="24h", age_from=["signature", "created"]).check_change(created, signed_at=signed[:1])
    rules(min_age="24h", age_from=["signature", "created"]).check_change(created)
    with pytest.raises(AgeUnknown, match="signature"):
        rules(min_age="24h", age_from=["signature"]).check_change(created)
    # what reproducible builds write, and what a publisher says of the future, is no age
    for text in (EPOCH, "1970-01-01T00:00:01Z", "1980-01-01T00:00:01Z", "2026-11-26T00:00:00Z", "yesterday", ""):
        with pytest.raises(AgeUnknown):
            rules(min_age="24h", age_from=["created"]).check_change(Artifact(A, "1", {MADE: text}))


def test_a_protected_tag_never_names_another_digest(state: Path) -> None:
    found = rules(immutable_tags=True)
    found.check_change(Artifact(A, "1.0.0"), check_mode=True)
    assert not state.exists()
    found.check_change(Artifact(A, "1.0.0"))
    found.check_change(Artifact(A, "1.0.0"))
    with pytest.raises(TagImmutable) as caught:
        found.check_change(Artifact(B, "1.0.0"))
    assert caught.value.details["refused_by"]["check"] == "immutable_tags"
    found.check_change(Artifact(B, "stable"))
    found.check_change(Artifact(C, "stable"))
    with pytest.raises(TagImmutable):
        rules(immutable_tags="^stable").check_change(Artifact(C, "stable"), Artifact(B, "stable"))
    with pytest.raises(TagImmutable):
        found.check_write("1.0.0", B, A)
    with pytest.raises(TagImmutable):
        found.check_removal("1.0.0", A)
    found.check_removal("stable", A)
    with pytest.raises(OutsideWindow):
        rules(window="Mon 01:00-01:01").check_removal("stable", A)
    found.check_write("1.0.0", B)
    found.check_write("1.0.0", A, A)
    found.check_write("stable", B, A)


@pytest.mark.parametrize(
    ("window", "now", "is_open"),
    [
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-11-25T08:00:00Z", True),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-11-25T07:59:00Z", False),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-11-25T15:00:00Z", False),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-07-22T07:00:00Z", True),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", "2026-11-27T10:00:00Z", False),
        ("09:00-16:00", "2026-11-28T09:00:00Z", True),
        ("Sat,Sun 22:00-04:00", "2026-11-28T23:00:00Z", True),
        ("Sat,Sun 22:00-04:00", "2026-11-30T03:59:00Z", True),
        ("Sat,Sun 22:00-04:00", "2026-11-28T03:00:00Z", False),
        ("Fri-Mon 10:00-11:00,12:00-13:00 UTC", "2026-11-30T12:30:00Z", True),
        ("Fri-Mon 10:00-11:00,12:00-13:00 UTC", "2026-11-30T11:30:00Z", False),
        ("Tuesday 00:00-24:00 America/New_York", "2026-11-25T04:59:00Z", True),
        ("Tuesday 00:00-24:00 America/New_York", "2026-11-25T05:00:00Z", False),
    ],
)
def test_windows(window: str, now: str, is_open: bool) -> None:
    found = rules(now, window=[window, "Mon 01:00-01:01"])
    if is_open:
        found.check_change(Artifact(A, "1"))
        return
    with pytest.raises(OutsideWindow) as caught:
        found.check_change(Artifact(A, "1"))
    assert window in str(caught.value)
    assert caught.value.retryable


def test_a_host_without_time_zones_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    import zoneinfo

    def nothing(name: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", nothing)
    read_rules([{"match": "*", "window": "Mon 09:00-10:00 UTC"}])
    with pytest.raises(OciError, match="tzdata") as caught:
        read_rules([{"match": "*", "window": "Mon 09:00-10:00 Europe/Berlin"}])
    assert caught.value.reason == "MissingDependency"


def test_what_is_in_place_is_no_older_version_of_itself() -> None:
    found = rules(never_downgrade=True)
    found.check_change(Artifact(A, "stable"), Artifact(A, "stable"))
    with pytest.raises(DowngradeDenied):
        found.check_change(Artifact(B, "stable"), Artifact(A, "stable"))


def test_versions_count_before_times() -> None:
    found = rules(never_downgrade=True)
    rebuilt, newer = Artifact(A, "1.0.0", {MADE: MARCH}), Artifact(B, "1.1.0", {MADE: JANUARY})
    found.check_order(newer, rebuilt)
    with pytest.raises(DowngradeDenied):
        found.check_order(rebuilt, newer)


def test_the_digest_that_a_protected_tag_had_first_counts_whatever_is_in_place() -> None:
    found = rules(immutable_tags=True)
    found.check_change(Artifact(A, "1.0.0"))
    # in place by a pull without the rule
    with pytest.raises(TagImmutable, match=f"named {A} before"):
        found.check_change(Artifact(B, "1.0.0"), Artifact(B, "1.0.0"))
    # what is in place under another tag says nothing about this one
    found.check_change(Artifact(C, "1.1.0"), Artifact(A, "1.0.0"))


@pytest.mark.parametrize("change", [{"format": 2}, {"name": "registry.example.com/other"}, {"digests": 5}])
def test_a_record_of_something_else_satisfies_no_rule(state: Path, change: dict[str, Any]) -> None:
    found = rules(min_age="1h", age_from=["first_seen"])
    Seen(REFERENCE.name).first_seen(A, 0.0)
    found.check_change(Artifact(A, "1.0.0"))
    (file,) = state.glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    for check_mode in (True, False):
        with pytest.raises(StorageError, match="cannot be understood"):
            found.check_change(Artifact(A, "1.0.0"), check_mode=check_mode)


def test_the_record_of_what_was_seen_is_bounded_and_kept_from_others(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "ansible_collections.cloudnative.artifacts.plugins.module_utils._policy.seen.MAX_ENTRIES"
    monkeypatch.setattr(module, 2)
    for digest in (A, B, C):
        Seen("registry.example.com/app").first_seen(digest, 0.0)
    (file,) = state.glob("*.json")
    assert list(json.loads(file.read_text())["digests"]) == [B, C]
    state.chmod(0o777)
    with pytest.raises(StorageError, match="may be written to by everybody"):
        Seen("registry.example.com/app").first_seen(A, 0.0)
