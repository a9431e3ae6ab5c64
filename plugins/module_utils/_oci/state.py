# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what a pull put into ``dest``.

It lies in a control directory inside ``dest`` (mode 0700, so that staging and renaming stay on one file system) and has no
suffix, so that tools which apply every ``*.yaml`` or ``*.json`` of a directory pass it by.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from .errors import StorageError
from .tree import TreeEntry

FORMAT = 1
FILE_NAME = "state"
MAX_STATE_SIZE = 512 * 1024 * 1024


@dataclass(frozen=True)
class PlacedEntry:
    """An entry of the artifact together with the modification time (ns) that it was placed with."""

    entry: TreeEntry
    mtime: int = 0


@dataclass(frozen=True)
class State:
    """What is in ``dest``, and which artifact and rules it came from.

    ``key`` names everything that decides the content: url, digest, revision, selector, ignore rules. ``artifact`` is the
    result that the pull returned. ``pending`` holds the entries of a placement that was begun; it is empty unless a run
    was killed.
    """

    key: Mapping[str, Any] = field(default_factory=dict)
    artifact: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, PlacedEntry] = field(default_factory=dict)
    pending: Mapping[str, TreeEntry] = field(default_factory=dict)

    def owns(self, path: str) -> bool:
        """Whether an earlier run put ``path`` there, or had begun to."""
        return path in self.files or path in self.pending


def load_state(control: str) -> State | None:
    """Read the record in a control directory; None when there is none, or none that can be understood.

    A record that cannot be understood is treated as absent: what it described is then foreign, and never overwritten
    without ``force``.

    :raises StorageError: when it is there but may not be read.
    """
    path = os.path.join(control, FILE_NAME)
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_STATE_SIZE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StorageError(f"The record of the last pull, {path}, cannot be read: {exc.strerror}.") from None
    try:
        document = json.loads(raw)
        if document["format"] != FORMAT:
            return None
        return State(
            key=dict(document["key"]),
            artifact=dict(document["artifact"]),
            files={name: _placed(item) for name, item in document["files"].items()},
            pending={name: TreeEntry(*item) for name, item in document["pending"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def save_state(control: str, state: State) -> None:
    """Write the record, atomically.

    :raises OSError: as the file system says.
    """
    document = {
        "format": FORMAT,
        "key": dict(state.key),
        "artifact": dict(state.artifact),
        "files": {name: [*astuple(placed.entry), placed.mtime] for name, placed in state.files.items()},
        "pending": {name: list(astuple(entry)) for name, entry in state.pending.items()},
    }
    temporary = os.path.join(control, FILE_NAME + ".new")
    with open(temporary, "w", encoding="ascii") as stream:
        json.dump(document, stream, separators=(",", ":"))
    os.replace(temporary, os.path.join(control, FILE_NAME))


def _placed(item: list[Any]) -> PlacedEntry:
    *fields, mtime = item
    return PlacedEntry(TreeEntry(*fields), int(mtime))
