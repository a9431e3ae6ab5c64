# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the index of a user has: all destinations that pulls have placed something in. See :mod:`.index`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._files.trusted_path import open_trusted
from .index import SUFFIX, index_directory, read_entry

# destinations that are read
MAX_ENTRIES = 10_000


class Entry(NamedTuple):
    """A destination: its directory, the name of the control directory in it, and the reference and selection that were
    asked for, by option. ``file`` is the name of the file that says so."""

    root: str
    control_name: str
    is_parent: bool
    asked: Mapping[str, Any]
    file: str


def entries() -> list[Entry]:
    """Return what the index of this user has, sorted by path; an empty list without an index. What cannot be read is
    left out.

    :raises StorageError: when somebody else may write to the index.
    """
    directory, found = index_directory(), []
    folder = _open(directory)
    if folder < 0:
        return []
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
        for name in names[:MAX_ENTRIES]:
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
                found.append(_parsed(read_entry(folder, name), name))
    finally:
        os.close(folder)
    return sorted(found)


def forget(names: list[str]) -> None:
    """Remove the files of that name from the index; a failure does not matter."""
    folder = _open(index_directory())
    if folder < 0:
        return
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
    os.close(folder)


def _open(directory: str) -> int:
    if directory:
        with contextlib.suppress(OSError):
            return open_trusted(directory)
    return -1


def _parsed(raw: bytes, name: str) -> Entry:
    document = json.loads(raw)
    root, control, asked = document["root"], document["control"], document["asked"]
    if not isinstance(root, str) or not os.path.isabs(root) or not isinstance(asked, dict):
        raise ValueError(name)
    if not isinstance(control, str) or "/" in control or control in ("", ".", ".."):
        raise ValueError(name)
    return Entry(root, control, document["is_parent"] is True, asked, name)
