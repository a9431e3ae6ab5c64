# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new tree changes in ``dest``: decided before the first change is made."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import StorageError
from .permissions import Permissions
from .state import PlacedEntry, State
from .tree import DIRECTORY, FILE, SYMLINK, Tree, TreeEntry

READ_SIZE = 256 * 1024
MAX_NAMED = 5


@dataclass
class Plan:
    """Paths by what happens to them. ``metadata`` are those where only mode or owner is set right.

    ``tree`` lacks directories that were there before any pull: they are used, but neither changed nor ever removed.
    """

    tree: Mapping[str, TreeEntry]
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.removed or self.metadata)


@dataclass(frozen=True)
class Drift:
    """Entries that are no longer what was written: ``content`` needs the artifact again, ``metadata`` does not."""

    content: list[str]
    metadata: list[str]

    @property
    def is_empty(self) -> bool:
        return not (self.content or self.metadata)


def with_parents(tree: Tree) -> dict[str, TreeEntry]:
    """The tree with an entry for every directory that a path implies (archives may leave them out)."""
    complete = dict(tree)
    for path in tree:
        parent = path.rpartition("/")[0]
        while parent and parent not in complete:
            complete[parent] = TreeEntry(DIRECTORY, 0o755)
            parent = parent.rpartition("/")[0]
    return complete


def find_drift(root: str, state: State, permissions: Permissions, check_content: bool) -> Drift:
    """Compare the files on disk with the record: kind, size and modification time, or full digests."""
    drift = Drift([], [])
    for path, placed in state.files.items():
        full = os.path.join(root, path)
        try:
            status = os.lstat(full)
        except OSError:
            drift.content.append(path)
            continue
        if not _is_intact(full, status, placed, check_content):
            drift.content.append(path)
        elif not has_permissions(status, placed.entry, permissions):
            drift.metadata.append(path)
    return drift


def has_permissions(status: os.stat_result, entry: TreeEntry, permissions: Permissions) -> bool:
    """Whether mode and owner are as the artifact and the user want them; links have no mode of their own."""
    if permissions.uid is not None and status.st_uid != permissions.uid:
        return False
    if permissions.gid is not None and status.st_gid != permissions.gid:
        return False
    if entry.kind == SYMLINK:
        return True
    return stat.S_IMODE(status.st_mode) == permissions.mode_for(entry.mode, entry.kind == DIRECTORY)


def make_plan(root: str, tree: Tree, state: State, permissions: Permissions, force: bool) -> Plan:
    """Decide what placing ``tree`` under ``root`` means for what is there.

    :raises StorageError: when something that no earlier run put there is in the way.
    """
    planner = _Planner(root, state, permissions, force, with_parents(tree))
    return planner.run()


def file_digest(path: str) -> str:
    """``sha256:…`` of a file's content, read in bounded pieces; never through a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    content = hashlib.sha256()
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while True:
            chunk = stream.read(READ_SIZE)
            if not chunk:
                return f"sha256:{content.hexdigest()}"
            content.update(chunk)


class _Planner:
    def __init__(
        self, root: str, state: State, permissions: Permissions, force: bool, tree: Mapping[str, TreeEntry]
    ) -> None:
        self._root = root
        self._state = state
        self._permissions = permissions
        self._force = force
        self._tree = tree
        self._plan = Plan(tree)
        self._conflicts: list[str] = []
        # what stands where a directory has to be; nothing of the new tree is below it yet
        self._replaced: set[str] = set()
        self._foreign_directories: set[str] = set()

    def run(self) -> Plan:
        for path in sorted(self._tree):
            self._decide(path, self._tree[path])
        self._plan.tree = {path: self._tree[path] for path in self._tree if path not in self._foreign_directories}
        if self._conflicts:
            raise self._in_the_way()
        self._plan.removed = self._find_removed()
        return self._plan

    def _decide(self, path: str, entry: TreeEntry) -> None:
        status = None if self._below_replaced(path) else _lstat(os.path.join(self._root, path))
        if status is None:
            self._plan.added.append(path)
            return
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and entry.kind == DIRECTORY:
            if not self._state.owns(path):
                self._foreign_directories.add(path)
                return
            same = True
        elif is_directory:
            if not self._is_all_ours(path):
                self._conflicts.append(path)
                return
            same = False
        else:
            same = self._is_same(path, status, entry)
            if not same and not self._may_replace(path, status, entry):
                self._conflicts.append(path)
                return
        if not same:
            self._plan.changed.append(path)
            self._replaced.add(path)
        elif not has_permissions(status, entry, self._permissions):
            self._plan.metadata.append(path)

    def _may_replace(self, path: str, status: os.stat_result, entry: TreeEntry) -> bool:
        if self._state.owns(path):
            return True
        # a foreign link to a directory is never replaced by one: what is below it belongs to somebody
        return self._force and not (stat.S_ISLNK(status.st_mode) and entry.kind == DIRECTORY)

    def _is_same(self, path: str, status: os.stat_result, entry: TreeEntry) -> bool:
        full = os.path.join(self._root, path)
        if entry.kind == SYMLINK:
            return stat.S_ISLNK(status.st_mode) and os.readlink(full) == entry.target
        if entry.kind != FILE or not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            return False
        placed = self._state.files.get(path)
        if placed and placed.entry.digest == entry.digest and placed.mtime == status.st_mtime_ns and not self._force:
            return True
        try:
            return file_digest(full) == entry.digest
        except OSError:
            return False

    def _is_all_ours(self, path: str) -> bool:
        for directory, _names, files in os.walk(os.path.join(self._root, path)):
            below = os.path.relpath(directory, self._root)
            if not all(self._state.owns(f"{below}/{name}") for name in files):
                return False
        return self._state.owns(path)

    def _below_replaced(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in self._replaced:
                return True
            parent = parent.rpartition("/")[0]
        return False

    def _find_removed(self) -> list[str]:
        """Entries of earlier runs that the new tree lacks, children before their directories."""
        removed = []
        known: dict[str, str] = {path: entry.kind for path, entry in self._state.pending.items()}
        known.update((path, placed.entry.kind) for path, placed in self._state.files.items())
        for path in sorted(known, reverse=True):
            if path in self._tree or self._below_replaced(path) or self._leads_through_link(path):
                continue
            status = _lstat(os.path.join(self._root, path))
            if status is not None and stat.S_ISDIR(status.st_mode) == (known[path] == DIRECTORY):
                removed.append(path)
        emptied = set(removed)
        return [path for path in removed if known[path] != DIRECTORY or self._will_be_empty(path, emptied)]

    def _will_be_empty(self, path: str, removed: set[str]) -> bool:
        names = os.listdir(os.path.join(self._root, path))
        empty = all(f"{path}/{name}" in removed for name in names)
        if not empty:
            removed.discard(path)  # so that its parents stay as well: they are asked after their children
        return empty

    def _leads_through_link(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        while parent:
            status = _lstat(os.path.join(self._root, parent))
            if status is not None and not stat.S_ISDIR(status.st_mode):
                return True
            parent = parent.rpartition("/")[0]
        return False

    def _in_the_way(self) -> StorageError:
        named = ", ".join(self._conflicts[:MAX_NAMED])
        more = len(self._conflicts) - MAX_NAMED
        return StorageError(
            f"{self._root} holds what no earlier pull put there, where the artifact has an entry: "
            f"{named}{f' and {more} more' if more > 0 else ''}.",
            "Move it away, choose another 'dest', or replace files with force: true (directories and links to "
            "directories are never replaced).",
        )


def _is_intact(path: str, status: os.stat_result, placed: PlacedEntry, check_content: bool) -> bool:
    entry = placed.entry
    if entry.kind == DIRECTORY:
        return stat.S_ISDIR(status.st_mode)
    if entry.kind == SYMLINK:
        return stat.S_ISLNK(status.st_mode) and os.readlink(path) == entry.target
    if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
        return False
    if not check_content and status.st_mtime_ns == placed.mtime:
        return True
    # touched, but perhaps not altered: reading it here is cheaper than fetching it again
    try:
        return file_digest(path) == entry.digest
    except OSError:
        return False


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StorageError(f"{path} cannot be examined: {exc.strerror}.") from None
