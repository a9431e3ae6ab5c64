# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory for each revision, and a link to the one in place: pulls, rollbacks, and what others do there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from two_users import NOBODY, public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.places import releases_at
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.stand_in import (
    as_of_host,
    describe,
    make_stand_in,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    InvalidOption,
    OciError,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.facts import FactsOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.facts.own import own_facts
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.info.placed import placed
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.host_options import (
    host_options,
    parse_health,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.choice import NotKept
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.options import RollbackOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.rollback.rollback import rollback
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.pull.test_decisions import Lab
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish

FILES = {
    "1": {"a": "one", "dir/b": "two"},
    "2": {"a": "one", "dir/b": "owt", "new/c": "c"},
    "3": {"a": "three", "new/c": "c"},
    "4": {"a": "four"},
}


class Root(Lab):
    """A deployment root, and a layout with artifacts under the tags 1 to 4."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.layout / "index.json").unlink()
        for tag, files in FILES.items():
            publish(self.layout, tag, files)

    def pull(self, tag: str = "1", check_mode: bool = False, want_diff: bool = False, **options: Any) -> PullResult:
        merged = {"layout": "releases", "keep": 2, **options}
        return super().pull(tag, check_mode=check_mode, want_diff=want_diff, **merged)

    def back(self, *, check_mode: bool = False, want_diff: bool = False, **options: Any) -> dict[str, Any]:
        made = RollbackOptions(**{"dest": str(self.dest), **options})
        return rollback(made, check_mode=check_mode, want_diff=want_diff)

    def name(self, number: int, tag: str) -> str:
        return f"{number:06d}-{tag}-{self.digest(tag)[7:15]}"

    @property
    def releases(self) -> list[str]:
        return sorted(os.listdir(self.dest / "releases"))

    @property
    def current(self) -> str:
        return os.readlink(self.dest / "current")

    def holds(self, tag: str) -> None:
        """Assert what ``current`` leads to."""
        top = self.dest / "current"
        found = {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}
        assert found == FILES[tag]

    def tree(self) -> dict[str, str]:
        """All that is there, but for the record."""
        return {
            str(path.relative_to(self.dest)): os.readlink(path) if path.is_symlink() else path.read_text()
            for path in self.dest.rglob("*")
            if (path.is_symlink() or path.is_file()) and ".oci-artifact" not in path.parts
        }


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


# Placing


def test_each_revision_is_a_release_and_current_leads_to_the_last(root: Root) -> None:
    first = root.pull("1")
    assert first.changed and first.reason == "NewRevision" and first.changes["added"] == ["a", "dir", "dir/b"]
    assert root.current == f"releases/{root.name(1, '1')}" and root.releases == [root.name(1, "1")]
    assert first.artifact["path"] == str(root.dest / "current")
    assert first.as_result()["release"] == root.name(1, "1")
    assert (root.dest / "shared").is_dir() and os.listdir(root.dest / "shared") == []
    assert not root.pull("1").changed
    second = root.pull("2")
    assert second.changes["added"] == ["new", "new/c"] and second.changes["changed"] == ["dir/b"]
    root.holds("2")
    root.pull("3")
    # two are kept
    assert root.releases == [root.name(2, "2"), root.name(3, "3")]
    root.holds("3")
    assert sorted(os.listdir(root.dest)) == [".oci-artifact", "current", "releases", "shared"]
    # one that comes again is a release of its own, and the former one of the same revision is not kept
    root.pull("2")
    assert root.releases == [root.name(3, "3"), root.name(4, "2")]
    history = [(each["number"], each["release"], each["current"]) for each in root.pull("2").as_result()["history"]]
    assert history == [(4, root.name(4, "2"), True), (3, root.name(3, "3"), False)]


def test_drift_is_corrected_within_the_release(root: Root) -> None:
    root.pull("1")
    release = root.dest / "releases" / root.name(1, "1")
    inode = release.stat().st_ino
    (release / "a").write_text("altered")
    (release / "cache").write_text("of the application")
    result = root.pull("1")
    assert (result.reason, result.changes["changed"]) == ("DriftCorrected", ["a"])
    assert root.releases == [release.name] and release.stat().st_ino == inode
    assert (release / "cache").read_text() == "of the application" and (release / "a").read_text() == "one"
    (release / "a").chmod(0o600)
    result = root.pull("1")
    assert (result.reason, result.changes["permissions"]) == ("DriftCorrected", ["a"])
    # what the application has left in a release is not in the way of the next one, and goes with it
    (release / "new").write_text("in the way")
    root.pull("2")
    root.holds("2")
    root.pull("3")
    assert root.releases == [root.name(2, "2"), root.name(3, "3")]


@pytest.mark.parametrize("how", ["another", "dangling", "missing"])
def test_current_that_was_moved_is_put_back_without_a_request(root: Root, how: str) -> None:
    root.pull("1")
    root.pull("2")
    root.forget_layers()
    (root.dest / "current").unlink()
    if how != "missing":
        (root.dest / "current").symlink_to(f"releases/{root.name(1, '1') if how == 'another' else 'elsewhere'}")
    result = root.pull("2")
    assert (result.changed, result.reason) == (True, "DriftCorrected")
    assert result.changes["changed"] == ["current"] and not root.pull("2").changed
    root.holds("2")


def test_a_release_that_somebody_removed_is_made_anew(root: Root) -> None:
    root.pull("1")
    shutil.rmtree(root.dest / "releases" / root.name(1, "1"))
    result = root.pull("1")
    assert result.reason == "DriftCorrected" and root.releases == [root.name(2, "1")]
    root.holds("1")
    root.pull("2")
    shutil.rmtree(root.dest / "releases" / root.name(2, "1"))
    assert [each["tag"] for each in root.pull("2").as_result()["history"]] == ["2"]
    with pytest.raises(NotKept):
        root.back()


def test_what_is_foreign_stays(root: Root) -> None:
    (root.dest / "releases/20141119223359").mkdir(parents=True)
    (root.dest / "releases/000041-9-abcdef01").mkdir()
    (root.dest / "releases/20991231000000").mkdir()
    (root.dest / "releases/20991231000000/DEPLOY_UNFINISHED").write_text("")
    (root.dest / "releases/file").write_text("x")
    (root.dest / "shared").mkdir()
    (root.dest / "shared/uploads").write_text("x")
    (root.dest / "current").symlink_to("releases/20141119223359")
    foreign = set(root.releases)
    for number, tag in enumerate("1234", 42):
        root.pull(tag)
        assert root.current == f"releases/{root.name(number, tag)}"
    assert set(root.releases) == {*foreign, root.name(44, "3"), root.name(45, "4")}
    assert (root.dest / "shared/uploads").read_text() == "x"


def test_current_that_is_no_link_is_never_replaced(root: Root) -> None:
    (root.dest / "current").mkdir(parents=True)
    with pytest.raises(StorageError, match="not a symbolic link"):
        root.pull("1", force=True)
    assert sorted(os.listdir(root.dest)) == ["current"]


def test_the_layout_of_a_directory_stays(root: Root) -> None:
    root.pull("1")
    with pytest.raises(StorageError, match="layout: releases"):
        root.pull("1", layout="", keep=None)
    shutil.rmtree(root.dest)
    root.pull("1", layout="", keep=None)
    with pytest.raises(StorageError, match="layout: in_place"):
        root.pull("1")


def test_an_artifact_with_the_mark_of_what_is_unfinished_is_refused(root: Root) -> None:
    publish(root.layout, "5", {"DEPLOY_UNFINISHED": ""})
    with pytest.raises(StorageError, match="DEPLOY_UNFINISHED"):
        root.pull("5")
    assert not root.dest.exists()


def test_modes_and_owners(root: Root) -> None:
    permissions = Permissions("u=rwX,g=rX,o=", os.getuid(), os.getgid())
    root.pull("1", permissions=permissions)
    release = root.dest / "releases" / root.name(1, "1")
    assert release.stat().st_mode & 0o777 == 0o750 and (release / "a").stat().st_mode & 0o777 == 0o640
    assert not root.pull("1", permissions=permissions).changed


def test_links_into_what_is_shared_are_made_in_the_next_release(root: Root) -> None:
    root.pull("1")
    root.holds("1")
    release = root.dest / "releases" / root.name(1, "1")
    links = {
        "uploads": "../../shared/uploads",
        "dir/log": "../../../shared/log/app",
        "absolute": f"{root.dest}/shared",
        "new": "../../shared/new",
    }
    others = {
        "host": "/etc/hostname",
        "out": "../../shared/../../out",
        "beside": "../../sharedx/a",
        "up": "../../../shared/a",
        "dir/short": "../../shared/a",
        "inside": "dir/b",
    }
    for name, target in {**links, **others}.items():
        (release / name).symlink_to(target)
    (release / "cache").mkdir()
    (release / "cache/deep").symlink_to("../../../shared/deep")
    root.pull("2")
    found = {
        str(path.relative_to(root.dest / "current")): os.readlink(path)
        for path in (root.dest / "current").rglob("*")
        if path.is_symlink()
    }
    # what the artifact has itself comes first, and what its directories lack is no place for a link
    del links["new"]
    assert found == links and not root.pull("2").changed
    assert root.pull("3").changed
    assert sorted(os.listdir(root.dest / "current")) == ["a", "absolute", "new", "uploads"]


# Check mode


def test_check_mode_changes_nothing(root: Root) -> None:
    foreseen = root.pull("1", check_mode=True, want_diff=True)
    assert foreseen.changed and not root.dest.exists()
    assert str(root.dest / "current/a") in {each["after_header"] for each in foreseen.diff}
    root.pull("1")
    before = root.tree()
    foreseen = root.pull("2", check_mode=True, want_diff=True)
    assert foreseen.changes["changed"] == ["dir/b"] and any("owt" in each.get("after", "") for each in foreseen.diff)
    (root.dest / "current").unlink()
    (root.dest / "current").symlink_to("releases")
    foreseen = root.pull("1", check_mode=True, want_diff=True)
    assert (foreseen.reason, foreseen.changes["changed"]) == ("DriftCorrected", ["current"])
    assert str(root.dest / "current") in foreseen.diff[0]["prepared"] and root.current == "releases"
    assert root.pull("1").changes["changed"] == ["current"]
    assert root.tree() == before


# Going back


def test_going_back_switches_and_asks_nobody(root: Root) -> None:
    for tag in "123":
        root.pull(tag, keep=3)
    root.layout.rename(root.layout.with_name("off"))
    inodes = {name: (root.dest / "releases" / name / "a").stat().st_ino for name in root.releases}
    before = root.tree()
    foreseen = root.back(check_mode=True, want_diff=True)
    assert foreseen["changed"] and foreseen["reason"] == "RolledBack" and root.tree() == before
    assert "three" in str(foreseen["diff"])
    result = root.back(reason="slow")
    assert foreseen["changes"] == result["changes"] and result["artifact"]["tag"] == "2"
    assert result["changes"]["changed"] == ["a"] and result["changes"]["added"] == ["dir", "dir/b"]
    root.holds("2")
    again = root.back()
    assert (again["changed"], again["reason"]) == (False, "ArtifactUpToDate")
    # the release that is left stays, as all do
    assert {name: (root.dest / "releases" / name / "a").stat().st_ino for name in root.releases} == inodes
    root.layout.with_name("off").rename(root.layout)
    assert root.pull("3", keep=3).reason == "HeldBack"
    root.holds("2")
    root.back(state="released")
    assert root.back(to="1", hold=False)["changes"]["removed"] == ["new/c", "new"]
    assert root.pull("4", keep=3).changed
    assert root.releases == [root.name(number, tag) for number, tag in ((2, "2"), (3, "3"), (4, "4"))]
    root.holds("4")


def test_a_release_that_was_altered_is_not_placed_again(root: Root) -> None:
    root.pull("1")
    root.pull("2")
    old = root.dest / "releases" / root.name(1, "1")
    status = (old / "a").stat()
    (old / "a").write_text("eno")
    os.utime(old / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    before = root.tree()
    for check_mode in (True, False):
        with pytest.raises(DigestMismatch, match="altered or missing is a"):
            root.back(check_mode=check_mode)
    assert root.tree() == before
    (old / "a").write_text("one")
    (old / "a").chmod(0o600)
    (old / "cache").write_text("x")
    assert root.back()["changes"]["permissions"] == ["a"]
    assert (old / "a").stat().st_mode & 0o777 == 0o644 and root.current == f"releases/{old.name}"


def test_a_pull_puts_back_what_somebody_switched_and_removes_nothing_that_current_names(root: Root) -> None:
    root.pull("1")
    root.pull("2")
    (root.dest / "current").unlink()
    (root.dest / "current").symlink_to(root.dest / "releases" / root.name(1, "1"))
    healthy = {"command": "false", "timeout": "9s", "remediation": "rollback"}
    with pytest.raises(OciError):
        root.pull("3", health=parse_health(healthy))
    # as it was found
    assert root.current == str(root.dest / "releases" / root.name(1, "1"))
    assert root.releases == [root.name(1, "1"), root.name(2, "2")]
    assert root.pull("2").changes["changed"] == ["current"]
    # an absolute link to the release in place is as good
    (root.dest / "current").unlink()
    (root.dest / "current").symlink_to(root.dest / "releases" / root.name(2, "2"))
    assert not root.pull("2").changed


# Commands


def test_a_release_that_fails_its_check_is_taken_back(root: Root, tmp_path: Path) -> None:
    health = {"timeout": "9s", "remediation": "rollback"}
    with pytest.raises(OciError) as first:
        root.pull("1", health=parse_health({"command": "false", **health}))
    assert first.value.reason == "HealthCheckFailed"
    assert not (root.dest / "releases").exists() and not (root.dest / "current").is_symlink()
    root.back(state="released")
    root.pull("1", health=parse_health({"command": "grep -q one %s/a", **health}), validate=["test", "-f", "%s/dir/b"])
    with pytest.raises(OciError) as failure:
        root.pull("3", health=parse_health({"command": "grep -q one %s/a", **health}))
    assert failure.value.reason == "HealthCheckFailed" and failure.value.details["rolled_back"]
    assert "holds 1@" in failure.value.hint and "The command succeeds there." in failure.value.hint
    assert root.releases == [root.name(1, "1")]
    root.holds("1")
    assert root.pull("3").reason == "HeldBack"
    with pytest.raises(OciError) as invalid:
        root.pull("4", validate=["test", "-f", "%s/dir/b"])
    assert invalid.value.reason == "ValidationFailed" and root.releases == [root.name(1, "1")]
    # a link that was moved is set right under the same command
    (root.dest / "current").unlink()
    (root.dest / "current").symlink_to("releases/elsewhere")
    with pytest.raises(OciError):
        root.pull("1", health=parse_health({"command": "false", **health}))
    assert root.current == "releases/elsewhere"
    assert root.pull("1", health=parse_health({"command": "test -f %s/a", **health})).changed


# What others are told


def test_facts_and_info_name_the_root_once(root: Root, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCI_ARTIFACT_INDEX", str(tmp_path / "index"))
    root.pull("1")
    root.pull("2")
    (one,) = own_facts(FactsOptions(), check_mode=False)
    assert (one["path"], one["state"], one["tag"], one["release"]) == (str(root.dest), "placed", "2", root.name(2, "2"))
    assert one["drift"]["count"] == 0 and [each["release"] for each in one["history"]] == root.releases[::-1]
    (root.dest / "current/a").write_text("altered")
    (root.dest / "current").unlink()
    (one,) = own_facts(FactsOptions(), check_mode=False)
    assert one["drift"]["content"] == ["a", "current"]
    found = placed(str(root.dest))
    assert found["release"] == root.name(2, "2") and found["artifact"]["tag"] == "2"


def test_another_machine_compares_with_what_stands_in_for_it(root: Root, tmp_path: Path) -> None:
    root.pull("1")
    (root.dest / "current/a").write_text("altered")
    (root.dest / "current/a").touch()
    destination = releases_at(str(root.dest), Permissions())
    state = destination.load_state()
    description = describe(destination, "", state, destination.find_drift(state, False))
    assert description is not None
    dest = make_stand_in(str(tmp_path / "stand-in"), json.loads(json.dumps(description)))
    for tag in "12":
        here = root.pull(tag, check_mode=True, want_diff=True)
        there = root.pull(tag, check_mode=True, want_diff=True, dest=dest).as_result()
        there = as_of_host(there, str(tmp_path / "stand-in"), description)
        assert (there["changes"], there["artifact"]["path"]) == (here.changes, str(root.dest / "current"))
        assert {each["before_header"] for each in there["diff"]} == {each["before_header"] for each in here.diff}
    hostile = json.loads(description["record"])
    hostile["standing"]["history"][0]["release"] = "../../outside"
    make_stand_in(str(tmp_path / "hostile"), {**description, "record": json.dumps(hostile)})
    assert not list(tmp_path.glob("**/outside"))


# Options


def test_options() -> None:
    params = {"keep": None, "requested_at": None, "validate": None, "health": None, "interval": None}
    given = {**params, "layout": "releases", "layer_selector": None}
    assert host_options(given)["keep"] == 5 and host_options(given)["layout"] == "releases"
    assert host_options({**given, "layout": "in_place"})["keep"] is None
    for wrong in ({"keep": 0}, {"layer_selector": {"operation": "copy"}}):
        with pytest.raises(InvalidOption, match="layout: releases"):
            host_options({**given, **wrong})


# Other users


@pytest.mark.once
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
def test_what_belongs_to_somebody_else_leads_nowhere() -> None:
    with public_place() as path:
        root = Root(path)
        victim = path / "victim"
        victim.mkdir()
        (victim / "a").write_text("victim")
        for name in ("releases", "current"):
            root.dest.mkdir()
            os.chown(root.dest, NOBODY, NOBODY)
            (root.dest / name).symlink_to(victim)
            if name == "releases":
                with pytest.raises(StorageError):
                    root.pull("1")
            else:
                root.pull("1")
                root.holds("1")
            assert [(each.name, each.read_text()) for each in victim.iterdir()] == [("a", "victim")]
            shutil.rmtree(root.dest)
        # a release that becomes a link is no release any more
        root.pull("1")
        os.chown(root.dest, NOBODY, NOBODY)
        os.chown(root.dest / "releases", NOBODY, NOBODY)
        shutil.rmtree(root.dest / "releases" / root.name(1, "1"))
        (root.dest / "releases" / root.name(1, "1")).symlink_to(victim)
        assert root.pull("1").reason == "DriftCorrected"
        root.holds("1")
        for tag in "234":
            root.pull(tag)
        assert [(each.name, each.read_text()) for each in victim.iterdir()] == [("a", "victim")]
