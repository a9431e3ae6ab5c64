# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options ``lock_file`` and ``lock`` of a task, which are about a file on the controller.

No module reads them. What a module is to use is given to it as a ``pin``, or as a digest in the reference; what it has
found is taken from its result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.bounded import expanded
from ansible_collections.cloudnative.artifacts.plugins.module_utils._files.names import shown
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.document import LockFile
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.entry import Entry, Request
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.file import read_lock, update_lock
from ansible_collections.cloudnative.artifacts.plugins.module_utils._lock.refusals import LockMissing, LockOutdated
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.plain import plain

FILE, MODE = "lock_file", "lock"
USE, UPDATE, CHECK = "use", "update", "check"
# the reason of a task that found nothing to complain about
CURRENT = "LockCurrent"
# of results that do not say what the registry has now
_NO_ANSWERS = ("Suspended", "LastGoodKept", "HeldBack", "NewRevisionPending")
_MAX_SHOWN = 100


def take_lock(action: ActionBase, options: dict[str, Any], task_vars: Mapping[str, Any]) -> TaskLock | None:
    """Take both options out of those of a task; None when it names no lock file.

    A relative path begins at the directory of the playbook. In check mode of the whole run nothing is written, whatever
    the task says of itself.

    :raises InvalidOption: when a value cannot be used, or the task runs in the background: then nobody waits for what
        it finds.
    """
    path, mode = plain(options.pop(FILE, None)), plain(options.pop(MODE, None)) or USE
    if mode not in (USE, UPDATE, CHECK):
        raise InvalidOption(f"'{MODE}' is {str(mode)[:50]!r}: wanted {USE}, {UPDATE} or {CHECK}.")
    if not path:
        return None
    if not isinstance(path, str) or "\0" in path:
        raise InvalidOption(f"'{FILE}' is not a path.", "Name a file on the controller, as in oci.lock.yml.")
    if mode != USE and action._task.async_val:
        raise InvalidOption(
            f"'{MODE}: {mode}' needs the result of the task, which with 'async' comes later.",
            "Leave out 'async' where a lock file is written or compared.",
        )
    where = os.path.abspath(os.path.join(action._loader.get_basedir(), expanded(path)))
    is_check = action._task.check_mode or boolean(task_vars.get("ansible_check_mode"), strict=False)
    return TaskLock(where, mode, is_check=is_check, wants_diff=bool(action._task.diff))


class Found(NamedTuple):
    """What a module says of a request: ``artifact`` has a ``revision``, ``verification`` the signers."""

    request: Request
    artifact: Mapping[str, Any]
    verification: Mapping[str, Any]

    @property
    def revision(self) -> str:
        return str(self.artifact["revision"])

    def entry(self, now: str) -> Entry:
        version, _at, digest = self.revision.rpartition("@")
        return Entry(self.request, version, digest, signers(self.verification), now)


class TaskLock:
    """The lock file of a task, and what the task does with it (``mode``)."""

    def __init__(self, path: str, mode: str, *, is_check: bool, wants_diff: bool) -> None:
        self.path = path
        self.mode = mode
        self._is_check = is_check
        self._wants_diff = wants_diff

    def pins(self, requests: Sequence[Request | None]) -> list[str]:
        """The revision of each request in the file; empty for None.

        :raises LockMissing: when one has no entry, or there is no file.
        :raises LockInvalid: when the file cannot be used.
        """
        wanted = [each for each in requests if each is not None]
        if not wanted:
            return [""] * len(requests)
        entries = self._read(wanted).entries
        return ["" if each is None else entries[each].revision for each in requests]

    def enter(self, found: Iterable[Found], answer: dict[str, Any]) -> dict[str, Any]:
        """Enter what a task has found into the file; return the task's result, with the change.

        :raises LockInvalid: when the file cannot be used.
        :raises StorageError: when it cannot be written.
        """
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        entries = [each.entry(now) for each in found]
        change = update_lock(self.path, entries, check_mode=self._is_check) if entries else None
        if change is None:
            return answer
        answer = {**answer, "changed": True}
        if self._wants_diff:
            others = answer.get("diff") or []
            own = {"before_header": self.path, "after_header": self.path, **change._asdict()}
            answer["diff"] = [*(others if isinstance(others, list) else [others]), own]
        return answer

    def compare(self, found: Iterable[Found], answer: Mapping[str, Any]) -> dict[str, Any]:
        """Compare what a task has found with the file; return the task's result, which says that nothing changed.

        :raises LockMissing: when a reference has no entry, or there is no file.
        :raises LockOutdated: when one stands for another revision.
        """
        pairs = list(found)
        entries = self._read([each.request for each in pairs]).entries if pairs else {}
        outdated = [
            {"reference": str(each.request), "locked": entries[each.request].revision, "found": each.revision}
            for each in pairs
            if entries[each.request].revision != each.revision
        ]
        if outdated:
            first = outdated[0]
            more = f", and {len(outdated) - 1} more" if len(outdated) > 1 else ""
            raise LockOutdated(
                f"The lock file {shown(self.path)} has {first['locked']} for {first['reference']}, which is now "
                f"{first['found']}{more}.",
                "See what changed, then run with lock: update and commit the file; lock: use stays with what is there.",
                {"changed": False, FILE: self.path, "outdated": outdated[:_MAX_SHOWN]},
            )
        unchanged = {name: value for name, value in answer.items() if name != "diff"}
        if isinstance(answer.get("results"), list):
            unchanged["results"] = [{**each, "changed": False, "reason": CURRENT} for each in answer["results"]]
        return {**unchanged, "changed": False, "reason": CURRENT}

    def _read(self, wanted: Sequence[Request]) -> LockFile:
        content = read_lock(self.path)
        known = content.entries if content else {}
        missing = [str(each) for each in wanted if each not in known]
        if content is not None and not missing:
            return content
        more = f", nor are {len(missing) - 1} other references of this task" if len(missing) > 1 else ""
        place = f"the lock file {shown(self.path)}"
        problem = f"is not in {place}{more}" if content else f"cannot be looked up: there is no {place[4:]}"
        raise LockMissing(
            f"{missing[0] if missing else wanted[0]} {problem}.",
            "Run the task once with lock: update, and commit the file.",
            {"changed": False, FILE: self.path, "missing": missing[:_MAX_SHOWN]},
        )


def found_in(requests: Sequence[Request | None], results: Sequence[Any]) -> list[Found]:
    """What the results of a task say of its requests; without those that failed, or say what was known before."""
    found = []
    for request, result in zip(requests, results):
        if request is None or not isinstance(result, Mapping) or result.get("failed"):
            continue
        artifact, verification = result.get("artifact"), result.get("verification")
        if isinstance(artifact, Mapping) and artifact.get("revision") and result.get("reason") not in _NO_ANSWERS:
            found.append(Found(request, artifact, verification if isinstance(verification, Mapping) else {}))
    return found


def signers(verification: Mapping[str, Any]) -> str:
    """Whose signatures counted, as text that is the same for the same signers; empty when nothing was verified."""
    if not verification.get("verified"):
        return ""
    names = set()
    for signer in verification.get("signers") or ():
        subject, issuer = signer.get("subject"), signer.get("issuer")
        if subject:
            names.add(f"{subject} ({issuer})" if issuer else str(subject))
        elif signer.get("key"):
            names.add(f"key {signer['key']}")
    return ", ".join(sorted(names))
