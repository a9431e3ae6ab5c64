# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a record of a pull says in the words of ``kubectl describe ocirepository``: conditions and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Condition = dict[str, str]


def conditions_of(record: Mapping[str, Any], *, is_complete: bool, verified: str) -> list[Condition]:
    """Return the conditions of Flux's OCIRepository that follow from a record.

    :param record: the artifact and the progress of a record.
    :param is_complete: False when a run was killed while it placed the artifact.
    :param verified: what the signatures were checked for, empty when they were not.
    """
    artifact, progress = record["artifact"], record["progress"]
    found: list[Condition] = []
    if artifact:
        revision, since = str(artifact.get("revision", "")), str(artifact.get("last_update_time", ""))
        if is_complete:
            found.append(_condition("Ready", "True", "Succeeded", f"Stored artifact for revision {revision}", since))
        else:
            message = f"A run was killed while it changed {revision}; the next one completes it"
            found.append(_condition("Ready", "False", "Interrupted", message, since))
        stored = f"Stored artifact for revision {revision}"
        found.append(_condition("ArtifactInStorage", "True", "Succeeded", stored, since))
        if verified:
            message = f"Verified signature of revision {revision} ({verified})"
            found.append(_condition("SourceVerified", "True", "Succeeded", message, since))
    if progress:
        found.append(_condition("Reconciling", "True", "Progressing", "A pull is running", ""))
    return found


def events_of(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return an event for each kept revision, and for the last failure of each at a command, the oldest first."""
    events: list[dict[str, Any]] = []
    for kept in reversed(history):
        revision, since = kept["revision"], kept["placed_at"]
        placed = f"Placed {revision} of {kept['url']} as {kept['placed_by']}"
        events.append(_event("Normal", "NewArtifact", placed, revision, since, 1))
        if kept["failures"]:
            events.append(_event("Warning", "Failed", kept["last_failure"], revision, "", kept["failures"]))
    return events


def _condition(kind: str, status: str, reason: str, message: str, since: str) -> Condition:
    return {"type": kind, "status": status, "reason": reason, "message": message, "last_transition_time": since}


def _event(kind: str, reason: str, message: str, revision: str, moment: str, count: int) -> dict[str, Any]:
    return {
        "type": kind,
        "reason": reason,
        "message": message,
        "revision": revision,
        "time": moment,
        "count": count,
    }
