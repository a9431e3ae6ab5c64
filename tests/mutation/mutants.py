# Copyright (c) 2026, the cloudnative.artifacts authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that a mutation run makes to the code: cosmic-ray's own operators, and four that it lacks.

What they have in common is that each takes a decision away: a condition that always or never holds, an operand of
``and`` or ``or`` that is missing, a guard that is not called, a bound that is off by one.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

FROM_COSMIC_RAY = (
    "NumberReplacer",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceFalseWithTrue",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
)

_FUNCTIONS = ("funcdef", "classdef")
# Parts of the code that decide nothing: text for users, types, decorators such as @dataclass(frozen=True)
_SILENT = ("fstring", "decorator", "annassign_type", "tfpdef", "import_from", "import_name")


@dataclass(frozen=True)
class Mutant:
    """One change of one file. ``function`` is the dotted name of what it is in; ``before`` and ``after`` are the
    changed lines with their white space collapsed. Line numbers are no part of its identity."""

    module: str
    function: str
    before: str
    after: str
    line: int
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.module, self.function, self.before, self.after


class _Replacement(Operator):  # type: ignore[misc]
    """An operator that puts other texts in the place of some children of a node."""

    @abstractmethod
    def replacements(self, node: Any) -> Iterator[tuple[int, int, str]]:
        """First and last child to replace, and the text to put there."""

    def mutation_positions(self, node: Any) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        # a list, because cosmic-ray changes the node while it goes through them
        return [
            (node.children[first].start_pos, node.children[last].end_pos)
            for first, last, _text in self.replacements(node)
        ]

    def mutate(self, node: Any, index: int) -> Any:
        first, last, text = list(self.replacements(node))[index]
        prefix = node.children[first].get_first_leaf().prefix
        node.children[first : last + 1] = [parso.parse(prefix + text)] if text else []
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class ConditionConstant(_Replacement):
    """``if c`` becomes ``if True`` and ``if False``; so do other conditions (a loop's only ``False``, lest it not
    end)."""

    def replacements(self, node: Any) -> Iterator[tuple[int, int, str]]:
        if node.type == "if_stmt":
            for number, child in enumerate(node.children[:-1]):
                if getattr(child, "value", "") in ("if", "elif"):
                    yield number + 1, number + 1, "True"
                    yield number + 1, number + 1, "False"
        elif node.type == "while_stmt":
            yield 1, 1, "False"
        elif node.type == "ternary" or (node.type == "test" and len(node.children) == 5):
            yield 2, 2, "True"
            yield 2, 2, "False"
        elif node.type in ("comp_if", "sync_comp_if"):
            yield 1, 1, "True"
            yield 1, 1, "False"


class DropOperand(_Replacement):
    """``a and b`` becomes ``a``, and ``b``; the same for ``or``."""

    def replacements(self, node: Any) -> Iterator[tuple[int, int, str]]:
        if node.type in ("and_test", "or_test"):
            for number in range(0, len(node.children), 2):
                if number == 0:
                    yield 0, 1, ""
                else:
                    yield number - 1, number, ""


class DropStatement(_Replacement):
    """A call whose result nobody takes, an assignment to an attribute or an item, and a ``raise`` that stands under no
    ``if`` of its own (there the condition is changed) become ``pass``."""

    def replacements(self, node: Any) -> Iterator[tuple[int, int, str]]:
        if node.type != "simple_stmt":
            return
        statement = node.children[0]
        is_call = statement.type == "atom_expr" or (statement.type == "power" and _ends_with(statement, "("))
        # without what __init__ sets nothing works, as any test shows
        sets = self._sets_something(statement) and not _in_init(node)
        if is_call or sets or self._raises_always(node, statement):
            yield 0, 0, "pass"

    @staticmethod
    def _sets_something(statement: Any) -> bool:
        if statement.type != "expr_stmt":
            return False
        return statement.children[0].type in ("atom_expr", "power") or any(
            getattr(child, "value", "") in ("+=", "-=", "|=", "&=") for child in statement.children
        )

    @staticmethod
    def _raises_always(node: Any, statement: Any) -> bool:
        if statement.type not in ("raise_stmt", "keyword") or not statement.get_code().strip().startswith("raise"):
            return False
        suite = node.parent
        return not (suite is not None and suite.type == "suite" and suite.parent.type == "if_stmt")


class ReturnConstant(_Replacement):
    """``return …`` becomes ``True`` and ``False`` where a function returns a bool, ``None`` where that is allowed."""

    def replacements(self, node: Any) -> Iterator[tuple[int, int, str]]:
        if node.type != "return_stmt":
            return
        function = node.parent
        while function is not None and function.type not in ("funcdef", "lambdef"):
            function = function.parent
        if function is None or function.type != "funcdef" or function.annotation is None:
            return
        wanted = function.annotation.get_code().strip()
        constants = ["True", "False"] if wanted == "bool" else ["None"] if wanted.endswith("| None") else []
        now = node.children[1].get_code().strip()
        for constant in constants:
            if now != constant:
                yield 1, 1, constant


def _in_init(node: Any) -> bool:
    return _function(node).endswith("__init__")


def _ends_with(node: Any, opening: str) -> bool:
    trailer = node.children[-1]
    return trailer.type == "trailer" and trailer.children[0].value == opening


def _operators() -> list[Any]:
    known = [plugins.get_operator(f"core/{name}")() for name in FROM_COSMIC_RAY]
    return [*known, ConditionConstant(), DropOperand(), DropStatement(), ReturnConstant()]


def find_mutants(module: str, source: str) -> list[Mutant]:
    """All changes of a file that are worth a run of its tests, in the order of its lines; none twice."""
    found: dict[tuple[str, int], Mutant] = {}
    tree = get_ast(source)
    for operator in _operators():
        occurrence = -1
        for node in ast_nodes(tree):
            for _position in operator.mutation_positions(node):
                occurrence += 1
                if _is_silent(node) or _is_whole_condition(node):
                    continue
                changed = mutate_code(source, operator, occurrence)
                if changed is None or changed == source:
                    continue
                compile(changed, module, "exec")
                before, after, line = _difference(source, changed)
                found.setdefault((changed, 0), Mutant(module, _function(node), before, after, line, changed))
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.after))


def _is_silent(node: Any) -> bool:
    """Whether a node decides nothing; so it is with numbers that are a constant of the module: tests use its name."""
    child, parent, inside = node, node.parent, False
    while parent is not None:
        if parent.type in _SILENT or (parent.type == "annassign" and parent.children[1] is child):
            return True
        if parent.type == "param" and parent.annotation is child:
            return True
        if parent.type == "funcdef":
            inside = True
            if parent.annotation is child:
                return True
        child, parent = parent, parent.parent
    if not inside:
        # the fields and constants of a module
        return True
    text = node.get_code().strip()
    return text.startswith("if TYPE_CHECKING")


def _is_whole_condition(node: Any) -> bool:
    """Whether a node is all that an ``if`` asks: its opposite is noticed where ``True`` and ``False`` both are. A
    bound is not."""
    parent = node.parent
    is_asked = parent is not None and parent.type == "if_stmt" and node.get_previous_leaf().value in ("if", "elif")
    is_bound = node.type == "comparison" and any(sign in node.get_code() for sign in "<>")
    return bool(is_asked and node.type in ("comparison", "not_test") and not is_bound)


def _function(node: Any) -> str:
    names: list[str] = []
    while node is not None:
        if node.type in _FUNCTIONS:
            names.insert(0, node.name.value)
        node = node.parent
    return ".".join(names)


def _difference(source: str, changed: str) -> tuple[str, str, int]:
    """The lines that differ, from the first to the last, and the number of the first."""
    old, new = source.splitlines(), changed.splitlines()
    start = next(number for number, pair in enumerate(zip(old, new)) if pair[0] != pair[1])
    end = 0
    while end < min(len(old), len(new)) - start - 1 and old[-1 - end] == new[-1 - end]:
        end += 1
    return _collapse(old[start : len(old) - end]), _collapse(new[start : len(new) - end]), start + 1


def _collapse(lines: list[str]) -> str:
    return re.sub(r"\s+", " ", " ".join(lines)).strip()
