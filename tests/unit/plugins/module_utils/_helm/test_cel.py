# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions in CEL: what they say, what cannot be evaluated, and that each of them ends."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cloudnative.artifacts.plugins.module_utils._errors import InvalidOption, MissingDependency
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm import cel
from ansible_collections.cloudnative.artifacts.plugins.module_utils._helm.cel import (
    NotEvaluated,
    check_expressions,
    is_true,
)

PASSWORD = "hush-hush"
DEP = {
    "status": "deployed",
    "revision": 3,
    "labels": {"app/version": "1.2", "note": PASSWORD},
    "chart": {"version": "1.2.0"},
    "last_deployed": "2026-11-25T10:00:00.123456789Z",
}
VARIABLES = {"dep": DEP, "self": {"chart": {"version": "1.2.0"}, "labels": {"app/version": "1.2"}}}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("dep.status == 'deployed'", True),
        ("dep.status == 'failed' || dep.revision > 3", False),
        ("dep.chart.version == self.chart.version", True),
        ("dep.labels['app/version'] == self.labels['app/version']", True),
        ("has(dep.labels.team) && dep.labels.team == 'a'", False),
        ("dep.status in ['deployed', 'superseded']", True),
        ("dep.labels.exists(name, name.startsWith('app/'))", True),
        ("dep.chart.version.matches('^1[.]')", True),
        ("timestamp(dep.last_deployed) < timestamp('2026-11-26T00:00:00Z')", True),
        ("true", True),
    ],
)
def test_expressions(expression: str, wanted: bool) -> None:
    assert is_true(expression, VARIABLES, "'ready_when'") is wanted


@pytest.mark.parametrize(
    "expression",
    [
        "dep.nothing == 1",
        "dep.nothing != 'x'",
        "dep.labels['gone'] != 'x'",
        "dep.chart.nothing.more != 'x'",
        "dep.status > 5",
        "other.status != 'x'",
        "other != 'x'",
        "now() > 1",
    ],
)
def test_what_has_no_value_for_these_variables(expression: str) -> None:
    with pytest.raises(NotEvaluated) as caught:
        is_true(expression, VARIABLES, "'ready_when'")
    assert 0 < len(str(caught.value)) <= 300 and PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("dep.status ==", "does not parse"),
        ("dep.status = 'deployed'", "does not parse"),
        ("dep.status", "is of type string: wanted is true or false"),
        ("1 + 1", "is of type int"),
        ("(" * 3000 + "true" + ")" * 3000, "cannot be evaluated|does not parse"),
        ("true || " * 2000 + "true", "more than 10,000 characters"),
    ],
)
def test_what_is_no_condition(expression: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said) as caught:
        is_true(expression, VARIABLES, "'ready_when' of a/b")
    assert "'ready_when' of a/b" in str(caught.value) and PASSWORD not in str(caught.value)


def test_those_that_do_not_parse_are_known_beforehand() -> None:
    found = check_expressions({"the first": "dep.x == 1", "the second": "dep.x ==", "the third": "1"})
    assert list(found) == ["the second"]
    assert "the second is 'dep.x ==', which does not parse" in str(found["the second"])


def test_each_ends_in_threads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel, "CPU_SECONDS", 1)
    digits = "[0,1,2,3,4,5,6,7,8,9]"
    loops = "true"
    for number in range(9):
        loops = f"{digits}.all(x{number}, {loops})"
    failures: list[Any] = []

    def work() -> None:
        try:
            is_true(loops, {}, "'ready_when'")
        except InvalidOption as exc:
            failures.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failures) == 1 and "more than 1 seconds of CPU time" in str(failures[0])


def test_a_library_that_takes_a_wrong_name_for_false_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = (
        "class CELEvalError(Exception): pass\n"
        "class Environment:\n"
        "    compile = program = lambda self, text: self\n"
        "    evaluate = lambda self, variables: False\n"
    )
    (tmp_path / "celpy").mkdir()
    (tmp_path / "celpy/__init__.py").write_text(stand_in)
    (tmp_path / "celpy/celtypes.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependency, match="0.5 or newer"):
        is_true("true", {}, "'ready_when'")


def test_a_host_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    with pytest.raises(MissingDependency, match="'ready_when' needs the Python package cel-python"):
        is_true("true", {}, "'ready_when'")
