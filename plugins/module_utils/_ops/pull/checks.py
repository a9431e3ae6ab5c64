# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the task that judge a revision: one before it is placed, and one after."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any, Callable

from ..._dest.diff import diff_of
from ..._dest.history import Hold, listed, now, with_failure, with_hold
from ..._dest.plan import Plan
from ..._dest.state import State
from ..._dest.workplace import Workplace
from ..._errors import OciError, StorageError
from ..._files.directory_handles import DirectoryHandles
from ..._files.directory_writers import other_writers
from ..._files.names import native, shown
from ..._files.users import is_trusted
from ..command import run_words, with_path
from .context import PullContext
from .host_options import ROLLBACK, Health
from .keeping import account
from .options import listed_changes

# seconds that a command before the placement may take
VALIDATE_TIMEOUT = 600.0
# characters of a diff in a message
MAX_DIFF = 4000


class ValidationFailed(OciError):
    """The command that looks at the staged content refused it."""

    reason = "ValidationFailed"


class HealthCheckFailed(OciError):
    """The command that is run once the content is in place failed."""

    reason = "HealthCheckFailed"


def place_checked(
    pull: PullContext,
    work: Workplace,
    content: DirectoryHandles,
    plan: Plan,
    state: State,
    artifact: Mapping[str, Any],
    place: Callable[..., None],
    standing: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Place staged content if the commands of the task agree; return what the record remembers then.

    :param place: places it; with ``check`` a function that is called when it is in place, and undoes it.
    :param standing: what the record remembers once it is placed.
    :raises ValidationFailed: before anything is placed.
    :raises HealthCheckFailed: when ``dest`` is as it was before, unless it was asked to stay.
    """
    if pull.options.validate:
        _validate(pull, work, content, plan, state, artifact)
    health = pull.options.health
    if health is None:
        place()
        return standing

    def check() -> None:
        _check_health(pull, health, artifact)

    if health.remediation != ROLLBACK:
        place()
        try:
            check()
        except HealthCheckFailed as exc:
            _leave_in_place(pull, work, exc)
            raise
        return standing
    try:
        place(check=check)
    except HealthCheckFailed as exc:
        _hold(pull, work, state, artifact, exc)
        raise
    return standing


def _validate(
    pull: PullContext,
    work: Workplace,
    content: DirectoryHandles,
    plan: Plan,
    state: State,
    artifact: Mapping[str, Any],
) -> None:
    path, descriptors = _staged_path(pull, content)
    before = _looks(content, plan)
    ended = run_words(with_path(pull.options.validate, path), VALIDATE_TIMEOUT, descriptors)
    command = pull.options.validate[0]
    if ended.status == 0 and _looks(content, plan) == before:
        return
    how = ended.how if ended.status else "altered the staged content, which it may only look at"
    with pull.destination.opened() as held:
        diff = diff_of(plan, pull.destination.place, held.root, content)
    error = ValidationFailed(
        f"{artifact['revision']} of {pull.target.reference.name} is not placed in {place_of_content(pull)}: the "
        f"command {command!r} of 'validate' {how}.",
        f"{place_of_content(pull)} is as it was. What would have changed:\n{_short(diff)}",
    )
    changes = listed_changes(added=plan.added, changed=plan.changed, removed=plan.removed, permissions=plan.metadata)
    error.details.update(changes=changes, **({"diff": diff} if pull.want_diff else {}))
    if state.standing.get("current"):
        work.record_standing(state, with_failure(state.standing, error.message))
    raise error


def _staged_path(pull: PullContext, content: DirectoryHandles) -> tuple[str, tuple[int, ...]]:
    """Return the path of the staged content for a command, and the descriptors that the command needs for it.

    Where another user may change what the names in ``dest`` stand for, the path leads through a descriptor.
    """
    destination = pull.destination
    with destination.opened() as held:
        root = held.top
        status = os.fstat(root)
        is_safe = is_trusted(status.st_uid) and not other_writers(root, status)
    directory = os.path.join(destination.control, "stage", "content")
    descriptors: tuple[int, ...] = ()
    if not is_safe:
        descriptors = (content.get(""),)
        directory = f"/proc/self/fd/{descriptors[0]}"
        if not os.path.isdir(directory):
            raise StorageError(
                f"{shown(destination.root)} may be written to by others, and this system has no way to hand an open "
                "directory to a command: 'validate' is not possible there."
            )
    return os.path.join(directory, native(pull.name)) if pull.name else directory, descriptors


def _looks(content: DirectoryHandles, plan: Plan) -> dict[str, tuple[int, ...] | None]:
    """What tells of each staged entry whether it was altered."""
    return {path: _look(content, path) for path in plan.tree}


def _look(content: DirectoryHandles, path: str) -> tuple[int, ...] | None:
    try:
        status = content.lstat(path)
    except OSError:
        return None
    # mtime alone can be set back
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _short(diff: list[dict[str, str]]) -> str:
    """Return a diff as text, cut after some lines."""
    lines: list[str] = []
    size = 0
    for each in diff:
        if "prepared" in each:
            part = [each["prepared"]]
        else:
            old, new = each["before"].splitlines(True), each["after"].splitlines(True)
            part = list(difflib.unified_diff(old, new, each["before_header"], each["after_header"]))
        for line in part:
            size += len(line)
            if size > MAX_DIFF:
                return "".join([*lines, "…"])
            lines.append(line if line.endswith("\n") else f"{line}\n")
    return "".join(lines).rstrip("\n")


def _check_health(pull: PullContext, health: Health, artifact: Mapping[str, Any]) -> None:
    ended = run_words(with_path(health.words, _native_place(pull)), health.timeout)
    if ended.status:
        raise HealthCheckFailed(
            f"{artifact['revision']} of {pull.target.reference.name} was placed in {place_of_content(pull)}, and the "
            f"command {health.words[0]!r} of 'health' {ended.how}."
        )


def check_again(pull: PullContext, artifact: Mapping[str, Any]) -> None:
    """Run the command over what is in place again, without anything being placed.

    :raises HealthCheckFailed: when it fails.
    """
    health = pull.options.health
    if health is not None:
        _check_health(pull, health, artifact)


def _leave_in_place(pull: PullContext, work: Workplace, error: HealthCheckFailed) -> None:
    state = pull.load_state()
    after = with_failure(state.standing, error.message)
    # as after a run that was killed: the next one places it again, and asks again
    pending = {path: placed.entry for path, placed in state.files.items()}
    work.record_standing(state._replace(pending=pending), after)
    error.hint = "It stays in place, since 'health.remediation' is none; the next run asks again."
    error.details.update(changed=True, rolled_back=False, **listed(after))


def _hold(
    pull: PullContext, work: Workplace, state: State, artifact: Mapping[str, Any], error: HealthCheckFailed
) -> None:
    """Record that the revision is held back, unless it was in place before. ``dest`` is as it was."""
    reason = error.message.rpartition(" and the command ")[2].rstrip(".")[:500]
    hold = Hold(
        digest=str(artifact["digest"]),
        revision=str(artifact["revision"]),
        url=str(artifact["url"]),
        request=pull.target.wanted,
        reason=f"the command {reason}",
        who=account(),
        since=now(),
    )
    after = with_failure(state.standing, error.message)
    is_other = state.artifact.get("digest") != artifact["digest"]
    if is_other:
        after = with_hold(after, hold)
    work.record_standing(state, after)
    error.details.update(rolled_back=True, **listed(after))
    if not state.key:
        error.hint = (
            f"{place_of_content(pull)} had nothing before: what was placed is removed, and that revision is held back."
        )
    elif not is_other:
        error.hint = f"{place_of_content(pull)} is as it was. {command_again(pull)}"
    elif not state.pending:
        kept = str(state.artifact.get("revision") or "what it had")
        error.hint = (
            f"{place_of_content(pull)} holds {kept} again, and that revision is held back. {command_again(pull)}"
        )
    else:
        error.hint = "That revision is held back."


def command_again(pull: PullContext) -> str:
    """Run the command once more over what is there again, so that what it loads is loaded again; return how it went."""
    health = pull.options.health
    if health is None:
        return ""
    ended = run_words(with_path(health.words, _native_place(pull)), health.timeout)
    return "The command succeeds there." if ended.status == 0 else f"There the command {ended.how}, too."


def _native_place(pull: PullContext) -> str:
    return os.path.join(pull.destination.root, native(pull.name)) if pull.name else pull.destination.place


def place_of_content(pull: PullContext) -> str:
    return shown(_native_place(pull))
