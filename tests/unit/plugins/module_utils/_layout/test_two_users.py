# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts and caches in which another user may write: root uses them, and nothing of root's is touched."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_users import (
    KINDS,
    NOBODY,
    SOMEBODY,
    Racer,
    Victim,
    give,
    make_directories,
    prepare,
    public_place,
    remove,
)

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache import layout as cache_layout
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.notes import CacheNotes
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.prune import PruneRules, prune, take_stock
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.store import checked
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import (
    DigestMismatch,
    OciError,
    StorageError,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout import repository as layout_module
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.files import Temporary
from ansible_collections.cloudnative.artifacts.plugins.module_utils._layout.repository import LayoutRepository
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.repository import BlobSource

pytestmark = pytest.mark.once

DATA = b"the content of a blob" * 1000
BLOB = Descriptor("application/octet-stream", digest_of(DATA), len(DATA))
CONFIG = Descriptor("application/vnd.oci.empty.v1+json", digest_of(b"{}"), 2)
RACES = 25


def _manifest() -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "text/plain",
        "config": CONFIG.as_json(),
        "layers": [BLOB.as_json()],
    }
    return parse_manifest(json.dumps(document).encode(), "", "it")


MANIFEST = _manifest()
HEX, MANIFEST_HEX = (digest.partition(":")[2] for digest in (BLOB.digest, MANIFEST.descriptor.digest))
# every name that is opened, made or replaced in a cache or layout
SHARED_NAMES = (
    "blobs",
    "blobs/sha256",
    f"blobs/sha256/{HEX}",
    f"blobs/sha256/{MANIFEST_HEX}",
    ".ingest",
    "index.json",
    "oci-layout",
)
CACHE_NAMES = (
    *SHARED_NAMES,
    "CACHEDIR.TAG",
    f".ingest/sha256-{HEX}.partial",
    f".ingest/sha256-{MANIFEST_HEX}.turn.partial",
    ".ingest/left.tmp",
    ".ingest/left.partial",
    "notes",
    "notes/0",
    "notes/0/sha256",
    f"notes/0/sha256/{MANIFEST_HEX}.json",
    f"notes/0/sha256/{MANIFEST_HEX}.json.lock",
    "notes/1234/sha256",
)


@pytest.fixture
def place() -> Iterator[Path]:
    with public_place() as path:
        yield path


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is writing these files in place, so no time is given for it."""
    for module in (layout_module, cache_layout):
        monkeypatch.setattr(module, "_RETRY_PAUSES", ())


@pytest.fixture
def victim(place: Path) -> Victim:
    found = Victim(place / "victim")
    # what a walk that is led here would take for something of its own
    for name in ("sha256/secret", f"sha256/{HEX}", HEX, "shadow.json", "left.tmp", "left.partial"):
        os.utime(found.add(name, b"root's"), (0, 0))
    found.add("last", b"")
    return found


def stream(offset: int) -> Iterator[bytes]:
    for start in range(offset, len(DATA), 1000):
        yield DATA[start : start + 1000]


def use_cache(root: Path, *, empties: bool = True) -> tuple[bytes | None, list[str]]:
    """What tasks do with a cache, and with each step that is refused left out; the blob and the warnings."""
    warnings: list[str] = []
    content = None
    with contextlib.suppress(OciError):
        cache = ArtifactCache(str(root))
        digest = MANIFEST.descriptor.digest
        cache.manifest(digest)
        with cache.turn(digest):
            cache.keep(digest, MANIFEST.raw)
        held = cache.hold(BLOB, stream, "it")
        if held is not None:
            with held, contextlib.suppress(DigestMismatch):
                content = b"".join(checked(held, BLOB))
        cache.enter("registry.example.com/it", "1", MANIFEST, lambda _part, offset: iter([b"{}"[offset:]]))
        notes = cache.notes()
        with notes.alone(digest):
            notes.update(digest, "verdict", {"verified": True})
            notes.load(digest)
        warnings = cache.warnings
    for rules in (PruneRules(max_age=0, check_content=True), PruneRules(everything=True))[: 2 if empties else 1]:
        with contextlib.suppress(OciError):
            take_stock(str(root))
            prune(str(root), rules)
    return content, warnings


def use_layout(root: Path, other: bytes = b"{}") -> list[str]:
    """Push into a layout and read it back; what was refused."""
    refused = []
    layout = LayoutRepository(parse_reference(f"oci-layout:{root}"), lock_timeout=2)

    def push() -> None:
        layout.push_blob(BlobSource(BLOB, lambda: io.BytesIO(DATA)))
        layout.push_blob(BlobSource(CONFIG, lambda: io.BytesIO(b"{}")))
        layout.push_blob(BlobSource(Descriptor("", digest_of(other), len(other)), lambda: io.BytesIO(other)))
        layout.push_manifest(MANIFEST, "1")

    def read() -> None:
        assert layout.fetch_manifest("1").raw == MANIFEST.raw
        assert b"".join(layout.stream_blob(BLOB)) == DATA

    for step in (push, layout.list_tags, read, lambda: layout.list_referrers(BLOB.digest)):
        try:
            step()
        except OciError as exc:
            refused.append(str(exc))
    return refused


def shared(root: Path, mode: int = 0o777, uid: int = 0) -> Path:
    root.mkdir()
    os.chown(root, uid, uid)
    root.chmod(mode)
    return root


# -- what was there first


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["shared", "theirs"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CACHE_NAMES)
def test_what_stands_in_a_cache_leads_nowhere(place: Path, victim: Victim, name: str, kind: str, uid: int) -> None:
    root = shared(place / "cache", uid=uid)
    prepare(root / name, kind, victim)
    content, _warnings = use_cache(root)
    assert content in (DATA, None)
    assert victim.changes() == []
    # after the cache is there, too
    remove(root)
    shared(root, uid=uid)
    cache = ArtifactCache(str(root))
    cache.keep(MANIFEST.descriptor.digest, MANIFEST.raw)
    give(root, uid) if uid else None
    prepare(root / name, kind, victim)
    use_cache(root)
    assert victim.changes() == []


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["shared", "theirs"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SHARED_NAMES)
def test_what_stands_in_a_layout_leads_nowhere(place: Path, victim: Victim, name: str, kind: str, uid: int) -> None:
    root = shared(place / "layout", uid=uid)
    prepare(root / name, kind, victim)
    use_layout(root)
    assert victim.changes() == []
    remove(root)
    shared(root, uid=uid)
    assert use_layout(root) == []
    prepare(root / name, kind, victim)
    use_layout(root)
    assert victim.changes() == []


def test_an_empty_file_of_root_is_not_filled(place: Path, victim: Victim) -> None:
    """A hard link to an empty file looks like the lock of a writer that was killed."""
    for damage in (b"", b"{}"):
        victim.add("empty", damage)
        for use in (use_layout, use_cache):
            root = shared(place / "shared")
            if use is use_cache:
                ArtifactCache(str(root)).keep(CONFIG.digest, b"{}")
                (root / "oci-layout").unlink()
            os.link(victim.path / "empty", root / "oci-layout")
            use(root)
            assert victim.changes() == []
            remove(root)


@pytest.mark.parametrize("link", ["blobs", "blobs/sha256", f"blobs/sha256/{HEX}", "index.json", "oci-layout"])
def test_what_root_alone_may_read_is_not_read_through_a_link(place: Path, link: str) -> None:
    """Of a layout that somebody else may write to."""
    private, root = shared(place / "private", 0o700), shared(place / "layout", uid=NOBODY)
    assert use_layout(private) == []
    assert use_layout(root) == []
    remove(root / link)
    (root / link).symlink_to(private / link)
    layout = LayoutRepository(parse_reference(f"oci-layout:{root}"))
    with pytest.raises(OciError) as caught:
        layout.fetch_manifest("1")
        b"".join(layout.stream_blob(BLOB))
    assert "symbolic link" in str(caught.value) and "nobody" in str(caught.value)


@pytest.mark.parametrize("link", ["blobs", f"blobs/sha256/{HEX}", "index.json", "oci-layout"])
def test_links_in_a_layout_of_ones_own_are_followed(place: Path, link: str) -> None:
    """As build tools make them."""
    store, root = shared(place / "store", 0o755), shared(place / "layout", 0o755)
    assert use_layout(store) == [] and use_layout(root) == []
    remove(root / link)
    (root / link).symlink_to(os.path.relpath(store / link, (root / link).parent))
    layout = LayoutRepository(parse_reference(f"oci-layout:{root}"))
    assert layout.fetch_manifest("1").raw == MANIFEST.raw
    assert b"".join(layout.stream_blob(BLOB)) == DATA and layout.blob_exists(BLOB)


# -- where the directory lies


def test_a_layout_of_another_user_is_read(place: Path) -> None:
    theirs = place / "theirs"
    make_directories(theirs, NOBODY)
    assert use_layout(shared(place / "layout", 0o755)) == []
    (place / "layout").rename(theirs / "layout")
    give(theirs / "layout")
    layout = LayoutRepository(parse_reference(f"oci-layout:{theirs}/layout"))
    assert layout.fetch_manifest("1").raw == MANIFEST.raw
    assert b"".join(layout.stream_blob(BLOB)) == DATA
    # but not through a link of theirs
    (theirs / "link").symlink_to(place)
    os.lchown(theirs / "link", NOBODY, NOBODY)
    with pytest.raises(StorageError, match="is a symbolic link of nobody"):
        LayoutRepository(parse_reference(f"oci-layout:{theirs}/link/theirs/layout")).list_tags()


def test_links_to_a_layout_of_ones_own_are_followed(place: Path) -> None:
    (place / "link").symlink_to("layouts")
    (place / "layouts").mkdir()
    assert use_layout(place / "link/mine") == []
    assert (place / "layouts/mine/index.json").exists()


@pytest.mark.parametrize("way", ["theirs", "writable", "sticky"])
def test_a_place_that_others_decide_about_is_refused(place: Path, victim: Victim, way: str) -> None:
    above = place / "above"
    make_directories(above, NOBODY if way == "theirs" else 0, 0o755)
    above.chmod({"theirs": 0o755, "writable": 0o777, "sticky": 0o1777}[way])
    if way == "sticky":
        # who was first there decides
        shared(above / "it", 0o755, uid=NOBODY)
    before = sorted(above.rglob("*"))
    content, warnings = use_cache(above / "it")
    assert content is None
    assert "everybody" in warnings[0] if way != "theirs" else "belongs to nobody" in warnings[0]
    assert "Run the task as" in warnings[0] or "hoose a place" in warnings[0]
    refused = use_layout(above / "it")
    assert str(above) in refused[0]
    with pytest.raises(StorageError):
        prune(str(above / "it"), PruneRules(everything=True))
    assert sorted(above.rglob("*")) == before and victim.changes() == []


def test_a_directory_that_a_task_makes_is_its_own_also_below_tmp(place: Path) -> None:
    above = shared(place / "tmp", 0o1777)
    content, warnings = use_cache(above / "cache")
    assert content == DATA and warnings == []
    assert use_layout(above / "new/layout") == []


# -- what is believed


def forge(cache: ArtifactCache) -> Path:
    """A note of root as nobody would like it to be."""
    digest = MANIFEST.descriptor.digest
    document = {"digest": digest, "verdict": {"forged": True}}
    path = Path(cache.root, "notes/0/sha256", f"{MANIFEST_HEX}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("what", ["file", "folder", "folders", "link"])
def test_notes_of_another_owner_are_not_believed(place: Path, what: str) -> None:
    cache = ArtifactCache(str(shared(place / "cache")))
    cache.keep(CONFIG.digest, b"{}")
    path = forge(cache)
    for folder in (path.parent, path.parent.parent):
        folder.chmod(0o700)
    assert CacheNotes(cache.root).load(MANIFEST.descriptor.digest)
    if what == "link":
        path.rename(place / "elsewhere")
        path.symlink_to(place / "elsewhere")
    else:
        os.chown({"file": path, "folder": path.parent, "folders": path.parent.parent}[what], NOBODY, NOBODY)
    assert CacheNotes(cache.root).load(MANIFEST.descriptor.digest) == {}
    if what.startswith("folder"):
        with pytest.raises(StorageError, match="belongs to another user"):
            CacheNotes(cache.root).save(MANIFEST.descriptor.digest, {})


def test_a_note_is_not_written_where_others_can_replace_it(place: Path) -> None:
    """Files of root lie about in a shared cache, with content that others chose: blobs. One of them, put in the place
    of a note that is under way, would be taken for root's word."""
    cache = ArtifactCache(str(shared(place / "cache")))
    cache.keep(CONFIG.digest, b"{}")
    notes, seen = cache.notes(), set()
    publish = notes.publish

    def look(temporary: Temporary, name: str, durable: bool) -> None:
        folder = Path(cache.root, temporary.name).parent
        seen.add((folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)))
        publish(temporary, name, durable)

    notes.publish = look  # type: ignore[assignment, method-assign]
    notes.save(MANIFEST.descriptor.digest, {"seen": 1})
    assert seen == {(0, 0o700)}
    assert notes.load(MANIFEST.descriptor.digest)["seen"] == 1


def test_users_who_share_a_cache_share_blobs_and_no_notes(place: Path) -> None:
    root = shared(place / "cache")
    for uid in (NOBODY, SOMEBODY, 0):
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                cache = ArtifactCache(str(root))
                held = cache.hold(BLOB, stream if uid == NOBODY else lambda _offset: iter([]), "it")
                assert held is not None and held.read() == DATA
                assert cache.notes().load(BLOB.digest) == {}
                cache.notes().save(BLOB.digest, {"of": uid})
                assert cache.notes().load(BLOB.digest)["of"] == uid
                assert cache.warnings == []
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0, uid


# -- races


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (".ingest", ""),
        ("blobs", ""),
        ("blobs/sha256", "sha256"),
        ("notes", ""),
        (".ingest/*.tmp", "secret"),
        (".ingest/*.partial", "secret"),
        ("oci-layout", "secret"),
        ("index.json", "secret"),
        (f"blobs/sha256/{HEX}", "secret"),
    ],
)
def test_what_is_swapped_while_a_cache_is_used_leads_nowhere(
    place: Path, victim: Victim, name: str, target: str
) -> None:
    root = shared(place / "cache", uid=NOBODY)
    theirs = shared(place / "theirs", uid=NOBODY)
    ArtifactCache(str(root)).keep(CONFIG.digest, b"{}")
    found = []
    with Racer(root / name, victim.path / target, theirs) as racer:
        for _round in racer.rounds(RACES, swaps=-1 if "*" in name else 0):
            for folder in ("blobs/sha256", ".ingest", "notes"):
                # what the racer needs is there again after the cache was pruned
                with contextlib.suppress(OSError):
                    make_directories(root / folder, NOBODY, 0o777)
            found.append(use_cache(root, empties=False)[0])
    assert set(found) <= {DATA, None}
    assert victim.changes() == []
    assert racer.swaps or "*" in name


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (".ingest", ""),
        ("blobs", ""),
        ("blobs/sha256", "sha256"),
        (".ingest/*.tmp", "secret"),
        ("oci-layout", "secret"),
        ("index.json", "secret"),
    ],
)
def test_what_is_swapped_while_a_layout_is_used_leads_nowhere(
    place: Path, victim: Victim, name: str, target: str
) -> None:
    root = shared(place / "layout", uid=NOBODY)
    theirs = shared(place / "theirs", uid=NOBODY)
    use_layout(root)
    give(root)
    with Racer(root / name, victim.path / target, theirs) as racer:
        for number in racer.rounds(RACES, swaps=-1 if "*" in name else 0):
            with contextlib.suppress(OSError):
                make_directories(root / ".ingest", NOBODY, 0o777)
            use_layout(root, str(number).encode())
    assert victim.changes() == []
    assert racer.swaps or "*" in name
