# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a cache: which it may be, what its index says, and how it gets smaller."""

from __future__ import annotations

import fcntl
import gc
import json
import multiprocessing
import os
import random
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache import prune as cache_prune
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.artifact_cache import ArtifactCache
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.layout import (
    CACHE_TAG,
    CachedPlace,
    CacheLayout,
    is_cache,
    parse_entry,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._cache.prune import PruneRules, prune, take_stock
from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci import media
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.digest import digest_of
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.manifest import (
    Descriptor,
    Manifest,
    canonical_json,
    parse_manifest,
)
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import Reference, parse_reference

FORK = multiprocessing.get_context("fork")
PLACE = "registry.example.com/team/app"
NAME = media.ANNOTATION_REF_NAME


def artifact(cache: ArtifactCache, data: bytes, *, place: str = PLACE, tag: str = "", age: float = 0) -> Manifest:
    """Put an artifact into the cache, as a pull does; it was used so many seconds ago."""
    blobs = {digest_of(each): each for each in (b"{}", data)}
    config, layer = (Descriptor(media.OCTET_STREAM, digest, len(each)) for digest, each in blobs.items())
    document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config.as_json()}
    raw = canonical_json({**document, "layers": [layer.as_json()]})
    manifest = parse_manifest(raw, "", "it")
    cache.keep(manifest.descriptor.digest, raw)

    def fetch(part: Descriptor, offset: int) -> Any:
        yield blobs[part.digest][offset:]

    held = cache.hold(layer, lambda offset: fetch(layer, offset), "it")
    assert held is not None, cache.warnings
    with held:
        cache.enter(place, tag, manifest, fetch)
    if age:
        for digest in (manifest.descriptor.digest, layer.digest):
            os.utime(cache.store.path(digest), (time.time() - age,) * 2)
    return manifest


def names(root: Path) -> dict[str, str]:
    entries = json.loads((root / "index.json").read_text())["manifests"]
    return {entry.get("annotations", {}).get(NAME, ""): entry["digest"] for entry in entries}


def assert_sound(root: Path) -> None:
    """What the index lists is there as a whole, with the content that its name says."""
    for digest in names(root).values():
        raw = (root / "blobs" / digest.replace(":", "/")).read_bytes()
        document = json.loads(raw)
        for part in (document["config"], *document["layers"]):
            data = (root / "blobs" / part["digest"].replace(":", "/")).read_bytes()
            assert digest_of(data) == part["digest"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(root: Path) -> ArtifactCache:
    return ArtifactCache(str(root))


def run_in_child(work: Callable[[], object]) -> int | None:
    process = FORK.Process(target=work)
    process.start()
    process.join(600)
    return process.exitcode


# -- which directory


def test_a_cache_is_made_by_its_first_use(root: Path, cache: ArtifactCache) -> None:
    assert not root.exists() and cache.manifest(digest_of(b"")) is None and not root.exists()
    cache.keep(digest_of(b"x"), b"x")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert sorted(path.name for path in root.iterdir()) == [CACHE_TAG, "blobs", "index.json", "oci-layout"]
    assert (root / CACHE_TAG).read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert is_cache(str(root)) and cache.warnings == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"precious": "x"}, "holds 'precious' and no CACHEDIR.TAG"),
        ({"oci-layout": "{}", "index.json": "{}", "blobs/": ""}, "is an OCI image layout, not a cache"),
        ({CACHE_TAG: "Signature: 8a477f597d28d172789f06886806bc55\n# pip\n"}, "the cache of another program"),
        ({CACHE_TAG: ""}, "the cache of another program"),
    ],
)
def test_what_is_something_else_is_refused(root: Path, content: dict[str, str], words: str) -> None:
    root.mkdir()
    for name, text in content.items():
        if name.endswith("/"):
            (root / name).mkdir()
        else:
            (root / name).write_text(text)
    for use in (lambda: ArtifactCache(str(root)), lambda: prune(str(root), PruneRules(everything=True))):
        with pytest.raises(InvalidOption, match=words):
            use()


def test_a_new_file_system_will_do(root: Path) -> None:
    (root / "lost+found").mkdir(parents=True)
    cache = ArtifactCache(str(root))
    artifact(cache, b"x", tag="1")
    assert names(root).keys() == {f"{PLACE}:1"}


def test_a_file_is_no_cache(root: Path) -> None:
    root.write_text("x")
    with pytest.raises(InvalidOption, match="is not a directory"):
        ArtifactCache(str(root))


@pytest.mark.parametrize("is_layout", [True, False])
@pytest.mark.parametrize("file", ["oci-layout", "index.json"])
@pytest.mark.parametrize("damage", [b"", b"\0\0", b'{"imageLayoutVersion": "9"}', b"[]"])
def test_damaged_files_are_written_anew(
    root: Path, cache: ArtifactCache, file: str, damage: bytes, is_layout: bool
) -> None:
    artifact(cache, b"x", tag="1")
    (root / file).write_bytes(damage)
    if not is_layout:
        (root / "oci-layout").unlink()
    again = ArtifactCache(str(root))
    artifact(again, b"y", tag="2")
    artifact(again, b"x", tag="1")
    assert names(root).keys() == {f"{PLACE}:1", f"{PLACE}:2"}
    assert json.loads((root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert again.warnings == []


def test_a_shared_cache_gives_everybody_its_rights(root: Path) -> None:
    root.mkdir()
    root.chmod(0o2770)
    before = os.umask(0o077)
    try:
        artifact(ArtifactCache(str(root)), b"x", tag="1")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_file()}
    assert modes == {0o660}


# -- what the index says


def test_names_are_the_references_that_led_there(root: Path, cache: ArtifactCache) -> None:
    one = artifact(cache, b"one").descriptor.digest
    assert names(root) == {f"{PLACE}@{one}": one}
    artifact(cache, b"one", tag="1")
    assert names(root) == {f"{PLACE}:1": one}, "the tag says more"
    artifact(cache, b"one")
    assert names(root) == {f"{PLACE}:1": one}
    artifact(cache, b"one", tag="stable")
    artifact(cache, b"one", place="other.example.com/app", tag="1")
    two = artifact(cache, b"two", tag="stable").descriptor.digest
    assert names(root) == {
        f"{PLACE}:1": one,
        f"{PLACE}:stable": two,
        # where the tag has moved on from
        f"{PLACE}@{one}": one,
        "other.example.com/app:1": one,
    }
    entries = cache.entries()
    assert [(entry.place, entry.tag) for entry in entries] == [
        ("other.example.com/app", "1"),
        (PLACE, "1"),
        (PLACE, "stable"),
        (PLACE, ""),
    ]


def test_nothing_is_written_when_the_index_says_it_already(root: Path, cache: ArtifactCache) -> None:
    artifact(cache, b"one", tag="1")
    before = (root / "index.json").stat()
    artifact(cache, b"one", tag="1")
    artifact(cache, b"one")
    assert (root / "index.json").stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    "name", ["", "1.0", "no host/x:1", "oci-layout:/x:1", f"{PLACE}@{digest_of(b'another')}", "\ud800", "a" * 5000]
)
def test_entries_of_others_are_passed_over(name: str) -> None:
    assert parse_entry(Descriptor("", digest_of(b"x"), 1, annotations={NAME: name})) is None


def test_an_artifact_that_is_not_whole_is_not_listed(root: Path, cache: ArtifactCache) -> None:
    """A large layer that nobody asked for, a config that is not to be had, or is another than it says."""
    large = {"mediaType": "x", "digest": digest_of(b"large"), "size": 5 * 1024 * 1024}
    absent = {"mediaType": "x", "digest": digest_of(b"absent"), "size": 6}
    wrong = {"mediaType": "x", "digest": digest_of(b"right"), "size": 5}

    def fetch(part: Descriptor, _offset: int) -> Any:
        if part.digest == absent["digest"]:
            raise NotFound("It is not there.")
        yield b"wrong"

    for config, layers in ((wrong, []), (absent, []), (large, []), (large, [large])):
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": layers}
        cache.enter(PLACE, "1", parse_manifest(canonical_json(document), "", "it"), fetch)
        assert names(root) == {}
    assert cache.warnings == []


def test_one_repository_can_be_looked_at(root: Path, cache: ArtifactCache) -> None:
    one, two = (artifact(cache, data, tag=tag).descriptor for data, tag in ((b"1", "1.0"), (b"2", "2.0")))
    artifact(cache, b"3", place="other.example.com/app", tag="3.0")
    artifact(cache, b"4")
    place = CachedPlace(str(root), parse_reference(f"{PLACE}:1.0"))
    assert place.list_tags() == ["1.0", "2.0"] and place.reference.url == f"oci://{PLACE}"
    assert place.resolve("1.0").digest == one.digest
    assert place.fetch_manifest(two.digest).descriptor.digest == two.digest
    with pytest.raises(NotFound, match=r"It has 1.0, 2.0"):
        place.resolve("3.0")
    for elsewhere in (str(root), str(root / "absent")):
        with pytest.raises(NotFound):
            CachedPlace(elsewhere, Reference(registry="x.example.com", repository="y")).list_tags()


def test_entries_of_many_processes(root: Path) -> None:
    def work(number: int) -> None:
        mine = ArtifactCache(str(root))
        for turn in range(5):
            artifact(mine, b"%d %d" % (number, turn), tag=f"{number}-{turn}")
        assert mine.warnings == []

    processes = [FORK.Process(target=work, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(names(root)) == 20
    assert_sound(root)


# -- getting smaller


def digests(found: Any) -> set[str]:
    return {holding.digest for holding in found}


def test_age_goes_before_size(root: Path, cache: ArtifactCache) -> None:
    made = [artifact(cache, bytes([number]) * 1000, tag=str(number), age=100 * (5 - number)) for number in range(5)]
    found = [manifest.descriptor.digest for manifest in made]
    unlisted = b"nothing lists this" * 100
    loose = digest_of(unlisted)
    cache.store.add(Descriptor("", loose, len(unlisted)), [unlisted])
    os.utime(cache.store.path(loose), (time.time() - 250,) * 2)
    result = prune(str(root), PruneRules(max_age=350, max_size=5500))
    # 500 and 400 are too old, 300 goes for the size, and that is enough: the loose one and two artifacts stay
    assert digests(result.removed) == set(found[:2]) | {found[2]} and result.changed
    assert digests(result.after.artifacts) == set(found[3:]) and loose in result.after.sizes
    assert result.after.size == sum(result.after.sizes.values()) <= 5500
    assert names(root).keys() == {f"{PLACE}:3", f"{PLACE}:4"}
    assert_sound(root)
    again = prune(str(root), PruneRules(max_age=350, max_size=5500))
    assert not again.changed and again.removed == []


def test_what_several_need_stays_with_the_last(root: Path, cache: ArtifactCache) -> None:
    """The config of all; a layer of two; and two names of one."""
    old = artifact(cache, b"shared", tag="old")
    artifact(cache, b"shared", tag="also-old")
    new = artifact(cache, b"new", tag="new")
    document = {**json.loads(old.raw), "annotations": {"a": "b"}}
    other = parse_manifest(canonical_json(document), "", "it")
    cache.enter(PLACE, "other", other, lambda part, offset: iter(()))
    for manifest in (old,):
        os.utime(cache.store.path(manifest.descriptor.digest), (0, 0))
        os.utime(cache.store.path(manifest.layers[0].digest), (0, 0))
    assert old.config is not None
    os.utime(cache.store.path(old.config.digest), (0, 0))
    result = prune(str(root), PruneRules(max_age=1000))
    assert digests(result.removed) == {old.descriptor.digest}
    assert names(root) == {f"{PLACE}:new": new.descriptor.digest, f"{PLACE}:other": other.descriptor.digest}
    assert cache.store.has(old.layers[0]) and cache.store.has(old.config)
    assert_sound(root)


def test_what_is_in_use_stays_as_a_whole(root: Path, cache: ArtifactCache) -> None:
    manifest = artifact(cache, b"used", tag="1", age=1000)
    artifact(cache, b"unused", tag="2", age=1000)
    with open(cache.store.path(manifest.layers[0].digest), "rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        for rules in (PruneRules(max_age=10), PruneRules(max_size=0), PruneRules(everything=True)):
            result = prune(str(root), rules)
            assert names(root).keys() == {f"{PLACE}:1"} and result.in_use == 1
            assert_sound(root)
    assert prune(str(root), PruneRules(max_size=0)).changed
    assert names(root) == {}


def test_damage_is_found(root: Path, cache: ArtifactCache) -> None:
    one, _two = (artifact(cache, data, tag=data.decode(), age=1000) for data in (b"one", b"two"))
    path = Path(cache.store.path(one.layers[0].digest))
    path.write_bytes(b"eno")
    os.utime(path, (0, 0))
    foreseen = prune(str(root), PruneRules(check_content=True), check_mode=True)
    assert path.exists() and len(names(root)) == 2
    result = prune(str(root), PruneRules(check_content=True))
    for each in (foreseen, result):
        assert each.damaged == [one.layers[0].digest] and each.changed
        assert (each.removed_blobs, each.removed_size) == (1, 3)
    assert names(root).keys() == {f"{PLACE}:two"} and not path.exists()
    # looking at it is no use of it
    assert take_stock(str(root)).artifacts[0].last_used < time.time() - 900


def test_an_entry_without_its_blobs_is_dropped(root: Path, cache: ArtifactCache) -> None:
    one, two = (artifact(cache, data, tag=data.decode()) for data in (b"one", b"two"))
    os.unlink(cache.store.path(one.layers[0].digest))
    os.unlink(cache.store.path(two.descriptor.digest))
    assert take_stock(str(root)).artifacts == []
    assert prune(str(root), PruneRules(max_age=1000)).changed
    assert names(root) == {}


def test_leftovers_of_killed_processes(root: Path, cache: ArtifactCache) -> None:
    artifact(cache, b"x", tag="1")
    folder = root / ".ingest"
    folder.mkdir(exist_ok=True)
    names = ("old.tmp", "new.tmp", "old.partial", "new.partial", "locked.partial", "foreign")
    files = {name: folder / name for name in names}
    for name, path in files.items():
        path.write_text("half")
        if not name.startswith("new"):
            os.utime(path, (0, 0))
    with files["locked.partial"].open("rb") as working:
        fcntl.flock(working, fcntl.LOCK_EX)
        result = prune(str(root), PruneRules(max_size=10**9))
        assert result.leftovers == 3 and result.changed
        assert {path.name for path in folder.iterdir()} == {"new.partial", "locked.partial", "foreign"}
        assert prune(str(root), PruneRules(everything=True)).leftovers == 1
    assert root.exists(), "somebody still downloads"


def test_all_of_it_goes_and_comes_again(root: Path, cache: ArtifactCache) -> None:
    artifact(cache, b"x", tag="1")
    assert prune(str(root), PruneRules(everything=True)).changed
    assert not root.exists()
    assert not prune(str(root), PruneRules(everything=True)).changed
    # a run that began before: what it had made is gone, and made again
    artifact(cache, b"y", tag="2")
    assert names(root).keys() == {f"{PLACE}:2"} and is_cache(str(root)) and cache.warnings == []


def test_foreign_files_stay(root: Path, cache: ArtifactCache) -> None:
    artifact(cache, b"x", tag="1")
    (root / "notes").write_text("mine")
    (root / "blobs/sha256/notes").write_text("mine")
    prune(str(root), PruneRules(everything=True))
    assert (root / "notes").read_text() == (root / "blobs/sha256/notes").read_text() == "mine"
    assert is_cache(str(root))


@pytest.mark.parametrize("moment", range(0, 12, 2))
def test_a_prune_that_is_killed_leaves_a_sound_cache(root: Path, cache: ArtifactCache, moment: int) -> None:
    """kill -9 between any two changes of the directory."""
    for number in range(4):
        artifact(cache, b"%d" % number, tag=str(number), age=1000 if number else 0)

    def work() -> None:
        _kill_after(moment)
        prune(str(root), PruneRules(max_age=500))

    code = run_in_child(work)
    assert code in (-signal.SIGKILL, 0)
    assert_sound(root)
    assert f"{PLACE}:0" in names(root)
    for number in range(4):
        artifact(ArtifactCache(str(root)), b"%d" % number, tag=str(number))
    assert len(names(root)) == 4
    assert_sound(root)


@pytest.mark.parametrize("moment", range(12))
def test_a_removal_that_is_killed_leaves_a_cache_or_nothing(root: Path, cache: ArtifactCache, moment: int) -> None:
    """kill -9 between any two changes: the next removal ends it, and the next pull has its cache."""
    artifact(cache, b"x", tag="1")

    def work() -> None:
        _kill_after(moment)
        prune(str(root), PruneRules(everything=True))

    assert run_in_child(work) in (-signal.SIGKILL, 0)
    artifact(ArtifactCache(str(root)), b"y", tag="2")
    assert is_cache(str(root)) and f"{PLACE}:2" in names(root)
    assert run_in_child(work) in (-signal.SIGKILL, 0)
    prune(str(root), PruneRules(everything=True))
    assert not take_stock(str(root)).sizes


def _kill_after(changes: int) -> None:
    """Have this process killed before a further change of a directory."""
    left = changes

    def counted(original: Any) -> Any:
        def change(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **more)

        return change

    for name in ("unlink", "replace", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))


def test_pulls_and_prunes_of_many_processes(root: Path) -> None:
    """Nobody's pull fails, whatever is removed when; what is listed in the end is whole."""
    stop = time.monotonic() + 2.0
    data = [bytes([number]) * 20_000 for number in range(6)]

    def pulls(seed: int) -> None:
        generator, mine = random.Random(seed), ArtifactCache(str(root))
        while time.monotonic() < stop:
            number = generator.randrange(len(data))
            artifact(mine, data[number], tag=str(number))
            assert mine.warnings == []
            # the next task, or one that goes on with what it had made
            mine = generator.choice([mine, ArtifactCache(str(root))])

    def prunes(seed: int) -> None:
        generator = random.Random(seed)
        rules = [
            PruneRules(max_size=0),
            PruneRules(max_size=50_000),
            PruneRules(everything=True),
            PruneRules(max_age=0),
        ]
        while time.monotonic() < stop:
            prune(str(root), generator.choice(rules if seed % 2 else rules[2:3]))

    works = [pulls, pulls, pulls, prunes, prunes]
    workers = [FORK.Process(target=target, args=(seed,)) for seed, target in enumerate(works)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(600)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    if root.exists():
        ArtifactCache(str(root)).keep(digest_of(b"x"), b"x")
        assert_sound(root)
        assert prune(str(root), PruneRules(check_content=True)).damaged == []


def test_a_hostile_manifest_in_the_index_is_dropped(root: Path, cache: ArtifactCache) -> None:
    """Who may write to the directory may list anything; none of it is taken for an artifact."""
    artifact(cache, b"x", tag="1")
    # what earlier tests left is not finalised deep in the parser, where Python has no stack left for it
    gc.collect()
    bomb = b'{"schemaVersion":2,"layers":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    for data in (bomb, b"\xff", b"[]"):
        cache.store.add(Descriptor("", digest_of(data), len(data)), [data])
    with CacheLayout(str(root)).locked_entries() as entries:
        bad = [{"mediaType": "x", "digest": digest_of(data), "size": 1} for data in (bomb, b"\xff", b"[]")]
        CacheLayout(str(root)).write_entries([*entries, *bad])
    assert [holding.names for holding in take_stock(str(root)).artifacts] == [[f"{PLACE}:1"]]
    assert cache_prune.prune(str(root), PruneRules(max_age=10**6)).changed
    assert names(root).keys() == {f"{PLACE}:1"}
