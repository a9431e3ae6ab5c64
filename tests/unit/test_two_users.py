# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of the tests with two users: it notices what it is there for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_users import KINDS, NOBODY, Racer, Victim, as_user, in_user, make_directories, prepare, public_place


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.chmod(0o755),
        lambda path: (path / "secret").chmod(0o644),
        lambda path: (path / "below/deep").write_text("other"),
        lambda path: (path / "public").unlink(),
        lambda path: (path / "new").write_text(""),
        lambda path: os.chown(path / "program", NOBODY, -1),
        lambda path: os.utime(path / "read-only"),
        lambda path: ((path / "new").write_text(""), (path / "new").unlink()),
    ],
)
def test_a_victim_knows_what_was_done_to_it(place: Path, harm: object) -> None:
    victim = Victim(place / "victim")
    assert victim.changes() == []
    harm(victim.path)  # type: ignore[operator]
    assert victim.changes()


def test_what_is_prepared_belongs_to_the_other_user(place: Path) -> None:
    victim = Victim(place / "victim")
    for kind in KINDS:
        prepare(place / "theirs" / kind, kind, victim)
        owner = os.lstat(place / "theirs" / kind).st_uid
        assert owner == (0 if kind == "hard-link" else NOBODY)
    assert os.stat(place / "theirs").st_uid == NOBODY
    assert victim.changes() == []


def test_a_racer_swaps_a_directory_and_gives_it_back(place: Path) -> None:
    victim, theirs = Victim(place / "victim"), place / "theirs"
    make_directories(theirs / "stage", NOBODY)
    seen: set[bool] = set()
    with Racer(theirs / "stage", victim.path, theirs) as racer:
        for _look in racer.rounds(20_000, lambda: len(seen) == 2, swaps=1):
            seen.add(os.path.islink(theirs / "stage"))
    assert seen == {True, False} and racer.swaps > 1
    assert not os.path.islink(theirs / "stage")


def test_a_racer_swaps_names_that_come_and_go(place: Path) -> None:
    victim, theirs = Victim(place / "victim"), place / "theirs"
    make_directories(theirs, NOBODY)
    swapped: list[int] = []
    with Racer(theirs / "*.tmp", victim.path / "secret", theirs) as racer:
        for number in racer.rounds(2_000, lambda: bool(swapped)):
            path = theirs / f"{number}.tmp"
            path.touch()
            if any(path.is_symlink() for _look in range(20)):
                swapped.append(number)
            path.unlink(missing_ok=True)
    assert swapped and racer.swaps and victim.changes() == []


def test_commands_and_code_of_another_user(place: Path) -> None:
    Victim(place / "victim")
    assert as_user(NOBODY, ["id", "-u"]).stdout == f"{NOBODY}\n"
    assert as_user(NOBODY, ["cat", str(place / "victim/public")]).returncode
    done = in_user(NOBODY, "import json, sys; become(); print(os.getuid(), sys.argv[1])", "word")
    assert done.stdout == f"{NOBODY} word\n", done.stderr
