# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that writes into ``dest``.

A placement is all or nothing: it is planned before the first change, recorded as begun, undone when a step fails, and
completed by the next run when the process is killed between two steps. Each file appears under its name by one rename.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .drift import Plan
from .errors import StorageError
from .names import CONTROL_NAME, native, shown
from .permissions import Permissions
from .regular_file import storage_error
from .state import FILE_NAME, State, load_state, save_state

if TYPE_CHECKING:
    from .placing import Placement

LOCK_WAIT = 600.0
_LOCK = "lock"
_STAGE = "stage"
_MAKE_ATTEMPTS = 5


class Destination:
    """A directory on this host that holds artifacts, and the control directory with the record of one of them."""

    def __init__(self, root: str, permissions: Permissions, control_name: str = CONTROL_NAME) -> None:
        self.root = os.path.abspath(native(root))
        self.control = os.path.join(self.root, native(control_name))
        self.permissions = permissions

    def load_state(self) -> State:
        """The record of the last pull; an empty one when there is none.

        :raises StorageError: when ``dest`` is no directory, or the record may not be read.
        """
        if os.path.lexists(self.root) and not os.path.isdir(self.root):
            raise StorageError(
                f"{shown(self.root)} is not a directory.",
                "Choose another 'dest', or layer_selector.operation=copy for a file.",
            )
        return load_state(self.control)

    def remove_leftovers(self) -> None:
        """Remove what a run left that was killed after it had placed everything; not while another one works here."""
        if os.path.lexists(os.path.join(self.control, _STAGE)):
            with contextlib.suppress(StorageError), self.locked(wait=0):
                pass  # to enter is to remove

    @contextlib.contextmanager
    def locked(self, wait: float = LOCK_WAIT) -> Iterator[str]:
        """Keep other runs away from this destination; gives an empty staging directory on the same file system.

        What had to be made for it is removed again when the block raises and nothing was placed.

        :raises StorageError: when the directories cannot be made, or another run does not end within ``wait`` seconds.
        """
        from .shared_file import locked_file

        made = self._make_directories()
        try:
            with locked_file(os.path.join(self.control, _LOCK), wait):
                stage = os.path.join(self.control, _STAGE)
                try:
                    # another run may have removed the control directory while this one waited
                    os.chmod(self.control, 0o700)
                    _remove_tree(stage)
                    os.mkdir(stage, 0o700)
                    yield stage
                except OSError as exc:
                    raise self.refused(exc) from None
                finally:
                    _remove_tree(stage)
                    if not os.path.lexists(os.path.join(self.control, FILE_NAME)):
                        self._remove_control()
        except BaseException:
            _remove_empty(made)
            raise

    def _remove_control(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.control, _LOCK))
            os.rmdir(self.control)

    def _make_directories(self) -> list[str]:
        made: list[str] = []
        try:
            for attempts_left in range(_MAKE_ATTEMPTS, 0, -1):
                try:
                    self._make_missing(made)
                    break
                except FileNotFoundError:
                    # another run, which failed, has removed what it had made, and this one found there
                    if attempts_left == 1:
                        raise
            if not stat.S_ISDIR(os.lstat(self.control).st_mode):
                where = shown(self.control)
                raise StorageError(f"{where} is not a directory: it is in the way of the record of this pull.")
        except OSError as exc:
            _remove_empty(made)
            raise self.refused(exc) from None
        return made

    def _make_missing(self, made: list[str]) -> None:
        missing, path = [], self.root
        while not os.path.lexists(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            # another run may make it at the same time
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory)
                made.append(directory)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.control, 0o700)

    def apply(
        self,
        plan: Plan,
        stage: str,
        state: State,
        key: Mapping[str, Any],
        artifact: Mapping[str, Any],
        verification: Mapping[str, Any] | None = None,
        request: str = "",
    ) -> None:
        """Carry out a plan whose new and changed entries lie in ``stage``, and record the result; see
        :class:`~.state.State` for what is recorded.

        :raises StorageError: when a step fails; everything is then as it was.
        """
        with self._placing(plan, stage, state) as work:
            pending = {**state.pending, **plan.tree}
            save_state(self.control, state._replace(pending=pending))
            work.run()
            placed = work.placed_entries()
            done = State(key, artifact, placed, verification=verification or {}, request=request)
            save_state(self.control, done)

    def record_verification(self, state: State, verification: Mapping[str, Any]) -> None:
        """Note under which policy the signatures of what is in ``dest`` were checked.

        :raises StorageError: when it cannot be written.
        """
        try:
            save_state(self.control, state._replace(verification=verification))
        except OSError as exc:
            raise self.refused(exc) from None

    def set_permissions(self, paths: list[str], state: State) -> None:
        """Set mode and owner of entries whose content is right.

        :raises StorageError: when one cannot be set; everything is then as it was.
        """
        plan = Plan({path: state.files[path].entry for path in paths}, metadata=paths)
        with self._placing(plan, "", state) as work:
            work.run()

    @contextlib.contextmanager
    def _placing(self, plan: Plan, stage: str, state: State) -> Iterator[Placement]:
        from .placing import Placement

        work: Placement | None = None
        try:
            backup = os.path.join(self.control, _STAGE, ".backup")
            work = Placement(self.root, self.permissions, plan, stage, backup)
            yield work
        except BaseException as exc:
            # what cannot be undone stays recorded as begun, for the next run to complete
            if work is None or work.undo():
                self._restore(state)
            if isinstance(exc, OSError):
                raise self.refused(exc) from None
            raise
        finally:
            if work is not None:
                work.close()

    def _restore(self, state: State) -> None:
        with contextlib.suppress(OSError):
            if state.key:
                save_state(self.control, state)
            else:
                os.unlink(os.path.join(self.control, FILE_NAME))

    def refused(self, error: OSError) -> StorageError:
        """The error for a system call that failed below this destination."""
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return storage_error("write to", shown(name if os.path.isabs(name) else self.root), error)


def _remove_tree(path: str) -> None:
    """Remove a directory of ours with all that it holds; unreadable directories in it are made readable first."""
    if not os.path.lexists(path):
        return
    for directory, names, _files in os.walk(path):
        for name in names:
            inner = os.path.join(directory, name)
            if not os.path.islink(inner):
                with contextlib.suppress(OSError):
                    os.chmod(inner, 0o700)
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def _remove_empty(directories: list[str]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
