# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large layers that are sent while they are hashed or packed: when that is done, and when it is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import BuildError, PushFailed, TagImmutable
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.options import CacheOptions, ConnectionOptions
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import known_files, one_pass
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push import push as push_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.build import BuildOptions, Input
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.push.push import PushOptions, PushResult, push
from ansible_collections.cloudnative.artifacts.plugins.module_utils._ops.resolve import ReferenceOptions
from ansible_collections.cloudnative.artifacts.tests.unit.plugins.module_utils._http.fault_server import (
    Answer,
    FaultServer,
    Seen,
)

LARGE = 200_000
UPLOADS = "/blobs/uploads/"


class Place:
    """A registry, and files to push to it."""

    def __init__(self, server: FaultServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.file = folder / "model.bin"
        self.file.write_bytes(os.urandom(LARGE))
        self.tree = folder / "tree"
        self.tree.mkdir()
        for number in range(4):
            (self.tree / f"{number}.bin").write_bytes(os.urandom(LARGE))

    def push(
        self, tag: str = "1", *paths: Path, type: str = "files", check: bool = False, **options: Any
    ) -> PushResult:
        self.server.seen.clear()
        build = BuildOptions([Input(str(path)) for path in paths or (self.file,)], type=type)
        reference = ReferenceOptions(ref=f"{self.server.host}/org/app:{tag}")
        connection = ConnectionOptions(insecure=True, timeout=60.0, retries=0)
        return push(PushOptions(reference, build, connection=connection, **options), check_mode=check)

    def sent(self, *methods: str) -> list[str]:
        wanted = methods or ("POST", "PATCH", "PUT", "DELETE")
        return [seen.method for seen in self.server.requests() if seen.method in wanted]

    def patched(self) -> int:
        return len(self.server.requests("PATCH"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for module in (one_pass, push_module):
        monkeypatch.setattr(module, "MIN_FILE", LARGE)
    monkeypatch.setattr(one_pass, "MIN_ARCHIVE", LARGE)
    monkeypatch.setattr(one_pass, "MIN_PIECE", 1000)
    monkeypatch.setattr(one_pass, "READ_SIZE", 50_000)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    with FaultServer() as server:
        yield Place(server, tmp_path)


def test_a_file_for_a_new_tag(place: Place) -> None:
    done = place.push()
    assert done.artifact["layer"]["digest"] == digest_of(place.file.read_bytes())
    assert done.blobs == {"existed": 0, "mounted": 0, "uploaded": 2}
    # the tag, the file, the config, the manifest
    assert [seen.method for seen in place.server.seen if seen.method != "GET"] == [
        *["HEAD", "POST", "PATCH", "PUT"],
        *["HEAD", "POST", "PUT"],
        "PUT",
    ]
    assert set(place.server.blobs) == {done.artifact["layer"]["digest"], digest_of(b"{}")}


@pytest.mark.parametrize("type_", ["flux", "files"])
def test_a_directory_for_a_new_tag(place: Place, type_: str) -> None:
    planned = place.push("1", place.tree, type=type_, check=True)
    assert place.sent() == []
    done = place.push("1", place.tree, type=type_)
    assert place.patched() == 1
    # the bytes depend on the content alone, whichever way they go
    assert done.artifact["digest"] == planned.artifact["digest"]
    layer = done.artifact["layer"]
    assert len(place.server.blobs[layer["digest"]]) == layer["size"] > 4 * LARGE


def test_what_is_small_is_sent_as_ever(place: Place) -> None:
    place.file.write_bytes(b"x" * (LARGE - 1))
    (place.folder / "small").mkdir()
    (place.folder / "small/a").write_bytes(b"x" * LARGE)  # packs to little
    place.push("1", place.file, place.folder / "small")
    assert place.patched() == 0


def test_the_same_again(place: Place) -> None:
    place.push()
    again = place.push()
    assert not again.changed and [seen.method for seen in place.server.seen] == ["HEAD"]
    place.push("1", place.tree)
    assert place.patched() == 0, "the tag exists: the archive may be the one that it holds"


def test_a_new_tag_and_one_that_moves(place: Place) -> None:
    place.push("edge")
    # a layer of what the tag holds has the size of the file, which may be it
    place.file.write_bytes(os.urandom(LARGE))
    assert place.push("1", tags=["edge"]).tags == {"1": "created", "edge": "moved"} and place.patched() == 0
    place.file.write_bytes(os.urandom(LARGE + 1))
    assert place.push("2", tags=["edge"]).tags == {"2": "created", "edge": "moved"} and place.patched() == 1
    # no tag is new: whether there is anything to do is the first question
    place.file.write_bytes(os.urandom(LARGE + 2))
    assert place.push("edge").tags == {"edge": "moved"} and place.patched() == 0


def test_a_protected_tag_is_refused_before_anything_is_sent(place: Place) -> None:
    place.push("1.0.0")
    place.file.write_bytes(os.urandom(LARGE + 1))
    with pytest.raises(TagImmutable):
        place.push("1.0.0", tags=["new"])
    assert place.sent() == []
    assert place.push("1.0.0", tags=["new"], force=True).changed and place.patched() == 1


@pytest.mark.parametrize("options", [{"mount_from": ["other/base"]}, {"subject": "base"}])
def test_where_the_digest_is_of_use(place: Place, options: dict[str, Any]) -> None:
    (place.folder / "base").write_text("base")
    place.push("base", place.folder / "base")
    assert place.push("1", **options).changed and place.patched() == 0


def test_check_mode_sends_nothing(place: Place) -> None:
    assert place.push(check=True).changed
    assert place.sent() == []


def test_a_registry_without_patch(place: Place) -> None:
    place.server.always("PATCH", UPLOADS, Answer(405))
    other = place.folder / "other.bin"
    other.write_bytes(os.urandom(LARGE))
    done = place.push("1", place.file, place.tree, other)
    assert done.blobs["uploaded"] == 4 and set(place.server.uploads) == set()
    assert {digest_of(place.file.read_bytes()), digest_of(other.read_bytes())} < set(place.server.blobs)
    assert place.sent("DELETE")


def test_a_connection_that_breaks(place: Place) -> None:
    place.server.script("PATCH", UPLOADS, Answer(is_silent=True))
    place.push("1", place.tree)
    assert (place.patched(), len(place.server.requests("PUT", UPLOADS))) == (1, 2)


def test_several_files_at_the_same_time(place: Place) -> None:
    """Uploads wait for each other here: one after the other they would never end."""
    others = [place.folder / f"{number}.bin" for number in range(3)]
    for other in others:
        other.write_bytes(os.urandom(LARGE))
    together = threading.Barrier(4)

    def wait(seen: Seen) -> None:
        together.wait(120)

    place.server.always("PATCH", UPLOADS, wait)
    done = place.push("1", place.file, *others)
    assert done.blobs["uploaded"] == 5
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in _layers(place, "1")]
    assert titles == ["model.bin", "0.bin", "1.bin", "2.bin"]


def _layers(place: Place, tag: str) -> list[dict[str, Any]]:
    import json

    _type, raw = place.server.manifests[place.server.tags[tag]]
    layers: list[dict[str, Any]] = json.loads(raw)["layers"]
    return layers


# Changes while it is read, and what cannot be read


@pytest.mark.parametrize("change", ["grows", "shrinks", "is overwritten"])
def test_a_file_that_changes_meanwhile(place: Place, change: str) -> None:
    def write(seen: Seen) -> None:
        status = os.stat(place.file)
        with open(place.file, "r+b") as stream:
            if change == "grows":
                stream.seek(0, os.SEEK_END)
            stream.truncate(LARGE - 1) if change == "shrinks" else stream.write(b"other")
        os.utime(place.file, ns=(status.st_atime_ns, status.st_mtime_ns + 10))

    place.server.script("POST", UPLOADS, write)
    with pytest.raises(BuildError, match="changed while it was published"):
        place.push()
    assert place.sent("DELETE") == ["DELETE"] and place.server.uploads == {} and place.server.tags == {}


def test_a_tree_that_changes_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing stops in the middle; what was sent by then is cancelled, and the reason is the one that packing has."""
    started = threading.Event()
    place.server.script("POST", UPLOADS, lambda seen: started.set())
    from ansible_collections.cloudnative.artifacts.plugins.module_utils._archive import pack

    pieces = pack._pieces

    def shrunk(descriptor: int, path: str) -> Iterator[bytes]:
        if path.endswith("3.bin"):
            assert started.wait(120)
            os.truncate(path, 1)
        yield from pieces(descriptor, path)

    monkeypatch.setattr(pack, "_pieces", shrunk)
    with pytest.raises(BuildError, match=r"3\.bin.*changed while it was packed"):
        place.push("1", place.tree)
    assert place.sent("DELETE") == ["DELETE"] and place.server.tags == {}


def test_a_failure_ends_the_other_uploads(place: Place) -> None:
    unreadable = place.folder / "gone.bin"
    unreadable.mkdir()
    (unreadable / "pipe").touch()
    (unreadable / "pipe").unlink()
    os.mkfifo(unreadable / "pipe")
    second = place.folder / "second.bin"
    second.write_bytes(os.urandom(LARGE))
    with pytest.raises(BuildError, match="fifo"):
        place.push("1", place.file, second, unreadable)
    assert place.server.tags == {}


def test_no_upload_can_be_opened(place: Place) -> None:
    place.server.always("POST", UPLOADS, Answer(403))
    with pytest.raises(Exception, match="status 403"):
        place.push("1", place.tree)
    place.server.always("POST", UPLOADS, Answer(400))
    with pytest.raises(PushFailed, match="status 400"):
        place.push()


# What is remembered of files


def test_a_file_that_was_published_before(place: Place) -> None:
    cache = CacheOptions(root=str(place.folder / "cache"))
    place.push("1", cache=cache)
    assert place.patched() == 1
    done = place.push("2", cache=cache)
    assert done.blobs == {"existed": 2, "mounted": 0, "uploaded": 0}
    assert place.sent() == ["PUT"], "the manifest alone"
    # a note only says where to look: the registry no longer has it
    place.server.blobs.clear()
    assert place.push("3", cache=cache).blobs["uploaded"] == 2 and place.patched() == 1


def test_a_note_that_is_wrong(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other content with the status of a file that was published: what is published is the content."""
    monkeypatch.setattr(known_files, "_key", lambda status: "the same")
    cache = CacheOptions(root=str(place.folder / "cache"))
    place.push("1", cache=cache)
    place.file.write_bytes(os.urandom(LARGE))
    done = place.push("2", cache=cache)
    assert place.patched() == 0 and done.blobs["uploaded"] == 1
    assert done.artifact["layer"]["digest"] == digest_of(place.file.read_bytes())


def test_notes_are_bounded_and_private(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_files, "MAX_FILES", 3)
    cache = CacheOptions(root=str(place.folder / "cache"))
    for number in range(5):
        place.file.write_bytes(os.urandom(LARGE))
        place.push(str(number), cache=cache)
    notes = list((place.folder / "cache/notes").rglob("*.json"))
    assert len(notes) == 1 and notes[0].stat().st_mode & 0o777 == 0o600
    assert notes[0].read_text().count("sha256:") == 3 + 1
    # the latest is among them; one that somebody garbled is as none
    place.push("5", cache=cache)
    assert place.patched() == 0
    for garbled in ("{", "[]", '{"digest": "x"}', '{"files": {"latest": [[1], ["a", "b"], 3]}}'):
        notes[0].write_text(garbled)
        place.push(f"6-{len(garbled)}", cache=cache)
        assert place.patched() == 1


def test_check_mode_notes_nothing(place: Place) -> None:
    cache = CacheOptions(root=str(place.folder / "cache"), read_only=True)
    place.push(check=True, cache=cache)
    assert not (place.folder / "cache").exists()
