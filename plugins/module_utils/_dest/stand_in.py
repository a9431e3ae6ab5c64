# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A destination as another machine can have it, to compare with: the record, small texts, and files of the right size.

The host describes its destination (:func:`describe`), and the other machine makes a directory of that
(:func:`make_stand_in`). What a description says is not trusted: paths are those that a record may have, and nothing but
the new directory is written to.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from .._files.bounded import MAX_LOGIN_FILE
from .._files.directory_handles import DirectoryHandles, open_file_at
from .._files.names import CURRENT, RELEASES, native, on_disk, shown
from .._files.tree import DIRECTORY, FILE, SYMLINK
from .destination import Destination
from .diff import MAX_TEXT, MAX_TOTAL, plain_text
from .drift import Drift
from .state import FILE_NAME, State, load_state, release_of

# bytes of a record that is sent
MAX_RECORD = MAX_LOGIN_FILE
_ALTERED = 1  # seconds since 1970: the time of a file that is not the one of the record


def describe(destination: Destination, name: str, state: State, drift: Drift | None) -> dict[str, Any] | None:
    """Describe a destination; None for one that is too large.

    :param name: of the file in it, for a copy to a file.
    :param state: its record.
    :param drift: what differs from the record; None where that is not known.
    :raises StorageError: when it cannot be read.
    """
    texts: dict[str, str] = {}
    budget = MAX_TOTAL
    with destination.opened() as held:
        record = _record(held.control)
        if record is None:
            return None
        for path, (entry, _mtime) in state.files.items():
            if entry.kind == FILE and entry.size <= min(MAX_TEXT, budget):
                text = _text(held.root, path)
                if text is not None:
                    texts[path] = text
                    budget -= len(text)
        there = {path for path in (drift.content if drift else ()) if _is_there(held.root, path)}
    return {
        "root": shown(destination.root),
        "control": os.fsdecode(destination.control_name),
        "name": name,
        "record": record,
        "texts": texts,
        "altered": sorted(there),
        "missing": sorted(set(drift.content if drift else ()) - there),
    }


def make_stand_in(folder: str, description: Mapping[str, Any]) -> str:
    """Make the directory ``folder`` a destination as described; return what ``dest`` is for it.

    :raises OSError: when a file operation fails.
    :raises ValueError: when the description is malformed.
    """
    control_name = str(description["control"])
    if "/" in control_name or control_name in ("", ".", ".."):
        raise ValueError("the name of the control directory")
    os.makedirs(os.path.join(folder, control_name), mode=0o700)
    control = os.open(os.path.join(folder, control_name), os.O_RDONLY | os.O_DIRECTORY)
    try:
        if description["record"]:
            with open(os.path.join(folder, control_name, FILE_NAME), "w", encoding="utf-8") as stream:
                stream.write(str(description["record"]))
        state = load_state(control)
    finally:
        os.close(control)
    content = _content_of(folder, state)
    texts, altered, missing = description["texts"], set(description["altered"]), set(description["missing"])
    # links come last: no entry may be reached through one
    there = sorted(set(state.files) - missing, key=lambda path: (state.files[path].entry.kind == SYMLINK, path))
    for path in there:
        entry, mtime = state.files[path]
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            _make_entry(on_disk(content, path), entry.kind, entry.size, entry.target, texts.get(path))
            if entry.kind == DIRECTORY:
                # what is in it is still to be made, and removed
                os.chmod(on_disk(content, path), entry.mode | 0o700)
            if entry.kind == FILE:
                os.chmod(on_disk(content, path), entry.mode)
                moment = _ALTERED * 10**9 if path in altered else mtime
                os.utime(on_disk(content, path), ns=(moment, moment))
    name = str(description["name"])
    return os.path.join(folder, os.path.basename(name)) if name else f"{folder}/"


def as_of_host(result: dict[str, Any], folder: str, description: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a comparison with a stand-in, in the words of the host."""
    root = str(description["root"])
    try:
        record = json.loads(description["record"] or "{}")
        files, place = record.get("files") or {}, os.path.join(root, CURRENT) if record["key"].get("layout") else root
    except (ValueError, LookupError, AttributeError):
        files, place = {}, root
    for each in result.get("diff") or ():
        for key in ("before_header", "after_header", "prepared"):
            if isinstance(each.get(key), str):
                each[key] = each[key].replace(folder, root)
        path = str(each.get("before_header", ""))[len(place) :].lstrip("/")
        entry = files.get(path)
        if str(each.get("before", "")).startswith("file of ") and isinstance(entry, list) and len(entry) > 3:
            # what stands in for a large file has its size, and not its content
            digest = f", {str(entry[3])[:19]}" if entry[3] else ""
            each["before"] = f"file of {entry[2]} bytes{digest}\n"
    artifact = result.get("artifact")
    if isinstance(artifact, dict) and isinstance(artifact.get("path"), str):
        artifact["path"] = artifact["path"].replace(folder, root)
    return result


def _content_of(folder: str, state: State) -> str:
    """Return the directory of the content, which is made when it is a release."""
    release = release_of(state.standing) if state.key.get("layout") else ""
    if not release:
        return folder
    content = os.path.join(folder, RELEASES, release)
    os.makedirs(content)
    os.symlink(os.path.join(RELEASES, release), os.path.join(folder, CURRENT))
    return content


def _record(control: int) -> str | None:
    """The text of the record, empty without one; None for one that is too large."""
    if control < 0:
        return ""
    try:
        with os.fdopen(open_file_at(os.fsencode(FILE_NAME), control), "rb") as stream:
            raw = stream.read(MAX_RECORD + 1)
    except OSError:
        return ""
    return raw.decode("utf-8", "replace") if len(raw) <= MAX_RECORD else None


def _text(root: DirectoryHandles, path: str) -> str | None:
    try:
        with os.fdopen(root.open_file(path), "rb") as stream:
            raw = stream.read(MAX_TEXT + 1)
    except OSError:
        return None
    return plain_text(raw) if len(raw) <= MAX_TEXT else None


def _is_there(root: DirectoryHandles, path: str) -> bool:
    try:
        root.lstat(path)
    except OSError:
        return False
    return True


def _make_entry(path: str, kind: str, size: int, target: str, text: str | None) -> None:
    if kind == DIRECTORY:
        os.makedirs(path, mode=0o700, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    if kind != FILE:
        os.symlink(native(target), path)
        return
    with open(path, "xb") as stream:
        if text is not None:
            stream.write(text.encode("utf-8"))
        else:
            stream.truncate(size)
