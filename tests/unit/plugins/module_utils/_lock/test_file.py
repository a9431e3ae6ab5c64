# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock files on disk: whole at any moment, written by one process at a time, and only where nobody else decides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import StorageError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock import file as lock_file
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.document import MAX_LOCK_FILE, LockFile
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.entry import Entry, Request
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.file import (
    read_lock,
    update_lock,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.refusals import LockInvalid
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.prune.rules import digests_in_use

A, B = (f"sha256:{letter * 64}" for letter in "ab")
ROOT = Path(__file__).resolve().parents[8]


def entry(tag: str, digest: str = A) -> Entry:
    return Entry(Request("oci://registry.example.com/a", tag), tag, digest, "", "2026-11-29T10:00:00Z")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "infra"
    folder.mkdir(mode=0o755)
    return folder / "oci.lock.yml"


def test_a_file_is_written_once(path: Path) -> None:
    assert read_lock(str(path)) is None
    change = update_lock(str(path), [entry("1")], check_mode=True)
    assert change is not None and change.before == "" and not list(path.parent.iterdir())
    assert update_lock(str(path), [entry("1")]) == change
    assert path.read_text() == change.after and path.stat().st_mode & 0o777 == 0o644 & ~os_umask()
    before = path.stat()
    assert update_lock(str(path), [entry("1")]) is None
    assert path.stat() == before
    path.chmod(0o600)
    second = update_lock(str(path), [entry("2", B)])
    assert second is not None and second.before == change.after
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    # what keeps artifacts from being pruned
    assert digests_in_use([], [str(path)]) == {A, B}


def os_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_processes_lose_nothing(path: Path) -> None:
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from {lock_file.__name__} import update_lock
        from {Entry.__module__} import Entry, Request
        for number in range(20):
            tag = f"{{sys.argv[1]}}-{{number}}"
            update_lock({str(path)!r}, [Entry(Request("oci://registry.example.com/a", tag), tag, {A!r})])
    """)
    running = [subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(5)]
    seen = 0
    while any(each.poll() is None for each in running):
        # whole at any moment, and it only grows
        found = read_lock(str(path))
        assert (0 if found is None else len(found.entries)) >= seen
        seen = 0 if found is None else len(found.entries)
    assert [each.returncode for each in running] == [0] * 5
    found = read_lock(str(path))
    assert found is not None and len(found.entries) == 100
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_that_another_process_makes_between_two_looks_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, looks = lock_file.open_trusted_file, []

    def open_late(place: str, power: str) -> int:
        looks.append(place)
        if len(looks) == 1:
            with pytest.raises(FileNotFoundError):
                opened(place, power)
            path.write_text(LockFile("", "it").with_entries([entry("1")]) or "")
            raise FileNotFoundError(2, "No such file or directory")
        return opened(place, power)

    monkeypatch.setattr(lock_file, "open_trusted_file", open_late)
    found = read_lock(str(path))
    assert found is not None and len(found.entries) == 1 and len(looks) == 2


def test_a_process_that_dies_leaves_the_file_as_it_was(path: Path) -> None:
    update_lock(str(path), [entry("1")])
    before = path.read_bytes()
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from {lock_file.__name__} import update_lock
        from {Entry.__module__} import Entry, Request
        os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        update_lock({str(path)!r}, [Entry(Request("oci://registry.example.com/a", "2"), "2", {A!r})])
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == before
    # what it left is no obstacle, and goes
    assert update_lock(str(path), [entry("1")]) is None
    assert update_lock(str(path), [entry("2")]) is not None
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update_lock(str(path), [entry("1")])
    before = path.read_bytes()

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left") as caught:
        update_lock(str(path), [entry("2")])
    assert caught.value.reason == "StorageOperationFailed"
    assert path.read_bytes() == before and [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    update_lock(str(path), [entry("1")])
    link = tmp_path / "link.yml"
    link.symlink_to("infra/oci.lock.yml")
    assert update_lock(str(link), [entry("2")]) is not None
    assert link.is_symlink() and 'version: "2"' in path.read_text()


def test_places_that_others_decide_about(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update_lock(str(path), [entry("1")])

    def refused(problem: str, where: Path = path) -> None:
        for call in (lambda: read_lock(str(where)), lambda: update_lock(str(where), [entry("2")])):
            with pytest.raises(LockInvalid, match=problem) as caught:
                call()
            assert str(where) in str(caught.value)

    path.chmod(0o666)
    refused("may be written to by everybody, who would decide which digests are used")
    path.chmod(0o644)
    path.parent.chmod(0o777)
    refused("may be written to by everybody")
    path.parent.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid:
        refused("belongs to")
    monkeypatch.undo()
    (tmp_path / "a directory").mkdir()
    refused("Not a regular file", tmp_path / "a directory")
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nothing")
    refused("cannot be read", dangling)
    path.write_bytes(b"\xff")
    refused("not text in UTF-8")
    path.write_bytes(b"#" * (MAX_LOCK_FILE + 1))
    refused("more than 1,048,576 bytes")
    with pytest.raises(LockInvalid, match="cannot be written on the controller: No such file"):
        update_lock(str(tmp_path / "none" / "oci.lock.yml"), [entry("1")])
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(LockInvalid, match="everybody may make files in its directory"):
        update_lock(str(shared / "oci.lock.yml"), [entry("1")])
