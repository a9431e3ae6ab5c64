# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions in Go's spelling, templates, and matching that ends whatever expression and tags are."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidSelection
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.bounded_regex import BoundedRegex
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.go_regex import compile_template, to_python
from ansible_collections.cloudnative.artifacts.plugins.module_utils._oci.selection import Selection, TagSelector

# a busy machine must not fail a test
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ORACLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "fixtures" / "semver" / "masterminds.json").read_text("utf-8")
)
HOSTILE = [
    r"^(a+)+$",
    r"^(a|a)*$",
    r"^(?:a?){60}a{60}$",
    r"(.*)*=",
    r"(a|aa)+$",
    r"(?:(?:(?:a*)*)*)*b",
    r".*.*.*.*.*.*.*.*.*.*.*.*b",
    r"(a*?)*?b",
]
LONG_TAG = "a" * 100 + "_"


def in_thread(work: Callable[[], object]) -> object:
    """The result of the work, or what it raised, outside the main thread."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as exc:
            outcome.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def test_matches_are_those_of_go() -> None:
    wrong = []
    for pattern, tag, wanted in ORACLE["matches"]:
        if bool(BoundedRegex(pattern, "test").search_all([tag])) != (wanted == "1"):
            wrong.append((pattern, tag, wanted))
    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^x$", "x", True),
        ("^x$", "x\n", False),
        ("^(x$|y)$", "x\n", False),
        (r"^x\$$", "x$", True),
        ("^x[$]$", "x$", True),
        ("(?m)^x$", "x\ny", True),
        ("(?m:^x$)$", "x\ny", False),
        ("(?m:^x$)", "x\ny", True),
        ("(?m)(?-m:^x$)", "x\ny", False),
        ("(?m)(^(?i)X$)", "a\nx\ny", True),
        ("(?:(?m)^x)$", "x\ny", False),
        ("(?m)a|x$", "x\ny", True),
    ],
)
def test_a_dollar_is_the_very_end(pattern: str, text: str, found: bool) -> None:
    """Each row's verdict is that of Go's regexp.MatchString."""
    assert bool(BoundedRegex(pattern, "test").search_all([text])) == found


@pytest.mark.parametrize("row", ORACLE["expand"], ids=lambda row: f"{row[1]} {row[2]}")
def test_templates_are_those_of_go(row: list[str]) -> None:
    pattern, template, tag, wanted = row
    # without a template the whole text is the value, as in Flux
    assert BoundedRegex(pattern, "test").extract_all([tag], template) == [(tag, wanted)]


def test_no_template_means_the_whole_tag() -> None:
    assert BoundedRegex("b", "test").extract_all(["abc", "xyz"], "") == [("abc", "abc")]


@RELAXED
@given(st.text(alphabet="${}ab1_é-", max_size=12))
def test_any_template_expands(template: str) -> None:
    value = compile_template(template, {"a": 1})(("whole", "one", None))
    assert isinstance(value, str)
    if "$" not in template:
        assert value == template


@RELAXED
@given(st.text(alphabet=r"(?<P>i:)[]^\QEz|-{}1,[:alpha:]&~", max_size=14))
def test_any_pattern_is_compiled_or_refused(pattern: str) -> None:
    try:
        BoundedRegex(pattern, "test")
    except InvalidSelection as exc:
        assert "in test" in exc.message


@pytest.mark.parametrize(
    "pattern, texts, found",
    [
        (r"a(?i)b|c", ["ab", "aB", "C", "Ab"], ["ab", "aB", "C"]),
        (r"(?:a(?i)b)c", ["aBc", "aBC"], ["aBc"]),
        (r"^(?i)main$", ["MAIN", "main", "mains"], ["MAIN", "main"]),
        (r"(?=ab)a", ["ab", "ac"], ["ab"]),
        (r"(?<!x)ab", ["ab", "xab"], ["ab"]),
        (r"a{,2}", ["aa", "a{,2}"], ["a{,2}"]),
        (r"a{1", ["aa", "a{1"], ["a{1"]),
        (r"^[][:alpha:]]x", ["]x", "ax", "1x"], ["]x", "ax"]),
        (r"^[^][:alpha:]]x", ["]x", "ax", "1x"], ["1x"]),
        (r"\d", ["٣", "3"], ["3"]),
        (r"\w", ["é", "e"], ["e"]),
        (r"[[:^digit:]]", ["1", "é"], ["é"]),
    ],
)
def test_go_spellings(pattern: str, texts: list[str], found: list[str]) -> None:
    assert [text for text, _groups in BoundedRegex(pattern, "test").search_all(texts)] == found


@pytest.mark.parametrize(
    "pattern", ["(", ")", "[", "[a", "[[:letters:]]", "*", r"\x{110000}", "(?<n>a)(?<n>b)", "a" * 1001]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidSelection) as caught:
        BoundedRegex(pattern, "semver_filter")
    assert "semver_filter" in caught.value.message


def test_plain_patterns_are_left_alone() -> None:
    assert to_python("[a[b|&&]") == r"[a\[b\|\&\&]"  # what Python reserves in a class does not stay plain
    for pattern in (r"^v?[0-9]+\.[0-9]+", r"(?P<ts>\d+)-(?:a|b)", r"a{2,3}|b{4}", r"[^a-z\]]"):
        assert re.compile(to_python(pattern)).pattern == pattern


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_are_stopped(pattern: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSelection, match="did not finish"):
        BoundedRegex(pattern, "semver_filter", seconds=0.1).search_all([LONG_TAG])
    assert time.process_time() - started < 3


def test_the_limit_is_for_all_tags_together() -> None:
    # each tag needs milliseconds, all of them minutes
    tags = ["a" * 18 + f"_{number}" for number in range(100_000)]
    with pytest.raises(InvalidSelection, match="did not finish"):
        BoundedRegex(r"^(a+)+$", "semver_filter", seconds=0.2).search_all(tags)


def test_a_selection_is_stopped() -> None:
    selector = TagSelector(Selection(semver="*", semver_filter=r"^(a+)+$"))
    started = time.process_time()
    with pytest.raises(InvalidSelection, match="did not finish") as caught:
        selector.select([LONG_TAG, "1.0.0"])
    assert time.process_time() - started < 10
    assert "(a+)+" in str(caught.value) and "semver_filter" in str(caught.value)


def test_handler_and_timer_of_the_caller_are_restored() -> None:
    def handler(_number: int, _frame: object) -> None:
        raise AssertionError("the caller's timer must not fire here")

    previous = signal.signal(signal.SIGVTALRM, handler)
    try:
        for pattern in ("a", HOSTILE[0]):
            signal.setitimer(signal.ITIMER_VIRTUAL, 1000, 7)
            try:
                BoundedRegex(pattern, "test", seconds=0.1).search_all([LONG_TAG])
            except InvalidSelection:
                assert pattern == HOSTILE[0]
            assert signal.getsignal(signal.SIGVTALRM) is handler
            remaining, interval = signal.getitimer(signal.ITIMER_VIRTUAL)
            assert 900 < remaining <= 1000.01 and interval == 7
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    BoundedRegex("a", "test").search_all([LONG_TAG])
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_alarms_of_ansible_are_not_touched() -> None:
    previous = signal.getsignal(signal.SIGALRM)
    signal.alarm(1000)
    try:
        BoundedRegex("a", "test").search_all([LONG_TAG])
        assert signal.getsignal(signal.SIGALRM) is previous
        assert signal.alarm(0) > 900
    finally:
        signal.alarm(0)


def test_outside_the_main_thread_the_result_is_the_same() -> None:
    expression = BoundedRegex(r"(?<a>x)?(?<b>[0-9]+)", "test")
    texts = ["x1", "22", "none", "é3", "\udc80"]
    assert in_thread(lambda: expression.search_all(texts)) == expression.search_all(texts)
    assert in_thread(lambda: expression.extract_all(texts, "${b}-$a")) == [("x1", "1-x"), ("22", "22-"), ("é3", "3-")]
    words = BoundedRegex(r"\w", "test")
    assert in_thread(lambda: words.search_all(["é", "e"])) == [("e", ("e",))]
    selector = TagSelector(Selection(semver="*", semver_filter="^v"))
    assert in_thread(lambda: selector.select(["v1.0.0", "2.0.0"])) == "v1.0.0"


def test_outside_the_main_thread_hostile_patterns_are_stopped() -> None:
    outcome = in_thread(lambda: BoundedRegex(HOSTILE[0], "test", seconds=0.1).search_all([LONG_TAG]))
    assert isinstance(outcome, InvalidSelection) and "did not finish" in outcome.message


def test_an_ignored_or_blocked_signal_does_not_disarm_the_child() -> None:
    previous = signal.signal(signal.SIGVTALRM, signal.SIG_IGN)
    try:
        outcome = in_thread(lambda: BoundedRegex(HOSTILE[0], "test", seconds=0.1).search_all([LONG_TAG]))
    finally:
        signal.signal(signal.SIGVTALRM, previous)
    assert isinstance(outcome, InvalidSelection) and "did not finish" in outcome.message


def test_a_child_that_cannot_work_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in (os.devnull, "/bin/false", ""):
        monkeypatch.setattr(sys, "executable", program)
        outcome = in_thread(lambda: BoundedRegex("a", "semver_filter").search_all(["a"]))
        assert isinstance(outcome, InvalidSelection) and "semver_filter was not matched" in outcome.message


def test_a_child_without_cpu_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def stalled(*_args: object, **options: Any) -> None:
        raise subprocess.TimeoutExpired("python", options["timeout"])

    monkeypatch.setattr(subprocess, "run", stalled)
    outcome = in_thread(lambda: BoundedRegex("a", "test").search_all(["a"]))
    assert isinstance(outcome, InvalidSelection) and "did not finish" in outcome.message
