# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of verifications: of which digest, policy and repository, and for how long."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.notes import CacheNotes
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    AccessDenied,
    InvalidPolicy,
    NotFound,
    OciError,
    VerificationFailed,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import verdicts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import Resolved
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verdicts import (
    REMEMBERED_SECONDS,
    Finding,
    Verdicts,
    policy_fingerprint,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.policy import VerifyPolicy, parse_policy

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
KEY_A, KEY_B = (VECTORS / f"keys/key-{name}.pub" for name in "ab")


class Lab:
    """A signed artifact in a layout, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.root = folder / "layout", folder / "cache"
        shutil.copytree(VECTORS / "layouts/chart-legacy-a", self.layout)
        index = json.loads((self.layout / "index.json").read_text())
        entries = [each for each in index["manifests"] if ".sig" not in json.dumps(each.get("annotations", {}))]
        self.digest = str(entries[0]["digest"])
        self.cache = ArtifactCache(str(self.root))

    def find(self, key: Path = KEY_A, layout: Path | None = None, **options: Any) -> Finding:
        """Ask as a new task would."""
        policy = parse_policy({"public_keys": [str(key)], **options.pop("policy", {})})
        repository = LayoutRepository(Reference(layout=str(layout or self.layout)))
        resolved = Resolved(self.digest, "", None)
        cache = options.pop("cache", self.cache)
        return Verdicts().find(repository, resolved, policy, policy_fingerprint(policy), cache, **options)

    def forget_signatures(self) -> None:
        (self.layout / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')

    @property
    def note(self) -> Path:
        return Path(self.root, "notes", str(os.geteuid()), *self.digest.split(":")).with_suffix(".json")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_verdict_is_remembered(lab: Lab) -> None:
    first = lab.find()
    assert first.verification["verified"] is True and not first.is_remembered
    lab.forget_signatures()
    again = lab.find()
    assert again.is_remembered and again.verification == first.verification
    assert list(lab.note.parent.iterdir()) == [lab.note], "no lock is left"
    for options in ({"anew": True}, {"cache": None}, {"key": KEY_B}, {"policy": {"curve_hash": True}}):
        with pytest.raises(OciError):
            lab.find(**options)
    # of another repository, for which a trust policy may have another statement
    with pytest.raises(OciError):
        lab.find(layout=lab.layout.parent / "elsewhere")


def test_a_failure_is_not_remembered(lab: Lab) -> None:
    with pytest.raises(VerificationFailed):
        lab.find(KEY_B)
    assert not lab.note.exists()


def test_a_digest_that_is_not_there_is_missing_and_not_unsigned(lab: Lab) -> None:
    lab.digest = f"sha256:{'0' * 64}"
    with pytest.raises(NotFound):
        lab.find()


def test_where_its_presence_is_not_known_it_is_unsigned(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: object, _digest: str) -> None:
        raise AccessDenied("HEAD was answered with status 403.")

    monkeypatch.setattr(LayoutRepository, "resolve", refuse)
    with pytest.raises(VerificationFailed):
        lab.find(KEY_B)


def test_a_key_that_is_replaced_is_another_policy(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    shutil.copy(KEY_A, key)
    lab.find(key)
    assert lab.find(key).is_remembered
    shutil.copy(KEY_B, key)
    with pytest.raises(VerificationFailed):
        lab.find(key)


def test_a_cache_that_is_only_read(lab: Lab) -> None:
    reader = ArtifactCache(str(lab.root), read_only=True)
    lab.find(cache=reader)
    assert not lab.root.exists()
    lab.find()
    assert lab.find(cache=reader).is_remembered


@pytest.mark.parametrize("seconds", [REMEMBERED_SECONDS + 1, -60])
def test_how_long(lab: Lab, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    lab.find()
    monkeypatch.setattr(time, "time", lambda: now + REMEMBERED_SECONDS - 5)
    assert lab.find().is_remembered
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    assert not lab.find().is_remembered


def test_no_longer_than_what_it_rests_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._trust.verifier import PolicyVerifier

    now, verify = time.time(), PolicyVerifier.verify
    monkeypatch.setattr(PolicyVerifier, "verify", lambda *arguments: replace(verify(*arguments), valid_until=now + 60))
    lab.find()
    assert lab.find().is_remembered
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert not lab.find().is_remembered


def test_rules_that_changed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.find()
    monkeypatch.setattr(verdicts, "RULES", verdicts.RULES + 1)
    assert not lab.find().is_remembered


@pytest.mark.parametrize("loosen", ["note", "digests", "user"])
def test_what_others_may_have_put_there(lab: Lab, loosen: str) -> None:
    lab.find()
    place = {"note": lab.note, "digests": lab.note.parent, "user": lab.note.parent.parent}[loosen]
    place.chmod(0o777)
    assert not lab.find().is_remembered


def test_in_a_cache_of_many_users(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o2777)
    lab = Lab(tmp_path)
    lab.find()
    assert lab.find().is_remembered
    assert [folder.stat().st_mode & 0o777 for folder in (lab.note.parent, lab.note.parent.parent)] == [0o700] * 2


@pytest.mark.parametrize("entry", [None, [], {}, {"verdict": {"verified": True}}, {"since": "x"}, "text"])
def test_notes_that_are_damaged(lab: Lab, entry: Any) -> None:
    lab.find()
    document = json.loads(lab.note.read_text())
    (name,) = document["verdicts"]
    document["verdicts"] = {name: entry}
    lab.note.write_text(json.dumps(document))
    assert not lab.find().is_remembered
    assert lab.find().is_remembered


def test_several_policies(lab: Lab) -> None:
    policies: Sequence[dict[str, Any]] = ({}, {"curve_hash": True})
    for policy in policies:
        lab.find(policy=policy)
    assert all(lab.find(policy=policy).is_remembered for policy in policies)


def test_a_note_of_a_failure_is_no_verdict(lab: Lab) -> None:
    lab.find()
    document = json.loads(lab.note.read_text())
    for value in (False, None, "yes", 1):
        for entry in document["verdicts"].values():
            entry["verdict"]["verified"] = value
        lab.note.write_text(json.dumps(document))
        assert not lab.find().is_remembered


def test_from_when_until_when(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    lab.find()
    assert lab.find().is_remembered
    monkeypatch.setattr(time, "time", lambda: now + REMEMBERED_SECONDS)
    assert not lab.find().is_remembered


def test_what_is_out_of_date_does_not_pile_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    lab.find()
    lab.find(policy={"curve_hash": True})
    assert len(json.loads(lab.note.read_text())["verdicts"]) == 2
    monkeypatch.setattr(time, "time", lambda: now + REMEMBERED_SECONDS + 60)
    lab.find()
    assert len(json.loads(lab.note.read_text())["verdicts"]) == 1


def test_an_ignored_failure_is_not_remembered(lab: Lab) -> None:
    statement = {"name": "all", "registryScopes": ["*"], "signatureVerification": {"level": "skip"}}
    policy = parse_policy({"provider": "notation", "trust_policy": {"version": "1.0", "trustPolicies": [statement]}})
    repository, resolved = LayoutRepository(Reference(layout=str(lab.layout))), Resolved(lab.digest, "", None)
    found = Verdicts()
    for _time in range(2):
        finding = found.find(repository, resolved, policy, policy_fingerprint(policy), lab.cache)
        assert finding.verification["verified"] is False and not finding.is_remembered
    assert not lab.note.exists()
    assert not found._found


def test_within_a_task_nothing_is_looked_at_twice(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    shutil.copy(KEY_A, key)
    policy = parse_policy({"public_keys": [str(key)]})
    fingerprint = policy_fingerprint(policy)
    repository, resolved = LayoutRepository(Reference(layout=str(lab.layout))), Resolved(lab.digest, "", None)
    found = Verdicts()
    found.check(policy, fingerprint)
    key.unlink()
    first = found.find(repository, resolved, policy, fingerprint)
    lab.forget_signatures()
    again = found.find(repository, resolved, policy, fingerprint)
    assert again.verification == first.verification and not again.is_remembered
    # of another digest nothing is known
    with pytest.raises(OciError):
        found.find(repository, Resolved("sha256:" + "0" * 64, "", None), policy, fingerprint)


def test_a_policy_is_checked_before_anything_is_asked() -> None:
    policy = parse_policy({"public_keys": ["/nowhere.pub"]})
    with pytest.raises(InvalidPolicy, match="nowhere"):
        Verdicts().check(policy, policy_fingerprint(policy))


def test_a_key_that_is_replaced_while_signatures_are_checked(lab: Lab, tmp_path: Path) -> None:
    """What the new key finds must not count for the policy with the old one."""
    key = tmp_path / "key.pub"
    shutil.copy(KEY_B, key)
    policy = parse_policy({"public_keys": [str(key)]})
    fingerprint = policy_fingerprint(policy)
    shutil.copy(KEY_A, key)
    repository, resolved = LayoutRepository(Reference(layout=str(lab.layout))), Resolved(lab.digest, "", None)
    assert Verdicts().find(repository, resolved, policy, fingerprint, lab.cache).verification["verified"] is True
    shutil.copy(KEY_B, key)
    with pytest.raises(VerificationFailed):
        lab.find(key)


def test_other_tasks_wait_for_who_verifies_a_digest(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    waited_for: list[str] = []
    alone = CacheNotes.alone

    def noted(notes: CacheNotes, digest: str) -> Any:
        waited_for.append(digest)
        return alone(notes, digest)

    monkeypatch.setattr(CacheNotes, "alone", noted)
    lab.find()
    assert waited_for == [lab.digest]


def test_every_file_of_a_policy_is_part_of_its_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("one.crt", "two.crt", "three.crt", "key.pub", "root.json", "ca.pem")
    policies = [
        VerifyPolicy(
            "notation", trust_policy={}, trust_store={"ca:x": ["~/one.crt"], "ca:y": ["~/two.crt", "~/three.crt"]}
        ),
        VerifyPolicy(public_keys=["~/key.pub"], trusted_root=str(tmp_path / "root.json"), ca_roots=["~/ca.pem"]),
    ]
    seen: set[str] = set()
    for name in ("", *names):
        if name:
            (tmp_path / name).write_text(name)
        seen.update(policy_fingerprint(policy) for policy in policies)
    assert len(seen) == 2 + len(names)
    assert policy_fingerprint(replace(policies[1], min_signers=2)) not in seen
