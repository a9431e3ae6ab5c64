# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to kept revisions without their registry, and what pulls do about what is held back and suspended."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from two_users import NOBODY, public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest import workplace
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    ConnectionFailed,
    DigestMismatch,
    InvalidOption,
    OciError,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.placed import placed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import parse_health
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.last_good import LastGood
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.choice import HeldBack, NotKept
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import (
    RollbackOptions,
    rollback,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.task import Task
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_digests import publish


class Host(Lab):
    """A host that has pulled the tags 1, 2 and 3 one after the other, and keeps them. The registry is off then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        publish(self.layout, "3", {"a": "three", "new/c": "c"})
        publish(self.layout, "4", {"a": "four"})
        self.dest.mkdir()
        (self.dest / "foreign").write_text("foreign")
        for tag in "123":
            self.pull(tag, keep=9)

    def off(self) -> None:
        self.layout.rename(self.layout.with_name("off"))

    def on(self) -> None:
        self.layout.with_name("off").rename(self.layout)

    def back(self, *, check_mode: bool = False, want_diff: bool = False, **options: Any) -> dict[str, Any]:
        made = RollbackOptions(**{"dest": str(self.dest), **options})
        return rollback(made, check_mode=check_mode, want_diff=want_diff)

    @property
    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.dest)): path.read_text()
            for path in self.dest.rglob("*")
            if path.is_file() and ".oci-artifact" not in path.parts
        }

    @property
    def kept(self) -> list[Path]:
        return sorted((self.dest / ".oci-artifact/kept").iterdir())


ONE = {"a": "one", "dir/b": "two", "foreign": "foreign"}
TWO = {"a": "one", "dir/b": "owt", "foreign": "foreign"}
THREE = {"a": "three", "new/c": "c", "foreign": "foreign"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.off()
    yield made


def test_the_previous_revision_is_placed_again_without_a_request(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("a repository was opened")

    monkeypatch.setattr(Task, "open", refuse)
    result = host.back(reason="it fails", who="me")
    assert (result["changed"], result["reason"], host.files) == (True, "RolledBack", TWO)
    assert result["artifact"]["tag"] == "2" and result["artifact"]["path"] == str(host.dest)
    assert result["changes"]["changed"] == ["a"] and sorted(result["changes"]["removed"]) == ["new", "new/c"]
    (held,) = result["held"]
    assert (held["revision"], held["reason"], held["who"]) == (f"3@{held['digest']}", "it fails", "me")
    assert [(each["number"], each["current"], each["held"]) for each in result["history"]] == [
        (3, False, True),
        (2, True, False),
        (1, False, False),
    ]
    # a second run changes nothing
    again = host.back(reason="again")
    assert (again["changed"], again["reason"], host.files) == (False, "ArtifactUpToDate", TWO)
    assert again["held"] == result["held"]


@pytest.mark.parametrize("to", ["1", "tag", "digest", "revision"])
def test_a_revision_has_several_names(host: Host, to: str) -> None:
    digest = next(each["digest"] for each in host.back(state="resumed")["history"] if each["tag"] == "1")
    named = {"1": "1", "tag": "1", "digest": digest, "revision": f"1@{digest}"}[to]
    assert host.back(to=named)["changed"] and host.files == ONE


def test_a_name_that_two_revisions_have(host: Host) -> None:
    host.on()
    host.pull("1", keep=9)
    # the tag 2 is number 2; the tag 1 has the number 4
    assert host.back(to="2")["changed"]
    with pytest.raises(NotKept, match="kept no revision '1.0'"):
        host.back(to="1.0")
    host.pull("4", keep=9)
    with pytest.raises(InvalidOption, match="the tag of 4@.* and the number of 1@"):
        host.back(to="4")


def test_what_is_held_back_is_not_pulled_until_it_is_released_or_another_appears(host: Host) -> None:
    host.back(reason="it fails", who="me")
    host.on()
    held = host.pull("3", keep=9)
    assert (held.changed, held.reason, host.files) == (False, "HeldBack", TWO)
    assert "by me: it fails" in held.warnings[0] and held.artifact["tag"] == "2"
    # by its digest, without a request
    host.off()
    digest = held.as_result()["held"][0]["digest"]
    assert host.pull(reference={"ref": f"oci-layout:{host.layout}@{digest}"}).reason == "HeldBack"
    host.on()
    # a third digest is placed, and the hold stays
    assert host.pull("4", keep=9).reason == "NewRevision" and host.pull("3", keep=9).reason == "HeldBack"
    assert host.back(to="2", hold=False)["changed"]
    with pytest.raises(HeldBack, match="Release it first"):
        host.back(to=digest)
    assert host.back(state="released", to="9")["changed"] is False
    assert host.back(state="released", check_mode=True)["held"] == []
    released = host.back(state="released", to="3")
    assert (released["changed"], released["reason"], released["held"]) == (True, "Released", [])
    assert host.pull("3", keep=9).reason == "NewRevision" and host.files == THREE
    assert host.back(state="released")["reason"] == "ArtifactUpToDate"


def test_the_previous_revision_is_one_that_is_not_held_back(host: Host) -> None:
    host.back(reason="first")
    host.back(to="1", reason="second")
    # what the newest one had replaced is held back, too
    result = host.back(reason="third")
    assert (result["changed"], result["artifact"]["tag"], host.files) == (False, "1", ONE)
    assert [(each["revision"][0], each["reason"]) for each in result["held"]] == [("3", "first"), ("2", "second")]
    # who goes away from what is held back already does not say it anew
    host.back(state="released", to="2")
    host.back(to="2", hold=False)
    host.on()
    host.pull("1", keep=9)
    assert [each["reason"] for each in host.back(to="2", reason="fourth")["held"]] == ["first", "fourth"]
    assert host.back(to="2", reason="fifth")["changed"] is False


def test_the_previous_revision_is_another_one_than_what_was_pulled_without_keeping_it(host: Host) -> None:
    host.on()
    host.pull("4")
    assert host.pull("3").changed and host.files == THREE
    assert host.back(hold=False)["artifact"]["tag"] == "2" and host.files == TWO


def test_of_two_revisions_of_one_tag_the_newest_is_meant(host: Host) -> None:
    host.on()
    publish(host.layout, "stable", {"a": "first"})
    host.pull("stable", keep=9)
    file = host.layout / "index.json"
    index = json.loads(file.read_text())
    index["manifests"] = [each for each in index["manifests"] if each["digest"] != host.digest("stable")]
    file.write_text(json.dumps(index))
    publish(host.layout, "stable", {"a": "second"})
    for tag in ("stable", "4"):
        host.pull(tag, keep=9)
    assert host.back(to="stable")["changed"] and host.files == {"a": "second", "foreign": "foreign"}


def test_what_was_left_without_a_hold_can_be_held_back_afterwards(host: Host) -> None:
    host.back(hold=False)
    held = host.back(check_mode=True)
    assert held["changed"] and host.back(state="released")["changed"] is False
    held = host.back(reason="it fails")
    assert (held["changed"], [each["reason"] for each in held["held"]], host.files) == (True, ["it fails"], TWO)
    assert host.back(reason="again")["changed"] is False
    host.on()
    assert host.pull("3", keep=9).reason == "HeldBack"


def test_who_suspends_pulls_for_another_reason_is_heard(host: Host) -> None:
    host.back(state="suspended", reason="one", who="me")
    assert host.back(state="suspended", reason="one", who="me")["changed"] is False
    for reason, who in (("two", "me"), ("two", "them")):
        found = host.back(state="suspended", reason=reason, who=who)
        assert (found["changed"], found["suspended"]["reason"], found["suspended"]["who"]) == (True, reason, who)


def test_a_digest_is_not_held_back_when_another_of_its_tags_is_placed(host: Host) -> None:
    host.on()
    publish(host.layout, "three", {"a": "three", "new/c": "c"})
    assert host.digest("three") == host.digest("3")
    host.pull("three", keep=9)
    result = host.back(to="3")
    assert (result["changed"], result["artifact"]["tag"], result["held"]) == (True, "3", [])


def test_what_is_held_back_is_released_by_any_of_its_names(host: Host) -> None:
    digest = host.back()["held"][0]["digest"]
    for name in ("3", digest, f"3@{digest}"):
        assert host.back(state="released", to=name, check_mode=True)["held"] == []
    host.on()
    host.pull("1", keep=9)
    host.back(to="2")
    # number 4 is the tag 1 by now, and number 1 is nothing
    assert len(host.back(state="released", to="4", check_mode=True)["held"]) == 1
    assert host.back(state="released", to="2")["changed"] is False


def test_a_registry_that_is_down_does_not_make_a_held_host_fail(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.back()

    def down(*_arguments: Any) -> Any:
        raise ConnectionFailed("The registry is down.")

    monkeypatch.setattr(Task, "open", down)
    result = host.pull("3", keep=9)
    assert result.reason == "HeldBack" and "could not be asked: The registry is down." in result.warnings[-1]
    assert result.as_result()["degraded_reason"] == "ConnectionFailed"
    with pytest.raises(ConnectionFailed):
        host.pull("4", keep=9)


def test_without_a_hold_the_next_pull_comes_back(host: Host) -> None:
    assert host.back(hold=False)["held"] == []
    host.on()
    assert host.pull("3", keep=9).reason == "NewRevision" and host.files == THREE


def test_check_mode_and_diff_mode_change_nothing(host: Host) -> None:
    before = host.record.read_bytes()
    predicted = host.back(check_mode=True)
    assert predicted["changed"] and predicted["artifact"]["tag"] == "2" and len(predicted["held"]) == 1
    shown = host.back(check_mode=True, want_diff=True)
    assert [each["before"] for each in shown["diff"] if each["before_header"].endswith("/a")] == ["three"]
    assert host.back(state="suspended", check_mode=True)["changed"]
    assert (host.record.read_bytes(), host.files) == (before, THREE)


def test_the_record_of_a_later_version_is_left_alone(host: Host) -> None:
    record = json.dumps({**json.loads(host.record.read_text()), "format": 2})
    host.record.write_text(record)
    for state in ("rolled_back", "released", "suspended", "resumed"):
        with pytest.raises(StorageError, match="written by a later version"):
            host.back(state=state)
    with pytest.raises(StorageError, match="written by a later version"):
        placed(str(host.dest))
    assert host.record.read_text() == record and host.files == THREE


def test_kept_bytes_that_were_damaged_are_not_placed(host: Host) -> None:
    for path in host.kept:
        if b"schemaVersion" not in path.read_bytes():
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DigestMismatch) as raised:
        host.back()
    assert host.files == THREE and "pull it from its registry" in str(raised.value)
    # a pull fetches them again
    host.on()
    assert host.pull("2", keep=9).reason == "NewRevision" and host.files == TWO
    host.off()
    with pytest.raises(DigestMismatch):
        host.back(to="1")


def test_a_foreign_file_in_the_way_is_left_alone(host: Host) -> None:
    (host.dest / "dir").mkdir()
    (host.dest / "dir/b").write_text("foreign, too")
    with pytest.raises(StorageError, match="no earlier pull put there"):
        host.back()
    assert host.files == {**THREE, "dir/b": "foreign, too"}
    assert host.back(state="released")["held"] == []


def test_modes_rules_and_kinds_are_those_of_the_pull(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    dest = tmp_path / "file"
    lab.pull("1", dest=str(dest), operation="copy", keep=2, permissions=Permissions("0600"))
    first = dest.read_bytes()
    lab.pull("2", dest=str(dest), operation="copy", keep=2, permissions=Permissions("0640"))
    shutil.rmtree(lab.layout)
    assert rollback(RollbackOptions(str(dest)))["changed"]
    assert dest.read_bytes() == first and dest.stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotKept):
        rollback(RollbackOptions(str(dest), to="9"))
    with pytest.raises(StorageError, match="no record"):
        rollback(RollbackOptions(str(tmp_path / "nothing")))


def test_a_copy_beside_what_is_kept_is_not_meant(host: Host) -> None:
    host.on()
    host.pull("4", dest=f"{host.dest}/", operation="copy")
    assert host.back()["artifact"]["tag"] == "2"
    with pytest.raises(StorageError, match="holds 2 artifacts"):
        host.back(state="suspended")


def test_several_copies_into_one_directory(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    for tag in "12":
        lab.pull(tag, dest=f"{lab.dest}/", operation="copy", keep=2)
    with pytest.raises(StorageError, match="holds 2 artifacts"):
        rollback(RollbackOptions(str(lab.dest)))


def test_what_another_user_has_prepared_is_not_placed() -> None:
    with public_place() as path:
        host = Host(path)
        os.chown(host.dest, NOBODY, NOBODY)
        host.off()
        control = host.dest / ".oci-artifact"
        # who owns dest may move what is in it, and put a copy of their own there
        shutil.copytree(control, host.dest / "copy")
        for each in [host.dest / "copy", *(host.dest / "copy").rglob("*")]:
            os.chown(each, NOBODY, NOBODY)
        control.rename(host.dest / "moved")
        (host.dest / "copy").rename(control)
        with pytest.raises(StorageError, match="belongs to nobody"):
            host.back()
        shutil.rmtree(control)
        control.symlink_to(host.dest / "moved")
        with pytest.raises(StorageError, match="is not a directory"):
            host.back()
        control.unlink()
        (host.dest / "moved").rename(control)
        assert host.back()["changed"] and host.files == TWO


def test_what_is_kept_is_bounded(host: Host) -> None:
    host.on()
    host.pull("4", keep=2)
    # two manifests and two layers
    assert len(host.kept) == 4
    # what an interrupted run left there
    (host.dest / f".oci-artifact/kept/sha256-{'0' * 64}").write_text("left")
    host.pull("1", keep=1)
    assert len(host.kept) == 2
    with pytest.raises(NotKept):
        host.back()
    host.pull("2", keep=0)
    assert not (host.dest / ".oci-artifact/kept").exists()
    assert "history" not in json.loads(host.record.read_text())["standing"]


def test_a_revision_that_is_in_place_already_is_kept_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.pull("1")
    result = lab.pull("1", keep=2)
    assert (result.changed, result.reason, len(result.standing["history"])) == (False, "ArtifactUpToDate", 1)
    lab.forget_layers()
    assert lab.pull("1", keep=2).reason == "ArtifactUpToDate"


def test_content_that_is_to_be_kept_is_good_enough_without_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    lab.pull("1")

    def down(*_arguments: Any) -> Any:
        raise ConnectionFailed("The registry is down.")

    monkeypatch.setattr(Task, "open", down)
    assert lab.pull("1", keep=2, last_good=LastGood()).reason == "LastGoodKept"


def test_suspended_pulls_say_who_and_why(host: Host) -> None:
    host.on()
    said = host.back(state="suspended", reason="inventory", who="ops")
    assert (said["changed"], said["reason"], said["suspended"]["who"]) == (True, "Suspended", "ops")
    assert host.back(state="suspended", reason="inventory", who="ops")["changed"] is False
    for options in ({}, {"keep": 3}, {"force": True}, {"requested_at": "now"}):
        result = host.pull("4", **options)
        assert (result.changed, result.reason, host.files) == (False, "Suspended", THREE)
        assert "by ops: inventory" in result.warnings[0]
        assert result.as_result()["suspended"]["reason"] == "inventory"
    assert host.back(to="1")["changed"] and host.files == ONE
    assert host.back(state="resumed")["suspended"] == {}
    assert host.back(state="resumed")["changed"] is False
    assert host.pull("4").reason == "NewRevision"


def test_what_people_say_is_one_line(host: Host) -> None:
    host.on()
    said = host.back(state="suspended", reason="an incident,\n\x1b[31msee\u00a0the wiki\n", who="ops\n")
    assert (said["suspended"]["reason"], said["suspended"]["who"]) == ("an incident, [31msee the wiki", "ops")
    assert host.back(state="suspended", reason="an incident, [31msee the wiki", who="ops")["changed"] is False
    assert host.back(state="resumed")["changed"]
    (hold,) = host.back(reason="it\nfails")["held"]
    assert hold["reason"] == "it fails"


def test_the_previous_revision_is_nothing_to_release(host: Host) -> None:
    host.back()
    with pytest.raises(InvalidOption, match="leave 'to' out to release everything"):
        host.back(state="released", to="previous")


def test_a_token_is_handled_once(host: Host) -> None:
    host.on()
    altered = host.dest / "a"
    status = altered.stat()
    altered.write_text("eerht")
    os.utime(altered, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert host.pull("3").reason == "ArtifactUpToDate"
    found = host.pull("3", requested_at="monday")
    assert found.reason == "DriftCorrected" and found.standing["requested_at"]["token"] == "monday"
    altered.write_text("eerht")
    os.utime(altered, ns=((host.dest / "a").stat().st_atime_ns, json.loads(host.record.read_text())["files"]["a"][-1]))
    assert host.pull("3", requested_at="monday").reason == "ArtifactUpToDate"
    assert host.pull("3", requested_at="tuesday", check_mode=True).reason == "DriftCorrected"
    assert host.pull("3", requested_at="tuesday").reason == "DriftCorrected"


def test_observed_rules_are_in_the_result(host: Host) -> None:
    host.on()
    result = host.pull("3", ignore="*.md").as_result()
    assert result["observed"] == {
        "layer_selector": {"media_type": "", "operation": "extract"},
        "layers": "auto",
        "platform": "",
        "ignore": "*.md",
        "policy": "",
    }
    assert host.pull("3", ignore="*.md").as_result()["observed"] == result["observed"]


@pytest.mark.parametrize("goes_back", [True, False], ids=["rollback", "pull"])
def test_a_run_that_was_killed_is_completed(host: Host, monkeypatch: pytest.MonkeyPatch, goes_back: bool) -> None:
    class Killed(BaseException):
        pass

    class Dying(workplace.Placement):
        def _place(self, *arguments: Any, **more: Any) -> None:
            super()._place(*arguments, **more)
            raise Killed

        def undo(self) -> bool:
            return False

    monkeypatch.setattr(workplace, "Placement", Dying)
    host.on()
    with pytest.raises(Killed):
        if goes_back:
            host.back()
        else:
            host.pull("4", keep=9)
    monkeypatch.undo()
    assert json.loads(host.record.read_text())["pending"]
    host.off()
    # of a rollback its target, of a pull what was there before
    assert host.back()["changed"] and host.files == (TWO if goes_back else THREE)
    assert not json.loads(host.record.read_text())["pending"]
    assert host.back()["changed"] is (not goes_back)


def test_a_held_digest_heals_what_a_killed_run_left(host: Host) -> None:
    host.back()
    host.edit(pending={"a": ["file", 0o644, 1, "", ""]})
    (host.dest / "a").write_text("?")
    host.on()
    assert host.pull("3", keep=9).reason == "HeldBack" and host.files == TWO


def test_a_failed_health_check_after_a_killed_run_goes_back_to_what_is_kept(host: Host) -> None:
    host.on()
    # as if a run that placed the tag 4 had been killed after its last file
    record = json.loads(host.record.read_text())
    host.edit(pending={name: entry[:-1] for name, entry in record["files"].items()})
    (host.dest / "a").write_text("four")
    shutil.rmtree(host.dest / "new")
    health = parse_health({"command": "grep -q three %s/a", "timeout": "9s", "remediation": "rollback"})
    with pytest.raises(OciError, match="holds 3@.* again"):
        host.pull("4", keep=9, health=health)
    assert host.files == THREE and host.pull("4", keep=9).reason == "HeldBack"
