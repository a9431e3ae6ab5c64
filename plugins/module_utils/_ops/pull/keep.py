# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping of the content of ``dest`` when the registry fails, if ``on_registry_error`` allows it."""

from __future__ import annotations

from ..._errors import OciError
from ..resolve import Resolved
from . import last_good
from .context import PullContext
from .last_good import LastGood
from .options import LAST_GOOD_KEPT, PullResult
from .repair import repair_metadata


def keep(pull: PullContext, allowed: LastGood, error: OciError, resolved: Resolved | None) -> PullResult:
    """Return the result for the kept content, with its degradation; see :func:`.last_good.judge`.

    :param error: the failure of the registry.
    :param resolved: the resolved revision, None when resolving the reference failed.
    :raises OciError: ``error``, when the content must not be kept.
    """
    state = pull.load_state()
    held = last_good.held_revision(state)
    if pull.guard is not None:
        pull.guard.check_resolved(held)
    drift = pull.drift(state, held)
    found = last_good.judge(
        allowed,
        pull.destination,
        state,
        drift,
        pull.target,
        is_forced=pull.options.force,
        is_verified=pull.is_verified(state),
        error=error,
    )
    verification = pull.recorded_verification(state)
    result = None
    if drift is not None and (drift.metadata or drift.moved):
        result = repair_metadata(pull, state, drift, held, verification)
    result = result or pull.unchanged(state, LAST_GOOD_KEPT, verification)
    result.degradation = found
    result.warnings.append(last_good.warning(found, pull.target, held, resolved))
    return result
