# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a host that reconciles itself: what was found, done and said, in the words of Flux and Kubernetes.

It is one JSON document beside ``dest``, named ``<dest>.status.json``, which each step of a run replaces by one rename.
A lock beside it says whether a run is going on: a status that speaks of one while nobody holds the lock is that of a
run that was killed, and is read as such.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .._files.regular_file import storage_error
from .private_file import write_private

FORMAT = 1
# bytes, events, characters of a message
MAX_SIZE = 1024 * 1024
MAX_EVENTS = 20
MAX_MESSAGE = 1000

READY, RECONCILING, STALLED, FETCH_FAILED = "Ready", "Reconciling", "Stalled", "FetchFailed"
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
NORMAL, WARNING = "Normal", "Warning"
INTERRUPTED = "Interrupted"

# seconds to wait for a lock that a reader may hold for a moment, and between two attempts
_PATIENCE = 2.0
_PAUSE = 0.05

Status = dict[str, Any]


def status_path(dest: str) -> str:
    """The path of the status of what is pulled to ``dest``."""
    return f"{dest.rstrip('/')}.status.json"


def lock_path(dest: str) -> str:
    """The path of the lock that a run holds."""
    return f"{dest.rstrip('/')}.lock"


def new_status(name: str) -> Status:
    """The status of a host on which nothing was run yet."""
    return {
        "format": FORMAT,
        "name": name,
        "suspended": False,
        "artifact": {},
        "conditions": [],
        "last_attempted_revision": "",
        "last_applied_revision": "",
        "last_handled_reconcile_at": "",
        "last_run_at": "",
        "last_success_at": "",
        "failures": 0,
        "running": {},
        "events": [],
    }


def load_status(dest: str) -> Status:
    """Read the status; an empty mapping where there is none, or none of this user that can be parsed.

    :raises StorageError: when it exists but may not be read.
    """
    path = status_path(dest)
    try:
        descriptor = _opened(path)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise storage_error("read the status", path, exc) from None
    with os.fdopen(descriptor, "rb") as stream:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            return {}
        raw = stream.read(MAX_SIZE)
    try:
        return _checked(json.loads(raw))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _opened(path: str) -> int:
    """:raises OSError: when it cannot be opened, or is a link; ENOENT when it is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "Not a regular file", path)
    return descriptor


def _checked(document: Any) -> Status:
    expected = new_status("")
    found = {name: document[name] for name in expected}
    for name, value in expected.items():
        if not isinstance(found[name], type(value)):
            raise ValueError(name)
    texts = [each[key] for each in found["conditions"] for key in ("type", "status", "reason", "message")]
    texts += [each["last_transition_time"] for each in found["conditions"]]
    texts += [each[key] for each in found["events"] for key in ("type", "reason", "message", "revision", "time")]
    texts += [*found["running"].values(), *(each for each in found["artifact"].values() if not isinstance(each, dict))]
    if found["format"] != FORMAT or not all(isinstance(text, (str, int)) for text in texts):
        raise ValueError("format")
    if not all(isinstance(each["count"], int) for each in found["events"]):
        raise ValueError("events")
    return found


def save_status(dest: str, status: Mapping[str, Any]) -> None:
    """Replace the status by one rename, so that a reader sees the one before or this one.

    :raises StorageError: when a file operation fails.
    """
    write_private(status_path(dest), json.dumps(status, separators=(",", ":")))


@contextlib.contextmanager
def running_alone(dest: str) -> Iterator[int]:
    """Hold the lock of a run; yields its descriptor, -1 when another run holds it.

    Who is started with the descriptor holds the lock as well, until the last of them has ended.

    :raises StorageError: when the lock cannot be opened.
    """
    path = lock_path(dest)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise storage_error("open the lock", path, exc) from None
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                yield -1
                return
            time.sleep(_PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


def is_running(dest: str) -> bool:
    """Whether a run holds the lock at this moment."""
    try:
        descriptor = _opened(lock_path(dest))
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def observed_status(dest: str) -> Status:
    """The status as it is true now: a run that it speaks of, and that is not going on any more, was interrupted.

    :raises StorageError: when it may not be read.
    """
    status = load_status(dest)
    if status.get("running") and not is_running(dest):
        # it may have ended between the two looks
        status = load_status(dest)
        if status.get("running"):
            mark_interrupted(status, status["running"]["since"])
    return status


def mark_interrupted(status: Status, moment: str) -> None:
    """Say in a status that the run that it speaks of was interrupted."""
    running = status["running"]
    message = f"The run that began at {running['since']} was interrupted while it was to {running['step']}"
    set_condition(status, READY, FALSE, INTERRUPTED, f"{message}. The next one completes it.", moment)
    drop_condition(status, RECONCILING)
    status["running"] = {}


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    """The condition of this type, an empty mapping where there is none."""
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def set_condition(status: Status, kind: str, value: str, reason: str, message: str, moment: str) -> None:
    """Set a condition. The time of its transition stays when its value does, as Kubernetes has it."""
    old = condition(status, kind)
    since = old["last_transition_time"] if old and old["status"] == value else moment
    new = {"type": kind, "status": value, "reason": reason, "message": message[:MAX_MESSAGE]}
    drop_condition(status, kind)
    status["conditions"].append({**new, "last_transition_time": since})
    status["conditions"].sort(key=lambda each: (each["type"] != READY, each["type"]))


def drop_condition(status: Status, kind: str) -> None:
    """Remove a condition: Reconciling, Stalled and FetchFailed are there only while they hold."""
    status["conditions"] = [each for each in status["conditions"] if each["type"] != kind]


def add_event(status: Status, kind: str, reason: str, message: str, revision: str, moment: str) -> None:
    """Note an event. One that repeats the last one is counted, and the oldest of more than 20 are forgotten."""
    event = {"type": kind, "reason": reason, "message": message[:MAX_MESSAGE], "revision": revision}
    events = status["events"]
    if events and {name: events[-1][name] for name in event} == event:
        events[-1] = {**events[-1], "time": moment, "count": events[-1]["count"] + 1}
    else:
        events.append({**event, "time": moment, "count": 1})
    del events[:-MAX_EVENTS]
