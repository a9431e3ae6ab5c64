# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull: resolve, verify, fetch, place; or find that the artifact is in place already.

:func:`run` has the steps of a pull in their order. Modules that an unchanged artifact does not need are imported only
where they are used: :mod:`.change`, :mod:`.keep`, :mod:`.last_good`.

Source of the semantics: Flux's OCIRepository (what is fetched, and when again), without its controller.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from ..._dest.state import State
from ..._errors import OciError, PartMissing, is_outage
from ..resolve import Resolved
from ..task import Task
from .context import PullContext, make_context
from .options import NEW_REVISION_PENDING, SUSPENDED, UP_TO_DATE, PullOptions, PullResult

if TYPE_CHECKING:
    from ..._oci.repository import Repository


def pull(options: PullOptions, *, check_mode: bool = False, want_diff: bool = False) -> PullResult:
    """Make ``dest`` hold the artifact; return the changes.

    With ``check_mode`` nothing is written: without ``want_diff`` only the revisions are compared, and no layer is
    fetched; with it the layers are unpacked into a temporary directory and compared file by file.

    :raises OciError: for every failure; ``dest`` is then unchanged.
    """
    with Task(options.cache) as task:
        return run(make_context(options, task, check_mode=check_mode, want_diff=want_diff))


def run(pull: PullContext, turn: AbstractContextManager[object] | None = None) -> PullResult:
    """Make ``dest`` hold the artifact; its content is compared and replaced within the context manager ``turn``.

    :raises OciError: for every failure; ``dest`` is then unchanged.
    """
    state, options, resolved = pull.load_state(), pull.options, None
    if options.suspend:
        return pull.unchanged(state, SUSPENDED, {})
    if state.standing.get("suspended"):
        from .said import suspended

        return suspended(pull, state)
    if not pull.check_mode and pull.destination.has_leftovers():
        from ..._dest.workplace import remove_abandoned_stage

        remove_abandoned_stage(pull.destination)
    known = pull.target.known
    if known is not None and not pull.target.asks_for_tag:
        # no request: the content of a digest or a pin cannot change
        result = _held_back(pull, state, known)
        if result is None and pull.is_in_place(state, known):
            result = pull.unchanged(state, UP_TO_DATE, pull.recorded_verification(state))
        if result is not None:
            return _noted(pull, result, pull.target.pin)
    elif options.interval:
        from .answered import recently

        result = recently(pull, state)
        if result is not None:
            return result
    if not pull.may_be_in_place(state):
        # needed in any case: where it was not carried to the host, that is known before the first request
        from . import change  # noqa: F401
    try:
        with closing(pull.task.open(pull.target, options.auth, options.connection)) as repository:
            resolved = _resolve_reference(pull, repository)
            held_back = _held_back(pull, state, resolved)
            result = held_back or _make_so(pull, repository, resolved, state, turn or nullcontext())
        result.served_by = repository.served_by
        result.warnings = [*result.warnings, *repository.warnings]
    except OciError as exc:
        if exc.reason == NEW_REVISION_PENDING:
            from .said import pending

            # not noted: it is asked for again when its time has come, and that is no failure of the registry
            return pending(pull, exc)
        if is_outage(exc) and state.standing.get("held"):
            from .standing import held_without_registry

            held_back = held_without_registry(pull, state, exc)
            if held_back is not None:
                return held_back
        if options.last_good is None or not is_outage(exc):
            raise
        from .keep import keep

        return keep(pull, options.last_good, exc, resolved)
    except PartMissing as exc:
        exc.revision = resolved.revision if resolved is not None and not options.reference.digest else ""
        raise
    return _noted(pull, result, resolved)


def _held_back(pull: PullContext, state: State, resolved: Resolved) -> PullResult | None:
    if not state.standing.get("held"):
        return None
    from .standing import held_back

    return held_back(pull, state, resolved)


def _resolve_reference(pull: PullContext, repository: Repository) -> Resolved:
    resolved = pull.task.resolve(repository, pull.target, pull.options.auth, pull.options.connection)
    if pull.guard is not None:
        pull.guard.check_resolved(resolved)
    if pull.target.asks_for_tag:
        from ..moved_tag import warnings_of_moved_tag

        pull.warnings.extend(warnings_of_moved_tag(repository, pull.target))
    return resolved


def _make_so(
    pull: PullContext,
    repository: Repository,
    resolved: Resolved,
    state: State,
    turn: AbstractContextManager[object],
) -> PullResult:
    """Verify the resolved digest before content is fetched; then change ``dest`` as needed."""
    drift = pull.drift(state, resolved)
    is_intact = drift is not None and not drift.content
    if not pull.policies or (is_intact and pull.is_verified(state)):
        verification = pull.recorded_verification(state)
    else:
        from .change import verify_resolved

        verification = verify_resolved(pull, repository, resolved, is_intact=is_intact)
    if pull.must_keep(state):
        drift = None
    if drift is not None and drift.is_empty:
        return pull.unchanged(state, UP_TO_DATE, verification)
    if pull.destination.layout:
        from .releases import ReleaseChange as Change
    else:
        from .change import Change  # type: ignore[assignment]  # of which that is a kind

    try:
        return Change(pull, repository, resolved, verification, turn).carry_out(state, drift)
    except OciError as exc:
        if pull.options.health is not None and state.pending and not pull.destination.layout:
            from .standing import restore_interrupted

            restore_interrupted(pull, exc)
        raise


def _noted(pull: PullContext, result: PullResult, resolved: Resolved | None) -> PullResult:
    """Return the result, after noting what a later run has to know; ``resolved`` is None without a request."""
    if not (pull.options.last_good or pull.options.requested_at or pull.options.interval):
        return result
    from .answered import note

    return note(pull, result, resolved)
