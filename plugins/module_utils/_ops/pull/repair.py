# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Correction of modes and owners in ``dest`` when the content is unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._dest.diff import permissions_diff
from ..._dest.drift import Drift
from ..._dest.state import State, observed
from ..._dest.workplace import locked
from ..resolve import Resolved
from .context import PullContext, verdict_of
from .options import DRIFT_CORRECTED, UP_TO_DATE, PullResult, listed_changes


def repair_metadata(
    pull: PullContext, state: State, drift: Drift, resolved: Resolved, verification: Mapping[str, Any]
) -> PullResult | None:
    """Correct modes and owners, without a request; return None when the content has changed, too.

    :raises StorageError: when they cannot be set; ``dest`` is then unchanged.
    """
    if not pull.check_mode:
        with locked(pull.destination) as work:
            state = pull.load_state()
            found = pull.drift(state, resolved)
            if found is None or found.content:
                return None
            if found.is_empty:
                return pull.unchanged(state, UP_TO_DATE, verification)
            drift = found
            work.set_permissions(drift.metadata, state)
    diff: list[dict[str, str]] = []
    if pull.want_diff:
        diff = permissions_diff(pull.destination.root, drift.metadata)
    changes = listed_changes(permissions=drift.metadata)
    artifact, verdict = dict(state.artifact), verdict_of(verification)
    result = PullResult(True, DRIFT_CORRECTED, artifact, changes, verdict, diff, warnings=pull.warnings)
    result.observed, result.standing = observed(state.key, verification), state.standing
    return result
