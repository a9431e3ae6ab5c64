# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the content that a pull placed in ``dest``.

It is in a control directory inside ``dest``, which only the user of the task may enter, so that staging and renaming
stay on one file system. It has no suffix, so that tools which apply every ``*.yaml`` or ``*.json`` of a directory
ignore it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
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
    """An entry of the artifact with the modification time (ns) that it had after it was placed."""

    entry: TreeEntry
    mtime: int = 0


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class State(NamedTuple):
    """The content of ``dest``, and the artifact and rules that it came from.

    ``key`` has everything that determines the content: url, digest, revision, selector, ignore rules. ``artifact`` is
    the result that the pull returned. ``pending`` has the entries of an unfinished placement; it is empty unless a
    run was killed. ``verification`` has the policy under which the artifact's signatures were checked, and the
    outcome; it is empty without verification. ``request`` is the reference and selection, see ``Target.wanted``.
    ``standing`` is what else is remembered, see :mod:`.history`. ``parts`` are the digests of the manifests that led
    to the content, of their configs and layers. ``is_damaged`` is True for a record that exists but cannot be parsed,
    and ``is_newer`` as well where a later version of this collection has written it.
    """

    key: Mapping[str, Any] = _NOTHING
    artifact: Mapping[str, Any] = _NOTHING
    files: Mapping[str, PlacedEntry] = _NOTHING
    pending: Mapping[str, TreeEntry] = _NOTHING
    verification: Mapping[str, Any] = _NOTHING
    request: str = ""
    standing: Mapping[str, Any] = _NOTHING
    is_damaged: bool = False
    is_newer: bool = False
    parts: Sequence[str] = ()

    def owns(self, path: str) -> bool:
        """True when an earlier run placed ``path``, or had begun to."""
        return path in self.files or path in self.pending


def release_of(standing: Mapping[str, Any]) -> str:
    """Return the name of the release in place, empty where revisions have no directories of their own."""
    current, history = standing.get("current"), standing.get("history") or ()
    return str(next((each.get("release") for each in history if each["number"] == current), "") or "")


def observed(key: Mapping[str, Any], verification: Mapping[str, Any]) -> dict[str, Any]:
    """Return the modules' value ``observed``: the rules in a key and a verification of a record, if there is a key."""
    selector = {name: key.get(name) for name in ("media_type", "operation")}
    rules = {name: key.get(name) for name in ("layers", "platform", "ignore")}
    return {"layer_selector": selector, **rules, "policy": verification.get("policy") or ""} if key else {}


def load_state(control: int) -> State:
    """Read the record in an open control directory; an empty one when there is none.

    A record that cannot be parsed is returned as an empty one, marked as damaged: its content then counts as foreign,
    and is never overwritten without ``force``. A record of another user is not trusted, and counts as damaged, too.

    :raises OSError: when it exists but cannot be read.
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
            return State(is_damaged=True, is_newer=_parse_number(document["format"]) > FORMAT)
        return State(
            key=dict(document["key"]),
            artifact=dict(document["artifact"]),
            files={_parse_path(name): _placed(item) for name, item in document["files"].items()},
            pending={_parse_path(name): _entry(item) for name, item in document["pending"].items()},
            verification=dict(document.get("verification") or {}),
            request=str(document.get("request") or ""),
            standing=_standing(document["standing"]) if "standing" in document else _NOTHING,
            parts=tuple(map(str, document.get("parts") or ())),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return State(is_damaged=True)


def save_state(control: int, state: State) -> None:
    """Write the record into an open control directory, atomically.

    :raises OSError: when a file operation fails.
    """
    document = {
        "format": FORMAT,
        "key": dict(state.key),
        "artifact": dict(state.artifact),
        # an entry is written as the list of its fields
        "files": {name: (*entry, mtime) for name, (entry, mtime) in state.files.items()},
        "pending": dict(state.pending),
        "verification": dict(state.verification),
        "request": state.request,
    }
    if state.standing:
        document["standing"] = dict(state.standing)
    if state.parts:
        document["parts"] = list(state.parts)
    # leftover of a killed run
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=control)
    descriptor = os.open(_NEW, _CREATE, 0o600, dir_fd=control)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            # not dump, which is slow for a large record
            stream.write(json.dumps(document, separators=(",", ":")))
        os.replace(_NEW, FILE_NAME, src_dir_fd=control, dst_dir_fd=control)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(_NEW, dir_fd=control)
        raise


def _parse_path(name: str) -> str:
    if not name or "/".join(split_path(name)) != name:
        raise ValueError(name)
    return name


def _standing(document: Any) -> Mapping[str, Any]:
    from .history import checked_standing

    return checked_standing(document)


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
