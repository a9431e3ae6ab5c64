# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes beside the blobs of a cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.notes import CacheNotes
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.prune import PruneRules, prune
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.directory_handles import DirectoryHandles
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of

ONE, TWO = digest_of(b"one"), digest_of(b"two")


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    made = ArtifactCache(str(tmp_path / "cache"))
    made.keep(ONE, b"one")
    return made


def note_of(cache: ArtifactCache, digest: str) -> Path:
    return Path(cache.root, "notes", str(os.geteuid()), *digest.split(":")).with_suffix(".json")


def test_what_is_noted(cache: ArtifactCache) -> None:
    notes = CacheNotes(cache.root)
    assert notes.load(ONE) == {}
    notes.save(ONE, {"seen": 1})
    assert notes.load(ONE) == {"seen": 1, "digest": ONE}
    assert stat.S_IMODE(note_of(cache, ONE).stat().st_mode) == 0o600
    notes.save(ONE, {"seen": 2})
    assert notes.load(ONE)["seen"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seen": 1}', f'{{"digest": "{TWO}"}}', "[" * 100_000])
def test_what_cannot_be_relied_on(cache: ArtifactCache, content: str) -> None:
    notes = CacheNotes(cache.root)
    notes.save(ONE, {})
    note_of(cache, ONE).write_text(content)
    assert notes.load(ONE) == {}


def test_what_others_may_have_written(cache: ArtifactCache) -> None:
    notes = CacheNotes(cache.root)
    notes.save(ONE, {"seen": 1})
    for mode in (0o620, 0o602):
        note_of(cache, ONE).chmod(mode)
        assert notes.load(ONE) == {}
    note_of(cache, ONE).chmod(0o600)
    note_of(cache, ONE).rename(note_of(cache, TWO))
    assert notes.load(TWO) == {}


def test_a_shared_cache(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(0o2777)
    cache = ArtifactCache(str(root))
    cache.keep(ONE, b"one")
    notes = CacheNotes(cache.root)
    notes.save(ONE, {"seen": 1})
    assert notes.load(ONE)["seen"] == 1
    # another user has to be able to make a folder beside it
    assert stat.S_IMODE((root / "notes").stat().st_mode) == 0o2777
    assert stat.S_IMODE(note_of(cache, ONE).stat().st_mode) == 0o600
    with notes.alone(TWO):
        (lock,) = set(note_of(cache, TWO).parent.iterdir()) - {note_of(cache, ONE)}
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_notes_go_with_what_they_are_about(cache: ArtifactCache) -> None:
    notes = CacheNotes(cache.root)
    for digest in (ONE, TWO):
        notes.save(digest, {"seen": 1})
    rules = PruneRules(max_age=3600)
    prune(cache.root, rules, check_mode=True)
    assert notes.load(TWO)
    prune(cache.root, rules)
    assert notes.load(ONE) and not notes.load(TWO)
    prune(cache.root, PruneRules(everything=True))
    assert not os.path.exists(cache.root)


def test_what_another_user_has_written(cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the folder has come to lie in the place of this user's."""
    notes = CacheNotes(cache.root)
    notes.save(ONE, {"seen": 1})
    own = note_of(cache, ONE).parent.parent
    other = os.geteuid() + 1
    own.rename(own.with_name(str(other)))
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert note_of(cache, ONE).exists()
    assert notes.load(ONE) == {}


def test_the_users_folder_is_for_nobody_else(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(0o2777)
    notes = CacheNotes(str(root))
    own = root / "notes" / str(os.geteuid())
    with contextlib.closing(DirectoryHandles.of(str(root))) as handles:
        notes.make_folder(handles, f"notes/{os.geteuid()}")
        notes.make_folder(handles, "shared")
    assert stat.S_IMODE(own.stat().st_mode) & 0o777 == 0o700
    assert stat.S_IMODE((root / "shared").stat().st_mode) & 0o777 == 0o777


def test_the_folder_of_all_users_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        CacheNotes(str(tmp_path)).save(ONE, {})
    finally:
        os.umask(before)
    own = tmp_path / "notes" / str(os.geteuid())
    assert [stat.S_IMODE(each.stat().st_mode) for each in (own.parent, own)] == [0o755, 0o700]


def test_a_note_that_cannot_be_written(cache: ArtifactCache) -> None:
    notes = CacheNotes(cache.root)
    notes.save(ONE, {})
    folder = note_of(cache, ONE).parent
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(StorageError):
        notes.save(ONE, {})
    # which is nothing that a verification should fail for
    notes.update(ONE, "seen", {})
    with notes.alone(ONE):
        assert notes.load(ONE) == {}


def test_one_at_a_time_finds_out_about_a_digest(cache: ArtifactCache) -> None:
    first, second = CacheNotes(cache.root), CacheNotes(cache.root)
    order: list[str] = []
    waiting = threading.Event()

    def later() -> None:
        waiting.set()
        with second.alone(ONE):
            order.append("second")

    with first.alone(ONE):
        other = threading.Thread(target=later)
        other.start()
        waiting.wait()
        # other digests are nobody's concern
        with second.alone(TWO):
            pass
        other.join(0.3)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_what_is_left_beside_a_note_goes(cache: ArtifactCache) -> None:
    notes = CacheNotes(cache.root)
    notes.save(ONE, {})
    left = note_of(cache, ONE).with_suffix(".temp")
    left.touch()
    notes.drop_except([ONE])
    assert note_of(cache, ONE).exists() and not left.exists()
