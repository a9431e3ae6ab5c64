# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull has placed in a ``dest`` of this host, and how far one is that is running. No registry is asked."""

from __future__ import annotations

import os
from typing import Any

from ..._dest.destination import Destination
from ..._dest.places import as_recorded, destinations_at
from ..._dest.progress_file import load_progress
from ..._dest.state import load_state, observed
from ..._errors import StorageError
from ..._files.bounded import expanded
from ..._files.names import native
from ..._files.regular_file import storage_error


def placed(dest: str) -> dict[str, Any]:
    """Return the module's result: ``exists``, ``artifact``, ``progress``, ``records``, and of the first record that has
    them, ``observed``, ``history``, ``held``, ``suspended`` and ``requested_at``, and ``release`` where there is one.

    ``conditions`` and ``events`` are those of the host where it reconciles itself with what is in ``dest``, which then
    has a ``status``; else they follow from the records.

    :raises StorageError: when ``dest``, or the record in it, may not be read or is not safe to use.
    """
    path = os.path.abspath(native(expanded(dest)))
    records = [record for record in map(_look, destinations_at(path)) if any(record.values())]
    artifacts = [record["artifact"] for record in records if record["artifact"]]
    running = [record["progress"] for record in records if record["progress"]]
    return {
        "changed": False,
        "exists": bool(artifacts),
        "artifact": artifacts[0] if artifacts else {},
        "progress": running[0] if running else {},
        "observed": next((record["observed"] for record in records if record["observed"]), {}),
        **_standing(records),
        **_status(path, records),
        "records": records,
        "served_by": [],
    }


def _status(path: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    conditions = [each for record in records for each in record.pop("conditions", [])]
    if os.path.lexists(f"{path}.status.json"):
        # of most hosts there is none, and the code for it is not sent to them
        from ..._reconcile.status import observed_status

        status = observed_status(path)
        if status:
            return {"conditions": status["conditions"], "events": status["events"], "status": status}
    from .conditions import events_of

    return {
        "conditions": conditions,
        "events": events_of([kept for each in records for kept in each.get("history", ())]),
    }


def _standing(records: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("history", "held", "suspended", "requested_at")
    found = next((record for record in records if any(record.get(name) for name in names)), {})
    release = {"release": found["release"]} if "release" in found else {}
    return {**{name: found.get(name, [] if name in ("history", "held") else {}) for name in names}, **release}


def _look(destination: Destination) -> dict[str, Any]:
    with destination.opened() as held:
        if held.control < 0:
            return {"artifact": {}, "progress": {}, "observed": {}}
        try:
            state = load_state(held.control)
        except OSError as exc:
            raise storage_error("read the record of the last pull", destination.control, exc) from None
        if state.is_newer:
            raise destination.of_later_version()
        if state.is_damaged:
            raise StorageError(
                f"The record of the last pull in {destination.control} is damaged, or is another user's.",
                "Run the task as the user that pulls, or pull again with force: true.",
            )
        found: dict[str, Any] = {"artifact": dict(state.artifact), "progress": load_progress(held.control)}
        found["observed"] = observed(state.key, state.verification)
        if found["artifact"] or found["progress"]:
            from .conditions import conditions_of

            verified = str(state.verification.get("policy") or "")
            found["conditions"] = conditions_of(found, is_complete=not state.pending, verified=verified)
        if state.standing:
            from ..._dest.history import listed

            # releases that somebody has removed are not in the history
            standing = as_recorded(destination, state).load_state().standing if state.key else state.standing
            found.update(listed(standing))
        return found
