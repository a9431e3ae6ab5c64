# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of revisions: numbers, what is kept and what goes, holds, and what cannot be a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.history import (
    MAX_HELD,
    Hold,
    Kept,
    Standing,
    checked_standing,
    current_revision,
    hold_on,
    holds,
    kept_revisions,
    listed,
    with_failure,
    with_hold,
    with_placed,
    without_holds,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.kept_blobs import KeptBlobs
from ansible_collections.cloudnative.artifacts.plugins.module_utils._dest.state import State, load_state, save_state
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import DigestMismatch, NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of


def revision(name: str) -> Kept:
    key = {"url": "oci://r/a", "revision": f"{name}@{digest_of(name.encode())}"}
    return Kept(0, key, name, digest_of(name.encode()), "asked", {}, {"mode": ""}, [f"{name}-blob"], "main", "", "root")


def hold(name: str) -> Hold:
    kept = revision(name)
    return Hold(kept.digest, kept.revision, "oci://r/a", "asked", "bad", "me", "2026-01-01T00:00:00Z")


def placed(*names: str, keep: int = 9, standing: Standing | None = None) -> Standing:
    result: Standing = {} if standing is None else standing
    for name in names:
        result = with_placed(result, revision(name), keep)
    return result


def numbers(standing: Standing) -> dict[str, int]:
    return {kept.tag: kept.number for kept in kept_revisions(standing)}


def test_revisions_are_numbered_in_the_order_in_which_they_are_placed() -> None:
    standing = placed("a", "b", "c")
    assert numbers(standing) == {"a": 1, "b": 2, "c": 3}
    assert [kept.after for kept in kept_revisions(standing)] == [0, 1, 2]
    # what is there already keeps its number, what comes again gets a new one
    assert numbers(placed("c", standing=standing)) == {"a": 1, "b": 2, "c": 3}
    assert numbers(placed("a", standing=standing)) == {"b": 2, "c": 3, "a": 4}
    current = current_revision(placed("a", standing=standing))
    assert current is not None and (current.tag, current.after) == ("a", 3)


def test_the_oldest_go_and_those_that_are_held_before_them() -> None:
    assert numbers(placed("a", "b", "c", keep=2)) == {"b": 2, "c": 3}
    standing = with_hold(placed("a", "b", keep=2), hold("b"))
    assert numbers(placed("c", keep=2, standing=standing)) == {"a": 1, "c": 3}
    # a number is never given twice
    assert numbers(placed("d", keep=1, standing=standing)) == {"d": 3}
    assert with_placed(placed("a", "b"), None, 0) == {"last": 2}
    assert current_revision(with_placed(placed("a", "b"), None, None)) is None
    assert numbers(with_placed(placed("a", "b"), None, None)) == {"a": 1, "b": 2}


def test_holds_are_bounded_and_released() -> None:
    standing = placed("a")
    for number in range(MAX_HELD + 2):
        standing = with_hold(standing, hold(str(number)))
    assert len(holds(standing)) == MAX_HELD and hold_on(standing, hold("0").digest) is None
    assert len(holds(with_hold(standing, hold("5")))) == MAX_HELD
    assert without_holds(standing, [each.digest for each in holds(standing)]) == placed("a")


def test_what_results_show() -> None:
    standing = with_hold(with_failure(placed("a", "b"), "it fails"), hold("a"))
    shown = listed(standing)
    assert [(each["number"], each["current"], each["held"], each["failures"]) for each in shown["history"]] == [
        (2, True, False, 1),
        (1, False, True, 0),
    ]
    assert shown["held"][0]["reason"] == "bad" and "request" not in shown["held"][0]
    assert (shown["suspended"], shown["requested_at"]) == ({}, {})


@pytest.mark.parametrize(
    "damage",
    [
        {"history": 1},
        {"history": [{}]},
        {"history": [{**revision("a")._asdict(), "number": "1"}]},
        {"history": [{**revision("a")._asdict(), "key": []}]},
        {"history": [{**revision("a")._asdict(), "blobs": [1]}]},
        {"history": [{**revision("a")._asdict(), "further": 1}]},
        {"held": [{**hold("a")._asdict(), "who": None}]},
        {"suspended": "x"},
        {"requested_at": {"token": 1}},
        {"last": "3"},
        {"current": [1]},
        {"going": "1"},
        {"removed": 5},
    ],
)
def test_a_record_that_holds_something_else_is_damaged(tmp_path: Path, damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        checked_standing(damage)
    control = os.open(tmp_path, os.O_RDONLY)
    save_state(control, State(key={"a": "b"}, standing=damage))
    assert load_state(control) == State(is_damaged=True)
    save_state(control, State(key={"a": "b"}, standing=placed("a", "b")))
    assert load_state(control).standing == placed("a", "b")
    os.close(control)


def test_kept_blobs_are_hashed_whenever_they_are_used(tmp_path: Path) -> None:
    control = os.open(tmp_path, os.O_RDONLY)
    blobs, digest = KeptBlobs(control), digest_of(b"content")
    assert not blobs.has(digest)
    blobs.add(digest, [b"con", b"tent"])
    with blobs.open(digest, "It") as handle:
        assert handle.read() == b"content"
    (kept,) = (tmp_path / "kept").iterdir()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(b"altered")
    with pytest.raises(DigestMismatch, match="It does not match"):
        blobs.open(digest, "It")
    blobs.remove_others([])
    assert not (tmp_path / "kept").exists()
    blobs.remove_others([])
    with pytest.raises(NotFound):
        blobs.open(digest, "It")
    os.close(control)


def test_what_another_user_has_put_in_the_place_of_kept_blobs_is_not_used(tmp_path: Path) -> None:
    control = os.open(tmp_path, os.O_RDONLY)
    blobs, digest = KeptBlobs(control), digest_of(b"content")
    blobs.add(digest, [b"content"])
    for damage in ("writable", "link"):
        if damage == "writable":
            (tmp_path / "kept").chmod(0o777)
        else:
            (tmp_path / "kept").chmod(0o700)
            (tmp_path / "kept").rename(tmp_path / "elsewhere")
            (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
        with pytest.raises((NotFound, OSError)):
            blobs.open(digest, "It")
        with pytest.raises(OSError):
            blobs.add(digest, [b"content"])
    os.close(control)
