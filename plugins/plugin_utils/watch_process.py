# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process behind the event source ``oci_artifact``: it looks at artifacts in intervals, and says what has changed.

It is apart from ansible-rulebook, whose event loop nothing may hold up, and whose process has threads and a Java
machine, of which nothing should be forked. Both talk in lines of JSON. The first line on the standard input are the
arguments of the source. Each line on the output is a message: ``{"event": …}``, ``{"log": …, "level": …}`` or
``{"invalid": …}``, which is the last. After an event the other side answers with a line, once it has been taken. The
process ends when its input does.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import OciError
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.reference import parse_reference
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.times import duration_text, time_text
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_looks import look, run_looks
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_settings import (
    Watched,
    WatchSettings,
    parse_settings,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_state import (
    Announced,
    WatchState,
    opened_state,
)

REVISION, FAILURE, RECOVERY = "revision", "failure", "recovery"
# reasons of events of the type REVISION; the first is Flux's word
NEW_ARTIFACT, TAG_MOVED, TAG_CHANGED = "NewArtifact", "TagMoved", "TagChanged"
RECOVERED = "Succeeded"
# A registry that is in trouble, or does not let the account in, is asked less and less often: at most this many times
# the interval later, and at most so many seconds.
BACK_OFF, MAX_BACK_OFF = 10, 3600.0
_BACKS_OFF = ("AuthenticationFailed", "ConnectionFailed", "TLSFailed")
_MAX_MESSAGE = 2000
_TEMPLATE = re.compile(r"\{(?=[{%#])")


class OtherSideEnded(Exception):
    """Nobody listens any more."""


class Talk:
    """The lines that go to and fro, over the descriptors ``reader`` and ``writer``."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._unread = b""

    def say(self, **message: Any) -> None:
        data = memoryview(json.dumps(message, default=str).encode("ascii") + b"\n")
        try:
            # not by a file, which would try again, and complain, when this process ends
            while data:
                data = data[os.write(self._writer, data) :]
        except OSError:
            raise OtherSideEnded from None

    def line(self) -> bytes:
        """Wait for a line of the other side, without a limit: a rulebook that is busy takes its events later."""
        while b"\n" not in self._unread:
            data = os.read(self._reader, 65536)
            if not data:
                raise OtherSideEnded
            self._unread += data
        line, _newline, self._unread = self._unread.partition(b"\n")
        return line

    def pause(self, seconds: float) -> None:
        """Wait for the time to pass; end early when the other side has ended."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            data = os.read(self._reader, 65536)
            if not data:
                raise OtherSideEnded
            self._unread += data


class Watch:
    """Looks at artifacts, each when its time has come, and announces what has changed."""

    def __init__(self, settings: WatchSettings, state: WatchState, talk: Talk, folder: str) -> None:
        self._artifacts = {each.key: each for each in settings.artifacts}
        self._tells_failures = settings.tells_failures
        self._state = state
        self._talk = talk
        self._folder = folder
        self._next = dict.fromkeys(self._artifacts, 0.0)
        # failures of each artifact in a row, and the reason of the last that was logged
        self._failures = dict.fromkeys(self._artifacts, 0)
        self._logged = dict.fromkeys(self._artifacts, "")

    def run(self) -> None:
        """Run until the other side ends (:class:`OtherSideEnded`)."""
        for key in self._artifacts:
            if self._state.of(key).event:
                self._hand_over(key)
        while True:
            now = time.monotonic()
            due = [self._artifacts[key] for key, moment in self._next.items() if moment <= now]
            looks = [
                (each.key, partial(look, each.options, self._state.of(each.key).revision, self._folder)) for each in due
            ]
            for key, found in run_looks(looks):
                self._take(self._artifacts[key], found)
            self._talk.pause(min(self._next.values()) - time.monotonic())

    def _take(self, watched: Watched, found: Mapping[str, Any]) -> None:
        known = self._state.of(watched.key)
        if found.get("failed"):
            self._fail(watched, known, found)
            return
        self._next[watched.key] = time.monotonic() + watched.interval
        self._failures[watched.key] = 0
        if known.failure and self._tells_failures:
            self._announce(watched, known, type=RECOVERY, reason=RECOVERED, previous_reason=known.failure)
        elif self._logged[watched.key]:
            self._talk.say(log=f"{watched.name} is there again.", level="info")
        known.failure, self._logged[watched.key] = "", ""
        if found["revision"] != known.revision:
            self._announce(watched, known, **revision_event(known.revision, found))

    def _fail(self, watched: Watched, known: Announced, found: Mapping[str, Any]) -> None:
        reason, message = str(found.get("reason") or OciError.reason), str(found.get("msg") or "")[:_MAX_MESSAGE]
        self._failures[watched.key] += 1
        backs_off = bool(found.get("retryable")) or reason in _BACKS_OFF
        pause = next_pause(watched.interval, self._failures[watched.key] if backs_off else 1)
        self._next[watched.key] = time.monotonic() + pause
        if self._logged[watched.key] != reason:
            self._logged[watched.key] = reason
            words = f"{watched.name}: {message} (reason: {reason}) It is looked at again in {duration_text(pause)}."
            self._talk.say(log=words, level="warning")
        if self._tells_failures and known.failure != reason:
            retryable = bool(found.get("retryable"))
            self._announce(watched, known, type=FAILURE, reason=reason, message=message, retryable=retryable)

    def _announce(self, watched: Watched, known: Announced, **content: Any) -> None:
        identity = {"name": watched.name, "id": str(uuid.uuid4()), "time": time_text(time.time())}
        known.event = without_templates({**content, **identity, "previous": known.revision})
        self._state.save(watched.key)
        self._hand_over(watched.key)

    def _hand_over(self, key: str) -> None:
        known = self._state.of(key)
        # what removes doubles, and what shows events, goes by this one
        self._talk.say(event={**known.event, "meta": {"uuid": known.event.get("id", "")}})
        self._talk.line()
        event, known.event = known.event, {}
        if event.get("type") == REVISION:
            known.revision = event["revision"]
        known.failure = event["reason"] if event.get("type") == FAILURE else ""
        self._state.save(key)


def revision_event(previous: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the event for a revision that is not the one announced last (empty: none was)."""
    artifact = found["artifact"]
    reason = NEW_ARTIFACT
    if previous:
        reason = TAG_MOVED if previous.rpartition("@")[0] == artifact.get("tag", "") else TAG_CHANGED
    url, tag, digest = (str(artifact.get(name, "")) for name in ("url", "tag", "digest"))
    reference = parse_reference(url)
    return {
        "type": REVISION,
        "reason": reason,
        "revision": found["revision"],
        # what a task pulls, whatever the tag names by then
        "ref": str(reference.at(tag=tag, digest=digest)),
        "registry": reference.registry,
        "repository": reference.repository,
        "tag": tag,
        "digest": digest,
        "verified": found["verified"],
        "signers": found["signers"],
    }


def without_templates(value: Any) -> Any:
    """Return a value in which no text is a template of Jinja any more: ``{{`` becomes ``{ {``.

    A play gets the event in extra variables, which Ansible templates; messages repeat words of registries, and signers
    have names of their own choice.
    """
    if isinstance(value, str):
        return _TEMPLATE.sub("{ ", value)
    if isinstance(value, list):
        return [without_templates(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): without_templates(each) for key, each in value.items()}
    return value


def next_pause(interval: float, failures: int) -> float:
    """Seconds until an artifact is looked at again after so many failures in a row: twice as many each time."""
    longest = max(interval, min(interval * BACK_OFF, MAX_BACK_OFF))
    return float(min(interval * 2 ** min(failures - 1, 30), longest))


def main() -> None:
    """Run as a process of its own."""
    # what is imported may print; the lines of the protocol are on a descriptor that it does not know
    talk = Talk(0, os.dup(1))
    os.dup2(2, 1)
    try:
        settings = parse_settings(json.loads(talk.line()))
        with opened_state(settings.state_file) as state:
            Watch(settings, state, talk, os.getcwd()).run()
    except OciError as exc:
        talk.say(invalid=f"{exc} (reason: {exc.reason})")
        sys.exit(1)
    except OtherSideEnded:
        pass


if __name__ == "__main__":
    main()
