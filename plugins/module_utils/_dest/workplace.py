# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All writes to ``dest``.

A placement is atomic: it is planned before the first change, recorded as begun, rolled back when a step fails, and
completed by the next run when the process is killed between two steps. Each file gets its final name by one rename.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Callable

from .._errors import StorageError
from .._files.descriptors import remove_tree_at
from .._files.directory_handles import DirectoryHandles
from .._files.shared_file import locked_at
from .._files.tree import FILE
from .._files.trusted_path import open_trusted
from .apply import Placement
from .destination import OPEN_DIRECTORY, STAGE, Destination, Held, exists_at
from .drift import Drift
from .plan import Plan
from .state import FILE_NAME, State, save_state

# Seconds to wait for another run.
LOCK_WAIT = 600.0
_LOCK = "lock"
_MAKE_ATTEMPTS = 5
_UNKNOWN: Mapping[str, int] = MappingProxyType({})


class Workplace:
    """A locked destination, and the operations that change it.

    ``stage`` is the descriptor of an empty directory on the same file system, in which nobody else may write.
    """

    def __init__(self, destination: Destination, held: Held, stage: int) -> None:
        self.stage = stage
        self._destination = destination
        self._root = held.root
        self._control = held.control

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
        """Carry out a plan whose new and changed entries lie in ``content``, a directory of the stage, and record the
        result; see :class:`~._dest.state.State` for what is recorded.

        :param times: the modification times (ns) of files in ``content`` that have the mode of the tree; those that it
            lacks are looked at.
        :param standing: what else is remembered once it is done; None for what is remembered now.
        :param going: the number of the kept revision that the plan leads back to; 0 for another one.
        :param check: called when everything is in place; what it raises undoes everything.
        :param parts: see :class:`~._dest.state.State`.
        :raises StorageError: when a step fails; ``dest`` is then unchanged.
        """
        begun = {name: value for name, value in state.standing.items() if name != "going"}
        if going:
            begun["going"] = going
        with self._placing(plan, content, state, times) as work:
            pending = {**state.pending, **plan.tree}
            save_state(self._control, state._replace(pending=pending, standing=begun))
            work.run()
            placed = work.placed_entries()
            if check is not None:
                check()
            after = begun if standing is None else standing
            done = State(key, artifact, placed, verification=verification or {}, request=request, standing=after)
            save_state(self._control, done._replace(parts=parts))

    def record_standing(self, state: State, standing: Mapping[str, Any]) -> None:
        """Record what else is remembered of ``dest``, beside the content that ``state`` has.

        :raises StorageError: when the record cannot be written.
        """
        try:
            save_state(self._control, state._replace(standing=standing))
        except OSError as exc:
            raise self._destination.refused(exc) from None

    def record_verification(self, state: State, verification: Mapping[str, Any]) -> None:
        """Record the verification of the artifact in ``dest``.

        :raises StorageError: when the record cannot be written.
        """
        if state.standing:
            from .history import with_verification

            state = state._replace(standing=with_verification(state.standing, verification))
        try:
            save_state(self._control, state._replace(verification=verification))
        except OSError as exc:
            raise self._destination.refused(exc) from None

    def set_right(self, drift: Drift, state: State, check: Callable[[], None] | None = None) -> None:
        """Set mode and owner of entries whose content is unchanged, and what leads to the content.

        :param check: called when what leads to the content was set right; what it raises undoes that.
        :raises StorageError: when something cannot be set; ``dest`` is then unchanged.
        """
        self.set_permissions(drift.metadata, state)

    def set_permissions(self, paths: list[str], state: State) -> None:
        """Set mode and owner of entries whose content is unchanged.

        :raises StorageError: when one cannot be set; ``dest`` is then unchanged.
        """
        plan = Plan({path: state.files[path].entry for path in paths}, metadata=paths)
        with self._placing(plan, None, state) as work:
            work.run()

    @contextlib.contextmanager
    def _placing(
        self, plan: Plan, content: DirectoryHandles | None, state: State, times: Mapping[str, int] = _UNKNOWN
    ) -> Iterator[Placement]:
        work: Placement | None = None
        try:
            destination = self._destination
            work = Placement(
                self._root,
                destination.permissions,
                plan,
                self.stage,
                content,
                state.files,
                times,
                unsafe_writes=destination.unsafe_writes,
            )
            yield work
        except BaseException as exc:
            path = work.path if work is not None else ""
            # a placement that cannot be undone stays recorded as begun, and the next run completes it
            if work is None or work.undo():
                self._restore(state)
            if isinstance(exc, OSError):
                raise self._refused(exc, path, plan) from None
            raise
        finally:
            if work is not None:
                work.close()

    def _refused(self, error: OSError, path: str, plan: Plan) -> StorageError:
        """The error for a step that failed, with what helps where a mount is in the way."""
        refused = self._destination.refused(error, path)
        if error.errno == errno.EXDEV and path:
            refused.hint = (
                "Its directory is a mount point: give that a 'dest' of its own, or leave it out with 'ignore'."
            )
        elif error.errno == errno.EBUSY and path:
            can_be_written = path not in plan.removed and plan.tree[path].kind == FILE
            if can_be_written and not self._destination.unsafe_writes:
                refused.hint = (
                    "It is a mount point, as a file is that was mounted into a container, and cannot be replaced. With "
                    "unsafe_writes: true its content is written in place, which is not atomic."
                )
            else:
                refused.hint = "It is a mount point, which can be neither removed nor replaced: unmount it first."
        return refused

    def _restore(self, state: State) -> None:
        with contextlib.suppress(OSError):
            if state.key or state.standing:
                save_state(self._control, state)
            else:
                os.unlink(FILE_NAME, dir_fd=self._control)


@contextlib.contextmanager
def locked(destination: Destination, wait: float = LOCK_WAIT) -> Iterator[Workplace]:
    """Lock a destination against other runs within the block; yield its :class:`Workplace`.

    Missing directories are created, and removed again when the block raises and nothing was placed.

    :param wait: seconds to wait for another run.
    :raises StorageError: when the directories cannot be created or are not safe to use, or another run does not end in
        time.
    """
    made: list[str] = []
    try:
        with _made_and_locked(destination, made, wait) as held, _staging(destination, held) as stage:
            destination.held = held
            yield (destination.workplace or Workplace)(destination, held, stage)
    except BaseException as exc:
        for directory in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if isinstance(exc, OSError):
            raise destination.refused(exc) from None
        raise
    finally:
        destination.held = None


def remove_abandoned_stage(destination: Destination) -> None:
    """Remove the staging directory of a killed run, unless another run is in progress."""
    with contextlib.suppress(StorageError), locked(destination, wait=0):
        pass  # entering removes it


@contextlib.contextmanager
def _made_and_locked(destination: Destination, made: list[str], wait: float) -> Iterator[Held]:
    with contextlib.ExitStack() as stack:
        yield _enter_lock(stack, destination, made, wait)


def _enter_lock(stack: contextlib.ExitStack, destination: Destination, made: list[str], wait: float) -> Held:
    """Create missing directories and lock the destination, until ``stack`` is closed."""
    path = os.path.join(destination.control, _LOCK)
    while True:
        held = _make(destination, made)
        with contextlib.ExitStack() as attempt:
            attempt.callback(held.root.close)
            attempt.callback(os.close, held.control)
            is_locked = False
            # another run that failed may remove the directory while this one waits
            with contextlib.suppress(FileNotFoundError):
                attempt.enter_context(locked_at(held.control, _LOCK, path, wait))
                is_locked = True
            if is_locked and _is_at(held.control, destination.control_name, held.top):
                stack.push(attempt.pop_all())
                return held


def _make(destination: Destination, made: list[str]) -> Held:
    """Create missing directories and open them. Those above the control directory are appended to ``made``."""
    attempts_left = _MAKE_ATTEMPTS
    while True:
        attempts_left -= 1
        try:
            root = open_trusted(destination.root, make=made, may_be_others=not destination.is_parent)
        except FileNotFoundError:
            # another run that failed has removed a directory that it had created and this one had found
            if not attempts_left:
                raise
            continue
        except NotADirectoryError:
            raise destination.not_a_directory() from None
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(destination.control_name, 0o700, dir_fd=root)
            control = destination.open_control(root)
            if control < 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            os.fchmod(control, 0o700)
            return destination.hold(DirectoryHandles(root), control)
        except FileNotFoundError:
            os.close(root)
            if not attempts_left:
                raise
        except BaseException:
            os.close(root)
            raise


@contextlib.contextmanager
def _staging(destination: Destination, held: Held) -> Iterator[int]:
    stage = -1
    try:
        remove_tree_at(STAGE, held.control)
        os.mkdir(STAGE, 0o700, dir_fd=held.control)
        stage = os.open(STAGE, OPEN_DIRECTORY, dir_fd=held.control)
        yield stage
    finally:
        if stage >= 0:
            os.close(stage)
        remove_tree_at(STAGE, held.control)
        if not exists_at(os.fsencode(FILE_NAME), held.control):
            with contextlib.suppress(OSError):
                os.unlink(_LOCK, dir_fd=held.control)
                os.rmdir(destination.control_name, dir_fd=held.top)


def _is_at(descriptor: int, name: bytes, directory: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name, dir_fd=directory))
    except OSError:
        return False
