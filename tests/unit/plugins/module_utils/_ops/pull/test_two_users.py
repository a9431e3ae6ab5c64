# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root pulls to a place where somebody else has a say: nothing outside of ``dest`` changes, whatever was prepared."""

from __future__ import annotations

import contextlib
import os
import random
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from two_users import (
    HARD_LINK,
    KINDS,
    LINKS,
    NOBODY,
    SOMEBODY,
    Racer,
    Victim,
    give,
    in_user,
    make_directories,
    prepare,
    public_place,
)

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.permissions import Permissions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import (
    COPY,
    LayerSelector,
    Limits,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions, PullResult
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._ops.small_artifacts import publish

pytestmark = pytest.mark.once

FILES = {"a": "one", "dir/b": "two", "dir/sub/c": "three"}
OTHER = {"a": "eno", "dir/b": "owt", "dir/sub/c": "eerht", "dir/new": "four"}
# in all tests with a racing process together: at least 200
RACES = 60


class Place:
    """A layout of root's, a victim, and a directory for ``dest``; all are reachable for everybody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.victim = Victim(path / "victim")
        self.dest = path / "dest"
        publish(path / "layout", "1", FILES)
        publish(path / "layout", "2", OTHER)
        os.system(f"chmod -R a+rX {path / 'layout'}")

    def pull(self, tag: str = "1", dest: Path | None = None, check_mode: bool = False, **options: Any) -> PullResult:
        reference = ReferenceOptions(ref=f"oci-layout:{self.path / 'layout'}:{tag}")
        defaults = {"selector": LayerSelector(), "limits": Limits(1 << 20, 100)}
        wanted = PullOptions(reference, str(dest or self.dest), **{**defaults, **options})
        return pull(wanted, check_mode=check_mode, want_diff=True)

    def refused(self, *words: str, **options: Any) -> None:
        """Each way of running it ends in an error that has these words, changes nothing, and leaves nothing open."""
        open_before = len(os.listdir("/proc/self/fd"))
        for check_mode in (True, False):
            with pytest.raises(StorageError) as failure:
                self.pull(check_mode=check_mode, **options)
            for word in words:
                assert word in str(failure.value), failure.value
        assert len(os.listdir("/proc/self/fd")) <= open_before
        assert self.victim.changes() == []

    def owned(self, path: Path, uid: int = NOBODY, mode: int = 0o755) -> Path:
        make_directories(path, uid, mode)
        return path


@pytest.fixture
def place() -> Iterator[Place]:
    with public_place() as path:
        yield Place(path)


# Directories above dest, and control directories


def test_a_directory_above_that_somebody_else_owns(place: Place) -> None:
    place.owned(place.path / "theirs")
    place.refused("belongs to nobody", "become_user", dest=place.path / "theirs/dest")
    copied = {"dest": place.path / "theirs/chart.tgz", "selector": LayerSelector("", COPY)}
    place.refused("belongs to nobody", "become_user", **copied)
    place.owned(place.path / "theirs/roots/dest", 0)
    place.refused("belongs to nobody", dest=place.path / "theirs/roots/dest")


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_directory_above_that_others_may_write_to(place: Place, mode: int) -> None:
    parent = place.owned(place.path / "open", 0)
    os.chown(parent, 0, NOBODY)
    parent.chmod(mode)
    place.refused("may be written to by", "chmod go-w", dest=parent / "dest")


def test_a_group_of_nobody_else_is_nobody_else(place: Place) -> None:
    parent = place.owned(place.path / "group", 0)
    for gid in (0, 54321):
        os.chown(parent, 0, gid)
        parent.chmod(0o775)
        assert place.pull(dest=parent / f"dest{gid}").changed


def test_an_access_control_list_counts(place: Place) -> None:
    parent = place.owned(place.path / "listed", 0)
    # version 2; owner rwx, the user nobody rwx, group r-x, mask rwx, others r-x
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, NOBODY), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 5, 0xFFFFFFFF)]
    raw = (2).to_bytes(4, "little")
    for tag, permissions, number in entries:
        raw += tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + number.to_bytes(4, "little")
    try:
        os.setxattr(parent, "system.posix_acl_access", raw)
    except OSError as exc:
        # nothing to test where the file system has none, as tmpfs of old kernels
        assert exc.errno == 95, exc
        return
    place.refused("may be written to by nobody", dest=parent / "dest")


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_made_first_in_a_sticky_directory(place: Place, kind: str) -> None:
    sticky = place.owned(place.path / "sticky", 0, 0o1777)
    prepare(sticky / "dest", kind, place.victim)
    if kind != HARD_LINK:
        place.refused("belongs to nobody", "Remove", dest=sticky / "dest")
    else:
        place.refused("is not a directory", dest=sticky / "dest")
    prepare(sticky / ".chart.tgz.oci-artifact", kind, place.victim)
    words = ("belongs to",) if kind == HARD_LINK else ("belongs to nobody",)
    place.refused(*words, dest=sticky / "chart.tgz", selector=LayerSelector("", COPY))
    assert not (sticky / "chart.tgz").exists()


@pytest.mark.parametrize("selector", [LayerSelector(), LayerSelector("", COPY)])
def test_the_quick_try_in_a_sticky_directory(place: Place, selector: LayerSelector) -> None:
    dest = place.owned(place.path / "sticky", 0, 0o1777) / "x"
    assert place.pull(dest=dest, selector=selector).changed
    assert not place.pull(dest=dest, selector=selector).changed
    assert place.pull("2", dest=dest, selector=selector).changed


@pytest.mark.parametrize("selector", [LayerSelector(), LayerSelector("", COPY)])
def test_the_quick_try_of_an_ordinary_user(place: Place, selector: LayerSelector) -> None:
    dest = place.owned(place.path / "sticky", 0, 0o1777) / "x"
    layout = place.path / "layout"
    done = in_user(
        SOMEBODY,
        f"""
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.layer_selector import LayerSelector, Limits
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.decide import pull
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.pull.options import PullOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions

def run(tag, dest):
    reference = ReferenceOptions(ref="oci-layout:{layout}:" + tag)
    selector = LayerSelector{tuple(selector)!r}
    return pull(PullOptions(reference, dest, selector, Limits(1 << 20, 100))).changed

# once as root, who may read the code that is loaded late
run("1", "{place.path}/first")
become()
for tag in ("1", "1", "2"):
    print(run(tag, "{dest}"))
""",
    )
    assert (done.stdout.split(), done.returncode) == (["True", "False", "True"], 0), done.stderr
    assert dest.stat().st_uid == SOMEBODY


def test_links_of_ones_own_lead_to_dest_and_those_of_others_do_not(place: Place) -> None:
    place.owned(place.path / "real", 0)
    (place.path / "link").symlink_to("real")
    assert place.pull(dest=place.path / "link/dest").changed
    assert (place.path / "real/dest/a").read_text() == "one"
    sticky = place.owned(place.path / "sticky", 0, 0o1777)
    (sticky / "link").symlink_to(place.path / "real")
    assert not place.pull(dest=sticky / "link/dest").changed
    os.lchown(sticky / "link", NOBODY, NOBODY)
    place.refused("belongs to nobody", dest=sticky / "link/dest")
    (place.path / "loop").symlink_to("loop")
    place.refused("links", dest=place.path / "loop/dest")


@pytest.mark.parametrize("owner", [0, NOBODY])
@pytest.mark.parametrize("kind", KINDS)
def test_a_control_directory_that_somebody_prepared(place: Place, owner: int, kind: str) -> None:
    place.owned(place.dest, owner)
    prepare(place.dest / ".oci-artifact", kind, place.victim)
    os.chown(place.dest, owner, owner)
    place.refused("What root did not write is not believed", "become_user" if kind != HARD_LINK else "remove")
    assert os.listdir(place.dest) == [".oci-artifact"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["state", "state.new", "lock", "stage", "stage/content", "confirmed"])
def test_names_in_a_control_directory_that_somebody_prepared(place: Place, name: str, kind: str) -> None:
    """The directory is theirs, or became ours (a restored backup, chown) with what they had put there."""
    control = place.owned(place.dest / ".oci-artifact")
    prepare(control / name, kind, place.victim)
    place.refused("belongs to nobody", "not believed")
    for path in (control, *([control / "stage"] if name == "stage/content" else [])):
        os.chown(path, 0, 0)
    control.chmod(0o777)
    place.refused("may be written to by others")
    control.chmod(0o700)
    for tag in ("1", "2", "2"):
        with contextlib.suppress(OciError):
            place.pull(tag)
        assert place.victim.changes() == []
    assert place.victim.changes() == []


def test_a_record_of_somebody_else_is_not_believed(place: Place) -> None:
    place.pull()
    os.chown(place.dest / ".oci-artifact/state", NOBODY, NOBODY)
    with pytest.raises(StorageError, match="no earlier pull put there"):
        place.pull("2")
    assert any("cannot be understood" in warning for warning in place.pull(check_mode=True).warnings)


def test_a_forged_record_of_the_owner_of_dest(place: Place) -> None:
    place.owned(place.dest)
    place.pull()
    (place.dest / ".oci-artifact").rename(place.dest / "away")
    forged = place.owned(place.dest / ".oci-artifact")
    (forged / "state").write_bytes((place.dest / "away/state").read_bytes())
    give(forged)
    place.refused("belongs to nobody", tag="2")


# Entries of a dest that others own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "dir", "dir/b", "dir/sub", "dir/new"])
def test_entries_that_the_owner_of_dest_prepared(place: Place, name: str, kind: str) -> None:
    place.owned(place.dest)
    prepare(place.dest / name, kind, place.victim)
    for force in (False, True):
        for tag in ("1", "2", "1", "1"):
            with contextlib.suppress(OciError):
                place.pull(tag, force=force)
            assert place.victim.changes() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "dir", "dir/b", "dir/sub"])
def test_entries_that_whoever_got_them_replaced(place: Place, name: str, kind: str) -> None:
    """``owner`` hands out what was placed: whoever has it puts other things there before the next run."""
    owner = Permissions(uid=NOBODY, gid=NOBODY)
    for mode in ("", "u=rwX,go="):
        with contextlib.suppress(OciError):
            place.pull(force=True, permissions=owner)
        prepare(place.dest / name, kind, place.victim)
        for tag in ("1", "2", "1"):
            with contextlib.suppress(OciError):
                place.pull(tag, permissions=owner._replace(mode=mode))
            assert place.victim.changes() == []


def test_owner_hands_out_files_and_takes_them_back(place: Place) -> None:
    for uid in (NOBODY, SOMEBODY, 0):
        assert place.pull(permissions=Permissions("0640", uid, uid)).changed
        for name in FILES:
            status = (place.dest / name).lstat()
            assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (uid, uid, 0o640)
        assert (place.dest / "dir").lstat().st_uid == uid
        assert not place.pull(permissions=Permissions("0640", uid, uid)).changed


def test_a_file_with_a_second_name_is_replaced_and_not_changed(place: Place) -> None:
    place.pull()
    os.link(place.dest / "a", place.path / "backup")
    before = os.stat(place.path / "backup")
    assert place.pull(permissions=Permissions("0600", NOBODY, NOBODY)).changed
    after = os.stat(place.path / "backup")
    assert (after.st_mode, after.st_uid, after.st_nlink) == (before.st_mode, 0, 1)
    assert (place.dest / "a").stat().st_uid == NOBODY


# Names that change while the pull runs


@pytest.mark.parametrize("name", [".oci-artifact", "a", "dir", "dir/b", "dir/sub"])
def test_races_in_a_dest_of_somebody_else(place: Place, name: str) -> None:
    place.owned(place.dest)
    make_directories(place.path / "spare", NOBODY)
    place.pull(permissions=Permissions(uid=NOBODY))
    # a directory of root's can get another name, but no other directory
    spare = place.dest if name == ".oci-artifact" else place.path / "spare"
    with Racer(place.dest / name, place.victim.path, spare) as racer:
        _pull_often(place, Permissions(uid=NOBODY), racer.rounds(RACES, swaps=RACES))
    assert place.victim.changes() == []
    assert racer.swaps > RACES


@pytest.mark.parametrize("target", ["secret", "below"])
@pytest.mark.parametrize("name", ["dir/b", "dir/sub"])
def test_races_while_modes_are_set_right(place: Place, name: str, target: str) -> None:
    """Only what is in dest belongs to somebody else, as the guide shows it."""
    make_directories(place.path / "spare", NOBODY)
    place.pull(permissions=Permissions(uid=NOBODY))
    with Racer(place.dest / name, place.victim.path / target, place.path / "spare") as racer:
        for number in racer.rounds(RACES, swaps=RACES):
            mode = ("0644", "0755", "0600")[number % 3]
            with contextlib.suppress(OciError):
                place.pull(permissions=Permissions(mode, NOBODY, NOBODY))
    assert place.victim.changes() == []
    assert racer.swaps > RACES


@pytest.mark.parametrize("name", ["releases", "current", "releases/0*"])
def test_races_among_releases(place: Place, name: str) -> None:
    place.owned(place.dest)
    place.owned(place.dest / "releases")
    make_directories(place.path / "spare", NOBODY)
    options: dict[str, Any] = {"permissions": Permissions(uid=NOBODY), "layout": "releases", "keep": 2}
    place.pull(**options)
    spare = place.dest if name == "releases" else place.path / "spare"
    with Racer(place.dest / name, place.victim.path, spare) as racer:
        for number in racer.rounds(RACES, swaps=RACES):
            with contextlib.suppress(OciError):
                place.pull(str(number % 2 + 1), **options)
    assert place.victim.changes() == []
    assert racer.swaps > RACES


def _pull_often(place: Place, permissions: Permissions, rounds: Iterable[int]) -> None:
    chance = random.Random(RACES)
    for _number in rounds:
        with contextlib.suppress(OciError):
            place.pull(chance.choice("12"), permissions=permissions, force=chance.random() < 0.5)


def test_links_lead_nowhere_in_diffs(place: Place) -> None:
    """What only root may read is not shown as the old content of a file."""
    permissions = Permissions(uid=NOBODY)
    place.pull(permissions=permissions)
    for kind in LINKS:
        prepare(place.dest / "dir", kind, place.victim)
        for force in (False, True):
            with contextlib.suppress(OciError):
                result = place.pull("2", check_mode=True, force=force, permissions=permissions)
                assert "only for the eyes of root" not in str(result.diff)
