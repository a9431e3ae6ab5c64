# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Correction of modes and owners in ``dest``, and of the link to it, when the content is unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..._dest.diff import permissions_diff
from ..._dest.drift import Drift
from ..._dest.state import State, observed
from ..._dest.workplace import locked
from ..._files.names import on_disk, shown
from ..resolve import Resolved
from .context import PullContext, verdict_of
from .options import DRIFT_CORRECTED, UP_TO_DATE, PullResult, listed_changes


def repair_metadata(
    pull: PullContext, state: State, drift: Drift, resolved: Resolved, verification: Mapping[str, Any]
) -> PullResult | None:
    """Correct modes, owners and the link, without a request; return None when the content has changed, too.

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
            check = None
            if drift.moved and pull.options.health is not None:
                from .checks import check_again

                check = partial(check_again, pull, state.artifact)
            work.set_right(drift, state, check)
    diff: list[dict[str, str]] = []
    if pull.want_diff:
        diff = permissions_diff(pull.destination.place, drift.metadata)
        diff += [{"prepared": f"{shown(on_disk(pull.destination.root, path))} is set right\n"} for path in drift.moved]
    changes = listed_changes(permissions=drift.metadata, changed=drift.moved)
    artifact, verdict = dict(state.artifact), verdict_of(verification)
    result = PullResult(True, DRIFT_CORRECTED, artifact, changes, verdict, diff, warnings=pull.warnings)
    result.observed, result.standing = observed(state.key, verification), state.standing
    return result
