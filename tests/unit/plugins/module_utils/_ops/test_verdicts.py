# Copyright: (c) 2026, the cloudnative.artifacts authors
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

from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.errors import OciError, VerificationFailed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.layout import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops import verdicts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import Resolved
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verdicts import (
    REMEMBERED_SECONDS,
    Finding,
    Verdicts,
    policy_fingerprint,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import parse_policy

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
    lab.find()
    monkeypatch.setattr(time, "time", lambda: now + REMEMBERED_SECONDS - 5)
    assert lab.find().is_remembered
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    assert not lab.find().is_remembered


def test_no_longer_than_what_it_rests_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.verify import PolicyVerifier

    now, verify = time.time(), PolicyVerifier.verify
    monkeypatch.setattr(
        PolicyVerifier, "verify", lambda *arguments: replace(verify(*arguments), valid_until=now + 60)
    )
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
