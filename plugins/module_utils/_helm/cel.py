# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions in CEL, the Common Expression Language, evaluated by cel-python in a process with limits.

CEL ends always, but loops in loops over long lists can take very long. A process of its own can be ended, also from a
thread, and has nothing in it but the library and the data of the expression.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import InvalidOption, MissingDependency
from .._packages import PACKAGES, require

MAX_LENGTH = 10_000
#: Seconds of CPU time and bytes of memory that the expressions of one call may take.
CPU_SECONDS = 10
MEMORY = 1 << 30
# the process is bounded by its CPU time; this is for a machine that gives it none
_TIMEOUT = 120.0
# characters of an error of the library that are repeated
_MAX_WORDS = 300

# Each answer is what an expression is, None when it was only compiled, or why it cannot be evaluated. The library's
# errors repeat all variables behind "(in activation". Before 0.5 it took the comparison of a variable that there is not
# for false, and said its version nowhere.
_CHILD = """
import json, resource, sys
job = json.load(sys.stdin)
for kind, most in ((resource.RLIMIT_CPU, job["seconds"]), (resource.RLIMIT_DATA, job["memory"])):
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, hard))
sys.path[:] = job["path"]
import logging
logging.disable(logging.CRITICAL)
import celpy, celpy.celtypes
environment, answers = celpy.Environment(), []
try:
    environment.program(environment.compile("no_such_variable.field == 'x'")).evaluate({})
    sys.exit("old")
except celpy.CELEvalError:
    pass
for text in job["expressions"]:
    try:
        tree = environment.compile(text)
    except celpy.CELParseError as exc:
        answers.append({"invalid": str(exc)})
        continue
    program = environment.program(tree)
    if job["variables"] is None:
        answers.append({"value": None})
        continue
    try:
        value = program.evaluate({name: celpy.json_to_cel(each) for name, each in job["variables"].items()})
    except celpy.CELEvalError as exc:
        answers.append({"error": str(exc.args[0] if exc.args else exc).partition(" (in activation")[0]})
        continue
    is_truth = isinstance(value, (bool, celpy.celtypes.BoolType))
    answers.append({"value": bool(value)} if is_truth else {"kind": type(value).__name__})
json.dump(answers, sys.stdout)
"""


class NotEvaluated(Exception):
    """An expression that has no value for these variables, such as one that asks for a field that is not there."""


def check_expressions(expressions: Mapping[str, str]) -> dict[str, InvalidOption]:
    """Return the errors of those expressions that do not parse, by what each is called.

    :param expressions: the texts by the names of what they are for.
    :raises MissingDependency: when this host has no cel-python.
    """
    texts = list(expressions.values())
    answers = _ask(texts, None, "'ready_when'")
    return {
        what: InvalidOption(
            f"{what} is {text[:200]!r}, which does not parse: {_words(answer['invalid'])}.",
            "It is an expression in CEL, such as dep.status == 'deployed'.",
        )
        for (what, text), answer in zip(expressions.items(), answers)
        if "invalid" in answer
    }


def is_true(expression: str, variables: Mapping[str, Any], what: str) -> bool:
    """Return what an expression says of the variables.

    :param variables: what JSON can hold, by names.
    :param what: what it is for, for messages.
    :raises NotEvaluated: when it has no value for them.
    :raises InvalidOption: when it does not parse, is neither true nor false, or takes too long.
    :raises MissingDependency: when this host has no cel-python.
    """
    (answer,) = _ask([expression], variables, what)
    if "error" in answer:
        raise NotEvaluated(_words(answer["error"]))
    if "invalid" in answer:
        raise InvalidOption(f"{what} is {expression[:200]!r}, which does not parse: {_words(answer['invalid'])}.")
    if "kind" in answer:
        kind = str(answer["kind"]).replace("Type", "").lower()
        raise InvalidOption(
            f"{what} is {expression[:200]!r}, which is of type {kind[:50]}: wanted is true or false.",
            "Compare it with something.",
        )
    return bool(answer["value"])


def _ask(expressions: Sequence[str], variables: Mapping[str, Any] | None, what: str) -> list[dict[str, Any]]:
    require("cel-python", "Evaluating 'ready_when'", hint="Leave it out, or install the package.")
    for text in expressions:
        if len(text) > MAX_LENGTH:
            raise InvalidOption(f"{what} is an expression of more than {MAX_LENGTH:,} characters.", "Shorten it.")
    job = {
        "expressions": list(expressions),
        "variables": variables,
        "seconds": CPU_SECONDS,
        "memory": MEMORY,
        "path": sys.path,
    }
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD],
            input=json.dumps(job).encode("ascii"),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if child.returncode < 0:
            raise _did_not_end(what)
        if child.stderr.rstrip().endswith(b"old"):
            raise _too_old()
        answers: list[dict[str, Any]] = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise _did_not_end(what) from None
    except (OSError, ValueError):
        # a recursion that is too deep, or memory that is used up
        raise InvalidOption(
            f"{what} cannot be evaluated: it is too deep, or takes more than {MEMORY >> 20} MiB.", "Simplify it."
        ) from None
    return answers


def _too_old() -> MissingDependency:
    package = PACKAGES["cel-python"]
    return MissingDependency(
        f"Evaluating 'ready_when' needs the Python package cel-python ({package.wanted}); there is an older one "
        f"for {sys.executable}.",
        f"Install {package.requirement!r} there.",
    )


def _did_not_end(what: str) -> InvalidOption:
    return InvalidOption(
        f"{what} takes more than {CPU_SECONDS} seconds of CPU time.",
        "Loops in loops cause this: leave them out.",
    )


def _words(text: str) -> str:
    # what the library shows of the text, with the place on a line of its own
    return " ".join(text.split())[:_MAX_WORDS].rstrip(".") or "no reason is given"
