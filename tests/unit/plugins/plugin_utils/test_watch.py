# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source: its arguments, what it remembers, when it looks again, and events that nobody took."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, OciError, StorageError
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils import watch_process, watch_state
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_looks import run_looks
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_process import (
    OtherSideEnded,
    Talk,
    Watch,
    next_pause,
    revision_event,
)
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_settings import parse_settings
from ansible_collections.cloudnative.artifacts.plugins.plugin_utils.watch_state import opened_state

REF = "registry.example.com/team/app"
DIGESTS = [f"sha256:{number:064x}" for number in range(4)]


def test_an_entry_has_what_the_source_has_and_its_own() -> None:
    arguments = {"artifacts": [REF, {"ref": REF, "semver": "1.x", "username": "b", "interval": "10s", "name": "one"}]}
    shared = {"username": "a", "password": "s", "insecure": True, "interval": "1m"}
    first, second = parse_settings({**arguments, **shared}).artifacts
    assert first.options == {"ref": REF, "username": "a", "password": "s", "insecure": True}
    assert (first.interval, second.interval, second.name) == (60.0, 10.0, "one")
    # who logs in is not put together from two places
    assert second.options == {"ref": REF, "semver": "1.x", "username": "b", "insecure": True}
    assert first.key != second.key
    # what was announced does not depend on who looks
    assert parse_settings({"artifacts": [REF]}).artifacts[0].key == first.key


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "'artifacts'"),
        ({"artifacts": []}, "'artifacts'"),
        ({"artifacts": [REF], "dest": "/x"}, "'dest'"),
        ({"artifacts": [{"ref": REF, "state_file": "/x"}]}, "'state_file'"),
        ({"artifacts": [{}]}, "names no artifact"),
        ({"artifacts": [7]}, "Entry 1"),
        ({"artifacts": [REF, REF]}, "twice"),
        ({"artifacts": [REF], "interval": 0.1}, "'interval'"),
        ({"artifacts": [REF], "failures": "mail"}, "'failures'"),
        ({"artifacts": [f"{REF}{number}" for number in range(1001)]}, "1001"),
    ],
    ids=[f"{number}" for number in range(10)],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidOption, match=word):
        parse_settings(arguments)


def test_the_time_between_looks_is_bounded() -> None:
    assert [next_pause(60, failures) for failures in (1, 2, 3, 5, 1000)] == [60, 120, 240, 600, 600]
    assert next_pause(1800, 9) == 3600 and next_pause(86400, 9) == 86400


def test_the_reason_says_what_has_changed() -> None:
    found = {"artifact": {"url": f"oci://{REF}", "tag": "1.0", "digest": DIGESTS[0]}, "verified": True, "signers": []}
    found["revision"] = f"1.0@{DIGESTS[0]}"
    previous = {"": "NewArtifact", f"1.0@{DIGESTS[1]}": "TagMoved", f"0.9@{DIGESTS[1]}": "TagChanged"}
    assert {each: revision_event(each, found)["reason"] for each in previous} == previous
    assert revision_event("", found)["ref"] == f"{REF}:1.0@{DIGESTS[0]}"


class OtherSide:
    """What ansible-rulebook is to the process; it ends when ``takes`` events were taken, and one more was offered."""

    def __init__(self, takes: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._down, self._answers = os.pipe()
        lines, write = os.pipe()
        self.talk = Talk(self._down, write)
        self._takes = takes
        self._lines = os.fdopen(lines, "rb")
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for line in self._lines:
            message = json.loads(line)
            if "event" in message:
                self.events.append(message["event"])
                if len(self.events) > self._takes:
                    break
                os.write(self._answers, b"\n")
        os.close(self._answers)


def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[Any], takes: int) -> list[dict[str, Any]]:
    """The events of a run in which the looks have these answers, one after the other."""
    left = list(answers)

    def looks(asked: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, _function in asked:
            answer = left.pop(0)
            artifact = {"url": f"oci://{REF}", "tag": "1.0", "digest": answer}
            found = {"revision": f"1.0@{answer}", "artifact": artifact, "verified": False, "signers": []}
            yield key, answer if isinstance(answer, dict) else found

    monkeypatch.setattr(watch_process, "run_looks", looks)
    arguments = {"artifacts": [REF], "failures": "event", "state_file": str(tmp_path / "state.json")}
    settings, other = parse_settings(arguments), OtherSide(takes)
    monkeypatch.setattr(Talk, "pause", lambda self, seconds: None)
    with opened_state(settings.state_file) as state:
        watch = Watch(settings, state, other.talk, str(tmp_path))
        # each look at the clock is a later one than any interval
        clock = SimpleNamespace(monotonic=iter(range(0, 10_000_000, 5000)).__next__, time=lambda: 0)
        monkeypatch.setattr(watch_process, "time", clock)
        with pytest.raises(OtherSideEnded):
            watch.run()
    other.thread.join()
    return other.events


def test_an_event_that_was_not_taken_comes_again_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # words of a registry
    outage = OciError("away {{{ lookup('pipe', 'id') }} {% a %}").as_failure()
    first = watched(tmp_path, monkeypatch, [DIGESTS[0], DIGESTS[0], outage, outage, DIGESTS[0], DIGESTS[1]], 3)
    assert [each["type"] for each in first] == ["revision", "failure", "recovery", "revision"]
    assert first[1]["message"] == "away { { { lookup('pipe', 'id') }} { % a %}"
    again = watched(tmp_path, monkeypatch, [DIGESTS[1], DIGESTS[1], DIGESTS[2], DIGESTS[1]], 2)
    assert again[0] == first[-1] and again[0]["meta"]["uuid"] == again[0]["id"]
    assert [each["digest"] for each in again] == [DIGESTS[1], DIGESTS[2], DIGESTS[1]]
    assert [each["previous"] for each in again[1:]] == [f"1.0@{DIGESTS[1]}", f"1.0@{DIGESTS[2]}"]


def test_the_state_is_one_source_s_and_is_refused_when_it_cannot_be_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new/state.json"
    monkeypatch.setattr(watch_state, "LOCK_TIMEOUT", 0.0)
    with opened_state(str(path)) as state:
        state.of("a").revision = "1.0@x"
        state.save("a")
        with pytest.raises(StorageError, match="in use"), opened_state(str(path)):
            pass
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    with opened_state(str(path)) as state:
        assert state.of("a").revision == "1.0@x" and state.of("b").revision == ""
    for text in ("", "[]", '{"format": 9}', '{"format": 1, "artifacts": {"a": {"revision": 7}}}'):
        path.write_text(text)
        with pytest.raises(StorageError, match="cannot be understood"), opened_state(str(path)):
            pass


def test_a_look_that_dies_is_a_failure_and_the_others_are_answered() -> None:
    def dies() -> dict[str, Any]:
        os._exit(9)

    def breaks() -> dict[str, Any]:
        raise RuntimeError("hidden")

    looks = [("dies", dies), ("breaks", breaks), *((f"n{number}", lambda: {"revision": "r"}) for number in range(12))]
    found = dict(run_looks(looks))
    assert found.pop("dies")["failed"] and "hidden" not in found["breaks"]["msg"] and found.pop("breaks")["failed"]
    assert found == {f"n{number}": {"revision": "r"} for number in range(12)}
