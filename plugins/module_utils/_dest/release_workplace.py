# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All writes to a ``dest`` with releases, see :mod:`.releases`.

A new release is complete, and no longer marked as unfinished, before ``current`` leads to it, which one rename does.
The record says what is in place. A run that is killed leaves either the release before in place, or the new one with
``current`` ahead of the record; the next run goes by the record. What it has left is named in the record before it is
made, and removed then, and so is a former release; but never what ``current`` leads to.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Callable, cast

from .._errors import StorageError
from .._files.deep_tree import remove_deep_tree_at
from .._files.descriptors import remove_tree_at, set_mode, set_owner
from .._files.directory_handles import DirectoryHandles
from .._files.names import CURRENT, RELEASES, decoded, encoded, shown
from .._files.tree import DIRECTORY
from .apply import Placement
from .destination import OPEN_DIRECTORY, Destination, Held, exists_at
from .drift import Drift
from .history import Kept
from .plan import Plan
from .releases import (
    RECORDS,
    REMOVED,
    SHARED,
    UNFINISHED,
    ReleaseDestination,
    ReleaseHandles,
    is_shared,
    leads_to,
    link_of,
    named_by,
    permissions_of,
    releases_of,
    removed_of,
)
from .state import FILE_NAME, State, load_state, release_of, save_state
from .workplace import Workplace

_UNKNOWN: Mapping[str, int] = MappingProxyType({})
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_MODE = 0o755
# links into what is shared that a new release gets from the one before
MAX_LINKS = 1000


class ReleaseWorkplace(Workplace):
    """A locked deployment root, and the operations that change it."""

    def __init__(self, destination: Destination, held: Held, stage: int) -> None:
        super().__init__(destination, held, stage)
        self._releases = cast(ReleaseDestination, destination)
        self._handles = cast(ReleaseHandles, held.root)
        self._base = cast(DirectoryHandles, held.base)
        self._top = held.top
        # the release that a new one takes the place of
        self._before = ""
        state = load_state(self._control)
        if removed_of(state.standing):
            self._remove(removed_of(state.standing), releases_of(state.standing))

    def apply(
        self,
        plan: Plan,
        content: DirectoryHandles,
        state: State,
        key: Mapping[str, Any],
        artifact: Mapping[str, Any],
        verification: Mapping[str, Any] | None = None,
        request: str = "",
        times: Mapping[str, int] = _UNKNOWN,
        standing: Mapping[str, Any] | None = None,
        going: int = 0,
        check: Callable[[], None] | None = None,
        parts: Sequence[str] = (),
    ) -> None:
        """Place content in a release of its own, or correct that in place when it is the same; then switch to it. See
        :meth:`.workplace.Workplace.apply`.

        :raises StorageError: when a step fails; the release before is then in place, and unchanged.
        """
        standing = standing or {}
        release = release_of(standing)
        if release == self._releases.release and self._handles.is_there:

            def switched() -> None:
                with self._switched(release, state):
                    if check is not None:
                        check()

            after, removed = self._with_removed(state, standing)
            super().apply(
                plan,
                content,
                state,
                key,
                artifact,
                verification,
                request,
                times,
                standing=after,
                check=switched,
                parts=parts,
            )
            self._remove(removed, releases_of(standing))
            return
        whole = Plan(plan.tree, added=sorted(plan.tree))
        done = State(key, artifact, {}, verification=verification or {}, request=request, parts=parts)
        with self._new_release(release, state) as handles:
            done = done._replace(files=self._fill(handles, whole, content, times))
            self._put_record_aside(state)
            with self._switched(release, state):
                if check is not None:
                    check()
                self._finish(done, state, standing)

    def set_right(self, drift: Drift, state: State, check: Callable[[], None] | None = None) -> None:
        """As for any destination; what leads to the content is ``current``.

        :raises StorageError: when something cannot be set; ``dest`` is then unchanged.
        """
        self.set_permissions(drift.metadata, state)
        with self._explained(), self._switched(self._releases.release, state):
            if drift.moved and check is not None:
                check()
        self._remove(removed_of(state.standing), releases_of(state.standing))

    def record_standing(self, state: State, standing: Mapping[str, Any]) -> None:
        """As for any destination, with what is still to be removed.

        :raises StorageError: when the record cannot be written.
        """
        left = [name for name in removed_of(load_state(self._control).standing) if self._is_there(name)]
        others = {name: value for name, value in standing.items() if name != REMOVED}
        super().record_standing(state, {**others, REMOVED: left} if left else others)

    def go_back(self, kept: Kept, record: State, drift: Drift, state: State, standing: Mapping[str, Any]) -> None:
        """Switch to a kept release whose content was compared with its record.

        :param drift: what differs, which is modes and owners alone.
        :param state: the record of the release in place.
        :param standing: what is remembered afterwards.
        :raises StorageError: when a step fails; the release before is then in place.
        """
        with self._explained():
            if drift.metadata:
                self._set_permissions_of(kept, record, drift)
            self._put_record_aside(state)
            with self._switched(kept.release, state):
                self._finish(record, state, standing)

    def _set_permissions_of(self, kept: Kept, record: State, drift: Drift) -> None:
        plan = Plan({path: record.files[path].entry for path in drift.metadata}, metadata=drift.metadata)
        with self._releases.opened_release(kept.release) as handles:
            work = Placement(handles, permissions_of(kept), plan, self.stage, None, record.files, _UNKNOWN)
            try:
                work.run()
            except BaseException:
                work.undo()
                raise
            finally:
                work.close()

    @contextlib.contextmanager
    def _new_release(self, release: str, state: State) -> Iterator[DirectoryHandles]:
        """Make the directory of a release, marked as unfinished, and go on with it; remove it when the block raises."""
        made: list[str] = []
        before, handles = self._releases.release, None
        removed = [*removed_of(state.standing), release]
        try:
            with self._explained():
                for name in (RELEASES, SHARED):
                    self._make(name, made)
                save_state(self._control, state._replace(standing={**state.standing, REMOVED: removed}))
                releases = self._base.get(RELEASES)
                os.mkdir(encoded(release), 0o777, dir_fd=releases)
                made.append(release)
                self._before, self._releases.release = before, release
                directory = os.open(encoded(release), OPEN_DIRECTORY, dir_fd=releases)
                handles = DirectoryHandles(directory)
                os.close(os.open(UNFINISHED, _CREATE, 0o644, dir_fd=directory))
                yield handles
            self._handles.enter(release)
        except BaseException:
            self._releases.release = before
            if release in made:
                self._remove([release], set())
            for name in (RELEASES, SHARED):
                if name in made:
                    with contextlib.suppress(OSError):
                        os.rmdir(encoded(name), dir_fd=self._top)
            left = [name for name in removed if self._is_there(name)]
            self._restore(state._replace(standing={**state.standing, REMOVED: left}) if left else state)
            raise
        finally:
            if handles is not None:
                handles.close()

    def _make(self, name: str, made: list[str]) -> None:
        """Make a directory of the deployment root, unless there is something of that name."""
        if exists_at(encoded(name), self._top):
            return
        os.mkdir(encoded(name), 0o777, dir_fd=self._top)
        made.append(name)
        descriptor = os.open(encoded(name), OPEN_DIRECTORY, dir_fd=self._top)
        try:
            if name == SHARED:
                self._give(descriptor)
        finally:
            os.close(descriptor)

    def _fill(
        self, handles: DirectoryHandles, plan: Plan, content: DirectoryHandles, times: Mapping[str, int]
    ) -> Mapping[str, Any]:
        """Place all content in a new release, and take its mark away; return what was placed."""
        permissions = self._releases.permissions
        work = Placement(handles, permissions, plan, self.stage, content, {}, times)
        try:
            work.run()
            placed = work.placed_entries()
            self._carry_links(handles, plan)
        except OSError as exc:
            raise self._refused(exc, work.path, plan) from None
        finally:
            work.close()
        directory = handles.get("")
        self._give(directory)
        if permissions.mode:
            set_mode(directory, permissions.mode_for(_DIRECTORY_MODE, True))
        os.unlink(UNFINISHED, dir_fd=directory)
        # somebody who may write to the directories could have put another one there
        name = encoded(self._releases.release)
        if not os.path.samestat(os.fstat(directory), os.lstat(name, dir_fd=self._base.get(RELEASES))):
            raise OSError(errno.ESTALE, "Somebody has put another directory in the place of the new release")
        return placed

    def _carry_links(self, handles: DirectoryHandles, plan: Plan) -> None:
        """Make the links into ``shared`` that the release before has, and the artifact does not, in the new one."""
        root = self._releases.root
        before = named_by(root, link_of(self._top)) or self._before
        directories = ["", *(path for path, entry in sorted(plan.tree.items()) if entry.kind == DIRECTORY)]
        made = 0
        with self._releases.opened_release(before) as source:
            for directory in directories:
                for name in _names(source, directory):
                    path = f"{directory}/{decoded(name)}" if directory else decoded(name)
                    target = "" if path in plan.tree else _link(source, path)
                    if target and made < MAX_LINKS and is_shared(root, path, target):
                        os.symlink(os.fsencode(target), name, dir_fd=handles.get(directory))
                        self._give_link(name, handles.get(directory))
                        made += 1

    def _give(self, descriptor: int) -> None:
        """Set the owner that the task asks for."""
        permissions = self._releases.permissions
        if permissions.uid is not None or permissions.gid is not None:
            owner = -1 if permissions.uid is None else permissions.uid
            set_owner(descriptor, owner, -1 if permissions.gid is None else permissions.gid)

    def _give_link(self, name: bytes, directory: int) -> None:
        permissions = self._releases.permissions
        if permissions.uid is not None or permissions.gid is not None:
            owner = -1 if permissions.uid is None else permissions.uid
            group = -1 if permissions.gid is None else permissions.gid
            os.chown(name, owner, group, dir_fd=directory, follow_symlinks=False)

    def _finish(self, done: State, state: State, standing: Mapping[str, Any]) -> None:
        """Record what is in place, and remove the releases that are not kept any more."""
        after, removed = self._with_removed(state, standing)
        save_state(self._control, done._replace(standing=after))
        self._remove(removed, releases_of(standing))

    def _with_removed(self, state: State, standing: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """Return what is remembered, with the releases that are not kept any more, and these."""
        former = {*releases_of(state.standing), *removed_of(load_state(self._control).standing)}
        removed = sorted(name for name in former - releases_of(standing) if self._is_there(name))
        rest = {name: value for name, value in standing.items() if name != REMOVED}
        return {**rest, REMOVED: removed} if removed else rest, removed

    def _remove(self, names: list[str], kept: set[str]) -> None:
        """Remove releases, but none that is kept, and not what ``current`` leads to."""
        for name in names:
            if name in kept or self._is_current(name):
                continue
            with contextlib.suppress(OSError):
                remove_deep_tree_at(encoded(name), self._base.get(RELEASES))
            with contextlib.suppress(OSError):
                records = os.open(RECORDS, OPEN_DIRECTORY, dir_fd=self._control)
                try:
                    remove_tree_at(encoded(name), records)
                finally:
                    os.close(records)

    def _is_there(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return exists_at(encoded(name), self._base.get(RELEASES))
        return False

    def _is_current(self, name: str) -> bool:
        """True when ``current`` leads to a release, by whatever way."""
        if os.path.basename(os.path.normpath(link_of(self._top) or "/")) == name:
            return True
        try:
            status = os.lstat(encoded(name), dir_fd=self._base.get(RELEASES))
            return os.path.samestat(status, os.stat(encoded(CURRENT), dir_fd=self._top))
        except OSError:
            return False

    def _put_record_aside(self, state: State) -> None:
        """Keep the record of the release that is left, so that it can be placed again."""
        release = release_of(state.standing)
        if not release:
            return
        folder = self._control
        opened: list[int] = []
        try:
            for name in (RECORDS, encoded(release)):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=folder)
                folder = os.open(name, OPEN_DIRECTORY, dir_fd=folder)
                opened.append(folder)
            # what did not end there shows when the files are compared
            save_state(folder, state._replace(standing={}, pending={}))
        finally:
            for descriptor in opened:
                os.close(descriptor)

    @contextlib.contextmanager
    def _switched(self, release: str, state: State) -> Iterator[None]:
        """Have ``current`` lead to a release; when the block raises, to what it led to before.

        :raises StorageError: when ``current`` is something else than a link.
        """
        before = link_of(self._top)
        if not before and exists_at(encoded(CURRENT), self._top):
            raise StorageError(
                f"{shown(self._releases.place)} is not a symbolic link: with layout: releases it leads to the release "
                "that is in place.",
                "Move it away, or choose another 'dest'.",
            )
        if leads_to(self._releases.root, before, release):
            yield
            return
        self._point(f"{RELEASES}/{release}")
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self._point(self._way_back(before, state))
            raise

    def _way_back(self, before: str, state: State) -> str:
        """Where ``current`` leads to after a failure: not to what a killed run has left, if there is something else."""
        root, recorded = self._releases.root, release_of(state.standing)
        if any(leads_to(root, before, name) for name in removed_of(state.standing)):
            return f"{RELEASES}/{recorded}" if recorded and self._is_there(recorded) else ""
        return before

    def _point(self, target: str) -> None:
        """Have ``current`` lead to a target, by one rename; an empty one removes it."""
        if not target:
            os.unlink(encoded(CURRENT), dir_fd=self._top)
            return
        name = encoded(f"{CURRENT}.{UNFINISHED}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.stage)
        os.symlink(encoded(target), name, dir_fd=self.stage)
        self._give_link(name, self.stage)
        os.rename(name, encoded(CURRENT), src_dir_fd=self.stage, dst_dir_fd=self._top)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._releases.refused(exc) from None

    def _restore(self, state: State) -> None:
        with contextlib.suppress(OSError):
            if state.key or state.standing:
                save_state(self._control, state)
            else:
                os.unlink(FILE_NAME, dir_fd=self._control)


def _names(handles: DirectoryHandles, directory: str) -> list[bytes]:
    try:
        return sorted(handles.names(directory))
    except OSError:
        return []


def _link(handles: DirectoryHandles, path: str) -> str:
    """The target of a link, empty for what is none."""
    try:
        return os.fsdecode(handles.readlink(path))
    except OSError:
        return ""
