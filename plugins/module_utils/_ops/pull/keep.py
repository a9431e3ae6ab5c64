# Copyright: (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what is in ``dest`` when the registry is out of reach, where ``on_registry_error`` allows it."""

from __future__ import annotations

from ..._errors import OciError
from ..resolve import Resolved
from . import last_good
from .context import PullContext
from .last_good import LastGood
from .options import LAST_GOOD_KEPT, PullResult
from .repair import repair_metadata


def keep(pull: PullContext, allowed: LastGood, error: OciError, resolved: Resolved | None) -> PullResult:
    """Return what is in place as the result, with the degradation that this is; see :func:`.last_good.judge`.

    :param error: why the registry's answer is missing.
    :param resolved: what the registry still said, None where it did not even resolve the reference.
    :raises OciError: ``error``, when what is in place will not do.
    """
    state = pull.load_state()
    held = last_good.held_revision(state)
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
    if drift is not None and drift.metadata:
        result = repair_metadata(pull, state, drift, held, verification)
    result = result or pull.unchanged(state, LAST_GOOD_KEPT, verification)
    result.degradation = found
    result.warnings.append(last_good.warning(found, pull.target, held, resolved))
    return result
