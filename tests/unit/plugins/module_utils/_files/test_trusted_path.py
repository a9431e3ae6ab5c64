# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which directories are passed on the way to one, which are made, and whose links are followed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from two_users import NOBODY, SOMEBODY, in_user, make_directories, public_place

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import (
    directory_writers,
    trusted_path,
    user_namespace,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_writers import (
    other_writers,
    record_error,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.foreign_path import (
    open_home,
    open_to_read,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.trusted_file import (
    open_placed_file,
    open_trusted_file,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.trusted_path import (
    MAX_LINKS,
    open_trusted,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.users import belongs_to_us, is_trusted

Opening = Callable[..., int]


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    # fewer when the garbage of another test was collected meanwhile
    assert len(os.listdir("/proc/self/fd")) <= before


def reached(opening: Opening, path: Path, **options: Any) -> os.stat_result:
    descriptor = opening(str(path), **options)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def is_reached(opening: Opening, path: Path, **options: Any) -> bool:
    return os.path.samestat(reached(opening, path, **options), os.stat(path))


def refusal(opening: Opening, path: Path, **options: Any) -> str:
    with pytest.raises(StorageError) as failure:
        reached(opening, path, **options)
    return str(failure.value)


def directory(path: Path, uid: int = 0, mode: int = 0o755, gid: int | None = None) -> Path:
    make_directories(path, uid)
    os.chown(path, uid, uid if gid is None else gid)
    path.chmod(mode)
    return path


# Owners and modes


@pytest.mark.parametrize("name", ["dest", "above/dest", "above/between/dest"])
def test_directories_of_ones_own_are_passed(place: Path, name: str) -> None:
    directory(place / name)
    assert is_reached(open_trusted, place / name)
    assert is_reached(open_trusted, Path("/"))


def test_whoever_owns_a_directory_above_is_named(place: Path) -> None:
    directory(place / "theirs", NOBODY)
    directory(place / "theirs/ours")
    words = refusal(open_trusted, place / "theirs/ours")
    assert f"the directory {place}/theirs belongs to nobody" in words
    assert "Run the task as nobody (become_user)" in words
    directory(place / "unknown", 54321)
    assert "belongs to the user 54321" in refusal(open_trusted, place / "unknown/x")


@pytest.mark.parametrize("may_be_others", [False, True])
@pytest.mark.parametrize(("uid", "mode"), [(NOBODY, 0o755), (0, 0o777), (NOBODY, 0o777)])
def test_the_last_directory_may_be_others(place: Path, uid: int, mode: int, may_be_others: bool) -> None:
    dest = directory(place / "dest", uid, mode)
    if may_be_others:
        assert is_reached(open_trusted, dest, may_be_others=True)
    else:
        assert ("belongs to nobody" if uid else "may be written to by everybody") in refusal(open_trusted, dest)


@pytest.mark.parametrize("mode", [0o757, 0o702])
def test_everybody_may_write(place: Path, mode: int) -> None:
    directory(place / "open", 0, mode)
    words = refusal(open_trusted, place / "open/dest")
    assert "may be written to by everybody" in words and "Choose a place where only root may write" in words


def test_a_group_counts_by_its_members(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = directory(place / "group", 0, 0o775, gid=NOBODY)
    assert "may be written to by the group nogroup" in refusal(open_trusted, above / "dest")
    with monkeypatch.context() as patch:
        # a system without access control lists
        patch.delattr(os, "getxattr")
        assert "may be written to by the group nogroup" in refusal(open_trusted, above / "dest")
    directory(above / "handed out", NOBODY)
    for gid in (0, 54321):
        os.chown(above, 0, gid)
        assert is_reached(open_trusted, above)
        assert is_reached(open_trusted, above / "handed out", may_be_others=True)
    # a member beside those whose own group it is
    group = next(each for each in directory_writers.grp.getgrall() if not each.gr_mem and each.gr_gid > 100)
    members: list[str] = []
    fake = type("Group", (), {"gr_mem": members, "gr_name": "team"})
    monkeypatch.setattr(directory_writers.grp, "getgrgid", lambda _gid: fake)
    monkeypatch.setattr(directory_writers.pwd, "getpwall", list)
    os.chown(above, 0, group.gr_gid)
    own = type("User", (), {"pw_gid": group.gr_gid, "pw_uid": 0})
    other = type("User", (), {"pw_gid": 0, "pw_uid": 5})
    monkeypatch.setattr(directory_writers.pwd, "getpwall", lambda: [own, other])
    members += ["root", "unknown to this host"]
    assert is_reached(open_trusted, above)
    os.chown(above, 0, 0)
    assert is_reached(open_trusted, above), "who has root's group is as good as root"
    os.chown(above, 0, group.gr_gid)
    members += ["nobody"]
    assert "may be written to by the group team" in refusal(open_trusted, above)


def acl(*entries: tuple[int, int, int]) -> bytes:
    raw = (2).to_bytes(4, "little")
    for tag, permissions, number in entries:
        raw += tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + number.to_bytes(4, "little")
    return raw


NO_ONE = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("entries", "writers"),
    [
        ([(1, 7, NO_ONE), (4, 7, NO_ONE), (32, 5, NO_ONE)], "the group nogroup"),
        ([(1, 7, NO_ONE), (2, 7, NOBODY), (4, 5, NO_ONE), (16, 7, NO_ONE), (32, 5, NO_ONE)], "nobody"),
        ([(1, 7, NO_ONE), (2, 7, 0), (4, 5, NO_ONE), (16, 7, NO_ONE), (32, 5, NO_ONE)], ""),
        ([(1, 7, NO_ONE), (2, 5, NOBODY), (4, 5, NO_ONE), (16, 7, NO_ONE), (32, 5, NO_ONE)], ""),
        ([(1, 7, NO_ONE), (2, 7, NOBODY), (4, 7, NO_ONE), (16, 5, NO_ONE), (32, 5, NO_ONE)], ""),
        ([(1, 7, NO_ONE), (4, 5, NO_ONE), (8, 7, NOBODY), (16, 7, NO_ONE), (32, 5, NO_ONE)], "the group nogroup"),
        ([(1, 7, NO_ONE), (4, 5, NO_ONE), (8, 7, 0), (16, 7, NO_ONE), (32, 5, NO_ONE)], ""),
    ],
)
def test_access_control_lists(
    place: Path, monkeypatch: pytest.MonkeyPatch, entries: list[tuple[int, int, int]], writers: str
) -> None:
    above = directory(place / "listed", 0, 0o775, gid=NOBODY)
    descriptor = os.open(above, os.O_RDONLY)
    lists = {f"/proc/self/fd/{descriptor}": acl(*entries)}
    monkeypatch.setattr(directory_writers.os, "getxattr", lambda path, _name: lists[path], raising=False)
    try:
        assert other_writers(descriptor, os.fstat(descriptor)) == writers
    finally:
        os.close(descriptor)


def test_a_user_in_an_access_control_list_is_no_group(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = directory(place / "listed", 0, 0o775)
    entries = [(1, 7, NO_ONE), (2, 7, 0), (4, 5, NO_ONE), (16, 7, NO_ONE), (32, 5, NO_ONE)]
    monkeypatch.setattr(directory_writers.os, "getxattr", lambda _path, _name: acl(*entries), raising=False)
    monkeypatch.setattr(directory_writers, "_has_others", lambda _group: True)
    assert is_reached(open_trusted, above)


# Sticky directories


@pytest.mark.parametrize(("uid", "passes"), [(0, True), (NOBODY, False)])
def test_what_lies_in_a_sticky_directory(place: Path, uid: int, passes: bool) -> None:
    sticky = directory(place / "sticky", 0, 0o1777)
    directory(sticky / "x", uid)
    if passes:
        assert is_reached(open_trusted, sticky / "x", may_be_others=True)
    else:
        words = refusal(open_trusted, sticky / "x", may_be_others=True)
        assert f"{sticky}/x belongs to nobody, who made it" in words and f"Remove {sticky}/x" in words
    assert is_reached(open_trusted, sticky)


def test_a_sticky_bit_where_nobody_else_may_write_says_nothing(place: Path) -> None:
    sticky = directory(place / "sticky", 0, 0o1755)
    directory(sticky / "x", NOBODY)
    assert is_reached(open_trusted, sticky / "x", may_be_others=True)


def test_an_entry_of_a_sticky_directory_that_is_swapped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sticky = directory(place / "sticky", 0, 0o1777)
    directory(sticky / "x")
    look = trusted_path.Walk._look

    def look_and_lose(walk: trusted_path.Walk, name: str, full: str) -> os.stat_result:
        status = look(walk, name, full)
        if name == "x":
            os.chown(full, NOBODY, NOBODY)
        return status

    monkeypatch.setattr(trusted_path.Walk, "_look", look_and_lose)
    assert "x belongs to nobody" in refusal(open_trusted, sticky / "x", may_be_others=True)


def test_a_sticky_directory_of_somebody_else(place: Path) -> None:
    sticky = directory(place / "sticky", NOBODY, 0o1777)
    directory(sticky / "x")
    assert "belongs to nobody" in refusal(open_trusted, sticky / "x")


# Links


def test_links_are_walked_as_paths_are(place: Path) -> None:
    directory(place / "real/below")
    targets = {"absolute": f"{place}/real", "relative": "real", "up": "real/below/../", "dot": "./real"}
    for name, target in targets.items():
        (place / name).symlink_to(target)
        assert is_reached(open_trusted, place / name / "below")
    directory(place / "theirs", NOBODY)
    directory(place / "theirs/x")
    (place / "bad").symlink_to("theirs/x")
    assert f"the directory {place}/theirs belongs to nobody" in refusal(open_trusted, place / "bad")


def test_links_of_others_count_in_sticky_directories_alone(place: Path) -> None:
    directory(place / "real")
    sticky = directory(place / "sticky", 0, 0o1777)
    for folder in (place, sticky):
        (folder / "link").symlink_to(place / "real")
        os.lchown(folder / "link", NOBODY, NOBODY)
    assert is_reached(open_trusted, place / "link")
    assert "belongs to nobody" in refusal(open_trusted, sticky / "link")


@pytest.mark.parametrize(("count", "passes"), [(MAX_LINKS, True), (MAX_LINKS + 1, False)])
def test_how_many_links_are_followed(place: Path, count: int, passes: bool) -> None:
    target = directory(place / "real")
    for number in range(count):
        (place / str(number)).symlink_to(target)
        target = place / str(number)
    if passes:
        assert reached(open_trusted, target).st_ino == (place / "real").stat().st_ino
    else:
        assert f"leads through more than {MAX_LINKS} links" in refusal(open_trusted, target)


# What is missing, and what is made


def test_what_is_missing_or_is_no_directory(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_trusted(str(place / "none"))
    (place / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(NotADirectoryError):
            open_trusted(str(place / name))


def test_directories_that_are_made(place: Path) -> None:
    before = os.umask(0)
    try:
        made: list[str] = []
        assert is_reached(open_trusted, place / "a/b/dest", make=made, may_be_others=True)
        assert made == [str(place / name) for name in ("a", "a/b", "a/b/dest")]
        modes = [stat.S_IMODE(os.stat(path).st_mode) for path in made]
        assert modes == [0o755, 0o755, 0o777], "nobody else decides what is above"
        assert is_reached(open_trusted, place / "own", make=made, mode=0o700)
        assert stat.S_IMODE((place / "own").stat().st_mode) == 0o700
        known = list(made)
        assert is_reached(open_trusted, place / "a/b", make=made) and made == known
    finally:
        os.umask(before)


def test_a_path_that_is_relative_and_a_system_without_descriptors(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "without following links" in refusal(open_trusted, Path("relative"))
    monkeypatch.setattr(trusted_path.os, "supports_dir_fd", set())
    assert "supports dir_fd" in refusal(open_trusted, place)


# Whose things are ours


@pytest.mark.parametrize(
    ("uid", "mode", "ours"),
    [(0, 0o700, True), (0, 0o755, True), (NOBODY, 0o700, False), (0, 0o720, False), (0, 0o702, False)],
)
def test_what_belongs_to_us(place: Path, uid: int, mode: int, ours: bool) -> None:
    assert belongs_to_us(directory(place / "x", uid, mode).stat()) is ours


def test_who_is_trusted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert [is_trusted(uid) for uid in (0, 1, NOBODY, SOMEBODY)] == [True, False, True, False]
    directory(place / "theirs", SOMEBODY)
    assert "only root and nobody may write" in refusal(open_trusted, place / "theirs")


@pytest.mark.parametrize(
    ("uid", "kind", "finding", "way_out"),
    [
        (0, stat.S_IFREG, "it is not a directory, and belongs to root", "Look at what it holds"),
        (NOBODY, stat.S_IFREG, "it is not a directory, and belongs to nobody", "Pull as nobody (become_user)"),
        (NOBODY, stat.S_IFDIR, "it belongs to nobody", "Pull as nobody (become_user)"),
        (0, stat.S_IFDIR, "it may be written to by others (mode 0770)", "Look at what it holds"),
    ],
)
def test_what_is_said_of_a_record_that_is_not_believed(uid: int, kind: int, finding: str, way_out: str) -> None:
    status = os.stat_result((kind | 0o770, 0, 0, 1, uid, 0, 0, 0, 0, 0))
    words = str(record_error("/dest/.oci-artifact", status))
    assert f"{finding}." in words and f"{way_out}, or remove /dest/.oci-artifact" in words


def test_an_ordinary_user_trusts_root_and_oneself(place: Path) -> None:
    directory(place / "mine", SOMEBODY)
    directory(place / "mine/below", SOMEBODY)
    directory(place / "theirs", NOBODY)
    done = in_user(
        SOMEBODY,
        """
import encodings.ascii, pwd, sys
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files import directory_writers
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.trusted_path import open_trusted
become()
for path in sys.argv[1:]:
    try:
        open_trusted(path)
        print("passed")
    except Exception as exc:
        print(exc)
""",
        str(place / "mine/below"),
        str(place / "theirs"),
    )
    first, second = done.stdout.splitlines()
    assert first == "passed" and "belongs to nobody" in second
    assert "only root and the user 65533 may write" in second


@pytest.mark.parametrize(
    ("overflow", "mapping", "passes"),
    [
        ("65534", "0 0 4294967295", False),
        ("65534", "0 1000 1", True),
        ("1", "0 1000 1", False),
        ("", "0 1000 1", False),
    ],
)
def test_the_hosts_users_in_a_container_of_ones_own(
    place: Path, monkeypatch: pytest.MonkeyPatch, overflow: str, mapping: str, passes: bool
) -> None:
    """What the kernel shows as nobody's is above everybody in a user namespace, and somebody's elsewhere."""
    files = {"/proc/sys/kernel/overflowuid": place / "overflow", "/proc/self/uid_map": place / "map"}
    (place / "overflow").write_text(overflow)
    (place / "map").write_text(mapping)

    def opened(name: str, **options: Any) -> Any:
        return files[name].open(**options)

    monkeypatch.setattr(user_namespace, "open", opened, raising=False)
    directory(place / "theirs", NOBODY)
    if passes:
        assert is_reached(open_trusted, place / "theirs")
    else:
        assert "belongs to nobody" in refusal(open_trusted, place / "theirs")
    for file in reversed(files.values()):
        file.unlink()
        assert "belongs to nobody" in refusal(open_trusted, place / "theirs")


# Other people's places that are used all the same


def test_other_peoples_directories_are_read_but_their_links_are_not_followed(place: Path) -> None:
    theirs = directory(place / "theirs", NOBODY, 0o777)
    directory(theirs / "layout", SOMEBODY)
    assert is_reached(open_to_read, theirs / "layout")
    (theirs / "link").symlink_to(place)
    os.lchown(theirs / "link", NOBODY, NOBODY)
    words = refusal(open_to_read, theirs / "link")
    assert f"{theirs}/link is a symbolic link of nobody" in words and "Name the directory that it leads to" in words
    (place / "own").symlink_to(theirs)
    assert is_reached(open_to_read, place / "own")
    sticky = directory(place / "sticky", 0, 0o1777)
    directory(sticky / "x", NOBODY)
    assert is_reached(open_to_read, sticky / "x")
    (sticky / "link").symlink_to(place)
    assert is_reached(open_to_read, sticky / "link")
    os.lchown(sticky / "link", NOBODY, NOBODY)
    assert f"{sticky}/link is a symbolic link of nobody" in refusal(open_to_read, sticky / "link")


def test_the_home_of_one_other_user(place: Path) -> None:
    home = directory(place / "home", NOBODY)
    made: list[str] = []
    assert is_reached(open_home, home / ".docker", make=made) and made == [str(home / ".docker")]
    directory(home / "third", SOMEBODY)
    for name in ("third", "third/x"):
        assert "belongs to the user 65533" in refusal(open_home, home / name, make=[])
    (home / "link").symlink_to(place)
    assert "is a symbolic link" in refusal(open_home, home / "link")
    sticky = directory(place / "sticky", 0, 0o1777)
    directory(sticky / "x", NOBODY)
    assert "belongs to nobody, who made it" in refusal(open_home, sticky / "x")
    assert "may be written to by everybody" in refusal(open_home, directory(place / "open", 0, 0o777) / "x", make=[])


def test_files_whose_place_only_trusted_users_decide(place: Path) -> None:
    (place / "file").write_text("x")
    (place / "link").symlink_to("file")
    for name in ("file", "link"):
        assert reached(open_placed_file, place / name).st_ino == (place / "file").stat().st_ino
    os.chown(place / "file", NOBODY, NOBODY)
    assert is_reached(open_placed_file, place / "file"), "root alone decides that it is this one"
    sticky = directory(place / "sticky", 0, 0o1777)
    (sticky / "file").write_text("x")
    assert is_reached(open_placed_file, sticky / "file")
    os.chown(sticky / "file", NOBODY, NOBODY)
    assert "belongs to nobody" in refusal(open_placed_file, sticky / "file")
    theirs = directory(place / "theirs", NOBODY)
    assert "belongs to nobody" in refusal(open_placed_file, theirs / "file")
    (place / "loop").symlink_to("loop")
    assert "more than" in refusal(open_placed_file, place / "loop")
    for name in ("none", "sticky"):
        with pytest.raises(FileNotFoundError):
            open_placed_file(str(place / name))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place / "loop")


def test_files_that_only_trusted_users_can_change(place: Path) -> None:
    file = place / "file"
    file.write_text("x")
    assert is_reached(open_trusted_file, file, power="all")
    file.chmod(0o646)
    assert refusal(open_trusted_file, file, power="all") == (
        f"It may be written to by everybody, who would decide all. chmod go-w {file}"
    )
    file.chmod(0o644)
    os.chown(file, NOBODY, NOBODY)
    assert refusal(open_trusted_file, file, power="all") == (
        f"It belongs to nobody, who would decide all. Run the task as nobody (become_user), or chown root {file}"
    )
