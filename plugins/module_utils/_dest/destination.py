# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory ``dest`` and the record of what was placed in it, for reading; ``workplace`` changes them.

The directories above ``dest`` must belong to root or the user of the task. ``dest`` itself may belong to another user,
who can replace its entries at any moment: every entry is accessed through descriptors, without following links, and the
control directory is used only when it belongs to the user of the task and nobody else may write to it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

from .._errors import StorageError
from .._files.directory_handles import DIRECTORY, DirectoryHandles
from .._files.names import CONTROL_NAME, encoded, native, on_disk, shown
from .._files.regular_file import storage_error
from .._files.trusted_path import open_trusted
from .._files.users import belongs_to_us
from .drift import Drift, find_drift
from .permissions import Permissions
from .state import FILE_NAME, State, load_state

STAGE = b"stage"
OPEN_DIRECTORY = os.O_RDONLY | DIRECTORY


class Held(NamedTuple):
    """The open descriptors of a destination; ``control`` is -1 when there is no control directory.

    ``root`` is the directory of the content, ``base`` the one that the control directory is in, where it is another.
    """

    root: DirectoryHandles
    control: int
    base: DirectoryHandles | None = None

    @property
    def top(self) -> int:
        """The descriptor of the directory that the control directory is in."""
        return (self.base or self.root).get("")


class Destination:
    """A directory on this host that holds artifacts, and the control directory with the record of one of them.

    With ``is_parent`` the content is one file, and the directory its parent; no other user may replace its entries.
    With ``unsafe_writes`` files that are mount points are written in place. ``layout`` is the name of another way to
    place content in the directory, see :mod:`.releases`, and ``workplace`` makes what does it under the lock.
    """

    layout = ""
    workplace: Callable[..., Any] | None = None

    def __init__(
        self,
        root: str,
        permissions: Permissions,
        control_name: str = CONTROL_NAME,
        *,
        is_parent: bool = False,
        unsafe_writes: bool = False,
    ) -> None:
        self.root = os.path.abspath(native(root))
        self.control = os.path.join(self.root, native(control_name))
        self.permissions = permissions
        self.control_name = encoded(control_name)
        self.is_parent = is_parent
        self.unsafe_writes = unsafe_writes
        self.held: Held | None = None

    @property
    def place(self) -> str:
        """The path of the content."""
        return self.root

    def hold(self, directory: DirectoryHandles, control: int) -> Held:
        """The open directory and its open control directory, together with that of the content, which closes the first
        when it is closed."""
        return Held(directory, control)

    def load_state(self) -> State:
        """The record of the last pull; an empty one without a pull.

        :raises StorageError: when ``dest`` is not a directory or not safe to use, or the record may not be read, or a
            later version has written it: what it says, who suspended pulls or held something back, must not be lost.
        """
        with self.opened() as held:
            if held.control < 0:
                return State()
            try:
                state = load_state(held.control)
            except OSError as exc:
                where = shown(os.path.join(self.control, FILE_NAME))
                raise storage_error("read the record of the last pull", where, exc) from None
            if state.is_newer:
                raise self.of_later_version()
            return state

    def find_drift(self, state: State, check_content: bool) -> Drift:
        """Compare the content of ``dest`` with the record; see :func:`.drift.find_drift`.

        :raises StorageError: when ``dest`` is not a directory or not safe to use.
        """
        with self.opened() as held:
            return find_drift(held.root, state, self.permissions, check_content)

    def moved(self) -> tuple[str, ...]:
        """The names of links to the content that lead elsewhere; there are none in this layout."""
        return ()

    def has_leftovers(self) -> bool:
        """Return True when there is a staging directory, of a killed run or of one that is in progress."""
        with self.opened() as held:
            return held.control >= 0 and exists_at(STAGE, held.control)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Held]:
        """Yield the descriptors of the destination: those of the lock, or else new ones that are open within the block.

        :raises StorageError: when ``dest`` is not a directory or not safe to use.
        """
        if self.held is not None:
            yield self.held
            return
        handles, control = DirectoryHandles(self._open_root()), -1
        try:
            with self._explained(), contextlib.suppress(FileNotFoundError):
                control = self.open_control(handles.get(""))
            held = self.hold(handles, control)
            handles = held.root
            yield held
        finally:
            handles.close()
            if control >= 0:
                os.close(control)

    def _open_root(self) -> int:
        """The descriptor of ``dest``, -1 when it does not exist."""
        with self._explained(), contextlib.suppress(FileNotFoundError):
            return open_trusted(self.root, may_be_others=not self.is_parent)
        return -1

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NotADirectoryError:
            raise self.not_a_directory() from None
        except OSError as exc:
            raise self.refused(exc) from None

    def open_control(self, root: int) -> int:
        """The descriptor of the control directory, -1 when there is none.

        :raises StorageError: when it is not a directory that only the user of the task may write to.
        """
        try:
            status = os.lstat(self.control_name, dir_fd=root)
        except FileNotFoundError:
            return -1
        if not stat.S_ISDIR(status.st_mode) or not belongs_to_us(status):
            raise self._not_our_control(status)
        control = os.open(self.control_name, OPEN_DIRECTORY, dir_fd=root)
        status = os.fstat(control)
        if not belongs_to_us(status):
            os.close(control)
            raise self._not_our_control(status)
        return control

    def _not_our_control(self, status: os.stat_result) -> StorageError:
        from .._files.directory_writers import record_error

        return record_error(self.control, status)

    def of_later_version(self) -> StorageError:
        """The error for a record that this version cannot understand."""
        return StorageError(
            f"The record of the last pull in {shown(self.control)} was written by a later version of this collection.",
            "Run the task with that version, or remove the record, which loses what it says is held back or suspended.",
        )

    def not_a_directory(self) -> StorageError:
        """The error for a ``dest`` that is not a directory."""
        return StorageError(
            f"{shown(self.root)} is not a directory.",
            "Choose another 'dest', or layer_selector.operation=copy for a file.",
        )

    def refused(self, error: OSError, path: str = "") -> StorageError:
        """The error for a system call that failed in this destination, when it was about the entry at ``path``."""
        name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        where = name if os.path.isabs(name) else on_disk(self.root, path) if path else self.root
        return storage_error("write to", shown(where), error)


def exists_at(name: bytes, directory: int) -> bool:
    """True when an open directory has an entry."""
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True
