# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory and pruning of a cache.

A listed manifest and all its blobs are kept or removed together; its last use is that of the manifest, since other
artifacts may share the blobs. A blob that no listed manifest names (layers of images that were pulled in part, indexes,
signatures) is kept or removed alone. A blob is removed when no kept manifest needs it, and no process has locked it.

The index is rewritten before the first blob is removed, and locked until the last one is: a process that is killed in
between leaves unlisted blobs, and never an index that lists missing ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidContent, StorageError
from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.lockable import is_at
from .._files.trusted_path import open_trusted
from .._layout.blobs import blob_name
from .._layout.files import INGEST
from .._layout.leftovers import PARTIAL_AGE, remove_leftovers
from .._oci.digest import is_digest
from .._oci.manifest import MAX_MANIFEST_SIZE, Descriptor, Manifest, parse_manifest
from .layout import CACHE_TAG, CacheLayout, is_cache, parts_of, raw_name
from .notes import CacheNotes
from .store import CacheStore


@dataclass(frozen=True)
class PruneRules:
    """The rules of a pruning. ``max_age`` is in seconds since the last use, ``max_size`` in bytes; None is no limit.

    ``everything`` removes the cache itself, ``check_content`` the blobs that do not match their digest.
    """

    max_age: int | None = None
    max_size: int | None = None
    everything: bool = False
    check_content: bool = False

    @property
    def is_empty(self) -> bool:
        return self.max_age is None and self.max_size is None and not (self.everything or self.check_content)


@dataclass(frozen=True)
class Holding:
    """Blobs that are kept or removed together; ``names`` is empty for an unlisted blob. ``last_used`` is in seconds
    since 1970."""

    digest: str
    names: Sequence[str]
    blobs: frozenset[str]
    size: int
    last_used: float
    artifact_type: str = ""


@dataclass
class Inventory:
    """The blobs of a cache with their sizes in bytes, and the artifacts that they belong to, by digest."""

    sizes: dict[str, int] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    # listed manifests of which a blob is missing
    broken: set[str] = field(default_factory=set)

    @property
    def artifacts(self) -> list[Holding]:
        return [holding for holding in self.holdings.values() if holding.names]

    @property
    def size(self) -> int:
        return sum(self.sizes.values())


@dataclass
class PruneResult:
    """The inventory before and after, the holdings removed (in check mode: to remove), and how many are kept in use."""

    before: Inventory
    after: Inventory
    removed: list[Holding] = field(default_factory=list)
    removed_blobs: int = 0
    removed_size: int = 0
    damaged: list[str] = field(default_factory=list)
    leftovers: int = 0
    in_use: int = 0
    changed: bool = False


def take_stock(root: str) -> Inventory:
    """Return the inventory of a cache, without a lock: a blob that is being removed may or may not be in it.

    :raises InvalidOption: when the directory is not a cache.
    :raises StorageError: when it cannot be read.
    """
    if not is_cache(root):
        return Inventory()
    return _inventory(CacheStore(root, read_only=True), CacheLayout(root).raw_entries())


def prune(root: str, rules: PruneRules, *, check_mode: bool = False) -> PruneResult:
    """Prune a cache by the rules; with ``check_mode`` only report what would be removed.

    :raises InvalidOption: when the directory is not a cache.
    :raises StorageError: when a file operation fails, or the lock is not acquired in time.
    """
    if not is_cache(root):
        return PruneResult(Inventory(), Inventory())
    return _Pruner(root, rules, check_mode).run()


class _Pruner:
    def __init__(self, root: str, rules: PruneRules, check_mode: bool) -> None:
        self._root = root
        self._rules = rules
        self._check_mode = check_mode
        self._store = CacheStore(root, read_only=check_mode)
        self._layout = CacheLayout(root)

    def run(self) -> PruneResult:
        if self._check_mode:
            return self._prune(self._layout.raw_entries())
        with self._layout.locked_entries() as entries:
            result = self._prune(entries)
            if self._rules.everything and not result.after.sizes:
                self._remove_directory()
        return result

    def _prune(self, entries: list[dict[str, Any]]) -> PruneResult:
        """Choose, rewrite the index and remove blobs. Called under the lock, except in check mode."""
        # first, since any write to the cache removes old leftovers, too
        leftovers = self._remove_leftovers()
        before = sound = _inventory(self._store, entries)
        damaged = self._damaged(before) if self._rules.check_content else set()
        if damaged:
            sound = _inventory(self._store, entries, damaged)
        removable, in_use = self._choose(sound)
        stays = [holding for digest, holding in sound.holdings.items() if digest not in removable]
        needed = {digest for holding in stays for digest in holding.blobs}
        goes = {digest for holding in removable.values() for digest in holding.blobs} - needed | damaged
        kept = [entry for entry in entries if entry["digest"] not in removable and entry["digest"] not in sound.broken]
        if kept != entries and not self._check_mode:
            self._layout.write_entries(kept)
        removed = {digest for digest in goes if self._remove(digest, is_damaged=digest in damaged)}
        sizes = {digest: size for digest, size in before.sizes.items() if digest not in removed}
        if not self._check_mode:
            CacheNotes(self._root).drop_except(sizes)
        return PruneResult(
            before=before,
            after=Inventory(sizes, {holding.digest: holding for holding in stays}),
            removed=list(removable.values()),
            removed_blobs=len(removed),
            removed_size=sum(before.sizes[digest] for digest in removed),
            damaged=sorted(damaged),
            leftovers=leftovers,
            in_use=in_use,
            changed=bool(removed or leftovers or kept != entries),
        )

    def _damaged(self, inventory: Inventory) -> set[str]:
        """The digests of blobs that do not match their digest. The check does not count as a use of them."""
        reader, damaged = CacheStore(self._root, read_only=True), set()
        for digest, size in inventory.sizes.items():
            held = reader.hold(Descriptor("", digest, size))
            if held is None:
                damaged.add(digest)
            else:
                held.close()
        return damaged

    def _choose(self, inventory: Inventory) -> tuple[dict[str, Holding], int]:
        """The holdings to remove: all, the old ones, and then the least recently used until the rest is small enough;
        and the number of those that are kept because they are in use."""
        rules, removable, in_use = self._rules, {}, 0
        users = Counter(digest for holding in inventory.holdings.values() for digest in holding.blobs)
        size, limit = inventory.size, time.time() - (rules.max_age or 0)
        for holding in sorted(inventory.holdings.values(), key=lambda each: (each.last_used, each.digest)):
            is_old = rules.max_age is not None and holding.last_used <= limit
            if not (rules.everything or is_old or (rules.max_size is not None and size > rules.max_size)):
                continue
            freed = [digest for digest in holding.blobs if users[digest] == 1]
            if any(self._is_used(digest) for digest in freed):
                in_use += 1
                continue
            users.subtract(holding.blobs)
            size -= sum(inventory.sizes[digest] for digest in freed)
            removable[holding.digest] = holding
        return removable, in_use

    def _is_used(self, digest: str) -> bool:
        with self._locked_blob(digest) as (is_free, _handles):
            return not is_free

    def _remove(self, digest: str, is_damaged: bool) -> bool:
        name = blob_name(digest)
        with self._locked_blob(digest) as (is_free, handles):
            if not (is_free or is_damaged):
                return False
            if not self._check_mode:
                try:
                    if handles is None:
                        return False
                    parent, base = handles.locate(name)
                    os.unlink(base, dir_fd=parent)
                except FileNotFoundError:
                    return False
                except OSError as exc:
                    raise self._store.directory.refusal("remove", name, exc) from exc
        return True

    @contextlib.contextmanager
    def _locked_blob(self, digest: str) -> Iterator[tuple[bool, DirectoryHandles | None]]:
        """Lock a blob against use within the block; yield True when it is not in use, and the open cache, or None when
        the blob does not exist."""
        name, directory = blob_name(digest), self._store.directory
        with contextlib.ExitStack() as stack:
            try:
                handles = stack.enter_context(directory.changing())
                parent, base = handles.locate(name)
                handle = stack.enter_context(os.fdopen(open_file_at(base, parent), "rb"))
            except FileNotFoundError:
                yield True, None
                return
            except OSError as exc:
                raise directory.refusal("read", name, exc) from exc
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False, handles
                return
            except OSError:
                # without locks, a process that uses the blob can still read its open file to the end
                pass
            yield is_at(handle, handles, name), handles

    def _remove_leftovers(self) -> int:
        """Remove the leftovers of killed processes; return the number of files."""
        rules = self._rules
        if rules.max_age is None and rules.max_size is None and not rules.everything:
            return 0
        age = 0.0 if rules.everything else PARTIAL_AGE if rules.max_age is None else min(PARTIAL_AGE, rules.max_age)
        with contextlib.suppress(OSError, StorageError), self._store.directory.changing() as handles:
            return remove_leftovers(handles, INGEST, partial_age=age, only_look=self._check_mode)
        return 0

    def _remove_directory(self) -> None:
        """Remove a cache without blobs, under its lock; files that another process adds meanwhile stay."""
        with contextlib.suppress(OSError, StorageError), self._store.directory.changing() as handles:
            blobs, root = handles.get("blobs"), handles.get("")
            for algorithm in handles.names("blobs"):
                os.rmdir(algorithm, dir_fd=blobs)
            os.rmdir("blobs", dir_fd=root)
            CacheNotes(self._root).remove_folders()
            for name in ("index.json", CACHE_TAG, "oci-layout"):
                os.unlink(name, dir_fd=root)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(INGEST, dir_fd=root)
            _remove_root(self._root)


def _remove_root(path: str) -> None:
    """Remove an empty directory; a symbolic link to one stays."""
    parent = open_trusted(os.path.dirname(path))
    try:
        os.rmdir(os.path.basename(path), dir_fd=parent)
    finally:
        os.close(parent)


def _inventory(store: CacheStore, entries: Sequence[dict[str, Any]], without: Collection[str] = ()) -> Inventory:
    """The inventory of the index entries and the existing blobs, except those in ``without``."""
    found = {digest: status for digest, status in _blobs(store) if digest not in without}
    inventory = Inventory({digest: status.st_size for digest, status in found.items()})
    names: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(str(entry["digest"]), []).append(raw_name(entry))
    listed: set[str] = set()
    for digest, given in names.items():
        manifest = _manifest(store, digest) if digest in found else None
        blobs = frozenset([digest, *(part.digest for part in parts_of(manifest))]) if manifest else frozenset()
        if not blobs or not blobs <= found.keys():
            inventory.broken.add(digest)
            continue
        listed |= blobs
        artifact_type = manifest.effective_artifact_type if manifest else ""
        inventory.holdings[digest] = _holding(digest, sorted(given), blobs, found, artifact_type)
    for digest in sorted(found.keys() - listed):
        inventory.holdings[digest] = _holding(digest, (), frozenset([digest]), found)
    return inventory


def _holding(
    digest: str,
    names: Sequence[str],
    blobs: frozenset[str],
    found: Mapping[str, os.stat_result],
    artifact_type: str = "",
) -> Holding:
    return Holding(
        digest=digest,
        names=names,
        blobs=blobs,
        size=sum(found[each].st_size for each in blobs),
        last_used=found[digest].st_mtime,
        artifact_type=artifact_type,
    )


def _blobs(store: CacheStore) -> Iterator[tuple[str, os.stat_result]]:
    for algorithm in ("sha256", "sha512"):
        folder = f"blobs/{algorithm}"
        try:
            with store.directory.opened() as handles:
                for name in handles.names(folder):
                    digest = f"{algorithm}:{os.fsdecode(name)}"
                    with contextlib.suppress(FileNotFoundError):
                        status = os.lstat(name, dir_fd=handles.get(folder))
                        if is_digest(digest) and stat.S_ISREG(status.st_mode):
                            yield digest, status
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise store.directory.refusal("read", folder, exc) from exc


def _manifest(store: CacheStore, digest: str) -> Manifest | None:
    """Read a manifest without counting it as used; None when the blob is not a manifest."""
    try:
        with store.directory.open_file(blob_name(digest)) as handle:
            raw = handle.read(MAX_MANIFEST_SIZE + 1)
        return parse_manifest(raw, "", f"The manifest {digest}") if len(raw) <= MAX_MANIFEST_SIZE else None
    except (OSError, InvalidContent):
        return None
