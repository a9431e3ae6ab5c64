# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ``dest`` whose content is in a directory of its own for each revision, as ``community.general.deploy_helper`` has
it: ``releases/000012-1.4.2-9f86d081``, and a link ``current`` that leads to one of them.

The control directory is in ``dest``, with the record of the release in place; paths in the record are relative to that
release. What is kept are the releases themselves: the record of each is put aside when another one takes its place.
Which directories in ``releases`` are those of pulls is known from the record alone, never from their names.

:mod:`.release_workplace` changes such a ``dest``. Source of the names: the module's defaults for ``releases_path``,
``current_path``, ``shared_path`` and ``unfinished_filename``.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping

from .._errors import StorageError
from .._files.directory_handles import DirectoryHandles
from .._files.names import CURRENT, RELEASES, encoded
from .._files.tree import DIRECTORY, Tree
from .destination import OPEN_DIRECTORY, Destination, Held
from .drift import Drift, find_drift
from .history import Kept, Standing, kept_revisions
from .permissions import Permissions
from .plan import Plan, with_parents
from .state import State, load_state, release_of

LAYOUT = "releases"
SHARED = "shared"
UNFINISHED = "DEPLOY_UNFINISHED"
# releases that are kept when the task does not say how many
KEEP = 5
# the directory of the records of releases that are not in place
RECORDS = b"releases"
# the key in the standing of what is to be removed
REMOVED = "removed"
_NUMBERED = re.compile(r"(\d{6,9})-")
_NAME = re.compile(r"\d{6,}-[A-Za-z0-9_.-]{1,200}\Z")


class ReleaseHandles(DirectoryHandles):
    """The directories of one release in an open deployment root; all are missing when it is not there.

    Closing it closes the deployment root, too.
    """

    def __init__(self, base: DirectoryHandles, name: str) -> None:
        super().__init__(-1)
        self._base = base
        self.enter(name)

    def enter(self, name: str) -> None:
        """Go on with another release; an empty name stands for none."""
        super().close()
        if name:
            with contextlib.suppress(OSError):
                releases = self._base.get(RELEASES)
                self._root = os.open(encoded(name), OPEN_DIRECTORY, dir_fd=releases)

    @property
    def is_there(self) -> bool:
        """True when the release is a directory."""
        return self._root >= 0

    def close(self) -> None:
        """Close all descriptors, those of the deployment root included."""
        super().close()
        self._base.close()


class ReleaseDestination(Destination):
    """A deployment root with the content in releases. ``release`` is the name of the one in place, as the last record
    that was loaded says; empty without one."""

    layout = LAYOUT
    release = ""

    @property
    def place(self) -> str:
        """The path of the content: the link to the release in place."""
        return os.path.join(self.root, CURRENT)

    def hold(self, directory: DirectoryHandles, control: int) -> Held:
        """The open deployment root, together with the release in place."""
        return Held(ReleaseHandles(directory, self.release), control, directory)

    def load_state(self) -> State:
        """As for any destination. Of the history, releases are left out that somebody else has removed.

        :raises StorageError: as for any destination.
        """
        state = super().load_state()
        self.release = release_of(state.standing)
        if self.held is not None and isinstance(self.held.root, ReleaseHandles):
            self.held.root.enter(self.release)
        return state._replace(standing=self._existing(state.standing)) if state.standing else state

    def find_drift(self, state: State, check_content: bool) -> Drift:
        """Compare the release in place with the record, and the link with the release.

        :raises StorageError: as for any destination.
        """
        return super().find_drift(state, check_content)._replace(moved=self.moved())

    def moved(self) -> tuple[str, ...]:
        """``current``, if it does not lead to the release in place.

        :raises StorageError: as for any destination.
        """
        with self.opened() as held:
            return () if leads_to(self.root, link_of(held.top), self.release) else (CURRENT,)

    def is_ahead(self, state: State) -> bool:
        """Return True when ``current`` leads to what a killed run has left, which is not on record.

        :raises StorageError: as for any destination.
        """
        with self.opened() as held:
            return named_by(self.root, link_of(held.top)) in removed_of(state.standing)

    def refused(self, error: OSError, path: str = "") -> StorageError:
        """As for any destination; ``path`` is relative to the release in place."""
        return super().refused(error, f"{RELEASES}/{self.release}/{path}" if path else "")

    def record_of(self, kept: Kept, state: State) -> State:
        """Return the record of a kept release; ``state`` is that of the one in place.

        :raises OSError: when there is none that can be read.
        """
        if kept.release == self.release:
            return state
        with self.opened() as held, opened_below(held.control, RECORDS, encoded(kept.release)) as folder:
            return load_state(folder)

    def drift_of(self, kept: Kept, record: State, handles: DirectoryHandles) -> Drift:
        """Compare all content of a kept release, an open directory, with its record, by digests."""
        return find_drift(handles, record, permissions_of(kept), True)

    @contextlib.contextmanager
    def opened_release(self, name: str) -> Iterator[ReleaseHandles]:
        """Yield the directories of a release.

        :raises StorageError: as for any destination.
        """
        with self.opened() as held:
            handles = ReleaseHandles(DirectoryHandles.of(held.top), name)
            try:
                yield handles
            finally:
                handles.close()

    def next_number(self, standing: Standing) -> int:
        """Return a number that is greater than those of all releases that were, and of all directories that have a
        number in front of their names.

        :raises StorageError: as for any destination.
        """
        found = [int(standing.get("last") or 0)]
        with self.opened() as held, contextlib.suppress(OSError):
            for name in (held.base or held.root).names(RELEASES):
                match = _NUMBERED.match(os.fsdecode(name))
                if match:
                    found.append(int(match[1]))
        return max(found) + 1

    def _existing(self, standing: Standing) -> Standing:
        kept = kept_revisions(standing)
        if len(kept) < 2:
            return standing
        with self.opened() as held:
            there = [each for each in kept if each.release == self.release or _is_release(held, each.release)]
        if len(there) == len(kept):
            return standing
        return {**standing, "history": [each._asdict() for each in there]}


def release_name(kept: Kept) -> str:
    """Return the name of the directory for a numbered revision: number, tag, and the begin of the digest."""
    digest = kept.digest.rpartition(":")[2][:8]
    return "-".join(filter(None, (f"{kept.number:06d}", kept.tag, digest)))


def with_name(standing: Standing) -> Standing:
    """Give the revision in place the name of its release, unless it has one."""
    kept = [
        each._replace(release=release_name(each))
        if each.number == standing.get("current") and not each.release
        else each
        for each in kept_revisions(standing)
    ]
    return {**standing, "history": [each._asdict() for each in kept]}


def releases_of(standing: Standing) -> set[str]:
    """Return the names of all kept releases."""
    return {kept.release for kept in kept_revisions(standing) if kept.release}


def removed_of(standing: Standing) -> list[str]:
    """Return the names of directories that are to be removed: of runs that did not end, and of former releases."""
    return [name for name in standing.get(REMOVED) or () if isinstance(name, str) and _NAME.match(name)]


def permissions_of(kept: Kept) -> Permissions:
    """Return the modes and owners that a release was placed with."""
    return Permissions(kept.settings.get("mode") or "", kept.settings.get("uid"), kept.settings.get("gid"))


def link_of(top: int) -> str:
    """Return where ``current`` leads to, empty when it is no link."""
    try:
        return os.fsdecode(os.readlink(encoded(CURRENT), dir_fd=top))
    except OSError:
        return ""


def leads_to(root: str, target: str, release: str) -> bool:
    """Return True when a link in the deployment root leads to a release by its name, relative or absolute."""
    if not target or not release:
        return False
    wanted = os.path.join(RELEASES, release)
    if not os.path.isabs(target):
        return os.path.normpath(target) == wanted
    return os.path.normpath(target) in (os.path.join(each, wanted) for each in (root, os.path.realpath(root)))


def named_by(root: str, target: str) -> str:
    """Return the name of the release that a link in the deployment root names, empty when it names none."""
    name = os.path.basename(os.path.normpath(target or "/"))
    return name if leads_to(root, target, name) else ""


def is_shared(root: str, path: str, target: str) -> bool:
    """Return True when a link at a path in a release leads into ``shared``, by its text alone."""
    wanted = os.path.join(root, SHARED)
    way = target.split("/")
    if os.path.isabs(target):
        return ".." not in way and f"{os.path.normpath(target)}/".startswith(f"{wanted}/")
    up = [part for part in path.split("/")[:-1] if part] + [RELEASES, ""]
    return way[: len(up)] == [".."] * len(up) and ".." not in way[len(up) :] and way[len(up) : len(up) + 1] == [SHARED]


def compare(tree: Tree, state: State) -> Plan:
    """Return the changes from the release in place, as its record has it, to another tree. No file is looked at."""
    new, old = with_parents(tree), {path: placed.entry for path, placed in state.files.items()}
    plan = Plan(new)
    for path, entry in sorted(new.items()):
        before = old.get(path)
        if before is None:
            plan.added.append(path)
        elif entry._replace(mode=0) != before._replace(mode=0):
            plan.changed.append(path)
        elif entry.mode != before.mode and entry.kind != DIRECTORY:
            plan.metadata.append(path)
    plan.removed.extend(sorted(set(old) - set(new), reverse=True))
    return plan


def check_tree(tree: Mapping[str, object], what: str) -> None:
    """Check that an artifact can be a release.

    :raises StorageError: when it has an entry that means something else there.
    """
    if UNFINISHED in tree:
        raise StorageError(
            f"{what} has an entry {UNFINISHED}, which marks a release that is not complete.",
            "Leave it out with 'ignore', or pull without layout: releases.",
        )


@contextlib.contextmanager
def opened_below(directory: int, *names: bytes) -> Iterator[int]:
    """Yield the descriptor of a directory below an open one.

    :raises OSError: when it, or one on the way, is not a directory.
    """
    descriptor = os.open(".", OPEN_DIRECTORY, dir_fd=directory)
    try:
        for name in names:
            below = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _is_release(held: Held, name: str) -> bool:
    try:
        return stat.S_ISDIR((held.base or held.root).lstat(f"{RELEASES}/{name}").st_mode)
    except OSError:
        return False
