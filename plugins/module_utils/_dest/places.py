# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The destinations that pulls may have at a path of this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._files.names import CONTROL_NAME
from .._files.regular_file import storage_error
from .destination import Destination
from .permissions import Permissions
from .state import State

if TYPE_CHECKING:
    from .workplace import Workplace

# records of tasks that copy into one directory
MAX_RECORDS = 1000


def destinations_at(path: str) -> list[Destination]:
    """Return those that a pull to this path may use: the directory, then one for each copy into it; or the directory of
    a file.

    :raises StorageError: when the directory cannot be read.
    """
    if os.path.isdir(path):
        try:
            names = sorted(name for name in os.listdir(path) if name.startswith(f"{CONTROL_NAME}."))
        except OSError as exc:
            raise storage_error("read", path, exc) from None
        return [Destination(path, Permissions(), name) for name in [CONTROL_NAME, *names[:MAX_RECORDS]]]
    parent, name = os.path.split(path)
    if not os.path.isdir(parent):
        return []
    return [Destination(parent, Permissions(), f".{name}{CONTROL_NAME}", is_parent=True)]


def as_recorded(destination: Destination, state: State) -> Destination:
    """Return the destination in the layout that its record, ``state``, has."""
    if not state.key.get("layout"):
        return destination
    found = releases_at(destination.root, destination.permissions, os.fsdecode(destination.control_name))
    found.load_state()
    return found


def releases_at(root: str, permissions: Permissions, control_name: str = CONTROL_NAME) -> Destination:
    """Return the destination that has each revision in a directory of its own below ``root``."""
    from .releases import ReleaseDestination

    found = ReleaseDestination(root, permissions, control_name)
    found.workplace = _release_workplace
    return found


def _release_workplace(*arguments: Any) -> Workplace:
    from .release_workplace import ReleaseWorkplace

    return ReleaseWorkplace(*arguments)
