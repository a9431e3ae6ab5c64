# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was answered a short time ago is not asked again, unless something else is asked for or has to be done."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._ansible.specs import rules_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import LastGood
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.many import pull_many
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.provide import Request, provide
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import (
    RollbackOptions,
    rollback,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import publish

TEN_MINUTES = 600.0


class Asked(Lab):
    """A lab that counts how often its repository is asked what a reference stands for."""

    count = 0

    def often(self, tag: str = "1", **options: Any) -> PullResult:
        return self.pull(tag, **{"interval": TEN_MINUTES, **options})

    def asks(self, tag: str = "1", **options: Any) -> bool:
        """Pull; return whether the repository was asked."""
        before = self.count
        self.often(tag, **options)
        return self.count > before

    def move(self, text: str) -> None:
        """Publish something else under the tag 1."""
        index = self.layout / "index.json"
        entries = [
            each for each in json.loads(index.read_text())["manifests"] if "1" not in each["annotations"].values()
        ]
        index.write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
        publish(self.layout, "1", {"a": text})

    def age(self, seconds: float) -> None:
        """Let the last answer be that old."""
        note = self.dest / ".oci-artifact/confirmed"
        fingerprint, _moment, terms = note.read_text().split()
        note.write_text(f"{fingerprint} {int(time.time() - seconds):020d} {terms}\n")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    made, resolve = Asked(tmp_path), Task.resolve

    def counted(task: Task, repository: Any, target: Any, *options: Any) -> Any:
        made.count += target.known is None
        return resolve(task, repository, target, *options)

    monkeypatch.setattr(Task, "resolve", counted)
    return made


def test_the_registry_is_asked_once_in_the_time(lab: Asked) -> None:
    first = lab.often()
    assert (first.changed, lab.count) == (True, 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.as_result()["confirmed_at"])
    lab.age(599 - 2)
    lab.layout.rename(lab.layout.with_name("off"))
    again = lab.often()
    assert (again.changed, again.reason, again.served_by, lab.count) == (False, "ArtifactUpToDate", [], 1)
    assert again.artifact == first.artifact and again.as_result()["confirmed_at"] != first.confirmed_at
    lab.layout.with_name("off").rename(lab.layout)
    # a task without it asks, and says nothing of it
    assert "confirmed_at" not in lab.pull().as_result() and lab.count == 2
    # its time is over, or is one that a clock was set back from
    for seconds in (600, -60):
        lab.age(seconds)
        assert lab.asks() and not lab.asks()


def test_an_answer_of_a_run_that_changed_nothing_counts_as_well(lab: Asked) -> None:
    lab.pull()
    assert lab.asks() and not lab.asks()
    # a tag that moves meanwhile is seen when the time is over
    lab.move("moved")
    assert not lab.asks() and (lab.dest / "a").read_text() == "one"
    lab.age(601)
    assert lab.often().reason == "NewRevision" and (lab.dest / "a").read_text() == "moved"


@pytest.mark.parametrize(
    "options",
    [
        {"force": True},
        {"requested_at": "now"},
        {"tag": "2"},
        {"operation": "copy", "dest": "copied"},
        {"layers": "all"},
        {"platform": "linux/arm64"},
        {"ignore": "dir"},
        {"keep": 2},
        {"policy": {"never_downgrade": True}},
        {"filter_tags": {"pattern": "^1$", "policy": {"alphabetical": {"order": "asc"}}}},
    ],
    ids=["force", "token", "tag", "operation", "layers", "platform", "ignore", "keep", "policy", "selection"],
)
def test_whoever_wants_something_else_asks(lab: Asked, options: dict[str, Any], tmp_path: Path) -> None:
    lab.often()
    assert not lab.asks()
    given = dict(options)
    if "policy" in given:
        given["policy"] = rules_of([{"match": f"oci-layout:{lab.layout}", **given["policy"]}])
    if "dest" in given:
        given["dest"] = str(tmp_path / given["dest"])
    if "filter_tags" in given:
        given["reference"] = {"ref": f"oci-layout:{lab.layout}", "filter_tags": given.pop("filter_tags")}
    assert lab.asks(**given)
    # and once that was answered, nobody asks again
    if "force" not in given:
        assert not lab.asks(**given)


def test_a_changed_policy_is_another_and_denies_at_once(lab: Asked) -> None:
    def rules(**rule: Any) -> Any:
        return rules_of([{"match": f"oci-layout:{lab.layout}", **rule}])

    lab.often(policy=rules())
    assert not lab.asks(policy=rules())
    assert lab.asks(policy=rules(window="Mon 01:00-01:01")) and not lab.asks(policy=rules(window="Mon 01:00-01:01"))
    with pytest.raises(OciError) as caught:
        lab.often(policy=rules(deny_digests=[lab.digest()]))
    assert caught.value.reason == "DigestDenied"


def test_what_has_to_be_set_right_takes_the_registry(lab: Asked) -> None:
    lab.often()
    (lab.dest / "a").unlink()
    assert lab.often().reason == "DriftCorrected" and lab.count == 2
    # files are compared as ever
    (lab.dest / "a").write_text("eno")
    assert lab.often(check_content=True).reason == "DriftCorrected"
    shutil.rmtree(lab.dest)
    assert lab.often().reason == "NewRevision"


def test_check_mode_decides_alike_and_notes_nothing(lab: Asked) -> None:
    lab.pull()
    for _turn in range(2):
        assert lab.asks(check_mode=True)
    assert not (lab.dest / ".oci-artifact/confirmed").exists()
    lab.often()
    before = (lab.dest / ".oci-artifact/confirmed").read_bytes()
    lab.move("moved")
    assert not lab.asks(check_mode=True)
    assert lab.pull(check_mode=True).reason == "NewRevision"
    assert (lab.dest / ".oci-artifact/confirmed").read_bytes() == before


def test_only_an_answer_of_the_registry_counts(lab: Asked) -> None:
    # a pin, as of a lock file: on_registry_error takes it for confirmed, and nobody was asked
    lab.often(reference={"pin": f"1@{lab.digest()}"}, last_good=LastGood())
    assert lab.count == 0 and lab.asks() and not lab.asks()
    # the one note serves both
    lab.layout.rename(lab.layout.with_name("off"))
    assert lab.often(last_good=LastGood(max_age=60)).reason == "ArtifactUpToDate"
    lab.age(601)
    with pytest.raises(OciError):
        lab.often()


def test_a_tag_that_has_moved_is_said_each_time(lab: Asked) -> None:
    pinned = {"ref": f"oci-layout:{lab.layout}:1@{lab.digest()}", "tag_moved": "warn"}
    lab.often(reference=pinned)
    lab.move("moved")
    # within the time nobody looks
    assert lab.often(reference=pinned).warnings == []
    lab.age(601)
    for _turn in range(2):
        assert "names sha256:" in lab.often(reference=pinned).warnings[0]


def test_what_is_held_back_is_not_asked_for_either(lab: Asked) -> None:
    lab.pull("1", keep=2)
    lab.move("bad")
    lab.pull("1", keep=2)
    assert rollback(RollbackOptions(str(lab.dest), reason="it fails"))["changed"]
    first = lab.often(keep=2)
    assert (first.reason, lab.count) == ("HeldBack", 3)
    again = lab.often(keep=2)
    assert (again.reason, lab.count) == ("HeldBack", 3) and "it fails" in again.warnings[0]
    assert again.confirmed_at and (lab.dest / "a").read_text() == "one"
    # what is released is pulled at once
    rollback(RollbackOptions(str(lab.dest), state="released"))
    assert lab.often(keep=2).reason == "NewRevision"


def test_each_of_several_artifacts_has_its_own(lab: Asked) -> None:
    entries = [(lab.options(tag, dest=f"{lab.dest}/{tag}", interval=TEN_MINUTES), {"tag": tag}) for tag in "12"]
    lab.dest.mkdir()
    for wanted in (2, 2):
        answer = pull_many(entries, CacheOptions(), 2)
        assert lab.count == wanted and all(each["confirmed_at"] for each in answer["results"])


@pytest.mark.parametrize("caches", [True, False])
def test_the_one_who_provides_for_hosts_notes_it_in_its_cache(lab: Asked, tmp_path: Path, caches: bool) -> None:
    cache = CacheOptions(str(tmp_path / "cache") if caches else "")

    def ask(**options: Any) -> tuple[int, dict[str, Any]]:
        before, file = lab.count, tmp_path / "made"
        given = lab.options(interval=TEN_MINUTES, cache=cache, **options)
        provide([given], Request("fetch", str(file), str(tmp_path / "store")))
        (item,) = json.loads(file.read_text())["items"]
        return lab.count - before, item

    first = ask()
    assert first[0] == 1 and ("confirmed_at" in first[1]) == caches
    again = ask()
    assert again[0] == (not caches) and again[1]["revision"] == first[1]["revision"]
    assert ask(force=True)[0] == ask(requested_at="now")[0] == 1
