# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what a pull put into ``dest``.

It lies in a control directory inside ``dest``, which nobody but the user of the task may enter, so that staging and
renaming stay on one file system. It has no suffix, so that tools which apply every ``*.yaml`` or ``*.json`` of a
directory pass it by.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .._files.directory_handles import open_file_at
from .._files.names import split_path
from .._files.tree import DIRECTORY, FILE, SYMLINK, TreeEntry

FORMAT = 1
FILE_NAME = "state"
MAX_STATE_SIZE = 512 * 1024 * 1024

_NEW = FILE_NAME + ".new"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PlacedEntry(NamedTuple):
    """An entry of the artifact together with the modification time (ns) that it was placed with."""

    entry: TreeEntry
    mtime: int = 0


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class State(NamedTuple):
    """What is in ``dest``, and which artifact and rules it came from.

    ``key`` names everything that decides the content: url, digest, revision, selector, ignore rules. ``artifact`` is
    the result that the pull returned. ``pending`` holds the entries of a placement that was begun; it is empty unless
    a run was killed. ``verification`` says under which policy the artifact's signatures were checked, and the outcome;
    it is empty where nobody asked. ``request`` is how the artifact was asked for, see ``Target.wanted``. ``is_damaged``
    stands for a record that is there but cannot be understood.
    """

    key: Mapping[str, Any] = _NOTHING
    artifact: Mapping[str, Any] = _NOTHING
    files: Mapping[str, PlacedEntry] = _NOTHING
    pending: Mapping[str, TreeEntry] = _NOTHING
    verification: Mapping[str, Any] = _NOTHING
    request: str = ""
    is_damaged: bool = False

    def owns(self, path: str) -> bool:
        """Whether an earlier run put ``path`` there, or had begun to."""
        return path in self.files or path in self.pending


def load_state(control: int) -> State:
    """Read the record in a control directory, which is open; an empty one when there is none.

    A record that cannot be understood gives an empty one too, marked as damaged: what it described is then foreign,
    and never overwritten without ``force``. One of another user is not believed, and counts as damaged too.

    :raises OSError: when it is there but may not be read.
    """
    try:
        descriptor = open_file_at(os.fsencode(FILE_NAME), control)
    except FileNotFoundError:
        return State()
    with os.fdopen(descriptor, "rb") as stream:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return State(is_damaged=True)
        raw = stream.read(MAX_STATE_SIZE)
    try:
        document = json.loads(raw)
        if document["format"] != FORMAT:
            return State(is_damaged=True)
        return State(
            key=dict(document["key"]),
            artifact=dict(document["artifact"]),
            files={_parse_path(name): _placed(item) for name, item in document["files"].items()},
            pending={_parse_path(name): _entry(item) for name, item in document["pending"].items()},
            verification=dict(document.get("verification") or {}),
            request=str(document.get("request") or ""),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return State(is_damaged=True)


def save_state(control: int, state: State) -> None:
    """Write the record into an open control directory, atomically.

    :raises OSError: as the file system says.
    """
    document = {
        "format": FORMAT,
        "key": dict(state.key),
        "artifact": dict(state.artifact),
        "files": {name: (*_fields(placed.entry), placed.mtime) for name, placed in state.files.items()},
        "pending": {name: _fields(entry) for name, entry in state.pending.items()},
        "verification": dict(state.verification),
        "request": state.request,
    }
    # what a run left that was killed
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=control)
    descriptor = os.open(_NEW, _CREATE, 0o600, dir_fd=control)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            # not dump, which goes through a large record in Python
            stream.write(json.dumps(document, separators=(",", ":")))
        os.replace(_NEW, FILE_NAME, src_dir_fd=control, dst_dir_fd=control)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(_NEW, dir_fd=control)
        raise


def _fields(entry: TreeEntry) -> tuple[str, int, int, str, str]:
    return entry.kind, entry.mode, entry.size, entry.digest, entry.target


def _parse_path(name: str) -> str:
    if not name or "/".join(split_path(name)) != name:
        raise ValueError(name)
    return name


def _placed(item: list[Any]) -> PlacedEntry:
    return PlacedEntry(_entry(item[:-1]), _parse_number(item[-1]))


def _entry(item: list[Any]) -> TreeEntry:
    kind, mode, size, digest, target = item
    if kind not in (FILE, DIRECTORY, SYMLINK) or not 0 <= _parse_number(mode) <= 0o777:
        raise ValueError(item)
    if not isinstance(digest, str) or not isinstance(target, str):
        raise ValueError(item)
    return TreeEntry(kind, mode, _parse_number(size), digest, target)


def _parse_number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(value)
    return value
