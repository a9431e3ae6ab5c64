# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators and policies said about a ``dest``: results of pulls that do nothing because of it."""

from __future__ import annotations

from ..._dest.history import Hold, hold_on
from ..._dest.state import State
from ..._errors import OciError
from ..._files.names import shown
from ..resolve import Resolved
from .context import PullContext
from .options import HELD_BACK, NEW_REVISION_PENDING, SUSPENDED, PullResult


def suspended(pull: PullContext, state: State) -> PullResult:
    """Return the result for a ``dest`` whose pulls are suspended, with a warning that says by whom."""
    note = state.standing["suspended"]
    reason = f": {note['reason']}" if note.get("reason") else ""
    pull.warn_once(
        f"Pulls into {shown(pull.destination.root)} are suspended since {note.get('since')} by {note.get('who')}"
        f"{reason}. "
        "oci_artifact_rollback resumes them with state: resumed."
    )
    return pull.unchanged(state, SUSPENDED, {})


def said_meanwhile(pull: PullContext, state: State, resolved: Resolved) -> PullResult | None:
    """Return the result for a pull that was suspended, or whose digest was held back, while it waited for the lock that
    it now has; None otherwise."""
    if state.standing.get("suspended"):
        return suspended(pull, state)
    hold = hold_on(state.standing, resolved.digest)
    if hold is None:
        return None
    pull.warn_once(warning(hold, state))
    return pull.unchanged(state, HELD_BACK, {})


def pending(pull: PullContext, error: OciError) -> PullResult:
    """Return the result for a new revision that waits for the time of its rule: ``dest`` stays as it is."""
    result = pull.unchanged(pull.load_state(), NEW_REVISION_PENDING, {})
    result.pending = error.details.get("pending") or {"why": error.message}
    return result


def warning(hold: Hold, state: State) -> str:
    """Return what says that a digest is passed over, and how that ends."""
    kept = str(state.artifact.get("revision") or "")
    reason = f": {hold.reason}" if hold.reason else ""
    return (
        f"{hold.revision} of {hold.url} is held back on this host since {hold.since} by {hold.who}{reason}. "
        f"{f'{kept} is kept' if kept else 'Nothing is placed'} until another digest appears, or "
        "oci_artifact_rollback releases it with state: released."
    )
