# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull has placed in a ``dest`` of this host, and how far one is that is running. No registry is asked."""

from __future__ import annotations

import os
from typing import Any

from ..._dest.destination import Destination
from ..._dest.permissions import Permissions
from ..._dest.progress_file import load_progress
from ..._dest.state import load_state
from ..._errors import StorageError
from ..._files.bounded import expanded
from ..._files.names import CONTROL_NAME, native
from ..._files.regular_file import storage_error

# records of tasks that copy into one directory
MAX_RECORDS = 1000


def placed(dest: str) -> dict[str, Any]:
    """Return the module's result: ``exists``, ``artifact``, ``progress`` and ``records``.

    :raises StorageError: when ``dest``, or the record in it, may not be read or is not safe to use.
    """
    path = os.path.abspath(native(expanded(dest)))
    records = [record for record in map(_look, _destinations(path)) if record["artifact"] or record["progress"]]
    artifacts = [record["artifact"] for record in records if record["artifact"]]
    running = [record["progress"] for record in records if record["progress"]]
    return {
        "changed": False,
        "exists": bool(artifacts),
        "artifact": artifacts[0] if artifacts else {},
        "progress": running[0] if running else {},
        "records": records,
        "served_by": [],
    }


def _destinations(path: str) -> list[Destination]:
    """Those that a pull to this path may use: the directory, one for each copy into it, or the directory of a file."""
    if os.path.isdir(path):
        try:
            names = sorted(name for name in os.listdir(path) if name.startswith(f"{CONTROL_NAME}."))
        except OSError as exc:
            raise storage_error("read", path, exc) from None
        return [Destination(path, Permissions(), name) for name in [CONTROL_NAME, *names[:MAX_RECORDS]]]
    parent, name = os.path.split(path)
    return (
        [Destination(parent, Permissions(), f".{name}{CONTROL_NAME}", is_parent=True)] if os.path.isdir(parent) else []
    )


def _look(destination: Destination) -> dict[str, Any]:
    with destination.opened() as held:
        if held.control < 0:
            return {"artifact": {}, "progress": {}}
        try:
            state = load_state(held.control)
        except OSError as exc:
            raise storage_error("read the record of the last pull", destination.control, exc) from None
        if state.is_damaged:
            raise StorageError(
                f"The record of the last pull in {destination.control} is damaged, or is another user's.",
                "Run the task as the user that pulls, or pull again with force: true.",
            )
        return {"artifact": dict(state.artifact), "progress": load_progress(held.control)}
