# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that writes into ``dest``.

A placement is all or nothing: it is planned before the first change, recorded as begun, undone when a step fails, and
completed by the next run when the process is killed between two steps. Each file appears under its name by one rename.

The directories above ``dest`` have to be root's or the user's own. ``dest`` itself may belong to somebody else: then
its owner decides what its names stand for, at any moment. Everything in it is reached from descriptors, without
following links, and the control directory is used only when it is the user's own and nobody else may write to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .directory_handles import DirectoryHandles, remove_tree_at
from .drift import Drift, Plan, find_drift
from .errors import StorageError
from .names import CONTROL_NAME, encoded, native, shown
from .permissions import Permissions
from .regular_file import storage_error
from .state import FILE_NAME, State, load_state, save_state
from .trusted_path import belongs_to_us, open_trusted, user_name

if TYPE_CHECKING:
    from .placing import Placement

LOCK_WAIT = 600.0
_LOCK = "lock"
_STAGE = b"stage"
_MAKE_ATTEMPTS = 5
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Held(NamedTuple):
    """What is open of a destination; ``control`` is -1 when there is no control directory, ``stage`` outside of the
    lock."""

    root: DirectoryHandles
    control: int
    stage: int = -1


class Destination:
    """A directory on this host that holds artifacts, and the control directory with the record of one of them.

    With ``is_parent`` what is placed is one file, and the directory only the one that it lies in: nobody else may
    replace entries of it.
    """

    def __init__(
        self, root: str, permissions: Permissions, control_name: str = CONTROL_NAME, *, is_parent: bool = False
    ) -> None:
        self.root = os.path.abspath(native(root))
        self.control = os.path.join(self.root, native(control_name))
        self.permissions = permissions
        self._control_name = encoded(control_name)
        self._is_parent = is_parent
        self._held: _Held | None = None

    def load_state(self) -> State:
        """The record of the last pull; an empty one when there is none.

        :raises StorageError: when ``dest`` is no directory or not safe to use, or the record may not be read.
        """
        with self._opened() as held:
            if held.control < 0:
                return State()
            try:
                return load_state(held.control)
            except OSError as exc:
                where = shown(os.path.join(self.control, FILE_NAME))
                raise storage_error("read the record of the last pull", where, exc) from None

    def find_drift(self, state: State, check_content: bool) -> Drift:
        """How what is there differs from the record; see :func:`.drift.find_drift`.

        :raises StorageError: when ``dest`` is no directory or not safe to use.
        """
        with self._opened() as held:
            return find_drift(held.root, state, self.permissions, check_content)

    @contextlib.contextmanager
    def entries(self) -> Iterator[DirectoryHandles]:
        """The entries of ``dest``, for looking at them; none when it is not there.

        :raises StorageError: when ``dest`` is no directory or not safe to use.
        """
        with self._opened() as held:
            yield held.root

    def confirm(self, fingerprint: str, moment: float) -> None:
        """Note when something was confirmed; see :func:`.confirmation.record`.

        :raises OSError: as the file system says.
        """
        from . import confirmation

        with self._opened() as held:
            if held.control < 0:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            confirmation.record(held.control, fingerprint, moment)

    def last_confirmed(self, fingerprint: str) -> float | None:
        """When that was confirmed last; see :func:`.confirmation.last`."""
        from . import confirmation

        with self._opened() as held:
            return confirmation.last(held.control, fingerprint) if held.control >= 0 else None

    def remove_leftovers(self) -> None:
        """Remove what a run left that was killed after it had placed everything; not while another one works here."""
        with self._opened() as held:
            is_left = held.control >= 0 and _exists(_STAGE, held.control)
        if is_left:
            with contextlib.suppress(StorageError), self.locked(wait=0):
                pass  # to enter is to remove

    @contextlib.contextmanager
    def locked(self, wait: float = LOCK_WAIT) -> Iterator[int]:
        """Keep other runs away from this destination; gives the descriptor of an empty staging directory on the same
        file system, in which nobody else may write.

        What had to be made for it is removed again when the block raises and nothing was placed.

        :raises StorageError: when the directories cannot be made or are not safe to use, or another run does not end
            within ``wait`` seconds.
        """
        made: list[str] = []
        try:
            with self._made_and_locked(made, wait) as held, self._staging(held) as stage:
                self._held = held._replace(stage=stage)
                yield stage
        except BaseException as exc:
            _remove_empty(made)
            if isinstance(exc, OSError):
                raise self.refused(exc) from None
            raise
        finally:
            self._held = None

    @contextlib.contextmanager
    def _made_and_locked(self, made: list[str], wait: float) -> Iterator[_Held]:
        from .shared_file import locked_at

        while True:
            held = self._make(made)
            with contextlib.ExitStack() as stack:
                stack.callback(held.root.close)
                stack.callback(os.close, held.control)
                # another run, which failed, may remove the directory while this one waits
                is_locked = False
                with contextlib.suppress(FileNotFoundError):
                    stack.enter_context(locked_at(held.control, _LOCK, os.path.join(self.control, _LOCK), wait))
                    is_locked = True
                if is_locked and _is_at(held.control, self._control_name, held.root.get("")):
                    yield held
                    return

    @contextlib.contextmanager
    def _staging(self, held: _Held) -> Iterator[int]:
        stage = -1
        try:
            remove_tree_at(_STAGE, held.control)
            os.mkdir(_STAGE, 0o700, dir_fd=held.control)
            stage = os.open(_STAGE, _OPEN_DIRECTORY, dir_fd=held.control)
            yield stage
        finally:
            if stage >= 0:
                os.close(stage)
            remove_tree_at(_STAGE, held.control)
            if not _exists(os.fsencode(FILE_NAME), held.control):
                with contextlib.suppress(OSError):
                    os.unlink(_LOCK, dir_fd=held.control)
                    os.rmdir(self._control_name, dir_fd=held.root.get(""))

    def _make(self, made: list[str]) -> _Held:
        """Make what is missing and open it. What is made above the control directory is appended to ``made``."""
        attempts_left = _MAKE_ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                root = open_trusted(self.root, make=made, may_be_others=not self._is_parent)
                try:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(self._control_name, 0o700, dir_fd=root)
                    control = self._open_control(root)
                    if control < 0:
                        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                    os.fchmod(control, 0o700)
                    return _Held(DirectoryHandles(root), control)
                except BaseException:
                    os.close(root)
                    raise
            except FileNotFoundError:
                # another run, which failed, has removed what it had made, and this one found there
                if not attempts_left:
                    raise
            except NotADirectoryError:
                raise self._not_a_directory() from None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[_Held]:
        """What is there of the destination: of the lock, when it is held, else for as long as the block runs."""
        if self._held is not None:
            yield self._held
            return
        root = control = -1
        try:
            with contextlib.suppress(FileNotFoundError):
                root = open_trusted(self.root, may_be_others=not self._is_parent)
                control = self._open_control(root)
        except NotADirectoryError:
            raise self._not_a_directory() from None
        except OSError as exc:
            raise self.refused(exc) from None
        handles = DirectoryHandles(root)
        try:
            yield _Held(handles, control)
        finally:
            handles.close()
            if control >= 0:
                os.close(control)

    def _open_control(self, root: int) -> int:
        """The descriptor of the control directory, -1 when there is none.

        :raises StorageError: when it is not a directory of ours alone.
        """
        try:
            status = os.lstat(self._control_name, dir_fd=root)
        except FileNotFoundError:
            return -1
        if not stat.S_ISDIR(status.st_mode):
            raise self._not_our_control(f"is not a directory, and belongs to {user_name(status.st_uid)}", status)
        if not belongs_to_us(status):
            raise self._not_our_control(_whose(status), status)
        control = os.open(self._control_name, _OPEN_DIRECTORY, dir_fd=root)
        status = os.fstat(control)
        if not belongs_to_us(status):
            os.close(control)
            raise self._not_our_control(_whose(status), status)
        return control

    def _not_our_control(self, finding: str, status: os.stat_result) -> StorageError:
        where, me, owner = shown(self.control), user_name(os.geteuid()), user_name(status.st_uid)
        other = f"Pull as {owner} (become_user)" if status.st_uid != os.geteuid() else "Look at what it holds"
        return StorageError(
            f"Cannot use {where} for the record of this pull: it {finding}. What {me} did not write is not believed.",
            f"{other}, or remove {where}: what it describes counts as not pulled then, and 'force' replaces it.",
        )

    def _not_a_directory(self) -> StorageError:
        return StorageError(
            f"{shown(self.root)} is not a directory.",
            "Choose another 'dest', or layer_selector.operation=copy for a file.",
        )

    def apply(
        self,
        plan: Plan,
        content: DirectoryHandles,
        state: State,
        key: Mapping[str, Any],
        artifact: Mapping[str, Any],
        verification: Mapping[str, Any] | None = None,
        request: str = "",
    ) -> None:
        """Carry out a plan whose new and changed entries lie in ``content``, a directory in the staging directory, and
        record the result; see :class:`~.state.State` for what is recorded. Only while this destination is locked.

        :raises StorageError: when a step fails; everything is then as it was.
        """
        with self._placing(plan, content, state) as work:
            pending = {**state.pending, **plan.tree}
            self._save(state._replace(pending=pending))
            work.run()
            placed = work.placed_entries()
            self._save(State(key, artifact, placed, verification=verification or {}, request=request))

    def record_verification(self, state: State, verification: Mapping[str, Any]) -> None:
        """Note under which policy the signatures of what is in ``dest`` were checked. Only while this destination is
        locked.

        :raises StorageError: when it cannot be written.
        """
        try:
            self._save(state._replace(verification=verification))
        except OSError as exc:
            raise self.refused(exc) from None

    def set_permissions(self, paths: list[str], state: State) -> None:
        """Set mode and owner of entries whose content is right. Only while this destination is locked.

        :raises StorageError: when one cannot be set; everything is then as it was.
        """
        plan = Plan({path: state.files[path].entry for path in paths}, metadata=paths)
        with self._placing(plan, None, state) as work:
            work.run()

    @contextlib.contextmanager
    def _placing(self, plan: Plan, content: DirectoryHandles | None, state: State) -> Iterator[Placement]:
        from .placing import Placement

        held = self._locked_parts()
        work: Placement | None = None
        try:
            work = Placement(held.root, self.permissions, plan, held.stage, content, state.files)
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
                self._save(state)
            else:
                os.unlink(FILE_NAME, dir_fd=self._locked_parts().control)

    def _save(self, state: State) -> None:
        save_state(self._locked_parts().control, state)

    def _locked_parts(self) -> _Held:
        if self._held is None:
            raise RuntimeError("a destination was changed without its lock")
        return self._held

    def refused(self, error: OSError) -> StorageError:
        """The error for a system call that failed below this destination."""
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return storage_error("write to", shown(name if os.path.isabs(name) else self.root), error)


def _whose(status: os.stat_result) -> str:
    if status.st_uid != os.geteuid():
        return f"belongs to {user_name(status.st_uid)}"
    return f"may be written to by others (mode {stat.S_IMODE(status.st_mode):04o})"


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, name: bytes, directory: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name, dir_fd=directory))
    except OSError:
        return False


def _remove_empty(directories: list[str]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
