# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: pull the project, run its playbook on this host, and say in the status what became of it."""

from __future__ import annotations

import calendar
import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .._errors import OciError, StorageError
from .._files.regular_file import storage_error
from .._files.trusted_path import open_trusted
from . import journal
from .configuration import Configuration
from .programs import Control, Stopped, first_warning, play, pull
from .status import (
    FALSE,
    FETCH_FAILED,
    INTERRUPTED,
    NORMAL,
    READY,
    RECONCILING,
    STALLED,
    TRUE,
    UNKNOWN,
    WARNING,
    add_event,
    condition,
    drop_condition,
    load_status,
    mark_interrupted,
    new_status,
    running_alone,
    save_status,
    set_condition,
)

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
SUCCEEDED, PROGRESSING, SUSPENDED = "ReconciliationSucceeded", "Progressing", "Suspended"
PENDING = "NewRevisionPending"
# beside the project: the last token that was requested, and why runs are suspended
REQUESTED, SUSPENSION = "requested", "suspended"
MAX_TOKEN = 1000
# where systemd and D-Bus keep what tells this machine from others
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def requested_token(configuration: Configuration) -> str:
    """The token of the last request on this host, empty without one."""
    return _text(os.path.join(configuration.state, REQUESTED))


def suspension(configuration: Configuration) -> str:
    """Why runs are suspended on this host; empty when they are not."""
    if configuration.suspend:
        return "the role's variables say so"
    path = os.path.join(configuration.state, SUSPENSION)
    return (_text(path) or "no reason was given") if os.path.lexists(path) else ""


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(MAX_TOKEN).strip()
    return ""


def is_due(configuration: Configuration, moment: float) -> bool:
    """Whether a schedule that is finer than the interval is to run now (seconds since 1970).

    Each host has its own place within ``jitter``, which follows from its machine ID, so that a fleet is spread and a
    host keeps its rhythm. What was requested, was interrupted or never ran is due at once, and what has failed once
    ``retry_interval`` is over.
    """
    status = load_status(configuration.dest)
    if not status or status["running"] or not status["last_run_at"]:
        return True
    token = requested_token(configuration)
    if token and token != status["last_handled_reconcile_at"]:
        return True
    last = _seconds(status["last_run_at"])
    if configuration.retry_interval and condition(status, READY).get("status") == FALSE:
        return last > moment or last + configuration.retry_interval <= moment
    offset = _place_within(min(configuration.jitter, configuration.interval), configuration.name)
    # a clock that was set back is no reason to wait until it is where it was
    return last > moment or (last - offset) // configuration.interval < (moment - offset) // configuration.interval


def _seconds(text: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(text, TIME_FORMAT)))
    except ValueError:
        return 0.0


def _place_within(jitter: float, name: str) -> float:
    machine = next(filter(None, map(_text, _MACHINE_IDS)), os.uname().nodename)
    number = int.from_bytes(hashlib.sha256(f"{machine}\0{name}".encode()).digest()[:8], "big")
    return float(int(jitter * number / 2**64))


def reconcile(configuration: Configuration, read_again: Callable[[], Configuration]) -> int:
    """Run once, and again for what is requested meanwhile; return 0 when the host is as the project says, is
    suspended, or is being reconciled by another run.

    A request during a run would wait for the interval otherwise: systemd has no second start of what is starting.

    :param read_again: returns the configuration as it is then.
    :raises StorageError: when the status cannot be written, or somebody less trusted may write where it is.
    """
    _check_state(configuration.state)
    with running_alone(configuration.dest) as lock:
        if lock < 0:
            journal.say(configuration.name, NORMAL, "AlreadyRunning", "Another run is going on, nothing was done.")
            return 0
        while True:
            asked = requested_token(configuration)
            run = _Run(configuration, lock)
            ended = run.run()
            if run.was_told_to_stop or requested_token(configuration) in ("", asked):
                return ended
            dest, configuration = configuration.dest, read_again()
            if configuration.dest != dest:
                # the lock is that of another place
                return ended


def _check_state(state: str) -> None:
    try:
        os.close(open_trusted(state))
    except OSError as exc:
        raise storage_error("use", state, exc) from None


class _Run:
    def __init__(self, configuration: Configuration, lock: int) -> None:
        self._configuration = configuration
        self._control = Control(lock)
        self._status = load_status(configuration.dest) or new_status(configuration.name)
        self._status["name"] = configuration.name
        self._token = ""

    @property
    def was_told_to_stop(self) -> bool:
        return self._control.told_to_stop

    def run(self) -> int:
        if self._status["running"]:
            mark_interrupted(self._status, _now())
            self._say(WARNING, INTERRUPTED, condition(self._status, READY)["message"])
        reason = suspension(self._configuration)
        if reason:
            return self._suspended(f"Runs are suspended: {reason}.")
        token = requested_token(self._configuration)
        if token != self._status["last_handled_reconcile_at"]:
            self._token = token
        self._status["last_run_at"] = _now()
        self._begin("pull the project")
        try:
            with _told_to_stop(self._control):
                end = self._pull_and_play()
        except OciError as exc:
            return self._failed(exc.reason, str(exc), retryable=exc.retryable)
        except Stopped:
            mark_interrupted(self._status, _now())
            self._say(WARNING, INTERRUPTED, "The run was told to stop.")
            self._save()
            return 1
        return end()

    def _pull_and_play(self) -> Callable[[], int]:
        """Return what is to be said at the end, when the run cannot be told to stop any more."""
        result = pull(self._configuration, self._token, self._control)
        if result.get("failed"):
            message = str(result.get("msg") or "The pull failed.")
            reason = str(result.get("reason") or "Failed")
            set_condition(self._status, FETCH_FAILED, TRUE, reason, message, _now())
            return partial(self._failed, reason, message, retryable=bool(result.get("retryable", True)))
        if result.get("reason") == SUSPENDED:
            suspended = result.get("suspended") or {}
            message = f"Pulls are suspended by {suspended.get('who')}: {suspended.get('reason')}."
            return partial(self._suspended, message)
        if result.get("reason") == PENDING:
            why = str((result.get("pending") or {}).get("why") or "A new revision waits for its time.")
            if not (result.get("artifact") or {}).get("revision"):
                # nothing was ever placed, so that there is nothing to run
                return partial(self._failed, PENDING, why, retryable=True)
            self._say(NORMAL, PENDING, why)
        self._fetched(result)
        revision = self._status["artifact"].get("revision", "")
        is_new = revision != self._status["last_applied_revision"]
        is_ready = condition(self._status, READY).get("status") == TRUE
        if self._configuration.only_if_changed and is_ready and not (is_new or self._token or result.get("changed")):
            return partial(self._succeeded, f"Nothing changed: {revision}")
        if is_new or not is_ready:
            set_condition(self._status, READY, UNKNOWN, PROGRESSING, f"Running revision {revision}", _now())
        self._status["last_attempted_revision"] = revision
        self._begin(f"run {self._configuration.playbook} of {revision}")
        play(self._configuration, self._control)
        self._status["last_applied_revision"] = revision
        return partial(self._succeeded, f"Applied revision: {revision}")

    def _begin(self, step: str) -> None:
        self._status["suspended"] = False
        since = self._status["running"].get("since") or self._status["last_run_at"]
        self._status["running"] = {"since": since, "step": step}
        set_condition(self._status, RECONCILING, TRUE, PROGRESSING, f"A run is to {step}", _now())
        self._save()

    def _fetched(self, result: dict[str, Any]) -> None:
        artifact = dict(result.get("artifact") or {})
        if artifact.get("revision") != self._status["artifact"].get("revision"):
            self._say(NORMAL, "NewArtifact", f"Pulled {artifact.get('revision')} of {artifact.get('url')}", artifact)
        self._status["artifact"] = artifact
        if result.get("degraded") or result.get("reason") == "HeldBack":
            reason = str(result.get("reason"))
            message = first_warning(result) or "What the registry has was not placed."
            set_condition(self._status, FETCH_FAILED, TRUE, reason, message, _now())
            self._say(WARNING, reason, message)
        else:
            drop_condition(self._status, FETCH_FAILED)

    def _succeeded(self, message: str) -> int:
        set_condition(self._status, READY, TRUE, SUCCEEDED, message, _now())
        drop_condition(self._status, STALLED)
        self._status.update(failures=0, last_success_at=_now())
        self._say(NORMAL, SUCCEEDED, message)
        return self._end(0)

    def _failed(self, reason: str, message: str, *, retryable: bool) -> int:
        set_condition(self._status, READY, FALSE, reason, message, _now())
        if retryable:
            drop_condition(self._status, STALLED)
        else:
            set_condition(self._status, STALLED, TRUE, reason, message, _now())
        self._status["failures"] += 1
        self._say(WARNING, reason, message)
        return self._end(1)

    def _suspended(self, message: str) -> int:
        if not self._status["suspended"]:
            self._say(NORMAL, SUSPENDED, message)
        self._status["suspended"] = True
        self._status["running"] = {}
        drop_condition(self._status, RECONCILING)
        self._save()
        return 0

    def _end(self, status: int) -> int:
        if self._token:
            self._status["last_handled_reconcile_at"] = self._token
        self._status["running"] = {}
        drop_condition(self._status, RECONCILING)
        self._save()
        return status

    def _say(self, kind: str, reason: str, message: str, artifact: dict[str, Any] | None = None) -> None:
        revision = str((artifact or self._status["artifact"]).get("revision", ""))
        add_event(self._status, kind, reason, message, revision, _now())
        journal.say(self._configuration.name, kind, reason, message)

    def _save(self) -> None:
        try:
            save_status(self._configuration.dest, self._status)
        except StorageError:
            # a project may end what it is a part of, with reconcile_state: absent: there is no status any more
            if os.path.lexists(self._configuration.state):
                raise


@contextlib.contextmanager
def _told_to_stop(control: Control) -> Iterator[None]:
    """Have SIGTERM, with which systemd stops a service, noted for the programs of the run."""

    def note(_number: int, _frame: object) -> None:
        control.told_to_stop = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _now() -> str:
    return time.strftime(TIME_FORMAT, time.gmtime(time.time()))
